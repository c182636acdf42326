/* SPDX-License-Identifier: MIT */
/*
 * Channels of callers: their socket and what they want to reach become a flow of a client
 * (tunnel/client.h). What is kept here lives until it is one, or is none.
 */
#include "rstund/worker_private.h"

#include "base/error.h"
#include "rstund/messages.h"
#include "tunnel/client.h"
#include "tunnel/flows.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct worker_channel {
	struct worker *worker;
	uint64_t gather;
	uint8_t reply[];
};

static void worker_channel_on_done(void *user, int error, const char *text)
{
	struct worker_channel *wc = user;

	worker_tell_opened(wc->worker, wc->gather, error, text);
	free(wc);
}

void worker_channel_open(struct worker *w, struct message *m)
{
	struct worker_role *r = worker_find(w, m->role);
	size_t reply_bytes = m->open_channel.reply_bytes;
	struct worker_channel *wc = malloc(sizeof(*wc) + reply_bytes);
	struct flow_channel channel = {
		.fd = m->open_channel.fd,
		.target = &m->open_channel.target,
		.early = m->data,
		.early_bytes = m->open_channel.early_bytes,
		.reply_bytes = reply_bytes,
		.done = worker_channel_on_done,
		.user = wc,
	};
	int err = wc == NULL ? RSTUN_E_NOMEM : RSTUN_E_NOT_FOUND, status[2] = {-1, -1};

	m->open_channel.fd = -1;
	if (err == RSTUN_E_NOT_FOUND && pipe2(status, O_CLOEXEC | O_NONBLOCK) != 0) {
		free(wc);
		wc = NULL;
		err = RSTUN_E_LIMIT_REACHED;
	}
	channel.pass_fd = status[0];
	channel.status_fd = status[1];
	if (wc != NULL && r != NULL && r->client != NULL && !r->removing) {
		wc->worker = w;
		wc->gather = m->gather;
		memcpy(wc->reply, m->data + channel.early_bytes, reply_bytes);
		channel.reply = wc->reply;
		err = client_open_channel(r->client, &channel);
		if (err == 0)
			return;
	}
	flow_channel_close(&channel);
	free(wc);
	worker_tell_opened(w, m->gather, err, rstun_strerror(err));
}
