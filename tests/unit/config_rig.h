/* SPDX-License-Identifier: MIT */
/*
 * What tests of configuration files share: a directory for the files, what was read, and all that
 * was said about it as text. One thread.
 */
#pragma once

#include "rstund/config_file.h"

#include <stddef.h>
#include <sys/types.h>

/* Of the test that runs. */
struct config_rig {
	char directory[64];
	char path[128];                  /* rstund.conf in it */
	struct config_set set;           /* what was accepted last */
	struct config_diagnostics diags; /* of the last configuration */
	char said[8192]; /* its errors, then its warnings, a line each; files are named as in the
			  * directory */
};
extern struct config_rig config_rig;

/* Of each test. */
int config_rig_setup(void **state);
int config_rig_teardown(void **state);

/* Writes a file of the directory. */
void config_rig_write_bytes(const char *name, const char *text, size_t bytes, mode_t mode);
void config_rig_write(const char *name, const char *text); /* 0600 */

/* Reads rstund.conf, or a text. What config_file_load says. */
int config_rig_load(void);
int config_rig_parse(const char *text, size_t bytes);

/* Fails unless the text is right; unless it is wrong, and this is all that is said. */
void config_rig_right(const char *text);
void config_rig_wrong(const char *text, const char *want);
