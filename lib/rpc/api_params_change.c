/* SPDX-License-Identifier: MIT */
/*
 * Rows of what methods are called with that change clients, servers, mappings and flows, and the
 * checks that look at more than one of them. Constant data, any thread.
 */
#include "rpc/api_rows.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

#define API_YEAR_MS UINT64_C(31536000000)

/* Names stand in files, commands and events; what looks like an id (m3) would hide that thing. */
static int api_check_name(const char *name, char *error, size_t size)
{
	size_t bytes = strlen(name);

	if (bytes > 64 || strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789._-") != bytes)
		snprintf(error, size,
			 "a name has 1 to 64 letters, digits, dots, dashes and underscores");
	else if (bytes > 1 && strchr("csm", name[0]) != NULL &&
		 name[1 + strspn(name + 1, "0123456789.")] == '\0')
		snprintf(error, size, "it looks like an id: take another name");
	else
		return 0;
	return RSTUN_E_MALFORMED;
}

static int api_check_role_name(void *params, char *error, size_t size)
{
	return api_check_name(((struct rpc_role_add_params *)params)->name, error, size);
}

static int api_check_input_name(void *params, char *error, size_t size)
{
	return api_check_name(((struct rpc_mapping_input *)params)->name, error, size);
}

static int api_check_add_name(void *params, char *error, size_t size)
{
	return api_check_name(((struct rpc_mapping_add_params *)params)->input.name, error, size);
}

/* ---- Clients and servers --------------------------------------------------------------------- */

#define API_ID(tag)                                                                                \
	ROW(STRING, tag, "id", id, "Its id, as the list shows it.", .max = 64, .argument = "ID")
#define API_NAME(tag)                                                                              \
	ROW(STRING, tag, "name", name, "Or its name.", .max = 256, .argument = "NAME")
#define API_PERSIST(tag)                                                                           \
	ROW(BOOL, tag, "persist", persist, "Keep it over a restart of the daemon.",                \
	    .default_text = "yes")
#define API_DRAIN(tag)                                                                             \
	ROW(MS, tag, "drain-ms", drain_ms, "How long open flows may go on; 0 cuts them at once.",  \
	    MS, .max = API_DAY_MS, .default_text = "0")
#define API_MISSING_OK(tag)                                                                        \
	ROW(BOOL, tag, "missing-ok", missing_ok, "That there is none is no error.")

static const struct field client_add_rows[] = {
	ROW(STRING, rpc_role_add_params, "name", name, "Its name.", REQUIRED, .max = 64,
	    .argument = "NAME", .check = api_check_role_name),
	API_PERSIST(rpc_role_add_params),
	ROW(JSON, rpc_role_add_params, "config", config,
	    "The client's options; they may stand beside name, too.",
	    .schema = "{\"$ref\":\"#/components/schemas/ClientConfig\"}",
	    .max = API_PARAM_TEXT_MAX, .argument = "JSON"),
};
const struct field_rows rpc_client_add_params_rows =
	ROWS("ClientAddParams", rpc_role_add_params, client_add_rows);

static const struct field server_add_rows[] = {
	ROW(STRING, rpc_role_add_params, "name", name, "Its name.", REQUIRED, .max = 64,
	    .argument = "NAME", .check = api_check_role_name),
	API_PERSIST(rpc_role_add_params),
	ROW(JSON, rpc_role_add_params, "config", config,
	    "The server's options; they may stand beside name, too.",
	    .schema = "{\"$ref\":\"#/components/schemas/ServerConfig\"}",
	    .max = API_PARAM_TEXT_MAX, .argument = "JSON"),
};
const struct field_rows rpc_server_add_params_rows =
	ROWS("ServerAddParams", rpc_role_add_params, server_add_rows);

static const struct field role_set_rows[] = {
	API_ID(rpc_role_set_params),
	API_NAME(rpc_role_set_params),
	ROW(JSON, rpc_role_set_params, "config", config,
	    "The options to change; they may stand beside id or name, too.",
	    .schema = "{\"type\":\"object\"}", .max = API_PARAM_TEXT_MAX, .argument = "JSON"),
};
const struct field_rows rpc_role_set_params_rows =
	ROWS("RoleSetParams", rpc_role_set_params, role_set_rows);

static const struct field client_remove_rows[] = {
	API_ID(rpc_role_remove_params),
	API_NAME(rpc_role_remove_params),
	API_MISSING_OK(rpc_role_remove_params),
	ROW(BOOL, rpc_role_remove_params, "mappings", mappings,
	    "Remove its mappings too; without it a client that has some stays."),
	API_DRAIN(rpc_role_remove_params),
};
const struct field_rows rpc_client_remove_params_rows =
	ROWS("ClientRemoveParams", rpc_role_remove_params, client_remove_rows);

static const struct field server_remove_rows[] = {
	API_ID(rpc_role_remove_params),
	API_NAME(rpc_role_remove_params),
	API_MISSING_OK(rpc_role_remove_params),
	API_DRAIN(rpc_role_remove_params),
};
const struct field_rows rpc_server_remove_params_rows =
	ROWS("ServerRemoveParams", rpc_role_remove_params, server_remove_rows);

static const struct field client_test_rows[] = {
	ROW(STRING, rpc_client_test_params, "client", client,
	    "The client (id or name); left out, the only one or the mapping's.", .max = 256,
	    .argument = "CLIENT"),
	ROW(STRING, rpc_client_test_params, "mapping", mapping,
	    "The mapping to look at (id or name); left out, the client alone.", .max = 256,
	    .argument = "MAPPING"),
	ROW(MS, rpc_client_test_params, "timeout-ms", timeout_ms, "Give up after so long.", MS,
	    .min = 100, .max = API_DAY_MS, .default_text = "15000"),
};
const struct field_rows rpc_client_test_params_rows =
	ROWS("ClientTestParams", rpc_client_test_params, client_test_rows);

static const struct field channel_open_rows[] = {
	ROW(STRING, rpc_channel_open_params, "client", client,
	    "The client (id or name); left out, the only one.", .max = 256, .argument = "CLIENT"),
	ROW(STRING, rpc_channel_open_params, "target", target,
	    "What its server connects to: [ip:]port, name:port, or ANY for the server's default.",
	    REQUIRED, .max = 512, .argument = "TARGET"),
	ROW(CHOICE, rpc_channel_open_params, "proto", proto, "What it carries.",
	    .choices = rpc_proto_names, .default_text = "tcp", .argument = "PROTO"),
};
const struct field_rows rpc_channel_open_params_rows =
	ROWS("ChannelOpenParams", rpc_channel_open_params, channel_open_rows);

static const struct field drain_rows[] = {
	API_ID(rpc_drain_params),
	API_NAME(rpc_drain_params),
	ROW(MS, rpc_drain_params, "drain-ms", drain_ms,
	    "How long open flows may go on before they are cut.", MS, .max = API_DAY_MS,
	    .default_text = "30000"),
};
const struct field_rows rpc_drain_params_rows = ROWS("DrainParams", rpc_drain_params, drain_rows);

/* ---- Mappings -------------------------------------------------------------------------------- */

static const char *const api_lifetimes[] = {
	[RPC_LIFETIME_DAEMON] = "daemon",
	[RPC_LIFETIME_CONNECTION] = "connection",
	NULL,
};

#define API_MAPPING_INPUT(tag, in)                                                                 \
	ROW(STRING, tag, "spec", in spec, "All of it in one: OUT^9000^ANY.", .max = 1024,          \
	    .argument = "SPEC"),                                                                   \
	ROW(CHOICE, tag, "mode", in mode,                                                          \
	    "Or in parts: out listens here and leads there, in the other way round.", OPTIONAL,    \
	    .choices = rpc_mode_names, .argument = "MODE"),                                        \
	ROW(STRING, tag, "local", in local,                                                        \
	    "Address on this side: where out listens, what in connects to (or SOCKS5, HTTP).",     \
	    .max = 512,                                                                            \
	    .argument = "[IP:]PORT"),                                                              \
	ROW(STRING, tag, "remote", in remote,                                                      \
	    "Address on the server's side; ANY is its default upstream.", .max = 512,              \
	    .argument = "[IP:]PORT|ANY")

static const struct field mapping_input_rows[] = {
	API_MAPPING_INPUT(rpc_mapping_input, ),
	ROW(CHOICE, rpc_mapping_input, "proto", proto, "What it carries.",
	    .choices = rpc_proto_names, .default_text = "tcp", .argument = "PROTO"),
	ROW(STRING, rpc_mapping_input, "name", name, "Its name.", .max = 64, .argument = "NAME",
	    .check = api_check_input_name),
	ROW(STRING, rpc_mapping_input, "client", client,
	    "Its client (id or name); left out, the only one.", .max = 256, .argument = "CLIENT"),
	ROW(MS, rpc_mapping_input, "expires-ms", expires_ms, "Remove it after so long.", OPTIONAL,
	    .unit = "ms", .argument = "MS", .min = 1, .max = API_YEAR_MS),
};
static const struct field_rows mapping_input_set =
	ROWS("MappingInput", rpc_mapping_input, mapping_input_rows);

static const struct field mapping_add_rows[] = {
	API_MAPPING_INPUT(rpc_mapping_add_params, input.),
	ROW(CHOICE, rpc_mapping_add_params, "proto", input.proto, "What it carries.",
	    .choices = rpc_proto_names, .default_text = "tcp", .argument = "PROTO"),
	ROW(STRING, rpc_mapping_add_params, "name", input.name, "Its name.", .max = 64,
	    .argument = "NAME", .check = api_check_add_name),
	ROW(STRING, rpc_mapping_add_params, "client", input.client,
	    "Its client (id or name); left out, the only one.", .max = 256, .argument = "CLIENT"),
	ROW(MS, rpc_mapping_add_params, "expires-ms", input.expires_ms, "Remove it after so long.",
	    OPTIONAL, .unit = "ms", .argument = "MS", .min = 1, .max = API_YEAR_MS),
	API_PERSIST(rpc_mapping_add_params),
	ROW(CHOICE, rpc_mapping_add_params, "lifetime", lifetime,
	    "connection: it is removed when the connection of this call ends.",
	    .choices = api_lifetimes, .default_text = "daemon", .argument = "LIFETIME"),
	ROW(BOOL, rpc_mapping_add_params, "paused", paused, "Do not start it yet."),
	ROW(MS, rpc_mapping_add_params, "wait-ms", wait_ms,
	    "Answer when it is up or has failed for good, or after so long with the error timeout; "
	    "it stays in every case. 0 answers at once.",
	    MS, .max = API_DAY_MS, .default_text = "0"),
};
const struct field_rows rpc_mapping_add_params_rows =
	ROWS("MappingAddParams", rpc_mapping_add_params, mapping_add_rows);

static const struct field mapping_set_rows[] = {
	API_ID(rpc_mapping_set_params),
	API_NAME(rpc_mapping_set_params),
	API_MAPPING_INPUT(rpc_mapping_set_params, ),
	ROW(CHOICE, rpc_mapping_set_params, "proto", proto, "What it carries.", OPTIONAL,
	    .choices = rpc_proto_names, .argument = "PROTO"),
	ROW(STRING, rpc_mapping_set_params, "client", client, "Another client (id or name).",
	    .max = 256, .argument = "CLIENT"),
	ROW(MS, rpc_mapping_set_params, "expires-ms", expires_ms,
	    "Remove it so long from now; 0 is never.", OPTIONAL, .unit = "ms", .argument = "MS",
	    .max = API_YEAR_MS),
};
const struct field_rows rpc_mapping_set_params_rows =
	ROWS("MappingSetParams", rpc_mapping_set_params, mapping_set_rows);

static const struct field mapping_remove_rows[] = {
	API_ID(rpc_mapping_remove_params),
	API_NAME(rpc_mapping_remove_params),
	API_MISSING_OK(rpc_mapping_remove_params),
	API_DRAIN(rpc_mapping_remove_params),
};
const struct field_rows rpc_mapping_remove_params_rows =
	ROWS("MappingRemoveParams", rpc_mapping_remove_params, mapping_remove_rows);

static const struct field mapping_apply_rows[] = {
	ROW(OBJECTS, rpc_mapping_apply_params, "mappings", mappings,
	    "All mappings there shall be, each as for mapping.add (also a range of ports), or a "
	    "config as mapping.list shows it.",
	    REQUIRED, .rows = &mapping_input_set, .argument = "JSON"),
	ROW(BOOL, rpc_mapping_apply_params, "dry-run", dry_run, "Only say what would change."),
	ROW(BOOL, rpc_mapping_apply_params, "prune", prune,
	    "Remove the mappings that are not named; those of the configuration file stay."),
	ROW(UINT, rpc_mapping_apply_params, "confirm-within-s", confirm_within_s,
	    "Undo all of it after so many seconds, unless mapping.confirm comes before; 0 does not.",
	    .unit = "s", .max = 86400, .argument = "S", .default_text = "0"),
};
const struct field_rows rpc_mapping_apply_params_rows =
	ROWS("MappingApplyParams", rpc_mapping_apply_params, mapping_apply_rows);

static const struct field mapping_confirm_rows[] = {
	ROW(BOOL, rpc_mapping_confirm_params, "revert", revert, "Undo the change now instead."),
};
const struct field_rows rpc_mapping_confirm_params_rows =
	ROWS("MappingConfirmParams", rpc_mapping_confirm_params, mapping_confirm_rows);

/* ---- Flows ----------------------------------------------------------------------------------- */

static const struct field flow_list_rows[] = {
	ROW(STRING, rpc_flow_list_params, "mapping", mapping, "Of this mapping (id or name).",
	    .max = 256, .argument = "MAPPING"),
	ROW(STRING, rpc_flow_list_params, "session", session, "Of this session (id).", .max = 64,
	    .argument = "SESSION"),
	ROW(UINT, rpc_flow_list_params, "count", count, "How many at most.", .min = 1,
	    .max = 20000, .default_text = "1000", .argument = "N"),
};
const struct field_rows rpc_flow_list_params_rows =
	ROWS("FlowListParams", rpc_flow_list_params, flow_list_rows);

static const struct field flow_kill_rows[] = {
	ROW(STRING, rpc_flow_kill_params, "id", id, "This flow, as flow.list shows it.", .max = 64,
	    .argument = "ID"),
	ROW(STRING, rpc_flow_kill_params, "mapping", mapping,
	    "Or all flows of this mapping (id or name).", .max = 256, .argument = "MAPPING"),
	ROW(STRING, rpc_flow_kill_params, "session", session,
	    "Or all flows of this session (id).", .max = 64, .argument = "SESSION"),
};
const struct field_rows rpc_flow_kill_params_rows =
	ROWS("FlowKillParams", rpc_flow_kill_params, flow_kill_rows);

/* ---- Checks ---------------------------------------------------------------------------------- */

int api_check_role_set(const void *params, char *error, size_t size)
{
	const struct rpc_role_set_params *p = params;

	return api_check_one(p->id, p->name, error, size);
}

int api_check_role_remove(const void *params, char *error, size_t size)
{
	const struct rpc_role_remove_params *p = params;

	return api_check_one(p->id, p->name, error, size);
}

int api_check_drain(const void *params, char *error, size_t size)
{
	const struct rpc_drain_params *p = params;

	return api_check_one(p->id, p->name, error, size);
}

/* A whole spec, or its three parts; with `needed`, one of the two. */
static int api_check_parts(const char *spec, int mode, const char *local, const char *remote,
			   bool needed, char *error, size_t size)
{
	bool parts = mode >= 0 || local != NULL || remote != NULL;

	if (spec != NULL && parts)
		snprintf(error, size,
			 "spec and mode, local, remote are both given: only one of them may be");
	else if (spec == NULL && needed && (mode < 0 || local == NULL || remote == NULL))
		snprintf(error, size, "%s", parts ? "mode, local and remote belong together"
						  : "spec is missing: say OUT^9000^ANY, or give "
						    "mode, local and remote");
	else
		return 0;
	return RSTUN_E_MALFORMED;
}

static int api_check_input(const struct rpc_mapping_input *in, char *error, size_t size)
{
	return api_check_parts(in->spec, in->mode, in->local, in->remote, true, error, size);
}

int api_check_mapping_add(const void *params, char *error, size_t size)
{
	return api_check_input(&((const struct rpc_mapping_add_params *)params)->input, error,
			       size);
}

int api_check_mapping_set(const void *params, char *error, size_t size)
{
	const struct rpc_mapping_set_params *p = params;
	int rv = api_check_one(p->id, p->name, error, size);

	return rv != 0 ? rv
		       : api_check_parts(p->spec, p->mode, p->local, p->remote, false, error,
					 size);
}

int api_check_mapping_remove(const void *params, char *error, size_t size)
{
	const struct rpc_mapping_remove_params *p = params;

	return api_check_one(p->id, p->name, error, size);
}

int api_check_mapping_apply(const void *params, char *error, size_t size)
{
	const struct rpc_mapping_apply_params *p = params;
	const struct rpc_mapping_input *in = p->mappings.items;
	char why[200];

	for (size_t i = 0; i < p->mappings.count; i++) {
		int rv = api_check_input(&in[i], why, sizeof(why));

		if (rv != 0) {
			snprintf(error, size, "mappings[%zu]: %s", i, why);
			return rv;
		}
	}
	return 0;
}

int api_check_flow_list(const void *params, char *error, size_t size)
{
	const struct rpc_flow_list_params *p = params;

	if (p->mapping == NULL || p->session == NULL)
		return 0;
	snprintf(error, size, "mapping and session are both given: only one of them may be");
	return RSTUN_E_MALFORMED;
}

int api_check_flow_kill(const void *params, char *error, size_t size)
{
	const struct rpc_flow_kill_params *p = params;

	if ((p->id != NULL) + (p->mapping != NULL) + (p->session != NULL) == 1)
		return 0;
	snprintf(error, size, "exactly one of id, mapping and session is to be given");
	return RSTUN_E_MALFORMED;
}
