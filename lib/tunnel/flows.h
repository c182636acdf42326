/* SPDX-License-Identifier: MIT */
/*
 * The flows of one mapping (client) or one session (server). Role and direction are the owner's
 * business; here are two verbs, the same in both roles:
 *   listen: a socket of ours is served; each connection or UDP source opens a stream.
 *   dial:   a stream that the peer opened is joined to a target.
 * A listener may outlive tunnels: connections accepted while there is none (or no credit for
 * streams) wait a bounded time. Embedded by its owner; nothing of it is left after flows_done.
 */
#pragma once

#include "base/address.h"
#include "base/loop.h"
#include "base/mapping.h"
#include "relay/end.h"
#include "relay/udp_flow.h"
#include "tunnel/event.h"
#include "tunnel/flow_program.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct egress;
struct flow_asked;
struct flow_associate;
struct flow_tcp;
struct flow_udp;
struct permit;
struct quic_conn;
struct quic_stream;
struct resolver;
struct tcp_listener;
struct tunnel_env;

LIST_HEAD(flow_tcp_list, flow_tcp);
LIST_HEAD(flow_udp_list, flow_udp);
LIST_HEAD(flow_associate_list, flow_associate);
TAILQ_HEAD(flow_tcp_queue, flow_tcp);
TAILQ_HEAD(flow_asked_list, flow_asked);

/* A flow that ended, for the flow log. */
struct flow_end {
	uint64_t id; /* as flow_info.flow_id */
	enum mapping_proto proto;
	const struct address *source; /* NULL = not known here */
	const char *target;           /* "" = not known here */
	uint64_t in_bytes, out_bytes;
	uint64_t duration_ms;
	enum flow_error error;
};

/* A flow that is there now, for who asks; borrowed for the call. */
struct flow_info {
	uint64_t flow_id;  /* from 1, never used again within the mapping or session */
	uint64_t owner_id; /* of the mapping (client) or session (server) */
	enum mapping_proto proto;
	const struct address *source; /* NULL = not known here (the far side accepted it) */
	const char *target;           /* "" = not known here (the far side dials), or not yet */
	/* Payload: from the socket on this side into the tunnel, and out of it. */
	uint64_t in_bytes, out_bytes;
	uint64_t age_ms;
	uint64_t idle_ms; /* since a byte or datagram last moved, either way */
};

struct flows_config {
	const struct tunnel_env *env;
	struct resolver *resolver;   /* for names that are dialled */
	struct egress *egress;       /* for dials */
	/* TCP connections to this target begin with a PROXY header (proxy_header.h) that names the
	 * peer of the tunnel; borrowed, NULL = none do. */
	const struct target *proxy_target;
	const char *scope;           /* for log lines */
	void (*on_flow)(void *user, const struct flow_end *end);
	/* No TCP flow is left (and none waits). */
	void (*on_idle)(void *user);
	/* Somebody asks for UDP by SOCKS5: the flows of a tunnel of channels for it; NULL = there is
	 * none to have. May be NULL where nobody is asked. */
	struct flows *(*on_associate)(void *user);
	/* Asks a program about a TCP stream of the peer's. NULL = nobody is asked. */
	enum flow_answer (*on_request)(void *user, struct flow_request *request,
				       struct flow_program *ret_program);
	const char *proxy_auth; /* who may ask, USER:PASSWORD; NULL = everybody. Borrowed */
	/* What streams of the peer's may ask to be joined to. Borrowed. */
	const struct permit *permits;
	size_t permit_count;
	void *user;
};

struct flow_waiting {
	STAILQ_ENTRY(flow_waiting) link;
	int fd;
	struct address source;
	uint64_t deadline_ns;
};

STAILQ_HEAD(flow_waiting_list, flow_waiting);

/* What the peers agreed on at login. */
struct flows_tunnel {
	struct quic_conn *conn;
	bool peer_is_original;
	uint64_t tcp_idle_ms; /* 0 = never */
	uint64_t udp_idle_ms;
};

struct flows {
	struct flows_config config;
	struct flows_tunnel tunnel; /* conn NULL = none now */
	struct tcp_listener *listener;
	struct udp_opener *opener;
	struct flow_tcp_list tcp;
	struct flow_udp_list udp;
	size_t tcp_count, udp_count;
	struct flow_tcp_queue dials;    /* streams of the peer's whose dial has not begun */
	unsigned dialled;               /* in the turn of the loop at dialled_ns */
	uint64_t dialled_ns;
	struct loop_task dial_task;
	enum target_kind asks;          /* of whom is accepted: SOCKS5, HTTP; else nothing */
	bool proxied;                   /* flows_listen_proxied */
	struct flow_asked_list asked;   /* those that are asked */
	struct flow_asked_list ready;   /* those that have answered and wait for a stream */
	size_t asked_count;             /* of both */
	struct flow_associate_list associates;
	size_t associate_count;
	struct flow_waiting_list waiting;
	size_t waiting_count;
	struct loop_timer wait_timer;
	bool draining, done;
	uint64_t total;                 /* flows since the start: the last one's id */
	uint64_t ended_in, ended_out;   /* payload of TCP flows that ended */
	struct udp_counters udp_counters;
	bool udp_warned;                /* that datagrams are too large for the far side */
};

void flows_init(struct flows *f, const struct flows_config *config);

/* Serves a bound socket, taken over, on failure too. `udp_idle_ms` for UDP. */
int flows_listen_tcp(struct flows *f, int fd);
/* The same; each connection says by SOCKS5 or HTTP CONNECT (TARGET_...) what it wants to reach. */
int flows_listen_asking(struct flows *f, int fd, enum target_kind asks);
/* As flows_listen_tcp; each begins in the tunnel with a PROXY header that names who connected. */
int flows_listen_proxied(struct flows *f, int fd);
int flows_listen_udp(struct flows *f, int fd, uint64_t udp_idle_ms);

/* A near end that is no socket but a program, which moves the stream's bytes itself. */
struct flow_program {
	/* There is a stream. Its end is the program's from now on, who sets its owner and frees it;
	 * the flow must be told what moves (flow_program_moved) and ended (flow_program_close). */
	void (*on_open)(void *user, struct end *end, struct flow_tcp *flow);
	/* The flow was ended from this side: it is gone, the end is not. Or it was one that the
	 * program was asked about, which has ended by itself. */
	void (*on_cut)(void *user, enum flow_error error);
	void *user;
};

/* UDP of a program's, whose datagrams each name their target (relay/udp_flow.h). None of its calls
 * may end it or touch the client. */
struct flow_datagrams {
	struct udp_program program; /* its user is that of all calls */
	/* There is a tunnel, perhaps again; may come from inside of the beginning. */
	void (*on_open)(void *user);
	/* It is gone: there was no tunnel in time, or there will be none. */
	void (*on_failed)(void *user, int error, const char *text);
};

/* A flow whose near end was accepted elsewhere, with what it wants to reach. */
struct flow_channel {
	int fd;                      /* taken over when flows_open_channel returns 0; -1: none */
	const struct flow_program *program; /* copied; in place of fd, or NULL */
	const struct target *target; /* these three are copied */
	const uint8_t *early;        /* bytes that came already, at most PROXY_HEAD_MAX */
	size_t early_bytes;
	const uint8_t *reply; /* goes to fd when the stream is open; borrowed until done */
	size_t reply_bytes;
	/* Both taken over with fd; -1 = none. A socket may not know a reset from an end of file, so
	 * `status_fd` gets a line at the flow's end, "0" or an error's number (negated) and text; and
	 * pass_fd, its other end, goes to fd with the reply (SCM_RIGHTS). */
	int status_fd, pass_fd;
	/* Once: 0 = it is a flow now; or why not, and the descriptor has been closed, without a
	 * word. May come from inside the call. */
	void (*done)(void *user, int error, const char *text);
	void *user;
};

/* Closes its descriptors, for who has not handed it over. */
void flow_channel_close(const struct flow_channel *channel);
/* The reply, and with it pass_fd unless that is -1, to a socket that has room for it. */
bool flow_channel_reply(int fd, const uint8_t *reply, size_t reply_bytes, int pass_fd);
/* How it ended, to status_fd, which is closed. False: nobody reads it. */
#define FLOW_CHANNEL_LINE 256 /* most bytes of the line */
bool flow_channel_tell(int status_fd, int error, const char *text);
/* It waits for a tunnel as one does that was accepted. RSTUN_E_LIMIT_REACHED, RSTUN_E_TOO_LARGE,
 * RSTUN_E_NOMEM, RSTUN_E_SHUTTING_DOWN; then `done` is not called. */
int flows_open_channel(struct flows *f, const struct flow_channel *channel);
/* The one with that `user` waits no longer; `done` is not called. */
void flows_cancel_channel(struct flows *f, const void *user);
/* UDP of a program's (flow_associate.h). It outlives tunnels, and fails when there has been none for
 * CONFIG_CONNECT_TIMEOUT_MS. RSTUN_E_LIMIT_REACHED, RSTUN_E_NOMEM, RSTUN_E_SHUTTING_DOWN. */
int flows_open_udp(struct flows *f, const struct flow_datagrams *program, uint64_t udp_idle_ms,
		   struct flow_associate **ret);
/* The tunnel will not come: those that have said what they want to reach need not wait for it. */
void flows_fail_waiting(struct flows *f, int error, const char *text);
bool flows_is_idle(const struct flows *f); /* no TCP flow, and nothing that may become one */

/* There is a tunnel; what waits for it goes on. / It is gone: its flows end by themselves, now. */
void flows_attach(struct flows *f, const struct flows_tunnel *tunnel);
void flows_detach(struct flows *f);
/* The peer allows more streams. */
void flows_resume(struct flows *f);

/* A stream of the peer's: joins it to `fixed`, to the target at its beginning when `header`, or to
 * `fallback` (dial_choose). A `fixed` of SOCKS5 or HTTP: the stream begins with such a client's
 * request, which is answered. Takes the stream over. UDP streams always begin with a target. */
void flows_dial_tcp(struct flows *f, struct quic_stream *stream, const struct target *fixed,
		    bool header, const struct target *fallback);
void flows_dial_udp(struct flows *f, struct quic_stream *stream, const struct target *fixed,
		    const struct target *fallback);

/* No new flows; what waits is reset. UDP ends at once, TCP flows may end; on_idle follows, from
 * inside when there is none. */
void flows_drain(struct flows *f);

size_t flows_tcp_count(const struct flows *f);
void flows_counters(const struct flows *f, struct tunnel_counters *sum);
/* Shows each flow, under its owner's id. A visit must not change any. */
void flows_visit(const struct flows *f, uint64_t owner_id,
		 void (*visit)(void *user, const struct flow_info *flow), void *user);
/* Ends the flow with that id, or all for 0, now: TCP with a reset on both sides; a UDP source gets
 * a new flow with its next datagram. Returns how many there were. */
size_t flows_kill(struct flows *f, uint64_t flow_id);

/* Ends everything now; on_flow is still told of each, on_idle is not called. */
void flows_done(struct flows *f, enum flow_error error);
/* A stream of the peer's that leads nowhere: aborts it; the original is not told why. */
void flows_refuse(const struct flows *f, struct quic_stream *stream, enum flow_error error);

/* ---- between flows.c and flow_*.c ---- */
void flows_tcp_ended(struct flows *f);
void flows_associate_ended(struct flows *f);
/* For openers: a stream of the tunnel's as an end, and the flow's number; NULL = no tunnel now. */
struct end *flows_udp_open(void *user, const struct address *source, uint64_t *ret_id);
/* Closes a socket so that its peer gets RST. */
void flows_reset_fd(int fd);
/* Why a flow ends whose target dial_resolve could not find. */
enum flow_error flows_dial_error(int error);
