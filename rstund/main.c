/* SPDX-License-Identifier: MIT */
/*
 * rstund: reads the command line and runs what it says. The only file outside librstund.la.
 */
#include "base/log.h"
#include "quic/conn.h"
#include "rstund/command_line.h"
#include "rstund/daemon.h"
#include "rstund/password.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "ngtcp2 1.24.0 (static)" as version and linkage; without the bracket it is a shared library. */
static void main_ngtcp2(char version[32], char linkage[32])
{
	if (sscanf(quic_library_version(), "ngtcp2 %31s (%31[^)])", version, linkage) < 2)
		memcpy(linkage, "shared", sizeof("shared"));
}

/* Beside a role these are options of the role itself. */
static void main_overlay(struct command_line *line)
{
	const struct server_config *s = &line->server;
	const struct client_config *c = &line->client;
	struct daemon_config *d = &line->daemon;
	bool server = line->role == COMMAND_LINE_SERVER;

	if (line->role == COMMAND_LINE_NONE)
		return;
	d->workers = server ? s->workers : c->workers;
	d->loglevel = server ? s->loglevel : c->loglevel;
	d->ready_fd = server ? s->ready_fd : c->ready_fd;
	d->exit_on_failure = server ? s->exit_on_failure : c->exit_on_failure;
	free(d->state_dir);
	d->state_dir = NULL;
	if (server && s->state_dir != NULL)
		d->state_dir = strdup(s->state_dir);
	else if (!server && c->state_dir != NULL)
		d->state_dir = strdup(c->state_dir);
}

int main(int argc, char **argv)
{
	char ngtcp2_version[32] = "", ngtcp2_linkage[32] = "";
	struct command_line_about about = {
		.version = PACKAGE_VERSION,
		.ngtcp2_version = ngtcp2_version,
		.ngtcp2_linkage = ngtcp2_linkage,
	};
	struct command_line line;
	enum command_line_outcome outcome;
	struct daemon_params params = {.version = PACKAGE_VERSION};
	int status;

	main_ngtcp2(ngtcp2_version, ngtcp2_linkage);
	outcome = command_line_parse(&line, argc, argv, &about, &password_process_default, stdout,
				     stderr);
	if (outcome != COMMAND_LINE_RUN)
		return command_line_exit_status(outcome);
	params.config = &line.daemon;
	params.ngtcp2 = quic_library_version();
	params.given = line.daemon_given;
	params.server = line.role == COMMAND_LINE_SERVER ? &line.server : NULL;
	params.client = line.role == COMMAND_LINE_CLIENT ? &line.client : NULL;
	params.set = line.daemon.config_file != NULL ? &line.set : NULL;
	params.warnings = line.warnings;
	params.warning_count = line.warning_count;
	main_overlay(&line);
	status = daemon_run(&params);
	command_line_free(&line);
	return status;
}
