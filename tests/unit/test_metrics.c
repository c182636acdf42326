/* SPDX-License-Identifier: MIT */
/*
 * The text for Prometheus, read by a strict parser of its format: every line is a HELP, a TYPE or a
 * sample, samples of a name stand together behind both, no series is there twice, labels are
 * escaped and come back as they were.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "rpc/api_types.h"
#include "rstund/control/metrics.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLES_MAX 4096
#define NAMES_MAX 256

struct sample {
	char series[512]; /* as it stands there */
	char value[32];
};

struct parsed {
	size_t name_count, sample_count;
	char names[NAMES_MAX][128]; /* in order */
	bool counters[NAMES_MAX];
	struct sample samples[SAMPLES_MAX];
};

static struct parsed parsed;

/* ---- The parser ------------------------------------------------------------------------------ */

/* [a-zA-Z_:][a-zA-Z0-9_:]* */
static size_t name_length(const char *p)
{
	size_t n = 0;

	if (isdigit((unsigned char)*p))
		return 0;
	while (isalnum((unsigned char)p[n]) || p[n] == '_' || p[n] == ':')
		n++;
	return n;
}

static const char *expect(const char *p, const char *text)
{
	if (strncmp(p, text, strlen(text)) != 0)
		fail_msg("\"%.60s\" does not begin with \"%s\"", p, text);
	return p + strlen(text);
}

/* Past `{a="b",c="d"}`. */
static const char *parse_labels(const char *p)
{
	char seen[METRICS_LABELS_MAX + 1][64];
	size_t count = 0;

	for (p = expect(p, "{"); *p != '}'; count++) {
		size_t n = name_length(p);

		if (count > 0) {
			p = expect(p, ",");
			n = name_length(p);
		}
		assert_true(n > 0 && n < sizeof(seen[0]));
		assert_true(count < METRICS_LABELS_MAX + 1);
		memcpy(seen[count], p, n);
		seen[count][n] = '\0';
		for (size_t i = 0; i < count; i++)
			assert_string_not_equal(seen[i], seen[count]);
		p = expect(p + n, "=\"");
		for (; *p != '"'; p++) {
			assert_true(*p != '\0' && *p != '\n');
			if (*p == '\\') {
				p++;
				assert_true(*p == '\\' || *p == '"' || *p == 'n');
			}
		}
		p++;
	}
	assert_true(count > 0);
	return p + 1;
}

static const char *parse_sample(const char *p)
{
	const char *name = parsed.names[parsed.name_count - 1], *begin = p;
	struct sample *s = &parsed.samples[parsed.sample_count];
	char *end;

	assert_true(parsed.sample_count < SAMPLES_MAX);
	assert_int_equal(name_length(p), strlen(name));
	p = expect(p, name);
	if (*p == '{')
		p = parse_labels(p);
	assert_true((size_t)(p - begin) < sizeof(s->series));
	snprintf(s->series, sizeof(s->series), "%.*s", (int)(p - begin), begin);
	p = expect(p, " ");
	assert_true(isdigit((unsigned char)*p));
	errno = 0;
	assert_true(strtod(p, &end) >= 0);
	assert_int_equal(errno, 0);
	assert_true((size_t)(end - p) < sizeof(s->value));
	snprintf(s->value, sizeof(s->value), "%.*s", (int)(end - p), p);
	for (size_t i = 0; i < parsed.sample_count; i++)
		assert_string_not_equal(parsed.samples[i].series, s->series);
	parsed.sample_count++;
	return expect(end, "\n");
}

/* A HELP line and the TYPE line behind it. */
static const char *parse_head(const char *p)
{
	char *name = parsed.names[parsed.name_count];
	bool counter;
	size_t n;

	assert_true(parsed.name_count < NAMES_MAX);
	p = expect(p, "# HELP ");
	n = name_length(p);
	assert_true(n > 0 && n < sizeof(parsed.names[0]));
	memcpy(name, p, n);
	name[n] = '\0';
	for (size_t i = 0; i < parsed.name_count; i++)
		assert_string_not_equal(parsed.names[i], name);
	p = expect(p + n, " ");
	for (; *p != '\n'; p++)
		assert_true(*p != '\0' && *p != '\\');
	p = expect(expect(expect(p, "\n# TYPE "), name), " ");
	counter = strncmp(p, "counter\n", 8) == 0;
	p = expect(p, counter ? "counter\n" : "gauge\n");
	/* OpenMetrics: a counter ends with _total and nothing else does. */
	assert_int_equal(counter, n > 6 && strcmp(name + n - 6, "_total") == 0);
	expect(name, "rstund_");
	parsed.counters[parsed.name_count++] = counter;
	assert_int_not_equal(*p, '#'); /* no name without a sample */
	assert_int_not_equal(*p, '\0');
	return p;
}

/* OpenMetrics takes a counter's name without _total: it must not be that of a gauge. */
static void assert_no_clash(void)
{
	for (size_t i = 0; i < parsed.name_count; i++)
		for (size_t k = 0; parsed.counters[i] && k < parsed.name_count; k++)
			if (strncmp(parsed.names[i], parsed.names[k],
				    strlen(parsed.names[i]) - 6) == 0)
				assert_int_not_equal(strlen(parsed.names[k]),
						     strlen(parsed.names[i]) - 6);
}

static void parse(const char *text)
{
	parsed = (struct parsed){0};
	assert_true(utf8_valid(text, strlen(text)));
	while (*text != '\0')
		text = *text == '#' ? parse_head(text) : parse_sample(text);
	assert_no_clash();
}

static const char *value_of(const char *series)
{
	for (size_t i = 0; i < parsed.sample_count; i++)
		if (strcmp(parsed.samples[i].series, series) == 0)
			return parsed.samples[i].value;
	return "absent";
}

/* Frees what was built. */
static void finish(struct metrics *m)
{
	char *text = NULL;

	assert_int_equal(metrics_finish(m, &text), 0);
	parse(text);
	free(text);
	metrics_done(m);
	metrics_done(m);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void empty(void **state)
{
	struct metrics m;

	(void)state;
	metrics_init(&m);
	finish(&m);
	assert_int_equal(parsed.sample_count, 0);
	metrics_done(NULL);
}

static void of_the_daemon(void **state)
{
	struct metrics m;

	(void)state;
	metrics_init(&m);
	metrics_daemon(&m, &(struct metrics_daemon){.version = "0.1.0",
						    .gnutls = "3.8.9",
						    .uptime_ms = 61007,
						    .open_descriptors = 12,
						    .descriptors_max = 1024});
	metrics_value(&m, METRICS_GAUGE, "rstund_sessions", "Sessions.",
		      (struct metrics_label[]){{"server", "s1"}, {NULL, NULL}}, 3);
	metrics_value(&m, METRICS_GAUGE, "rstund_sessions", "Sessions.",
		      (struct metrics_label[]){{"server", "s2"}, {"name", ""}, {NULL, NULL}}, 4);
	metrics_value(&m, METRICS_COUNTER, "rstund_log_lines_lost_total", "Lines.", NULL,
		      UINT64_MAX);
	finish(&m);
	assert_string_equal(value_of("rstund_build_info{version=\"0.1.0\",gnutls=\"3.8.9\"}"), "1");
	assert_string_equal(value_of("rstund_uptime_seconds"), "61.007");
	assert_string_equal(value_of("rstund_open_descriptors"), "12");
	assert_string_equal(value_of("rstund_max_descriptors"), "1024");
	assert_string_equal(value_of("rstund_sessions{server=\"s1\"}"), "3");
	assert_string_equal(value_of("rstund_sessions{server=\"s2\"}"), "4");
	assert_string_equal(value_of("rstund_log_lines_lost_total"), "18446744073709551615");
	metrics_init(&m);
	metrics_daemon(&m, &(struct metrics_daemon){.version = "0", .open_descriptors = -1});
	finish(&m);
	assert_int_equal(parsed.sample_count, 2);
}

static void of_things(void **state)
{
	struct tunnel_counters one = {.rx_bytes = 1, .tx_bytes = 2, .rx_dgrams = 3, .tx_dgrams = 4,
				      .sent_packets = 5, .lost_packets = 6, .lost_bytes = 7,
				      .congestion_events = 8, .payload_in_bytes = 9,
				      .payload_out_bytes = 10, .active_conns = 11,
				      .total_conns = 12, .rtt_ms = 23, .cwnd_bytes = 14,
				      .current_mtu = 1452, .udp_dropped = 16,
				      .max_datagram = 1400, .rx_datagram_frames = 17,
				      .tx_datagram_frames = 18};
	struct tunnel_counters idle = {0};
	struct metrics m;

	(void)state;
	metrics_init(&m);
	metrics_add(&m, &(struct metrics_thing){
				.kind = METRICS_MAPPING,
				.labels = {{"mapping", "m1"}, {"name", "web"}},
				.counters = &one,
				.state_names = rpc_state_names,
				.state = RPC_STATE_TUNNELING});
	/* Between two mappings: names are together all the same. */
	metrics_add(&m, &(struct metrics_thing){.kind = METRICS_TOTAL, .counters = &one});
	metrics_add(&m, &(struct metrics_thing){.kind = METRICS_SERVER,
						.labels = {{"server", "s1"}},
						.counters = &one});
	metrics_add(&m, &(struct metrics_thing){.kind = METRICS_MAPPING,
						.labels = {{"mapping", "m2"}, {"name", NULL}},
						.counters = &idle,
						.state_names = rpc_state_names,
						.state = RPC_STATE_PAUSED});
	one.rx_bytes = 999; /* they were copied */
	finish(&m);
	assert_string_equal(value_of("rstund_mapping_rx_bytes_total{mapping=\"m1\",name=\"web\"}"),
			    "1");
	assert_string_equal(value_of("rstund_mapping_rx_bytes_total{mapping=\"m2\"}"), "0");
	assert_string_equal(value_of("rstund_rx_bytes_total"), "1");
	assert_string_equal(value_of("rstund_server_udp_dropped_datagrams_total{server=\"s1\"}"),
			    "16");
	assert_string_equal(value_of("rstund_flows_total"), "12");
	assert_string_equal(value_of("rstund_active_flows"), "11");
	assert_string_equal(value_of("rstund_mapping_rtt_seconds{mapping=\"m1\",name=\"web\"}"),
			    "0.023");
	/* Without a connection there is no path, and a sum has none. */
	assert_string_equal(value_of("rstund_mapping_rtt_seconds{mapping=\"m2\"}"), "absent");
	assert_string_equal(value_of("rstund_rtt_seconds"), "absent");
	assert_string_equal(
		value_of("rstund_mapping_state{mapping=\"m1\",name=\"web\",state=\"tunneling\"}"),
		"1");
	assert_string_equal(
		value_of("rstund_mapping_state{mapping=\"m1\",name=\"web\",state=\"paused\"}"),
		"0");
	assert_string_equal(value_of("rstund_mapping_state{mapping=\"m2\",state=\"paused\"}"), "1");
	assert_string_equal(
		value_of("rstund_mapping_max_datagram_bytes{mapping=\"m1\",name=\"web\"}"),
		"1400");
	assert_string_equal(value_of("rstund_rx_datagram_frames_total"), "17");
	/* 8 states and 19 rows, of which 4 are of the path. */
	assert_int_equal(parsed.sample_count, 2 * 8 + 19 + 15 + 15 + 15);
}

static void escapes(void **state)
{
	struct metrics m;

	(void)state;
	metrics_init(&m);
	metrics_add(&m, &(struct metrics_thing){
				.kind = METRICS_CLIENT,
				.labels = {{"client", "a\"b\\c\nd\xff" "e\xc3\xa4\xc3"}},
				.state_names = (const char *const[]){"on", NULL}});
	finish(&m);
	assert_int_equal(parsed.sample_count, 1);
	assert_string_equal(parsed.samples[0].series,
			    "rstund_client_state{client=\"a\\\"b\\\\c\\nd\\\\xffe\xc3\xa4\\\\xc3\","
			    "state=\"on\"}");
}

static void many(void **state)
{
	struct tunnel_counters c = {.current_mtu = 1200};
	struct metrics m;
	char id[16];

	(void)state;
	metrics_init(&m);
	for (int i = 0; i < 200; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		metrics_add(&m, &(struct metrics_thing){.kind = METRICS_MAPPING,
							.labels = {{"mapping", id}},
							.counters = &c});
	}
	finish(&m);
	assert_int_equal(parsed.sample_count, 200 * 19);
	assert_string_equal(value_of("rstund_mapping_mtu_bytes{mapping=\"m199\"}"), "1200");
}

static void descriptors(void **state)
{
	int64_t before = metrics_open_descriptors();
	int fd = dup(STDERR_FILENO);

	(void)state;
	assert_true(fd >= 0);
	if (before >= 0)
		assert_int_equal(metrics_open_descriptors(), before + 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),      cmocka_unit_test(of_the_daemon),
		cmocka_unit_test(of_things),  cmocka_unit_test(escapes),
		cmocka_unit_test(many),       cmocka_unit_test(descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
