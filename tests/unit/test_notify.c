/* SPDX-License-Identifier: MIT */
/*
 * The service manager, played: what is sent to its socket, by path and by abstract name, that
 * nothing is sent and nothing waits where nobody listens, and the sockets that it passes in.
 */
#include "base/error.h"
#include "rstund/activation.h"
#include "rstund/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct notify notify;
static int manager = -1;
static char path[64], got[2048];

static int setup(void **state)
{
	(void)state;
	notify.fd = -1;
	path[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	notify_done(&notify);
	if (manager >= 0)
		close(manager);
	manager = -1;
	if (path[0] != '\0')
		unlink(path);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	return 0;
}

/* Listens, and sets NOTIFY_SOCKET. `text` begins with / or @. */
static void listen_at(const char *text)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t bytes = strlen(text);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);

	memcpy(address.sun_path, text, bytes);
	if (text[0] == '@')
		address.sun_path[0] = '\0';
	else
		len++;
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(manager >= 0);
	assert_int_equal(bind(manager, (struct sockaddr *)&address, len), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", text, 1), 0);
}

static void listen_at_path(void)
{
	snprintf(path, sizeof(path), "/tmp/rstund-notify-%ld", (long)getpid());
	unlink(path);
	listen_at(path);
}

static const char *receive(void)
{
	ssize_t n = recv(manager, got, sizeof(got) - 1, 0);

	got[n > 0 ? n : 0] = '\0';
	return n >= 0 ? got : NULL;
}

static void check_messages(void)
{
	notify_init(&notify);
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_true((fcntl(notify.fd, F_GETFD) & FD_CLOEXEC) != 0);
	notify_ready(&notify, "3 mappings up");
	assert_string_equal(receive(), "READY=1\nSTATUS=3 mappings up");
	notify_ready(&notify, NULL);
	assert_string_equal(receive(), "READY=1");
	notify_status(&notify, "two\nlines\x1b");
	assert_string_equal(receive(), "STATUS=two lines ");
	notify_reloading(&notify, UINT64_C(12345678999));
	assert_string_equal(receive(), "RELOADING=1\nMONOTONIC_USEC=12345678");
	notify_stopping(&notify, "draining");
	assert_string_equal(receive(), "STOPPING=1\nSTATUS=draining");
	assert_int_equal(notify_watchdog_ns(&notify), 0);
	notify_watchdog(&notify); /* not asked for */
	assert_null(receive());
}

static void test_path(void **state)
{
	(void)state;
	listen_at_path();
	check_messages();
}

static void test_abstract(void **state)
{
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "@rstund-notify-%ld", (long)getpid());
	listen_at(name);
	check_messages();
}

static void test_long_status(void **state)
{
	char status[5000];

	(void)state;
	memset(status, 's', sizeof(status));
	status[sizeof(status) - 1] = '\0';
	listen_at_path();
	notify_init(&notify);
	notify_status(&notify, status);
	assert_int_equal(strlen(receive()), 1023);
}

static void watchdog(const char *us, const char *pid, uint64_t want_ns)
{
	setenv("NOTIFY_SOCKET", path, 1);
	if (us != NULL)
		setenv("WATCHDOG_USEC", us, 1);
	if (pid != NULL)
		setenv("WATCHDOG_PID", pid, 1);
	notify_init(&notify);
	assert_true(notify_watchdog_ns(&notify) == want_ns);
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
	notify_watchdog(&notify);
	if (want_ns > 0)
		assert_string_equal(receive(), "WATCHDOG=1");
	else
		assert_null(receive());
	notify_done(&notify);
}

static void test_watchdog(void **state)
{
	char pid[32];

	(void)state;
	listen_at_path();
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	watchdog("30000000", pid, UINT64_C(30000000000));
	watchdog("30000000", NULL, UINT64_C(30000000000));
	watchdog("30000000", "1", 0);
	watchdog("30000000", "", 0);
	watchdog(NULL, pid, 0);
	watchdog("0", NULL, 0);
	watchdog("-5", NULL, 0);
	watchdog("1x", NULL, 0);
	watchdog("18446744073709551615", NULL, 0);
	watchdog("99999999999999999999", NULL, 0);
}

/* Without a manager, one that is gone, and one that does not read. */
static void test_nobody(void **state)
{
	static const char *const odd[] = {"", "/", "@", "relative", "vsock:2:1234"};
	char huge[300];
	int i;

	(void)state;
	notify_init(&notify);
	assert_int_equal(notify.fd, -1);
	notify_ready(&notify, "nobody hears this");
	notify_watchdog(&notify);
	for (size_t k = 0; k < sizeof(odd) / sizeof(odd[0]); k++) {
		setenv("NOTIFY_SOCKET", odd[k], 1);
		notify_init(&notify);
		assert_int_equal(notify.fd, -1);
	}
	memset(huge, '/', sizeof(huge));
	huge[sizeof(huge) - 1] = '\0';
	setenv("NOTIFY_SOCKET", huge, 1);
	notify_init(&notify);
	assert_int_equal(notify.fd, -1);

	listen_at_path();
	notify_init(&notify);
	for (i = 0; i < 10000; i++) /* more than any queue holds */
		notify_status(&notify, "x");
	for (i = 0; receive() != NULL; i++)
		;
	assert_true(i > 0 && i < 10000);
	close(manager);
	manager = -1;
	notify_ready(&notify, NULL);
}

/* ---- Sockets that are passed in -------------------------------------------------------------- */

static char error[ACTIVATION_ERROR_SIZE];
static struct activation sockets;

static int activate(const char *fds, const char *names)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", fds, 1);
	if (names != NULL)
		setenv("LISTEN_FDNAMES", names, 1);
	error[0] = '\0';
	return activation_take(&sockets, error);
}

/* Descriptors 3 and 4, and 5 closed. */
static void open_two(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(dup2(fd, 10), 10);
	if (fd != 10)
		close(fd);
	assert_int_equal(dup2(10, 3), 3);
	assert_int_equal(dup2(10, 4), 4);
	close(5);
	close(10);
}

static void test_activation(void **state)
{
	(void)state;
	open_two();
	assert_int_equal(activate("2", "control:"), 0);
	assert_int_equal(sockets.count, 2);
	assert_int_equal(sockets.sockets[0].fd, 3);
	assert_string_equal(sockets.sockets[0].name, "control");
	assert_string_equal(sockets.sockets[1].name, "unknown");
	assert_true((fcntl(3, F_GETFD) & FD_CLOEXEC) != 0);
	assert_true((fcntl(4, F_GETFD) & FD_CLOEXEC) != 0);
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDNAMES"));
	sockets.sockets[0].fd = -1; /* taken */
	activation_free(&sockets);
	assert_int_equal(fcntl(3, F_GETFD) >= 0, 1);
	assert_int_equal(fcntl(4, F_GETFD), -1);
	close(3);

	open_two();
	assert_int_equal(activate("2", NULL), 0);
	assert_string_equal(sockets.sockets[1].name, "unknown");
	activation_free(&sockets);
	activation_free(NULL);
}

static void test_activation_of_nobody(void **state)
{
	(void)state;
	memset(&sockets, 0x77, sizeof(sockets));
	assert_int_equal(activation_take(&sockets, error), 0);
	assert_int_equal(sockets.count, 0);
	setenv("LISTEN_FDS", "2", 1);
	setenv("LISTEN_PID", "1", 1); /* somebody else's */
	assert_int_equal(activation_take(&sockets, error), 0);
	assert_int_equal(sockets.count, 0);
	assert_null(getenv("LISTEN_FDS"));
	assert_int_equal(activate("0", NULL), 0);
	assert_int_equal(sockets.count, 0);
	activation_free(&sockets);
}

static void test_activation_refused(void **state)
{
	static const char *const numbers[] = {"", "x", "-1", "65", "99999999999999999999", "1 "};

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		assert_int_equal(activate(numbers[i], NULL), RSTUN_E_CONFIG_INVALID);
		assert_non_null(strstr(error, "is not a number of sockets from 0 to 64"));
	}
	open_two();
	assert_int_equal(activate("3", NULL), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(error, "LISTEN_FDS says that 3 sockets are passed in, but descriptor "
				   "5 is "
				   "not open");
	open_two();
	assert_int_equal(activate("2", "one"), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(error, "LISTEN_FDNAMES has 1 names for 2 sockets: there must be one "
				   "for "
				   "each");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_path), T(test_abstract), T(test_long_status), T(test_watchdog),
		T(test_nobody), T(test_activation), T(test_activation_of_nobody),
		T(test_activation_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
