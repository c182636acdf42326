/* SPDX-License-Identifier: MIT */
/*
 * One end of a control stream for tests: a session whose output goes into a buffer of limited room,
 * with all that it reported. Bytes are moved by hand, time is a number. Checks by cmocka's asserts,
 * one thread.
 */
#pragma once

#include "base/clock.h"
#include "base/log.h"
#include "tunnel/session.h"

#define SIDE_MS    CLOCK_NS_PER_MS
#define SIDE_T0    (UINT64_C(1000) * CLOCK_NS_PER_S)
#define SIDE_BYTES 8192

/* ReqLogin of v0.8.10 for tcp OUT^127.0.0.1:9000^ANY with password 1234, framed. */
#define SIDE_ORIGINAL_LOGIN_BYTES 29
extern const char side_original_login[SIDE_ORIGINAL_LOGIN_BYTES + 1];
extern const struct wire_login side_plain_login;
extern struct session_config side_config; /* of the ends made from now on */

enum side_answer {
	SIDE_ANSWER_LATER,
	SIDE_ANSWER_ACCEPT,
	SIDE_ANSWER_REFUSE,
};

/* One end: a session and what it did. */
struct side {
	struct session session;
	struct log log;
	uint64_t now_ns;
	uint8_t out[SIDE_BYTES]; /* written, not yet taken by the other end */
	size_t out_bytes;
	size_t room;     /* most bytes in out */
	int write_error; /* instead of writing */
	unsigned finished, successes, logins, failures, log_lines;
	enum side_answer answer;
	struct address bound;
	struct wire_login login;
	struct wire_trailer trailer; /* of the login, or of the success */
	struct session_success success;
	struct session_failure failure;
	char failure_text[SESSION_TEXT_SIZE];
	char log_text[512];
};

/* Sets side_config to the defaults; a cmocka set-up function too. */
int side_setup(void **state);

/* A fresh end at SIDE_T0; a server that waits for a login; a client that has written its own. */
void side_init(struct side *s);
void side_server_init(struct side *s, enum side_answer answer);
void side_client_init(struct side *s);
/* Two ends, logged in, bytes moved at most `step` a time. */
void side_login_both(struct side *c, struct side *s, size_t step);

/* Feeds a copy whose end a sanitizer guards; returns what was consumed. */
size_t side_feed(struct side *s, const void *data, size_t bytes);
#define SIDE_FEED(side, text)                                                                      \
	assert_int_equal(side_feed(side, text, sizeof(text) - 1), sizeof(text) - 1)

/* Moves what `from` wrote to `to` until it is held back or empty; and both ways until nothing
 * moves. */
void side_move(struct side *from, struct side *to, size_t step);
void side_exchange(struct side *a, struct side *b, size_t step);

/* The time is now_ns. */
void side_at(struct side *s, uint64_t now_ns);

/* on_failure came once, with that error, and nothing has any effect any more. */
void side_expect_failure(struct side *s, int error);
void side_expect_fine(struct side *s); /* up, no failure; ends it */
/* All that was written, and takes it. */
void side_expect_output(struct side *s, const char *bytes, size_t count);
#define SIDE_EXPECT_OUTPUT(side, text) side_expect_output(side, text, sizeof(text) - 1)
