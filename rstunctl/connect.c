/* SPDX-License-Identifier: MIT */
/*
 * connect: standard input and output through a tunnel (channel.open), as ssh's ProxyCommand wants
 * it. A thread for each direction, so that neither waits for the other.
 */
#include "base/error.h"
#include "rpc/api_types.h"
#include "rstunctl/commands.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
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

/* Until the end of file: 0; else errno. */
static int connect_copy(int from, int to)
{
	char buf[CONNECT_BUFFER];

	for (;;) {
		ssize_t n = read(from, buf, sizeof(buf));

		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || !connect_write(to, buf, (size_t)n))
			return errno;
	}
}

struct connect {
	int fd;
	atomic_bool ended; /* our side */
};

/* What it cannot write any more is no fault of ours: the other direction knows why. */
static void *connect_send(void *user)
{
	struct connect *t = user;

	(void)connect_copy(STDIN_FILENO, t->fd);
	atomic_store(&t->ended, true);
	(void)shutdown(t->fd, SHUT_WR);
	return NULL;
}

static bool connect_is_gone(const struct connect *t, int timeout_ms)
{
	struct pollfd p = {.fd = t->fd}; /* POLLHUP is always told */
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/*
 * The target has sent its last byte: 0, or ECONNRESET. A UNIX socket knows no reset; but one that is
 * gone altogether while our side has not ended was not ended by agreement. Else our side may go on
 * until it ends.
 */
static int connect_finish(struct connect *t)
{
	if (!atomic_load(&t->ended) && connect_is_gone(t, 0))
		return ECONNRESET;
	(void)close(STDOUT_FILENO);
	(void)connect_is_gone(t, -1);
	return 0;
}

static int connect_run(struct ctl *c)
{
	struct connect t = {.fd = rpc_caller_fd(c->caller)};
	int err = 0;
	pthread_t sender;
	const char *early;
	size_t bytes;

	signal(SIGPIPE, SIG_IGN);
	early = rpc_caller_rest(c->caller, &bytes);
	if (pthread_create(&sender, NULL, connect_send, &t) != 0)
		return ctl_no_memory(c);
	if (!connect_write(STDOUT_FILENO, early, bytes))
		err = errno;
	if (err == 0)
		err = connect_copy(t.fd, STDOUT_FILENO);
	if (err == 0)
		err = connect_finish(&t);
	pthread_cancel(sender); /* it may sit in a read of standard input */
	pthread_join(sender, NULL);
	if (err == 0)
		return 0;
	return ctl_fail(c, err == ECONNRESET ? RSTUN_E_RESET : RSTUN_E_FAILED, "connect: %s",
			err == ECONNRESET ? "the connection was reset" : strerror(err));
}

int connect_command(struct ctl *c, struct command_input *in)
{
	struct rpc_error error;
	json_t *result;
	int status = ctl_connect(c);

	if (status != 0)
		return status;
	json_object_set_new(in->params, "target", json_string(in->args[0]));
	if (ctl_try_long(c, rpc_methods[RPC_CHANNEL_OPEN].name, json_incref(in->params),
			 ctl_timeout(c, CTL_TIMEOUT_MS), &result, &error) != 0)
		return ctl_complain(c, &error);
	json_decref(result);
	return connect_run(c);
}
