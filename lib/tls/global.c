/* SPDX-License-Identifier: MIT */
/*
 * Process-wide objects: a priority object for each way to begin a session, made by the first user
 * and never changed until the last has gone. Sharing them saves about 8 KiB per connection. Users may be
 * contexts of several threads, so beginning and end take a lock; use needs none.
 */
#include "tls/tls_private.h"

#include "base/error.h"
#include "tls/aead.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#define CHACHA "+CHACHA20-POLY1305"
#define AES256 "+AES-256-GCM"
#define AES128 "+AES-128-GCM"
#define GROUPS "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+GROUP-SECP521R1"
#define QUIC(first, second, third)                                                                 \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:" first ":" second ":" third ":" GROUPS         \
	":%DISABLE_TLS13_COMPAT_MODE"

enum {
	NO_AES = TLS_CIPHER_AUTO + 1, /* see automatic.h */
	STREAM,
	PRIORITIES,
};

static const char *const texts[PRIORITIES] = {
	[TLS_CIPHER_CHACHA20_POLY1305] = QUIC(CHACHA, AES256, AES128),
	[TLS_CIPHER_AES_256_GCM] = QUIC(AES256, AES128, CHACHA),
	[TLS_CIPHER_AES_128_GCM] = QUIC(AES128, AES256, CHACHA),
	[TLS_CIPHER_AUTO] = QUIC(AES128, CHACHA, AES256),
	[NO_AES] = QUIC(CHACHA, AES128, AES256) ":%SERVER_PRECEDENCE",
	[STREAM] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:" GROUPS,
};

static gnutls_priority_t priorities[PRIORITIES];
static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users; /* under the lock */

static void tls_global_leave(void);

static int tls_global_enter(void)
{
	if (users++ > 0)
		return 0;
	if (gnutls_global_init() != GNUTLS_E_SUCCESS) {
		users = 0;
		return RSTUN_E_FAILED;
	}
	tls_aead_global_init();
	for (size_t i = 0; i < PRIORITIES; i++)
		if (gnutls_priority_init(&priorities[i], texts[i], NULL) != GNUTLS_E_SUCCESS) {
			priorities[i] = NULL;
			tls_global_leave();
			return RSTUN_E_UNSUPPORTED;
		}
	return 0;
}

static void tls_global_leave(void)
{
	if (users == 0 || --users > 0)
		return;
	for (size_t i = 0; i < PRIORITIES; i++) {
		if (priorities[i])
			gnutls_priority_deinit(priorities[i]);
		priorities[i] = NULL;
	}
	gnutls_global_deinit();
}

int tls_global_init(void)
{
	int err;

	pthread_mutex_lock(&users_lock);
	err = tls_global_enter();
	pthread_mutex_unlock(&users_lock);
	return err;
}

void tls_global_done(void)
{
	pthread_mutex_lock(&users_lock);
	tls_global_leave();
	pthread_mutex_unlock(&users_lock);
}

gnutls_priority_t tls_priority_quic(enum tls_cipher preferred)
{
	return preferred <= TLS_CIPHER_AUTO ? priorities[preferred] : NULL;
}

gnutls_priority_t tls_priority_no_aes(void)
{
	return priorities[NO_AES];
}

gnutls_priority_t tls_priority_stream(void)
{
	return priorities[STREAM];
}

const char *tls_library_version(void)
{
	return gnutls_check_version(NULL);
}

void tls_say(char error[TLS_ERROR_SIZE], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, TLS_ERROR_SIZE, format, ap);
	va_end(ap);
}
