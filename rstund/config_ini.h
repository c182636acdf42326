/* SPDX-License-Identifier: MIT */
/*
 * An INI text as a sequence of sections and keys, by libinih. libinih splits lines into key, value
 * and comment; what it leaves open is decided here, in the reader that hands it the lines:
 *
 * - Handlers get the number of each line, and a section is told even if it is empty. Names of
 *   sections are not cut at 50 bytes.
 * - A line that does not fit libinih's buffer is an error, never two lines. Where the library lets
 *   its users choose (Debian's does), no line is too long.
 * - Blanks at the beginning of a line mean nothing (libinih would add the line to the value above).
 * - A byte-order mark and CRLF are accepted; NUL bytes are an error.
 *
 * So: `[SECTION]`, `KEY = VALUE` or `KEY: VALUE`, comments from ; or # at the beginning of a line,
 * or from ; after a blank. Quotes have no meaning. Main thread (libinih has global settings).
 */
#pragma once

#include <stddef.h>

#define CONFIG_INI_BYTES_MAX (4 * 1024 * 1024)

struct config_ini_ops {
	/* What stands between the brackets, without blanks around it. */
	void (*on_section)(void *user, unsigned line, const char *text);
	/* The value may be empty; both are borrowed. */
	void (*on_key)(void *user, unsigned line, const char *key, const char *value);
	/* A line that is nothing; column 0 = no certain one. */
	void (*on_error)(void *user, unsigned line, unsigned column, const char *message);
};

/* Reads the text to its end. RSTUN_E_NOMEM; RSTUN_E_TOO_LARGE beyond CONFIG_INI_BYTES_MAX. */
int config_ini_parse(const char *text, size_t bytes, const struct config_ini_ops *ops, void *user);
