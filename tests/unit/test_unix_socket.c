/* SPDX-License-Identifier: MIT */
/*
 * The control socket's path: taken, held, left over, given back; modes, limits, who is at the other
 * end; what a caller finds and what it reads when it finds nothing. Every test has a folder of its
 * own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "rpc/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];
static char path[128];
static char error[UNIX_SOCKET_ERROR_SIZE];
static const struct unix_socket_params plain = {.mode = 0660, .group = (gid_t)-1};

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/rstund-test-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/rstund.sock", folder);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(lstat(name, &st), 0);
	return st.st_mode & 07777;
}

static struct unix_socket listening(const char *at)
{
	struct unix_socket s;

	if (unix_socket_listen(&s, at, &plain, error) != 0)
		fail_msg("%s", error);
	return s;
}

/* A child that holds `path` until it is killed. */
static pid_t hold(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		struct unix_socket s;

		if (unix_socket_listen(&s, path, &plain, error) != 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void kill_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- The daemon's side ----------------------------------------------------------------------- */

static void made_and_removed(void **state)
{
	char lock[160];
	mode_t before = umask(022);
	struct unix_socket s = listening(path);

	(void)state;
	assert_int_equal(mode_of(path), 0660);
	assert_int_equal(umask(before), 022); /* as it was */
	snprintf(lock, sizeof(lock), "%s.lock", path);
	assert_int_equal(mode_of(lock), 0600);
	assert_string_equal(s.path, path);
	assert_int_equal(fcntl(s.fd, F_GETFD), FD_CLOEXEC);
	assert_true((fcntl(s.fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_int_equal(unix_socket_accept(&s), RSTUN_E_AGAIN);
	unix_socket_close(&s);
	assert_false(exists(path));
	assert_false(exists(lock));
	assert_int_equal(s.fd, -1);
	unix_socket_close(&s);
}

static void group_is_given(void **state)
{
	struct unix_socket_params p = {.mode = 0660, .group = getegid()};
	struct unix_socket s;
	struct stat st;

	(void)state;
	assert_int_equal(unix_socket_listen(&s, path, &p, error), 0);
	assert_int_equal(mode_of(path), 0660);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_gid, getegid());
	unix_socket_close(&s);
}

static void two_daemons_on_one_path(void **state)
{
	pid_t holder = hold();
	struct unix_socket s;
	char pid[24];

	(void)state;
	assert_int_equal(unix_socket_listen(&s, path, &plain, error), RSTUN_E_ADDRESS_IN_USE);
	snprintf(pid, sizeof(pid), "%ld", (long)holder);
	assert_non_null(strstr(error, pid));
	assert_non_null(strstr(error, path));
	assert_non_null(strstr(error, "--socket"));
	kill_child(holder);
}

static void beside_the_other_one(void **state)
{
	struct unix_socket_params p = plain;
	pid_t holder = hold();
	struct unix_socket s;
	char want[160];

	(void)state;
	p.beside = true;
	assert_int_equal(unix_socket_listen(&s, path, &p, error), 0);
	snprintf(want, sizeof(want), "%s/rstund-%ld.sock", folder, (long)getpid());
	assert_string_equal(s.path, want);
	assert_true(exists(path));
	unix_socket_close(&s);
	assert_false(exists(want));
	kill_child(holder);
}

static void left_over(void **state)
{
	pid_t holder = hold();
	struct unix_socket s;

	(void)state;
	kill_child(holder);
	assert_true(exists(path)); /* nobody cleaned up */
	s = listening(path);
	unix_socket_close(&s);
	assert_false(exists(path));
}

/* Without its lock file (swept away), a socket that answers is not taken from its owner. */
static void lock_file_swept_away(void **state)
{
	struct unix_socket first = listening(path), s;
	char lock[160];

	(void)state;
	snprintf(lock, sizeof(lock), "%s.lock", path);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(unix_socket_listen(&s, path, &plain, error), RSTUN_E_ADDRESS_IN_USE);
	assert_true(exists(path));
	unix_socket_close(&first);
	assert_false(exists(path));
}

/* What somebody else has put in our place stays when we end. */
static void replaced_meanwhile(void **state)
{
	struct unix_socket s = listening(path);
	int fd;

	(void)state;
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	unix_socket_close(&s);
	assert_true(exists(path));
}

static void something_else_is_there(void **state)
{
	struct unix_socket s;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	(void)state;
	close(fd);
	assert_int_equal(unix_socket_listen(&s, path, &plain, error), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "is no socket"));
	assert_true(exists(path));
}

static void path_lengths(void **state)
{
	char longest[200];
	struct unix_socket s;
	size_t used = (size_t)snprintf(longest, sizeof(longest), "%s/", folder);

	(void)state;
	memset(longest + used, 'x', sizeof(longest) - used);
	longest[107] = '\0';
	s = listening(longest);
	unix_socket_close(&s);
	longest[107] = 'x';
	longest[108] = '\0';
	assert_int_equal(unix_socket_listen(&s, longest, &plain, error), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "has 108 bytes, at most 107"));
}

static void folders(void **state)
{
	char at[128], command[300], *start, *end;
	struct unix_socket s;

	(void)state;
	snprintf(at, sizeof(at), "%s/rstund/rstund.sock", folder);
	s = listening(at);
	snprintf(at, sizeof(at), "%s/rstund", folder);
	assert_int_equal(mode_of(at), geteuid() == 0 ? 0750 : 0700);
	unix_socket_close(&s);
	/* One that is not ours to make: the message has the command, and that one helps. */
	snprintf(at, sizeof(at), "%s/elsewhere/a.sock", folder);
	assert_int_equal(unix_socket_listen(&s, at, &plain, error), RSTUN_E_NOT_FOUND);
	start = strchr(error, '"');
	end = strchr(start + 1, '"');
	snprintf(command, sizeof(command), "%.*s", (int)(end - start - 1), start + 1);
	assert_int_equal(system(command), 0);
	s = listening(at);
	unix_socket_close(&s);
}

static void many_at_once(void **state)
{
	enum { COUNT = 8 };
	int done[2], got = 0, status;

	(void)state;
	assert_int_equal(pipe(done), 0);
	for (int i = 0; i < COUNT; i++) {
		if (fork() == 0) {
			struct unix_socket s;
			char byte;
			int rv;

			close(done[1]);
			rv = unix_socket_listen(&s, path, &plain, error);
			/* Held until all have tried. */
			_exit(rv == 0 && read(done[0], &byte, 1) == 0 ? 0
			      : rv == RSTUN_E_ADDRESS_IN_USE	   ? 1
								   : 2);
		}
	}
	close(done[0]);
	for (int i = 0; i < COUNT - 1; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(WEXITSTATUS(status), 1);
	}
	close(done[1]);
	assert_true(wait(&status) > 0);
	got = WEXITSTATUS(status);
	assert_int_equal(got, 0);
}

static void adopted(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct unix_socket s;

	(void)state;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(unix_socket_adopt(&s, fd, error), RSTUN_E_CONFIG_INVALID); /* no listen */
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(unix_socket_adopt(&s, fd, error), 0);
	assert_int_equal(unix_socket_accept(&s), RSTUN_E_AGAIN);
	unix_socket_close(&s);
	assert_true(exists(path)); /* not ours to remove */
	assert_int_equal(unix_socket_adopt(&s, other, error), RSTUN_E_CONFIG_INVALID);
	assert_int_equal(unix_socket_adopt(&s, 1 << 20, error), RSTUN_E_CONFIG_INVALID);
	close(other);
}

/* ---- The caller's side ----------------------------------------------------------------------- */

static struct unix_socket_env env_of(void)
{
	return (struct unix_socket_env){.runtime_dir = folder, .system_dir = folder, .uid = 1000};
}

static void who_is_there(void **state)
{
	struct unix_socket s = listening(path);
	struct unix_socket_env env = {.option = path, .uid = 1000};
	struct unix_socket_peer peer;
	gid_t groups[256];
	int count = getgroups(256, groups), fd, accepted;
	char *found;

	(void)state;
	assert_int_equal(unix_socket_connect(&fd, &found, &env, error), 0);
	assert_string_equal(found, path);
	accepted = unix_socket_accept(&s);
	assert_true(accepted >= 0);
	assert_true((fcntl(accepted, F_GETFL) & O_NONBLOCK) != 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(unix_socket_peer(&peer, accepted), 0);
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(peer.uid, geteuid());
	assert_int_equal(peer.gid, getegid());
	assert_int_equal(peer.group_count, count);
	assert_true(unix_socket_peer_in_group(&peer, getegid()));
	for (int i = 0; i < count; i++)
		assert_true(unix_socket_peer_in_group(&peer, groups[i]));
	assert_false(unix_socket_peer_in_group(&peer, 54321));
	unix_socket_peer_done(&peer);
	close(fd);
	close(accepted);
	free(found);
	unix_socket_close(&s);
}

static void default_paths(void **state)
{
	struct unix_socket_env env = {
		.runtime_dir = "/run/user/7", .system_dir = "/run/rstund", .uid = 7};
	static const struct {
		const char *option, *variable, *runtime_dir;
		uid_t uid;
		const char *want;
	} cases[] = {
		{NULL, NULL, "/run/user/7", 7, "/run/user/7/rstund/rstund.sock"},
		{NULL, NULL, "/run/user/7", 0, "/run/rstund/rstund.sock"},
		{NULL, NULL, NULL, 7, "/run/rstund/rstund.sock"},
		{NULL, NULL, "", 7, "/run/rstund/rstund.sock"},
		{NULL, NULL, "run", 7, "/run/rstund/rstund.sock"},
		{NULL, "/v", "/run/user/7", 7, "/v"},
		{NULL, "", "/run/user/7", 0, "/run/rstund/rstund.sock"},
		{"/o", "/v", "/run/user/7", 0, "/o"},
	};
	char *got;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		env.option = cases[i].option;
		env.variable = cases[i].variable;
		env.runtime_dir = cases[i].runtime_dir;
		env.uid = cases[i].uid;
		assert_int_equal(unix_socket_path(&got, &env), 0);
		assert_string_equal(got, cases[i].want);
		free(got);
	}
	setenv("RSTUN_SOCKET", "/from/variable", 1);
	unix_socket_env_init(&env, NULL);
	assert_string_equal(env.variable, "/from/variable");
	assert_string_equal(env.system_dir, "/run/rstund");
	assert_int_equal(env.uid, geteuid());
	unsetenv("RSTUN_SOCKET");
}

static void nobody_there(void **state)
{
	struct unix_socket_env env = env_of();
	char system_dir[80], *found;
	pid_t holder = hold();
	int fd;

	(void)state;
	kill_child(holder); /* leaves its socket behind */
	snprintf(system_dir, sizeof(system_dir), "%s", folder);
	env.system_dir = system_dir;
	assert_int_equal(unix_socket_connect(&fd, &found, &env, error), RSTUN_E_UNREACHABLE);
	assert_non_null(strstr(error, "/rstund/rstund.sock ($XDG_RUNTIME_DIR): there is no such socket"));
	assert_non_null(strstr(error, "rstund.sock (the system's): nobody listens there any more"));
	env.option = "/dev/null";
	assert_int_equal(unix_socket_connect(&fd, &found, &env, error), RSTUN_E_UNREACHABLE);
	assert_non_null(strstr(error, "/dev/null (--socket)"));
	env.option = "/" "0123456789012345678901234567890123456789012345678901234567890123456789"
			 "0123456789012345678901234567890123456789";
	assert_int_equal(unix_socket_connect(&fd, &found, &env, error), RSTUN_E_UNREACHABLE);
	assert_non_null(strstr(error, "at most 107 bytes"));
}

/* The first that answers, in order; the others are not looked at. */
static void first_that_answers(void **state)
{
	struct unix_socket_env env = env_of();
	struct unix_socket second = listening(path), first;
	char at[128], *found;
	int fd;

	(void)state;
	assert_int_equal(unix_socket_connect(&fd, &found, &env, error), 0);
	assert_string_equal(found, path);
	close(fd);
	free(found);
	snprintf(at, sizeof(at), "%s/rstund/rstund.sock", folder);
	first = listening(at);
	assert_int_equal(unix_socket_connect(&fd, &found, &env, error), 0);
	assert_string_equal(found, at);
	close(fd);
	free(found);
	env.uid = 0; /* root talks to the system's */
	assert_int_equal(unix_socket_connect(&fd, &found, &env, error), 0);
	assert_string_equal(found, path);
	close(fd);
	free(found);
	unix_socket_close(&first);
	unix_socket_close(&second);
}

static void all_that_live(void **state)
{
	static const char *const names[] = {"rstund.sock", "rstund-17.sock", "rstund-ro.sock",
					    "rstund-.sock", "rstund-5x.sock", "other.sock"};
	struct unix_socket s[6];
	struct unix_socket_env env = {.system_dir = folder, .uid = 0};
	char **paths, at[128];
	size_t count;
	pid_t dead;

	(void)state;
	dead = hold();
	kill_child(dead);
	assert_int_equal(unix_socket_live(&paths, &count, &env), 0);
	assert_int_equal(count, 0);
	unix_socket_live_free(paths);
	for (size_t i = 0; i < 6; i++) {
		snprintf(at, sizeof(at), "%s/%s", folder, names[i]);
		s[i] = listening(at);
	}
	assert_int_equal(unix_socket_live(&paths, &count, &env), 0);
	assert_int_equal(count, 2);
	assert_non_null(strstr(paths[0], "/rstund-17.sock"));
	assert_string_equal(paths[1], path);
	assert_null(paths[2]);
	unix_socket_live_free(paths);
	env.option = path;
	assert_int_equal(unix_socket_live(&paths, &count, &env), 0);
	assert_int_equal(count, 1);
	unix_socket_live_free(paths);
	env = (struct unix_socket_env){.system_dir = "/nonexistent", .uid = 0};
	assert_int_equal(unix_socket_live(&paths, &count, &env), 0);
	assert_int_equal(count, 0);
	unix_socket_live_free(paths);
	unix_socket_live_free(NULL);
	for (size_t i = 0; i < 6; i++)
		unix_socket_close(&s[i]);
}

/* As another user: the sentence says so, and who may only look finds the other socket. */
static void not_allowed(void **state)
{
	struct unix_socket_params p = {.mode = 0600, .group = (gid_t)-1};
	struct unix_socket s, ro;
	char at[128];
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(unix_socket_listen(&s, path, &p, error), 0);
	for (int i = 0; i < 2; i++) {
		pid_t pid;

		if (i == 1) {
			p.mode = 0666;
			snprintf(at, sizeof(at), "%s/rstund-ro.sock", folder);
			assert_int_equal(unix_socket_listen(&ro, at, &p, error), 0);
		}
		pid = fork();
		if (pid == 0) {
			struct unix_socket_env env = {.system_dir = folder, .uid = 65534};
			char *found;
			int fd, rv;

			if (setgid(65534) != 0 || setuid(65534) != 0)
				_exit(9);
			rv = unix_socket_connect(&fd, &found, &env, error);
			if (i == 0)
				_exit(rv == RSTUN_E_PERMISSION_DENIED &&
						      strstr(error, "you may not use it") != NULL
					      ? 0
					      : 1);
			_exit(rv == 0 && strcmp(found, at) == 0 ? 0 : 2);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	unix_socket_close(&ro);
	unix_socket_close(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(made_and_removed),	  TEST(group_is_given),	    TEST(two_daemons_on_one_path),
		TEST(beside_the_other_one), TEST(left_over),	    TEST(lock_file_swept_away),
		TEST(replaced_meanwhile), TEST(something_else_is_there), TEST(path_lengths),
		TEST(folders),		  TEST(many_at_once),	    TEST(adopted),
		TEST(who_is_there),	  TEST(default_paths),	    TEST(nobody_there),
		TEST(first_that_answers), TEST(all_that_live),	    TEST(not_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
