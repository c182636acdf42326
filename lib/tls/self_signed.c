/* SPDX-License-Identifier: MIT */
/*
 * The certificate a server has when it was given none: self-signed, ECDSA P-256 (a handshake costs
 * a sixth of RSA's), for localhost, kept in a directory so that its pin stays. It is marked as no
 * CA, because rustls refuses a server certificate that is one. The caller keeps other processes out
 * of the directory. The key is written first: a key without certificate (a crash in between, or a
 * removed cert.pem) gets a new certificate and keeps its pin.
 */
#include "tls/tls_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S ((time_t)24 * 60 * 60)
#define VALID_DAYS 3652 /* ten years */
#define SERIAL_BYTES 16
#define KEY_BYTES 32
#define KEY_TRIES 100 /* half of the keys do */

struct pair {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t certificate;
};

static void pair_done(struct pair *p)
{
	if (p->key)
		gnutls_x509_privkey_deinit(p->key);
	if (p->certificate)
		gnutls_x509_crt_deinit(p->certificate);
}

static int set_names(gnutls_x509_crt_t crt)
{
	static const char name[] = "localhost";
	static const uint8_t v4[4] = {127, 0, 0, 1};
	static const uint8_t v6[16] = {[15] = 1};
	int rv = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
					       sizeof(name) - 1);

	if (rv >= 0)
		rv = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name,
							  sizeof(name) - 1, GNUTLS_FSAN_SET);
	if (rv >= 0)
		rv = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, v4, sizeof(v4),
							  GNUTLS_FSAN_APPEND);
	if (rv >= 0)
		rv = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, v6, sizeof(v6),
							  GNUTLS_FSAN_APPEND);
	return rv;
}

static int set_usage(gnutls_x509_crt_t crt)
{
	int rv = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);

	if (rv >= 0)
		rv = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
	if (rv >= 0)
		rv = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
	return rv;
}

static int set_identity(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
	time_t now_s = (time_t)(clock_wall_us() / 1000000);
	uint8_t serial[SERIAL_BYTES], id[20];
	size_t id_bytes = sizeof(id);
	int rv;

	random_bytes(serial, sizeof(serial));
	serial[0] =
		(uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, never zero: RFC 5280 4.1.2.2 */
	rv = gnutls_x509_crt_set_version(crt, 3);
	if (rv >= 0)
		rv = gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
	/* A day back, for peers whose clock is behind. */
	if (rv >= 0)
		rv = gnutls_x509_crt_set_activation_time(crt, now_s - DAY_S);
	if (rv >= 0)
		rv = gnutls_x509_crt_set_expiration_time(crt, now_s + VALID_DAYS * DAY_S);
	if (rv >= 0)
		rv = gnutls_x509_crt_set_key(crt, key);
	if (rv >= 0)
		rv = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, id, &id_bytes);
	if (rv >= 0)
		rv = gnutls_x509_crt_set_subject_key_id(crt, id, id_bytes);
	return rv;
}

/*
 * GnuTLS writes the private value as an INTEGER, with a zero before a high first bit and without
 * leading zeros; RFC 5915 section 3 wants exactly 32 bytes, and rustls refuses anything else. So a
 * key is taken only when both agree, which costs the secret one bit of 256.
 */
static bool has_plain_encoding(gnutls_x509_privkey_t key)
{
	gnutls_datum_t x = {0}, y = {0}, k = {0};
	gnutls_ecc_curve_t curve;
	bool plain;

	if (gnutls_x509_privkey_export_ecc_raw(key, &curve, &x, &y, &k) < 0)
		return false;
	plain = k.size == KEY_BYTES && k.data[0] >= 0x01 && k.data[0] <= 0x7f;
	secret_wipe(k.data, k.size);
	gnutls_free(k.data);
	gnutls_free(x.data);
	gnutls_free(y.data);
	return plain;
}

static int make_key(gnutls_x509_privkey_t *ret)
{
	for (int i = 0; i < KEY_TRIES; i++) {
		gnutls_x509_privkey_t key;
		int rv = gnutls_x509_privkey_init(&key);

		if (rv < 0)
			return rv;
		rv = gnutls_x509_privkey_generate(
			key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
		if (rv >= 0 && has_plain_encoding(key)) {
			*ret = key;
			return 0;
		}
		gnutls_x509_privkey_deinit(key);
		if (rv < 0)
			return rv;
	}
	return GNUTLS_E_PK_GENERATION_ERROR;
}

/* Fills p->certificate, and p->key when there is none. */
static int make(struct pair *p, char error[TLS_ERROR_SIZE])
{
	int rv = 0;

	if (!p->key)
		rv = make_key(&p->key);
	if (rv >= 0)
		rv = gnutls_x509_crt_init(&p->certificate);
	if (rv >= 0)
		rv = set_identity(p->certificate, p->key);
	if (rv >= 0)
		rv = set_names(p->certificate);
	if (rv >= 0)
		rv = set_usage(p->certificate);
	if (rv >= 0)
		rv = gnutls_x509_crt_sign2(p->certificate, p->certificate, p->key,
					   GNUTLS_DIG_SHA256, 0);
	if (rv >= 0)
		return 0;
	tls_say(error, "cannot make a certificate (%s)", gnutls_strerror(rv));
	return RSTUN_E_FAILED;
}

/* The whole file or none of it: temporary file, fsync, rename, fsync of the directory. */
static int store(int directory_fd, const char *directory, const char *name,
		 const gnutls_datum_t *pem, char error[TLS_ERROR_SIZE])
{
	char temporary[32];
	int err = 0;
	int fd;

	snprintf(temporary, sizeof(temporary), ".%s.new", name);
	unlinkat(directory_fd, temporary, 0); /* left by a crash */
	fd = openat(directory_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		err = errno;
	} else {
		if (file_write_all(fd, pem->data, pem->size) < 0 || fsync(fd) < 0)
			err = errno;
		if (close(fd) < 0 && !err)
			err = errno;
		if (!err && renameat(directory_fd, temporary, directory_fd, name) < 0)
			err = errno;
		if (!err && fsync(directory_fd) < 0 && errno != EINVAL)
			err = errno;
		if (err)
			unlinkat(directory_fd, temporary, 0);
	}
	if (!err)
		return 0;
	tls_say(error, "cannot write %s/%s: %s", directory, name, strerror(err));
	return err == EACCES || err == EPERM || err == EROFS ? RSTUN_E_FILE_PERMISSIONS
							     : RSTUN_E_STATE_WRITE_FAILED;
}

static int store_pair(int directory_fd, const char *directory, const struct pair *p, bool with_key,
		      char error[TLS_ERROR_SIZE])
{
	gnutls_datum_t pem = {0};
	int rv = 0;

	if (with_key) {
		rv = gnutls_x509_privkey_export2_pkcs8(p->key, GNUTLS_X509_FMT_PEM, NULL,
						       GNUTLS_PKCS_PLAIN, &pem);
		if (rv < 0)
			goto encoding;
		rv = store(directory_fd, directory, "key.pem", &pem, error);
		secret_wipe(pem.data, pem.size);
		gnutls_free(pem.data);
		if (rv)
			return rv;
	}
	rv = gnutls_x509_crt_export2(p->certificate, GNUTLS_X509_FMT_PEM, &pem);
	if (rv < 0)
		goto encoding;
	rv = store(directory_fd, directory, "cert.pem", &pem, error);
	gnutls_free(pem.data);
	return rv;

encoding:
	tls_say(error, "cannot encode the certificate (%s)", gnutls_strerror(rv));
	return RSTUN_E_FAILED;
}

/* mkdir -p with 0700 for what is missing; an existing directory keeps its mode. */
static int make_directory(const char *directory, char error[TLS_ERROR_SIZE])
{
	char path[PATH_MAX];
	size_t length = strlen(directory);

	if (length == 0 || length >= sizeof(path)) {
		tls_say(error, "the state directory's name is %s", length ? "too long" : "empty");
		return RSTUN_E_FAILED;
	}
	memcpy(path, directory, length + 1);
	for (char *at = path + 1;; at++) {
		char kept = *at;

		if (kept != '/' && kept != '\0')
			continue;
		*at = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST) {
			int err = errno;

			tls_say(error, "cannot make the directory %s: %s", path, strerror(err));
			return err == EACCES || err == EPERM || err == EROFS
				       ? RSTUN_E_FILE_PERMISSIONS
				       : RSTUN_E_STATE_WRITE_FAILED;
		}
		if (kept == '\0')
			return 0;
		*at = kept;
	}
}

static int credentials_from(struct tls_credentials **ret, struct pair *p, const char *cert_name,
			    const char *key_name, char error[TLS_ERROR_SIZE])
{
	return tls_credentials_from_pair(ret, &p->certificate, 1, p->key, cert_name, key_name,
					 error);
}

static int load_or_make(struct tls_credentials **ret, int directory_fd, const char *directory,
			bool *ret_made, char error[TLS_ERROR_SIZE])
{
	char cert[PATH_MAX + 16], key[PATH_MAX + 16], why[TLS_ERROR_SIZE], unused[TLS_ERROR_SIZE];
	bool has_cert = faccessat(directory_fd, "cert.pem", F_OK, 0) == 0 || errno != ENOENT;
	bool has_key = faccessat(directory_fd, "key.pem", F_OK, 0) == 0 || errno != ENOENT;
	struct pair p = {0};
	unsigned mode;
	int rv;

	snprintf(cert, sizeof(cert), "%s/cert.pem", directory);
	snprintf(key, sizeof(key), "%s/key.pem", directory);
	if (has_cert) {
		rv = tls_credentials_new_server(ret, cert, key, why, unused);
		if (rv == 0)
			*ret_made = false;
		else
			tls_say(error,
				"the kept certificate %.200s and key %.200s cannot be used: %s. "
				"Repair "
				"them, or remove both to have a new pair made (its pin will be "
				"another)",
				cert, key, why);
		return rv;
	}
	if (has_key) {
		rv = tls_key_read(&p.key, key, &mode, why);
		if (rv) {
			tls_say(error,
				"no certificate %.200s, and a new one cannot be made for the key "
				"%.200s: "
				"%s. Remove the key to have a new pair made (its pin will be "
				"another)",
				cert, key, why);
			return rv;
		}
	}
	rv = make(&p, error);
	if (rv == 0)
		rv = store_pair(directory_fd, directory, &p, !has_key, error);
	if (rv == 0)
		rv = credentials_from(ret, &p, cert, key, error);
	if (rv == 0)
		*ret_made = true;
	pair_done(&p);
	return rv;
}

int tls_credentials_new_self_signed(struct tls_credentials **ret, const char *directory,
				    bool *ret_made, char error[TLS_ERROR_SIZE])
{
	int rv, fd;

	if (!directory) {
		struct pair p = {0};

		rv = make(&p, error);
		if (rv == 0)
			rv = credentials_from(ret, &p, "(made now)", "(made now)", error);
		if (rv == 0)
			*ret_made = true;
		pair_done(&p);
		return rv;
	}
	rv = make_directory(directory, error);
	if (rv)
		return rv;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		tls_say(error, "cannot open the directory %s: %s", directory, strerror(errno));
		return rstun_error_from_errno(errno);
	}
	rv = load_or_make(ret, fd, directory, ret_made, error);
	close(fd);
	return rv;
}
