/* SPDX-License-Identifier: MIT */
/*
 * The whole protocol between threads. Toward a worker: what to serve, and answers; toward the main
 * thread: questions and what happened. Plain structs; the receiver owns the message and what it
 * carries (descriptors, references, events) and takes out of it what it keeps; message_free
 * releases the rest. `role` is the index of a role, the same on every thread.
 */
#pragma once

#include "base/address.h"
#include "base/mapping.h"
#include "rstund/mailbox.h"
#include "tunnel/event.h"
#include "tunnel/server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bus_event;
struct client_config;
struct server_config;
struct tls_credentials;

#define MESSAGE_TEXT_SIZE 512
/* Most foreign datagrams that wait in a worker's mailbox. */
#define MESSAGE_DATAGRAMS_MAX 1024
/* Most log lines and other events that a peer can cause, waiting in the main mailbox. */
#define MESSAGE_EVENTS_MAX 4096

enum message_kind {
	/* main -> worker */
	MESSAGE_ADD_SERVER,  /* answered by STARTED */
	MESSAGE_ADD_CLIENT,  /* answered by STARTED */
	MESSAGE_ADD_MAPPING, /* answered by STARTED */
	MESSAGE_CLAIMED,     /* answer to CLAIM */
	MESSAGE_PROBE,       /* answered by PROBED */
	MESSAGE_SET_CREDENTIALS,
	MESSAGE_HOLD,
	MESSAGE_REPORT, /* answered by COUNTERS, one per role */
	MESSAGE_DRAIN,  /* answered by DRAINED, once */
	MESSAGE_STOP,   /* frees all roles (COUNTERS for each before) and ends the thread */
	/* worker -> worker */
	MESSAGE_DATAGRAM,
	/* worker -> main */
	MESSAGE_STARTED,
	MESSAGE_CLAIM,
	MESSAGE_RELEASE,
	MESSAGE_PROBED,
	MESSAGE_AUTH,
	MESSAGE_EVENT,
	MESSAGE_COUNTERS,
	MESSAGE_DRAINED,
};

struct message {
	struct mailbox_item item;
	enum message_kind kind;
	unsigned role;
	unsigned worker; /* toward main: the sender */
	union {
		struct {
			const struct server_config *config;  /* outlives the workers */
			struct tls_credentials *credentials; /* a reference */
			int fd;                              /* owned */
			unsigned worker_count;               /* of the role */
			uint8_t secret[32];
		} add_server;
		struct {
			const struct client_config *config;  /* outlives the workers */
			struct tls_credentials *credentials; /* a reference, or NULL */
			unsigned worker_count;
			uint8_t secret[32];
		} add_client;
		struct {
			uint64_t id;
			struct mapping mapping;
			int fd; /* owned; -1 for IN */
		} add_mapping;
		struct {
			uint64_t session_id;
			int error;
			int fd; /* owned; -1 when error */
			struct address bound;
		} claimed;
		struct {
			uint64_t session_id;
		} probe, release;
		struct {
			struct tls_credentials *credentials; /* a reference */
		} set_credentials;
		struct {
			bool held;
			uint64_t retry_after_ms;
		} hold, auth;
		struct {
			uint64_t
				deadline_ns; /* CLOCK_MONOTONIC, which is the same on all threads */
		} drain;
		struct {
			struct address local, remote;
			size_t bytes; /* of data[] */
		} datagram;
		struct {
			int error;
			char text[MESSAGE_TEXT_SIZE]; /* a sentence when error; "" otherwise */
		} started;
		struct server_claim claim;
		struct {
			uint64_t session_id;
			bool alive;
		} probed;
		struct {
			struct bus_event *event; /* the one reference */
			uint64_t lost; /* events before this one for which there was no room */
		} event;
		struct tunnel_counters counters;
	};
	uint8_t data[];
};

/* NULL when memory is short. Descriptors in it are -1 at first. */
struct message *message_new(enum message_kind kind, unsigned role, size_t data_bytes);
void message_free(struct message *m);

static inline struct message *message_of(struct mailbox_item *item)
{
	return (struct message *)item; /* its first member */
}
