/* SPDX-License-Identifier: MIT */
/*
 * The hosts file (hosts(5)), read anew for each lookup so that a change counts at once, and the
 * names of RFC 6761 section 6.3 that mean this machine.
 */
#pragma once

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>

/* Addresses that the file gives `name` (in any letters, a trailing dot ignored), with port 0; at
 * most `max`. 0 when the name or the file is not there. */
size_t hosts_lookup(const char *path, const char *name, struct address *ret, size_t max);

/* "localhost" and everything under ".localhost". */
bool hosts_is_localhost(const char *name);
/* ::1 and 127.0.0.1; max >= 2. */
size_t hosts_localhost(struct address *ret);
