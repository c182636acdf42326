/* SPDX-License-Identifier: MIT */
/*
 * stats and flows: counters, what is open now, and its end.
 */
#include "rpc/api_types.h"
#include "rstunctl/commands.h"
#include "rstunctl/describe.h"

#include <inttypes.h>
#include <string.h>

struct stats_flows_options {
	char *kill;
	bool kill_all;
};

static const struct field stats_flows_fields[] = {
	{.name = "kill", .type = FIELD_STRING, .offset = offsetof(struct stats_flows_options, kill),
	 .argument = "FLOW", .help = "Reset this flow instead."},
	{.name = "kill-all", .type = FIELD_BOOL,
	 .offset = offsetof(struct stats_flows_options, kill_all),
	 .help = "Reset all flows of the mapping or session."},
};

const struct field_rows stats_flows_rows = {
	.name = "FlowsOptions", .rows = stats_flows_fields,
	.count = sizeof(stats_flows_fields) / sizeof(stats_flows_fields[0]),
	.size = sizeof(struct stats_flows_options),
};

/* The parameter that an id is for, by its letter; names are mappings'. */
static const char *stats_what(const char *word)
{
	if (!ctl_is_id(word) || word[0] == 'm')
		return "mapping";
	if (word[0] == 'c')
		return "client";
	return strchr(word, '.') != NULL ? "session" : "server";
}

static void stats_show(const struct ctl *c, const json_t *result)
{
	static const struct {
		const char *label, *of;
		enum output_kind kind;
	} rates[] = {
		{"payload in", "payload_in_bytes", OUTPUT_RATE},
		{"payload out", "payload_out_bytes", OUTPUT_RATE},
		{"QUIC received", "rx_bytes", OUTPUT_RATE},
		{"QUIC sent", "tx_bytes", OUTPUT_RATE},
		{"packets sent", "sent_packets", OUTPUT_NUMBER},
		{"packets lost", "lost_packets", OUTPUT_NUMBER},
	};
	char one[32], ten[32], of[64];

	output_clean(of, sizeof(of), output_string(result, "of"));
	fprintf(c->out, "%s%s%s\n", output_paint(&c->output, OUTPUT_BOLD), of,
		output_paint(&c->output, OUTPUT_PLAIN));
	fprintf(c->out, "%-22s %14s %14s\n", "per second, average of", "1 s", "10 s");
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		fprintf(c->out, "%-22s %14s %14s\n", rates[i].label,
			output_value(one, sizeof(one), &c->output, rates[i].kind,
				     json_object_get(json_object_get(result, "rate_1s"),
						     rates[i].of), false),
			output_value(ten, sizeof(ten), &c->output, rates[i].kind,
				     json_object_get(json_object_get(result, "rate_10s"),
						     rates[i].of), false));
	fputc('\n', c->out);
	describe_object(&c->output, &rpc_stat_rows, json_object_get(result, "stat"));
}

int stats_command(struct ctl *c, struct command_input *in)
{
	json_t *params = json_incref(in->params), *result;
	int status;

	if (in->arg_count > 0)
		json_object_set_new(params, stats_what(in->args[0]), json_string(in->args[0]));
	status = ctl_call(c, RPC_STATS_GET, params, ctl_timeout(c, CTL_TIMEOUT_MS), &result);
	if (status != 0)
		return status;
	if (c->output.format == OUTPUT_JSON)
		output_json(&c->output, result);
	else
		stats_show(c, result);
	json_decref(result);
	return 0;
}

static int stats_kill(struct ctl *c, const char *member, const char *which)
{
	uint64_t killed;
	json_t *result;
	int status;

	c->change = true;
	status = ctl_call(c, RPC_FLOW_KILL, json_pack("{s:s}", member, which),
			  ctl_timeout(c, CTL_TIMEOUT_MS), &result);
	if (status != 0)
		return status;
	killed = output_number(result, "killed");
	if (c->output.format == OUTPUT_JSON)
		output_json(&c->output, result);
	else
		generic_say(c, "%" PRIu64 " flow%s ended", killed, killed == 1 ? "" : "s");
	json_decref(result);
	return 0;
}

int stats_flows(struct ctl *c, struct command_input *in)
{
	const struct stats_flows_options *options = in->own;
	const char *what = in->arg_count > 0 ? stats_what(in->args[0]) : NULL;

	if (what != NULL && strcmp(what, "mapping") != 0 && strcmp(what, "session") != 0)
		return ctl_usage(c, "flows are of a mapping (m3) or of a session (s1.17)");
	if (options->kill != NULL)
		return stats_kill(c, "id", options->kill);
	if (options->kill_all && what == NULL)
		return ctl_usage(c, "--kill-all needs a mapping or a session: rstunctl flows ID "
				    "--kill-all");
	if (options->kill_all)
		return stats_kill(c, what, in->args[0]);
	if (what != NULL)
		json_object_set_new(in->params, what, json_string(in->args[0]));
	return generic_call(c, in);
}
