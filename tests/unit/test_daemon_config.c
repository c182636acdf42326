/* SPDX-License-Identifier: MIT */
/*
 * The options of the daemon as a whole: sound rows, defaults, what is refused, which rows belong
 * beside a role and in the file, and that the command line wins where it says something.
 */
#include "base/error.h"
#include "rstund/control/log_sink.h"
#include "rstund/daemon_config.h"
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct daemon_config config;
static char error[FIELD_ERROR_SIZE];

static int setup(void **state)
{
	(void)state;
	return daemon_config_init(&config);
}

static int teardown(void **state)
{
	(void)state;
	daemon_config_free(&config);
	daemon_config_free(NULL);
	return 0;
}

static const struct field *row(const char *name)
{
	return field_find(daemon_config_fields, daemon_config_field_count, name);
}

static int set(const char *name, const char *text)
{
	assert_non_null(row(name));
	return field_set(row(name), &config, text, error);
}

static void test_rows_are_sound(void **state)
{
	const struct field *rows = daemon_config_fields;

	(void)state;
	for (size_t i = 0; i < daemon_config_field_count; i++) {
		assert_true(rows[i].help[strlen(rows[i].help) - 1] == '.');
		assert_true(i > 0 || rows[i].group != NULL);
		assert_int_equal(rows[i].type == FIELD_BOOL, rows[i].argument == NULL);
		assert_int_equal(rows[i].type == FIELD_CHOICE, rows[i].choices != NULL);
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(rows[i].name, rows[j].name);
			assert_true(rows[i].offset != rows[j].offset);
		}
		/* Beside a role there must be no two options of a name or a letter. */
		if (!daemon_config_beside_role(&rows[i]))
			continue;
		assert_int_equal(rows[i].short_name, 0);
		assert_null(field_find(server_config_fields, server_config_field_count,
				       rows[i].name));
		assert_null(field_find(client_config_fields, client_config_field_count,
				       rows[i].name));
	}
}

static void test_defaults(void **state)
{
	(void)state;
	assert_null(config.config_file);
	assert_null(config.socket);
	assert_int_equal(config.workers, 0);
	assert_int_equal(config.loglevel, LOG_LEVEL_INFO);
	assert_int_equal(config.log_format, LOG_SINK_AUTO);
	assert_int_equal(config.drain_ms, 5000);
	assert_true(config.ready_fd == UINT64_MAX);
	assert_false(config.flow_log || config.exit_on_failure || config.check_config);
}

static void test_values(void **state)
{
	char path[200];

	(void)state;
	assert_int_equal(set("log-format", "JSON"), 0);
	assert_int_equal(config.log_format, LOG_SINK_JSON);
	assert_int_equal(set("log-format", "xml"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--log-format: \"xml\" is not one of auto, text, journal, json");
	assert_int_equal(set("drain-ms", "1m"), 0);
	assert_int_equal(config.drain_ms, 60000);
	memset(path, 'a', sizeof(path));
	path[107] = '\0';
	assert_int_equal(set("socket", path), 0);
	path[107] = 'a';
	path[108] = '\0';
	assert_int_equal(set("socket", path), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--socket: the path is 108 bytes long: at most 107 fit into the "
				   "address of a socket");
	assert_int_equal(set("admin-group", "adm"), 0);
	assert_int_equal(set("admin-group", "1000"), 0);
	assert_int_equal(set("monitor-group", "a,b"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--monitor-group: \"a,b\" is not the name or number of one "
				   "group");
	assert_int_equal(set("workers", "257"), RSTUN_E_MALFORMED);
}

static void test_where_rows_belong(void **state)
{
	(void)state;
	assert_true(daemon_config_beside_role(row("socket")));
	assert_true(daemon_config_beside_role(row("flow-log")));
	assert_false(daemon_config_beside_role(row("config")));
	assert_false(daemon_config_beside_role(row("workers")));
	assert_true(daemon_config_in_file(row("workers")));
	assert_true(daemon_config_in_file(row("exit-on-failure")));
	assert_false(daemon_config_in_file(row("config")));
	assert_false(daemon_config_in_file(row("check-config")));
	assert_false(daemon_config_in_file(row("ready-fd")));
}

static void test_overlay(void **state)
{
	struct daemon_config line;

	(void)state;
	assert_int_equal(daemon_config_init(&line), 0);
	assert_int_equal(set("socket", "/of/file"), 0);
	assert_int_equal(set("workers", "3"), 0);
	assert_int_equal(set("drain-ms", "1s"), 0);
	assert_int_equal(field_set(row("socket"), &line, "/of/line", error), 0);
	assert_int_equal(field_set(row("flow-log"), &line, "yes", error), 0);
	assert_int_equal(field_set(row("ready-fd"), &line, "7", error), 0);
	assert_int_equal(daemon_config_overlay(&config, &line,
					       daemon_config_bit(row("socket")) |
						       daemon_config_bit(row("flow-log")) |
						       daemon_config_bit(row("workers")) |
						       daemon_config_bit(row("ready-fd"))),
			 0);
	assert_string_equal(config.socket, "/of/line");
	assert_true(config.flow_log);
	assert_int_equal(config.workers, 0); /* said, though it is the default */
	assert_int_equal(config.drain_ms, 1000);
	assert_int_equal(config.ready_fd, 7);
	daemon_config_free(&line);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_rows_are_sound), T(test_defaults), T(test_values), T(test_where_rows_belong),
		T(test_overlay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
