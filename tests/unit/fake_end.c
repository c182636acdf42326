/* SPDX-License-Identifier: MIT */
/*
 * Ends made of memory. Misuse (a commit beyond what was reserved, bytes after finish, a call after
 * free) ends the test program.
 */
#include "tests/unit/fake_end.h"

#include <stdlib.h>
#include <string.h>

static void fake_check(bool good)
{
	if (!good)
		abort();
}

static struct fake_end *fake_from(const struct end *e)
{
	struct fake_end *f = (struct fake_end *)(uintptr_t)e;

	fake_check(!f->freed);
	return f;
}

static size_t fake_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int fake_view(struct fake_end *f, uint8_t *bytes, size_t count, struct iovec *iov,
		     int iov_max)
{
	int used = 0;

	while (count > 0 && used < iov_max) {
		size_t piece = fake_min(count, f->piece);

		iov[used++] = (struct iovec){.iov_base = bytes, .iov_len = piece};
		bytes += piece;
		count -= piece;
	}
	return used;
}

static int fake_peek(struct end *e, struct iovec *iov, int iov_max)
{
	struct fake_end *f = fake_from(e);

	if (f->aborted || f->stopped)
		return 0;
	return fake_view(f, f->in + f->in_taken, f->in_bytes - f->in_taken, iov, iov_max);
}

static void fake_consume(struct end *e, size_t bytes)
{
	struct fake_end *f = fake_from(e);

	fake_check(bytes <= f->in_bytes - f->in_taken);
	f->in_taken += bytes;
}

static size_t fake_read(struct end *e, const struct iovec *iov, int iov_count)
{
	struct fake_end *f = fake_from(e);
	size_t total = 0;

	f->reads++;
	if (f->aborted || f->stopped)
		return 0;
	for (int i = 0; i < iov_count; i++) {
		size_t n = fake_min(iov[i].iov_len, f->in_bytes - f->in_taken);

		memcpy(iov[i].iov_base, f->in + f->in_taken, n);
		f->in_taken += n;
		total += n;
	}
	if (total == 0 && f->in_fin)
		f->direct_eof = true;
	return total;
}

static bool fake_at_end(const struct end *e)
{
	struct fake_end *f = fake_from(e);

	if (!e->ops->buffered)
		return f->direct_eof;
	return f->in_fin && f->in_taken == f->in_bytes && !f->aborted && !f->stopped;
}

static int fake_reserve(struct end *e, size_t bytes, struct iovec *iov, int iov_max)
{
	struct fake_end *f = fake_from(e);
	int used;

	if (f->aborted || f->finished)
		return 0;
	used = fake_view(f, f->out + f->out_bytes, fake_min(bytes, f->out_room), iov, iov_max);
	f->reserved = 0;
	for (int i = 0; i < used; i++)
		f->reserved += iov[i].iov_len;
	return used;
}

static void fake_commit(struct end *e, size_t bytes)
{
	struct fake_end *f = fake_from(e);

	fake_check(bytes <= f->reserved);
	f->reserved = 0;
	f->out_bytes += bytes;
	if (f->out_room != FAKE_END_NO_LIMIT)
		f->out_room -= bytes;
	fake_check(f->out_bytes <= FAKE_END_BYTES);
}

static size_t fake_max_datagram(const struct end *e)
{
	return fake_from(e)->max_datagram;
}

static bool fake_send_datagram(struct end *e, const void *data, size_t bytes, uint64_t now_ns)
{
	struct fake_end *f = fake_from(e);
	struct fake_end *b = f->beside;

	fake_check(bytes <= f->max_datagram && !f->finished && !f->aborted && now_ns > 0);
	if (b->out_room < 2 + bytes)
		return false;
	fake_check(b->out_bytes + 2 + bytes <= FAKE_END_BYTES);
	b->out[b->out_bytes++] = (uint8_t)(bytes >> 8);
	b->out[b->out_bytes++] = (uint8_t)bytes;
	memcpy(b->out + b->out_bytes, data, bytes);
	b->out_bytes += bytes;
	if (b->out_room != FAKE_END_NO_LIMIT)
		b->out_room -= 2 + bytes;
	return true;
}

static int fake_peek_datagrams(struct end *e, struct iovec *iov, int iov_max)
{
	struct fake_end *f = fake_from(e);

	return f->beside == NULL ? 0 : fake_peek(&f->beside->end, iov, iov_max);
}

static void fake_consume_datagrams(struct end *e, size_t bytes, size_t count)
{
	struct fake_end *b = fake_from(e)->beside;
	size_t at = b->in_taken;

	for (; count > 0; count--)
		at += 2 + (((size_t)b->in[at] << 8) | b->in[at + 1]);
	fake_check(at == b->in_taken + bytes);
	fake_consume(&b->end, bytes);
}

static size_t fake_waiting(const struct end *e)
{
	return fake_from(e)->waiting;
}

static size_t fake_write(struct end *e, const struct iovec *iov, int iov_count)
{
	struct fake_end *f = fake_from(e);
	size_t total = 0;

	f->writes++;
	fake_check(!f->finished);
	if (f->aborted)
		return 0;
	for (int i = 0; i < iov_count; i++) {
		size_t n = fake_min(iov[i].iov_len, f->out_room);

		memcpy(f->out + f->out_bytes, iov[i].iov_base, n);
		f->out_bytes += n;
		if (f->out_room != FAKE_END_NO_LIMIT)
			f->out_room -= n;
		total += n;
		fake_check(f->out_bytes <= FAKE_END_BYTES);
	}
	return total;
}

static void fake_finish(struct end *e)
{
	struct fake_end *f = fake_from(e);

	fake_check(!f->finished || f->aborted);
	f->finished = true;
	if (f->drains)
		f->drained = true;
}

static bool fake_drained(const struct end *e)
{
	return fake_from(e)->drained;
}

static void fake_abort(struct end *e, enum flow_error error)
{
	struct fake_end *f = fake_from(e);

	if (f->aborted)
		return;
	f->aborted = true;
	f->abort_error = error;
}

static void fake_stop_reading(struct end *e, enum flow_error error)
{
	struct fake_end *f = fake_from(e);

	f->stopped = true;
	f->stop_error = error;
}

static void fake_want_read(struct end *e, bool want)
{
	fake_from(e)->wants_read = want;
}

static void fake_free(struct end *e)
{
	fake_from(e)->freed = true;
}

static const struct end_ops fake_buffered_ops = {
	.buffered = true,
	.peek = fake_peek,
	.consume = fake_consume,
	.at_end = fake_at_end,
	.reserve = fake_reserve,
	.commit = fake_commit,
	.waiting = fake_waiting,
	.max_datagram = fake_max_datagram,
	.send_datagram = fake_send_datagram,
	.peek_datagrams = fake_peek_datagrams,
	.consume_datagrams = fake_consume_datagrams,
	.finish = fake_finish,
	.drained = fake_drained,
	.abort = fake_abort,
	.stop_reading = fake_stop_reading,
	.want_read = fake_want_read,
	.free = fake_free,
};

static const struct end_ops fake_direct_ops = {
	.buffered = false,
	.read = fake_read,
	.at_end = fake_at_end,
	.write = fake_write,
	.finish = fake_finish,
	.drained = fake_drained,
	.abort = fake_abort,
	.stop_reading = fake_stop_reading,
	.want_read = fake_want_read,
	.free = fake_free,
};

void fake_end_init(struct fake_end *f, bool buffered)
{
	*f = (struct fake_end){
		.end.ops = buffered ? &fake_buffered_ops : &fake_direct_ops,
		.in = malloc(FAKE_END_BYTES),
		.out = malloc(FAKE_END_BYTES),
		.out_room = FAKE_END_NO_LIMIT,
		.piece = 16384,
		.drains = true,
	};
	fake_check(f->in != NULL && f->out != NULL);
}

void fake_end_done(struct fake_end *f)
{
	free(f->in);
	free(f->out);
}

void fake_end_give(struct fake_end *f, const void *data, size_t bytes)
{
	fake_check(f->in_bytes + bytes <= FAKE_END_BYTES);
	memcpy(f->in + f->in_bytes, data, bytes);
	f->in_bytes += bytes;
}

static bool fake_speaks(const struct fake_end *f)
{
	return f->end.owner != NULL && !f->aborted && !f->freed;
}

void fake_end_readable(struct fake_end *f)
{
	if (fake_speaks(f))
		f->end.owner->on_readable(f->end.owner_user);
}

void fake_end_writable(struct fake_end *f)
{
	if (fake_speaks(f))
		f->end.owner->on_writable(f->end.owner_user);
}

void fake_end_error(struct fake_end *f, enum flow_error error, bool both)
{
	if (fake_speaks(f))
		f->end.owner->on_error(f->end.owner_user, error, both);
}

void fake_end_refuse(struct fake_end *f, enum flow_error error)
{
	if (fake_speaks(f))
		f->end.owner->on_refused(f->end.owner_user, error);
}
