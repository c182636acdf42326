/* SPDX-License-Identifier: MIT */
/*
 * What a client expects of a server's certificate, checked inside the handshake, and what it found,
 * in words. Embedded in what owns the GnuTLS session; lives on its thread. The session's db pointer
 * leads back to it, because QUIC's glue uses the session pointer itself; we keep no session
 * database.
 */
#pragma once

#include "base/address.h"
#include "tls/session.h"
#include "tls/tls_private.h"

/* Who is being verified, and what a person can do about a failure. */
struct verify_words {
	const char *who;	  /* "the server" */
	const char *name_advice;  /* the certificate is for other names */
	const char *trust_advice; /* nobody we trust signed it */
};

struct verify {
	const struct verify_words *words;
	struct tls_credentials *credentials; /* borrowed from the owner */
	char name[ADDRESS_NAME_MAX + 1];     /* "" = verify the address */
	struct address ip;		     /* len 0 = none */
	bool wants_pin;
	uint8_t pin[PIN_BYTES];

	bool has_peer_pin;
	uint8_t peer_pin[PIN_BYTES];
	enum tls_verify verified;
	char *failure; /* owned; NULL when there is none */
};

/* `name` (a trailing dot is dropped) or `ip`, or neither with credentials that verify nothing.
 * RSTUN_E_MALFORMED when credentials have roots and there is nothing to verify, or the name is too
 * long. */
int verify_init(struct verify *v, const struct verify_words *words,
		struct tls_credentials *credentials, const char *name, const struct address *ip,
		const uint8_t *pin);
void verify_done(struct verify *v);

/* From now on the handshake of `session` fails when the certificate does. */
void verify_attach(struct verify *v, gnutls_session_t session);
