/* SPDX-License-Identifier: MIT */
/*
 * A daemon for tests of the control API's methods, behind the control server of control_rig.h: one
 * client c1 ("home") with the mappings m1 ("web", on worker 1) and m2 (paused), one server s1
 * ("front") with the session s1.17 on worker 0, and two workers that have no threads: what they are
 * told is taken out of their mailboxes by the test, which also answers.
 */
#pragma once

#include "rstund/daemon_private.h"
#include "rstund/messages.h"
#include "tests/unit/control_rig.h"

#define METHODS_RIG_WORKERS 2
#define METHODS_RIG_SESSION 17 /* its id in the role */

struct methods_rig {
	struct daemon *daemon;
	struct held_client *client;
	struct held_server *server;
	struct held_mapping *web, *paused;
	struct held_session *session;
	struct caller caller;
	struct message *asked; /* what a worker was asked last; freed by the rig */
};

extern struct methods_rig *mrig;

/* cmocka's: one per test. */
int methods_rig_setup(void **state);
int methods_rig_teardown(void **state);

/* Says a call with id 1 and turns the loop until nothing happens any more. */
void methods_rig_call(const char *method, const char *params);
/* The result of the reply that comes, borrowed until the next one. An error fails the test. */
const json_t *methods_rig_result(void);
/* The error's code. */
int methods_rig_error(void);

/* The next message in a worker's mailbox, which must be of that kind; kept in mrig->asked. */
const struct message *methods_rig_asked(unsigned worker, enum message_kind kind);
void methods_rig_not_asked(unsigned worker);
/* An answer of a worker to what was asked last; NULL data for none. Then fill it and tell it. */
struct message *methods_rig_answer(enum message_kind kind, size_t data_bytes);
void methods_rig_tell(struct message *m);
/* The worker has nothing more to say. */
void methods_rig_gathered(uint64_t count, int error);
