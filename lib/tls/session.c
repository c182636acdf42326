/* SPDX-License-Identifier: MIT */
/*
 * GnuTLS sessions for QUIC: TLS 1.3 only, no ALPN, no tickets, no early data, no middlebox
 * compatibility mode, one X25519 key share. Owned by one connection, on its thread.
 */
#include "tls/session.h"

#include "base/error.h"
#include "tls/automatic.h"
#include "tls/verify.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS (GNUTLS_NO_END_OF_EARLY_DATA | GNUTLS_NO_TICKETS | GNUTLS_NO_SIGNAL)

struct tls_session {
	gnutls_session_t gnutls;
	struct tls_credentials *credentials;
	struct verify *verify; /* client; NULL on a server, to keep idle sessions small */
};

static const struct verify_words server_words = {
	.who = "the server",
	.name_advice =
		"reach the server by a name its certificate has, or name its key with --pin (the "
		"server prints its pin when it starts)",
	.trust_advice =
		"name its certificate or its authority's with --cert, or its key with --pin (the "
		"server prints its pin when it starts)",
};

static int session_new(struct tls_session **ret, unsigned flags, enum tls_cipher cipher,
		       struct tls_credentials *credentials)
{
	struct tls_session *s = calloc(1, sizeof(*s));
	gnutls_priority_t priority = tls_priority_quic(cipher);

	if (!s)
		return RSTUN_E_NOMEM;
	s->credentials = tls_credentials_ref(credentials);
	if (gnutls_init(&s->gnutls, flags) < 0) {
		s->gnutls = NULL;
		tls_session_free(s);
		return RSTUN_E_NOMEM;
	}
	if (!priority || gnutls_priority_set(s->gnutls, priority) < 0 ||
	    gnutls_credentials_set(s->gnutls, GNUTLS_CRD_CERTIFICATE, credentials->gnutls) < 0) {
		tls_session_free(s);
		return RSTUN_E_FAILED;
	}
	*ret = s;
	return 0;
}

/* RFC 6066 section 3: no IP literals, no trailing dot. */
static int set_sni(gnutls_session_t session, const char *name)
{
	struct in6_addr unused;
	size_t length = strlen(name);

	if (length > 0 && name[length - 1] == '.')
		length--;
	if (length == 0 || inet_pton(AF_INET, name, &unused) == 1 ||
	    inet_pton(AF_INET6, name, &unused) == 1)
		return 0;
	return gnutls_server_name_set(session, GNUTLS_NAME_DNS, name, length) < 0
		       ? RSTUN_E_MALFORMED
		       : 0;
}

int tls_session_new_client(struct tls_session **ret, const struct tls_session_config *config)
{
	const char *sni = config->sni ? config->sni : config->verify_name;
	enum tls_cipher cipher = config->cipher;
	struct tls_session *s;
	int rv;

	if (cipher == TLS_CIPHER_AUTO && !automatic_has_aes())
		cipher = TLS_CIPHER_CHACHA20_POLY1305;
	rv = session_new(&s, GNUTLS_CLIENT | GNUTLS_KEY_SHARE_TOP | FLAGS, cipher,
			 config->credentials);

	if (rv)
		return rv;
	s->verify = malloc(sizeof(*s->verify));
	if (!s->verify) {
		tls_session_free(s);
		return RSTUN_E_NOMEM;
	}
	memset(s->verify, 0, sizeof(*s->verify));
	rv = verify_init(s->verify, &server_words, s->credentials, config->verify_name,
			 config->verify_ip, config->pin);
	if (rv == 0 && sni)
		rv = set_sni(s->gnutls, sni);
	if (rv) {
		tls_session_free(s);
		return rv;
	}
	verify_attach(s->verify, s->gnutls);
	*ret = s;
	return 0;
}

/* Of a server without AES in hardware, before GnuTLS looks into the ClientHello. */
static int on_client_hello(gnutls_session_t session, unsigned type, unsigned when,
			   unsigned incoming, const gnutls_datum_t *hello)
{
	(void)type;
	(void)when;
	if (incoming && automatic_is_offered(hello->data, hello->size))
		return gnutls_priority_set(session, tls_priority_no_aes());
	return 0;
}

int tls_session_new_server(struct tls_session **ret, struct tls_credentials *credentials)
{
	/* GnuTLS follows the client's order of ciphers, so any of the priority objects does. */
	int rv = session_new(ret, GNUTLS_SERVER | GNUTLS_NO_AUTO_SEND_TICKET | FLAGS,
			     TLS_CIPHER_CHACHA20_POLY1305, credentials);

	if (rv == 0 && !automatic_has_aes())
		gnutls_handshake_set_hook_function((*ret)->gnutls, GNUTLS_HANDSHAKE_CLIENT_HELLO,
						   GNUTLS_HOOK_PRE, on_client_hello);
	return rv;
}

void tls_session_free(struct tls_session *s)
{
	if (!s)
		return;
	if (s->gnutls)
		gnutls_deinit(s->gnutls);
	if (s->verify)
		verify_done(s->verify);
	free(s->verify);
	tls_credentials_unref(s->credentials);
	free(s);
}

struct gnutls_session_int *tls_session_gnutls(const struct tls_session *s)
{
	return s->gnutls;
}

enum tls_verify tls_session_verified(const struct tls_session *s)
{
	return s->verify ? s->verify->verified : TLS_VERIFY_NONE;
}

const char *tls_session_cipher_name(const struct tls_session *s)
{
	switch (gnutls_cipher_get(s->gnutls)) {
	case GNUTLS_CIPHER_CHACHA20_POLY1305:
		return "chacha20-poly1305";
	case GNUTLS_CIPHER_AES_256_GCM:
		return "aes-256-gcm";
	case GNUTLS_CIPHER_AES_128_GCM:
		return "aes-128-gcm";
	default:
		return "none";
	}
}

bool tls_session_peer_pin(const struct tls_session *s, uint8_t ret[PIN_BYTES])
{
	if (!s->verify || !s->verify->has_peer_pin)
		return false;
	memcpy(ret, s->verify->peer_pin, PIN_BYTES);
	return true;
}

const char *tls_session_failure(const struct tls_session *s)
{
	return s->verify && s->verify->failure ? s->verify->failure : "";
}

int tls_session_export(const struct tls_session *s, const char *label, uint8_t *ret, size_t bytes)
{
	return gnutls_prf_rfc5705(s->gnutls, strlen(label), label, 0, NULL, bytes, (char *)ret) < 0
		       ? RSTUN_E_FAILED
		       : 0;
}
