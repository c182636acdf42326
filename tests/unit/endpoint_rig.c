/* SPDX-License-Identifier: MIT */
/*
 * See endpoint_rig.h. The loop is turned one event at a time, and a timer makes sure that it turns at all.
 */
#include "endpoint_rig.h"

#include "base/clock.h"
#include "base/error.h"
#include "tls/credentials.h"
#include "tls/session.h"

#include <errno.h>
#include <netinet/udp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

unsigned erig_fail_sends, erig_sends;
int erig_fail_errno;
bool erig_refuse_offload;

ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);

int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t bytes);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t bytes);

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t bytes)
{
	if (erig_refuse_offload && level == SOL_UDP && name == UDP_GRO) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return __real_setsockopt(fd, level, name, value, bytes);
}

static bool wants_segments(const struct msghdr *msg)
{
	struct msghdr m = *msg; /* CMSG_NXTHDR takes no const */

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT)
			return true;
	return false;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (erig_refuse_offload && wants_segments(msg)) {
		errno = EIO;
		return -1;
	}
	erig_sends++;
	if (erig_fail_sends > 0) {
		erig_fail_sends--;
		errno = erig_fail_errno;
		return -1;
	}
	return __real_sendmsg(fd, msg, flags);
}

static void quiet(void *user, enum log_level level, const char *scope, const char *text)
{
	(void)user;
	(void)level;
	(void)scope;
	(void)text;
}

void erig_init(struct erig *g)
{
	char error[TLS_ERROR_SIZE];
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	bool made;

	memset(g, 0, sizeof(*g));
	erig_fail_sends = 0;
	erig_refuse_offload = false;
	g->log = (struct log){.level = LOG_LEVEL_ERROR, .write = quiet};
	assert_int_equal(loop_init(&g->loop, NULL, &g->log), 0);
	chunk_pool_init(&g->pool, 64);
	quic_config_default(&g->config);
	assert_int_equal(tls_credentials_new_self_signed(&g->server_credentials, NULL, &made, error), 0);
	assert_int_equal(tls_credentials_new_unverified(&g->client_credentials), 0);
	g->raw = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(g->raw >= 0);
	assert_int_equal(bind(g->raw, (struct sockaddr *)&sin, sizeof(sin)), 0);
}

void erig_done(struct erig *g)
{
	close(g->raw);
	tls_credentials_unref(g->server_credentials);
	tls_credentials_unref(g->client_credentials);
	assert_int_equal(g->pool.in_use, 0);
	chunk_pool_done(&g->pool);
	loop_done(&g->loop);
}

/* ---- streams ---- */

static void pump(struct erig_link *l)
{
	static const uint8_t data[16384];

	while (l->stream && l->sent < l->to_send) {
		size_t n = quic_stream_room(l->stream);

		n = n < l->to_send - l->sent ? n : (size_t)(l->to_send - l->sent);
		n = n < sizeof(data) ? n : sizeof(data);
		if (n == 0 || quic_stream_write(l->stream, data, n) != 0)
			return;
		l->sent += n;
	}
	if (l->stream)
		quic_stream_finish(l->stream);
}

static void client_readable(struct quic_stream *s, void *user)
{
	struct erig_link *l = user;
	size_t n = quic_stream_readable(s);

	l->got += n;
	quic_stream_consume(s, n);
	if (quic_stream_at_end(s))
		l->end = true;
}

static void client_writable(struct quic_stream *s, void *user)
{
	(void)s;
	pump(user);
}

static void client_stream_close(struct quic_stream *s, void *user, bool lost)
{
	struct erig_link *l = user;

	(void)s;
	(void)lost;
	l->stream = NULL;
}

static const struct quic_stream_ops client_stream_ops = {
	.on_readable = client_readable,
	.on_writable = client_writable,
	.on_close = client_stream_close,
};

static void echo(struct quic_stream *s, void *user)
{
	uint8_t buf[16384];
	size_t room, n;

	(void)user;
	while ((room = quic_stream_room(s)) > 0) {
		n = quic_stream_read(s, buf, room < sizeof(buf) ? room : sizeof(buf));
		if (n == 0)
			break;
		assert_int_equal(quic_stream_write(s, buf, n), 0);
	}
	if (quic_stream_at_end(s))
		quic_stream_finish(s);
}

static const struct quic_stream_ops echo_ops = {.on_readable = echo, .on_writable = echo};

/* ---- connections ---- */

static void link_ready(struct quic_conn *c, void *user)
{
	struct erig_link *l = user;

	assert_false(l->ready);
	l->ready = true;
	if (quic_conn_is_server(c)) {
		quic_conn_allow_streams(c, 100);
		return;
	}
	quic_conn_start_keep_alive(c);
	if (l->to_send && quic_conn_open_stream(c, &client_stream_ops, l, &l->stream) == 0)
		pump(l);
}

static void link_stream(struct quic_conn *c, void *user, struct quic_stream *s)
{
	(void)c;
	quic_stream_set_ops(s, &echo_ops, user);
}

static void link_close(struct quic_conn *c, void *user, const struct quic_close *why)
{
	struct erig_link *l = user;

	(void)c;
	l->closed++;
	l->close = *why;
	l->conn = NULL;
}

static const struct quic_conn_ops link_ops = {
	.on_ready = link_ready,
	.on_stream = link_stream,
	.on_close = link_close,
};

static struct erig_link *new_link(struct erig_end *e)
{
	struct erig_link *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	assert_true(e->count < ERIG_LINKS);
	e->links[e->count++] = l;
	return l;
}

static void on_accept(struct quic_endpoint *ep, void *user, struct quic_conn *c)
{
	struct erig_end *e = user;
	struct erig_link *l = new_link(e);

	(void)ep;
	l->conn = c;
	quic_conn_set_ops(c, &link_ops, l);
	if (e->refuse)
		quic_conn_close(c, 1, "too many");
}

static int on_socket(struct quic_endpoint *ep, void *user, int fd)
{
	struct erig_end *e = user;

	(void)ep;
	if (e->sndbuf)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &e->sndbuf, sizeof(e->sndbuf)), 0);
	return 0;
}

static void on_foreign(struct quic_endpoint *ep, void *user, unsigned worker, const struct address *local,
		       const struct address *remote, const uint8_t *data, size_t bytes)
{
	struct erig_end *e = user;

	(void)ep;
	assert_int_not_equal(worker, e->ep->config.worker);
	if (e->other)
		quic_endpoint_inject(e->other->ep, local, remote, data, bytes);
}

static const struct quic_endpoint_ops server_ops = {.on_accept = on_accept, .on_foreign = on_foreign};
static const struct quic_endpoint_ops client_ops = {.on_socket = on_socket};

static void make(struct erig *g, struct erig_end *e, const struct quic_endpoint_ops *ops,
		 struct tls_credentials *credentials, unsigned worker, unsigned workers)
{
	struct quic_endpoint_config config = {
		.loop = &g->loop,
		.log = &g->log,
		.pool = &g->pool,
		.quic = g->config,
		.worker = worker,
		.worker_count = workers,
		.secret = {1, 2, 3},
		.credentials = credentials,
		.ops = ops,
		.user = e,
	};
	e->rig = g;
	assert_int_equal(quic_endpoint_new(&e->ep, &config), 0);
}

void erig_server(struct erig *g, struct erig_end *e, const char *text, bool reuse, unsigned worker,
		 unsigned workers)
{
	struct address at;

	memset(e, 0, sizeof(*e));
	make(g, e, &server_ops, g->server_credentials, worker, workers);
	assert_int_equal(address_parse(&at, text, strlen(text)), 0);
	assert_int_equal(quic_endpoint_bind(&at, reuse, &e->fd, &e->bound), 0);
	assert_int_equal(quic_endpoint_listen(e->ep, e->fd), 0);
}

void erig_client(struct erig *g, struct erig_end *e)
{
	memset(e, 0, sizeof(*e));
	make(g, e, &client_ops, NULL, 0, 1);
}

void erig_free(struct erig_end *e)
{
	quic_endpoint_free(e->ep);
	for (size_t i = 0; i < e->count; i++) {
		assert_int_equal(e->links[i]->closed, 1); /* exactly once, whatever happened */
		assert_null(e->links[i]->stream);
		free(e->links[i]);
	}
	e->count = 0;
	e->ep = NULL;
}

struct erig_link *erig_dial(struct erig_end *e, const struct address *to, uint64_t bytes)
{
	struct tls_session_config config = {.credentials = e->rig->client_credentials, .sni = "localhost"};
	struct erig_link *l = new_link(e);
	struct quic_connect connect = {.remote = *to, .ops = &link_ops, .user = l};

	l->to_send = bytes;
	assert_int_equal(tls_session_new_client(&connect.session, &config), 0);
	assert_int_equal(quic_endpoint_connect(e->ep, &connect, &l->conn), 0);
	return l;
}

/* ---- turning ---- */

static void passed(void *user)
{
	*(bool *)user = true;
}

bool erig_until(struct erig *g, bool (*done)(void *arg), void *arg, unsigned ms)
{
	struct loop_timer timer;
	bool over = false;

	loop_timer_init(&timer, &g->loop, passed, &over);
	loop_enter(&g->loop);
	loop_timer_arm(&timer, clock_after(loop_now(&g->loop), clock_ms(ms)));
	while (!over && !(done && done(arg)))
		event_base_loop(g->loop.base, EVLOOP_ONCE);
	loop_timer_cancel(&timer);
	return done && done(arg);
}

bool erig_ready(void *link)
{
	return ((struct erig_link *)link)->ready;
}

bool erig_closed(void *link)
{
	return ((struct erig_link *)link)->closed > 0;
}

bool erig_whole(void *link)
{
	struct erig_link *l = link;

	return l->end && l->got == l->to_send;
}

bool erig_all_whole(void *end)
{
	struct erig_end *e = end;

	for (size_t i = 0; i < e->count; i++) {
		if (!erig_whole(e->links[i]))
			return false;
	}
	return true;
}

void erig_turns(struct erig *g, unsigned ms)
{
	erig_until(g, NULL, NULL, ms);
}

static bool count_turn(void *arg)
{
	++*(unsigned *)arg;
	return false;
}

unsigned erig_count_turns(struct erig *g, unsigned ms)
{
	unsigned turns = 0;

	erig_until(g, count_turn, &turns, ms);
	return turns;
}

void erig_deafen(struct erig_end *e)
{
	struct quic_socket *s;

	TAILQ_FOREACH(s, &e->ep->sockets, link)
		event_del(&s->read_event);
}

void erig_raw_send(struct erig *g, const struct address *to, const void *data, size_t bytes)
{
	assert_int_equal(sendto(g->raw, data, bytes, 0, &to->sa, to->len), bytes);
}

struct heard {
	int fd;
	void *buf;
	size_t size, bytes;
};

static bool hear(void *arg)
{
	struct heard *h = arg;
	ssize_t n = h->bytes ? 0 : recv(h->fd, h->buf, h->size, MSG_DONTWAIT);

	if (n > 0)
		h->bytes = (size_t)n;
	return h->bytes > 0;
}

size_t erig_raw_receive(struct erig *g, void *buf, size_t size, unsigned ms)
{
	struct heard h = {.fd = g->raw, .buf = buf, .size = size};

	for (unsigned i = 0; i < ms && !h.bytes; i += 2)
		erig_until(g, hear, &h, 2);
	return h.bytes;
}
