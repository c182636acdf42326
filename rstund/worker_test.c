/* SPDX-License-Identifier: MIT */
/*
 * Tests of clients on their worker: the steps of a probe (tunnel/client_probe.h) as messages. A
 * test belongs to the worker until its probe is done, it is cancelled, or its role goes.
 */
#include "rstund/worker_private.h"

#include "base/error.h"
#include "rstund/messages.h"
#include "tunnel/client.h"
#include "tunnel/client_probe.h"

#include <stdio.h>
#include <stdlib.h>

static void worker_test_on_step(void *user, const struct probe_step_result *r)
{
	struct worker_test *t = user;
	struct message *m = message_new(MESSAGE_TESTED, t->role, 0);

	if (m == NULL)
		return;
	m->worker = t->worker->params.index;
	m->gather = t->gather;
	m->tested.step = (int)r->step;
	m->tested.outcome = (int)r->outcome;
	m->tested.error = r->error;
	m->tested.took_ms = r->took_ms;
	snprintf(m->tested.text, sizeof(m->tested.text), "%s", r->text);
	mailbox_post(t->worker->params.control, &m->item);
}

static void worker_test_free(struct worker_test *t)
{
	LIST_REMOVE(t, link);
	free(t);
}

static void worker_test_on_done(void *user)
{
	struct worker_test *t = user;

	worker_tell_gathered(t->worker, t->gather, 0, 0);
	worker_test_free(t);
}

void worker_test_start(struct worker *w, const struct message *m)
{
	struct worker_role *r = worker_find(w, m->role);
	struct worker_test *t = calloc(1, sizeof(*t));
	int rc = t == NULL ? RSTUN_E_NOMEM : RSTUN_E_NOT_FOUND;

	if (t != NULL && r != NULL && r->client != NULL && !r->removing) {
		*t = (struct worker_test){.worker = w, .gather = m->gather, .role = m->role};
		LIST_INSERT_HEAD(&w->tests, t, link);
		rc = client_probe_start(&t->probe, r->client,
					m->test.has_mapping ? &m->test.mapping : NULL,
					m->test.timeout_ms, worker_test_on_step,
					worker_test_on_done, t);
		if (rc == 0)
			return;
		LIST_REMOVE(t, link);
	}
	free(t);
	worker_tell_gathered(w, m->gather, 0, rc);
}

void worker_test_cancel(struct worker *w, uint64_t gather)
{
	struct worker_test *t;

	LIST_FOREACH (t, &w->tests, link) {
		if (t->gather != gather)
			continue;
		client_probe_cancel(t->probe);
		worker_test_free(t);
		return;
	}
}

void worker_test_end_role(struct worker *w, unsigned role)
{
	struct worker_test *t, *next;

	for (t = LIST_FIRST(&w->tests); t != NULL; t = next) {
		next = LIST_NEXT(t, link);
		if (t->role != role)
			continue;
		client_probe_cancel(t->probe);
		worker_tell_gathered(w, t->gather, 0, RSTUN_E_CANCELLED);
		worker_test_free(t);
	}
}
