/* SPDX-License-Identifier: MIT */
/*
 * What there is (control/inventory.h) as the objects of the control API. Strings in the results are
 * malloc'ed: field_free with their rows. RSTUN_E_NOMEM: the object may be half filled and is still
 * to be freed. Main thread only.
 */
#pragma once

#include "rpc/api_types.h"
#include "rstund/control/inventory.h"

#include <jansson.h>

struct daemon;

int show_client(struct rpc_client *ret, const struct daemon *d, const struct held_client *c);
int show_server(struct rpc_server *ret, const struct daemon *d, const struct held_server *s);
int show_mapping(struct rpc_mapping *ret, const struct daemon *d, const struct held_mapping *m);
int show_session(struct rpc_session *ret, const struct held_session *s);
/* The engine's counters. */
void show_stat(struct rpc_stat *ret, const struct tunnel_counters *counters);
void show_failure(struct rpc_failure *ret, int error, const char *text);
/* Everything, as of now. */
int show_snapshot(struct rpc_snapshot *ret, const struct daemon *d);
/* Makes room for `count` zeroed structs of the rows' size. */
int show_array(struct field_array *ret, size_t count, size_t size);
/* RFC 3339, malloc'ed. */
char *show_time(int64_t wall_us);
/* Address as text, malloc'ed; NULL for none. */
char *show_address(const struct address *address);
/* Adds the mapping (as mapping.get shows it) to an error's data: for call_fail. NULL = no
 * memory. */
json_t *show_mapping_data(const struct daemon *d, const struct held_mapping *m);
/* Options of a role as its `config`: rows of client_config or server_config; complete after
 * show_init, which is called once before all else. */
void show_init(void);
extern struct field_rows show_client_config_rows, show_server_config_rows;
