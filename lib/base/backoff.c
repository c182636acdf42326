/* SPDX-License-Identifier: MIT */
/*
 * When to try again. Pure arithmetic on numbers that come in.
 */
#include "base/backoff.h"

#include "base/clock.h"
#include "base/error.h"

#define BACKOFF_FAST_FIRST_NS (300 * CLOCK_NS_PER_MS)
#define BACKOFF_SLOW_FIRST_NS (60 * CLOCK_NS_PER_S)
#define BACKOFF_SLOW_CAP_NS (15 * 60 * CLOCK_NS_PER_S)
#define BACKOFF_LASTED_NS (10 * CLOCK_NS_PER_S)

void backoff_init(struct backoff *b, uint64_t cap_ms)
{
	uint64_t cap_ns = clock_ms(cap_ms);

	*b = (struct backoff){
		.cap_ns = cap_ns < BACKOFF_FAST_FIRST_NS ? BACKOFF_FAST_FIRST_NS : cap_ns,
		.up_since_ns = CLOCK_NEVER,
	};
}

void backoff_up(struct backoff *b, uint64_t now_ns)
{
	b->up_since_ns = now_ns;
}

/* first, doubled `failures` times, at most cap. */
static uint64_t backoff_delay(uint64_t first_ns, unsigned failures, uint64_t cap_ns)
{
	uint64_t delay_ns = first_ns;

	while (failures-- > 0 && delay_ns < cap_ns)
		delay_ns = delay_ns > cap_ns / 2 ? cap_ns : 2 * delay_ns;
	return delay_ns < cap_ns ? delay_ns : cap_ns;
}

uint64_t backoff_down(struct backoff *b, int error, uint64_t now_ns, uint64_t random)
{
	bool slow = backoff_is_slow(error);
	uint64_t delay_ns, half_ns;

	if (b->up_since_ns != CLOCK_NEVER && now_ns >= b->up_since_ns &&
	    now_ns - b->up_since_ns >= BACKOFF_LASTED_NS)
		b->fast_failures = b->slow_failures = 0;
	b->up_since_ns = CLOCK_NEVER;

	if (slow)
		delay_ns = backoff_delay(BACKOFF_SLOW_FIRST_NS, b->slow_failures,
					 BACKOFF_SLOW_CAP_NS);
	else
		delay_ns = backoff_delay(BACKOFF_FAST_FIRST_NS, b->fast_failures, b->cap_ns);
	/* The counters stop far above where the delay stops growing. */
	if (slow && b->slow_failures < 1000000)
		b->slow_failures++;
	if (!slow && b->fast_failures < 1000000)
		b->fast_failures++;

	half_ns = delay_ns / 2;
	return delay_ns - half_ns + random % (half_ns + 1);
}

bool backoff_is_slow(int error)
{
	switch (error) {
	case RSTUN_E_AUTH_FAILED:
	case RSTUN_E_LOGIN_REJECTED:
	case RSTUN_E_ACCESS_DENIED:
	case RSTUN_E_PERMISSION_DENIED: /* the server may not bind that port */
	case RSTUN_E_NO_DEFAULT_UPSTREAM:
	case RSTUN_E_RATE_LIMITED:
	case RSTUN_E_SUPERSEDED:
	case RSTUN_E_TLS_VERIFY_FAILED:
	case RSTUN_E_PEER_KEY_CHANGED:
	case RSTUN_E_PASSWORD_REQUIRED_UNVERIFIED:
	case RSTUN_E_PROTOCOL_MISMATCH:
	case RSTUN_E_PEER_LACKS_FEATURE:
	case RSTUN_E_UNSUPPORTED:
	case RSTUN_E_CONFIG_INVALID:
	case RSTUN_E_CERT_INVALID:
	case RSTUN_E_FILE_PERMISSIONS:
		return true;
	default:
		/* An address in use is not here: its holder may be a session of ours that the
		 * server has not missed yet. */
		return false;
	}
}

unsigned backoff_attempts(const struct backoff *b)
{
	return b->fast_failures + b->slow_failures;
}
