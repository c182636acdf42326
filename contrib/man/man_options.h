/* SPDX-License-Identifier: MIT */
/*
 * Options of programs and keys of the configuration file, as mdoc source on standard output. One
 * thread.
 */
#pragma once

#include "base/field.h"

#include <stdbool.h>
#include <stddef.h>

/* Help, choices, default. `key`: in a configuration file, where options are named without dashes.
 */
void man_option_help(const struct field *row, bool key);

/* Lists under the headings of the rows' groups. */
void man_options(const struct field *rows, size_t count);
void man_keys(const struct field *rows, size_t count);

/* Names of the daemon's options that roles have, too. */
void man_options_beside(void);
