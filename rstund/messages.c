/* SPDX-License-Identifier: MIT */
/*
 * Making and releasing messages between threads.
 */
#include "rstund/messages.h"

#include "base/random.h"
#include "rstund/control/bus_event.h"
#include "tls/credentials.h"

#include <stdlib.h>
#include <unistd.h>

struct message *message_new(enum message_kind kind, unsigned role, size_t data_bytes)
{
	struct message *m = calloc(1, sizeof(*m) + data_bytes);

	if (m == NULL)
		return NULL;
	m->kind = kind;
	m->role = role;
	if (kind == MESSAGE_ADD_SERVER)
		m->add_server.fd = -1;
	else if (kind == MESSAGE_ADD_MAPPING)
		m->add_mapping.fd = -1;
	else if (kind == MESSAGE_CLAIMED)
		m->claimed.fd = -1;
	else if (kind == MESSAGE_OPEN_CHANNEL)
		m->open_channel.fd = -1;
	return m;
}

static void message_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

void message_free(struct message *m)
{
	if (m == NULL)
		return;
	switch (m->kind) {
	case MESSAGE_ADD_SERVER:
		tls_credentials_unref(m->add_server.credentials);
		message_close(m->add_server.fd);
		secret_wipe(m->add_server.secret, sizeof(m->add_server.secret));
		break;
	case MESSAGE_ADD_CLIENT:
		tls_credentials_unref(m->add_client.credentials);
		secret_wipe(m->add_client.secret, sizeof(m->add_client.secret));
		break;
	case MESSAGE_ADD_MAPPING:
		message_close(m->add_mapping.fd);
		break;
	case MESSAGE_CLAIMED:
		message_close(m->claimed.fd);
		break;
	case MESSAGE_OPEN_CHANNEL:
		message_close(m->open_channel.fd);
		break;
	case MESSAGE_SET_CREDENTIALS:
		tls_credentials_unref(m->set_credentials.credentials);
		break;
	case MESSAGE_EVENT:
		bus_event_unref(m->event.event);
		break;
	case MESSAGE_REMOVE_ROLE:
	case MESSAGE_REMOVE_MAPPING:
	case MESSAGE_RESTART_MAPPING:
	case MESSAGE_KICK:
	case MESSAGE_SETTINGS:
	case MESSAGE_PING:
	case MESSAGE_LIST_FLOWS:
	case MESSAGE_KILL_FLOWS:
	case MESSAGE_TEST:
	case MESSAGE_CANCEL_TEST:
	case MESSAGE_REMOVED:
	case MESSAGE_FLOWS:
	case MESSAGE_TESTED:
	case MESSAGE_GATHERED:
	case MESSAGE_PROBE:
	case MESSAGE_HOLD:
	case MESSAGE_REPORT:
	case MESSAGE_DRAIN:
	case MESSAGE_STOP:
	case MESSAGE_DATAGRAM:
	case MESSAGE_STARTED:
	case MESSAGE_CLAIM:
	case MESSAGE_RELEASE:
	case MESSAGE_PROBED:
	case MESSAGE_AUTH:
	case MESSAGE_COUNTERS:
	case MESSAGE_DRAINED:
		break;
	}
	free(m);
}
