/* SPDX-License-Identifier: MIT */
/*
 * The DNS over TLS server of the tests. See dot_server.h.
 */
#include "tests/unit/dot_server.h"

#include "tests/unit/dns_zone.h"
#include "tests/unit/resolver_rig.h"

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool receive(gnutls_session_t tls, uint8_t *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = gnutls_record_recv(tls, data, bytes);

		if (n <= 0)
			return false;
		data += n;
		bytes -= (size_t)n;
	}
	return true;
}

static size_t read_and_answer(struct dot_server *s, gnutls_session_t tls, uint8_t *frame)
{
	uint8_t query[2 + 512];
	char name[256];
	size_t bytes;

	if (!receive(tls, query, 2))
		return 0;
	bytes = (size_t)(query[0] << 8 | query[1]);
	if (bytes > 512 || !receive(tls, query + 2, bytes))
		return 0;
	atomic_fetch_add(&s->questions, 1);
	bytes = dns_zone_reply(frame + 2, query + 2, bytes, name);
	if (bytes == 0)
		return 0;
	frame[0] = (uint8_t)(bytes >> 8);
	frame[1] = (uint8_t)bytes;
	return bytes + 2;
}

static void serve(struct dot_server *s, gnutls_session_t tls)
{
	static const uint8_t garbage[] = {0, 3, 'x', 'y', 'z'};
	uint8_t first[2 + DNS_ZONE_REPLY_MAX], both[2 * (2 + DNS_ZONE_REPLY_MAX)];
	size_t a, b;

	if (s->manner == DOT_SERVER_GARBAGE)
		gnutls_record_send(tls, garbage, sizeof(garbage));
	if (s->manner != DOT_SERVER_CLOSE && s->manner != DOT_SERVER_GARBAGE) {
		a = read_and_answer(s, tls, first);
		if (s->manner == DOT_SERVER_CLOSE_HALF) {
			gnutls_record_send(tls, first, a);
			gnutls_bye(tls, GNUTLS_SHUT_WR);
			return;
		}
		b = read_and_answer(s, tls, both);
		memcpy(both + b, first, a);
		if (s->manner == DOT_SERVER_ONE_RECORD)
			gnutls_record_send(tls, both, a + b);
		else if (s->manner == DOT_SERVER_BYTEWISE)
			for (size_t i = 0; i < a + b; i++)
				gnutls_record_send(tls, both + i, 1);
		else if (s->manner == DOT_SERVER_RIGHT) {
			gnutls_record_send(tls, both, b);
			gnutls_record_send(tls, both + b, a);
		}
		/* Until the client goes. */
		while (gnutls_record_recv(tls, first, sizeof(first)) > 0)
			;
	}
	gnutls_bye(tls, GNUTLS_SHUT_WR);
}

static void *run(void *user)
{
	struct dot_server *s = user;
	gnutls_certificate_credentials_t credentials;
	char byte;

	gnutls_certificate_allocate_credentials(&credentials);
	if (gnutls_certificate_set_x509_key_file(credentials, s->cert, s->key,
						 GNUTLS_X509_FMT_PEM) < 0)
		abort();
	for (;;) {
		int fd = accept(s->listen_fd, NULL, NULL);
		gnutls_session_t tls;

		if (fd < 0)
			break;
		atomic_fetch_add(&s->connections, 1);
		atomic_store(&s->connection_fd, fd);
		if (atomic_load(&s->stopping))
			shutdown(fd, SHUT_RDWR);
		if (s->manner == DOT_SERVER_NO_TLS || s->manner == DOT_SERVER_PLAIN) {
			if (s->manner == DOT_SERVER_PLAIN)
				send(fd, "220 hello\r\n", 11, MSG_NOSIGNAL);
			while (recv(fd, &byte, 1, 0) > 0)
				;
		} else {
			gnutls_init(&tls, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);
			gnutls_set_default_priority(tls);
			gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, credentials);
			gnutls_transport_set_int(tls, fd);
			if (gnutls_handshake(tls) == 0)
				serve(s, tls);
			gnutls_deinit(tls);
		}
		atomic_store(&s->connection_fd, -1);
		close(fd);
	}
	gnutls_certificate_free_credentials(credentials);
	return NULL;
}

void dot_server_start(struct dot_server *s, enum dot_server_manner manner, const char *cert,
		      const char *key)
{
	memset(s, 0, sizeof(*s));
	s->manner = manner;
	s->cert = cert;
	s->key = key;
	atomic_init(&s->connection_fd, -1);
	s->port = resolver_rig_port(&s->listen_fd);
	snprintf(s->text, sizeof(s->text), "127.0.0.1:%u", s->port);
	if (pthread_create(&s->thread, NULL, run, s) != 0)
		abort();
}

void dot_server_stop(struct dot_server *s)
{
	int fd;

	atomic_store(&s->stopping, true);
	shutdown(s->listen_fd, SHUT_RDWR);
	fd = atomic_load(&s->connection_fd);
	if (fd >= 0)
		shutdown(fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listen_fd);
}
