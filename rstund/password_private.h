/* SPDX-License-Identifier: MIT */
/*
 * Between password.c and password_ask.c: what a password may be, and how a failure is said.
 */
#pragma once

#include "rstund/password.h"

#include <stddef.h>

#define PASSWORD_MAX 1024 /* bytes; CONFIG_PASSWORD_MAX */

/* Formats `error` and returns rv. */
__attribute__((format(printf, 3, 4))) int password_fail(char error[PASSWORD_ERROR_SIZE], int rv,
							const char *format, ...);

/* Checks and copies; `where` opens the sentence. RSTUN_E_CONFIG_INVALID, RSTUN_E_NOMEM. */
int password_accept(char **ret, const char *where, const char *text, size_t bytes,
		    char error[PASSWORD_ERROR_SIZE]);
