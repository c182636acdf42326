/* SPDX-License-Identifier: MIT */
/*
 * One QUIC connection (RFC 9000) on top of ngtcp2, without sockets, clock or loop: packets, paths
 * and `now_ns` come in, packets go out. Its owner is a quic_host (the endpoint, or a test rig),
 * which feeds packets, asks for packets and arms the one deadline. Users hold it by pointer until
 * on_close returns.
 *
 * All ngtcp2 callbacks are in conn_callbacks.c and only record facts; quic_conn_dispatch turns them
 * into calls of the ops tables. Nothing is freed inside a callback.
 */
#pragma once

#include "base/address.h"
#include "quic/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunk_pool;
struct log;
struct quic_host;
struct tls_session;

enum quic_congestion {
	QUIC_CONGESTION_BBR,
	QUIC_CONGESTION_CUBIC,
	QUIC_CONGESTION_RENO,
};

enum quic_close_kind {
	QUIC_CLOSE_LOCAL,	   /* we closed it */
	QUIC_CLOSE_PEER_APP,	   /* CONNECTION_CLOSE with an application error from the peer */
	QUIC_CLOSE_PEER_TRANSPORT, /* the same with a transport error (a TLS alert: tls_alert) */
	QUIC_CLOSE_IDLE,	   /* idle timeout: nothing came for the negotiated time */
	QUIC_CLOSE_HANDSHAKE_TIMEOUT,
	QUIC_CLOSE_STATELESS_RESET, /* the peer forgot us (restarted): RFC 9000 section 10.3 */
	QUIC_CLOSE_TLS,		    /* our side refused the handshake: `error` says why */
	QUIC_CLOSE_VERSION,	    /* the peer speaks no version of ours */
	QUIC_CLOSE_ERROR,	    /* a protocol violation of the peer's or memory ran out */
};

struct quic_close {
	enum quic_close_kind kind;
	uint64_t code;	     /* application or transport error code */
	int error;	     /* enum rstun_error that fits best */
	bool handshake_done; /* it was usable before */
	char reason[256];    /* for people; text of a peer's is already quoted */
};

struct quic_conn_ops {
	/* The handshake is complete and the peer verified; streams may be opened. */
	void (*on_ready)(struct quic_conn *c, void *user);
	/* The peer opened a stream. Set its ops here; without, it is aborted. */
	void (*on_stream)(struct quic_conn *c, void *user, struct quic_stream *s);
	/* A stream that quic_conn_open_stream refused with RSTUN_E_LIMIT_REACHED can be opened now.
	 */
	void (*on_streams_available)(struct quic_conn *c, void *user);
	/* The peer or we moved to another address. */
	void (*on_path)(struct quic_conn *c, void *user);
	/* The last call; every stream had its on_close before. The connection is gone after it. */
	void (*on_close)(struct quic_conn *c, void *user, const struct quic_close *why);
};

/* Counters since the connection began; bytes are UDP payload bytes. */
struct quic_stats {
	uint64_t rx_bytes, tx_bytes;
	uint64_t rx_packets, tx_packets;     /* QUIC packets */
	uint64_t rx_datagrams, tx_datagrams; /* UDP datagrams */
	uint64_t lost_packets, lost_bytes;
	uint64_t congestion_events; /* round trips in which packets were lost */
	uint64_t rtt_ns, min_rtt_ns, rttvar_ns;
	uint64_t cwnd_bytes, in_flight_bytes;
	uint32_t mtu_bytes; /* largest UDP payload we send now */
	/* DATAGRAM frames; dropped: received ones that belong to no stream, came too early, too
	 * many or malformed, and those to be sent that the path does not carry or not in time. */
	uint64_t rx_datagram_frames, tx_datagram_frames, dropped_datagram_frames;
	uint32_t max_datagram; /* see quic_conn_max_datagram */
	uint64_t streams_open;
};

/* Limits and habits of a connection. */
struct quic_config {
	uint64_t idle_timeout_ns;
	uint64_t keep_alive_ns; /* 0 = none; the client's, from quic_conn_start_keep_alive on */
	uint64_t handshake_timeout_ns;
	enum quic_congestion congestion;
	uint64_t max_stream_window;    /* receive window a stream may grow to */
	uint64_t max_window;	       /* the same for the connection */
	uint64_t streams_before_login; /* bidirectional streams the peer may open at first (server:
					  1) */
	size_t send_buffer_bytes;      /* most bytes per stream that are not sent yet */
	size_t send_window_max_bytes;  /* most unacknowledged bytes per stream, see stream.c */
	size_t datagram_queue_bytes; /* most that waits to be sent in DATAGRAM frames */
	size_t held_max_bytes; /* received and not yet consumed, over all streams, above which the
				  peer gets no more credit of the connection */
	const uint16_t *pmtud_probes; /* UDP payload sizes to try, ascending; NULL = defaults */
	size_t pmtud_probe_count;
};

void quic_config_default(struct quic_config *config);

/* Never fails for lack of credit in the connection; RSTUN_E_LIMIT_REACHED when the peer allows no
 * more streams now (wait for on_streams_available), RSTUN_E_CLOSED, RSTUN_E_NOMEM. The stream is
 * announced to the peer at once by a zero-length STREAM frame, so that protocols in which the far
 * side speaks first work. */
int quic_conn_open_stream(struct quic_conn *c, const struct quic_stream_ops *ops, void *user,
			  struct quic_stream **ret);

void quic_conn_set_ops(struct quic_conn *c, const struct quic_conn_ops *ops, void *user);
void *quic_conn_user(const struct quic_conn *c);

/* Sends CONNECTION_CLOSE with an application error. Streams and then the connection get on_close
 * from the next dispatch, never from inside this call. Safe in any callback; only the first call
 * counts. */
void quic_conn_close(struct quic_conn *c, uint64_t app_error, const char *reason);

/* After login: the peer may have `streams` bidirectional streams open at once and gets a larger
 * window. */
void quic_conn_allow_streams(struct quic_conn *c, uint64_t streams);

/* Both sides agreed on DATAGRAM frames (RFC 9221); from now on they may be used at the streams that
 * the server opens, or else the client. What came before is not lost if it came just before. */
void quic_conn_start_datagrams(struct quic_conn *c, bool server_opens);

/* The largest payload that one of them carries on the path as it is now; 0 = they are not used. */
size_t quic_conn_max_datagram(const struct quic_conn *c);

/* From now on PING after config.keep_alive_ns of silence (RFC 9000 section 10.1.2). */
void quic_conn_start_keep_alive(struct quic_conn *c);

/* Asks the peer for an acknowledgement. `done` is called once: alive = true when one arrives, false
 * when `timeout_ns` passed or the connection ended. One probe at a time; RSTUN_E_ALREADY_EXISTS. */
int quic_conn_probe(struct quic_conn *c, uint64_t timeout_ns,
		    void (*done)(struct quic_conn *c, void *user, bool alive), void *user);

void quic_conn_stats(struct quic_conn *c, struct quic_stats *ret);
const struct address *quic_conn_remote(const struct quic_conn *c);
const struct address *quic_conn_local(const struct quic_conn *c);
bool quic_conn_is_ready(const struct quic_conn *c);
bool quic_conn_is_server(const struct quic_conn *c);
struct tls_session *quic_conn_tls(const struct quic_conn *c);

/* "ngtcp2 1.24.0 (static)" for --version, and whether BBR carries our loss threshold. */
const char *quic_library_version(void);
bool quic_library_bbr_patched(void);
