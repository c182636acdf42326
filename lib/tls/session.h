/* SPDX-License-Identifier: MIT */
/*
 * One TLS 1.3 handshake (RFC 8446) for QUIC (RFC 9001): a GnuTLS session set up the way we want it,
 * with verification inside the handshake. quic/ attaches its own callbacks through
 * tls_session_gnutls. No ALPN in either direction: the original has none and refuses a peer that
 * offers one.
 */
#pragma once

#include "base/address.h"
#include "tls/credentials.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gnutls_session_int;
struct tls_session;

enum tls_verify {
	TLS_VERIFY_NONE,  /* unverified credentials, no pin */
	TLS_VERIFY_CHAIN, /* chain and name */
	TLS_VERIFY_PIN,	  /* the pin matched (and the chain too when credentials have roots) */
};

struct tls_session_config {
	struct tls_credentials *credentials; /* reference taken */
	enum tls_cipher cipher;		     /* client: preferred; the others follow */
	const char *verify_name; /* client: the real DNS name; NULL when verify_ip is meant */
	const struct address
		*verify_ip; /* client: the address when the server was given as one, else NULL */
	const char *sni;    /* client: the name sent; NULL = verify_name; never an IP literal */
	const uint8_t *pin; /* client: PIN_BYTES that the server's SPKI must have, or NULL */
};

int tls_session_new_client(struct tls_session **ret, const struct tls_session_config *config);
int tls_session_new_server(struct tls_session **ret, struct tls_credentials *credentials);
void tls_session_free(struct tls_session *s);

/* The GnuTLS handle, for quic/ (which gives it its record and secret functions) and the stream
 * transport. */
struct gnutls_session_int *tls_session_gnutls(const struct tls_session *s);

/* After the handshake. */
enum tls_verify tls_session_verified(const struct tls_session *s);
const char *tls_session_cipher_name(const struct tls_session *s); /* static: "aes-128-gcm", ... */
/* SPKI pin of the peer's certificate; false when there is none (yet). */
bool tls_session_peer_pin(const struct tls_session *s, uint8_t ret[PIN_BYTES]);

/* Why verification failed, as a sentence with what to do; "" when it did not. Names the
 * certificate's names when another one was expected, the dates when expired, both pins when a pin
 * did not match. */
const char *tls_session_failure(const struct tls_session *s);

/* TLS exporter (RFC 5705, RFC 8446 section 7.5) with an empty context. */
int tls_session_export(const struct tls_session *s, const char *label, uint8_t *ret, size_t bytes);
