/* SPDX-License-Identifier: MIT */
/*
 * What the engine tells its owner while it runs: one struct per happening, on the thread where it
 * happened, borrowed for the call. The daemon copies it onto its bus (log lines and, later, the
 * control API's events are made from there); a program that embeds the engine gets the same
 * structs. Field names and state words are the original's (connecting, connected, tunneling,
 * reconnecting), with our own beside them.
 */
#pragma once

#include "base/address.h"
#include "base/mapping.h"

#include <stdbool.h>
#include <stdint.h>

enum tunnel_state {
	TUNNEL_IDLE,         /* not started */
	TUNNEL_CONNECTING,
	TUNNEL_CONNECTED,    /* handshake done, login not answered yet */
	TUNNEL_TUNNELING,    /* logged in: traffic flows */
	TUNNEL_RECONNECTING, /* waits for its next attempt */
	TUNNEL_FAILED,       /* retries slowly: authentication or configuration */
	TUNNEL_STOPPED,
};

const char *tunnel_state_name(enum tunnel_state state); /* "connecting", ... */

/* Totals since start of the process or the mapping; closed connections are included. */
struct tunnel_counters {
	uint64_t rx_bytes, tx_bytes;     /* UDP payload bytes of QUIC */
	uint64_t rx_dgrams, tx_dgrams;
	uint64_t sent_packets, lost_packets, lost_bytes, congestion_events;
	/* What applications sent into, and got out of, the tunnel. */
	uint64_t payload_in_bytes, payload_out_bytes;
	uint64_t active_conns;           /* flows now */
	uint64_t total_conns;
	/* Of the connection with the most traffic; max_datagram: the largest UDP payload that
	 * travels in a DATAGRAM frame, 0 = none does. */
	uint64_t rtt_ms, cwnd_bytes, current_mtu, max_datagram;
	uint64_t udp_dropped;
	uint64_t rx_datagram_frames, tx_datagram_frames; /* UDP payloads that came and went so */
};

enum tunnel_event_type {
	TUNNEL_EVENT_STATE,   /* client role: a mapping changed its state */
	TUNNEL_EVENT_STAT,    /* counters; the owner makes it from what it asks for */
	TUNNEL_EVENT_SESSION, /* server role: a session logged in, was refused or ended */
	TUNNEL_EVENT_FLOW,    /* a flow ended (for the flow log) */
	TUNNEL_EVENT_ROLE,    /* a server is listening, draining, stopped */
};

enum tunnel_session_change {
	TUNNEL_SESSION_LOGIN,
	TUNNEL_SESSION_REFUSED,
	TUNNEL_SESSION_ENDED,
};

struct tunnel_event {
	enum tunnel_event_type type;
	uint64_t id; /* of the mapping (client) or the session (server); unique in the role */
	enum mapping_mode mode;
	enum mapping_proto proto;
	const struct mapping *mapping; /* NULL for channel sessions and role events */
	const struct address *peer;  /* the QUIC peer, NULL when there is none */
	int error;                   /* enum rstun_error; 0 = none */
	const char *text;            /* the reason or a remark, for people; "" when there is none */
	union {
		struct {
			enum tunnel_state prev, now;
			unsigned attempt;
			uint64_t next_retry_ms;      /* RECONNECTING and FAILED */
			uint64_t took_ms;            /* TUNNELING: since CONNECTING */
			/* OUT: our listener; IN: the server's, if it told; or NULL. */
			const struct address *bound;
			bool unverified; /* TLS: nothing was verified */
			const char *cipher; /* static; NULL before the handshake */
			/* Quoted: "rstund 0.1.0", or "" (the original, or unknown). */
			const char *peer_software;
		} state;
		struct {
			enum tunnel_session_change change;
			const struct address *bound; /* IN listener */
			const char *peer_software;
			const char *cipher; /* static; LOGIN only */
		} session;
		struct {
			uint64_t id; /* unique in the mapping or session */
			const struct address *source;
			const char *target;
			uint64_t in_bytes, out_bytes;
			uint64_t duration_ms;
		} flow;
		struct tunnel_counters stat;
		struct {
			enum tunnel_state now; /* TUNNELING = listening */
			const struct address *bound;
		} role;
	};
};
