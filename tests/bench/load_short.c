/* SPDX-License-Identifier: MIT */
/*
 * load short: connect, a message there and back, close; --flows at once, each followed by the next.
 */
#include "tests/bench/load.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct short_slot {
	int fd;
	bool sent;
	size_t back;
};

struct short_run {
	const struct load_options *o;
	int epoll;
	uint64_t failed;
};

static void dial(struct short_run *r, struct short_slot *slot)
{
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = slot};

	*slot = (struct short_slot){.fd = load_connect(r->o, SOCK_STREAM, true)};
	if (slot->fd < 0)
		load_die("connect");
	if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, slot->fd, &event) != 0)
		load_die("epoll_ctl");
}

/* 1 = the message came back, 0 = not yet, -1 = the connection failed. */
static int step(struct short_run *r, struct short_slot *slot)
{
	static uint8_t buffer[LOAD_DATAGRAM_MAX];
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = slot};
	ssize_t n;

	if (!slot->sent) {
		buffer[0] = LOAD_ECHO;
		if (!load_send_all(slot->fd, buffer, r->o->bytes))
			return -1;
		slot->sent = true;
		return epoll_ctl(r->epoll, EPOLL_CTL_MOD, slot->fd, &event);
	}
	n = recv(slot->fd, buffer, sizeof(buffer), 0);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	slot->back += (size_t)n;
	return slot->back >= r->o->bytes;
}

int load_short(const struct load_options *o)
{
	struct short_run r = {.o = o, .epoll = epoll_create1(EPOLL_CLOEXEC)};
	struct short_slot *slots = calloc(o->flows, sizeof(*slots));
	uint64_t start_ns, now_ns, done = 0;

	if (!slots || r.epoll < 0)
		load_die("no memory");
	for (unsigned i = 0; i < o->flows; i++)
		dial(&r, &slots[i]);
	start_ns = clock_now_ns() + o->warm_ns;
	do {
		struct epoll_event events[64];
		int count = epoll_wait(r.epoll, events, 64, 100);

		now_ns = clock_now_ns();
		for (int i = 0; i < count; i++) {
			struct short_slot *slot = events[i].data.ptr;
			int result = step(&r, slot);

			if (result == 0)
				continue;
			if (now_ns >= start_ns) {
				done += result > 0;
				r.failed += result < 0;
			}
			close(slot->fd);
			dial(&r, slot);
		}
	} while (now_ns < start_ns + o->run_ns);
	printf("{\"per_s\": %.1f, \"count\": %llu, \"failed\": %llu}\n",
	       (double)done * 1e9 / (double)(now_ns - start_ns), (unsigned long long)done,
	       (unsigned long long)r.failed);
	free(slots);
	return 0;
}
