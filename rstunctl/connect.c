/* SPDX-License-Identifier: MIT */
/*
 * connect: standard input and output through a tunnel (channel.open), as ssh's ProxyCommand wants
 * it. A thread for each direction, so that neither waits for the other.
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

/* What it cannot write any more is no fault of ours: the other direction knows why. */
static void *connect_send(void *user)
{
	const int *fd = user;

	(void)connect_copy(STDIN_FILENO, *fd, *fd);
	(void)shutdown(*fd, SHUT_WR);
	return NULL;
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

static int connect_run(struct ctl *c, const char *target)
{
	int fd = rpc_caller_fd(c->caller), err = 0;
	int flags = fcntl(rpc_caller_passed(c->caller), F_GETFL);
	pthread_t sender;
	const char *early;
	size_t bytes;

	if (flags < 0 || fcntl(rpc_caller_passed(c->caller), F_SETFL, flags & ~O_NONBLOCK) != 0)
		return ctl_fail(c, RSTUN_E_FAILED, "connect: the reply came without a descriptor");
	signal(SIGPIPE, SIG_IGN);
	early = rpc_caller_rest(c->caller, &bytes);
	if (pthread_create(&sender, NULL, connect_send, &fd) != 0)
		return ctl_no_memory(c);
	if (!connect_write(STDOUT_FILENO, early, bytes))
		err = errno;
	if (err == 0)
		err = connect_copy(fd, STDOUT_FILENO, -1);
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
	struct rpc_error error;
	char target[300];
	json_t *result;
	int status = ctl_connect(c);

	if (status != 0)
		return status;
	json_object_set_new(in->params, "target", json_string(in->args[0]));
	if (ctl_try_long(c, rpc_methods[RPC_CHANNEL_OPEN].name, json_incref(in->params),
			 ctl_timeout(c, CTL_TIMEOUT_MS), &result, &error) != 0)
		return ctl_complain(c, &error);
	json_decref(result);
	output_clean(target, sizeof(target), in->args[0]);
	return connect_run(c, target);
}
