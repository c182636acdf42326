/* SPDX-License-Identifier: MIT */
/*
 * The question for a password on the terminal, without echo. Signals that would leave the terminal
 * silent are held: a handler only notes them, the read is interrupted, the terminal is restored,
 * and then they are sent again with their old dispositions. Main thread, before others start; the
 * notes are the only globals, because a handler gets nothing else.
 */
#include "rstund/password.h"

#include "base/error.h"
#include "base/random.h"
#include "rstund/password_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int password_signals[] = {
	SIGALRM, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU,
};

#define PASSWORD_SIGNAL_COUNT (sizeof(password_signals) / sizeof(password_signals[0]))

static volatile sig_atomic_t password_signalled[PASSWORD_SIGNAL_COUNT];

static void password_on_signal(int number)
{
	for (size_t i = 0; i < PASSWORD_SIGNAL_COUNT; i++)
		if (password_signals[i] == number)
			password_signalled[i] = 1;
}

static bool password_any_signal(void)
{
	for (size_t i = 0; i < PASSWORD_SIGNAL_COUNT; i++)
		if (password_signalled[i])
			return true;
	return false;
}

static void password_write(int fd, const char *text)
{
	size_t bytes = strlen(text);

	while (bytes > 0) {
		ssize_t n = write(fd, text, bytes);

		if (n <= 0)
			return; /* the question is a courtesy */
		text += n;
		bytes -= (size_t)n;
	}
}

/* Reads a line; bytes beyond the limit are read and dropped, *ret_bytes is then PASSWORD_MAX + 1.
 * Signals are let in only while it waits, with `waiting` as mask. 0, or an errno; ENODATA at end of
 * file, EINTR after a signal. */
static int password_read_line(char buf[PASSWORD_MAX + 1], size_t *ret_bytes, int fd,
			      const sigset_t *waiting)
{
	size_t used = 0;

	while (true) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		ssize_t n;
		char c;

		if (ppoll(&poll_fd, 1, NULL, waiting) < 0) {
			if (errno == EINTR && !password_any_signal())
				continue;
			return errno;
		}
		n = read(fd, &c, 1);
		if (n < 0)
			return errno;
		if (n == 0 && used == 0)
			return ENODATA;
		if (n == 0 || c == '\n' || c == '\r')
			break;
		if (used <= PASSWORD_MAX)
			buf[used++] = c;
	}
	*ret_bytes = used;
	return 0;
}

static int password_set_terminal(int fd, const struct termios *termios)
{
	while (tcsetattr(fd, TCSAFLUSH, termios) != 0) {
		/* In the background the answer is SIGTTOU: then the question waits for its turn. */
		if (errno != EINTR || password_any_signal())
			return errno;
	}
	return 0;
}

static int password_ask_silently(char buf[PASSWORD_MAX + 1], size_t *ret_bytes, int fd,
				 const char *question, const sigset_t *waiting)
{
	struct termios before, silent;
	int rv;

	if (tcgetattr(fd, &before) != 0)
		return errno;
	silent = before;
	silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	rv = password_set_terminal(fd, &silent);
	if (rv != 0)
		return rv;
	password_write(fd, question);
	rv = password_read_line(buf, ret_bytes, fd, waiting);
	password_write(fd, "\n");
	password_set_terminal(fd, &before);
	return rv;
}

/* One question. Terminal, signal handlers and mask are as before when it returns. */
static int password_ask_once(char buf[PASSWORD_MAX + 1], size_t *ret_bytes, int fd,
			     const char *question)
{
	struct sigaction action = {.sa_handler = password_on_signal}, old[PASSWORD_SIGNAL_COUNT];
	sigset_t blocked, before;
	int rv;

	sigemptyset(&action.sa_mask);
	sigemptyset(&blocked);
	for (size_t i = 0; i < PASSWORD_SIGNAL_COUNT; i++) {
		int number = password_signals[i];

		password_signalled[i] = 0;
		/* Those two come from our own calls, which they must be able to interrupt. */
		if (number != SIGTTIN && number != SIGTTOU)
			sigaddset(&blocked, number);
	}
	pthread_sigmask(SIG_BLOCK, &blocked, &before);
	for (size_t i = 0; i < PASSWORD_SIGNAL_COUNT; i++)
		sigaction(password_signals[i], &action, &old[i]);
	rv = password_ask_silently(buf, ret_bytes, fd, question, &before);
	/* What came meanwhile is noted by our handlers before the old ones are back. */
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	for (size_t i = 0; i < PASSWORD_SIGNAL_COUNT; i++)
		sigaction(password_signals[i], &old[i], NULL);
	return rv;
}

/* Sends the noted signals again; true if one of them was a stop, after which to ask again. */
static bool password_pass_signals(void)
{
	bool stopped = false;

	for (size_t i = 0; i < PASSWORD_SIGNAL_COUNT; i++) {
		int number = password_signals[i];

		if (!password_signalled[i])
			continue;
		kill(getpid(), number);
		stopped |= number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;
	}
	return stopped;
}

int password_ask(char **ret, const char *question, const struct password_process *process,
		 char error[PASSWORD_ERROR_SIZE])
{
	char buf[PASSWORD_MAX + 1];
	size_t bytes = 0;
	int fd, rv;

	fd = open(process->tty_path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return password_fail(error, RSTUN_E_FAILED, "%s: %s", process->tty_path,
				     strerror(errno));
	do {
		rv = password_ask_once(buf, &bytes, fd, question);
	} while (password_pass_signals() && rv == EINTR);
	close(fd);
	if (rv == 0)
		rv = password_accept(ret, "terminal", buf, bytes, error);
	else if (rv == ENODATA || rv == EINTR)
		rv = password_fail(error, RSTUN_E_CANCELLED,
				   "no password was given on the terminal");
	else
		rv = password_fail(error, RSTUN_E_FAILED, "%s: %s", process->tty_path,
				   strerror(rv));
	secret_wipe(buf, sizeof(buf));
	return rv;
}
