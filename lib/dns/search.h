/* SPDX-License-Identifier: MIT */
/*
 * Which full names a name may stand for: resolv.conf's search list and ndots, as resolv.conf(5)
 * describes. Ours because newer versions of c-ares do not tell their list, and because both
 * families must be asked of one full name before the next is tried (two hosts' addresses must not
 * mix).
 */
#pragma once

#include "base/address.h"

#include <stddef.h>

#define SEARCH_DOMAINS_MAX 6

struct search_list {
	size_t count; /* at least 1 for a valid name */
	char names[SEARCH_DOMAINS_MAX + 1][ADDRESS_NAME_MAX + 1];
};

/* The name itself, without the trailing dot. What is longer than a name can be is left out, here
 * and below. */
void search_list_single(struct search_list *ret, const char *name);
/* Full names in the order to try. A name that ends in a dot stands for itself only. */
void search_list_system(struct search_list *ret, const char *resolv_conf, const char *name);
