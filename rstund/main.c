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
#include <string.h>

/* "ngtcp2 1.24.0 (static)" as version and linkage; without the bracket it is a shared library. */
static void main_ngtcp2(char version[32], char linkage[32])
{
	if (sscanf(quic_library_version(), "ngtcp2 %31s (%31[^)])", version, linkage) < 2)
		memcpy(linkage, "shared", sizeof("shared"));
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
	struct role_config role;
	struct daemon_params params = {.roles = &role, .role_count = 1, .version = PACKAGE_VERSION};
	bool server;
	int status;

	main_ngtcp2(ngtcp2_version, ngtcp2_linkage);
	outcome = command_line_parse(&line, argc, argv, &about, &password_process_default, stdout,
				     stderr);
	if (outcome != COMMAND_LINE_RUN)
		return command_line_exit_status(outcome);
	server = line.role == COMMAND_LINE_SERVER;
	role = (struct role_config){
		.server = server ? &line.server : NULL,
		.client = server ? NULL : &line.client,
	};
	params.level = (enum log_level)(server ? line.server.loglevel : line.client.loglevel);
	params.ready_fd = server ? line.server.ready_fd : line.client.ready_fd;
	params.exit_on_failure = server ? line.server.exit_on_failure : line.client.exit_on_failure;
	params.warnings = line.warnings;
	params.warning_count = line.warning_count;
	status = daemon_run(&params);
	command_line_free(&line);
	return status;
}
