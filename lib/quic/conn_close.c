/* SPDX-License-Identifier: MIT */
/*
 * The end of a connection in all its kinds, and what each means to the person who looks at it (RFC
 * 9000 section 10). The first reason stands. Here facts are noted only: the close is written by
 * conn_write.c, the last calls are made by quic_conn_dispatch.
 */
#include "quic/conn_internal.h"

#include "base/error.h"
#include "base/log.h"
#include "tls/session.h"

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>

static void set_close(struct quic_conn *c, enum quic_close_kind kind, int error, uint64_t code,
		      const char *reason)
{
	c->close.kind = kind;
	c->close.error = error;
	c->close.code = code;
	c->close.handshake_done = c->ready;
	snprintf(c->close.reason, sizeof(c->close.reason), "%s", reason);
}

/* An internal error is the memory of whoever sends it, mostly, and not for long. */
static int alert_error(uint64_t alert)
{
	if (alert >= GNUTLS_A_BAD_CERTIFICATE && alert <= GNUTLS_A_CERTIFICATE_UNKNOWN)
		return RSTUN_E_TLS_VERIFY_FAILED;
	if (alert == GNUTLS_A_UNKNOWN_CA)
		return RSTUN_E_TLS_VERIFY_FAILED;
	return alert == GNUTLS_A_INTERNAL_ERROR ? RSTUN_E_FAILED : RSTUN_E_PROTOCOL_MISMATCH;
}

/* What the peer's transport error means to the person who looks at it. */
static int transport_error(uint64_t code)
{
	if (code == NGTCP2_CONNECTION_REFUSED)
		return RSTUN_E_UNREACHABLE;
	if (code >= NGTCP2_CRYPTO_ERROR && code <= NGTCP2_CRYPTO_ERROR + 0xff)
		return alert_error(code - NGTCP2_CRYPTO_ERROR);
	return RSTUN_E_CLOSED;
}

static void close_by_peer(struct quic_conn *c)
{
	const ngtcp2_ccerr *e = ngtcp2_conn_get_ccerr2(c->ng);
	char quoted[160], text[256];

	if (c->stateless_reset) {
		set_close(c, QUIC_CLOSE_STATELESS_RESET, RSTUN_E_RESET, 0,
			  "the peer does not know the connection any more (it was restarted)");
		return;
	}
	log_quote(quoted, sizeof(quoted), e->reason, e->reasonlen);
	if (e->type == NGTCP2_CCERR_TYPE_APPLICATION) {
		snprintf(text, sizeof(text), "closed by peer with code %llu%s%s",
			 (unsigned long long)e->error_code, e->reasonlen ? ": " : "", quoted);
		set_close(c, QUIC_CLOSE_PEER_APP, RSTUN_E_CLOSED, e->error_code, text);
	} else {
		int error = transport_error(e->error_code);
		bool alert = e->error_code >= NGTCP2_CRYPTO_ERROR &&
			     e->error_code <= NGTCP2_CRYPTO_ERROR + 0xff;
		const char *name = NULL;

		if (alert)
			name = gnutls_alert_get_name(
				(gnutls_alert_description_t)(e->error_code - NGTCP2_CRYPTO_ERROR));
		snprintf(text, sizeof(text), "closed by peer: %s 0x%llx%s%s%s%s%s",
			 alert ? "TLS alert" : "transport error", (unsigned long long)e->error_code,
			 name ? " (" : "", name ? name : "", name ? ")" : "",
			 e->reasonlen ? ": " : "", quoted);
		set_close(c, QUIC_CLOSE_PEER_TRANSPORT, error, e->error_code, text);
	}
}

static void close_by_tls(struct quic_conn *c)
{
	const char *why = tls_session_failure(c->tls);
	uint8_t alert = ngtcp2_conn_get_tls_alert2(c->ng);
	const char *name = gnutls_alert_get_name((gnutls_alert_description_t)alert);
	char text[256];

	ngtcp2_ccerr_set_tls_alert(&c->ccerr, alert, NULL, 0);
	c->close_requested = true;
	if (why[0] != '\0') {
		set_close(c, QUIC_CLOSE_TLS, RSTUN_E_TLS_VERIFY_FAILED, alert, why);
		return;
	}
	snprintf(text, sizeof(text), "TLS handshake failed: %s", name ? name : "unknown alert");
	set_close(c, QUIC_CLOSE_TLS, alert_error(alert), alert, text);
}

void quic_conn_fail(struct quic_conn *c, int liberr)
{
	/* Callbacks of ours fail for nothing else. */
	bool no_memory = liberr == NGTCP2_ERR_NOMEM || liberr == NGTCP2_ERR_CALLBACK_FAILURE;
	char text[128];

	if (c->ended || c->close_requested) {
		/* Whatever it is, the first reason stands; but nothing can be written after a fatal
		 * one. */
		c->ended = true;
		return;
	}
	switch (liberr) {
	case NGTCP2_ERR_DRAINING:
		close_by_peer(c);
		c->ended = true;
		break;
	case NGTCP2_ERR_IDLE_CLOSE:
		set_close(c, QUIC_CLOSE_IDLE, RSTUN_E_TIMEOUT, 0,
			  "nothing heard from the peer (idle timeout)");
		c->ended = true;
		break;
	case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
		set_close(c, QUIC_CLOSE_HANDSHAKE_TIMEOUT, RSTUN_E_TIMEOUT, 0,
			  "no answer to the handshake (nothing listens there, or UDP is blocked)");
		c->ended = true;
		break;
	case NGTCP2_ERR_DROP_CONN:
	case NGTCP2_ERR_RETRY:
		c->retry_due = liberr == NGTCP2_ERR_RETRY;
		set_close(c, QUIC_CLOSE_ERROR, RSTUN_E_CLOSED, 0, "dropped before the handshake");
		c->ended = true;
		break;
	case NGTCP2_ERR_RECV_VERSION_NEGOTIATION:
		set_close(c, QUIC_CLOSE_VERSION, RSTUN_E_PROTOCOL_MISMATCH, 0,
			  "the peer does not speak QUIC version 1");
		c->ended = true;
		break;
	case NGTCP2_ERR_CRYPTO:
		close_by_tls(c);
		break;
	default:
		snprintf(text, sizeof(text), "QUIC: %s", ngtcp2_strerror(liberr));
		set_close(c, QUIC_CLOSE_ERROR,
			  no_memory ? RSTUN_E_NOMEM : RSTUN_E_PROTOCOL_MISMATCH, 0,
			  no_memory ? "out of memory" : text);
		ngtcp2_ccerr_set_liberr(&c->ccerr, liberr, NULL, 0);
		c->close_requested = true;
	}
	quic_conn_wake(c);
}

void quic_conn_close(struct quic_conn *c, uint64_t app_error, const char *reason)
{
	if (c->ended || c->close_requested)
		return;
	set_close(c, QUIC_CLOSE_LOCAL, RSTUN_E_CLOSED, app_error, reason);
	/* The text lives in the connection until the packet is written. */
	ngtcp2_ccerr_set_application_error(&c->ccerr, app_error, (const uint8_t *)c->close.reason,
					   strnlen(c->close.reason, 80));
	c->close_requested = true;
	quic_conn_wake(c);
}

void quic_conn_abandon(struct quic_conn *c, int error, const char *why)
{
	if (c->ended || c->close_requested || c->ready)
		return;
	set_close(c, QUIC_CLOSE_ERROR, error, 0, why);
	c->ended = true;
	quic_conn_wake(c);
}

uint64_t quic_conn_linger_ns(struct quic_conn *c)
{
	return 3 * ngtcp2_conn_get_pto2(c->ng);
}
