/* SPDX-License-Identifier: MIT */
/*
 * What comes after the options: the password of a role and the checks of the whole, or the file of
 * --config, whose errors are all printed. Main thread, before others start.
 */
#include "rstund/command_line_private.h"

#include "base/error.h"
#include "rstund/config_file.h"
#include "rstund/password.h"

#include <stdlib.h>
#include <string.h>

static void command_line_warn(void *user, const char *text)
{
	struct command_line *line = user;
	char **more = realloc(line->warnings, (line->warning_count + 1) * sizeof(*more));

	if (more == NULL)
		return;
	line->warnings = more;
	more[line->warning_count] = strdup(text);
	if (more[line->warning_count] != NULL)
		line->warning_count++;
}

static int command_line_check(struct command_line_parser *p, bool warn,
			      char error[FIELD_ERROR_SIZE])
{
	struct command_line *line = p->line;
	void (*call)(void *user, const char *text) = warn ? command_line_warn : NULL;

	return line->role == COMMAND_LINE_SERVER
		       ? server_config_check(&line->server, call, line, error)
		       : client_config_check(&line->client, call, line, error);
}

enum command_line_outcome command_line_complain(const struct command_line_parser *p, int rv,
						const char *error)
{
	const char *role = command_line_role_name(p->line->role);

	if (rv == RSTUN_E_CONFIG_INVALID)
		return command_line_usage(p, "%s", error);
	fprintf(p->err, "rstund%s%s: %s\n", role[0] != '\0' ? " " : "", role, error);
	return COMMAND_LINE_FAILED;
}

/* The role's own options that are the daemon's too. */
static int command_line_take_daemon(struct command_line *line)
{
	bool server = line->role == COMMAND_LINE_SERVER;
	const char *state_dir = server ? line->server.state_dir : line->client.state_dir;
	struct daemon_config *d = &line->daemon;

	d->workers = server ? line->server.workers : line->client.workers;
	d->loglevel = server ? line->server.loglevel : line->client.loglevel;
	d->ready_fd = server ? line->server.ready_fd : line->client.ready_fd;
	d->exit_on_failure = server ? line->server.exit_on_failure : line->client.exit_on_failure;
	d->state_dir = state_dir != NULL ? strdup(state_dir) : NULL;
	return state_dir != NULL && d->state_dir == NULL ? RSTUN_E_NOMEM : 0;
}

static void command_line_warn_shown(struct command_line *line, const char *option)
{
	char text[200];

	snprintf(text, sizeof(text), "--%s: the list of processes showed the password until now, "
				     "and the shell's history keeps it: use --%s-file",
		 option, option);
	command_line_warn(line, text);
}

/* Who may ask the client's SOCKS5 and HTTP listeners. */
static int command_line_proxy_auth(struct command_line_parser *p, char error[FIELD_ERROR_SIZE])
{
	struct client_config *c = &p->line->client;

	if (p->line->role != COMMAND_LINE_CLIENT)
		return 0;
	if (c->proxy_auth != NULL)
		command_line_warn_shown(p->line, "proxy-auth");
	if (c->proxy_auth_file == NULL)
		return 0;
	if (c->proxy_auth == NULL)
		return password_from_file(&c->proxy_auth, "proxy-auth-file", c->proxy_auth_file,
					  p->process, error);
	snprintf(error, FIELD_ERROR_SIZE,
		 "--proxy-auth and --proxy-auth-file are both given: give one of them");
	return RSTUN_E_CONFIG_INVALID;
}

/* The passwords, and the checks of the whole. */
static enum command_line_outcome command_line_complete_role(struct command_line_parser *p)
{
	struct command_line *line = p->line;
	bool server = line->role == COMMAND_LINE_SERVER;
	char **password = server ? &line->server.password : &line->client.password;
	const char *file = server ? line->server.password_file : line->client.password_file;
	char error[FIELD_ERROR_SIZE];
	int rv;

	_Static_assert(FIELD_ERROR_SIZE >= PASSWORD_ERROR_SIZE, "one buffer for both");
	if (*password != NULL)
		command_line_warn_shown(line, "password");
	rv = command_line_proxy_auth(p, error);
	if (rv == 0)
		rv = password_find(password, file, p->process, error);
	if (rv == 0 && *password == NULL && password_can_ask(p->process)) {
		/* Nobody wants to be asked for a password and then told that a mapping is wrong:
		 * all else is checked first, with a password that is none. */
		*password = strdup("?");
		rv = *password == NULL ? RSTUN_E_NOMEM : command_line_check(p, false, error);
		password_free(*password);
		*password = NULL;
		if (rv == 0)
			rv = password_ask(password, "Password: ", p->process, error);
	}
	if (rv == 0)
		rv = command_line_check(p, true, error);
	if (rv == 0 && command_line_take_daemon(line) != 0)
		rv = RSTUN_E_NOMEM;
	if (rv == RSTUN_E_NOMEM)
		return command_line_complain(p, rv, rstun_strerror(rv));
	return rv == 0 ? COMMAND_LINE_RUN : command_line_complain(p, rv, error);
}

/* The file of --config, with all that is wrong with it. */
static enum command_line_outcome command_line_load(struct command_line_parser *p)
{
	struct command_line *line = p->line;
	const char *file = line->daemon.config_file;
	char text[CONFIG_DIAGNOSTIC_SIZE];
	struct config_diagnostics diags;
	struct daemon_config given = line->daemon;
	int rv = config_file_load(&line->set, file, p->process, &diags);

	for (size_t i = 0; i < diags.error_count; i++)
		fprintf(p->err, "%s\n",
			config_diagnostic_format(text, sizeof(text), &diags.errors[i]));
	if (diags.more > 0)
		fprintf(p->err, "%s: and %zu more\n", file, diags.more);
	if (rv == RSTUN_E_NOMEM)
		fprintf(p->err, "%s: %s\n", file, rstun_strerror(rv));
	for (size_t i = 0; i < diags.warning_count; i++) {
		config_diagnostic_format(text, sizeof(text), &diags.warnings[i]);
		if (given.check_config)
			fprintf(p->err, "%s (warning)\n", text);
		else
			command_line_warn(line, text);
	}
	config_diagnostics_free(&diags);
	if (rv != 0)
		return COMMAND_LINE_FAILED;
	if (given.check_config) {
		fprintf(p->out, "%s: %zu client%s, %zu server%s, %zu mapping%s: ok\n", file,
			line->set.client_count, line->set.client_count == 1 ? "" : "s",
			line->set.server_count, line->set.server_count == 1 ? "" : "s",
			line->set.mapping_count, line->set.mapping_count == 1 ? "" : "s");
		return COMMAND_LINE_DONE;
	}
	/* The file's options below those of the command line. */
	line->daemon = line->set.daemon;
	rv = daemon_config_init(&line->set.daemon);
	if (rv == 0)
		rv = daemon_config_overlay(&line->set.daemon, &line->daemon,
					   line->set.daemon_given);
	if (rv == 0)
		rv = daemon_config_overlay(&line->daemon, &given, line->daemon_given);
	daemon_config_free(&given);
	return rv == 0 ? COMMAND_LINE_RUN : command_line_complain(p, rv, rstun_strerror(rv));
}

/* A command line without a role. */
static enum command_line_outcome command_line_complete_none(struct command_line_parser *p)
{
	const struct daemon_config *d = &p->line->daemon;

	/* It must not be seen by others though nobody here uses it. */
	if (password_forget_variable())
		command_line_warn(p->line, PASSWORD_VARIABLE " is not used without a role: write "
							     "password-file in the configuration");
	if (d->config_file != NULL)
		return command_line_load(p);
	if (d->check_config)
		return command_line_usage(p, "--check-config needs the file: --config FILE");
	return COMMAND_LINE_RUN;
}

enum command_line_outcome command_line_complete(struct command_line_parser *p)
{
	return p->line->role == COMMAND_LINE_NONE ? command_line_complete_none(p)
						  : command_line_complete_role(p);
}
