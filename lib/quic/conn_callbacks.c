/* SPDX-License-Identifier: MIT */
/*
 * Every callback of ngtcp2's, all static. They record facts (append bytes, set a bit, put a stream
 * on the notify list) and give credit; crypto, connection ID and path challenge callbacks answer.
 * None of them calls a user, writes a packet or frees anything.
 */
#include "quic/conn_internal.h"

#include "base/log.h"
#include "base/random.h"

#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <string.h>

static int on_recv_stream_data(ngtcp2_conn *ng, uint32_t flags, int64_t stream_id, uint64_t offset,
			       const uint8_t *data, size_t datalen, void *user_data,
			       void *stream_user_data)
{
	struct quic_conn *c = user_data;
	struct quic_stream *s = stream_user_data;

	(void)ng;
	(void)stream_id;
	(void)offset;
	if (s && !s->rx_discard && datalen > 0) {
		if (chunk_queue_append(&s->rx, data, datalen) != 0)
			return NGTCP2_ERR_CALLBACK_FAILURE;
		c->held_bytes += datalen;
	}
	/* Credit of the stream is given only when the user consumes. */
	quic_conn_give_credit(c, datalen);
	if (!s || s->rx_discard)
		return 0;
	if (flags & NGTCP2_STREAM_DATA_FLAG_FIN)
		s->rx_fin = true;
	quic_stream_note(s, STREAM_FACT_READABLE);
	return 0;
}

static int on_acked_stream_data_offset(ngtcp2_conn *ng, int64_t stream_id, uint64_t offset,
				       uint64_t datalen, void *user_data, void *stream_user_data)
{
	struct quic_conn *c = user_data;
	struct quic_stream *s = stream_user_data;

	(void)ng;
	(void)stream_id;
	c->ack_progress = true;
	if (!s)
		return 0;
	if (!s->tx_closed)
		c->tx_unacked -= datalen;
	if (offset + datalen > s->tx.begin)
		chunk_queue_release(&s->tx, offset + datalen);
	quic_stream_note_room(s);
	return 0;
}

static int on_stream_open(ngtcp2_conn *ng, int64_t stream_id, void *user_data)
{
	struct quic_conn *c = user_data;
	struct quic_stream *s = quic_stream_make(c, stream_id);

	if (!s)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	ngtcp2_conn_set_stream_user_data(ng, stream_id, s);
	quic_datagrams_opened(c);
	/* The opener has no interest in our first byte: only its own frame made this stream. */
	s->announced = true;
	quic_stream_note(s, STREAM_FACT_NEW);
	return 0;
}

static int on_stream_close(ngtcp2_conn *ng, uint32_t flags, int64_t stream_id,
			   uint64_t app_error_code, void *user_data, void *stream_user_data)
{
	struct quic_stream *s = stream_user_data;

	(void)ng;
	(void)flags;
	(void)stream_id;
	(void)app_error_code;
	(void)user_data;
	if (!s)
		return 0;
	s->gone = true;
	quic_stream_end_sending(s);
	quic_stream_note(s, 0);
	return 0;
}

static int on_stream_reset(ngtcp2_conn *ng, int64_t stream_id, uint64_t final_size,
			   uint64_t app_error_code, void *user_data, void *stream_user_data)
{
	struct quic_stream *s = stream_user_data;

	(void)ng;
	(void)stream_id;
	(void)final_size;
	(void)user_data;
	if (!s)
		return 0;
	s->rx_reset = true;
	s->reset_code = app_error_code;
	quic_stream_note(s, STREAM_FACT_RESET);
	return 0;
}

static int on_recv_stop_sending(ngtcp2_conn *ng, int64_t stream_id, uint64_t app_error_code,
				void *user_data, void *stream_user_data)
{
	struct quic_stream *s = stream_user_data;

	(void)ng;
	(void)stream_id;
	(void)user_data;
	if (!s)
		return 0;
	/* ngtcp2 answers with RESET_STREAM by itself (RFC 9000 section 3.5). */
	quic_stream_end_sending(s);
	s->stop_code = app_error_code;
	quic_stream_note(s, STREAM_FACT_STOP);
	return 0;
}

static int on_recv_datagram(ngtcp2_conn *ng, uint32_t flags, const uint8_t *data, size_t datalen,
			    void *user_data)
{
	(void)ng;
	(void)flags;
	quic_datagrams_receive(user_data, data, datalen);
	return 0;
}

static int on_ack_datagram(ngtcp2_conn *ng, uint64_t dgram_id, void *user_data)
{
	(void)ng;
	quic_datagrams_acked(user_data, dgram_id);
	return 0;
}

static int on_lost_datagram(ngtcp2_conn *ng, uint64_t dgram_id, void *user_data)
{
	(void)ng;
	quic_datagrams_lost(user_data, dgram_id);
	return 0;
}

static int on_extend_max_stream_data(ngtcp2_conn *ng, int64_t stream_id, uint64_t max_data,
				     void *user_data, void *stream_user_data)
{
	struct quic_stream *s = stream_user_data;

	(void)ng;
	(void)stream_id;
	(void)max_data;
	(void)user_data;
	if (!s)
		return 0;
	s->tx_blocked = false;
	quic_stream_queue_send(s);
	return 0;
}

static int on_extend_max_local_streams(ngtcp2_conn *ng, uint64_t max_streams, void *user_data)
{
	struct quic_conn *c = user_data;

	(void)ng;
	(void)max_streams;
	if (c->streams_wanted) {
		c->facts |= CONN_FACT_STREAMS;
		quic_conn_wake(c);
	}
	return 0;
}

static int on_handshake_completed(ngtcp2_conn *ng, void *user_data)
{
	struct quic_conn *c = user_data;

	(void)ng;
	c->ready = true;
	c->facts |= CONN_FACT_READY;
	if (c->server)
		c->host->ops->handshake_done(c->host, c);
	quic_conn_wake(c);
	return 0;
}

static int on_handshake_confirmed(ngtcp2_conn *ng, void *user_data)
{
	struct quic_conn *c = user_data;

	(void)ng;
	c->handshake_confirmed = true;
	return 0;
}

static int on_path_validation(ngtcp2_conn *ng, uint32_t flags, const ngtcp2_path *path,
			      const ngtcp2_path *fallback_path, ngtcp2_path_validation_result res,
			      void *user_data)
{
	struct quic_conn *c = user_data;

	(void)ng;
	(void)flags;
	(void)path;
	(void)fallback_path;
	if (res == NGTCP2_PATH_VALIDATION_RESULT_SUCCESS) {
		c->facts |= CONN_FACT_PATH;
		quic_conn_wake(c);
	}
	return 0;
}

static int on_recv_stateless_reset(ngtcp2_conn *ng, const ngtcp2_pkt_stateless_reset2 *sr,
				   void *user_data)
{
	struct quic_conn *c = user_data;

	(void)ng;
	(void)sr;
	c->stateless_reset = true;
	return 0;
}

static int on_new_cid(ngtcp2_conn *ng, ngtcp2_cid *cid, ngtcp2_stateless_reset_token *token,
		      size_t cidlen, void *user_data)
{
	struct quic_conn *c = user_data;

	(void)ng;
	(void)cidlen;
	return c->host->ops->new_cid(c->host, c, cid, token) == 0 ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int on_dcid_status(ngtcp2_conn *ng, ngtcp2_connection_id_status_type type, uint64_t seq,
			  const ngtcp2_cid *cid, const ngtcp2_stateless_reset_token *token,
			  void *user_data)
{
	struct quic_conn *c = user_data;

	(void)ng;
	(void)seq;
	(void)cid;
	if (token)
		c->host->ops->reset_token(c->host, c, token->data,
					  type == NGTCP2_CONNECTION_ID_STATUS_TYPE_ACTIVATE);
	return 0;
}

static int on_remove_cid(ngtcp2_conn *ng, const ngtcp2_cid *cid, void *user_data)
{
	struct quic_conn *c = user_data;

	(void)ng;
	c->host->ops->remove_cid(c->host, c, cid);
	return 0;
}

static void on_rand(uint8_t *dest, size_t destlen, const ngtcp2_rand_ctx *rand_ctx)
{
	(void)rand_ctx;
	random_bytes(dest, destlen);
}

#define COMMON_CALLBACKS                                                                         \
	.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,                                   \
	.handshake_completed = on_handshake_completed, .encrypt = quic_crypto_encrypt,           \
	.decrypt = quic_crypto_decrypt, .hp_mask = quic_crypto_mask,                             \
	.recv_stream_data = on_recv_stream_data,                                                 \
	.acked_stream_data_offset = on_acked_stream_data_offset, .stream_open = on_stream_open,  \
	.stream_close = on_stream_close, .rand = on_rand, .remove_connection_id = on_remove_cid, \
	.update_key = quic_crypto_update_key, .path_validation = on_path_validation,             \
	.recv_datagram = on_recv_datagram, .ack_datagram = on_ack_datagram,                      \
	.lost_datagram = on_lost_datagram, .stream_reset = on_stream_reset,                      \
	.extend_max_local_streams_bidi = on_extend_max_local_streams,                            \
	.extend_max_stream_data = on_extend_max_stream_data,                                     \
	.handshake_confirmed = on_handshake_confirmed,                                           \
	.delete_crypto_aead_ctx = quic_crypto_delete_aead,                                       \
	.delete_crypto_cipher_ctx = quic_crypto_delete_cipher,                                   \
	.recv_stop_sending = on_recv_stop_sending,                                               \
	.version_negotiation = ngtcp2_crypto_version_negotiation_cb,                             \
	.recv_stateless_reset2 = on_recv_stateless_reset, .get_new_connection_id2 = on_new_cid,  \
	.dcid_status2 = on_dcid_status,                                                          \
	.get_path_challenge_data2 = ngtcp2_crypto_get_path_challenge_data2_cb

const ngtcp2_callbacks quic_conn_client_callbacks = {
	.client_initial = ngtcp2_crypto_client_initial_cb,
	.recv_retry = ngtcp2_crypto_recv_retry_cb,
	COMMON_CALLBACKS,
};

const ngtcp2_callbacks quic_conn_server_callbacks = {
	.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
	COMMON_CALLBACKS,
};
