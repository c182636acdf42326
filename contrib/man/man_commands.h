/* SPDX-License-Identifier: MIT */
/*
 * Sections of rstunctl(1), as mdoc source on standard output. One thread.
 */
#pragma once

void man_commands(void);        /* every sub-command: usage, help, options, example */
void man_command_globals(void); /* the options that stand anywhere */
