/* SPDX-License-Identifier: MIT */
/*
 * Packets that lead to no connection: first packets of new clients, and strangers that get a Retry,
 * a version negotiation, a refusal, a stateless reset or nothing. Every answer here is bounded per
 * second and never longer than three times its trigger (RFC 9000 sections 8.1 and 10.3).
 */
#include "quic/endpoint_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "tls/session.h"

#include <string.h>

bool endpoint_answer(struct quic_endpoint *ep, enum endpoint_answer kind,
		     const struct address *local, const struct address *remote, const uint8_t *data,
		     size_t bytes)
{
	static const unsigned most[ENDPOINT_ANSWER_KINDS] = {
		[ENDPOINT_ANSWER_RESET] = ENDPOINT_RESETS_PER_S,
		[ENDPOINT_ANSWER_GREETING] = ENDPOINT_GREETINGS_PER_S,
		[ENDPOINT_ANSWER_CLOSE] = ENDPOINT_CLOSES_PER_S,
	};
	struct quic_batch b = {
		.bytes = bytes, .segment = bytes, .local = *local, .remote = *remote};
	struct quic_socket *s = endpoint_socket_for(ep, local);
	uint64_t now = loop_now(ep->config.loop);

	if (now >= ep->answer_second_ns) {
		ep->answer_second_ns = clock_after(now, CLOCK_NS_PER_S);
		memset(ep->answers, 0, sizeof(ep->answers));
	}
	if (ep->answers[kind] >= most[kind] || !s || s->blocked)
		return false;
	ep->answers[kind]++;
	/* The batch is only read from. */
	b.buf = (uint8_t *)(uintptr_t)data;
	quic_socket_send(s, &b);
	ep->stats.tx_datagrams++;
	ep->stats.tx_bytes += bytes;
	return true;
}

void endpoint_negotiate_version(struct quic_endpoint *ep, const struct address *local,
				const struct address *remote, const ngtcp2_version_cid *vc)
{
	static const uint32_t versions[] = {NGTCP2_PROTO_VER_V1};
	uint8_t buf[256], unused;
	ngtcp2_ssize n;

	/* Only a server answers, and never to what is itself an answer. */
	if (!ep->config.credentials) {
		ep->stats.rx_dropped++;
		return;
	}
	random_bytes(&unused, 1);
	n = ngtcp2_pkt_write_version_negotiation(buf, sizeof(buf), unused, vc->scid, vc->scidlen,
						 vc->dcid, vc->dcidlen, versions, 1);
	if (n > 0)
		endpoint_answer(ep, ENDPOINT_ANSWER_GREETING, local, remote, buf, (size_t)n);
}

/* RFC 9000 section 10.3: shorter than its trigger, so two endpoints never answer each other for
 * ever. */
static void send_reset(struct quic_endpoint *ep, const struct address *local,
		       const struct address *remote, const ngtcp2_version_cid *vc,
		       size_t trigger_bytes)
{
	ngtcp2_stateless_reset_token token;
	uint8_t buf[64], noise[64];
	size_t bytes = trigger_bytes - 1 < 43 ? trigger_bytes - 1 : 43;
	ngtcp2_cid cid;
	ngtcp2_ssize n;

	if (bytes < NGTCP2_MIN_STATELESS_RESET_RANDLEN + NGTCP2_STATELESS_RESET_TOKENLEN)
		return;
	ngtcp2_cid_init(&cid, vc->dcid, vc->dcidlen);
	if (ngtcp2_crypto_generate_stateless_reset_token(token.data, ep->config.secret,
							 sizeof(ep->config.secret), &cid) != 0)
		return;
	random_bytes(noise, sizeof(noise));
	n = ngtcp2_pkt_write_stateless_reset2(buf, sizeof(buf), &token, noise,
					      bytes - NGTCP2_STATELESS_RESET_TOKENLEN);
	if (n > 0 && endpoint_answer(ep, ENDPOINT_ANSWER_RESET, local, remote, buf, (size_t)n))
		ep->stats.resets_sent++;
}

static void refuse(struct quic_endpoint *ep, const struct address *local,
		   const struct address *remote, const ngtcp2_pkt_hd *hd, uint64_t code)
{
	uint8_t buf[1200];
	ngtcp2_ssize n = ngtcp2_crypto_write_connection_close(buf, sizeof(buf), hd->version,
							      &hd->scid, &hd->dcid, code, NULL, 0);

	if (n > 0)
		endpoint_answer(ep, ENDPOINT_ANSWER_GREETING, local, remote, buf, (size_t)n);
}

static void send_retry(struct quic_endpoint *ep, const struct address *local,
		       const struct address *remote, const ngtcp2_pkt_hd *hd)
{
	uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN2], buf[1200];
	ngtcp2_cid scid;
	ngtcp2_ssize tokens, n;

	/* The client's next Initial is addressed to this ID, so it comes to this worker. */
	endpoint_random_cid(ep, &scid);
	tokens = ngtcp2_crypto_generate_retry_token2(
		token, ep->config.secret, sizeof(ep->config.secret), hd->version, &remote->sa,
		remote->len, &scid, &hd->dcid, loop_now(ep->config.loop));
	if (tokens < 0)
		return;
	n = ngtcp2_crypto_write_retry(buf, sizeof(buf), hd->version, &hd->scid, &scid, &hd->dcid,
				      token, (size_t)tokens);
	if (n > 0 && endpoint_answer(ep, ENDPOINT_ANSWER_GREETING, local, remote, buf, (size_t)n))
		ep->stats.retries_sent++;
}

static size_t half_open_from(const struct quic_endpoint *ep, const struct address *source)
{
	const struct route *r;
	size_t n = 0;

	TAILQ_FOREACH(r, &ep->half, half_link)
	n += address_equal_ip(&r->source, source);
	return n;
}

/* Whether this client may begin a handshake now; answers it when not. */
static bool admit(struct quic_endpoint *ep, const struct address *local,
		  const struct address *remote, const ngtcp2_pkt_hd *hd, ngtcp2_cid *ret_odcid,
		  bool *ret_retried)
{
	*ret_odcid = hd->dcid;
	*ret_retried = false;
	if (!ep->accepting) {
		refuse(ep, local, remote, hd, NGTCP2_CONNECTION_REFUSED);
		return false;
	}
	if (hd->tokenlen > 0 && hd->token[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2) {
		int rv = ngtcp2_crypto_verify_retry_token2(
			ret_odcid, hd->token, hd->tokenlen, ep->config.secret,
			sizeof(ep->config.secret), hd->version, &remote->sa, remote->len, &hd->dcid,
			ENDPOINT_RETRY_VALID_NS, loop_now(ep->config.loop));

		if (rv != 0) {
			refuse(ep, local, remote, hd, NGTCP2_INVALID_TOKEN);
			return false;
		}
		*ret_retried = true;
	} else if (ep->half_open >= ENDPOINT_RETRY_AT) {
		send_retry(ep, local, remote, hd);
		return false;
	}
	if (ep->half_open >= ENDPOINT_HALF_OPEN_MAX)
		return false;
	return ep->half_open < ENDPOINT_SOURCE_HALF_OPEN ||
	       half_open_from(ep, remote) < ENDPOINT_SOURCE_HALF_OPEN;
}

static void accept_client(struct quic_endpoint *ep, const struct address *local,
			  const struct address *remote, unsigned ecn, const uint8_t *data,
			  size_t bytes, const ngtcp2_pkt_hd *hd)
{
	struct quic_conn_params params = {
		.host = &ep->host,
		.log = ep->config.log,
		.pool = ep->config.pool,
		.config = &ep->config.quic,
		.local = *local,
		.remote = *remote,
		.now_ns = loop_now(ep->config.loop),
		.initial = hd,
	};
	struct tls_session *session;
	struct quic_conn *c;
	struct route *r;

	if (!admit(ep, local, remote, hd, &params.odcid, &params.retried))
		return;
	if (tls_session_new_server(&session, ep->config.credentials) != 0)
		return;
	r = endpoint_route_new(ep);
	if (!r) {
		tls_session_free(session);
		return;
	}
	params.host_data = r;
	params.session = session;
	/* The client goes on using its first ID until it has learnt ours. */
	if (cid_table_add(&ep->cids, &r->cids, hd->dcid.data, hd->dcid.datalen, r) != 0 ||
	    quic_conn_new(&c, &params) != 0) {
		tls_session_free(session);
		endpoint_route_free(r);
		return;
	}
	endpoint_route_live(r, c);
	endpoint_route_half_open(r, remote);
	/* First, so that who closes it in on_accept has keys to say so with. Users are called from
	 * dispatch. */
	quic_conn_read(c, local, remote, ecn, data, bytes, params.now_ns);
	if (c->ended) {
		/* Nothing came of it: nobody heard of it, and no tombstone stands in the way of the
		 * next packet, which may be the one that was missing. */
		bool retry = c->retry_due;

		endpoint_route_free(r);
		ep->stats.rx_dropped++;
		if (retry)
			send_retry(ep, local, remote, hd);
		return;
	}
	ep->config.ops->on_accept(ep, ep->config.user, c);
	endpoint_schedule(r);
}

void endpoint_stranger(struct quic_endpoint *ep, const struct address *local,
		       const struct address *remote, unsigned ecn, const uint8_t *data,
		       size_t bytes, const ngtcp2_version_cid *vc)
{
	ngtcp2_pkt_hd hd;

	if ((data[0] & 0x80) == 0) {
		/* Of a connection that we forgot, perhaps before a restart: say so, the peer is
		 * waiting. */
		if (ep->config.credentials)
			send_reset(ep, local, remote, vc, bytes);
		ep->stats.rx_dropped++;
		return;
	}
	if (!ep->config.credentials || ngtcp2_accept(&hd, data, bytes) != 0) {
		ep->stats.rx_dropped++;
		return;
	}
	accept_client(ep, local, remote, ecn, data, bytes, &hd);
}
