/* SPDX-License-Identifier: MIT */
/*
 * Events as JSON: what rstun v0.8.10 would send, byte for byte but for the time.
 */
#include "rstun.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define TIME "2025-01-01 00:00:00.000"

/* The time stamp becomes TIME when it is one of local time that is not far from now. */
static void expect(char *json, const char *want)
{
	char *at = strstr(json, "\"timestamp\":\"");
	int year, month, day, hour, minute, second, ms, end = 0;
	time_t now = time(NULL), told;
	struct tm tm = {.tm_isdst = -1};

	assert_non_null(at);
	at += strlen("\"timestamp\":\"");
	assert_int_equal(sscanf(at, "%4d-%2d-%2d %2d:%2d:%2d.%3d%n", &year, &month, &day, &hour,
				&minute, &second, &ms, &end),
			 7);
	assert_int_equal(end, strlen(TIME));
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tm.tm_sec = second;
	told = mktime(&tm);
	assert_true(told > now - 600 && told <= now);
	memcpy(at, TIME, strlen(TIME));
	assert_string_equal(json, want);
}

static void test_state(void **state)
{
	static const struct {
		enum rstun_state state;
		const char *word;
	} words[] = {
		{RSTUN_STATE_IDLE, "Idle"},
		{RSTUN_STATE_CONNECTING, "Connecting"},
		{RSTUN_STATE_CONNECTED, "Connected"},
		{RSTUN_STATE_TUNNELING, "Tunneling"},
		{RSTUN_STATE_RECONNECTING, "Reconnecting"},
		{RSTUN_STATE_FAILED, "Reconnecting"},
		{RSTUN_STATE_STOPPED, "Stopped"},
	};
	struct rstun_state_change change = {.mapping = 3, .proto = RSTUN_TCP, .mode = RSTUN_OUT};
	char buffer[256], want[256];
	size_t bytes;

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		change.now = words[i].state;
		bytes = rstun_json_state(buffer, sizeof(buffer), &change);
		assert_int_equal(bytes, strlen(buffer));
		snprintf(want, sizeof(want),
			 "{\"type\":\"state\",\"data\":\"%s\",\"timestamp\":\"" TIME
			 "\",\"tunnel\":{\"source\":\"network\",\"id\":3,\"proto\":\"Tcp\","
			 "\"mode\":\"Out\"}}",
			 words[i].word);
		expect(buffer, want);
		assert_int_equal(rstun_json_state(buffer, bytes, &change), bytes);
		assert_string_equal(buffer, "");
	}
}

static void test_log(void **state)
{
	const struct rstun_state_change change = {.proto = RSTUN_UDP, .mode = RSTUN_IN};
	char buffer[256];

	(void)state;
	rstun_json_log(buffer, sizeof(buffer), "a \"line\"", NULL);
	expect(buffer, "{\"type\":\"log\",\"data\":\"a \\\"line\\\"\",\"timestamp\":\"" TIME "\"}");
	rstun_json_log(buffer, sizeof(buffer), "wrong", &change);
	expect(buffer, "{\"type\":\"log\",\"data\":\"wrong\",\"timestamp\":\"" TIME
		       "\",\"tunnel\":{\"source\":\"channel\",\"id\":0,\"proto\":\"Udp\","
		       "\"mode\":\"In\"}}");
}

static void test_stat(void **state)
{
	struct rstun_stats stats = {
		.size = sizeof(stats),
		.rx_bytes = 1,
		.tx_bytes = 2,
		.tx_dgrams = 3,
		.rx_dgrams = 4,
		.sent_packets = 5,
		.lost_packets = 6,
		.lost_bytes = 7,
		.congestion_events = 8,
		.active_conns = 9,
		.rtt_ms = 10,
		.cwnd_bytes = 11,
		.current_mtu = UINT64_MAX,
	};
	static const char want[] =
		"{\"type\":\"stat\",\"data\":{\"rx_bytes\":1,\"tx_bytes\":2,\"tx_dgrams\":3,"
		"\"rx_dgrams\":4,\"sent_packets\":5,\"lost_packets\":6,\"lost_bytes\":7,"
		"\"congestion_events\":8,\"active_conns\":9,\"rtt_ms\":10,\"cwnd_bytes\":11,"
		"\"current_mtu\":18446744073709551615},\"timestamp\":\"" TIME "\"";
	char buffer[512], whole[600];

	(void)state;
	rstun_json_stat(buffer, sizeof(buffer), &stats);
	snprintf(whole, sizeof(whole), "%s}", want);
	expect(buffer, whole);
	stats.mapping = 1;
	rstun_json_stat(buffer, sizeof(buffer), &stats);
	snprintf(whole, sizeof(whole),
		 "%s,\"tunnel\":{\"source\":\"network\",\"id\":1,\"proto\":\"Tcp\","
		 "\"mode\":\"In\"}}",
		 want);
	expect(buffer, whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_stat),
	};

	setenv("TZ", "Asia/Kolkata", 1); /* local time is not UTC, and not by whole hours */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
