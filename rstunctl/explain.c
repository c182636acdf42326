/* SPDX-License-Identifier: MIT */
/*
 * explain, client test: the probe of client.test, a line per step.
 */
#include "base/error.h"
#include "rpc/api_types.h"
#include "rstunctl/commands.h"

#include <string.h>

#define EXPLAIN_TIMEOUT_MS 15000

static const char *explain_step(const char *step)
{
	static const char *const names[][2] = {
		{"dns", "name"}, {"udp", "UDP"}, {"tls", "TLS"}, {"login", "login"},
		{"bind", "address"}, {"upstream", "upstream"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i][0], step) == 0)
			return names[i][1];
	return step;
}

/* What to do about a kind of failure. */
struct explain_remedy {
	const char *kind;
	const char *text;
	const char *option, *argument; /* of the client, that would mend it; or NULL */
};

static const struct explain_remedy *explain_find_remedy(const char *kind)
{
	static const struct explain_remedy remedies[] = {
		{"dns_failed", "check the name, or ask another resolver", "dns", "IP"},
		{"unreachable",
		 "does the server run, is its UDP port open in every firewall on the way?", NULL,
		 NULL},
		{"tls_verify_failed", "give the server's certificate, or its pin (--pin)", "cert",
		 "FILE"},
		{"auth_failed", "give the right password", "password-file", "FILE"},
		{"password_required_unverified",
		 "give the server's certificate, or its pin (--pin)", "cert", "FILE"},
		{"no_default_upstream",
		 "name a target instead of ANY, or give the server a --tcp-upstream or "
		 "--udp-upstream", NULL, NULL},
		{"remote_address_in_use",
		 "another program or mapping listens there: take another port", NULL, NULL},
		{"address_in_use", "another program listens there: take another port", NULL, NULL},
		{"access_denied", "the server's rules forbid it: ask its administrator", NULL, NULL},
		{"target_refused", "nothing listens at the target", NULL, NULL},
		{"target_unreachable",
		 "the target does not answer: is its address right as seen from there?", NULL,
		 NULL},
		{"peer_key_changed", "if the server was set up anew, give its new pin", "pin", "PIN"},
	};

	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
		if (strcmp(remedies[i].kind, kind) == 0)
			return &remedies[i];
	return NULL;
}

/* The advice with the command, or the place, where this very client can be changed. */
static void explain_advice(char *buf, size_t size, const struct explain_remedy *r,
			   const json_t *client)
{
	const char *origin = output_string(client, "runtime.origin");
	char name[80];

	output_clean(name, sizeof(name), output_string(client, "name"));
	if (r->option == NULL || name[0] == '\0')
		snprintf(buf, size, "%s", r->text);
	else if (strcmp(origin, rpc_origin_names[RPC_ORIGIN_CONFIG]) == 0)
		snprintf(buf, size,
			 "%s: write %s = %s in [client %s] of the configuration file, then: "
			 "rstunctl reload", r->text, r->option, r->argument, name);
	else if (strcmp(origin, rpc_origin_names[RPC_ORIGIN_COMMAND_LINE]) == 0)
		snprintf(buf, size, "%s: start the daemon anew with --%s %s", r->text, r->option,
			 r->argument);
	else
		snprintf(buf, size, "%s: rstunctl client set %s --%s %s", r->text, name, r->option,
			 r->argument);
}

static void explain_print(const struct ctl *c, const json_t *step, const json_t *client)
{
	const char *outcome = output_string(step, "outcome");
	const struct explain_remedy *remedy =
		explain_find_remedy(output_string(step, "error.kind"));
	char name[32], text[1024], time[32] = "", message[1024], clean[16], advice[512];

	output_clean(name, sizeof(name), explain_step(output_string(step, "step")));
	output_clean(text, sizeof(text), output_string(step, "text"));
	output_clean(message, sizeof(message), output_string(step, "error.message"));
	output_clean(clean, sizeof(clean), outcome);
	if (strcmp(outcome, "skipped") != 0)
		output_ms(time, sizeof(time), output_number(step, "took_ms"));
	fprintf(c->out, "%-9s %s%-7s%s %8s  %s\n", name,
		output_paint(&c->output, output_state_hue(outcome)), clean,
		output_paint(&c->output, OUTPUT_PLAIN), time, message[0] != '\0' ? message : text);
	if (message[0] != '\0' && text[0] != '\0')
		fprintf(c->out, "%28s%s\n", "", text);
	if (message[0] != '\0' && remedy != NULL && (text[0] == '\0' || remedy->option != NULL)) {
		explain_advice(advice, sizeof(advice), remedy, client);
		fprintf(c->out, "%28s%s\n", "", advice);
	}
}

/* That of the first step that failed. */
static int explain_status(const json_t *result)
{
	size_t i;
	json_t *step;

	if (output_flag(result, "ok"))
		return 0;
	json_array_foreach(json_object_get(result, "steps"), i, step) {
		const struct rpc_error_row *row = rpc_error_find(output_string(step, "error.kind"));

		if (strcmp(output_string(step, "outcome"), "failed") == 0)
			return row != NULL ? (int)row->exit : RPC_EXIT_REFUSED;
	}
	return RPC_EXIT_REFUSED;
}

static int explain_show(struct ctl *c, const json_t *result)
{
	char client[64], mapping[64], name[80];
	json_t *step, *whole = NULL;
	struct rpc_error error;
	size_t i;

	if (c->output.format == OUTPUT_JSON) {
		output_json(&c->output, result);
		return explain_status(result);
	}
	output_clean(client, sizeof(client), output_string(result, "client"));
	output_clean(mapping, sizeof(mapping), output_string(result, "mapping"));
	/* Its name and where it is defined; without them the advice is less exact. */
	if (ctl_try(c, rpc_methods[RPC_CLIENT_GET].name, json_pack("{s:s}", "id", client),
		    ctl_timeout(c, CTL_TIMEOUT_MS), &whole, &error) != 0)
		whole = NULL;
	output_clean(name, sizeof(name), output_string(whole, "name"));
	generic_say(c, "client %s%s%s%s%s%s", client, name[0] != '\0' ? " " : "", name,
		    mapping[0] != '\0' ? ", mapping " : "", mapping,
		    output_flag(result, "live") ? ", which is up now" : "");
	json_array_foreach(json_object_get(result, "steps"), i, step)
		explain_print(c, step, whole);
	json_decref(whole);
	if (output_flag(result, "ok"))
		generic_say(c, "all is well");
	return explain_status(result);
}

/* A name may be a mapping's or a client's: the mapping's is tried first. */
static int explain_try(struct ctl *c, const char *member, const char *which, json_t **ret_result,
		       struct rpc_error *error)
{
	uint64_t timeout_ms = ctl_timeout(c, EXPLAIN_TIMEOUT_MS);

	return ctl_try_long(c, rpc_methods[RPC_CLIENT_TEST].name,
			    json_pack("{s:s*,s:I}", member, which, "timeout_ms",
				      (json_int_t)timeout_ms),
			    timeout_ms + CTL_GRACE_MS, ret_result, error);
}

int explain_command(struct ctl *c, struct command_input *in)
{
	const char *which = in->arg_count > 0 ? in->args[0] : NULL;
	bool client = which == NULL || strncmp(in->command->name, "client", 6) == 0 ||
		      (ctl_is_id(which) && which[0] == 'c');
	struct rpc_error error;
	json_t *result;
	int status = ctl_connect(c), rv;

	if (status != 0)
		return status;
	rv = explain_try(c, client ? "client" : "mapping", which, &result, &error);
	if (rv != 0 && !client && !ctl_is_id(which) && error.code == -RSTUN_E_NOT_FOUND) {
		struct rpc_error second;

		rv = explain_try(c, "client", which, &result, &second);
		if (rv != 0 && second.code != -RSTUN_E_NOT_FOUND)
			error = second;
	}
	if (rv != 0)
		return ctl_complain(c, &error);
	status = explain_show(c, result);
	json_decref(result);
	return status;
}
