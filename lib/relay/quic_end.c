/* SPDX-License-Identifier: MIT */
/*
 * A QUIC stream as a buffered end. The stream belongs to its connection and is gone after on_close;
 * from then on this end holds no pointer to it and is a source without bytes and a full sink.
 *
 * A signal is the last thing that a callback here does: the owner may free the end inside it. An
 * end that is freed before its stream closed leaves the stream with inert ops: what was finished is
 * still delivered by the connection, what was not is aborted.
 */
#include "relay/quic_end.h"

#include "base/error.h"
#include "quic/stream.h"

#include <stdlib.h>

struct quic_end {
	struct end end; /* first */
	struct quic_stream *stream; /* NULL after on_close */
	bool plain_codes;
	bool finished;     /* FIN is given */
	bool stopped;      /* we sent STOP_SENDING: a RESET_STREAM is only its answer */
	bool reset;        /* the peer's sending side was reset */
	bool refused;      /* the peer sent STOP_SENDING */
	bool ended;        /* the peer's FIN was reached */
	bool aborted;
	bool closed_clean; /* on_close without loss: everything was acknowledged */
};

static struct quic_end *quic_end_from(const struct end *e)
{
	return (struct quic_end *)(uintptr_t)e;
}

static uint64_t quic_end_code(const struct quic_end *q, enum flow_error error)
{
	return q->plain_codes || error == FLOW_OK ? FLOW_RESET : (uint64_t)error;
}

static enum flow_error quic_end_error(uint64_t code)
{
	return code >= FLOW_RESET && code <= FLOW_SHUTTING_DOWN ? (enum flow_error)code
								: FLOW_RESET;
}

/* ---- what the stream says ---- */

static void quic_end_on_readable(struct quic_stream *s, void *user)
{
	struct quic_end *q = user;

	(void)s;
	if (q->end.owner != NULL && !q->aborted && !q->stopped)
		q->end.owner->on_readable(q->end.owner_user);
}

static void quic_end_on_datagrams(struct quic_stream *s, void *user)
{
	quic_end_on_readable(s, user);
}

static void quic_end_on_writable(struct quic_stream *s, void *user)
{
	struct quic_end *q = user;

	(void)s;
	if (q->end.owner != NULL && !q->aborted)
		q->end.owner->on_writable(q->end.owner_user);
}

static void quic_end_on_reset(struct quic_stream *s, void *user, uint64_t app_error)
{
	struct quic_end *q = user;

	(void)s;
	if (q->stopped || q->ended || q->aborted)
		return;
	q->reset = true;
	if (q->end.owner != NULL)
		q->end.owner->on_error(q->end.owner_user, quic_end_error(app_error), false);
}

static void quic_end_on_stop_sending(struct quic_stream *s, void *user, uint64_t app_error)
{
	struct quic_end *q = user;

	(void)s;
	q->refused = true;
	if (q->end.owner != NULL && !q->aborted)
		q->end.owner->on_refused(q->end.owner_user, quic_end_error(app_error));
}

static void quic_end_on_close(struct quic_stream *s, void *user, bool lost)
{
	struct quic_end *q = user;
	bool complete;

	q->ended = q->ended || quic_stream_at_end(s);
	complete = (q->finished || q->refused) && (q->ended || q->stopped || q->reset);
	q->stream = NULL;
	q->closed_clean = !lost;
	if (q->aborted || q->end.owner == NULL)
		return;
	/* A stream that closes before its bytes were taken is a loss too, never an end of file. */
	if (lost || !complete)
		q->end.owner->on_error(q->end.owner_user, FLOW_RESET, true);
	else
		q->end.owner->on_writable(q->end.owner_user); /* drained() is true now */
}

static const struct quic_stream_ops quic_end_stream_ops = {
	.on_readable = quic_end_on_readable,
	.on_datagrams = quic_end_on_datagrams,
	.on_writable = quic_end_on_writable,
	.on_reset = quic_end_on_reset,
	.on_stop_sending = quic_end_on_stop_sending,
	.on_close = quic_end_on_close,
};

/* A stream whose end is gone: a call that is not set is not made. */
static const struct quic_stream_ops quic_end_inert_ops;

/* ---- what the owner asks ---- */

static int quic_end_peek(struct end *e, struct iovec *iov, int iov_max)
{
	struct quic_end *q = quic_end_from(e);

	if (q->stream == NULL || q->aborted || q->stopped || q->reset)
		return 0;
	return quic_stream_peek(q->stream, iov, iov_max);
}

static void quic_end_consume(struct end *e, size_t bytes)
{
	struct quic_end *q = quic_end_from(e);

	if (q->stream != NULL)
		quic_stream_consume(q->stream, bytes);
}

static size_t quic_end_max_datagram(const struct end *e)
{
	struct quic_end *q = quic_end_from(e);

	return q->stream == NULL ? 0 : quic_stream_max_datagram(q->stream);
}

static bool quic_end_send_datagram(struct end *e, const void *data, size_t bytes, uint64_t now_ns)
{
	struct quic_end *q = quic_end_from(e);

	return q->stream != NULL && !q->aborted &&
	       quic_stream_send_datagram(q->stream, data, bytes, now_ns) == 0;
}

static int quic_end_peek_datagrams(struct end *e, struct iovec *iov, int iov_max)
{
	struct quic_end *q = quic_end_from(e);

	if (q->stream == NULL || q->aborted || q->stopped || q->reset)
		return 0;
	return quic_stream_peek_datagrams(q->stream, iov, iov_max);
}

static void quic_end_consume_datagrams(struct end *e, size_t bytes, size_t count)
{
	struct quic_end *q = quic_end_from(e);

	if (q->stream != NULL)
		quic_stream_consume_datagrams(q->stream, bytes, count);
}

static bool quic_end_at_end(const struct end *e)
{
	struct quic_end *q = quic_end_from(e);

	if (!q->ended && q->stream != NULL && !q->aborted && !q->stopped && !q->reset)
		q->ended = quic_stream_at_end(q->stream);
	return q->ended;
}

static int quic_end_reserve(struct end *e, size_t bytes, struct iovec *iov, int iov_max)
{
	struct quic_end *q = quic_end_from(e);

	if (q->stream == NULL || q->aborted || q->finished || q->refused)
		return 0;
	return quic_stream_reserve(q->stream, bytes, iov, iov_max);
}

static void quic_end_commit(struct end *e, size_t bytes)
{
	struct quic_end *q = quic_end_from(e);

	if (q->stream != NULL)
		quic_stream_commit(q->stream, bytes);
}

static size_t quic_end_room(const struct end *e)
{
	struct quic_end *q = quic_end_from(e);

	if (q->stream == NULL || q->aborted || q->finished || q->refused)
		return 0;
	return quic_stream_room(q->stream);
}

static size_t quic_end_waiting(const struct end *e)
{
	struct quic_end *q = quic_end_from(e);

	return q->stream == NULL ? 0
				 : quic_stream_unsent(q->stream) +
					   quic_stream_unsent_datagrams(q->stream);
}

static void quic_end_finish(struct end *e)
{
	struct quic_end *q = quic_end_from(e);

	if (q->stream == NULL || q->finished || q->aborted || q->refused)
		return;
	q->finished = true;
	quic_stream_finish(q->stream);
}

static bool quic_end_drained(const struct end *e)
{
	struct quic_end *q = quic_end_from(e);

	return q->stream == NULL && q->finished && q->closed_clean;
}

static void quic_end_abort(struct end *e, enum flow_error error)
{
	struct quic_end *q = quic_end_from(e);

	if (q->aborted)
		return;
	q->aborted = true;
	if (q->stream != NULL)
		quic_stream_abort(q->stream, quic_end_code(q, error));
}

static void quic_end_stop_reading(struct end *e, enum flow_error error)
{
	struct quic_end *q = quic_end_from(e);

	if (q->stopped || q->aborted)
		return;
	q->stopped = true;
	if (q->stream != NULL)
		quic_stream_stop_reading(q->stream, quic_end_code(q, error));
}

static void quic_end_want_read(struct end *e, bool want)
{
	(void)e; /* a stream says so only when there is news */
	(void)want;
}

static void quic_end_free(struct end *e)
{
	struct quic_end *q = quic_end_from(e);

	if (q->stream != NULL) {
		quic_stream_set_ops(q->stream, &quic_end_inert_ops, NULL);
		quic_end_at_end(e);
		if (!((q->finished || q->refused) && (q->ended || q->stopped || q->reset)))
			quic_end_abort(e, FLOW_RESET);
	}
	free(q);
}

static const struct end_ops quic_end_ops = {
	.buffered = true,
	.peek = quic_end_peek,
	.consume = quic_end_consume,
	.max_datagram = quic_end_max_datagram,
	.send_datagram = quic_end_send_datagram,
	.peek_datagrams = quic_end_peek_datagrams,
	.consume_datagrams = quic_end_consume_datagrams,
	.at_end = quic_end_at_end,
	.reserve = quic_end_reserve,
	.commit = quic_end_commit,
	.room = quic_end_room,
	.waiting = quic_end_waiting,
	.finish = quic_end_finish,
	.drained = quic_end_drained,
	.abort = quic_end_abort,
	.stop_reading = quic_end_stop_reading,
	.want_read = quic_end_want_read,
	.free = quic_end_free,
};

int quic_end_new(struct end **ret, struct quic_stream *stream, bool plain_codes)
{
	struct quic_end *q = calloc(1, sizeof(*q));

	if (q == NULL) {
		quic_stream_set_ops(stream, &quic_end_inert_ops, NULL);
		quic_stream_abort(stream, plain_codes ? FLOW_RESET : FLOW_LIMIT);
		return RSTUN_E_NOMEM;
	}
	q->end.ops = &quic_end_ops;
	q->stream = stream;
	q->plain_codes = plain_codes;
	quic_stream_set_ops(stream, &quic_end_stream_ops, q);
	*ret = &q->end;
	return 0;
}
