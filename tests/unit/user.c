/* SPDX-License-Identifier: MIT */
/*
 * Code that uses a bufferevent, for tests. Not in libtestrig: only its tests have the library.
 */
#include "tests/unit/user.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

uint64_t user_digest(uint64_t h, const uint8_t *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		h = (h ^ data[i]) * UINT64_C(1099511628211);
	return h;
}

/* ---- the program's callbacks ---- */

static void user_called(struct user *u, enum user_call call)
{
	assert_false(u->freed); /* nothing comes after that */
	u->calls[call]++;
	if (u->freeing == USER_FREE_NOTHING || u->in != call)
		return;
	u->freed = true;
	if (u->freeing == USER_FREE_BUFFEREVENT || u->freeing == USER_FREE_ALL)
		bufferevent_free(u->bev);
	if (u->freeing == USER_FREE_CLIENT)
		program_free(&u->p, PROGRAM_FREE_CLIENT);
	if (u->freeing == USER_FREE_CONTEXT || u->freeing == USER_FREE_ALL)
		program_free(&u->p, PROGRAM_FREE_CONTEXT);
	if (u->freeing == USER_FREE_CLIENT || u->freeing == USER_FREE_CONTEXT) {
		/* It is a bufferevent as before, that leads nowhere. */
		bufferevent_write(u->bev, "x", 1);
		bufferevent_flush(u->bev, EV_READ | EV_WRITE, BEV_FINISHED);
		bufferevent_free(u->bev);
	}
}

void user_on_read(struct bufferevent *bev, void *user)
{
	struct user *u = user;
	uint8_t buf[3000];
	size_t low, high, n;

	bufferevent_getwatermark(bev, EV_READ, &low, &high);
	assert_true(high == 0 || evbuffer_get_length(bufferevent_get_input(bev)) <= high);
	while (!u->hold && (n = bufferevent_read(bev, buf, sizeof(buf))) > 0) {
		u->received_digest = user_digest(u->received_digest, buf, n);
		u->received += n;
	}
	if (u->hold && evbuffer_get_length(bufferevent_get_input(bev)) == high)
		bufferevent_disable(bev, EV_READ); /* else it is called again and again */
	user_called(u, USER_READ);
}

void user_on_write(struct bufferevent *bev, void *user)
{
	struct user *u = user;
	uint8_t buf[5000];

	if (u->sent < u->to_send) {
		size_t bytes = u->to_send - u->sent < sizeof(buf) ? u->to_send - u->sent
								  : sizeof(buf);

		for (size_t i = 0; i < bytes; i++)
			buf[i] = (uint8_t)((u->sent + i) * 2654435761u >> 13);
		u->sent_digest = user_digest(u->sent_digest, buf, bytes);
		u->sent += bytes;
		assert_int_equal(bufferevent_write(bev, buf, bytes), 0);
		if (u->sent == u->to_send)
			bufferevent_flush(bev, EV_WRITE, BEV_FINISHED);
	}
	user_called(u, USER_WRITE);
}

void user_on_event(struct bufferevent *bev, short what, void *user)
{
	struct user *u = user;
	int error = errno;

	if (what & BEV_EVENT_CONNECTED) {
		assert_int_equal(what, BEV_EVENT_CONNECTED);
		user_called(u, USER_CONNECTED);
		return;
	}
	u->what = what;
	if (what & BEV_EVENT_ERROR)
		u->error = error;
	/* What came is in the input buffer by now. */
	if ((what & BEV_EVENT_EOF) && !u->hold)
		user_on_read(bev, u);
	if (!u->freed)
		user_called(u, what & BEV_EVENT_ERROR ? USER_ERROR
			       : what & BEV_EVENT_EOF ? USER_EOF
						      : USER_TIMEOUT);
}

/* ---- running ---- */

void user_open(struct user *u, const char *password, const char *target)
{
	struct bufferevent *second = NULL;

	program_start(&u->p, password);
	assert_int_equal(rstun_channel_open(&u->p.channel, u->p.client, target, NULL, NULL), 0);
	assert_int_equal(rstun_channel_bufferevent(&u->bev, u->p.channel), 0);
	assert_int_equal(rstun_channel_bufferevent(&second, u->p.channel), RSTUN_E_ALREADY_EXISTS);
	assert_null(second);
	assert_ptr_equal(bufferevent_get_base(u->bev), program_base);
	bufferevent_setcb(u->bev, user_on_read, user_on_write, user_on_event, u);
	assert_int_equal(bufferevent_enable(u->bev, EV_READ | EV_WRITE), 0);
}

void user_start(struct user *u)
{
	memset(u, 0, sizeof(*u));
	user_open(u, "secret", NULL);
}

/* libevent takes a bufferevent apart in the loop. */
void user_let_go(struct user *u)
{
	event_base_loop(program_base, EVLOOP_NONBLOCK);
	program_end(&u->p);
}

void user_end(struct user *u)
{
	bufferevent_free(u->bev);
	user_let_go(u);
}

bool user_is_connected(struct program *p)
{
	return ((struct user *)p)->calls[USER_CONNECTED] > 0;
}

bool user_has_read(struct program *p)
{
	return ((struct user *)p)->calls[USER_READ] > 0;
}

bool user_is_over(struct program *p)
{
	struct user *u = (struct user *)p;

	return u->calls[USER_EOF] + u->calls[USER_ERROR] + u->calls[USER_TIMEOUT] > 0;
}

bool user_has_written(struct program *p)
{
	return evbuffer_get_length(bufferevent_get_output(((struct user *)p)->bev)) == 0;
}

bool user_is_freed(struct program *p)
{
	return ((struct user *)p)->freed;
}
