/* SPDX-License-Identifier: MIT */
/*
 * One call on the control socket, from its decoded params to its reply. A handler gets the call and
 * must return the token of an answer, so that forgetting to reply does not compile: it replies at
 * once (call_reply, call_fail), or keeps the call (call_later) and replies later, exactly once.
 *
 * A call may outlive its connection: then the reply goes nowhere. Notifications (without an id) are
 * calls whose reply goes nowhere, too. Main thread only.
 */
#pragma once

#include "rpc/api.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct call;

/* Only the functions below make one. */
struct answer {
	char token;
};

/* Who calls. */
struct call_caller {
	uint64_t id; /* of the connection: 1, 2, ...; never used again */
	uid_t uid;
	pid_t pid;   /* at the time of connect; 0 = not known */
	bool may_change;
};

const struct call_caller *call_caller(const struct call *c);
enum rpc_method call_method(const struct call *c);
/* Its caller is gone: nobody hears the reply. What it asked for may be wanted all the same. */
bool call_is_unheard(const struct call *c);

/* What the call would do, for the log: a line "NOTE: done" or "NOTE: refused (KIND)" is written
 * when it is answered. Copied. */
void call_note(struct call *c, const char *note);

/* Replies with the method's result struct, encoded by its rows; the struct stays the handler's
 * (which frees it with field_free). When memory is short the reply is `internal`. */
struct answer call_reply(struct call *c, const void *result);
/* The same with JSON, for methods without result rows. Takes `result` over. */
struct answer call_reply_json(struct call *c, json_t *result);
/* `more`: NULL, or an object whose members are added to the error's data; taken over. */
struct answer call_fail(struct call *c, const struct rpc_error *error, json_t *more);

/*
 * The reply comes later. `cancel` is called at most once, when nobody waits for it any more
 * (rpc.cancel, connection gone, server closing); it must forget the call at once and not reply: the
 * call is gone when it returns. It may be NULL for calls that always end soon by themselves.
 * call_user() gives `user` back.
 */
struct answer call_later(struct call *c, void (*cancel)(struct call *c, void *user), void *user);
void *call_user(const struct call *c);
/* Its reply comes soon and may be large: until then no other request of its connection is
 * dispatched, so that what one caller asks for does not add up. */
void call_hold(struct call *c);

#define CALL_EARLY_MAX 8192 /* bytes; a channel takes as many (PROXY_HEAD_MAX) */

/*
 * Its connection becomes something else: gives its socket (the caller's to close), what its caller
 * has sent behind the request (borrowed until the connection is served again), and the reply with
 * `result` (free()). From now on nothing else is dispatched on the connection. Then either
 * call_handed_over, and the reply is not ours to write any more, or an answer as ever. 0, or
 * `error`: something else is under way on the connection, or more than CALL_EARLY_MAX bytes are.
 */
struct call_socket {
	int fd;
	const char *early;
	size_t early_bytes; /* at most CALL_EARLY_MAX */
	char *reply;
	size_t reply_bytes;
};

int call_hand_over(struct call *c, const void *result, struct call_socket *ret,
		   struct rpc_error *error);
/* The call is over, and so is its connection. */
void call_handed_over(struct call *c);

/* For calls kept by call_later: the same as above without the token. */
static inline void call_end(struct answer unused)
{
	(void)unused;
}
