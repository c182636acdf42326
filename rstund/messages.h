/* SPDX-License-Identifier: MIT */
/*
 * The whole protocol between threads. Toward a worker: what to serve, and answers; toward the main
 * thread: questions and what happened. Plain structs; the receiver owns the message and what it
 * carries (descriptors, references, events) and takes out of it what it keeps; message_free
 * releases the rest. `role` is the index of a role, the same on every thread and never used again;
 * `gather` is the number of the main thread's question that a message belongs to
 * (rstund/gather.h).
 */
#pragma once

#include "base/address.h"
#include "base/log.h"
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
#define MESSAGE_FLOW_TARGET_SIZE (ADDRESS_TARGET_TEXT_SIZE)
/* Most foreign datagrams that wait in a worker's mailbox. */
#define MESSAGE_DATAGRAMS_MAX 1024
/* Most log lines and other events that a peer can cause, waiting in the main mailbox. */
#define MESSAGE_EVENTS_MAX 4096

enum message_kind {
	/* main -> worker */
	MESSAGE_ADD_SERVER,      /* answered by STARTED */
	MESSAGE_ADD_CLIENT,      /* answered by STARTED */
	MESSAGE_ADD_MAPPING,     /* answered by STARTED */
	MESSAGE_REMOVE_ROLE,     /* answered by REMOVED with id 0, when its flows have ended */
	MESSAGE_REMOVE_MAPPING,  /* answered by REMOVED, when its flows have ended */
	MESSAGE_RESTART_MAPPING, /* not answered: its state says it */
	MESSAGE_KICK,            /* not answered: the end of the session is an event */
	MESSAGE_CLAIMED,         /* answer to CLAIM */
	MESSAGE_PROBE,       /* answered by PROBED */
	MESSAGE_SET_CREDENTIALS,
	MESSAGE_HOLD,
	MESSAGE_SETTINGS,
	MESSAGE_PING,       /* answered by GATHERED */
	MESSAGE_REPORT,     /* answered by COUNTERS, the last one of a role with its sum, then GATHERED */
	MESSAGE_LIST_FLOWS, /* answered by FLOWS, one per role, then GATHERED */
	MESSAGE_KILL_FLOWS, /* answered by GATHERED */
	MESSAGE_TEST,       /* answered by TESTED for each step, then GATHERED */
	MESSAGE_CANCEL_TEST,
	MESSAGE_OPEN_CHANNEL, /* answered by GATHERED */
	MESSAGE_DRAIN,  /* answered by DRAINED, once */
	MESSAGE_STOP,   /* frees all roles (COUNTERS for each before) and ends the thread */
	/* worker -> worker */
	MESSAGE_DATAGRAM,
	/* worker -> main */
	MESSAGE_STARTED,
	MESSAGE_REMOVED,
	MESSAGE_CLAIM,
	MESSAGE_RELEASE,
	MESSAGE_PROBED,
	MESSAGE_AUTH,
	MESSAGE_EVENT,
	MESSAGE_COUNTERS,
	MESSAGE_FLOWS,
	MESSAGE_TESTED,
	MESSAGE_GATHERED, /* this worker has nothing more to say to the question */
	MESSAGE_DRAINED,
};

/* Counters of a mapping or a session, in data[] of COUNTERS. */
struct message_counters {
	uint64_t id;
	struct tunnel_counters counters;
};

/* A flow, in data[] of FLOWS. */
struct message_flow {
	uint64_t flow_id, owner_id; /* mapping or session */
	enum mapping_proto proto;
	struct address source; /* len 0 = not known */
	uint64_t in_bytes, out_bytes, age_ms, idle_ms;
	char target[MESSAGE_FLOW_TARGET_SIZE];
};

struct message {
	struct mailbox_item item;
	enum message_kind kind;
	unsigned role;
	unsigned worker; /* toward main: the sender */
	uint64_t gather; /* of questions and their answers */
	union {
		struct {
			const struct server_config *config;  /* outlives the role's part */
			struct tls_credentials *credentials; /* a reference */
			int fd;                              /* owned */
			unsigned worker_count;               /* of the role */
			uint8_t secret[32];
		} add_server;
		struct {
			const struct client_config *config;  /* outlives the role's part */
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
			uint64_t id;
			uint64_t deadline_ns; /* until then its TCP flows may go on */
			uint64_t placement;   /* of the mapping */
		} remove;
		struct {
			uint64_t id; /* of the mapping */
		} restart;
		struct {
			uint64_t session_id;
		} probe, release, kick;
		struct {
			enum log_level level;
			bool flow_events; /* somebody wants to know of every flow */
		} settings;
		struct {
			uint64_t owner_id; /* mapping or session, 0 = all (LIST_FLOWS) */
			uint64_t flow_id;  /* KILL_FLOWS; 0 = all of the owner */
			uint64_t max;      /* LIST_FLOWS */
		} flows;
		struct {
			struct mapping mapping;
			bool has_mapping;
			uint64_t timeout_ms;
		} test;
		struct {
			int fd; /* owned */
			struct target target;
			enum mapping_proto proto;
			size_t early_bytes; /* of data[] */
			size_t reply_bytes; /* of data[], behind them */
		} open_channel;
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
			uint64_t id; /* of the mapping, 0 = the role */
			int error;
			char text[MESSAGE_TEXT_SIZE]; /* a sentence when error; "" otherwise */
		} started;
		struct {
			uint64_t id; /* of the mapping, 0 = the role's part is gone */
			struct tunnel_counters final;
			/* Nothing was there to remove: that of the question. A mapping may be told
			 * to leave twice, and be placed again before the second answer. */
			uint64_t placement;
		} removed;
		struct server_claim claim;
		struct {
			uint64_t session_id;
			bool alive;
		} probed;
		struct {
			struct bus_event *event; /* the one reference */
			uint64_t lost; /* events before this one for which there was no room */
		} event;
		struct {
			struct tunnel_counters sum; /* of the role, when `summed` */
			bool summed;
			size_t count; /* of struct message_counters in data[] */
		} counters;
		struct {
			size_t count;   /* of struct message_flow in data[] */
			uint64_t total; /* how many there are */
		} listed;
		struct {
			int step, outcome, error; /* enum probe_step, probe_outcome */
			uint64_t took_ms;
			char text[MESSAGE_TEXT_SIZE];
		} tested;
		struct {
			uint64_t count; /* KILL_FLOWS: ended */
			int error; /* TEST: it could not begin; OPEN_CHANNEL: it is none */
			char text[MESSAGE_TEXT_SIZE]; /* OPEN_CHANNEL, with an error */
			uint64_t took_ns; /* REPORT: how long the worker was at it */
		} gathered;
	};
	_Alignas(8) uint8_t data[];
};

/* NULL when memory is short. Descriptors in it are -1 at first. */
struct message *message_new(enum message_kind kind, unsigned role, size_t data_bytes);
void message_free(struct message *m);

static inline struct message *message_of(struct mailbox_item *item)
{
	return (struct message *)item; /* its first member */
}
