/* SPDX-License-Identifier: MIT */
/*
 * client add|set, server add|set: options are those of the role, files are sent as contents.
 */
#include "base/error.h"
#include "rpc/api_types.h"
#include "rstunctl/commands.h"

#include <string.h>

/* "home": what is behind "client": "client" or "server". */
static const char *role_word(const struct command_input *in)
{
	return strncmp(in->command->name, "client", 6) == 0 ? "client" : "server";
}

/* Puts `to` wherever `from` stands in the message. */
static void role_replace(struct rpc_error *error, const char *from, const char *to)
{
	char text[FIELD_ERROR_SIZE];
	const char *at;

	for (const char *rest = error->message; (at = strstr(rest, from)) != NULL;) {
		size_t before = (size_t)(at - error->message);

		snprintf(text, sizeof(text), "%.*s%s%s", (int)before, error->message, to,
			 at + strlen(from));
		snprintf(error->message, sizeof(error->message), "%s", text);
		rest = error->message + before + strlen(to);
	}
}

/* The daemon speaks of its options and of the API's members: here they have other names. */
static void role_reword(struct rpc_error *error, const json_t *params)
{
	if (json_object_get(params, "password") == NULL &&
	    strstr(error->message, "a password is needed") != NULL)
		snprintf(error->message, sizeof(error->message),
			 "a password is needed: give --password-file FILE or --password-stdin");
	role_replace(error, "cert_pem", "--cert");
	role_replace(error, "key_pem", "--key");
}

static int role_call(struct ctl *c, struct command_input *in, json_t *params, json_t **ret_result)
{
	const char *method = rpc_methods[in->command->method].name;
	struct rpc_error error;
	int status = ctl_connect(c);

	if (status == 0 && ctl_try_long(c, method, json_incref(params),
					ctl_timeout(c, CTL_TIMEOUT_MS), ret_result, &error) != 0) {
		role_reword(&error, params);
		status = ctl_complain(c, &error);
	}
	json_decref(params);
	return status;
}

/* "c1 home", "s1 front: listening on 0.0.0.0:3515" */
static void role_say(struct ctl *c, const json_t *role, const char *what)
{
	const char *bound = output_string(role, "runtime.bound");
	const char *state = output_string(role, "runtime.state");
	const char *error = output_string(role, "runtime.last_error.message");
	const char *pin = output_string(role, "runtime.pin");
	char text[1024], clean[1100];

	snprintf(text, sizeof(text), "%s %s: %s%s%s%s%s%s%s%s%s", output_string(role, "id"),
		 output_string(role, "name"), what, state[0] != '\0' ? ", " : "", state,
		 bound[0] != '\0' ? " on " : "", bound, error[0] != '\0' ? ": " : "", error,
		 pin[0] != '\0' ? ", pin " : "", pin);
	generic_say(c, "%s", output_clean(clean, sizeof(clean), text));
}

/*
 * Shows what became of a role. A server that cannot listen is there all the same and tried again:
 * the exit status is that of its error.
 */
static int role_show(struct ctl *c, const json_t *result, const json_t *role, const char *what)
{
	const char *kind = output_string(role, "runtime.last_error.kind");
	const struct rpc_error_row *row = rpc_error_find(kind);
	char id[64], name[128], message[512];
	struct rpc_error error;
	bool failed = strcmp(output_string(role, "runtime.state"), "failed") == 0;

	if (c->output.format == OUTPUT_JSON)
		output_json(&c->output, result);
	else if (!failed)
		role_say(c, role, what);
	if (!failed)
		return 0;
	output_clean(id, sizeof(id), output_string(role, "id"));
	output_clean(name, sizeof(name), output_string(role, "name"));
	output_clean(message, sizeof(message), output_string(role, "runtime.last_error.message"));
	rpc_error_set(&error, row != NULL ? row->code : -RSTUN_E_FAILED,
		      "%s %s: %s, but failed: %s; it stays and is tried again", id, name, what,
		      message);
	if (c->output.format == OUTPUT_JSON)
		return (int)rpc_caller_exit(&error);
	rpc_error_hint(&error, "'rstunctl server show %s' shows how it is, 'rstunctl server rm %s' "
			       "gives it up", id, id);
	return ctl_complain(c, &error);
}

int role_add(struct ctl *c, struct command_input *in)
{
	bool client = strcmp(role_word(in), "client") == 0;
	json_t *params = json_incref(in->params), *result;
	int status;

	if (json_object_set_new(params, "name", json_string(in->args[0])) != 0 ||
	    json_object_set_new(params, client ? "server_addr" : "addr",
				json_string(in->args[1])) != 0) {
		json_decref(params);
		return ctl_usage(c, "name and address have to be UTF-8");
	}
	status = role_call(c, in, params, &result);
	if (status != 0)
		return status;
	status = role_show(c, result, json_object_get(result, role_word(in)),
			   output_flag(result, "created") ? "added" : "it was there already");
	json_decref(result);
	return status;
}

int role_set(struct ctl *c, struct command_input *in)
{
	json_t *params = ctl_which(in->args[0]), *result;
	int status;

	if (json_object_size(in->params) == 0) {
		json_decref(params);
		return ctl_usage(c, "%s: nothing to change is given; try 'rstunctl help %s'",
				 in->command->name, in->command->name);
	}
	if (params == NULL || json_object_update(params, in->params) != 0) {
		json_decref(params);
		return ctl_no_memory(c);
	}
	status = role_call(c, in, params, &result);
	if (status != 0)
		return status;
	status = role_show(c, result, result, "changed");
	json_decref(result);
	return status;
}
