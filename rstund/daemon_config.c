/* SPDX-License-Identifier: MIT */
/*
 * The daemon's options as rows, with their checks, and which of them belong where. Paths and groups
 * are checked for their form only: whether a group exists is known when the socket is opened.
 */
#include "rstund/daemon_config.h"

#include "base/error.h"
#include "base/log.h"
#include "rstund/control/log_sink.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define DAEMON_CONFIG_DAY_MS UINT64_C(86400000)
#define DAEMON_CONFIG_WORKERS_MAX 256 /* as of the roles */
#define DAEMON_CONFIG_GROUP_MAX 64
#define DAEMON_CONFIG_PATH_MAX 4096
#define DAEMON_CONFIG_SOCKET_MAX ((int)sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

static const char *const daemon_config_loglevels[] = {"T", "D", "I", "W", "E", NULL};

static const char *const daemon_config_log_formats[] = {
	[LOG_SINK_AUTO] = "auto",
	[LOG_SINK_TEXT] = "text",
	[LOG_SINK_JOURNAL] = "journal",
	[LOG_SINK_JSON] = "json",
	NULL,
};

static int daemon_config_check_socket(void *config, char *error, size_t size)
{
	const char *path = ((struct daemon_config *)config)->socket;

	if (path == NULL || strlen(path) <= (size_t)DAEMON_CONFIG_SOCKET_MAX)
		return 0;
	snprintf(error, size, "the path is %zu bytes long: at most %d fit into the address of a "
			      "socket", strlen(path), DAEMON_CONFIG_SOCKET_MAX);
	return RSTUN_E_MALFORMED;
}

static int daemon_config_check_group(const char *group, char *error, size_t size)
{
	char quoted[161];

	/* What getgrnam(3) finds may be named in many ways, but never like this. */
	if (group == NULL || group[strcspn(group, ":, \t\r\n")] == '\0')
		return 0;
	snprintf(error, size, "\"%s\" is not the name or number of one group",
		 log_quote(quoted, sizeof(quoted), group, strlen(group)));
	return RSTUN_E_MALFORMED;
}

static int daemon_config_check_admin_group(void *config, char *error, size_t size)
{
	return daemon_config_check_group(((struct daemon_config *)config)->admin_group, error,
					 size);
}

static int daemon_config_check_monitor_group(void *config, char *error, size_t size)
{
	return daemon_config_check_group(((struct daemon_config *)config)->monitor_group, error,
					 size);
}

const struct field daemon_config_fields[] = {
	{
		.name = "config", .type = FIELD_STRING, .flags = FIELD_CLI_ONLY | FIELD_FILE,
		.offset = offsetof(struct daemon_config, config_file),
		.max = DAEMON_CONFIG_PATH_MAX, .argument = "FILE", .group = "Configuration",
		.help = "Run the clients, servers and mappings of this file. Without it the daemon "
			"starts empty, and rstunctl fills it.",
	},
	{
		.name = "check-config", .type = FIELD_BOOL, .flags = FIELD_CLI_ONLY,
		.offset = offsetof(struct daemon_config, check_config),
		.help = "Only check the file of --config, and say all that is wrong with it.",
	},
	{
		.name = "socket", .type = FIELD_STRING,
		.offset = offsetof(struct daemon_config, socket), .max = DAEMON_CONFIG_PATH_MAX,
		.argument = "PATH", .check = daemon_config_check_socket, .group = "Control",
		.help = "The control socket. Without it: $RSTUN_SOCKET, /run/rstund/rstund.sock "
			"for root, $XDG_RUNTIME_DIR/rstund/rstund.sock for others.",
	},
	{
		.name = "admin-group", .type = FIELD_STRING,
		.offset = offsetof(struct daemon_config, admin_group),
		.max = DAEMON_CONFIG_GROUP_MAX, .argument = "GROUP",
		.check = daemon_config_check_admin_group,
		.help = "Members of this group may use the control socket, as root and the "
			"daemon's own user may.",
	},
	{
		.name = "monitor-group", .type = FIELD_STRING,
		.offset = offsetof(struct daemon_config, monitor_group),
		.max = DAEMON_CONFIG_GROUP_MAX, .argument = "GROUP",
		.check = daemon_config_check_monitor_group,
		.help = "Members of this group may read, but change nothing, on a second socket "
			"rstund-ro.sock.",
	},
	{
		.name = "workers", .short_name = 'w', .type = FIELD_UINT,
		.offset = offsetof(struct daemon_config, workers), .max = DAEMON_CONFIG_WORKERS_MAX,
		.default_text = "0", .argument = "N", .group = "Running",
		.help = "Number of worker threads; 0 is one for each core.",
	},
	{
		.name = "state-dir", .type = FIELD_STRING,
		.offset = offsetof(struct daemon_config, state_dir), .max = DAEMON_CONFIG_PATH_MAX,
		.argument = "DIR",
		.help = "Where generated keys and what was added at run time are kept. Without it: "
			"$STATE_DIRECTORY, /var/lib/rstund for root, $XDG_STATE_HOME/rstund for "
			"others.",
	},
	{
		.name = "drain-ms", .type = FIELD_MS,
		.offset = offsetof(struct daemon_config, drain_ms), .max = DAEMON_CONFIG_DAY_MS,
		.default_text = "5000", .argument = "MS", .unit = "ms",
		.help = "When told to end, let open connections finish for so long; 0 cuts them at "
			"once.",
	},
	{
		.name = "exit-on-failure", .type = FIELD_BOOL,
		.offset = offsetof(struct daemon_config, exit_on_failure),
		.help = "End with status 1 when a listener or a mapping fails, instead of trying "
			"again.",
	},
	{
		.name = "ready-fd", .type = FIELD_UINT, .flags = FIELD_CLI_ONLY | FIELD_OPTIONAL,
		.offset = offsetof(struct daemon_config, ready_fd), .max = INT_MAX,
		.argument = "N",
		.help = "Write a line to descriptor N, and close it, when everything is up.",
	},
	{
		.name = "loglevel", .short_name = 'l', .type = FIELD_CHOICE,
		.offset = offsetof(struct daemon_config, loglevel),
		.choices = daemon_config_loglevels, .default_text = "I", .argument = "LEVEL",
		.group = "Log",
		.help = "How much to log: trace, debug, info, warnings or errors only.",
	},
	{
		.name = "log-format", .type = FIELD_CHOICE,
		.offset = offsetof(struct daemon_config, log_format),
		.choices = daemon_config_log_formats, .default_text = "auto",
		.argument = "FORMAT",
		.help = "Lines on standard error: text, the journal's (a level before each line), "
			"or an object of JSON each. auto is the journal's under systemd, else "
			"text.",
	},
	{
		.name = "flow-log", .type = FIELD_BOOL,
		.offset = offsetof(struct daemon_config, flow_log),
		.help = "Log a line for each connection and UDP peer when it is over: who, where "
			"to, bytes, duration, why it ended.",
	},
};

const size_t daemon_config_field_count =
	sizeof(daemon_config_fields) / sizeof(daemon_config_fields[0]);

_Static_assert(sizeof(daemon_config_fields) / sizeof(daemon_config_fields[0]) <=
		       DAEMON_CONFIG_ROWS_MAX,
	       "sets of rows are 32 bits");

static bool daemon_config_is_one_of(const struct field *row, const char *const *names)
{
	for (; *names != NULL; names++)
		if (strcmp(row->name, *names) == 0)
			return true;
	return false;
}

bool daemon_config_beside_role(const struct field *row)
{
	static const char *const names[] = {"socket", "admin-group", "monitor-group", "drain-ms",
					    "log-format", "flow-log", NULL};

	return daemon_config_is_one_of(row, names);
}

bool daemon_config_in_file(const struct field *row)
{
	return (row->flags & FIELD_CLI_ONLY) == 0;
}

int daemon_config_init(struct daemon_config *c)
{
	memset(c, 0, sizeof(*c));
	return field_set_defaults(daemon_config_fields, daemon_config_field_count, c);
}

int daemon_config_overlay(struct daemon_config *to, const struct daemon_config *from, uint32_t rows)
{
	char text[DAEMON_CONFIG_PATH_MAX + 1], error[FIELD_ERROR_SIZE];

	for (size_t i = 0; i < daemon_config_field_count; i++) {
		const struct field *row = &daemon_config_fields[i];

		if ((rows & daemon_config_bit(row)) != 0 &&
		    field_set(row, to, field_get(row, from, text, sizeof(text)), error) != 0)
			return RSTUN_E_NOMEM; /* it was accepted once */
	}
	return 0;
}

void daemon_config_free(struct daemon_config *c)
{
	if (c != NULL)
		field_free(daemon_config_fields, daemon_config_field_count, c);
}
