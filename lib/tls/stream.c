/* SPDX-License-Identifier: MIT */
/*
 * TLS over a non-blocking TCP socket on a loop, client side. Everything is driven by the socket's
 * events; a call of ours never calls back. The owner may free the stream inside a callback: that is
 * put off until the event is over.
 */
#include "tls/stream.h"

#include "base/error.h"
#include "base/loop.h"
#include "tls/verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUT_BYTES_MAX 65536u
#define READ_BYTES 16384u /* one TLS record */
#define READS_MAX 16	  /* records a wake-up, so that no peer keeps the loop */

enum stream_state {
	STREAM_CONNECTING,
	STREAM_HANDSHAKE,
	STREAM_READY,
	STREAM_CLOSED,
};

struct tls_stream {
	struct loop *loop;
	const struct tls_stream_ops *ops;
	void *user;
	int fd;
	enum stream_state state;
	struct event read_event, write_event;
	struct loop_task again; /* GnuTLS holds data that the socket no longer announces */
	struct tls_credentials *credentials;
	struct verify verify;
	gnutls_session_t gnutls;
	uint8_t *out;
	size_t out_begin, out_end;
	bool running; /* inside an event: free only marks */
	bool dead;
};

static const struct verify_words stream_words = {
	.who = "the DNS server",
	.name_advice = "write the name that its certificate has behind its address, as in "
		       "--dot 192.0.2.1#dns.example",
	.trust_advice = "only a server whose certificate this system trusts can be used with --dot",
};

static void stream_destroy(struct tls_stream *s)
{
	loop_task_cancel(s->loop, &s->again);
	event_del(&s->read_event);
	event_del(&s->write_event);
	if (s->gnutls) {
		if (s->state == STREAM_READY)
			gnutls_bye(s->gnutls, GNUTLS_SHUT_WR);
		gnutls_deinit(s->gnutls);
	}
	close(s->fd);
	verify_done(&s->verify);
	tls_credentials_unref(s->credentials);
	free(s->out);
	free(s);
}

static void stream_close(struct tls_stream *s, int error, const char *why)
{
	s->state = STREAM_CLOSED;
	event_del(&s->read_event);
	event_del(&s->write_event);
	s->ops->on_close(s->user, error, why);
}

static void stream_fail(struct tls_stream *s, int rv, const char *doing)
{
	char text[TLS_ERROR_SIZE];

	if (s->verify.failure) {
		stream_close(s, RSTUN_E_TLS_VERIFY_FAILED, s->verify.failure);
	} else if (rv == GNUTLS_E_PREMATURE_TERMINATION || rv == 0) {
		tls_say(text, "%s: it closed the connection", doing);
		stream_close(s, RSTUN_E_CLOSED, text);
	} else if (rv == GNUTLS_E_FATAL_ALERT_RECEIVED) {
		const char *alert = gnutls_alert_get_name(gnutls_alert_get(s->gnutls));

		tls_say(text, "%s: it refused (TLS alert \"%s\")", doing,
			alert ? alert : "unknown");
		stream_close(s, RSTUN_E_CLOSED, text);
	} else if (rv == GNUTLS_E_PULL_ERROR || rv == GNUTLS_E_PUSH_ERROR) {
		tls_say(text, "%s: the connection broke", doing);
		stream_close(s, RSTUN_E_RESET, text);
	} else {
		tls_say(text, "%s: %s", doing, gnutls_strerror(rv));
		stream_close(s, RSTUN_E_FAILED, text);
	}
}

static void stream_connected(struct tls_stream *s)
{
	socklen_t size = sizeof(int);
	char text[TLS_ERROR_SIZE];
	int err = 0;

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0)
		err = errno;
	if (err) {
		tls_say(text, "cannot connect: %s", strerror(err));
		stream_close(s, rstun_error_from_errno(err), text);
		return;
	}
	event_del(&s->write_event);
	s->state = STREAM_HANDSHAKE;
}

static void stream_handshake(struct tls_stream *s)
{
	int rv;

	do
		rv = gnutls_handshake(s->gnutls);
	while (rv < 0 && rv != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(rv));
	if (rv == GNUTLS_E_AGAIN) {
		event_add(&s->read_event, NULL);
		if (gnutls_record_get_direction(s->gnutls))
			event_add(&s->write_event, NULL);
		else
			event_del(&s->write_event);
	} else if (rv < 0) {
		gnutls_alert_send_appropriate(s->gnutls, rv);
		stream_fail(s, rv, "the TLS handshake failed");
	} else {
		s->state = STREAM_READY;
		event_add(&s->read_event, NULL);
		s->ops->on_ready(s->user);
	}
}

/* True when the stream lives on. */
static bool stream_flush(struct tls_stream *s)
{
	while (s->out_begin < s->out_end) {
		ssize_t n = gnutls_record_send(s->gnutls, s->out + s->out_begin,
					       s->out_end - s->out_begin);

		if (n == GNUTLS_E_INTERRUPTED)
			continue;
		if (n == GNUTLS_E_AGAIN) {
			event_add(&s->write_event, NULL);
			return true;
		}
		if (n < 0) {
			stream_fail(s, (int)n, "cannot send");
			return false;
		}
		s->out_begin += (size_t)n;
	}
	s->out_begin = s->out_end = 0;
	event_del(&s->write_event);
	return true;
}

static void stream_read(struct tls_stream *s)
{
	uint8_t buf[READ_BYTES];

	for (int i = 0; i < READS_MAX; i++) {
		ssize_t n = gnutls_record_recv(s->gnutls, buf, sizeof(buf));

		if (n == GNUTLS_E_AGAIN)
			return;
		if (n < 0 && !gnutls_error_is_fatal((int)n))
			continue;
		if (n <= 0) {
			stream_fail(s, (int)n, "the connection ended");
			return;
		}
		s->ops->on_data(s->user, buf, (size_t)n);
		if (s->dead)
			return;
	}
	loop_task_schedule(s->loop, &s->again);
}

static void stream_run(struct tls_stream *s)
{
	s->running = true;
	if (s->state == STREAM_CONNECTING)
		stream_connected(s);
	if (s->state == STREAM_HANDSHAKE && !s->dead)
		stream_handshake(s);
	if (s->state == STREAM_READY && !s->dead && stream_flush(s) && !s->dead)
		stream_read(s);
	/* What a callback queued meanwhile. */
	if (s->state == STREAM_READY && !s->dead && s->out_end > s->out_begin)
		event_add(&s->write_event, NULL);
	s->running = false;
	if (s->dead)
		stream_destroy(s);
}

static void stream_on_event(evutil_socket_t fd, short what, void *user)
{
	struct tls_stream *s = user;

	(void)fd;
	(void)what;
	loop_enter(s->loop);
	stream_run(s);
}

static void stream_on_again(void *user)
{
	stream_run(user);
}

static int stream_set_up(struct tls_stream *s, const char *name)
{
	if (gnutls_init(&s->gnutls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL |
					    GNUTLS_NO_TICKETS | GNUTLS_KEY_SHARE_TOP) < 0) {
		s->gnutls = NULL;
		return RSTUN_E_NOMEM;
	}
	if (!tls_priority_stream() || gnutls_priority_set(s->gnutls, tls_priority_stream()) < 0 ||
	    gnutls_credentials_set(s->gnutls, GNUTLS_CRD_CERTIFICATE, s->credentials->gnutls) < 0)
		return RSTUN_E_FAILED;
	if (name && gnutls_server_name_set(s->gnutls, GNUTLS_NAME_DNS, s->verify.name,
					   strlen(s->verify.name)) < 0)
		return RSTUN_E_MALFORMED;
	gnutls_transport_set_int(s->gnutls, s->fd);
	verify_attach(&s->verify, s->gnutls);
	return event_add(&s->write_event, NULL) < 0 ? RSTUN_E_NOMEM : 0;
}

int tls_stream_new(struct tls_stream **ret, struct loop *loop, int fd,
		   struct tls_credentials *credentials, const char *name,
		   const struct address *peer, const struct tls_stream_ops *ops, void *user)
{
	struct tls_stream *s = calloc(1, sizeof(*s));
	int rv;

	if (!s) {
		close(fd);
		return RSTUN_E_NOMEM;
	}
	*s = (struct tls_stream){
		.loop = loop,
		.ops = ops,
		.user = user,
		.fd = fd,
		.state = STREAM_CONNECTING,
		.credentials = tls_credentials_ref(credentials),
	};
	event_assign(&s->read_event, loop->base, fd, EV_READ | EV_PERSIST, stream_on_event, s);
	event_assign(&s->write_event, loop->base, fd, EV_WRITE | EV_PERSIST, stream_on_event, s);
	loop_task_init(&s->again, stream_on_again, s);
	rv = verify_init(&s->verify, &stream_words, credentials, name, peer, NULL);
	if (rv == 0)
		rv = stream_set_up(s, name);
	if (rv) {
		stream_destroy(s);
		return rv;
	}
	*ret = s;
	return 0;
}

int tls_stream_write(struct tls_stream *s, const void *data, size_t bytes)
{
	if (s->state == STREAM_CLOSED || s->dead)
		return RSTUN_E_CLOSED;
	if (!s->out)
		s->out = malloc(OUT_BYTES_MAX);
	if (!s->out)
		return RSTUN_E_NOMEM;
	if (bytes > OUT_BYTES_MAX - s->out_end)
		return RSTUN_E_LIMIT_REACHED;
	memcpy(s->out + s->out_end, data, bytes);
	s->out_end += bytes;
	if (s->state == STREAM_READY)
		event_add(&s->write_event, NULL);
	return 0;
}

void tls_stream_free(struct tls_stream *s)
{
	if (!s)
		return;
	if (s->running)
		s->dead = true;
	else
		stream_destroy(s);
}
