/* SPDX-License-Identifier: MIT */
/*
 * Rates: the first counters, steady traffic, silence, irregular intervals, counters that go back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "rstund/control/rates.h"

#include <string.h>

#define START_NS (UINT64_C(5) * CLOCK_NS_PER_S)

static struct rpc_rate fast, slow;

/* At `ms` after the start everything has been counted `bytes` times. */
static void update(struct rates *r, uint64_t ms, uint64_t bytes)
{
	struct tunnel_counters c = {
		.rx_bytes = bytes,
		.tx_bytes = 2 * bytes,
		.payload_in_bytes = 3 * bytes,
		.payload_out_bytes = 4 * bytes,
		.sent_packets = 5 * bytes,
		.lost_packets = 6 * bytes,
	};

	rates_update(r, &c, START_NS + ms * CLOCK_NS_PER_MS);
	rates_get(r, &fast, &slow);
}

static void assert_near(double value, double wanted)
{
	if (value < wanted * 0.999 || value > wanted * 1.001)
		fail_msg("%f is not %f", value, wanted);
}

static void first_counters(void **state)
{
	struct rates r = {0};

	(void)state;
	memset(&fast, 0xff, sizeof(fast));
	rates_get(&r, &fast, &slow);
	assert_true(fast.rx_bytes == 0 && slow.lost_packets == 0);
	/* What was counted before nobody knows when. */
	update(&r, 0, 1000000);
	assert_true(fast.rx_bytes == 0 && slow.rx_bytes == 0);
	update(&r, 999, 1000900);
	assert_true(fast.rx_bytes == 0 && slow.rx_bytes == 0);
	update(&r, 2000, 1001000);
	assert_near(fast.rx_bytes, 500);
	assert_near(slow.rx_bytes, 500);
	assert_near(fast.tx_bytes, 1000);
	assert_near(fast.payload_in_bytes, 1500);
	assert_near(fast.payload_out_bytes, 2000);
	assert_near(fast.sent_packets, 2500);
	assert_near(slow.lost_packets, 3000);
}

static void steady(void **state)
{
	struct rates r = {0};

	(void)state;
	for (uint64_t ms = 0; ms <= 60000; ms += 1000) {
		update(&r, ms, ms * 7);
		if (ms > 0) {
			assert_near(fast.rx_bytes, 7000);
			assert_near(slow.rx_bytes, 7000);
		}
	}
	/* Called more often than once a second: nothing is lost. */
	for (uint64_t ms = 60010; ms <= 70000; ms += 10)
		update(&r, ms, ms * 7);
	assert_near(fast.rx_bytes, 7000);
	assert_near(slow.rx_bytes, 7000);
}

static void mean_of_the_first_seconds(void **state)
{
	struct rates r = {0};

	(void)state;
	update(&r, 0, 0);
	update(&r, 1000, 6000);
	update(&r, 2000, 6000);
	assert_true(fast.rx_bytes == 0);
	assert_near(slow.rx_bytes, 3000);
	update(&r, 4000, 6000);
	assert_near(slow.rx_bytes, 1500);
	update(&r, 6000, 12000);
	assert_near(fast.rx_bytes, 3000);
	assert_near(slow.rx_bytes, 2000);
}

static void silence(void **state)
{
	struct rates r = {0};
	double before;

	(void)state;
	for (uint64_t ms = 0; ms <= 60000; ms += 1000)
		update(&r, ms, ms * 1000);
	before = slow.rx_bytes;
	for (uint64_t ms = 61000; ms <= 70000; ms += 1000) {
		update(&r, ms, 60000000);
		assert_true(fast.rx_bytes == 0);
		assert_true(slow.rx_bytes < before);
		before = slow.rx_bytes;
	}
	/* A third or so is left after ten seconds. */
	assert_true(slow.rx_bytes > 250000 && slow.rx_bytes < 450000);
	for (uint64_t ms = 71000; ms <= 400000; ms += 1000)
		update(&r, ms, 60000000);
	assert_true(slow.rx_bytes == 0);
}

static void irregular(void **state)
{
	static const uint64_t steps_ms[] = {1000, 1700, 5000, 1001, 30000, 2500, 600000};
	struct rates r = {0};
	uint64_t ms = 0;

	(void)state;
	update(&r, ms, 0);
	for (size_t i = 0; i < sizeof(steps_ms) / sizeof(steps_ms[0]); i++) {
		ms += steps_ms[i];
		update(&r, ms, ms * 3);
		assert_near(fast.rx_bytes, 3000);
		assert_near(slow.rx_bytes, 3000);
	}
	/* After a long interval the old rate counts for little. */
	update(&r, ms + 600000, ms * 3);
	assert_true(slow.rx_bytes < 100);
}

static void goes_back(void **state)
{
	struct rates r = {0};

	(void)state;
	update(&r, 0, 0);
	update(&r, 1000, 5000);
	update(&r, 2000, 100);
	assert_true(fast.rx_bytes == 0 && slow.rx_bytes >= 0);
	update(&r, 3000, 1100);
	assert_near(fast.rx_bytes, 1000);
	update(&r, 4000, UINT64_MAX / 8);
	update(&r, 5000, 0);
	assert_true(fast.rx_bytes == 0 && slow.rx_bytes >= 0);
	/* So does time, if somebody mixes it up. */
	update(&r, 10, 77);
	assert_true(fast.rx_bytes == 0);
	update(&r, 6000, 10);
	assert_near(fast.rx_bytes, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_counters),
		cmocka_unit_test(steady),
		cmocka_unit_test(mean_of_the_first_seconds),
		cmocka_unit_test(silence),
		cmocka_unit_test(irregular),
		cmocka_unit_test(goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
