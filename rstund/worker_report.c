/* SPDX-License-Identifier: MIT */
/*
 * A report of all counters. A look at a thousand connections takes milliseconds, most of it cache
 * misses, and every flow's packets would wait for it: so it is made in pieces, one per turn of the
 * loop.
 */
#include "rstund/worker_private.h"

#include "base/clock.h"
#include "rstund/messages.h"
#include "tunnel/client.h"
#include "tunnel/server.h"

#define WORKER_REPORT_PIECE 16 /* connections in one turn */

/* NULL: memory is short. */
static struct message *worker_report_message(struct worker *w)
{
	struct message *m = message_new(MESSAGE_COUNTERS, w->report.role->index,
					WORKER_REPORT_PIECE * sizeof(struct message_counters));

	if (m == NULL)
		return NULL;
	m->worker = w->params.index;
	m->gather = w->report.gather;
	return m;
}

static void worker_report_tell(struct worker *w, struct message *m)
{
	if (m != NULL)
		mailbox_post_early(w->params.control, &m->item); /* GATHERED follows */
}

struct worker_report_piece {
	struct worker *worker;
	struct message *message; /* not told yet; NULL = none */
};

/* What there is no memory for is told with the next report. */
static void worker_report_put(void *user, uint64_t id, const struct tunnel_counters *counters)
{
	struct worker_report_piece *piece = user;
	struct message *m = piece->message;

	if (m == NULL || m->counters.count == WORKER_REPORT_PIECE) {
		worker_report_tell(piece->worker, m);
		m = piece->message = worker_report_message(piece->worker);
		if (m == NULL)
			return;
	}
	((struct message_counters *)m->data)[m->counters.count++] =
		(struct message_counters){.id = id, .counters = *counters};
}

/* The next role that has something to tell, or the end. */
static void worker_report_go_to(struct worker *w, struct worker_role *r)
{
	w->report.role = r;
	if (r == NULL) {
		worker_tell_reported(w, w->report.gather, w->report.took_ns);
		return;
	}
	if (r->server != NULL)
		server_tally_begin(r->server);
	else
		client_tally_begin(r->client);
	loop_task_schedule(&w->loop, &w->report.task);
}

/* False: that was the role's last one. */
static bool worker_report_make_piece(struct worker *w)
{
	struct worker_role *r = w->report.role;
	struct worker_report_piece piece = {.worker = w};
	struct tunnel_counters sum;
	bool more;

	if (r->server != NULL)
		more = server_tally_next(r->server, WORKER_REPORT_PIECE, worker_report_put, &piece,
					 &sum);
	else
		more = client_tally_next(r->client, WORKER_REPORT_PIECE, worker_report_put, &piece,
					 &sum);
	if (!more && piece.message == NULL)
		piece.message = worker_report_message(w);
	if (!more && piece.message != NULL) {
		piece.message->counters.sum = sum;
		piece.message->counters.summed = true;
	}
	worker_report_tell(w, piece.message);
	return more;
}

static void worker_report_on_task(void *user)
{
	struct worker *w = user;
	uint64_t began_ns = clock_now_ns();
	bool more = worker_report_make_piece(w);

	w->report.took_ns += clock_now_ns() - began_ns;
	if (more)
		loop_task_schedule(&w->loop, &w->report.task);
	else
		worker_report_go_to(w, LIST_NEXT(w->report.role, link));
}

void worker_report_init(struct worker *w)
{
	loop_task_init(&w->report.task, worker_report_on_task, w);
}

void worker_report_start(struct worker *w, uint64_t gather)
{
	loop_task_cancel(&w->loop, &w->report.task);
	w->report.gather = gather;
	w->report.took_ns = 0;
	worker_report_go_to(w, LIST_FIRST(&w->roles));
}

void worker_report_skip(struct worker *w, struct worker_role *r)
{
	if (w->report.role != r)
		return;
	loop_task_cancel(&w->loop, &w->report.task);
	worker_report_go_to(w, LIST_NEXT(r, link));
}
