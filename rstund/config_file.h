/* SPDX-License-Identifier: MIT */
/*
 * The configuration file, and a text in its form. Sections [daemon], [client NAME], [server NAME],
 * [mapping NAME]; keys are the long names of the options (config_ini.h says how lines are read).
 *
 * - A key of an option that can be given several times adds up; any other key is given once.
 * - [mapping NAME] has spec = MODE^local^remote, or mode, local and remote; proto, client (may be
 *   left out when there is one client), expires, paused. tcp-mappings and udp-mappings of a client
 *   become mappings without names.
 * - include = GLOB, in [daemon] or before the first section, reads these files in the order of
 *   their names. Relative paths, everywhere in a file, start at the file's directory.
 * - A password is `password`, `password-file`, the systemd credential NAME.password, or the
 *   credential "password", in this order. The environment and the terminal are not asked: a file is
 *   read again on reload.
 * - A file with a password in it that others can read is refused with the chmod to run. The group
 *   may read it if it belongs to root (0640 root:rstund): only root can give a file to that group.
 *
 * Everything that is wrong is told, not only the first thing. Main thread; blocking.
 */
#pragma once

#include "rstund/config_set.h"

#include <stddef.h>

struct password_process;

#define CONFIG_FILE_DEPTH_MAX 8   /* of files that include files */
#define CONFIG_FILE_COUNT_MAX 1000 /* files that one configuration consists of */

/*
 * Reads the file and what it includes. `process` may be NULL. *diags is made anew here and freed by
 * the caller in every case (config_diagnostics_free); warnings are there on success too. On success
 * *ret belongs to the caller (config_set_free). Otherwise the value of the first error, or
 * RSTUN_E_NOMEM.
 */
int config_file_load(struct config_set *ret, const char *path,
		     const struct password_process *process, struct config_diagnostics *diags);

/*
 * The same for a text that came over the control socket: no file is opened, so passwords in files
 * stay NULL, files are not looked for, and what would be included is missing.
 */
int config_file_parse_text(struct config_set *ret, const char *text, size_t bytes,
			   struct config_diagnostics *diags);

/* The keys of [mapping NAME], for documentation and completion. */
extern const struct field config_mapping_fields[];
extern const size_t config_mapping_field_count;
