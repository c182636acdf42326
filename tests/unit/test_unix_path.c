/* SPDX-License-Identifier: MIT */
/*
 * Paths of UNIX sockets: who is there, taken, left over, given back; ends on them: accepted from
 * a listener, connected, refused, waiting for a full queue. Every test has a folder of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/unix_path.h"
#include "relay/tcp_connect.h"
#include "relay/tcp_listener.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char folder[64];
static char path[96];
static char error[UNIX_PATH_ERROR_SIZE];

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/rstund-test-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/app.sock", folder);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

/* A socket of somebody else at `path`. */
static int other(int type, int backlog)
{
	struct sockaddr_un a = unix_path_address(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static int dial(void)
{
	struct sockaddr_un a = unix_path_address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static enum unix_path_state look(void)
{
	enum unix_path_state state;

	assert_int_equal(unix_path_look(&state, path), 0);
	return state;
}

static void refused(int rv, const char *why)
{
	struct unix_path_file file;
	int fd = 77;

	assert_int_equal(unix_path_listen(&fd, &file, path, 8, error), rv);
	assert_int_equal(fd, 77); /* untouched */
	if (strstr(error, why) == NULL)
		fail_msg("%s", error);
}

static void made_and_removed(void **state)
{
	struct unix_path_file file;
	struct stat st;
	mode_t old = umask(0);
	int fd;

	(void)state;
	assert_int_equal(look(), UNIX_PATH_FREE);
	assert_int_equal(unix_path_listen(&fd, &file, path, 8, error), 0);
	umask(old);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(look(), UNIX_PATH_LIVE);
	refused(RSTUN_E_ADDRESS_IN_USE, "another program listens there");
	unix_path_file_remove(&file);
	assert_int_equal(look(), UNIX_PATH_FREE);
	unix_path_file_remove(&file); /* is none by then */
	close(fd);
}

static void left_over(void **state)
{
	struct unix_path_file file, old;
	int fd;

	(void)state;
	close(other(SOCK_STREAM, 1));
	assert_int_equal(look(), UNIX_PATH_STALE);
	unix_path_file_init(&old, path);
	assert_int_equal(unix_path_listen(&fd, &file, path, 8, error), 0);
	assert_int_equal(look(), UNIX_PATH_LIVE);
	unix_path_file_remove(&file);
	close(fd);
	assert_int_equal(look(), UNIX_PATH_FREE);
	unix_path_file_remove(&old);
}

static void somebody_is_there(void **state)
{
	int fd = other(SOCK_STREAM, 0), one = dial();

	(void)state;
	assert_int_equal(look(), UNIX_PATH_LIVE); /* its queue is full */
	refused(RSTUN_E_ADDRESS_IN_USE, "another program listens there");
	close(one);
	close(fd);
	assert_int_equal(unlink(path), 0);
	fd = other(SOCK_DGRAM, -1);
	assert_int_equal(look(), UNIX_PATH_UNKNOWN);
	refused(RSTUN_E_ADDRESS_IN_USE, "of another user or kind");
	close(fd);
}

static void no_socket(void **state)
{
	struct stat st;

	(void)state;
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	refused(RSTUN_E_CONFIG_INVALID, "is no socket");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/nowhere", path), 0);
	refused(RSTUN_E_CONFIG_INVALID, "is no socket");
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/missing/app.sock", folder);
	refused(RSTUN_E_NOT_FOUND, "the folder is not there");
}

static void no_permission(void **state)
{
	(void)state;
	if (geteuid() == 0)
		snprintf(path, sizeof(path), "/proc/app.sock"); /* nobody makes files there */
	else
		assert_int_equal(chmod(folder, 0500), 0);
	assert_true(unix_path_listen(&(int){-1}, &(struct unix_path_file){.dev = 0}, path, 8,
				     error) < 0);
	assert_true(error[0] != '\0');
	assert_int_equal(chmod(folder, 0700), 0);
}

static void not_ours_any_more(void **state)
{
	struct unix_path_file file;
	struct stat st;
	char aside[128];
	int fd, fresh;

	(void)state;
	assert_int_equal(unix_path_listen(&fd, &file, path, 8, error), 0);
	snprintf(aside, sizeof(aside), "%s.old", path);
	assert_int_equal(rename(path, aside), 0);
	fresh = other(SOCK_STREAM, 1);
	unix_path_file_remove(&file);
	assert_int_equal(lstat(path, &st), 0);
	close(fresh);
	close(fd);
}

static void longest(void **state)
{
	struct sockaddr_un a;
	char text[ADDRESS_PATH_MAX + 1];

	(void)state;
	memset(text, 'x', ADDRESS_PATH_MAX);
	text[0] = '/';
	text[ADDRESS_PATH_MAX] = '\0';
	a = unix_path_address(text);
	assert_int_equal(sizeof(a.sun_path), ADDRESS_PATH_MAX + 1);
	assert_string_equal(a.sun_path, text);
}

/* ---- On a loop ------------------------------------------------------------------------------- */

struct outcome {
	bool done;
	int fd;
	enum flow_error error;
	size_t accepted;
};

static struct loop loop;

static int loop_setup(void **state)
{
	return setup(state) != 0 ? -1 : loop_init(&loop, NULL, NULL);
}

static int loop_teardown(void **state)
{
	loop_done(&loop);
	return teardown(state);
}

static void on_accept(void *user, int fd, const struct address *peer)
{
	struct outcome *o = user;

	assert_int_equal(peer->len, 0);
	o->accepted++;
	close(fd);
}

static void accepted(void **state)
{
	struct outcome o = {.accepted = 0};
	struct unix_path_file file;
	struct tcp_listener *listener;
	int fd, app;

	(void)state;
	assert_int_equal(unix_path_listen(&fd, &file, path, 8, error), 0);
	assert_int_equal(tcp_listener_new(&listener, &loop, NULL, fd, on_accept, &o), 0);
	app = dial();
	while (o.accepted == 0)
		event_base_loop(loop.base, EVLOOP_ONCE);
	close(app);
	tcp_listener_free(listener);
	unix_path_file_remove(&file);
}

static void on_done(void *user, int fd, enum flow_error flow_error)
{
	struct outcome *o = user;

	o->done = true;
	o->fd = fd;
	o->error = flow_error;
}

static int no_egress(void *user, int fd, const struct address *to)
{
	(void)user;
	(void)fd;
	(void)to;
	fail_msg("marks and addresses are for IP");
	return 0;
}

static void begin(struct outcome *o, uint64_t timeout_ms)
{
	struct tcp_connect params = {
		.loop = &loop,
		.path = path,
		.timeout_ms = timeout_ms,
		.on_socket = no_egress,
	};
	struct tcp_connector *c;

	*o = (struct outcome){.fd = -1};
	loop_enter(&loop);
	assert_int_equal(tcp_connector_start(&c, &params, on_done, o), 0);
}

static void finish(struct outcome *o)
{
	while (!o->done)
		event_base_loop(loop.base, EVLOOP_ONCE);
}

static void connected(void **state)
{
	int listener = other(SOCK_STREAM, 1), fd;
	struct outcome o;

	(void)state;
	begin(&o, 5000);
	finish(&o);
	assert_int_equal(o.error, FLOW_OK);
	fd = accept(listener, NULL, NULL);
	assert_int_equal(write(o.fd, "x", 1), 1);
	assert_int_equal(read(fd, error, 8), 1);
	close(fd);
	close(o.fd);
	close(listener);
}

static void not_connected(void **state)
{
	struct outcome o;

	(void)state;
	begin(&o, 5000);
	finish(&o);
	assert_int_equal(o.error, FLOW_REFUSED);
	close(other(SOCK_STREAM, 1));
	begin(&o, 5000);
	finish(&o);
	assert_int_equal(o.error, FLOW_REFUSED);
	assert_int_equal(o.fd, -1);
}

static void full(void **state)
{
	int listener = other(SOCK_STREAM, 0), first = dial();
	struct outcome o;

	(void)state;
	begin(&o, 20);
	finish(&o);
	assert_int_equal(o.error, FLOW_TIMEOUT);
	begin(&o, 20000);
	event_base_loop(loop.base, EVLOOP_NONBLOCK);
	assert_false(o.done);
	close(accept(listener, NULL, NULL));
	finish(&o);
	assert_int_equal(o.error, FLOW_OK);
	close(o.fd);
	close(first);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(made_and_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(left_over, setup, teardown),
		cmocka_unit_test_setup_teardown(somebody_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(no_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(no_permission, setup, teardown),
		cmocka_unit_test_setup_teardown(not_ours_any_more, setup, teardown),
		cmocka_unit_test(longest),
		cmocka_unit_test_setup_teardown(accepted, loop_setup, loop_teardown),
		cmocka_unit_test_setup_teardown(connected, loop_setup, loop_teardown),
		cmocka_unit_test_setup_teardown(not_connected, loop_setup, loop_teardown),
		cmocka_unit_test_setup_teardown(full, loop_setup, loop_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
