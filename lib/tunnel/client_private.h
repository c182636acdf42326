/* SPDX-License-Identifier: MIT */
/*
 * What client.c (the role: endpoint, resolvers, credentials, gate, hop, drain), client_change.c
 * (what is done to its mappings while it runs), client_mapping.c (the life of one mapping) and
 * client_session.c (one of its sessions) know of each other. Nobody else includes it.
 */
#pragma once

#include "base/backoff.h"
#include "base/loop.h"
#include "tunnel/client.h"
#include "tunnel/client_gate.h"
#include "tunnel/dial.h"
#include "tunnel/egress.h"
#include "tunnel/flows.h"
#include "tunnel/limits.h"
#include "tunnel/session_stream.h"

#include <sys/queue.h>

struct client_probe;
struct connect;
struct quic_endpoint;
struct tls_session;

#define CLIENT_TEXT_SIZE 640

/* A mapping on its way out (client_change.c). */
struct client_removal {
	bool asked;
	struct loop_timer timer; /* its flows have had their time */
	struct loop_task task;   /* frees the mapping */
	void (*on_removed)(void *user, uint64_t id, const struct tunnel_counters *final);
	void *user;
};

struct client_mapping {
	TAILQ_ENTRY(client_mapping) link;
	struct client *client;
	uint64_t id;
	struct mapping mapping;
	char scope[MAPPING_TEXT_SIZE + 8]; /* for log lines: "tcp OUT^..." */
	struct address bound;              /* OUT: our listener; IN: the server's, while known */
	struct flows flows;

	enum tunnel_state state;
	struct backoff backoff;
	struct loop_timer timer; /* the next attempt */
	unsigned attempt;
	uint64_t attempt_ns;     /* when it began */
	bool gated;              /* waits for the client's gate */
	bool attempting;         /* from the first lookup to the login's answer */
	bool queued;             /* waits until fewer do */
	TAILQ_ENTRY(client_mapping) queue_link;
	bool stopped;            /* no attempt any more */
	struct client_removal removal;

	/* one attempt */
	struct connect *connect;
	struct quic_conn *conn;  /* from the handshake on until its on_close */
	struct session_stream control;
	bool logged_in;
	/* Streams of the server's that overtook its answer to the login: nothing is done for them
	 * before it. Without this credit the first datagrams of an IN mapping would be lost. */
	struct quic_stream *early[LIMITS_EARLY_STREAMS];
	size_t early_count;
	bool unverified;
	const char *cipher;      /* static; NULL before the handshake */
	struct address peer;     /* len 0 = none yet */
	char software[WIRE_SOFTWARE_MAX + 1];
	int fail_error;          /* why we close, 0 = not */
	uint32_t fail_retry_ms;
	bool fail_vague;         /* refused without a reason: is it the password or the mapping? */
	char fail_text[CLIENT_TEXT_SIZE];

	/* An upstream given by name, toward the original, which knows addresses only. */
	bool resolve_here;
	/* This end is not a failure: log in anew, with the address, or because of a restart. */
	bool again;
	struct dial dial;
	struct address upstream;

	struct tunnel_counters closed; /* of connections before this one */
	uint64_t tally;                /* number of the last one that showed it */
};

TAILQ_HEAD(client_mapping_list, client_mapping);
LIST_HEAD(client_probe_list, client_probe);

/* A look at all counters, in pieces. */
struct client_tally {
	uint64_t number;
	struct client_mapping *next; /* NULL: none is under way */
	struct tunnel_counters sum;
};

/* The tunnel of channels of one protocol. */
struct client_channels {
	struct client *client;
	struct client_mapping *mapping; /* in `mappings`; NULL = there is none */
	struct loop_timer timer;        /* it has been idle */
};

struct client {
	struct client_params params;
	const struct tunnel_env *env;
	const struct client_config *config;
	struct quic_endpoint *endpoint;
	struct resolver *resolver;      /* for the server's names: --dot, --dns or the system */
	struct resolver *dial_resolver; /* for what is dialled here: the system; may be the same */
	struct tls_credentials *system, *unverified; /* made when first needed */
	struct egress egress;
	struct client_mapping_list mappings;
	struct client_gate gate;
	struct loop_timer pilot_timer;
	struct loop_timer hop_timer;
	struct client_mapping_list queue; /* those that wait their turn to connect */
	size_t attempts;                  /* mappings that connect now */
	struct client_probe_list probes;  /* running (client_probe.h) */
	size_t sni_turn;
	size_t vague_refusals;  /* in a row, while the password is not known to be right */
	struct tunnel_counters removed; /* of mappings that are gone */
	struct client_tally tally;
	struct client_channels channels[2]; /* by protocol */
	uint64_t channels_made;
	bool vague_open; /* refused without a reason, and nobody was left to try: who comes may */
	bool freeing;

	bool draining;
	struct loop_timer drain_timer;
	struct loop_task drain_task;
	void (*on_drained)(void *user);
	void *drain_user;
};

/* ---- client_mapping.c ---- */

/* Takes `fd` over, on failure too. */
int client_mapping_new(struct client_mapping **ret, struct client *c, uint64_t id,
		       const struct mapping *mapping, int fd);
/* Tries now, if the gate lets it. */
void client_mapping_go(struct client_mapping *m);
/* No attempt any more, no new flows; its connection is closed when its flows have ended, or now. */
void client_mapping_stop(struct client_mapping *m, bool now);
/* Gives up what it does or waits for and tries again from the loop. Not one that was stopped. */
void client_mapping_restart(struct client_mapping *m);
/* The only way to change its state; emits the event. */
void client_mapping_set_state(struct client_mapping *m, enum tunnel_state now, int error,
			      const char *text, uint64_t next_retry_ms);
/* An attempt or a session is over; the connection is gone. */
void client_mapping_ended(struct client_mapping *m, int error, const char *text,
			  uint64_t retry_after_ms);
/* It leaves the list of mappings; `final` is what it counted. */
void client_tally_removed(struct client_mapping *m, const struct tunnel_counters *final);
void client_mapping_counters(struct client_mapping *m, struct tunnel_counters *ret);
/* Ends everything that could call; then, when the endpoint is gone, the memory. */
void client_mapping_shut(struct client_mapping *m);
void client_mapping_free(struct client_mapping *m);

/* ---- client_channel.c ---- */

void client_channel_init(struct client *c);
void client_channel_done(struct client *c);
/* Of any mapping. It has nothing to do. / An attempt failed, and the next one comes late. */
void client_channel_on_idle(struct client_mapping *m);
void client_channel_on_failed(struct client_mapping *m, int error, const char *text);
/* The flows of the tunnel of channels for UDP, which is made if need be. NULL: memory is short, or
 * the client is going. */
struct flows *client_channel_udp(struct client *c);

/* ---- client_session.c ---- */

/* The handshake is done: logs in. client_mapping_ended follows when it is over. */
void client_session_start(struct client_mapping *m, struct quic_conn *conn);

/* ---- client_change.c ---- */

struct client_mapping *client_find(struct client *c, uint64_t id); /* NULL: none */
void client_change_init(struct client_mapping *m);
void client_change_done(struct client_mapping *m); /* nothing of a removal follows */

/* ---- client_probe.c ---- */

/* All that run, without a word to their owners. */
void client_probe_cancel_all(struct client *c);

/* ---- client.c ---- */

/* A TLS session toward one address of one server, with the credentials that fit. */
int client_make_session(struct client *c, const struct target *server,
			const struct address *address, struct tls_session **ret);
/* How an attempt went (0 = logged in; m->fail_vague); wakes those who waited. */
void client_attempted(struct client *c, struct client_mapping *m, int error,
		      uint64_t retry_after_ms);
/* May it try now? If not it is called again (client_mapping_go) when it may. */
bool client_begin_attempt(struct client *c, struct client_mapping *m);
/* It does not try any more, or does not want to; no-op when it did not. */
void client_end_attempt(struct client *c, struct client_mapping *m);
/* It is about to be stopped for good: whoever waited for it goes on. */
void client_leave(struct client *c, struct client_mapping *m);
/* A stopped mapping has no connection any more (drain, removal). */
void client_mapping_gone(struct client_mapping *m);
void client_emit(const struct client *c, const struct tunnel_event *event);
