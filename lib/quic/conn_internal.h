/* SPDX-License-Identifier: MIT */
/*
 * What the files of quic/ share about connections and streams. Included by quic/ only.
 *
 * Life of a connection: made by quic_conn_new, fed by quic_conn_read and quic_conn_expire, asked
 * for packets by quic_conn_write. Facts are recorded in bits and on the notify list;
 * quic_conn_dispatch turns them into calls of the users. When it has ended (quic_conn_ended)
 * dispatch makes the last calls, and the host frees it with quic_conn_free, outside of any call of
 * the connection.
 */
#pragma once

#include "base/chunk.h"
#include "quic/conn.h"
#include "quic/datagram.h"

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <sys/queue.h>

#define QUIC_CID_BYTES 16     /* our connection IDs; the first byte names the worker */
#define QUIC_PACKET_MAX 65527 /* largest UDP payload ever sent (NGTCP2_MAX_TX_UDP_PAYLOAD_SIZE) */
#define QUIC_WINDOW_BYTES 1048576 /* of the connection, after login (client: from the start) */
#define QUIC_SMALL_PACKET_BYTES 1200u /* every QUIC path carries it (RFC 9000 section 14.1) */
#define QUIC_STREAM_QUANTUM 16384 /* bytes a stream may send before the next one has its turn */

/* Facts about a stream that dispatch has to tell its user. */
enum quic_stream_fact {
	STREAM_FACT_NEW = 1 << 0,
	STREAM_FACT_READABLE = 1 << 1,
	STREAM_FACT_RESET = 1 << 2,
	STREAM_FACT_STOP = 1 << 3,
	STREAM_FACT_WRITABLE = 1 << 4,
	STREAM_FACT_DATAGRAMS = 1 << 5,
};

struct quic_stream {
	struct quic_conn *conn;
	int64_t id;
	const struct quic_stream_ops *ops;
	void *user;

	/* receiving */
	struct chunk_queue rx;
	bool rx_fin;	 /* the peer's FIN is behind rx */
	bool rx_reset;	 /* RESET_STREAM came: nothing more will */
	bool rx_discard; /* we gave up reading */
	uint64_t reset_code;
	struct chunk_queue datagrams; /* that came for it, each behind its length (u16 BE) */
	size_t datagram_count;
	size_t datagram_unsent; /* bytes of its datagrams that wait to be sent; a FIN waits for them */

	/* sending */
	struct chunk_queue tx;
	uint64_t tx_sent; /* offset up to which bytes are in packets */
	bool announce;	  /* an empty STREAM frame is due */
	bool announced;	  /* some STREAM frame has been sent */
	bool tx_finish;	  /* FIN after the last byte */
	bool tx_fin_sent;
	bool tx_closed;	 /* reset or stopped: no more bytes are taken */
	bool tx_full;	 /* reserve found no room: on_writable is owed */
	bool tx_blocked; /* by the stream's flow control, until MAX_STREAM_DATA */
	size_t quantum;
	uint64_t stop_code;

	bool gone; /* ngtcp2 has closed it: no call of ngtcp2's names it any more */
	unsigned facts;
	bool in_notify, in_send,
		in_held; /* in_held: in_send, and on the connection's list `held` */
	TAILQ_ENTRY(quic_stream) notify_link, send_link, link;
};

TAILQ_HEAD(quic_stream_list, quic_stream);

/* What a connection needs of its owner. */
struct quic_host_ops {
	/* Makes a new connection ID that leads to `c`, and its stateless reset token. */
	int (*new_cid)(struct quic_host *h, struct quic_conn *c, ngtcp2_cid *cid,
		       ngtcp2_stateless_reset_token *token);
	void (*remove_cid)(struct quic_host *h, struct quic_conn *c, const ngtcp2_cid *cid);
	/* A packet of no known connection that ends with this token is a stateless reset of `c`
	 * (RFC 9000 section 10.3.1), as long as `add` stands. */
	void (*reset_token)(struct quic_host *h, struct quic_conn *c, const uint8_t *token,
			    bool add);
	/* Something is to be dispatched or written: call quic_conn_dispatch and _write soon (not
	 * now). */
	void (*wake)(struct quic_host *h, struct quic_conn *c);
	/* The handshake has been completed (server: it is no longer half-open). */
	void (*handshake_done)(struct quic_host *h, struct quic_conn *c);
};

struct quic_host {
	const struct quic_host_ops *ops;
};

enum quic_conn_fact {
	CONN_FACT_READY = 1 << 0,
	CONN_FACT_STREAMS = 1 << 1,
	CONN_FACT_PATH = 1 << 2,
};

struct quic_conn {
	struct quic_host *host;
	void *host_data; /* the endpoint's record of this connection */
	const struct log *log;
	struct chunk_pool *pool;
	ngtcp2_conn *ng;
	ngtcp2_crypto_conn_ref ref;
	struct tls_session *tls;
	struct quic_config config;
	uint16_t probes[8];
	bool server;
	uint64_t now_ns;

	const struct quic_conn_ops *ops;
	void *user;

	uint64_t withheld_bytes; /* credit that waits until less is held */
	size_t held_bytes;	 /* received and not consumed, all streams */

	struct quic_stream_list streams;
	struct quic_stream_list notify; /* have facts */
	struct quic_stream_list send;	/* have something to send, in turn */
	struct quic_stream_list held;	/* the same, but the connection's flow control is used up */
	bool credit_maybe;		/* a packet came since: `held` may have its turn */
	size_t stream_count;
	bool streams_wanted; /* an open was refused for lack of credit */
	struct quic_datagrams datagrams;

	unsigned facts;
	bool ready; /* on_ready is due or was called */
	bool handshake_confirmed;
	bool close_requested;
	bool acks_written;  /* what the peer sent before was acknowledged, as far as it can be */
	bool close_written; /* CONNECTION_CLOSE is in a packet (close_packet) */
	bool ended;	    /* no packet will come or go any more: last calls are due */
	struct quic_close close;
	uint64_t close_app_error;
	ngtcp2_ccerr ccerr; /* of our own close */
	bool stateless_reset;
	bool retry_due; /* server, first packet: the client must show its address before more is
			   kept */

	struct address local, remote;

	/* round trips with losses (ngtcp2 has no counter of congestion events) */
	uint64_t cwnd_bytes; /* the congestion window, as it was at the last dispatch */
	uint64_t lost_seen;
	uint64_t loss_round_end_ns;
	uint64_t congestion_events;
	uint64_t rx_bytes, tx_bytes, rx_datagrams, tx_datagrams;

	/* keep-alive and probing */
	bool keep_alive_on;
	void (*probe_done)(struct quic_conn *c, void *user, bool alive);
	void *probe_user;
	uint64_t probe_timeout_ns, probe_deadline_ns, probe_base_packets;
	bool probe_ping; /* the PING of a probe is still to be written */

	/* watchdog against a path whose MTU shrank (TRANSPORT rule 10) */
	uint64_t black_hole_since_ns; /* large packets unanswered since; CLOCK_NEVER = none */
	uint64_t tx_unacked;	      /* stream bytes in packets that still matter, all streams */
	bool large_sent;	      /* some of them in a large packet */
	uint64_t small_until_ns;      /* packets of 1200 bytes until then */
	uint64_t key_update_ns;	      /* when the next hourly key update is due */
	bool ack_progress;	      /* stream bytes were acknowledged since the last look */

	/* pacing, see conn_write.c */
	int64_t last_sent_id;	 /* the stream that sent last, */
	uint64_t alone_since_ns; /* and since when nothing else has */
	size_t burst_bytes;	 /* sent since the pacer was told */

	uint8_t close_packet[1280]; /* kept by the host for the closing period */
	size_t close_packet_bytes;
};

struct quic_conn_params {
	struct quic_host *host;
	void *host_data;
	const struct log *log;
	struct chunk_pool *pool;
	const struct quic_config *config;
	struct tls_session *session; /* taken over on success */
	struct address local, remote;
	uint64_t now_ns;
	/* server */
	const ngtcp2_pkt_hd *initial; /* the client's first packet; NULL for a client */
	ngtcp2_cid odcid;	      /* the DCID before a Retry (or of `initial`) */
	bool retried;
};

/* The first connection ID (and, on a server, the client's first DCID) is asked of the host. */
int quic_conn_new(struct quic_conn **ret, const struct quic_conn_params *params);
void quic_conn_free(struct quic_conn *c);

/* One UDP payload. Errors end the connection (see quic_conn_ended). */
void quic_conn_read(struct quic_conn *c, const struct address *local, const struct address *remote,
		    unsigned ecn, const uint8_t *data, size_t bytes, uint64_t now_ns);
/* The deadline has passed. */
void quic_conn_expire(struct quic_conn *c, uint64_t now_ns);
uint64_t quic_conn_deadline(struct quic_conn *c);

/* Calls the users about everything recorded. Returns true when the connection has ended: on_close
 * has been called and the host must free it (after taking the close packet). */
bool quic_conn_dispatch(struct quic_conn *c, uint64_t now_ns);

/* A batch of packets of equal size (the last may be shorter) for one path. */
struct quic_batch {
	uint8_t *buf;
	size_t size;	       /* of buf, at least QUIC_PACKET_MAX */
	size_t bytes, segment; /* filled in */
	unsigned ecn;
	struct address local, remote;
};

/* Writes one batch; false = nothing to send now. */
bool quic_conn_write(struct quic_conn *c, struct quic_batch *batch, uint64_t now_ns);

/* Client: moves to another local address (RFC 9000 section 9). 0 or an error when it can't now. */
int quic_conn_migrate(struct quic_conn *c, const struct address *local, uint64_t now_ns);

/* The network refuses our packets before the handshake is done: ends the connection at once. */
void quic_conn_abandon(struct quic_conn *c, int error, const char *why);

/* 3 PTO: how long the closing and draining periods last (RFC 9000 section 10.2). */
uint64_t quic_conn_linger_ns(struct quic_conn *c);

/* conn_callbacks.c */
extern const ngtcp2_callbacks quic_conn_client_callbacks, quic_conn_server_callbacks;

/* conn_crypto.c: ngtcp2's crypto callbacks (types of ngtcp2.h). */
struct gnutls_session_int;
void quic_crypto_attach(
	struct gnutls_session_int *session); /* after ngtcp2's own configure function */
int quic_crypto_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
			const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *plain, size_t bytes,
			const uint8_t *nonce, size_t nonce_bytes, const uint8_t *aad,
			size_t aad_bytes);
int quic_crypto_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
			const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *sealed, size_t bytes,
			const uint8_t *nonce, size_t nonce_bytes, const uint8_t *aad,
			size_t aad_bytes);
int quic_crypto_mask(uint8_t *dest, const ngtcp2_crypto_cipher *hp,
		     const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample);
int quic_crypto_update_key(ngtcp2_conn *ng, uint8_t *rx_secret, uint8_t *tx_secret,
			   ngtcp2_crypto_aead_ctx *rx_ctx, uint8_t *rx_iv,
			   ngtcp2_crypto_aead_ctx *tx_ctx, uint8_t *tx_iv,
			   const uint8_t *current_rx_secret, const uint8_t *current_tx_secret,
			   size_t secret_bytes, void *user_data);
void quic_crypto_delete_aead(ngtcp2_conn *ng, ngtcp2_crypto_aead_ctx *ctx, void *user_data);
void quic_crypto_delete_cipher(ngtcp2_conn *ng, ngtcp2_crypto_cipher_ctx *ctx, void *user_data);

/* stream.c */
struct quic_stream *quic_stream_make(struct quic_conn *c, int64_t id);
void quic_stream_note(struct quic_stream *s, unsigned facts);
void quic_stream_queue_send(struct quic_stream *s);
/* Bytes were sent or acknowledged: who waits for room is told when there is enough. */
void quic_stream_note_room(struct quic_stream *s);
void quic_stream_unqueue_send(struct quic_stream *s);
/* The connection's flow control stops it: waits on `held` until quic_conn_release_held. */
void quic_stream_hold(struct quic_stream *s);
void quic_conn_release_held(struct quic_conn *c);
/* No more bytes of it are sent, and those in flight do not matter any more. */
void quic_stream_end_sending(struct quic_stream *s);
/* Tells the user what is recorded; may free the stream. */
void quic_stream_dispatch(struct quic_stream *s);
/* The connection is lost: last call, then freed. */
void quic_stream_lose(struct quic_stream *s);
bool quic_stream_has_work(const struct quic_stream *s);

/* conn.c */
void quic_conn_wake(struct quic_conn *c);
/* The largest packet that may be written now. */
size_t quic_conn_packet_bytes(const struct quic_conn *c);
/* `bytes` arrived and are held or dropped: the connection's credit goes back at once, so that no
 * reader holds another's window, unless very many of them hold very much (held_max_bytes); then it
 * waits for one to read. */
void quic_conn_give_credit(struct quic_conn *c, size_t bytes);

/* conn_close.c */
void quic_conn_fail(struct quic_conn *c, int liberr);
