/* SPDX-License-Identifier: MIT */
/*
 * See load.h: sockets, the window in which a receiver counts, and samples.
 */
#include "tests/bench/load.h"

#include "base/random.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOAD_BUFFER_BYTES (4 << 20)
#define LOAD_SOURCES 200 /* of 127.0.0.0/8 */

_Noreturn void load_die(const char *format, ...)
{
	int saved = errno;
	va_list list;

	fputs("load: ", stderr);
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	if (saved)
		fprintf(stderr, ": %s", strerror(saved));
	fputc('\n', stderr);
	exit(1);
}

void load_large_buffers(int fd)
{
	static const int names[][2] = {{SO_RCVBUFFORCE, SO_RCVBUF}, {SO_SNDBUFFORCE, SO_SNDBUF}};
	int bytes = LOAD_BUFFER_BYTES;

	for (size_t i = 0; i < 2; i++) {
		if (setsockopt(fd, SOL_SOCKET, names[i][0], &bytes, sizeof(bytes)) != 0)
			setsockopt(fd, SOL_SOCKET, names[i][1], &bytes, sizeof(bytes));
	}
}

/* On loopback the ports of one address are used up after 28000 connections, which is three seconds
 * of short ones: closed, they wait for a minute. So the source is one of many addresses. */
static int choose_source(int fd)
{
	static unsigned next;
	struct sockaddr_in source = {.sin_family = AF_INET};
	int on = 1;

	source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + next++ % LOAD_SOURCES);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&source, sizeof(source));
}

int load_connect(const struct load_options *o, int type, bool nonblocking)
{
	struct timeval patience = {.tv_sec = 1};
	int one = 1, saved;
	int fd = socket(o->address.sa.sa_family,
			type | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0);

	if (fd < 0)
		return -1;
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	else
		load_large_buffers(fd);
	if (o->cubic && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) != 0)
		goto failed;
	if (type == SOCK_DGRAM)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (type == SOCK_STREAM && o->address.sa.sa_family == AF_INET &&
	    address_is_loopback(&o->address) && choose_source(fd) != 0)
		goto failed;
	if (connect(fd, &o->address.sa, o->address.len) == 0 || errno == EINPROGRESS)
		return fd;
failed:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

bool load_send_all(int fd, const void *data, size_t bytes)
{
	const uint8_t *at = data;

	while (bytes > 0) {
		ssize_t n = send(fd, at, bytes, 0);

		if (n < 0)
			return false;
		at += n;
		bytes -= (size_t)n;
	}
	return true;
}

bool load_receive_all(int fd, void *data, size_t bytes)
{
	uint8_t *at = data;

	while (bytes > 0) {
		ssize_t n = recv(fd, at, bytes, 0);

		if (n <= 0)
			return false;
		at += n;
		bytes -= (size_t)n;
	}
	return true;
}

const uint8_t *load_block(void)
{
	static uint8_t *block;

	if (!block) {
		block = malloc(LOAD_BLOCK_BYTES);
		if (!block)
			load_die("no memory");
		random_bytes(block, LOAD_BLOCK_BYTES);
	}
	return block;
}

void load_meter_add(struct load_meter *m, uint64_t now_ns, size_t bytes)
{
	m->count.total += bytes;
	if (m->done)
		return;
	if (!m->first_ns)
		m->first_ns = now_ns;
	if (!m->from_ns) {
		if (now_ns >= m->first_ns + m->warm_ns)
			m->from_ns = now_ns;
		return;
	}
	m->count.bytes += bytes;
	m->count.ns = now_ns - m->from_ns;
	m->done = m->count.ns >= m->run_ns;
}

void load_samples_add(struct load_samples *s, uint64_t ns)
{
	if (s->count == s->size) {
		size_t size = s->size ? s->size * 2 : 4096;
		uint64_t *grown = realloc(s->ns, size * sizeof(*grown));

		if (!grown)
			load_die("no memory for %zu samples", size);
		s->ns = grown;
		s->size = size;
	}
	s->ns[s->count++] = ns;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

double load_samples_us(struct load_samples *s, double percent)
{
	size_t at = (size_t)((double)s->count * percent / 100);

	if (s->count == 0)
		return 0;
	qsort(s->ns, s->count, sizeof(*s->ns), compare);
	return (double)s->ns[at < s->count ? at : s->count - 1] / 1000;
}
