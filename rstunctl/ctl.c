/* SPDX-License-Identifier: MIT */
/*
 * The program: options, connection, errors. Everything that a sub-command does goes through here to
 * the daemon.
 */
#include "rstunctl/ctl.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "rpc/api_types.h"
#include "rpc/rpc_message.h"
#include "rstunctl/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CTL_ROW(of_type, its_name, member, its_help, ...)                                          \
	{                                                                                          \
		.name = its_name, .type = FIELD_##of_type,                                         \
		.offset = offsetof(struct ctl_options, member), .help = its_help, __VA_ARGS__      \
	}

static const struct field ctl_fields[] = {
	CTL_ROW(STRING, "socket", socket,
		"The control socket of the daemon. Without it: $RSTUN_SOCKET, "
		"$XDG_RUNTIME_DIR/rstund/rstund.sock, /run/rstund/rstund.sock.",
		.argument = "PATH"),
	CTL_ROW(BOOL, "json", json, "Show the daemon's result as it is; errors are JSON, too."),
	CTL_ROW(CHOICE, "output", output, "How lists are shown; tsv has no headings.",
		.short_name = 'o', .flags = FIELD_OPTIONAL, .choices = output_format_names,
		.argument = "FORMAT"),
	CTL_ROW(CHOICE, "color", color, "Colours: auto is on a terminal, unless NO_COLOR is set.",
		.choices = output_color_names, .default_text = "auto", .argument = "WHEN"),
	CTL_ROW(BOOL, "quiet", quiet, "Say nothing but results that were asked for, and errors.",
		.short_name = 'q'),
	CTL_ROW(BOOL, "verbose", verbose, "Say who answers, with versions.", .short_name = 'v'),
	CTL_ROW(MS, "timeout", timeout_ms,
		"Give up after so long; with a unit: 500ms, 10s, 5m, 2h.",
		.flags = FIELD_OPTIONAL, .unit = "ms", .argument = "TIME", .min = 1,
		.max = 86400000),
	CTL_ROW(BOOL, "help", help, "Show this text.", .short_name = 'h'),
	CTL_ROW(BOOL, "version", version, "Show versions.", .short_name = 'V'),
};

const struct field_rows ctl_rows = {
	.name = "GlobalOptions", .rows = ctl_fields,
	.count = sizeof(ctl_fields) / sizeof(ctl_fields[0]), .size = sizeof(struct ctl_options),
};

/* ---- Errors ---------------------------------------------------------------------------------- */

/* The "error" member of a reply that says it, on one line. */
static void ctl_complain_json(const struct ctl *c, const struct rpc_error *error)
{
	size_t bytes;
	char *line = rpc_message_error(NULL, error, NULL, &bytes);
	json_t *reply = line != NULL ? json_loadb(line, bytes, 0, NULL) : NULL;

	if (reply != NULL) {
		json_dumpf(json_object_get(reply, "error"), c->err, JSON_COMPACT);
		fputc('\n', c->err);
	}
	json_decref(reply);
	free(line);
}

int ctl_complain(const struct ctl *c, const struct rpc_error *error)
{
	char text[2 * FIELD_ERROR_SIZE], hint[1024];

	fflush(c->out); /* so that both stand in their order where they go to one place */
	if (c->options.json) {
		ctl_complain_json(c, error);
		return (int)rpc_caller_exit(error);
	}
	fprintf(c->err, "rstunctl: %s\n", output_clean(text, sizeof(text), error->message));
	if (error->hint[0] != '\0')
		fprintf(c->err, "hint: %s\n", output_clean(hint, sizeof(hint), error->hint));
	else if (error->code == RPC_METHOD_NOT_FOUND)
		fprintf(c->err, "hint: the daemon is older than this rstunctl: 'rstunctl version' "
				"shows both\n");
	if (c->options.verbose && error->kind[0] != '\0')
		fprintf(c->err, "kind: %s\n", output_clean(text, sizeof(text), error->kind));
	return (int)rpc_caller_exit(error);
}

int ctl_usage(const struct ctl *c, const char *format, ...)
{
	struct rpc_error error;
	char text[FIELD_ERROR_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	rpc_error_set(&error, RPC_INVALID_PARAMS, "%s", text);
	ctl_complain(c, &error);
	return RPC_EXIT_USAGE;
}

int ctl_fail(const struct ctl *c, int rstun_error, const char *format, ...)
{
	struct rpc_error error;
	char text[FIELD_ERROR_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	rpc_error_from(&error, rstun_error, "%s", text);
	return ctl_complain(c, &error);
}

int ctl_no_memory(const struct ctl *c)
{
	return ctl_fail(c, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
}

void ctl_note(const struct ctl *c, const char *format, ...)
{
	va_list args;

	if (c->options.quiet)
		return;
	fflush(c->out);
	fputs("rstunctl: ", c->err);
	va_start(args, format);
	vfprintf(c->err, format, args);
	va_end(args);
	fputc('\n', c->err);
}

/* ---- The connection -------------------------------------------------------------------------- */

static bool ctl_named(const struct ctl *c)
{
	return (c->env.option != NULL && c->env.option[0] != '\0') ||
	       (c->env.variable != NULL && c->env.variable[0] != '\0');
}

static bool ctl_is_default(const char *path)
{
	const char *name = strrchr(path, '/');

	return name != NULL && strcmp(name + 1, UNIX_SOCKET_NAME) == 0;
}

/* Several daemons and none named: a change is refused. */
static int ctl_ambiguous(const struct ctl *c, char *const *paths, size_t count)
{
	char text[FIELD_ERROR_SIZE];
	size_t used = (size_t)snprintf(text, sizeof(text), "%zu daemons run here: say which one is "
							   "meant with --socket:", count);

	for (size_t i = 0; i < count && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
					 c->options.json ? " " : "\n  ", paths[i]);
	if (c->options.json)
		return ctl_usage(c, "%s", text);
	/* Not through ctl_complain, which would take the newlines out. */
	fprintf(c->err, "rstunctl: %s\n", text);
	return RPC_EXIT_USAGE;
}

/*
 * With several daemons, which one is meant must be said before anything is changed; what only reads
 * goes to the one at the usual path, else to the first. One alone is meant wherever it is.
 */
static int ctl_choose(struct ctl *c)
{
	const char *chosen = NULL;
	char **paths = NULL;
	size_t count = 0;
	int status = 0;

	if (ctl_named(c) || unix_socket_live(&paths, &count, &c->env) != 0)
		return 0;
	for (size_t i = 0; i < count && chosen == NULL; i++)
		if (ctl_is_default(paths[i]))
			chosen = paths[i];
	if (chosen == NULL && count > 0) {
		/* unix_socket_connect does not try it by itself. */
		free(c->found);
		c->found = strdup(paths[0]);
		c->env.option = chosen = c->found;
	}
	if (count > 1 && c->change) {
		status = ctl_ambiguous(c, paths, count);
	} else if (count > 1 && chosen != NULL) {
		ctl_note(c,
			 "%zu daemons run here, this is about %s; --socket names another:", count,
			 chosen);
		for (size_t i = 0; i < count && !c->options.quiet; i++)
			fprintf(c->err, "  %s\n", paths[i]);
	}
	unix_socket_live_free(paths);
	return status;
}

/* Who answers: said with -v, and before a change when its API is another one. *ret_error: it has too
 * many callers; code 0 = it has not. */
static int ctl_greet(struct ctl *c, struct rpc_error *ret_error)
{
	struct rpc_error error;
	json_t *info;
	uint64_t version;
	char text[128];

	ret_error->code = 0;
	if (!c->change && !c->options.verbose)
		return 0;
	if (rpc_caller_call(c->caller, rpc_methods[RPC_DAEMON_INFO].name, NULL,
			    ctl_timeout(c, CTL_TIMEOUT_MS), &info, &error) != 0) {
		if (error.code == -RSTUN_E_LIMIT_REACHED)
			*ret_error = error;
		return error.code == RPC_NO_DAEMON ? ctl_complain(c, &error) : 0;
	}
	version = output_number(info, "api_version");
	output_clean(text, sizeof(text), output_string(info, "version"));
	if (c->options.verbose)
		ctl_note(c, "this is %s (API %d); the daemon is %s (API %ju), pid %ju",
			 PACKAGE_VERSION, RPC_API_VERSION, text, (uintmax_t)version,
			 (uintmax_t)output_number(info, "pid"));
	else if (version != RPC_API_VERSION)
		ctl_note(c,
			 "warning: the daemon speaks API %ju and this rstunctl API %d: some things "
			 "may not work ('rstunctl version' shows both)",
			 (uintmax_t)version, RPC_API_VERSION);
	json_decref(info);
	return 0;
}

/* Many of us at once may be too many callers: those before us will be done in a moment. */
static bool ctl_wait_turn(struct ctl *c, uint64_t until_ns)
{
	const struct timespec rest = {
		.tv_nsec = (long)((10 + random_u64() % 40) * CLOCK_NS_PER_MS)};

	if (clock_now_ns() >= until_ns)
		return false;
	ctl_disconnect(c);
	nanosleep(&rest, NULL);
	return true;
}

int ctl_connect(struct ctl *c)
{
	uint64_t until_ns = clock_after(clock_now_ns(), clock_ms(ctl_timeout(c, CTL_BUSY_MS)));
	struct rpc_error error;
	int status;

	if (c->caller != NULL)
		return 0;
	status = ctl_choose(c);
	if (status != 0)
		return status;
	do {
		if (rpc_caller_open(&c->caller, &c->env, &error) != 0)
			return ctl_complain(c, &error);
		status = ctl_greet(c, &error);
	} while (error.code != 0 && ctl_wait_turn(c, until_ns));
	return error.code != 0 ? ctl_complain(c, &error) : status;
}

void ctl_disconnect(struct ctl *c)
{
	rpc_caller_free(c->caller);
	c->caller = NULL;
}

int ctl_try(struct ctl *c, const char *method, json_t *params, uint64_t timeout_ms,
	    json_t **ret_result, struct rpc_error *ret_error)
{
	if (c->caller == NULL) {
		json_decref(params);
		return rpc_error_set(ret_error, RPC_NO_DAEMON, "there is no connection");
	}
	return rpc_caller_call(c->caller, method, params, timeout_ms, ret_result, ret_error);
}

/* ---- What takes long ------------------------------------------------------------------------- */

static void ctl_on_wait(void *user, uint64_t waited_ms)
{
	struct ctl *c = user;

	fprintf(c->err, "\r\033[Kwaiting for the daemon, %ju s", (uintmax_t)waited_ms / 1000);
	fflush(c->err);
	c->waits = true;
}

int ctl_try_long(struct ctl *c, const char *method, json_t *params, uint64_t timeout_ms,
		 json_t **ret_result, struct rpc_error *ret_error)
{
	bool shown = c->caller != NULL && !c->options.quiet &&
		     c->output.format != OUTPUT_JSON && isatty(fileno(c->err));
	int rv;

	if (shown)
		rpc_caller_on_wait(c->caller, ctl_on_wait, c);
	rv = ctl_try(c, method, params, timeout_ms, ret_result, ret_error);
	if (shown)
		rpc_caller_on_wait(c->caller, NULL, NULL);
	if (c->waits) {
		fputs("\r\033[K", c->err);
		fflush(c->err);
	}
	c->waits = false;
	return rv;
}

int ctl_call(struct ctl *c, enum rpc_method method, json_t *params, uint64_t timeout_ms,
	     json_t **ret_result)
{
	struct rpc_error error;
	int status = ctl_connect(c);

	if (status != 0) {
		json_decref(params);
		return status;
	}
	if (ctl_try_long(c, rpc_methods[method].name, params, timeout_ms, ret_result, &error) != 0)
		return ctl_complain(c, &error);
	return 0;
}

uint64_t ctl_timeout(const struct ctl *c, uint64_t default_ms)
{
	return c->options.timeout_ms != UINT64_MAX ? c->options.timeout_ms : default_ms;
}

/* ---- Which one ------------------------------------------------------------------------------- */

bool ctl_is_id(const char *argument)
{
	size_t bytes = strlen(argument);

	return bytes > 1 && strchr("csm", argument[0]) != NULL && argument[1] != '.' &&
	       argument[bytes - 1] != '.' &&
	       argument[1 + strspn(argument + 1, "0123456789.")] == '\0';
}

json_t *ctl_which(const char *argument)
{
	return json_pack("{s:s}", ctl_is_id(argument) ? "id" : "name", argument);
}

/* ---- The program ----------------------------------------------------------------------------- */

/* Nothing more to say: was all of it taken? A reader that went away (head, less) is no error. */
static int ctl_flush(struct ctl *c, int status)
{
	bool failed = ferror(c->out) != 0;

	errno = 0;
	if (fflush(c->out) != 0)
		failed = true;
	if (!failed || status != 0)
		return status;
	if (errno == EPIPE)
		return 0;
	fprintf(c->err, "rstunctl: cannot write the output: %s\n",
		errno != 0 ? strerror(errno) : "it was not taken");
	return RPC_EXIT_REFUSED;
}

static int ctl_run(struct ctl *c, struct command_input *in)
{
	enum output_format format =
		c->options.output >= 0 ? (enum output_format)c->options.output : OUTPUT_TABLE;

	if (c->options.json)
		format = OUTPUT_JSON;
	c->options.json = format == OUTPUT_JSON;
	output_init(&c->output, c->out, format, (enum output_color)c->options.color);
	unix_socket_env_init(&c->env, c->options.socket);
	c->change = in->command->change ||
		    (in->command->method >= 0 && rpc_methods[in->command->method].change);
	return in->command->run(c, in);
}

int ctl_main(int argc, char **argv, FILE *out, FILE *err)
{
	struct ctl c = {.out = out, .err = err};
	struct command_input in = {.command = NULL};
	int status;

	if (field_set_defaults(ctl_rows.rows, ctl_rows.count, &c.options) != 0) {
		fprintf(err, "rstunctl: %s\n", rstun_strerror(RSTUN_E_NOMEM));
		return RPC_EXIT_REFUSED;
	}
	status = arguments_parse(&c, &in, argc, argv);
	if (status == 0 && in.command != NULL)
		status = ctl_run(&c, &in);
	ctl_disconnect(&c);
	free(c.found);
	arguments_free(&c, &in);
	field_free(ctl_rows.rows, ctl_rows.count, &c.options);
	return ctl_flush(&c, status);
}
