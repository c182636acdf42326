/* SPDX-License-Identifier: MIT */
/*
 * Signals as a descriptor, and one poll() for all that is waited for.
 */
#include "rstunctl/interrupt.h"

#include "base/error.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

int interrupt_init(struct interrupt *i, bool terminal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	if (terminal) {
		sigaddset(&set, SIGWINCH);
		sigaddset(&set, SIGTSTP);
	}
	i->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (i->fd < 0)
		return RSTUN_E_FAILED;
	sigprocmask(SIG_BLOCK, &set, &i->before);
	return 0;
}

void interrupt_done(struct interrupt *i)
{
	if (i->fd < 0)
		return;
	sigprocmask(SIG_SETMASK, &i->before, NULL);
	close(i->fd);
	i->fd = -1;
}

static unsigned interrupt_signals(struct interrupt *i)
{
	struct signalfd_siginfo info;
	unsigned what = 0;

	while (read(i->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGWINCH)
			what |= INTERRUPT_RESIZE;
		else if (info.ssi_signo == SIGTSTP)
			what |= INTERRUPT_STOP;
		else
			what |= INTERRUPT_END;
	}
	return what;
}

unsigned interrupt_wait(struct interrupt *i, int fd, int key_fd, int out_fd, uint64_t timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = i->fd, .events = POLLIN},
		{.fd = fd, .events = POLLIN},
		{.fd = key_fd, .events = POLLIN},
		{.fd = out_fd, .events = 0}, /* only POLLERR: a pipe without a reader */
	};
	unsigned what = 0;
	int n;

	do
		n = poll(fds, sizeof(fds) / sizeof(fds[0]),
			 timeout_ms > INT_MAX ? -1 : (int)timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return 0;
	if (fds[0].revents != 0)
		what |= interrupt_signals(i);
	if (fds[1].revents != 0)
		what |= INTERRUPT_READY;
	if (fds[2].revents != 0)
		what |= INTERRUPT_KEY;
	if ((fds[3].revents & POLLERR) != 0)
		what |= INTERRUPT_GONE;
	return what;
}

void interrupt_stop(void)
{
	raise(SIGSTOP);
}

void interrupt_reset_child(const struct interrupt *i)
{
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &i->before, NULL);
}
