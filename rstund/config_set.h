/* SPDX-License-Identifier: MIT */
/*
 * What a configuration says, read and checked: the daemon's options, clients, servers and mappings,
 * each with the place where it stands. And what was found wrong with it. Plain data without
 * threads; whoever asked for it frees it, which wipes the passwords.
 */
#pragma once

#include "base/mapping.h"
#include "rstund/daemon_config.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_NAME_MAX 64 /* bytes of the name of a client, server or mapping */

/* Where something was said. */
struct config_origin {
	char *file; /* NULL: in a text that came without a name */
	unsigned line;
};

struct config_client {
	char *name;
	struct config_origin origin;
	struct client_config config; /* without mappings; mappings_optional is set */
};

struct config_server {
	char *name;
	struct config_origin origin;
	struct server_config config;
};

struct config_mapping {
	char *name;              /* NULL: of a client's tcp-mappings or udp-mappings */
	struct config_origin origin;
	char *client;            /* name of the client that it belongs to */
	struct mapping mapping;
	char *spec;              /* OUT^127.0.0.1:9000^ANY: the normal form */
	uint64_t expires_ms;     /* how long it lives; UINT64_MAX = for ever */
	bool paused;
};

struct config_set {
	struct daemon_config daemon;
	uint32_t daemon_given;   /* rows of daemon that the file sets: daemon_config_bit */
	struct config_client *clients;
	size_t client_count;
	struct config_server *servers;
	size_t server_count;
	struct config_mapping *mappings; /* in the order of the file */
	size_t mapping_count;
};

/* Empty, the daemon's options at their defaults. RSTUN_E_NOMEM. */
int config_set_init(struct config_set *set);
void config_set_free(struct config_set *set); /* members only; accepts NULL, and zeroes */

void config_client_done(struct config_client *c);
void config_server_done(struct config_server *s);
void config_mapping_done(struct config_mapping *m);

/* NULL when there is none of that name. */
const struct config_client *config_set_client(const struct config_set *set, const char *name);

/*
 * Whether this can be the name of a client, server or mapping: 1 to 64 of A-Z a-z 0-9 . _ -, the
 * first a letter, digit or _, and not like an id (c1, s1, m1). 0, or RSTUN_E_MALFORMED with a
 * sentence in `error` that does not begin with the name.
 */
int config_name_check(const char *name, char *error, size_t size);

/* NAME-9000: what that mapping of a range named `name` is called, after the port that it listens on.
 * malloc'ed. RSTUN_E_MALFORMED with a sentence in `error`, RSTUN_E_NOMEM. */
int config_range_name(char **ret, const char *name, const struct mapping *mapping, char *error,
		      size_t size);

/* ---- What is wrong -------------------------------------------------------------------------- */

#define CONFIG_DIAGNOSTICS_MAX 20
#define CONFIG_DIAGNOSTIC_SIZE 2048 /* of one as a line of text, as a rule */

struct config_diagnostic {
	int error;       /* RSTUN_E_CONFIG_INVALID, RSTUN_E_FILE_PERMISSIONS, RSTUN_E_NOT_FOUND,
			  * RSTUN_E_PERMISSION_DENIED, ...; 0 of a warning */
	char *file;      /* NULL: as in config_origin */
	unsigned line;   /* 0: the file as a whole */
	unsigned column; /* in characters from 1; 0: not known */
	char *key;       /* NULL: no single one */
	char *message;   /* a sentence; secrets never stand in it */
};

struct config_diagnostics {
	struct config_diagnostic errors[CONFIG_DIAGNOSTICS_MAX];
	size_t error_count;
	size_t more;     /* errors that were found and found no room */
	struct config_diagnostic warnings[CONFIG_DIAGNOSTICS_MAX];
	size_t warning_count;
};

void config_diagnostics_init(struct config_diagnostics *d);
void config_diagnostics_free(struct config_diagnostics *d); /* members only; accepts NULL */

/* Adds one; `error` 0 is a warning. The first that does not fit is counted. file and key may be
 * NULL. */
__attribute__((format(printf, 7, 8))) void
config_diagnostics_add(struct config_diagnostics *d, int error, const char *file, unsigned line,
		       unsigned column, const char *key, const char *format, ...);

/* "/etc/rstund/rstund.conf:12: server-addr: ...". Returns buf. */
const char *config_diagnostic_format(char *buf, size_t size, const struct config_diagnostic *d);
