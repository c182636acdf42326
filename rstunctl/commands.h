/* SPDX-License-Identifier: MIT */
/*
 * The functions of sub-commands and the rows of the options that they have beside those of their
 * methods. Each returns an exit status. Constant data and no state.
 */
#pragma once

#include "rstunctl/command.h"

/* generic.c: calls the method of the row once, or once for each word, and shows the result by its
 * rows or by columns. */
int generic_call(struct ctl *c, struct command_input *in);      /* no words */
int generic_each(struct ctl *c, struct command_input *in);      /* ids or names */
int generic_show(struct ctl *c, struct command_input *in);
/* Shows a result as --json, as a table where it is a list, or in full. */
int generic_print(struct ctl *c, enum rpc_method method, const json_t *result);
/* The columns that the list of a method is shown with; NULL = it has none. */
const struct output_column *generic_columns(enum rpc_method method, size_t *ret_count);
/* "done" and the like, on `out`, unless --quiet. */
__attribute__((format(printf, 2, 3))) void generic_say(const struct ctl *c, const char *format,
						       ...);

/* add.c */
extern const struct field_rows add_rows;
int add_command(struct ctl *c, struct command_input *in);
/* "m3 OUT^127.0.0.1:9000^ANY tcp" cleaned. Returns buf. */
const char *add_title(char *buf, size_t size, const json_t *mapping);

/* connect.c */
extern const struct field_rows connect_rows;
int connect_command(struct ctl *c, struct command_input *in);

/* run.c */
extern const struct field_rows run_rows;
int run_command(struct ctl *c, struct command_input *in);

/* mapping.c */
extern const struct field_rows mapping_all_rows;
extern const struct field_rows mapping_wait_rows;
int mapping_each(struct ctl *c, struct command_input *in);
int mapping_set(struct ctl *c, struct command_input *in);
int mapping_wait(struct ctl *c, struct command_input *in);

/* role.c */
int role_add(struct ctl *c, struct command_input *in);
int role_set(struct ctl *c, struct command_input *in);

/* apply.c */
extern const struct field_rows apply_rows;
extern const struct field_rows apply_export_rows;
int apply_command(struct ctl *c, struct command_input *in);
int apply_export(struct ctl *c, struct command_input *in);

/* status.c */
extern const struct field_rows status_rows;
int status_command(struct ctl *c, struct command_input *in);
int status_info(struct ctl *c, struct command_input *in);
int status_version(struct ctl *c, struct command_input *in);

/* call.c */
extern const struct field_rows call_metrics_rows;
int call_command(struct ctl *c, struct command_input *in);
int call_discover(struct ctl *c, struct command_input *in);
int call_metrics(struct ctl *c, struct command_input *in);
int call_config_get(struct ctl *c, struct command_input *in);
int call_config_check(struct ctl *c, struct command_input *in);
int call_reload(struct ctl *c, struct command_input *in);
int call_stop(struct ctl *c, struct command_input *in);

/* stats.c */
extern const struct field_rows stats_flows_rows;
int stats_command(struct ctl *c, struct command_input *in);
int stats_flows(struct ctl *c, struct command_input *in);

/* tail.c */
extern const struct field_rows tail_rows;
extern const struct field_rows tail_level_rows;
int tail_command(struct ctl *c, struct command_input *in);
int tail_level(struct ctl *c, struct command_input *in);

/* events.c, top.c, explain.c, completion.c, help.c */
extern const struct field_rows events_rows;
int events_command(struct ctl *c, struct command_input *in);
extern const struct field_rows top_rows;
int top_command(struct ctl *c, struct command_input *in);
int explain_command(struct ctl *c, struct command_input *in);
int completion_command(struct ctl *c, struct command_input *in);
int help_command(struct ctl *c, struct command_input *in);
