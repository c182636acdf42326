/* SPDX-License-Identifier: MIT */
/*
 * call, discover, metrics, config, reload, stop: what is near to the API itself.
 */
#include "base/error.h"
#include "base/file.h"
#include "rpc/api_types.h"
#include "rstunctl/call_params.h"
#include "rstunctl/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct call_metrics_options {
	char *write;
};

static const struct field call_metrics_fields[] = {
	{.name = "write", .type = FIELD_STRING,
	 .offset = offsetof(struct call_metrics_options, write), .argument = "FILE",
	 .help = "Write them to FILE in one go: whoever reads it sees all of the old or all of the "
		 "new."},
};

const struct field_rows call_metrics_rows = {
	.name = "MetricsOptions", .rows = call_metrics_fields, .count = 1,
	.size = sizeof(struct call_metrics_options),
};

/* ---- call ------------------------------------------------------------------------------------ */

/* The whole params as JSON: the word itself, @FILE, or - for standard input. */
static int call_object(struct ctl *c, const char *word, json_t **ret)
{
	struct rpc_error error;
	json_error_t why;
	char *text = NULL;
	json_t *params;

	if (word[0] == '@' || strcmp(word, "-") == 0) {
		if (call_params_file(&text, word[0] == '@' ? word + 1 : word, CALL_FILE_MAX,
				     &error) != 0)
			return ctl_complain(c, &error);
		word = text;
	}
	params = json_loads(word, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why); /* NUL: its no */
	call_params_wipe(text);
	if (!json_is_object(params)) {
		if (params != NULL)
			snprintf(why.text, sizeof(why.text), "it is no object {...}");
		json_decref(params);
		return ctl_usage(c,
				 "the parameters cannot be read as JSON: %s (line %d, column %d)",
				 why.text, why.line, why.column);
	}
	*ret = params;
	return 0;
}

static int call_words(struct ctl *c, const struct rpc_method_row *method, char **args, size_t count,
		      json_t **ret)
{
	char error[FIELD_ERROR_SIZE];
	json_t *params;

	if (count == 1 && (args[0][strspn(args[0], " \t\r\n")] == '{' || args[0][0] == '@' ||
			   strcmp(args[0], "-") == 0))
		return call_object(c, args[0], ret);
	params = json_object();
	if (params == NULL)
		return ctl_no_memory(c);
	for (size_t i = 0; i < count; i++) {
		if (call_params_pair(params, method, args[i], error) != 0) {
			json_decref(params);
			return ctl_usage(c, "%s", error);
		}
	}
	*ret = params;
	return 0;
}

/* How long the daemon itself was told to wait, at most. */
static uint64_t call_waits(const json_t *params)
{
	uint64_t timeout_ms = output_number(params, "timeout_ms");
	uint64_t wait_ms = output_number(params, "wait_ms");

	return timeout_ms > wait_ms ? timeout_ms : wait_ms;
}

int call_command(struct ctl *c, struct command_input *in)
{
	const char *name = in->args[0];
	int method = rpc_method_find(name), status;
	struct rpc_error error;
	json_t *params = NULL, *result;

	status = call_words(c, method >= 0 ? &rpc_methods[method] : NULL, in->args + 1,
			    in->arg_count - 1, &params);
	if (status != 0)
		return status;
	c->change = method < 0 || rpc_methods[method].change;
	status = ctl_connect(c);
	if (status != 0) {
		json_decref(params);
		return status;
	}
	if (ctl_try_long(c, name, json_incref(params),
			 ctl_timeout(c, CTL_TIMEOUT_MS + call_waits(params)), &result,
			 &error) != 0) {
		const char *near = method < 0 ? rpc_method_suggest(name) : NULL;

		if (error.code == RPC_METHOD_NOT_FOUND && error.hint[0] == '\0' && near != NULL)
			rpc_error_hint(&error, "did you mean %s?", near);
		else if (error.code == RPC_METHOD_NOT_FOUND && error.hint[0] == '\0' && method < 0)
			rpc_error_hint(&error, "'rstunctl discover' shows all methods");
		json_decref(params);
		return ctl_complain(c, &error);
	}
	json_decref(params);
	output_json(&c->output, result);
	json_decref(result);
	return 0;
}

int call_discover(struct ctl *c, struct command_input *in)
{
	json_t *result;
	int status = ctl_call(c, RPC_DISCOVER, NULL, ctl_timeout(c, CTL_TIMEOUT_MS), &result);

	(void)in;
	if (status != 0)
		return status;
	output_json(&c->output, result);
	json_decref(result);
	return 0;
}

/* ---- metrics --------------------------------------------------------------------------------- */

/* Beside the file, then in its place: a reader never sees half of it. */
static int call_write(struct ctl *c, const char *path, const char *text)
{
	char beside[4200];
	int fd, err = 0;

	snprintf(beside, sizeof(beside), "%s.XXXXXX", path);
	fd = mkstemp(beside);
	if (fd < 0) {
		err = errno;
		return ctl_fail(c, RSTUN_E_FAILED, "cannot make a file beside %s: %s", path,
				strerror(err));
	}
	if (file_write_all(fd, text, strlen(text)) != 0)
		err = errno;
	/* Metrics are no secret, and whoever collects them is somebody else. */
	if (err == 0 && fchmod(fd, 0644) != 0)
		err = errno;
	if (close(fd) != 0 && err == 0)
		err = errno;
	if (err == 0 && rename(beside, path) != 0)
		err = errno;
	if (err == 0)
		return 0;
	unlink(beside);
	return ctl_fail(c, RSTUN_E_FAILED, "cannot write %s: %s", path, strerror(err));
}

int call_metrics(struct ctl *c, struct command_input *in)
{
	const struct call_metrics_options *options = in->own;
	json_t *result;
	int status = ctl_call(c, RPC_METRICS_GET, NULL, ctl_timeout(c, CTL_TIMEOUT_MS), &result);

	if (status != 0)
		return status;
	if (options->write != NULL)
		status = call_write(c, options->write, output_string(result, "text"));
	else if (c->output.format == OUTPUT_JSON)
		output_json(&c->output, result);
	else
		fputs(output_string(result, "text"), c->out);
	json_decref(result);
	return status;
}

/* ---- config, reload, stop -------------------------------------------------------------------- */

int call_config_get(struct ctl *c, struct command_input *in)
{
	json_t *result;
	int status = ctl_call(c, RPC_CONFIG_GET, NULL, ctl_timeout(c, CTL_TIMEOUT_MS), &result);

	(void)in;
	if (status != 0)
		return status;
	if (c->output.format == OUTPUT_JSON) {
		output_json(&c->output, result);
	} else {
		/* Nested names and values: JSON is the clearest that there is. */
		json_dumpf(json_object_get(result, "config"), c->out, JSON_INDENT(2));
		fputc('\n', c->out);
	}
	json_decref(result);
	return 0;
}

static void call_diagnostics(const struct ctl *c, const char *file, const json_t *list)
{
	char path[512], key[128], message[1024], hint[512], line[32];
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item) {
		const char *of = output_string(item, "file");
		const json_t *number = json_object_get(item, "line");

		line[0] = '\0';
		if (json_is_integer(number))
			snprintf(line, sizeof(line), ":%" PRIu64, output_number(item, "line"));
		output_clean(path, sizeof(path), of[0] != '\0' ? of : file);
		output_clean(key, sizeof(key), output_string(item, "key"));
		output_clean(message, sizeof(message), output_string(item, "message"));
		output_clean(hint, sizeof(hint), output_string(item, "hint"));
		fprintf(c->out, "%s%s: %s%s%s\n", path, line, key, key[0] != '\0' ? ": " : "",
			message);
		if (hint[0] != '\0')
			fprintf(c->out, "hint: %s\n", hint);
	}
}

int call_config_check(struct ctl *c, struct command_input *in)
{
	struct rpc_error error;
	json_t *result, *params;
	char *text;
	bool ok;
	int status;

	if (call_params_file(&text, in->args[0], CALL_FILE_MAX, &error) != 0)
		return ctl_complain(c, &error);
	params = json_pack("{s:s}", "text", text);
	call_params_wipe(text); /* there may be a password in it */
	if (params == NULL)
		return ctl_usage(c, "%s is no UTF-8", in->args[0]);
	status = ctl_call(c, RPC_CONFIG_CHECK, params, ctl_timeout(c, CTL_TIMEOUT_MS), &result);
	if (status != 0)
		return status;
	ok = output_flag(result, "ok");
	if (c->output.format == OUTPUT_JSON) {
		output_json(&c->output, result);
	} else {
		call_diagnostics(c, in->args[0], json_object_get(result, "diagnostics"));
		if (ok)
			generic_say(c, "ok: %" PRIu64 " clients, %" PRIu64 " servers, %" PRIu64
				       " mappings", output_number(result, "clients"),
				    output_number(result, "servers"),
				    output_number(result, "mappings"));
	}
	json_decref(result);
	return ok ? 0 : RPC_EXIT_REFUSED;
}

static void call_changes(const struct ctl *c, const json_t *result, const char *member, char sign)
{
	char text[512];
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(result, member), i, item)
		generic_say(c, "%c %s", sign, output_clean(text, sizeof(text),
							   json_is_string(item)
								   ? json_string_value(item)
								   : "?"));
}

int call_reload(struct ctl *c, struct command_input *in)
{
	json_t *result, *warning;
	char text[1024];
	size_t i;
	int status = ctl_call(c, RPC_DAEMON_RELOAD, json_incref(in->params),
			      ctl_timeout(c, CTL_TIMEOUT_MS), &result);

	if (status != 0)
		return status;
	if (c->output.format == OUTPUT_JSON) {
		output_json(&c->output, result);
	} else {
		call_changes(c, result, "added", '+');
		call_changes(c, result, "changed", '~');
		call_changes(c, result, "removed", '-');
		generic_say(c, "%s%" PRIu64 " unchanged",
			    output_flag(result, "dry_run") ? "nothing was done; " : "",
			    output_number(result, "unchanged"));
		json_array_foreach(json_object_get(result, "warnings"), i, warning) {
			const char *said = json_string_value(warning);

			ctl_note(c, "warning: %s",
				 output_clean(text, sizeof(text), said != NULL ? said : "?"));
		}
	}
	json_decref(result);
	return 0;
}

int call_stop(struct ctl *c, struct command_input *in)
{
	uint64_t flows;
	char time[32];
	json_t *result;
	int status = ctl_call(c, RPC_DAEMON_SHUTDOWN, json_incref(in->params),
			      ctl_timeout(c, CTL_TIMEOUT_MS), &result);

	if (status != 0)
		return status;
	flows = output_number(result, "flows");
	if (c->output.format == OUTPUT_JSON)
		output_json(&c->output, result);
	else if (flows > 0)
		generic_say(c, "rstund ends: %" PRIu64 " flow%s may go on for %s", flows,
			    flows == 1 ? "" : "s",
			    output_ms(time, sizeof(time), output_number(result, "drain_ms")));
	else
		generic_say(c, "rstund ends");
	json_decref(result);
	return 0;
}
