/* SPDX-License-Identifier: MIT */
/*
 * load rtt, wait, hold: messages that come back, one at a time.
 */
#include "tests/bench/load.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WAIT_AGAIN_MS 5
#define WAIT_ANSWER_MS 500

/* A datagram's answer is told from a late one of an earlier by its number. */
static bool ask_datagram(int fd, uint8_t *message, size_t bytes)
{
	static uint8_t answer[LOAD_DATAGRAM_MAX];
	static uint32_t number;

	number++;
	memcpy(message + 1, &number, bytes > sizeof(number) ? sizeof(number) : bytes - 1);
	if (send(fd, message, bytes, 0) < 0)
		return false;
	for (;;) {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);

		if (n < 0)
			return false;
		if ((size_t)n == bytes && memcmp(answer, message, bytes) == 0)
			return true;
	}
}

static bool ask(int fd, bool udp, uint8_t *message, size_t bytes)
{
	if (udp)
		return ask_datagram(fd, message, bytes);
	return load_send_all(fd, message, bytes) && load_receive_all(fd, message, bytes);
}

int load_rtt(const struct load_options *o)
{
	static uint8_t message[LOAD_DATAGRAM_MAX] = {LOAD_ECHO};
	struct load_samples samples = {0};
	uint64_t lost = 0, start_ns = clock_now_ns(), at_ns = start_ns, end_ns;
	int fd = load_connect(o, o->udp ? SOCK_DGRAM : SOCK_STREAM, false);
	double p50;

	if (fd < 0)
		load_die("connect");
	end_ns = start_ns + o->warm_ns + o->run_ns;
	while (at_ns < end_ns) {
		bool back = ask(fd, o->udp, message, o->bytes);
		uint64_t now_ns = clock_now_ns();

		if (!back && !o->udp)
			load_die("the connection ended");
		if (!back)
			lost++;
		else if (at_ns >= start_ns + o->warm_ns)
			load_samples_add(&samples, now_ns - at_ns);
		at_ns = now_ns;
	}
	if (samples.count == 0)
		load_die("no answer came back");
	p50 = load_samples_us(&samples, 50);
	printf("{\"p50_us\": %.1f, \"p99_us\": %.1f, \"count\": %zu, \"lost\": %llu}\n", p50,
	       load_samples_us(&samples, 99), samples.count, (unsigned long long)lost);
	free(samples.ns);
	return 0;
}

/* One echo, with patience for the answer only. */
static bool answers(const struct load_options *o)
{
	uint8_t message[8] = {LOAD_ECHO};
	struct timeval patience = {.tv_usec = WAIT_ANSWER_MS * 1000};
	int fd = load_connect(o, o->udp ? SOCK_DGRAM : SOCK_STREAM, false);
	bool back;

	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	back = ask(fd, o->udp, message, sizeof(message));
	close(fd);
	return back;
}

int load_wait(const struct load_options *o)
{
	const struct timespec pause = {.tv_nsec = WAIT_AGAIN_MS * 1000000};
	uint64_t start_ns = clock_now_ns();

	while (!answers(o))
		nanosleep(&pause, NULL);
	printf("{\"ms\": %.1f}\n", (double)(clock_now_ns() - start_ns) / 1e6);
	return 0;
}

int load_hold(const struct load_options *o)
{
	uint8_t message[8];
	struct rlimit files;
	char end;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	for (unsigned i = 0; i < o->flows; i++) {
		int fd = load_connect(o, SOCK_STREAM, false);

		message[0] = LOAD_ECHO;
		if (fd < 0 || !ask(fd, false, message, sizeof(message)))
			load_die("connection %u", i + 1);
	}
	printf("{\"held\": %u}\n", o->flows);
	fflush(stdout);
	return read(STDIN_FILENO, &end, 1) < 0;
}
