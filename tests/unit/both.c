/* SPDX-License-Identifier: MIT */
/*
 * Two programs of librstun for tests. Not in libtestrig: only its tests have the library.
 */
#include "tests/unit/both.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct program *both_far;

void both_start(struct program *server, struct program *client)
{
	program_serve(server, true, NULL);
	program_start(client, "secret");
	both_far = server;
}

void both_end(struct program *server, struct program *client)
{
	program_leave(client);
	program_end(server);
}

bool both_far_was_asked(struct program *p)
{
	return program_was_asked(both_far) || program_has_failed(p);
}

static bool has_text(struct program *p)
{
	return program_is_readable(p) || program_has_failed(p);
}

void both_expect(struct program *p, const char *text)
{
	char buf[64];

	program_run_until(has_text, p);
	assert_int_equal(rstun_channel_read(p->channel, buf, sizeof(buf)), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
	p->calls[PROGRAM_READABLE] = 0;
}

void both_send(struct program *p, const char *text)
{
	assert_int_equal(rstun_channel_write(p->channel, text, strlen(text)), strlen(text));
}

static bool both_are_closed(struct program *p)
{
	return program_is_closed(p) && program_is_closed(both_far);
}

void both_converse(struct program *near, struct program *far)
{
	both_send(far, "hello");
	both_expect(near, "hello");
	both_send(near, "ping");
	rstun_channel_finish(near->channel);
	both_expect(far, "ping");
	program_run_until(program_is_ended, far);
	both_send(far, "pong");
	both_expect(near, "pong");
	assert_int_equal(program_is_ended(near) + program_is_closed(near) + program_is_closed(far),
			 0);
	rstun_channel_finish(far->channel);
	program_run_until(program_is_ended, near);
	both_far = far;
	program_run_until(both_are_closed, near);
	assert_int_equal(near->calls[PROGRAM_OPEN], 1);
	assert_int_equal(far->calls[PROGRAM_OPEN], 1);
	assert_int_equal(near->calls[PROGRAM_ERROR] + far->calls[PROGRAM_ERROR], 0);
}

int both_connect(const struct program *p)
{
	struct address listen;

	assert_int_equal(address_parse(&listen, p->bound, strlen(p->bound)), 0);
	return app_connect(MAPPING_TCP, &listen);
}
