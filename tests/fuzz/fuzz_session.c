/* SPDX-License-Identifier: MIT */
/*
 * A session of either role driven by a script: the first byte picks the role and how the owner
 * answers, then each step is one byte and what it takes: bytes to feed, time, room, the ends of the
 * stream. Checked: nothing is called after on_failure, only a session that holds the peer back
 * leaves bytes, what is held stays bounded, no deadline is left behind. One thread.
 */
#include "base/clock.h"
#include "base/error.h"
#include "tunnel/session.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	STEP_FEED, /* the next byte: how many; 255 = all */
	STEP_TIME, /* the next byte: how far, in units of 100 ms */
	STEP_EXPIRE,
	STEP_ROOM, /* the next byte: room for so many bytes */
	STEP_ACCEPT,
	STEP_REFUSE,
	STEP_ENDS, /* the next byte: which */
	STEP_COUNT,
};

static struct session session;
static uint64_t now_ns;
static size_t room;
static unsigned answer;
static bool failed, finished;

static void check(bool ok)
{
	if (!ok)
		abort();
}

static int on_write(void *user, const void *data, size_t bytes)
{
	(void)user;
	check(!failed && !finished && bytes >= 5 && bytes <= WIRE_MESSAGE_MAX && data);
	if (room == 0xff)
		return RSTUN_E_CLOSED;
	if (bytes > room)
		return RSTUN_E_AGAIN;
	room -= bytes;
	return 0;
}

static void on_finish(void *user)
{
	(void)user;
	check(!failed && !finished);
	finished = true;
}

static void on_success(void *user, const struct session_success *success)
{
	(void)user;
	check(!failed && !session.server && success->peer_is_rstund == success->trailer->present);
}

static void on_login(void *user, const struct wire_login *login, const struct wire_trailer *trailer)
{
	(void)user;
	check(!failed && session.server && strlen(login->password) <= WIRE_PASSWORD_MAX);
	if (answer == 1)
		session_server_accept(&session, true, &login->local, now_ns);
	else if (answer == 2)
		session_server_refuse(&session, RSTUN_E_AUTH_FAILED, trailer->name, 1, now_ns);
}

static void on_failure(void *user, const struct session_failure *failure)
{
	(void)user;
	check(!failed && failure->error < 0 && failure->text[0]);
	failed = true;
}

static const struct session_ops ops = {
	.write = on_write,
	.finish = on_finish,
	.on_success = on_success,
	.on_login = on_login,
	.on_failure = on_failure,
};

static void feed(const uint8_t *data, size_t bytes)
{
	uint8_t *copy = malloc(bytes ? bytes : 1);
	size_t used;

	check(copy != NULL);
	if (bytes)
		memcpy(copy, data, bytes);
	used = session_feed(&session, copy, bytes, now_ns);
	free(copy);
	check(used == bytes || (used < bytes && !session_wants_input(&session)));
}

static void ends(unsigned which)
{
	if (which % 3 == 0)
		session_end(&session, now_ns);
	else if (which % 3 == 1)
		session_reset(&session, now_ns);
	else
		session_stop_sending(&session, now_ns);
}

/* Takes one step of at least one byte; returns how many bytes it used. */
static size_t step(const uint8_t *data, size_t size)
{
	unsigned what = data[0] % STEP_COUNT;
	size_t argument = size > 1 ? data[1] : 0, bytes;

	switch (what) {
	case STEP_FEED:
		if (size < 2)
			return size;
		bytes = argument == 255 || argument > size - 2 ? size - 2 : argument;
		feed(data + 2, bytes);
		return 2 + bytes;
	case STEP_TIME:
		now_ns += argument * 100 * CLOCK_NS_PER_MS;
		break;
	case STEP_EXPIRE:
		session_expire(&session, now_ns);
		check(failed || session_deadline(&session) >= now_ns);
		return 1;
	case STEP_ROOM:
		room = argument;
		session_writable(&session, now_ns);
		break;
	case STEP_ACCEPT:
		session_server_accept(&session, false, NULL, now_ns);
		return 1;
	case STEP_REFUSE:
		session_server_refuse(&session, RSTUN_E_RATE_LIMITED, "no", 7, now_ns);
		return 1;
	default:
		ends((unsigned)argument);
		break;
	}
	return size < 2 ? 1 : 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct wire_login login = { .password = "secret", .channel = true };
	struct session_config config;

	if (size == 0)
		return 0;
	session_config_default(&config);
	now_ns = CLOCK_NS_PER_S;
	room = 4 * (data[0] >> 3);
	answer = data[0] >> 1 & 3;
	failed = finished = false;
	session_init(&session, &config, &ops, NULL);
	if (data[0] & 1)
		session_server_start(&session, now_ns);
	else
		failed = session_client_start(&session, &login, "name", NULL, now_ns) != 0;
	data++;
	size--;
	while (size > 0) {
		size_t used = step(data, size);

		data += used;
		size -= used;
		check(session.in_size <= 2 * (4 + WIRE_FRAME_MAX));
		check(session.in_bytes <= session.in_size);
		check(session.out_bytes <= WIRE_MESSAGE_MAX);
	}
	session_done(&session);
	check(!session.in && !session.out);
	return 0;
}
