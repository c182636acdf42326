/* SPDX-License-Identifier: MIT */
/*
 * load bulk: flows that carry as much as they can, in one direction. The receiving side counts, in
 * a window of its own per flow, so neither slow start nor what lies in buffers is in the figure.
 */
#include "tests/bench/load.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct bulk_flow {
	int fd;
	struct load_meter meter; /* --down: counted here */
	size_t reply_bytes;	 /* up: of meter.count, which the server sends */
	bool done;
};

static void begin(struct bulk_flow *f, const struct load_options *o, int epoll)
{
	struct load_head head = {.kind = o->down ? LOAD_GENERATE : LOAD_SINK,
				 .warm_ns = o->warm_ns,
				 .run_ns = o->run_ns};
	struct epoll_event event = {.events = o->down ? EPOLLIN : EPOLLIN | EPOLLOUT,
				    .data.ptr = f};

	f->fd = load_connect(o, SOCK_STREAM, false);
	if (f->fd < 0)
		load_die("connect");
	if (!load_send_all(f->fd, &head, sizeof(head)))
		load_die("send");
	f->meter.warm_ns = o->warm_ns;
	f->meter.run_ns = o->run_ns;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, f->fd, &event) != 0)
		load_die("epoll_ctl");
}

static void receive(struct bulk_flow *f)
{
	static uint8_t buffer[LOAD_BLOCK_BYTES];
	ssize_t n = recv(f->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		load_die("a flow ended early");
	if (n > 0)
		load_meter_add(&f->meter, clock_now_ns(), (size_t)n);
	f->done = f->meter.done;
}

static void read_reply(struct bulk_flow *f)
{
	ssize_t n = recv(f->fd, (uint8_t *)&f->meter.count + f->reply_bytes,
			 sizeof(f->meter.count) - f->reply_bytes, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		load_die("a flow ended early");
	if (n > 0)
		f->reply_bytes += (size_t)n;
	f->done = f->reply_bytes == sizeof(f->meter.count);
}

static void step(struct bulk_flow *f, const struct load_options *o, uint32_t events)
{
	if (o->down) {
		receive(f);
		return;
	}
	if (!f->done && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		read_reply(f);
	if ((events & EPOLLOUT) &&
	    send(f->fd, load_block(), LOAD_BLOCK_BYTES, MSG_DONTWAIT) < 0 && errno != EAGAIN)
		load_die("send");
}

static void print(const struct bulk_flow *flows, unsigned count)
{
	double sum = 0, squares = 0;
	uint64_t total = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct load_count *c = &flows[i].meter.count;
		double rate = c->ns ? (double)c->bytes * 8e3 / (double)c->ns : 0;

		sum += rate;
		squares += rate * rate;
		total += c->total;
	}
	printf("{\"mbit_s\": %.3f, \"jain\": %.4f, \"bytes\": %llu}\n", sum,
	       squares > 0 ? sum * sum / (count * squares) : 0, (unsigned long long)total);
}

int load_bulk(const struct load_options *o)
{
	struct bulk_flow *flows = calloc(o->flows, sizeof(*flows));
	unsigned left = o->flows;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (!flows || epoll < 0)
		load_die("no memory");
	for (unsigned i = 0; i < o->flows; i++)
		begin(&flows[i], o, epoll);
	while (left > 0) {
		struct epoll_event events[64];
		int count = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < count; i++) {
			struct bulk_flow *f = events[i].data.ptr;
			bool before = f->done;

			step(f, o, events[i].events);
			left -= f->done && !before;
			/* It goes on, so that the others do not get its share. */
		}
	}
	print(flows, o->flows);
	free(flows);
	return 0;
}
