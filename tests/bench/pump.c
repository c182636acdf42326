/* SPDX-License-Identifier: MIT */
/*
 * tests/bench/pump serve|send IP:PORT CIPHER WARM_S RUN_S: the limit of a tunnel: the engine's own
 * QUIC (lib/quic), with a source and a sink in memory instead of sockets of applications. "serve"
 * prints "ready", counts what the first connection brings, prints one line of JSON and ends. "send"
 * sends until its connection ends. One thread.
 */
#include "base/chunk.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "quic/endpoint.h"
#include "tls/credentials.h"
#include "tls/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUMP_BATCH (256 * 1024)

struct pump {
	struct loop loop;
	struct log log;
	struct chunk_pool pool;
	uint64_t warm_ns, run_ns;
	uint64_t first_ns, from_ns, bytes; /* serve */
	int status;
};

static void say(void *user, enum log_level level, const char *scope, const char *text)
{
	(void)user;
	fprintf(stderr, "%s [%s] %s\n", log_level_name(level), scope, text);
}

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "pump: %s: %s\n", what, rstun_strerror(error));
	exit(1);
}

/* ---- streams ---- */

/* The window begins `warm_ns` after the first byte; the connection ends with it. */
static void on_readable(struct quic_stream *s, void *user)
{
	struct pump *p = user;
	uint64_t now_ns = loop_now(&p->loop);
	size_t n = quic_stream_readable(s);

	quic_stream_consume(s, n);
	if (n == 0)
		return;
	if (!p->first_ns)
		p->first_ns = now_ns;
	if (!p->from_ns && now_ns >= p->first_ns + p->warm_ns) {
		p->from_ns = now_ns;
		return;
	}
	if (!p->from_ns)
		return;
	p->bytes += n;
	if (now_ns < p->from_ns + p->run_ns || p->status == 0)
		return;
	p->status = 0;
	printf("{\"mbit_s\": %.3f}\n", (double)p->bytes * 8e3 / (double)(now_ns - p->from_ns));
	fflush(stdout);
	quic_conn_close(quic_stream_conn(s), 0, "measured");
}

/* What is sent is whatever lies in the chunks: nobody looks at it. */
static void on_writable(struct quic_stream *s, void *user)
{
	struct iovec iov[PUMP_BATCH / CHUNK_BYTES + 1];
	size_t room, given;
	int count;

	(void)user;
	while ((room = quic_stream_room(s)) > 0) {
		count = quic_stream_reserve(s, room < PUMP_BATCH ? room : PUMP_BATCH, iov,
					    (int)(sizeof(iov) / sizeof(iov[0])));
		given = 0;
		for (int i = 0; i < count; i++)
			given += iov[i].iov_len;
		if (given == 0)
			return;
		quic_stream_commit(s, given);
	}
}

static void on_peer_ended(struct quic_stream *s, void *user, uint64_t app_error)
{
	(void)s;
	(void)user;
	(void)app_error;
}

static void on_stream_close(struct quic_stream *s, void *user, bool lost)
{
	(void)s;
	(void)user;
	(void)lost;
}

static const struct quic_stream_ops stream_ops = {
	.on_readable = on_readable,
	.on_writable = on_writable,
	.on_reset = on_peer_ended,
	.on_stop_sending = on_peer_ended,
	.on_close = on_stream_close,
};

/* ---- connections ---- */

static void on_ready(struct quic_conn *c, void *user)
{
	struct quic_stream *s;
	int error;

	if (quic_conn_is_server(c)) {
		quic_conn_allow_streams(c, 1); /* and the windows of a session that is logged in */
		return;
	}
	error = quic_conn_open_stream(c, &stream_ops, user, &s);
	if (error)
		die("stream", error);
	on_writable(s, user);
}

static void on_stream(struct quic_conn *c, void *user, struct quic_stream *s)
{
	(void)c;
	quic_stream_set_ops(s, &stream_ops, user);
}

static void on_nothing(struct quic_conn *c, void *user)
{
	(void)c;
	(void)user;
}

static void on_close(struct quic_conn *c, void *user, const struct quic_close *why)
{
	struct pump *p = user;

	(void)c;
	if (p->status != 0 && why->kind != QUIC_CLOSE_PEER_APP)
		fprintf(stderr, "pump: the connection ended: %s\n", why->reason);
	else
		p->status = 0;
	loop_stop(&p->loop);
}

static const struct quic_conn_ops conn_ops = {
	.on_ready = on_ready,
	.on_stream = on_stream,
	.on_streams_available = on_nothing,
	.on_path = on_nothing,
	.on_close = on_close,
};

static void on_accept(struct quic_endpoint *ep, void *user, struct quic_conn *c)
{
	struct pump *p = user;

	(void)ep;
	quic_conn_set_ops(c, &conn_ops, p);
}

static const struct quic_endpoint_ops endpoint_ops = {.on_accept = on_accept};

/* ---- the two ends ---- */

static struct quic_endpoint *new_endpoint(struct pump *p, struct tls_credentials *credentials)
{
	struct quic_endpoint_config config = {.loop = &p->loop,
					      .log = &p->log,
					      .pool = &p->pool,
					      .worker_count = 1,
					      .credentials = credentials,
					      .ops = &endpoint_ops,
					      .user = p};
	struct quic_endpoint *ep;
	int error;

	quic_config_default(&config.quic);
	error = quic_endpoint_new(&ep, &config);
	if (error)
		die("endpoint", error);
	return ep;
}

static void serve(struct pump *p, const struct address *address)
{
	struct tls_credentials *credentials;
	char why[TLS_ERROR_SIZE];
	struct quic_endpoint *ep;
	struct address bound;
	bool made;
	int fd, error;

	error = tls_credentials_new_self_signed(&credentials, NULL, &made, why);
	if (error)
		die("certificate", error);
	ep = new_endpoint(p, credentials);
	error = quic_endpoint_bind(address, false, &fd, &bound);
	if (!error)
		error = quic_endpoint_listen(ep, fd);
	if (error)
		die("bind", error);
	puts("ready");
	fflush(stdout);
	loop_run(&p->loop);
	quic_endpoint_free(ep);
	tls_credentials_unref(credentials);
}

static void send_bulk(struct pump *p, const struct address *address, enum tls_cipher cipher)
{
	struct tls_credentials *credentials;
	struct tls_session_config tls = {.cipher = cipher, .sni = "localhost"};
	struct quic_connect connect = {.remote = *address, .ops = &conn_ops, .user = p};
	struct quic_endpoint *ep = new_endpoint(p, NULL);
	struct quic_conn *c;
	int error;

	error = tls_credentials_new_unverified(&credentials);
	tls.credentials = credentials;
	if (!error)
		error = tls_session_new_client(&connect.session, &tls);
	if (!error)
		error = quic_endpoint_connect(ep, &connect, &c);
	if (error)
		die("connect", error);
	loop_run(&p->loop);
	quic_endpoint_free(ep);
	tls_credentials_unref(credentials);
}

static bool find_cipher(const char *name, enum tls_cipher *ret)
{
	static const char *const names[] = {
		[TLS_CIPHER_CHACHA20_POLY1305] = "chacha20-poly1305",
		[TLS_CIPHER_AES_128_GCM] = "aes-128-gcm",
		[TLS_CIPHER_AES_256_GCM] = "aes-256-gcm",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0) {
			*ret = (enum tls_cipher)i;
			return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	struct pump p = {.log = {.level = LOG_LEVEL_WARN, .write = say}, .status = 1};
	enum tls_cipher cipher;
	struct address address;
	int error;

	if (argc != 6 || address_parse(&address, argv[2], strlen(argv[2])) != 0 ||
	    !find_cipher(argv[3], &cipher)) {
		fputs("Usage: pump serve|send IP:PORT CIPHER WARM_S RUN_S\n", stderr);
		return 2;
	}
	p.warm_ns = (uint64_t)(atof(argv[4]) * 1e9);
	p.run_ns = (uint64_t)(atof(argv[5]) * 1e9);
	error = tls_global_init();
	if (!error)
		error = loop_init(&p.loop, NULL, &p.log);
	if (error)
		die("start", error);
	loop_enter(&p.loop);
	chunk_pool_init(&p.pool, 256);
	if (strcmp(argv[1], "serve") == 0)
		serve(&p, &address);
	else
		send_bulk(&p, &address, cipher);
	chunk_pool_done(&p.pool);
	loop_done(&p.loop);
	tls_global_done();
	return p.status;
}
