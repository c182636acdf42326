/* SPDX-License-Identifier: MIT */
/*
 * rstunctl's table and command line: that every method can be reached, that every row says what it
 * is, each way to write an option, what is refused with which words and status.
 */
#include "ctl_rig.h"

#include "rpc/api_types.h"
#include "rstunctl/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ctl ctl;
static struct command_input input;
static char *said;
static size_t said_bytes;

/* Parses a line; what was said is in `said`. */
static int parse(const char *line)
{
	static char copy[1024];
	char *words[32] = {(char *)"rstunctl"}, *save = NULL;
	int count = 1, status;
	FILE *err;

	free(said);
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok_r(copy, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save))
		words[count++] = word;
	err = open_memstream(&said, &said_bytes);
	ctl = (struct ctl){.out = err, .err = err};
	assert_int_equal(field_set_defaults(ctl_rows.rows, ctl_rows.count, &ctl.options), 0);
	status = arguments_parse(&ctl, &input, count, words);
	fclose(err);
	return status;
}

static void done(void)
{
	arguments_free(&ctl, &input);
	field_free(ctl_rows.rows, ctl_rows.count, &ctl.options);
}

/* The params that a line makes, as JSON. */
static void assert_params(const char *line, const char *json)
{
	char *text;

	if (parse(line) != 0)
		fail_msg("%s: %s", line, said);
	text = json_dumps(input.params, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, json);
	free(text);
	done();
}

static void assert_refused(const char *line, const char *words)
{
	assert_int_equal(parse(line), RPC_EXIT_USAGE);
	if (strstr(said, words) == NULL)
		fail_msg("%s: says \"%s\", not \"%s\"", line, said, words);
	done();
}

/* ---- The table ------------------------------------------------------------------------------- */

static bool reached(const char *method)
{
	for (const char *const *p = command_call_only; *p != NULL; p++)
		if (strcmp(*p, method) == 0)
			return true;
	for (size_t i = 0; i < command_count; i++)
		if ((commands[i].method >= 0 &&
		     strcmp(rpc_methods[commands[i].method].name, method) == 0) ||
		    (commands[i].more >= 0 &&
		     strcmp(rpc_methods[commands[i].more].name, method) == 0))
			return true;
	return false;
}

static void test_every_method_is_reached(void **state)
{
	(void)state;
	for (int i = 0; i < RPC_METHOD_COUNT; i++)
		if (!reached(rpc_methods[i].name))
			fail_msg("no sub-command for %s", rpc_methods[i].name);
	for (const char *const *p = command_call_only; *p != NULL; p++)
		assert_true(rpc_method_find(*p) >= 0);
}

static void test_rows_are_complete(void **state)
{
	(void)state;
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &commands[i];
		size_t bytes = strlen(c->name);

		assert_true(bytes > 0 && c->help[0] != '\0' && c->run != NULL);
		assert_int_equal(c->help[strlen(c->help) - 1], '.');
		assert_ptr_equal(command_find(c->name), c);
		assert_true(c->args_min <= c->args_max);
		assert_true((c->args_max == 0) == (c->arguments[0] == '\0'));
		assert_int_equal(strncmp(c->example, c->name, bytes), 0);
		if (c->method >= 0 && rpc_methods[c->method].change)
			assert_true(c->change);
		/* An example that does not work is worse than none. */
		if (strstr(c->example, "--password-file") == NULL &&
		    strchr(c->example, '>') == NULL) {
			char line[256];

			snprintf(line, sizeof(line), "%s", c->example);
			for (char *p = line; *p != '\0'; p++)
				if (*p == '\'')
					memmove(p, p + 1, strlen(p));
			if (parse(line) != 0)
				fail_msg("%s: %s", line, said);
			assert_ptr_equal(input.command, c);
			done();
		}
	}
}

static void test_options_are_unique_and_documented(void **state)
{
	struct command_option o[COMMAND_OPTIONS_MAX];

	(void)state;
	for (size_t i = 0; i < command_count; i++) {
		size_t count = command_options(o, &commands[i]);

		assert_true(count < COMMAND_OPTIONS_MAX);
		for (size_t j = 0; j < count; j++) {
			assert_non_null(o[j].row->help);
			if (o[j].row->type != FIELD_BOOL)
				assert_true(command_option_argument(&o[j])[0] != '\0');
			assert_true(o[j].row->type != FIELD_SECRET);
			for (size_t k = 0; k < j; k++) {
				if (strcmp(o[j].name, o[k].name) == 0)
					fail_msg("%s has --%s twice", commands[i].name, o[j].name);
				if (o[j].row->short_name != 0 && o[j].content == NULL &&
				    o[k].content == NULL &&
				    o[j].row->short_name == o[k].row->short_name)
					fail_msg("%s: -%c is --%s and --%s", commands[i].name,
						 o[j].row->short_name, o[k].name, o[j].name);
			}
		}
	}
}

/* ---- Options --------------------------------------------------------------------------------- */

static void test_ways_to_write_options(void **state)
{
	(void)state;
	assert_params("stop --drain-ms 10s", "{\"drain_ms\":10000}");
	assert_params("stop --drain=1m", "{\"drain_ms\":60000}");
	assert_params("stop --drain 250", "{\"drain_ms\":250}");
	assert_params("list --state=failed --client home",
		      "{\"client\":\"home\",\"state\":\"failed\"}");
	assert_params("list --sta failed", "{\"state\":\"failed\"}");
	assert_params("add out 9000 any --no-persist --name web --expires 2h",
		      "{\"expires_ms\":7200000,\"name\":\"web\",\"persist\":false}");
	assert_params("reload --dry-run", "{\"dry_run\":true}");
	assert_params("reload --dry-run=no", "{\"dry_run\":false}");
	assert_params("client set home --hop-interval-ms 10s --dns 1.1.1.1,9.9.9.9 --dns 8.8.8.8",
		      "{\"dns\":[\"1.1.1.1\",\"9.9.9.9\",\"8.8.8.8\"],\"hop_interval_ms\":10000}");
	assert_params("client set home --cipher aes-128-gcm --pin=",
		      "{\"cipher\":\"aes-128-gcm\",\"pin\":null}");
	assert_params("client set home --hop-interval-ms= --dns=",
		      "{\"dns\":null,\"hop_interval_ms\":null}");
	assert_params("client add h 192.0.2.1 --fwmark 0x10", "{\"fwmark\":16}");
	assert_params("log -f -n20 --level warn", "{}");
	assert_params("rm -- -x", "{}");
}

static void test_global_options_stand_anywhere(void **state)
{
	(void)state;
	assert_int_equal(parse("--socket /a -o wide list -q --timeout=5s --color never"), 0);
	assert_string_equal(ctl.options.socket, "/a");
	assert_int_equal(ctl.options.output, OUTPUT_WIDE);
	assert_int_equal(ctl.options.color, OUTPUT_NEVER);
	assert_true(ctl.options.quiet);
	assert_int_equal(ctl.options.timeout_ms, 5000);
	assert_string_equal(input.command->name, "list");
	done();
	assert_int_equal(parse("client --json list"), 0);
	assert_true(ctl.options.json);
	assert_string_equal(input.command->name, "client list");
	done();
	assert_int_equal(parse("log level debug --for 10m"), 0);
	assert_string_equal(input.command->name, "log level");
	assert_int_equal(input.arg_count, 1);
	done();
	assert_int_equal(parse("log -f"), 0);
	assert_string_equal(input.command->name, "log");
	done();
}

static void test_refused(void **state)
{
	(void)state;
	assert_refused("lst", "did you mean list?");
	assert_refused("remove m3", "did you mean rm?");
	assert_refused("clinet", "did you mean client");
	assert_refused("clinet list", "did you mean client");
	assert_refused("OUT^9000^ANY", "rstunctl add");
	assert_refused("list --stat failed --state paused", "given twice");
	assert_refused("list --sate failed", "did you mean --state?");
	assert_refused("list --frobnicate", "list has no option --frobnicate");
	assert_refused("--frobnicate list", "stand behind it");
	assert_refused("list -z", "unknown option -z");
	assert_refused("list --state nosuch", "--state: \"nosuch\" is not one of idle");
	assert_refused("stop --drain soon", "--drain: \"soon\" is not a number of milliseconds");
	assert_refused("list --client", "--client needs a value: CLIENT");
	assert_refused("rm", "rm needs an argument: rstunctl rm ID...");
	assert_refused("list m3", "unexpected \"m3\"");
	assert_refused("client add home 192.0.2.1 --password x",
		       "give --password-file FILE or --password-stdin");
	assert_refused("client add home 192.0.2.1 --password=x", "seen by everybody");
	assert_refused("client set home --proxy-auth u:p", "give --proxy-auth-file FILE");
	assert_refused("client set home --proxy-auth-file /nonexistent/auth",
		       "cannot read /nonexistent/auth");
	assert_refused("list --password x", "give --password-file FILE or --password-stdin");
	assert_refused("add out 1 any --wait 3x", "ms, s, m, h or d may stand behind the number");
	assert_refused("client add home 192.0.2.1 -p x", "unknown option -p");
	assert_refused("client add home 192.0.2.1 --password-file /nonexistent/pw",
		       "cannot read /nonexistent/pw");
	assert_refused("client", "Commands:");
	assert_refused("", "Usage: rstunctl");
	assert_refused("client add home 192.0.2.1 --quic", "--quic");
}

static void test_no_control_characters(void **state)
{
	(void)state;
	assert_refused("list\033[31m", "list\\x1b[31m");
	assert_refused("list --sta\033te x", "sta\\x1bte");
}

static void test_ids_and_names(void **state)
{
	static const char *const ids[] = {"m3", "c1", "s1", "s1.17", "m3.17"};
	static const char *const names[] = {"web", "m",	  "mx3", "m3x", "s",
					    "s.",  "s1.", "3",	 "c-1", ""};

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		assert_true(ctl_is_id(ids[i]));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_false(ctl_is_id(names[i]));
}

static void test_help(void **state)
{
	char line[128];

	(void)state;
	for (size_t i = 0; i < command_count; i++) {
		snprintf(line, sizeof(line), "%s --help", commands[i].name);
		assert_int_equal(ctl_rig_run(line), 0);
		assert_non_null(strstr(ctl_rig_out, commands[i].name));
		assert_non_null(strstr(ctl_rig_out, "--socket PATH"));
	}
	for (int i = 0; i < RPC_METHOD_COUNT; i++) {
		snprintf(line, sizeof(line), "help %s", rpc_methods[i].name);
		assert_int_equal(ctl_rig_run(line), 0);
		assert_non_null(strstr(ctl_rig_out, rpc_methods[i].example));
	}
	assert_int_equal(ctl_rig_run("help client"), 0);
	assert_non_null(strstr(ctl_rig_out, "client add NAME ADDR"));
	assert_int_equal(ctl_rig_run("help nosuch"), RPC_EXIT_USAGE);
	assert_int_equal(ctl_rig_run("--version"), 0);
	ctl_rig_forget();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_method_is_reached),
		cmocka_unit_test(test_rows_are_complete),
		cmocka_unit_test(test_options_are_unique_and_documented),
		cmocka_unit_test(test_ways_to_write_options),
		cmocka_unit_test(test_global_options_stand_anywhere),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_control_characters),
		cmocka_unit_test(test_ids_and_names),
		cmocka_unit_test(test_help),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(said);
	return failed;
}
