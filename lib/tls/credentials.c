/* SPDX-License-Identifier: MIT */
/*
 * Certificates, keys and trust roots from PEM files or text. Every failure names the file and says
 * what would be right. Nothing is changed after the constructor has returned, so threads share an
 * object freely.
 */
#include "tls/tls_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (4u << 20)
#define CHAIN_MAX 16u

static int file_error(const char *path, int err, char error[TLS_ERROR_SIZE])
{
	tls_say(error, "cannot read %s: %s", path, strerror(err));
	if (err == ENOENT || err == ENOTDIR)
		return RSTUN_E_NOT_FOUND;
	return err == EACCES || err == EPERM ? RSTUN_E_FILE_PERMISSIONS : RSTUN_E_CERT_INVALID;
}

static int file_fill(struct tls_file *f, int fd)
{
	while (f->bytes <= FILE_BYTES_MAX) {
		ssize_t n = read(fd, f->data + f->bytes, FILE_BYTES_MAX + 1 - f->bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			return 0;
		f->bytes += (size_t)n;
	}
	return EFBIG;
}

int tls_file_read(struct tls_file *ret, const char *path, char error[TLS_ERROR_SIZE])
{
	struct tls_file f = {0};
	struct stat st;
	int err;
	/* Not blocking: a FIFO given by mistake must not hang the start. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return file_error(path, errno, error);
	err = fstat(fd, &st) < 0 ? errno : 0;
	if (!err && S_ISDIR(st.st_mode))
		err = EISDIR;
	if (!err) {
		f.data = malloc(FILE_BYTES_MAX + 2);
		err = f.data ? file_fill(&f, fd) : ENOMEM;
	}
	close(fd);
	if (err) {
		tls_file_done(&f);
		return file_error(path, err, error);
	}
	f.data[f.bytes] = '\0';
	f.mode = st.st_mode & 07777;
	*ret = f;
	return 0;
}

void tls_file_done(struct tls_file *f)
{
	if (f->data)
		secret_wipe(f->data, f->bytes);
	free(f->data);
	f->data = NULL;
}

struct tls_credentials *tls_credentials_alloc(void)
{
	struct tls_credentials *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	atomic_init(&c->references, 1);
	if (gnutls_certificate_allocate_credentials(&c->gnutls) != 0) {
		free(c);
		return NULL;
	}
	return c;
}

struct tls_credentials *tls_credentials_ref(struct tls_credentials *c)
{
	atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
	return c;
}

void tls_credentials_unref(struct tls_credentials *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) > 1)
		return;
	gnutls_certificate_free_credentials(c->gnutls);
	free(c->roots_file);
	free(c);
}

void tls_credentials_pin(const struct tls_credentials *c, uint8_t ret[PIN_BYTES])
{
	memcpy(ret, c->pin, PIN_BYTES);
}

static size_t count_certificates(const struct tls_file *f)
{
	size_t count = 0;

	for (const char *at = f->data; (at = strstr(at, "-----BEGIN ")); at++)
		if (!strncmp(at + 11, "CERTIFICATE-----", 16) ||
		    !strncmp(at + 11, "X509 CERTIFICATE-----", 21))
			count++;
	return count;
}

/* PEM text that is in memory already: `f` borrows it. */
static int text_open(struct tls_file *ret, const char *pem, const char *name,
		     char error[TLS_ERROR_SIZE])
{
	size_t bytes = strlen(pem);

	if (bytes > FILE_BYTES_MAX) {
		tls_say(error, "%s is too long: at most %u bytes of PEM", name, FILE_BYTES_MAX);
		return RSTUN_E_CERT_INVALID;
	}
	*ret = (struct tls_file){.data = (char *)(uintptr_t)pem, .bytes = bytes};
	return 0;
}

/* The certificates of a server in their order. Free each and the array. */
static int chain_parse(gnutls_x509_crt_t **ret, unsigned *ret_length, const struct tls_file *f,
		       const char *name, char error[TLS_ERROR_SIZE])
{
	gnutls_datum_t pem = {(unsigned char *)f->data, (unsigned)f->bytes};
	size_t expected = count_certificates(f);
	gnutls_x509_crt_t *chain = NULL;
	unsigned length = 0;
	int rv;

	if (expected == 0) {
		tls_say(error,
			"%s holds no certificate: a PEM file is wanted, with a line "
			"-----BEGIN CERTIFICATE-----",
			name);
		return RSTUN_E_CERT_INVALID;
	}
	if (expected > CHAIN_MAX) {
		tls_say(error,
			"%s holds %zu certificates: a server's own and its intermediates are "
			"wanted, at most %u",
			name, expected, CHAIN_MAX);
		return RSTUN_E_CERT_INVALID;
	}
	rv = gnutls_x509_crt_list_import2(&chain, &length, &pem, GNUTLS_X509_FMT_PEM, 0);
	if (rv >= 0 && length == expected) {
		*ret = chain;
		*ret_length = length;
		return 0;
	}
	if (rv >= 0) {
		for (unsigned i = 0; i < length; i++)
			gnutls_x509_crt_deinit(chain[i]);
		gnutls_free(chain);
	}
	tls_say(error, "%s is cut or damaged: certificate %zu of %zu cannot be read (%s)", name,
		rv >= 0 ? (size_t)length + 1 : expected, expected,
		rv < 0 ? gnutls_strerror(rv) : "its end is missing");
	return RSTUN_E_CERT_INVALID;
}

static int key_parse(gnutls_x509_privkey_t *ret, const struct tls_file *f, const char *name,
		     char error[TLS_ERROR_SIZE])
{
	gnutls_datum_t pem = {(unsigned char *)f->data, (unsigned)f->bytes};
	gnutls_x509_privkey_t key;
	int rv;

	if (gnutls_x509_privkey_init(&key) != 0) {
		tls_say(error, "out of memory while reading %s", name);
		return RSTUN_E_NOMEM;
	}
	rv = gnutls_x509_privkey_import2(key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (rv == 0) {
		*ret = key;
		return 0;
	}
	if (strstr(f->data, "ENCRYPTED"))
		tls_say(error,
			"the key in %s is encrypted: give it without a passphrase (openssl "
			"pkey -in %s -out plain.pem)",
			name, name);
	else if (!strstr(f->data, "PRIVATE KEY-----"))
		tls_say(error,
			"%s holds no private key: a PEM file is wanted, with a line -----BEGIN "
			"PRIVATE KEY-----",
			name);
	else
		tls_say(error, "the private key in %s cannot be read (%s)", name,
			gnutls_strerror(rv));
	gnutls_x509_privkey_deinit(key);
	return RSTUN_E_CERT_INVALID;
}

int tls_key_read(gnutls_x509_privkey_t *ret, const char *path, unsigned *ret_mode,
		 char error[TLS_ERROR_SIZE])
{
	struct tls_file f;
	int rv = tls_file_read(&f, path, error);

	if (rv)
		return rv;
	rv = key_parse(ret, &f, path, error);
	if (rv == 0)
		*ret_mode = f.mode;
	tls_file_done(&f);
	return rv;
}

int tls_credentials_from_pair(struct tls_credentials **ret, gnutls_x509_crt_t *chain,
			      unsigned chain_length, gnutls_x509_privkey_t key,
			      const char *cert_name, const char *key_name,
			      char error[TLS_ERROR_SIZE])
{
	struct tls_credentials *c = tls_credentials_alloc();
	int rv;

	if (!c) {
		tls_say(error, "out of memory");
		return RSTUN_E_NOMEM;
	}
	rv = gnutls_certificate_set_x509_key(c->gnutls, chain, (int)chain_length, key);
	if (rv >= 0 && tls_certificate_pin(chain[0], c->pin)) {
		*ret = c;
		return 0;
	}
	tls_credentials_unref(c);
	if (rv == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		tls_say(error,
			"the key in %s does not belong to the certificate in %s: give the pair "
			"that "
			"was made together",
			key_name, cert_name);
	else
		tls_say(error, "certificate %s and key %s cannot be used (%s)", cert_name, key_name,
			gnutls_strerror(rv));
	return RSTUN_E_CERT_INVALID;
}

/* The server's own certificate goes first, wherever it stands in the file (RFC 8446 section 4.4.2).
 */
static void own_first(gnutls_x509_crt_t *chain, unsigned length, gnutls_x509_privkey_t key)
{
	uint8_t wanted[PIN_BYTES], pin[PIN_BYTES];
	size_t bytes = sizeof(wanted);

	if (gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, wanted, &bytes) < 0)
		return;
	for (unsigned i = 0; i < length; i++) {
		if (tls_certificate_pin(chain[i], pin) && !memcmp(pin, wanted, sizeof(pin))) {
			gnutls_x509_crt_t own = chain[i];

			memmove(chain + 1, chain, i * sizeof(*chain));
			chain[0] = own;
			return;
		}
	}
}

static void add_warning(char warning[TLS_ERROR_SIZE], const char *text)
{
	size_t used = strlen(warning);

	snprintf(warning + used, TLS_ERROR_SIZE - used, "%s%s", used ? "; " : "", text);
}

static void warn_about(gnutls_x509_crt_t certificate, const char *cert_file, const char *key_file,
		       unsigned key_mode, char warning[TLS_ERROR_SIZE])
{
	int64_t now_s = clock_wall_us() / 1000000;
	time_t begin = gnutls_x509_crt_get_activation_time(certificate);
	time_t end = gnutls_x509_crt_get_expiration_time(certificate);
	char text[TLS_ERROR_SIZE], when[32];

	if (key_mode & 07) {
		snprintf(text, sizeof(text),
			 "every user of this machine can read the key %s: chmod 600 %s", key_file,
			 key_file);
		add_warning(warning, text);
	}
	if (end < now_s) {
		snprintf(text, sizeof(text),
			 "the certificate in %s expired at %s: clients that verify it will refuse",
			 cert_file, clock_format(when, sizeof(when), (int64_t)end * 1000000));
		add_warning(warning, text);
	} else if (begin > now_s) {
		snprintf(text, sizeof(text),
			 "the certificate in %s is valid only from %s: check this machine's clock",
			 cert_file, clock_format(when, sizeof(when), (int64_t)begin * 1000000));
		add_warning(warning, text);
	}
}

/* Of both kinds of input: the names are those of files or parameters. */
static int new_server(struct tls_credentials **ret, const struct tls_file *cert,
		      const char *cert_name, const struct tls_file *key_text, const char *key_name,
		      char error[TLS_ERROR_SIZE], char warning[TLS_ERROR_SIZE])
{
	gnutls_x509_privkey_t key = NULL;
	gnutls_x509_crt_t *chain;
	unsigned length;
	int rv = chain_parse(&chain, &length, cert, cert_name, error);

	if (rv)
		return rv;
	rv = key_parse(&key, key_text, key_name, error);
	if (rv == 0) {
		own_first(chain, length, key);
		rv = tls_credentials_from_pair(ret, chain, length, key, cert_name, key_name, error);
		if (rv == 0)
			warn_about(chain[0], cert_name, key_name, key_text->mode, warning);
		gnutls_x509_privkey_deinit(key);
	}
	for (unsigned i = 0; i < length; i++)
		gnutls_x509_crt_deinit(chain[i]);
	gnutls_free(chain);
	return rv;
}

int tls_credentials_new_server(struct tls_credentials **ret, const char *cert_file,
			       const char *key_file, char error[TLS_ERROR_SIZE],
			       char warning[TLS_ERROR_SIZE])
{
	struct tls_file cert, key;
	int rv = tls_file_read(&cert, cert_file, error);

	warning[0] = '\0';
	if (rv)
		return rv;
	rv = tls_file_read(&key, key_file, error);
	if (rv == 0) {
		rv = new_server(ret, &cert, cert_file, &key, key_file, error, warning);
		tls_file_done(&key);
	}
	tls_file_done(&cert);
	return rv;
}

int tls_credentials_new_server_pem(struct tls_credentials **ret, const char *cert_pem,
				   const char *key_pem, char error[TLS_ERROR_SIZE],
				   char warning[TLS_ERROR_SIZE])
{
	struct tls_file cert, key;
	int rv = text_open(&cert, cert_pem, "cert_pem", error);

	warning[0] = '\0';
	if (rv == 0)
		rv = text_open(&key, key_pem, "key_pem", error);
	if (rv == 0)
		rv = new_server(ret, &cert, "cert_pem", &key, "key_pem", error, warning);
	return rv;
}

static int load_roots(struct tls_credentials *c, const struct tls_file *f, const char *name,
		      char error[TLS_ERROR_SIZE])
{
	gnutls_datum_t pem = {(unsigned char *)f->data, (unsigned)f->bytes};
	int rv;

	if (count_certificates(f) == 0) {
		tls_say(error,
			"%s holds no certificate: a PEM file is wanted, with the server's "
			"certificate "
			"or the one of its authority",
			name);
		return RSTUN_E_CERT_INVALID;
	}
	rv = gnutls_certificate_set_x509_trust_mem(c->gnutls, &pem, GNUTLS_X509_FMT_PEM);
	if (rv <= 0) {
		tls_say(error, "no certificate in %s can be read (%s)", name,
			rv < 0 ? gnutls_strerror(rv) : "damaged");
		return RSTUN_E_CERT_INVALID;
	}
	c->roots_file = strdup(name);
	if (!c->roots_file) {
		tls_say(error, "out of memory");
		return RSTUN_E_NOMEM;
	}
	return 0;
}

/* With NULL the system's. */
static int new_client(struct tls_credentials **ret, const struct tls_file *roots, const char *name,
		      char error[TLS_ERROR_SIZE])
{
	struct tls_credentials *c = tls_credentials_alloc();
	int rv = 0;

	if (!c) {
		tls_say(error, "out of memory");
		return RSTUN_E_NOMEM;
	}
	c->has_roots = true;
	if (roots) {
		rv = load_roots(c, roots, name, error);
	} else if (gnutls_certificate_set_x509_system_trust(c->gnutls) <= 0) {
		tls_say(error,
			"this system has no trusted certificates: install ca-certificates, or name "
			"what to trust with --cert or --pin");
		rv = RSTUN_E_NOT_FOUND;
	}
	if (rv) {
		tls_credentials_unref(c);
		return rv;
	}
	*ret = c;
	return 0;
}

int tls_credentials_new_client(struct tls_credentials **ret, const char *ca_file,
			       char error[TLS_ERROR_SIZE])
{
	struct tls_file f;
	int rv;

	if (!ca_file)
		return new_client(ret, NULL, NULL, error);
	rv = tls_file_read(&f, ca_file, error);
	if (rv)
		return rv;
	rv = new_client(ret, &f, ca_file, error);
	tls_file_done(&f);
	return rv;
}

int tls_credentials_new_client_pem(struct tls_credentials **ret, const char *ca_pem,
				   char error[TLS_ERROR_SIZE])
{
	struct tls_file f;
	int rv;

	if (!ca_pem)
		return new_client(ret, NULL, NULL, error);
	rv = text_open(&f, ca_pem, "cert_pem", error);
	return rv ? rv : new_client(ret, &f, "cert_pem", error);
}

int tls_credentials_new_unverified(struct tls_credentials **ret)
{
	struct tls_credentials *c = tls_credentials_alloc();

	if (!c)
		return RSTUN_E_NOMEM;
	*ret = c;
	return 0;
}
