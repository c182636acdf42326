/* SPDX-License-Identifier: MIT */
/*
 * How the rows of the control API are written down, and which row sets its files share. A row is
 * ROW(type, struct, name, member, help, further members...). Only for lib/rpc/api_*.c.
 */
#pragma once

#include "rpc/api.h"
#include "rpc/api_types.h"

#include <stddef.h>

#define ROW(of_type, tag, its_name, member, its_help, ...)                                         \
	{                                                                                          \
		.name = its_name, .type = FIELD_##of_type, .offset = offsetof(struct tag, member), \
		.help = its_help, __VA_ARGS__                                                      \
	}
#define ROWS(its_name, tag, array)                                                                 \
	{                                                                                          \
		.name = its_name, .rows = array, .count = sizeof(array) / sizeof((array)[0]),      \
		.size = sizeof(struct tag)                                                         \
	}
#define REQUIRED .flags = FIELD_REQUIRED
#define OPTIONAL .flags = FIELD_OPTIONAL
#define PRESENT(tag, member) .flags = FIELD_OPTIONAL, .present = offsetof(struct tag, member)
#define MS .unit = "ms", .argument = "MS"

#define API_DAY_MS 86400000
#define API_PARAM_TEXT_MAX (200 * 1024) /* of params: bytes; fits a request line */
#define API_TEXT_MAX (32 * 1024 * 1024) /* of results: bytes */

/* Params (api_params.c). */
extern const struct field_rows rpc_which_params_rows;
extern const struct field_rows rpc_cancel_params_rows;
extern const struct field_rows rpc_shutdown_params_rows;
extern const struct field_rows rpc_reload_params_rows;
extern const struct field_rows rpc_config_check_params_rows;
extern const struct field_rows rpc_client_add_params_rows;
extern const struct field_rows rpc_server_add_params_rows;
extern const struct field_rows rpc_role_set_params_rows;
extern const struct field_rows rpc_client_remove_params_rows;
extern const struct field_rows rpc_server_remove_params_rows;
extern const struct field_rows rpc_client_test_params_rows;
extern const struct field_rows rpc_channel_open_params_rows;
extern const struct field_rows rpc_drain_params_rows;
extern const struct field_rows rpc_mapping_add_params_rows;
extern const struct field_rows rpc_mapping_set_params_rows;
extern const struct field_rows rpc_mapping_remove_params_rows;
extern const struct field_rows rpc_mapping_apply_params_rows;
extern const struct field_rows rpc_mapping_confirm_params_rows;
extern const struct field_rows rpc_flow_list_params_rows;
extern const struct field_rows rpc_flow_kill_params_rows;
extern const struct field_rows rpc_set_level_params_rows;
extern const struct field_rows rpc_log_tail_params_rows;
extern const struct field_rows rpc_mapping_list_params_rows;
extern const struct field_rows rpc_mapping_wait_params_rows;
extern const struct field_rows rpc_session_list_params_rows;
extern const struct field_rows rpc_session_params_rows;
extern const struct field_rows rpc_stats_params_rows;
extern const struct field_rows rpc_cert_params_rows;
extern const struct field_rows rpc_subscribe_params_rows;
extern const struct field_rows rpc_unsubscribe_params_rows;
extern const struct field_rows rpc_next_params_rows;

/* Checks of methods: what no single row can say. */
int api_check_one(const char *id, const char *name, char *error, size_t error_size);
int api_check_which(const void *params, char *error, size_t error_size);
int api_check_wait(const void *params, char *error, size_t error_size);
int api_check_stats(const void *params, char *error, size_t error_size);
int api_check_role_set(const void *params, char *error, size_t error_size);
int api_check_role_remove(const void *params, char *error, size_t error_size);
int api_check_drain(const void *params, char *error, size_t error_size);
int api_check_mapping_add(const void *params, char *error, size_t error_size);
int api_check_mapping_set(const void *params, char *error, size_t error_size);
int api_check_mapping_remove(const void *params, char *error, size_t error_size);
int api_check_mapping_apply(const void *params, char *error, size_t error_size);
int api_check_flow_list(const void *params, char *error, size_t error_size);
int api_check_flow_kill(const void *params, char *error, size_t error_size);

/* Results (api_result.c). */
extern const struct field_rows rpc_daemon_info_rows;
extern const struct field_rows rpc_daemon_status_rows;
extern const struct field_rows rpc_ping_result_rows;
extern const struct field_rows rpc_shutdown_result_rows;
extern const struct field_rows rpc_level_result_rows;
extern const struct field_rows rpc_log_tail_result_rows;
extern const struct field_rows rpc_reload_result_rows;
extern const struct field_rows rpc_config_result_rows;
extern const struct field_rows rpc_config_check_result_rows;
extern const struct field_rows rpc_client_add_result_rows;
extern const struct field_rows rpc_client_test_result_rows;
extern const struct field_rows rpc_channel_open_result_rows;
extern const struct field_rows rpc_server_add_result_rows;
extern const struct field_rows rpc_mapping_add_result_rows;
extern const struct field_rows rpc_mapping_apply_result_rows;
extern const struct field_rows rpc_flow_list_rows;
extern const struct field_rows rpc_flow_kill_result_rows;
extern const struct field_rows rpc_client_list_rows;
extern const struct field_rows rpc_server_list_rows;
extern const struct field_rows rpc_mapping_list_rows;
extern const struct field_rows rpc_mapping_wait_result_rows;
extern const struct field_rows rpc_done_result_rows;
extern const struct field_rows rpc_session_list_rows;
extern const struct field_rows rpc_stats_result_rows;
extern const struct field_rows rpc_metrics_result_rows;
extern const struct field_rows rpc_cert_list_rows;
extern const struct field_rows rpc_cert_reload_result_rows;
extern const struct field_rows rpc_subscribe_result_rows;
extern const struct field_rows rpc_next_result_rows;

/* Objects (api_object.c). */
extern const struct field_rows rpc_state_counts_rows;
