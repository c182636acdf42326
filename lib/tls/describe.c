/* SPDX-License-Identifier: MIT */
/*
 * What a server's certificate says, for people: whose it is, for which names, until when. Read from
 * the credentials each time it is asked for. What stands in a certificate is quoted: it may have
 * been made by anybody.
 */
#include "tls/tls_private.h"

#include "base/error.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIBE_NAMES_MAX 1000
#define DESCRIBE_TEXT_SIZE 1024

void tls_description_done(struct tls_description *d)
{
	if (!d)
		return;
	free(d->subject);
	for (char **name = d->names; name && *name; name++)
		free(*name);
	free(d->names);
	memset(d, 0, sizeof(*d));
}

/* A new text, NULL when memory is short. */
static char *describe_quoted(const void *text, size_t bytes)
{
	char buf[DESCRIBE_TEXT_SIZE];

	return strdup(log_quote(buf, sizeof(buf), text, bytes));
}

static char *describe_subject(gnutls_x509_crt_t crt)
{
	gnutls_datum_t dn = {0};
	char *text;

	if (gnutls_x509_crt_get_dn3(crt, &dn, 0) < 0)
		return strdup("");
	text = describe_quoted(dn.data, dn.size);
	gnutls_free(dn.data);
	return text;
}

/* The text of one alternative name, NULL for kinds that no server is asked by. */
static const char *describe_name(char buf[DESCRIBE_TEXT_SIZE], int type, const void *san,
				 size_t bytes)
{
	if (type == GNUTLS_SAN_DNSNAME)
		return log_quote(buf, DESCRIBE_TEXT_SIZE, san, bytes);
	if (type == GNUTLS_SAN_IPADDRESS && (bytes == 4 || bytes == 16))
		return inet_ntop(bytes == 4 ? AF_INET : AF_INET6, san, buf, DESCRIBE_TEXT_SIZE);
	return NULL;
}

static int describe_names(struct tls_description *d, gnutls_x509_crt_t crt)
{
	size_t count = 0;

	d->names = calloc(1, sizeof(*d->names));
	if (!d->names)
		return RSTUN_E_NOMEM;
	for (unsigned i = 0; count < DESCRIBE_NAMES_MAX; i++) {
		char san[256], buf[DESCRIBE_TEXT_SIZE];
		size_t bytes = sizeof(san);
		int type = gnutls_x509_crt_get_subject_alt_name(crt, i, san, &bytes, NULL);
		const char *text;
		char **more;

		if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue; /* longer than any name */
		if (type < 0)
			break;
		text = describe_name(buf, type, san, bytes);
		if (!text)
			continue;
		more = realloc(d->names, (count + 2) * sizeof(*more));
		if (!more)
			return RSTUN_E_NOMEM;
		d->names = more;
		d->names[count] = strdup(text);
		if (!d->names[count])
			return RSTUN_E_NOMEM;
		d->names[++count] = NULL;
	}
	return 0;
}

int tls_credentials_describe(const struct tls_credentials *c, struct tls_description *ret)
{
	struct tls_description d = {0};
	gnutls_x509_crt_t *chain = NULL;
	unsigned length = 0;
	int rc = RSTUN_E_NOMEM;

	if (gnutls_certificate_get_x509_crt(c->gnutls, 0, &chain, &length) < 0 || length == 0)
		return RSTUN_E_NOT_FOUND;
	d.not_before_us = (int64_t)gnutls_x509_crt_get_activation_time(chain[0]) * 1000000;
	d.not_after_us = (int64_t)gnutls_x509_crt_get_expiration_time(chain[0]) * 1000000;
	d.self_signed = gnutls_x509_crt_check_issuer(chain[0], chain[0]) != 0;
	d.subject = describe_subject(chain[0]);
	if (d.subject)
		rc = describe_names(&d, chain[0]);
	for (unsigned i = 0; i < length; i++)
		gnutls_x509_crt_deinit(chain[i]);
	gnutls_free(chain);
	if (rc == 0)
		*ret = d;
	else
		tls_description_done(&d);
	return rc;
}
