/* SPDX-License-Identifier: MIT */
/*
 * Verification of a server's certificate: the pin first, then chain and name when the credentials
 * have trust roots. GnuTLS itself accepts a certificate that is in the roots file as it is, CA or
 * not. Names of the peer's certificate go into messages only quoted.
 */
#include "tls/verify.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "tls/digest.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_SHOWN 6

int verify_init(struct verify *v, const struct verify_words *words,
		struct tls_credentials *credentials, const char *name, const struct address *ip,
		const uint8_t *pin)
{
	size_t length = name ? strlen(name) : 0;

	if (length > 0 && name[length - 1] == '.')
		length--;
	if (length >= sizeof(v->name))
		return RSTUN_E_MALFORMED;
	if (credentials->has_roots && length == 0 && (!ip || ip->len == 0))
		return RSTUN_E_MALFORMED;
	memset(v, 0, sizeof(*v));
	v->words = words;
	v->credentials = credentials;
	if (length > 0)
		memcpy(v->name, name, length);
	if (ip)
		v->ip = *ip;
	v->wants_pin = pin != NULL;
	if (pin)
		memcpy(v->pin, pin, sizeof(v->pin));
	v->verified = TLS_VERIFY_NONE;
	return 0;
}

void verify_done(struct verify *v)
{
	free(v->failure);
	v->failure = NULL;
}

__attribute__((format(printf, 2, 3))) static void fail(struct verify *v, const char *format, ...)
{
	char text[TLS_ERROR_SIZE * 2];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	free(v->failure);
	v->failure = strdup(text);
}

/* "a.example, *.b.example, 192.0.2.1": what the certificate is for. */
static void describe_names(gnutls_x509_crt_t crt, char *buf, size_t size)
{
	size_t used = 0;
	unsigned shown = 0;

	buf[0] = '\0';
	for (unsigned i = 0; shown <= NAMES_SHOWN; i++) {
		char san[256], text[300];
		size_t bytes = sizeof(san);
		int type = gnutls_x509_crt_get_subject_alt_name(crt, i, san, &bytes, NULL);

		if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (type < 0)
			break;
		if (type == GNUTLS_SAN_DNSNAME)
			log_quote(text, sizeof(text), san, bytes);
		else if (type != GNUTLS_SAN_IPADDRESS || (bytes != 4 && bytes != 16) ||
			 !inet_ntop(bytes == 4 ? AF_INET : AF_INET6, san, text, sizeof(text)))
			continue;
		if (++shown > NAMES_SHOWN)
			memcpy(text, "...", 4);
		if (used < size)
			used += (size_t)snprintf(buf + used, size - used, "%s%s",
						 shown > 1 ? ", " : "", text);
	}
	if (shown == 0) {
		char cn[256];
		size_t bytes = sizeof(cn);

		if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, cn,
						  &bytes) == 0)
			log_quote(buf, size, cn, bytes);
		else
			snprintf(buf, size, "no name at all");
	}
}

static void describe_issuer(gnutls_x509_crt_t crt, char *buf, size_t size)
{
	char dn[256];
	size_t bytes = sizeof(dn);

	if (gnutls_x509_crt_get_issuer_dn(crt, dn, &bytes) == 0)
		log_quote(buf, size, dn, bytes);
	else
		snprintf(buf, size, "somebody");
}

static const char *wanted_name(const struct verify *v, char buf[ADDRESS_TEXT_SIZE])
{
	return v->name[0] ? v->name : address_format_ip(buf, ADDRESS_TEXT_SIZE, &v->ip);
}

static void explain_trust(struct verify *v, gnutls_x509_crt_t crt)
{
	char issuer[300];

	describe_issuer(crt, issuer, sizeof(issuer));
	if (v->credentials->roots_file)
		fail(v,
		     "%s's certificate (issued by %s) is neither in %s nor signed by a certificate "
		     "in it: %s",
		     v->words->who, issuer, v->credentials->roots_file, v->words->trust_advice);
	else
		fail(v, "%s's certificate is issued by %s, which this system does not trust: %s",
		     v->words->who, issuer, v->words->trust_advice);
}

/* The most telling reason first: a certificate may be wrong in several ways. */
static void explain(struct verify *v, gnutls_x509_crt_t crt, unsigned status)
{
	char text[TLS_ERROR_SIZE], from[32], to[32], ip[ADDRESS_TEXT_SIZE];
	gnutls_datum_t words = {0};

	clock_format(from, sizeof(from),
		     (int64_t)gnutls_x509_crt_get_activation_time(crt) * 1000000);
	clock_format(to, sizeof(to), (int64_t)gnutls_x509_crt_get_expiration_time(crt) * 1000000);
	if (status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNATURE_FAILURE)) {
		explain_trust(v, crt);
	} else if (status & GNUTLS_CERT_NOT_ACTIVATED) {
		fail(v, "%s's certificate is valid only from %s: check the clocks of both machines",
		     v->words->who, from);
	} else if (status & GNUTLS_CERT_EXPIRED) {
		fail(v,
		     "%s's certificate, or one that signed it, has expired (its own is valid from "
		     "%s to %s): "
		     "it must be renewed there, or this machine's clock is wrong",
		     v->words->who, from, to);
	} else if (status & GNUTLS_CERT_UNEXPECTED_OWNER) {
		describe_names(crt, text, sizeof(text));
		fail(v, "%s's certificate is for %s, not for %s: %s", v->words->who, text,
		     wanted_name(v, ip), v->words->name_advice);
	} else {
		if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &words,
								 0) < 0)
			words.data = NULL;
		fail(v, "%s's certificate is not accepted: %s", v->words->who,
		     words.data ? (const char *)words.data : "unknown reason");
		gnutls_free(words.data);
	}
}

static int check_pin(struct verify *v)
{
	char expected[PIN_TEXT_SIZE], got[PIN_TEXT_SIZE];

	if (!v->has_peer_pin) {
		fail(v,
		     "%s's certificate has a key of an unknown kind, so its pin cannot be checked",
		     v->words->who);
		return -1;
	}
	if (digest_equal(v->pin, v->peer_pin, PIN_BYTES))
		return 0;
	fail(v,
	     "%s's key has the pin %s, not the expected %s: if its key was changed on purpose, "
	     "give the "
	     "new pin; else somebody is in between",
	     v->words->who, pin_format(got, v->peer_pin), pin_format(expected, v->pin));
	return -1;
}

static int check_chain(struct verify *v, gnutls_session_t session, gnutls_x509_crt_t crt)
{
	gnutls_typed_vdata_st data[2] = {
		{.type = GNUTLS_DT_KEY_PURPOSE_OID,
		 .data = (unsigned char *)GNUTLS_KP_TLS_WWW_SERVER},
	};
	unsigned status = 0;
	int rv;

	if (v->name[0]) {
		data[1].type = GNUTLS_DT_DNS_HOSTNAME;
		data[1].data = (unsigned char *)v->name;
	} else {
		bool v4 = v->ip.sa.sa_family == AF_INET;

		data[1].type = GNUTLS_DT_IP_ADDRESS;
		data[1].data = v4 ? (unsigned char *)&v->ip.in.sin_addr
				  : (unsigned char *)&v->ip.in6.sin6_addr;
		data[1].size = v4 ? 4 : 16;
	}
	rv = gnutls_certificate_verify_peers(session, data, 2, &status);
	if (rv < 0) {
		fail(v, "%s's certificate cannot be verified (%s)", v->words->who,
		     gnutls_strerror(rv));
		return -1;
	}
	if (status == 0)
		return 0;
	explain(v, crt, status);
	return -1;
}

/* GnuTLS calls this inside the handshake, after the peer proved that it has the key. */
static int verify_peer(gnutls_session_t session)
{
	struct verify *v = gnutls_db_get_ptr(session);
	gnutls_x509_crt_t crt = NULL;
	const gnutls_datum_t *list;
	unsigned length = 0;
	int rv = 0;

	list = gnutls_certificate_get_peers(session, &length);
	if (!list || length == 0 || gnutls_x509_crt_init(&crt) < 0 ||
	    gnutls_x509_crt_import(crt, &list[0], GNUTLS_X509_FMT_DER) < 0) {
		fail(v, "%s sent no certificate that can be read", v->words->who);
		rv = -1;
	}
	if (rv == 0)
		v->has_peer_pin = tls_certificate_pin(crt, v->peer_pin);
	if (rv == 0 && v->wants_pin)
		rv = check_pin(v);
	if (rv == 0 && v->credentials->has_roots)
		rv = check_chain(v, session, crt);
	if (crt)
		gnutls_x509_crt_deinit(crt);
	if (rv)
		return -1;
	v->verified = v->wants_pin		  ? TLS_VERIFY_PIN
		      : v->credentials->has_roots ? TLS_VERIFY_CHAIN
						  : TLS_VERIFY_NONE;
	return 0;
}

void verify_attach(struct verify *v, gnutls_session_t session)
{
	gnutls_db_set_ptr(session, v);
	gnutls_session_set_verify_function(session, verify_peer);
}
