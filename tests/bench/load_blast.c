/* SPDX-License-Identifier: MIT */
/*
 * load blast: datagrams offered at a constant rate, echoed by the far side, counted when they come
 * back. What is not sent in time because the machine was busy is sent late, never left out: it is
 * the tunnel that is measured, not the clock.
 */
#include "tests/bench/load.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define BLAST_STRAGGLERS_NS (CLOCK_NS_PER_S / 2)
#define BLAST_TURN_NS 200000 /* the loop turns at least so often */

struct blast {
	int fd;
	size_t bytes;
	uint64_t sent, received;
	uint8_t out[LOAD_DATAGRAM_MAX];
	uint8_t in[LOAD_BATCH][LOAD_DATAGRAM_MAX];
};

static void send_due(struct blast *b, uint64_t due)
{
	struct iovec iov = {b->out, b->bytes};
	struct mmsghdr messages[LOAD_BATCH];
	unsigned count = due - b->sent < LOAD_BATCH ? (unsigned)(due - b->sent) : LOAD_BATCH;
	int n;

	for (unsigned i = 0; i < count; i++)
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
	n = count > 0 ? sendmmsg(b->fd, messages, count, MSG_DONTWAIT) : 0;
	/* ECONNREFUSED tells of an earlier datagram; the next call sends. */
	if (n < 0 && errno != EAGAIN && errno != ECONNREFUSED && errno != ENOBUFS)
		load_die("send");
	if (n > 0)
		b->sent += (uint64_t)n;
}

/* False: nothing was there. */
static bool receive(struct blast *b)
{
	struct iovec iov[LOAD_BATCH];
	struct mmsghdr messages[LOAD_BATCH];
	int n;

	for (int i = 0; i < LOAD_BATCH; i++) {
		iov[i] = (struct iovec){b->in[i], LOAD_DATAGRAM_MAX};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	n = recvmmsg(b->fd, messages, LOAD_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		b->received += messages[i].msg_len == b->bytes;
	return n > 0;
}

static void rest(struct blast *b)
{
	struct pollfd p = {.fd = b->fd, .events = POLLIN};
	const struct timespec turn = {.tv_nsec = BLAST_TURN_NS};

	ppoll(&p, 1, &turn, NULL);
}

int load_blast(const struct load_options *o)
{
	static struct blast b;
	uint64_t start_ns, now_ns, end_ns, total;
	double per_ns = o->mbit_s / 8e3 / (double)o->bytes; /* datagrams */

	b.bytes = o->bytes;
	memcpy(b.out, load_block(), o->bytes);
	b.fd = load_connect(o, SOCK_DGRAM, false);
	if (b.fd < 0)
		load_die("connect");
	total = (uint64_t)(per_ns * (double)o->run_ns);
	start_ns = now_ns = clock_now_ns();
	end_ns = start_ns + o->run_ns;
	while (b.sent < total || now_ns < end_ns) {
		uint64_t due = (uint64_t)(per_ns * (double)(now_ns - start_ns));

		due = due < total ? due : total;
		send_due(&b, due);
		if (!receive(&b) && b.sent >= due)
			rest(&b);
		now_ns = clock_now_ns();
		if (b.sent < total && now_ns > end_ns + o->run_ns)
			break; /* this machine cannot even send so much */
	}
	end_ns = now_ns;
	while (b.received < b.sent && clock_now_ns() < end_ns + BLAST_STRAGGLERS_NS) {
		if (!receive(&b))
			rest(&b);
	}
	printf("{\"received_mbit_s\": %.3f, \"offered_mbit_s\": %.3f, \"loss_percent\": %.3f, "
	       "\"sent\": %llu, \"received\": %llu}\n",
	       (double)b.received * (double)b.bytes * 8e3 / (double)(end_ns - start_ns),
	       (double)b.sent * (double)b.bytes * 8e3 / (double)(end_ns - start_ns),
	       b.sent ? 100.0 * (double)(b.sent - b.received) / (double)b.sent : 0,
	       (unsigned long long)b.sent, (unsigned long long)b.received);
	return 0;
}
