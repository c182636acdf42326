/* SPDX-License-Identifier: MIT */
/*
 * Rates. The slow one is the mean since the start while that is less than ten seconds ago, then
 * exponentially smoothed: it starts neither at zero nor with the accident of one interval.
 */
#include "rstund/control/rates.h"

#include "base/clock.h"

#include <stddef.h>

#define RATES_INTERVAL_NS CLOCK_NS_PER_S
#define RATES_SMOOTH_S 10.0
#define RATES_LEAST 0.001 /* what fades away becomes zero */

static const struct {
	size_t counter; /* in struct tunnel_counters */
	size_t rate;    /* in struct rpc_rate */
} rates_members[] = {
#define MEMBER(name) {offsetof(struct tunnel_counters, name), offsetof(struct rpc_rate, name)}
	MEMBER(rx_bytes),
	MEMBER(tx_bytes),
	MEMBER(payload_in_bytes),
	MEMBER(payload_out_bytes),
	MEMBER(sent_packets),
	MEMBER(lost_packets),
#undef MEMBER
};

static double *rates_slot(struct rpc_rate *rate, size_t offset)
{
	return (double *)(void *)((char *)rate + offset);
}

static uint64_t rates_counter(const struct tunnel_counters *c, size_t offset)
{
	return *(const uint64_t *)(const void *)((const char *)c + offset);
}

void rates_update(struct rates *r, const struct tunnel_counters *now, uint64_t now_ns)
{
	double interval_s, weight;

	if (!r->started) {
		*r = (struct rates){
			.started = true, .start_ns = now_ns, .since_ns = now_ns, .base = *now};
		return;
	}
	if (now_ns < r->since_ns || now_ns - r->since_ns < RATES_INTERVAL_NS)
		return;
	interval_s = (double)(now_ns - r->since_ns) / (double)CLOCK_NS_PER_S;
	weight = interval_s / (interval_s + RATES_SMOOTH_S);
	if (now_ns - r->start_ns < (uint64_t)RATES_SMOOTH_S * CLOCK_NS_PER_S)
		weight = (double)(now_ns - r->since_ns) / (double)(now_ns - r->start_ns);
	for (size_t i = 0; i < sizeof(rates_members) / sizeof(rates_members[0]); i++) {
		uint64_t before = rates_counter(&r->base, rates_members[i].counter);
		uint64_t after = rates_counter(now, rates_members[i].counter);
		double *fast = rates_slot(&r->rate_1s, rates_members[i].rate);
		double *slow = rates_slot(&r->rate_10s, rates_members[i].rate);

		*fast = after > before ? (double)(after - before) / interval_s : 0;
		*slow += (*fast - *slow) * weight;
		if (*slow < RATES_LEAST)
			*slow = 0;
	}
	r->base = *now;
	r->since_ns = now_ns;
}

void rates_get(const struct rates *r, struct rpc_rate *ret_1s, struct rpc_rate *ret_10s)
{
	*ret_1s = r->rate_1s;
	*ret_10s = r->rate_10s;
}
