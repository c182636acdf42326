/* SPDX-License-Identifier: MIT */
/*
 * Channels of callers: their socket and what they want to reach become a flow of a client
 * (tunnel/client.h). What is kept here lives until it is one, or is none. Those that carry datagrams
 * are in worker_udp.c.
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

static void worker_channel_open_tcp(struct worker *w, struct client *client, struct message *m)
{
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
	int err = wc == NULL ? RSTUN_E_NOMEM : 0, status[2] = {-1, -1};

	m->open_channel.fd = -1;
	if (err == 0 && pipe2(status, O_CLOEXEC | O_NONBLOCK) != 0)
		err = RSTUN_E_LIMIT_REACHED;
	channel.pass_fd = status[0];
	channel.status_fd = status[1];
	if (err == 0) {
		wc->worker = w;
		wc->gather = m->gather;
		memcpy(wc->reply, m->data + channel.early_bytes, reply_bytes);
		channel.reply = wc->reply;
		err = client_open_channel(client, &channel);
		if (err == 0)
			return;
	}
	flow_channel_close(&channel);
	free(wc);
	worker_tell_opened(w, m->gather, err, rstun_strerror(err));
}

void worker_channel_open(struct worker *w, struct message *m)
{
	struct worker_role *r = worker_find(w, m->role);

	if (r == NULL || r->client == NULL || r->removing) /* the message closes the socket */
		worker_tell_opened(w, m->gather, RSTUN_E_NOT_FOUND,
				   rstun_strerror(RSTUN_E_NOT_FOUND));
	else if (m->open_channel.proto == MAPPING_UDP)
		worker_udp_open(w, r->client, m);
	else
		worker_channel_open_tcp(w, r->client, m);
}
