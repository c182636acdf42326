/* SPDX-License-Identifier: MIT */
/*
 * Life of a worker: its thread, loop, pool and mailbox. What it does is in worker_messages.c and
 * worker_tell.c.
 */
#include "rstund/worker_private.h"

#include "base/error.h"
#include "rstund/messages.h"

#include <stdio.h>
#include <stdlib.h>

#define WORKER_CHUNKS_KEPT 256 /* 4 MiB */

int worker_new(struct worker **ret, const struct worker_params *params)
{
	struct worker *w = calloc(1, sizeof(*w));
	int rc;

	if (w == NULL)
		return RSTUN_E_NOMEM;
	w->params = *params;
	w->log = (struct log){.level = params->level, .write = worker_write_log, .user = w};
	LIST_INIT(&w->roles);
	LIST_INIT(&w->tests);
	LIST_INIT(&w->udp_channels);
	worker_report_init(w);
	rc = mailbox_init(&w->mailbox, worker_on_item, w);
	if (rc != 0) {
		free(w);
		return rc;
	}
	rc = loop_init(&w->loop, NULL, &w->log);
	if (rc == 0)
		rc = mailbox_attach(&w->mailbox, &w->loop);
	if (rc != 0) {
		mailbox_done(&w->mailbox);
		loop_done(&w->loop);
		free(w);
		return rc;
	}
	chunk_pool_init(&w->pool, WORKER_CHUNKS_KEPT);
	*ret = w;
	return 0;
}

static void *worker_run(void *user)
{
	struct worker *w = user;
	char name[16];

	snprintf(name, sizeof(name), "worker-%u", w->params.index);
	pthread_setname_np(pthread_self(), name);
	loop_run(&w->loop);
	return NULL;
}

int worker_start(struct worker *w)
{
	int err = pthread_create(&w->thread, NULL, worker_run, w);

	if (err != 0)
		return rstun_error_from_errno(err);
	w->started = true;
	return 0;
}

void worker_post(struct worker *w, struct message *m)
{
	mailbox_post(&w->mailbox, &m->item);
}

void worker_join(struct worker *w)
{
	if (!w->started)
		return;
	pthread_join(w->thread, NULL);
	w->started = false;
}

void worker_free(struct worker *w)
{
	struct mailbox_item *item;

	if (w == NULL)
		return;
	mailbox_detach(&w->mailbox);
	while ((item = mailbox_take(&w->mailbox)) != NULL)
		message_free(message_of(item));
	mailbox_done(&w->mailbox);
	chunk_pool_done(&w->pool);
	loop_done(&w->loop);
	free(w);
}
