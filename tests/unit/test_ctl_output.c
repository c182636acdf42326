/* SPDX-License-Identifier: MIT */
/*
 * rstunctl: how results look: clean text, units, times, tables on and off a terminal, colours,
 * bars, event lines, where a stream begins, the screen of top, the completion scripts.
 */
#include "rstunctl/commands.h"
#include "rstunctl/completion.h"
#include "rstunctl/describe.h"
#include "rstunctl/event_line.h"
#include "rstunctl/event_since.h"
#include "rstunctl/output.h"
#include "rstunctl/sparkline.h"
#include "rstunctl/top_model.h"

#include "base/utf8.h"
#include "rpc/api_types.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *text;
static size_t bytes;

static struct output output_begin(enum output_format format, enum output_color color)
{
	struct output o;

	free(text);
	output_init(&o, open_memstream(&text, &bytes), format, color);
	o.wall_us = INT64_C(1763806272345000); /* 2025-11-22T10:11:12.345Z */
	return o;
}

static void output_end(struct output *o)
{
	fclose(o->to);
}

/* ---- Text ------------------------------------------------------------------------------------ */

static void assert_clean(const char *from, size_t size, const char *expected)
{
	char buf[64];

	assert_true(size <= sizeof(buf));
	assert_string_equal(output_clean(buf, size, from), expected);
}

static void test_clean(void **state)
{
	(void)state;
	assert_clean("say \"hi\" \\o/", 64, "say \"hi\" \\o/");
	assert_clean("a\033[31mb\n\x7f", 64, "a\\x1b[31mb\\x0a\\x7f");
	assert_clean("gr\xc3\xbc\xc3\x9f", 64, "gr\xc3\xbc\xc3\x9f");
	assert_clean("\xff\xc3", 64, "\\xff\\xc3");
	assert_clean("\xc2\x9b", 64, "\\xc2\\x9b");             /* CSI of the other set */
	assert_clean("a\xe2\x80\xae" "b", 64, "a\\xe2\\x80\\xaeb"); /* writes to the left */
	assert_clean("12345678", 9, "12345678");
	assert_clean("123456789", 9, "12345...");
	assert_clean("1234\n6789", 9, "1234...");
	assert_clean("\n", 5, "\\x0a");
	assert_clean("", 1, "");
}

static void test_units(void **state)
{
	char buf[32];

	(void)state;
	assert_string_equal(output_bytes(buf, sizeof(buf), 0), "0 B");
	assert_string_equal(output_bytes(buf, sizeof(buf), 1023), "1023 B");
	assert_string_equal(output_bytes(buf, sizeof(buf), 1024), "1.0 KiB");
	assert_string_equal(output_bytes(buf, sizeof(buf), 1536 * 1024), "1.5 MiB");
	assert_string_equal(output_bytes(buf, sizeof(buf), 200.0 * 1024 * 1024), "200 MiB");
	assert_string_equal(output_ms(buf, sizeof(buf), 23), "23 ms");
	assert_string_equal(output_ms(buf, sizeof(buf), 1550), "1.5 s");
	assert_string_equal(output_ms(buf, sizeof(buf), 59999), "59 s");
	assert_string_equal(output_ms(buf, sizeof(buf), 192000), "3m 12s");
	assert_string_equal(output_ms(buf, sizeof(buf), 7500000), "2h 5m");
	assert_string_equal(output_ms(buf, sizeof(buf), UINT64_C(4) * 86400000 + 3 * 3600000),
			    "4d 3h");
}

static void test_times(void **state)
{
	int64_t us = 0;

	(void)state;
	assert_true(output_parse_time(&us, "1970-01-01T00:00:00Z"));
	assert_int_equal(us, 0);
	assert_true(output_parse_time(&us, "2025-11-22T10:11:12.345Z"));
	assert_int_equal(us, INT64_C(1763806272345000));
	assert_true(output_parse_time(&us, "2024-02-29T23:59:59.9Z"));
	assert_int_equal(us, INT64_C(1709251199900000));
	assert_false(output_parse_time(&us, "2024-02-29 23:59:59Z"));
	assert_false(output_parse_time(&us, "2024-02-29T23:59:59+01:00"));
	assert_false(output_parse_time(&us, "2024-13-29T23:59:59Z"));
	assert_false(output_parse_time(&us, ""));
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static const struct output_column columns[] = {
	{"ID", "id", OUTPUT_TEXT, false, false},
	{"STATE", "runtime.state", OUTPUT_STATE, false, false},
	{"SINCE", "runtime.since", OUTPUT_SINCE, false, false},
	{"IN", "in", OUTPUT_SIZE, false, false},
	{"UP", "up", OUTPUT_YESNO, true, false},
	{"ERROR", "nothing|error", OUTPUT_TEXT, true, true},
};

static json_t *rows(void)
{
	return json_loads("[{\"id\":\"m1\",\"runtime\":{\"state\":\"tunneling\",\"since\":"
			  "\"2025-11-22T10:11:00.345Z\"},\"in\":2048,\"up\":true,\"error\":"
			  "\"a long text\\twith\\u001b[31m more than fits\"},"
			  "{\"id\":\"m10\",\"runtime\":{\"state\":\"failed\"}}]", 0, NULL);
}

static void table(struct output *o)
{
	json_t *list = rows();

	assert_true(output_table(o, columns, sizeof(columns) / sizeof(columns[0]), list));
	json_decref(list);
	output_end(o);
}

static void test_table(void **state)
{
	struct output o = output_begin(OUTPUT_TABLE, OUTPUT_AUTO);

	(void)state;
	table(&o);
	assert_string_equal(text, "ID   STATE      SINCE       IN\n"
				  "m1   tunneling   12 s  2.0 KiB\n"
				  "m10  failed         -        -\n");
	o = output_begin(OUTPUT_WIDE, OUTPUT_AUTO);
	table(&o);
	assert_non_null(strstr(text, "a long text\\x09with\\x1b[31m more than fits\n"));
	o = output_begin(OUTPUT_TSV, OUTPUT_AUTO);
	table(&o);
	assert_string_equal(text, "m1\ttunneling\t2025-11-22T10:11:00.345Z\t2048\tyes\t"
				  "a long text\\x09with\\x1b[31m more than fits\n"
				  "m10\tfailed\t\t\t\t\n");
}

/* How wide the widest line is. */
static size_t widest(void)
{
	size_t most = 0;

	for (const char *line = text; *line != '\0';) {
		size_t length = strcspn(line, "\n"), columns_of_it = utf8_count(line, length);

		most = columns_of_it > most ? columns_of_it : most;
		line += length + 1;
	}
	return most;
}

static void test_table_fits_the_terminal(void **state)
{
	struct output o = output_begin(OUTPUT_WIDE, OUTPUT_AUTO);

	(void)state;
	o.width = 60;
	table(&o);
	assert_int_equal(widest(), 60);
	assert_null(strstr(text, "more than fits"));
	assert_non_null(strstr(text, "…\n"));
	/* What is no prose is whole, whatever the terminal; prose keeps a little. */
	o = output_begin(OUTPUT_WIDE, OUTPUT_AUTO);
	o.width = 20;
	o.ascii = true;
	table(&o);
	assert_true(widest() > 20);
	assert_non_null(strstr(text, "m1   tunneling   12 s  2.0 KiB  yes  a long text\\x...\n"));
	o = output_begin(OUTPUT_TABLE, OUTPUT_AUTO);
	o.width = 20;
	table(&o);
	assert_non_null(strstr(text, "m1   tunneling   12 s  2.0 KiB\n"));
}

/* Of the real lists only texts for people may be cut: never a mapping, an address or a name. */
static void test_what_may_be_cut(void **state)
{
	static const char *const prose[] = {"ERROR", "SOFTWARE", "SUBJECT", "NAMES"};

	(void)state;
	for (int i = 0; i < RPC_METHOD_COUNT; i++) {
		size_t count = 0;
		const struct output_column *list = generic_columns((enum rpc_method)i, &count);

		for (size_t j = 0; list != NULL && j < count; j++) {
			bool is_prose = false;

			for (size_t k = 0; k < sizeof(prose) / sizeof(prose[0]); k++)
				is_prose = is_prose || strcmp(prose[k], list[j].title) == 0;
			assert_int_equal(list[j].cut, is_prose);
		}
	}
}

static void test_numbers(void **state)
{
	static const struct {
		double value;
		const char *expected;
	} cases[] = {{0, "0"}, {0.25, "0.2"}, {9.5, "9.5"}, {123.456, "123"}};
	struct output o = output_begin(OUTPUT_TABLE, OUTPUT_NEVER);
	json_t *stat = json_loads("{\"current_mtu\":1452,\"cwnd_bytes\":14520}", 0, NULL);
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *value = json_real(cases[i].value);

		output_value(buf, sizeof(buf), &o, OUTPUT_NUMBER, value, false);
		assert_string_equal(buf, cases[i].expected);
		json_decref(value);
	}
	describe_object(&o, &rpc_stat_rows, stat);
	json_decref(stat);
	output_end(&o);
	assert_non_null(strstr(text, "current mtu            1452 B\n"));
	assert_non_null(strstr(text, "cwnd                   14.2 KiB\n"));
}

static void test_colours(void **state)
{
	struct output o = output_begin(OUTPUT_TABLE, OUTPUT_ALWAYS);

	(void)state;
	table(&o);
	assert_non_null(strstr(text, "\033[32mtunneling"));
	assert_non_null(strstr(text, "\033[31mfailed"));
	o = output_begin(OUTPUT_TABLE, OUTPUT_NEVER);
	table(&o);
	assert_null(strchr(text, '\033'));
	/* What is no terminal gets none, whatever NO_COLOR says; it wins over a terminal, and
	 * --color=always over it. */
	setenv("NO_COLOR", "1", 1);
	o = output_begin(OUTPUT_TABLE, OUTPUT_AUTO);
	assert_false(o.color);
	output_end(&o);
	o = output_begin(OUTPUT_TABLE, OUTPUT_ALWAYS);
	assert_true(o.color);
	output_end(&o);
	unsetenv("NO_COLOR");
}

static void test_describe(void **state)
{
	struct output o = output_begin(OUTPUT_TABLE, OUTPUT_NEVER);
	json_t *mapping = json_loads(
		"{\"id\":\"m3\",\"spec\":\"OUT^1^ANY\",\"config\":{\"name\":\"w\\u001bb\"},"
		"\"runtime\":{\"state\":\"tunneling\",\"rtt_ms\":23,\"new_thing\":[1]},"
		"\"newer\":true}", 0, NULL);

	(void)state;
	describe_object(&o, &rpc_mapping_rows, mapping);
	json_decref(mapping);
	output_end(&o);
	assert_non_null(strstr(text, "id                     m3\n"));
	assert_non_null(strstr(text, "config\n  name                 w\\x1bb\n"));
	assert_non_null(strstr(text, "  rtt                  23 ms\n"));
	assert_non_null(strstr(text, "newer                  yes\n"));
}

/* ---- Bars ------------------------------------------------------------------------------------ */

static void test_sparkline(void **state)
{
	static const double values[] = {0, 1, 50, 100};
	static const double nothing[] = {0, 0};
	static const double holes[] = {1, NAN, 1};
	double many[100];
	char bars[SPARKLINE_SIZE];

	(void)state;
	assert_string_equal(sparkline_draw(bars, values, 4, 4, true), "_.=#");
	assert_string_equal(sparkline_draw(bars, values, 4, 4, false), "▁▂▅█");
	assert_string_equal(sparkline_draw(bars, values, 4, 6, true), "  _.=#");
	assert_string_equal(sparkline_draw(bars, values, 4, 2, true), "=#");
	assert_string_equal(sparkline_draw(bars, nothing, 2, 2, true), "__");
	assert_string_equal(sparkline_draw(bars, holes, 3, 3, true), "# #");
	assert_string_equal(sparkline_draw(bars, values, 0, 2, true), "  ");
	for (size_t i = 0; i < 100; i++)
		many[i] = (double)i;
	assert_int_equal(strlen(sparkline_draw(bars, many, 100, 100, false)), 3 * SPARKLINE_MAX);
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void test_event_lines(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	for (int i = 0; i < RPC_EVENT_TYPE_COUNT; i++) {
		struct output o = output_begin(OUTPUT_TABLE, OUTPUT_NEVER);
		json_t *event = json_loads(rpc_events[i].example, 0, NULL);

		event_line_print(&o, event);
		json_decref(event);
		output_end(&o);
		assert_int_equal(strncmp(text, "10:11:12.345 ", 13), 0);
		assert_int_equal(strncmp(text + 13, rpc_events[i].name, strlen(rpc_events[i].name)),
				 0);
		assert_true(strlen(text) > 25);
		assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	}
}

static void assert_event(const char *json, const char *expected)
{
	struct output o = output_begin(OUTPUT_TABLE, OUTPUT_NEVER);
	json_t *event = json_loads(json, 0, NULL);

	assert_non_null(event);
	event_line_print(&o, event);
	json_decref(event);
	output_end(&o);
	assert_string_equal(text, expected);
}

#define AT "\"timestamp\":\"2026-11-22T10:11:12.345Z\""

static void test_event_texts(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	assert_event("{" AT
		     ",\"type\":\"state\",\"data\":\"tunneling\",\"mapping\":\"m3\",\"name\":"
		     "\"web\",\"detail\":{\"prev\":\"connected\",\"took_ms\":23}}",
		     "10:11:12.345 state    m3 web: tunneling (was connected), after 23 ms\n");
	assert_event("{" AT ",\"type\":\"state\",\"data\":\"failed\",\"mapping\":\"m3\",\"detail\":"
		     "{\"prev\":\"connected\",\"error\":{\"kind\":\"auth_failed\",\"message\":"
		     "\"no\\u001b\"},"
		     "\"next_retry_ms\":60000}}",
		     "10:11:12.345 state    m3: failed (was connected): no\\x1b, next attempt in "
		     "1m 0s\n");
	assert_event("{" AT ",\"type\":\"log\",\"data\":\"a\\nb\",\"detail\":{\"level\":\"warn\","
		     "\"scope\":\"login\"}}",
		     "10:11:12.345 log      warn login: a\\x0ab\n");
	assert_event("{" AT ",\"type\":\"newer\",\"data\":{\"a\":\"\\u001b\"}}",
		     "10:11:12.345 newer    {\"a\":\"\\u001B\"}\n");
	assert_event("{}", "?                     \n");
}

static void test_since(void **state)
{
	static const char *const wrong[] = {"", "x", "-1", ":", ":5", "e:", "e:x", "5x",
					    "99999999999999999999", "e:99999999999999999999"};
	char error[EVENT_SINCE_ERROR_SIZE];
	struct event_since since;

	(void)state;
	assert_int_equal(event_since_parse(&since, "4711", error), 0);
	assert_int_equal(since.form, EVENT_SINCE_NUMBER);
	assert_int_equal(since.seq, 4711);
	assert_string_equal(since.epoch, "");
	assert_int_equal(event_since_parse(&since, "5m", error), 0);
	assert_int_equal(since.form, EVENT_SINCE_AGE);
	assert_int_equal(since.age_ms, 300000);
	assert_int_equal(event_since_parse(&since, "a:b-c:4711", error), 0);
	assert_int_equal(since.form, EVENT_SINCE_EPOCH);
	assert_string_equal(since.epoch, "a:b-c");
	assert_int_equal(since.seq, 4711);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_true(event_since_parse(&since, wrong[i], error) != 0);
		assert_int_equal(strncmp(error, "--since: ", 9), 0);
	}
}

/* ---- top ------------------------------------------------------------------------------------- */

static void top_stat(struct top_model *m, int second, int in, int sent, int lost)
{
	json_t *event = json_pack("{s:s,s:s,s:s,s:{s:i,s:i,s:i,s:i,s:i,s:i,s:i}}", "type", "stat",
				  "mapping", "m1", "timestamp", "", "data", "payload_in_bytes", in,
				  "payload_out_bytes", 0, "sent_packets", sent, "lost_packets",
				  lost,
				  "rtt_ms", 23, "cwnd_bytes", 14520, "active_conns", 2);
	char time[40];

	snprintf(time, sizeof(time), "2026-11-22T10:11:%02d.000Z", second);
	json_object_set_new(event, "timestamp", json_string(time));
	top_model_event(m, event);
	json_decref(event);
}

static void test_top_model(void **state)
{
	json_t *list =
		json_loads("{\"mappings\":[{\"id\":\"m1\",\"spec\":\"OUT^1^ANY\",\"config\":{"
			   "\"name\":\"a\\u001b\"},\"runtime\":{\"state\":\"tunneling\"}},"
			   "{\"id\":\"m2\",\"spec\":\"OUT^2^ANY\",\"runtime\":{\"state\":"
			   "\"failed\"}}]}",
			   0, NULL);
	struct top_model m;

	(void)state;
	top_model_init(&m);
	assert_true(top_model_mappings(&m, list));
	assert_int_equal(m.count, 2);
	assert_string_equal(m.mappings[0].title, "a\\x1b");
	assert_string_equal(m.mappings[1].title, "OUT^2^ANY");
	top_stat(&m, 10, 1000, 100, 0);
	assert_false(m.mappings[0].has_rate);
	top_stat(&m, 12, 5000, 200, 5);
	assert_true(m.mappings[0].has_rate);
	assert_true(fabs(m.mappings[0].in_rate - 2000) < 0.01);
	assert_true(fabs(m.mappings[0].loss - 5) < 0.01);
	/* A list in between keeps what is known; counters that went back are no rate. */
	assert_true(top_model_mappings(&m, list));
	assert_int_equal(m.mappings[0].history, 1);
	top_stat(&m, 13, 0, 0, 0);
	assert_true(m.mappings[0].in_rate < 0.01);
	for (int i = 14; i < 60; i++)
		top_stat(&m, i, i * 1000, i, 0);
	for (int i = 0; i < 200; i++)
		top_stat(&m, i % 60, i, i, 0);
	assert_true(m.mappings[0].history <= SPARKLINE_MAX);
	top_model_forget(&m);
	assert_false(m.mappings[0].has_rate);
	top_model_done(&m);
	json_decref(list);
}

static void test_top_draw(void **state)
{
	static const size_t widths[] = {40, 50, 60, 66, 70, 80, 100, 120, 200};
	json_t *all = json_object(), *list = json_array();
	struct top_model m;

	(void)state;
	for (int i = 0; i < 50; i++)
		json_array_append_new(
			list, json_pack("{s:s%,s:s,s:{s:s}}", "id", "m1", (size_t)2, "spec",
					"OUT^127.0.0.1:9000^a.very.long.name.example.com:443",
					"runtime", "state", "reconnecting"));
	json_object_set_new(all, "mappings", list);
	top_model_init(&m);
	top_model_mappings(&m, all);
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
		struct output o = output_begin(OUTPUT_TABLE, OUTPUT_NEVER);
		size_t lines = 0;

		o.width = widths[i];
		o.ascii = true;
		top_draw(&m, &o, 20, "");
		output_end(&o);
		for (const char *line = text; *line != '\0'; lines++) {
			size_t length = strcspn(line, "\n");

			assert_true(length <= widths[i]);
			line += length + 1;
		}
		assert_true(lines <= 20);
		assert_non_null(strstr(text, "1 to "));
	}
	top_model_done(&m);
	json_decref(all);
}

/* ---- Completion ------------------------------------------------------------------------------ */

static void test_completion(void **state)
{
	(void)state;
	for (const char *const *shell = completion_shells; *shell != NULL; shell++) {
		struct output o = output_begin(OUTPUT_TABLE, OUTPUT_NEVER);

		assert_true(completion_write(o.to, *shell));
		output_end(&o);
		assert_non_null(strstr(text, "client"));
		assert_non_null(strstr(text, "mapping.apply"));
		assert_non_null(strstr(text, "password-file"));
		assert_non_null(strstr(text, "tunneling"));
		/* zsh with extendedglob: no caret outside of quotes; there is none at all. */
		if (strcmp(*shell, "fish") != 0)
			assert_null(strchr(text, '^'));
	}
	assert_false(completion_write(stderr, "csh"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_fits_the_terminal),
		cmocka_unit_test(test_what_may_be_cut),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_colours),
		cmocka_unit_test(test_describe),
		cmocka_unit_test(test_sparkline),
		cmocka_unit_test(test_event_lines),
		cmocka_unit_test(test_event_texts),
		cmocka_unit_test(test_since),
		cmocka_unit_test(test_top_model),
		cmocka_unit_test(test_top_draw),
		cmocka_unit_test(test_completion),
	};
	int failed;

	setlocale(LC_CTYPE, "C.UTF-8");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(text);
	return failed;
}
