/* SPDX-License-Identifier: MIT */
/*
 * connect: standard input and output through a tunnel (channel.open), as ssh's ProxyCommand wants
 * it. A thread for each direction, so that neither waits for the other. With --udp what one read()
 * gives is a datagram (a line, from a terminal), and each datagram is one write().
 */
#include "base/error.h"
#include "rpc/api_types.h"
#include "rstunctl/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_BUFFER 65536
#define CONNECT_HEADER 2           /* before each datagram on the socket: its length */
#define CONNECT_DATAGRAM_MAX 65507 /* what UDP over IPv4 carries */

struct connect_options {
	bool udp;
};

static const struct field connect_fields[] = {
	{.name = "udp", .short_name = 'u', .type = FIELD_BOOL,
	 .offset = offsetof(struct connect_options, udp),
	 .help = "Datagrams: each read of standard input is one, each one is a write."},
};

const struct field_rows connect_rows = {
	.name = "ConnectOptions", .rows = connect_fields, .count = 1,
	.size = sizeof(struct connect_options),
};

struct connect {
	int fd;
	bool udp;
};

/* False with errno: it takes no more. */
static bool connect_write(int fd, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, data, bytes);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			data += n;
			bytes -= (size_t)n;
		}
	}
	return true;
}

/* There is something to read; false: `other` is gone altogether. */
static bool connect_wait(int from, int other)
{
	struct pollfd p[2] = {{.fd = from, .events = POLLIN}, {.fd = other}};
	int n;

	do
		n = poll(p, 2, -1);
	while (n < 0 && errno == EINTR);
	return n < 0 || p[1].revents == 0;
}

/* Until the end of file: 0; else errno. `other`: as above, -1 for none. */
static int connect_copy(int from, int to, int other)
{
	char buf[CONNECT_BUFFER];

	while (connect_wait(from, other)) {
		ssize_t n = read(from, buf, sizeof(buf));

		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || !connect_write(to, buf, (size_t)n))
			return errno;
	}
	return EPIPE;
}

/* The same from standard input, each read as a datagram. */
static void connect_send_datagrams(int to)
{
	char buf[CONNECT_HEADER + CONNECT_DATAGRAM_MAX];

	while (connect_wait(STDIN_FILENO, to)) {
		ssize_t n = read(STDIN_FILENO, buf + CONNECT_HEADER, CONNECT_DATAGRAM_MAX);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		buf[0] = (char)(n >> 8);
		buf[1] = (char)n;
		if (!connect_write(to, buf, CONNECT_HEADER + (size_t)n))
			return;
	}
}

/* What it cannot write any more is no fault of ours: the other direction knows why. */
static void *connect_send(void *user)
{
	const struct connect *connect = user;

	if (connect->udp)
		connect_send_datagrams(connect->fd);
	else
		(void)connect_copy(STDIN_FILENO, connect->fd, connect->fd);
	(void)shutdown(connect->fd, SHUT_WR);
	return NULL;
}

/* To standard output, until the end of file; `early` came already. 0 or errno. */
static int connect_receive_bytes(int fd, const char *early, size_t early_bytes)
{
	if (!connect_write(STDOUT_FILENO, early, early_bytes))
		return errno;
	return connect_copy(fd, STDOUT_FILENO, -1);
}

static size_t connect_frame(const char *data)
{
	return CONNECT_HEADER + ((size_t)(unsigned char)data[0] << 8 | (unsigned char)data[1]);
}

/* The same, each datagram as one write. */
static int connect_receive_datagrams(int fd, const char *early, size_t early_bytes)
{
	static char buf[CONNECT_BUFFER * 2]; /* more than a datagram, or what comes early */
	size_t have = early_bytes;

	if (early_bytes > sizeof(buf))
		return EMSGSIZE;
	memcpy(buf, early, early_bytes);
	for (;;) {
		size_t at = 0;
		ssize_t n;

		while (have - at >= CONNECT_HEADER && have - at >= connect_frame(buf + at)) {
			size_t bytes = connect_frame(buf + at);

			if (!connect_write(STDOUT_FILENO, buf + at + CONNECT_HEADER,
					   bytes - CONNECT_HEADER))
				return errno;
			at += bytes;
		}
		have -= at;
		memmove(buf, buf + at, have);
		do
			n = read(fd, buf + have, sizeof(buf) - have);
		while (n < 0 && errno == EINTR);
		if (n <= 0)
			return n == 0 ? 0 : errno;
		have += (size_t)n;
	}
}

/* The target has sent its last byte; ours may go on until the connection is gone altogether. */
static void connect_linger(int fd)
{
	struct pollfd p = {.fd = fd}; /* POLLHUP is always told */

	(void)close(STDOUT_FILENO);
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
}

/* A UNIX socket knows no reset: how it ended is in a line of its own. Nothing = the daemon died. */
static int connect_verdict(struct ctl *c, const char *target)
{
	int fd = rpc_caller_passed(c->caller);
	char line[256], why[256], *end;
	ssize_t n;
	long code;

	do
		n = read(fd, line, sizeof(line) - 1);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return ctl_fail(c, RSTUN_E_CLOSED, "connect: the daemon went away");
	line[n] = '\0';
	code = strtol(line, &end, 10);
	if (code == 0)
		return 0;
	line[strcspn(line, "\n")] = '\0';
	output_clean(why, sizeof(why), *end == ' ' ? end + 1 : "it ended early");
	return ctl_fail(c, (int)-code, "connect: %s: %s", target, why);
}

static int connect_run(struct ctl *c, const char *target, bool udp)
{
	struct connect connect = {.fd = rpc_caller_fd(c->caller), .udp = udp};
	int err, fd = connect.fd;
	int flags = fcntl(rpc_caller_passed(c->caller), F_GETFL);
	pthread_t sender;
	const char *early;
	size_t bytes;

	if (flags < 0 || fcntl(rpc_caller_passed(c->caller), F_SETFL, flags & ~O_NONBLOCK) != 0)
		return ctl_fail(c, RSTUN_E_FAILED, "connect: the reply came without a descriptor");
	signal(SIGPIPE, SIG_IGN);
	early = rpc_caller_rest(c->caller, &bytes);
	if (pthread_create(&sender, NULL, connect_send, &connect) != 0)
		return ctl_no_memory(c);
	err = udp ? connect_receive_datagrams(fd, early, bytes)
		  : connect_receive_bytes(fd, early, bytes);
	if (err == 0)
		connect_linger(fd);
	(void)shutdown(fd, SHUT_RDWR); /* the sender may wait for standard input */
	pthread_join(sender, NULL);
	if (err != 0 && err != ECONNRESET)
		return ctl_fail(c, RSTUN_E_FAILED, "connect: %s", strerror(err));
	return connect_verdict(c, target);
}

int connect_command(struct ctl *c, struct command_input *in)
{
	const struct connect_options *options = in->own;
	struct rpc_error error;
	char target[300];
	json_t *result;
	int status = ctl_connect(c);

	if (status != 0)
		return status;
	json_object_set_new(in->params, "target", json_string(in->args[0]));
	if (options->udp)
		json_object_set_new(in->params, "proto", json_string("udp"));
	if (ctl_try_long(c, rpc_methods[RPC_CHANNEL_OPEN].name, json_incref(in->params),
			 ctl_timeout(c, CTL_TIMEOUT_MS), &result, &error) != 0)
		return ctl_complain(c, &error);
	json_decref(result);
	output_clean(target, sizeof(target), in->args[0]);
	return connect_run(c, target, options->udp);
}
