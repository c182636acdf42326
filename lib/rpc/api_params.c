/* SPDX-License-Identifier: MIT */
/*
 * Rows of what methods are called with, and the checks that look at more than one of them. Constant
 * data, any thread.
 */
#include "rpc/api_rows.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* rpc_event_names as the choices of a list. */
#define API_EVENT_CHOICES .choices = rpc_event_names

static const char *const api_snapshot_wishes[] = {
	[RPC_SNAPSHOT_AUTO] = "auto",
	[RPC_SNAPSHOT_ALWAYS] = "always",
	[RPC_SNAPSHOT_NEVER] = "never",
	NULL,
};

const struct field_rows rpc_nothing = {.name = "Nothing"};

static const struct field which_rows[] = {
	ROW(STRING, rpc_which_params, "id", id, "Its id, as the list shows it.", .max = 64,
	    .argument = "ID"),
	ROW(STRING, rpc_which_params, "name", name, "Or its name.", .max = 256,
	    .argument = "NAME"),
};
const struct field_rows rpc_which_params_rows = ROWS("WhichParams", rpc_which_params, which_rows);

/* A string or a whole number; the text is JSON already. */
static int api_check_id(void *config, char *error, size_t size)
{
	const char *id = ((struct rpc_cancel_params *)config)->id;

	if (id[0] == '"' || (id[0] != '\0' && id[strspn(id, "-0123456789")] == '\0'))
		return 0;
	snprintf(error, size, "it is neither a string nor a whole number");
	return RSTUN_E_MALFORMED;
}

static const struct field cancel_rows[] = {
	ROW(JSON, rpc_cancel_params, "id", id,
	    "The id of the request that is to end, as it was sent on this connection.", REQUIRED,
	    .schema = "{\"type\":[\"string\",\"integer\"]}", .max = 1024, .argument = "ID",
	    .check = api_check_id),
};
const struct field_rows rpc_cancel_params_rows =
	ROWS("CancelParams", rpc_cancel_params, cancel_rows);

static const struct field shutdown_rows[] = {
	ROW(MS, rpc_shutdown_params, "drain-ms", drain_ms,
	    "How long open flows may go on before they are cut; 0 ends at once.", MS,
	    .max = API_DAY_MS, .default_text = "5000"),
};
const struct field_rows rpc_shutdown_params_rows =
	ROWS("ShutdownParams", rpc_shutdown_params, shutdown_rows);

static const struct field reload_rows[] = {
	ROW(BOOL, rpc_reload_params, "dry-run", dry_run, "Only say what would change."),
};
const struct field_rows rpc_reload_params_rows =
	ROWS("ReloadParams", rpc_reload_params, reload_rows);

static const struct field config_check_rows[] = {
	ROW(STRING, rpc_config_check_params, "text", text,
	    "The configuration file's text. Files that it names are not looked at.",
	    .max = API_PARAM_TEXT_MAX, .argument = "TEXT"),
};
const struct field_rows rpc_config_check_params_rows =
	ROWS("ConfigCheckParams", rpc_config_check_params, config_check_rows);

/* ---- Log, lists, statistics ------------------------------------------------------------------ */

static const struct field set_level_rows[] = {
	ROW(CHOICE, rpc_set_level_params, "level", level, "Messages below it are not written.",
	    REQUIRED, .choices = rpc_level_names, .argument = "LEVEL"),
	ROW(MS, rpc_set_level_params, "revert-after-ms", revert_after_ms,
	    "Go back to the level before after so long; left out, the new one stays.", OPTIONAL,
	    .unit = "ms", .argument = "MS", .min = 1, .max = API_DAY_MS),
};
const struct field_rows rpc_set_level_params_rows =
	ROWS("SetLevelParams", rpc_set_level_params, set_level_rows);

static const struct field log_tail_rows[] = {
	ROW(UINT, rpc_log_tail_params, "count", count, "How many lines at most.", .min = 1,
	    .max = 10000, .default_text = "100", .argument = "N"),
	ROW(CHOICE, rpc_log_tail_params, "min-level", min_level,
	    "Only lines of this level and above.", OPTIONAL, .choices = rpc_level_names,
	    .argument = "LEVEL"),
	ROW(UINT, rpc_log_tail_params, "after", after,
	    "Only lines behind this number: the last of the answer before.", OPTIONAL,
	    .argument = "N"),
	ROW(MS, rpc_log_tail_params, "timeout-ms", timeout_ms,
	    "With after: how long to wait for a line when there is none.", MS, .max = API_DAY_MS,
	    .default_text = "0"),
};
const struct field_rows rpc_log_tail_params_rows =
	ROWS("LogTailParams", rpc_log_tail_params, log_tail_rows);

static const struct field mapping_list_rows[] = {
	ROW(STRING, rpc_mapping_list_params, "client", client,
	    "Only those of this client (id or name).", .max = 256, .argument = "CLIENT"),
	ROW(CHOICE, rpc_mapping_list_params, "state", state, "Only those in this state.", OPTIONAL,
	    .choices = rpc_state_names, .argument = "STATE"),
};
const struct field_rows rpc_mapping_list_params_rows =
	ROWS("MappingListParams", rpc_mapping_list_params, mapping_list_rows);

static const struct field mapping_wait_rows[] = {
	ROW(STRING, rpc_mapping_wait_params, "id", id, "Id of the mapping.", .max = 64,
	    .argument = "ID"),
	ROW(STRING, rpc_mapping_wait_params, "name", name, "Or its name.", .max = 256,
	    .argument = "NAME"),
	ROW(CHOICE, rpc_mapping_wait_params, "state", state, "The state to wait for.",
	    .choices = rpc_state_names, .default_text = "tunneling", .argument = "STATE"),
	ROW(MS, rpc_mapping_wait_params, "timeout-ms", timeout_ms,
	    "Give up after so long, with the error timeout.", MS, .max = API_DAY_MS,
	    .default_text = "10000"),
};
const struct field_rows rpc_mapping_wait_params_rows =
	ROWS("MappingWaitParams", rpc_mapping_wait_params, mapping_wait_rows);

static const struct field session_list_rows[] = {
	ROW(STRING, rpc_session_list_params, "server", server,
	    "Only those of this server (id or name).", .max = 256, .argument = "SERVER"),
};
const struct field_rows rpc_session_list_params_rows =
	ROWS("SessionListParams", rpc_session_list_params, session_list_rows);

static const struct field session_rows[] = {
	ROW(STRING, rpc_session_params, "id", id, "Id of the session.", REQUIRED, .max = 64,
	    .argument = "ID"),
};
const struct field_rows rpc_session_params_rows =
	ROWS("SessionParams", rpc_session_params, session_rows);

static const struct field stats_rows[] = {
	ROW(STRING, rpc_stats_params, "mapping", mapping, "Of this mapping (id or name).",
	    .max = 256, .argument = "MAPPING"),
	ROW(STRING, rpc_stats_params, "client", client, "Of this client (id or name).", .max = 256,
	    .argument = "CLIENT"),
	ROW(STRING, rpc_stats_params, "server", server, "Of this server (id or name).", .max = 256,
	    .argument = "SERVER"),
	ROW(STRING, rpc_stats_params, "session", session, "Of this session (id).", .max = 64,
	    .argument = "SESSION"),
};
const struct field_rows rpc_stats_params_rows = ROWS("StatsParams", rpc_stats_params, stats_rows);

static const struct field cert_rows[] = {
	ROW(STRING, rpc_cert_params, "server", server, "Only of this server (id or name).",
	    .max = 256, .argument = "SERVER"),
};
const struct field_rows rpc_cert_params_rows = ROWS("CertParams", rpc_cert_params, cert_rows);

static const struct field since_rows[] = {
	ROW(STRING, rpc_since, "epoch", epoch, "The epoch of that number.", REQUIRED, .max = 64),
	ROW(UINT, rpc_since, "seq", seq, "Number of the last event that is known.", REQUIRED),
};
static const struct field_rows since_set = ROWS("Since", rpc_since, since_rows);

static const struct field subscribe_rows[] = {
	ROW(LIST, rpc_subscribe_params, "types", types,
	    "Types of events; left out, all but flow.", API_EVENT_CHOICES, .argument = "TYPES"),
	ROW(LIST, rpc_subscribe_params, "mappings", mappings,
	    "Only what is about these mappings (ids or names), and what is about none.",
	    .max = 64 * 1024, .argument = "MAPPINGS"),
	ROW(CHOICE, rpc_subscribe_params, "min-level", min_level,
	    "Only log lines of this level and above.", .choices = rpc_level_names,
	    .default_text = "info", .argument = "LEVEL"),
	ROW(MS, rpc_subscribe_params, "stat-interval-ms", stat_interval_ms,
	    "Statistics of every mapping as often; left out, only the total every 30 s.", OPTIONAL,
	    .unit = "ms", .argument = "MS", .min = 100, .max = API_DAY_MS),
	ROW(CHOICE, rpc_subscribe_params, "snapshot", snapshot,
	    "Whether the reply shows everything there is: auto does unless events since a known "
	    "number can be given without a gap.",
	    .choices = api_snapshot_wishes, .default_text = "auto", .argument = "WHEN"),
	ROW(OBJECT, rpc_subscribe_params, "since", since,
	    "Go on behind the last event that is known.", PRESENT(rpc_subscribe_params, has_since),
	    .rows = &since_set),
};
const struct field_rows rpc_subscribe_params_rows =
	ROWS("SubscribeParams", rpc_subscribe_params, subscribe_rows);

static const struct field unsubscribe_rows[] = {
	ROW(UINT, rpc_unsubscribe_params, "sub", sub, "Number of the subscription.", REQUIRED,
	    .argument = "SUB"),
};
const struct field_rows rpc_unsubscribe_params_rows =
	ROWS("UnsubscribeParams", rpc_unsubscribe_params, unsubscribe_rows);

static const struct field next_rows[] = {
	ROW(STRING, rpc_next_params, "cursor", cursor,
	    "Where the last answer ended; left out, the answer comes at once, without events and "
	    "with the cursor of now.",
	    .max = 128, .argument = "CURSOR"),
	ROW(LIST, rpc_next_params, "types", types, "Types of events; left out, all but flow.",
	    API_EVENT_CHOICES, .argument = "TYPES"),
	ROW(LIST, rpc_next_params, "mappings", mappings,
	    "Only what is about these mappings (ids or names), and what is about none.",
	    .max = 64 * 1024, .argument = "MAPPINGS"),
	ROW(CHOICE, rpc_next_params, "min-level", min_level,
	    "Only log lines of this level and above.", .choices = rpc_level_names,
	    .default_text = "info", .argument = "LEVEL"),
	ROW(MS, rpc_next_params, "timeout-ms", timeout_ms,
	    "How long to wait for the first event; then the answer has none.", MS,
	    .max = API_DAY_MS, .default_text = "30000"),
	ROW(UINT, rpc_next_params, "count", count, "How many events at most.", .min = 1,
	    .max = 1000, .default_text = "100", .argument = "N"),
};
const struct field_rows rpc_next_params_rows = ROWS("NextParams", rpc_next_params, next_rows);

/* ---- Checks ---------------------------------------------------------------------------------- */

int api_check_one(const char *id, const char *name, char *error, size_t size)
{
	if ((id == NULL) != (name == NULL))
		return 0;
	snprintf(error, size, id == NULL ? "id or name is missing: say which one is meant"
					 : "id and name are both given: only one of them may be");
	return RSTUN_E_MALFORMED;
}

int api_check_which(const void *params, char *error, size_t size)
{
	const struct rpc_which_params *p = params;

	return api_check_one(p->id, p->name, error, size);
}

int api_check_wait(const void *params, char *error, size_t size)
{
	const struct rpc_mapping_wait_params *p = params;

	return api_check_one(p->id, p->name, error, size);
}

int api_check_stats(const void *params, char *error, size_t size)
{
	const struct rpc_stats_params *p = params;

	if ((p->mapping != NULL) + (p->client != NULL) + (p->server != NULL) +
		    (p->session != NULL) <= 1)
		return 0;
	snprintf(error, size, "only one of mapping, client, server and session may be given");
	return RSTUN_E_MALFORMED;
}
