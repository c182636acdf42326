/* SPDX-License-Identifier: MIT */
/*
 * The state directory: where it is, its modes, its lock, secrets that stay and secrets that are
 * refused, and what happens on another machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "rstund/state_dir.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[PATH_MAX];
static char error[STATE_DIR_ERROR_SIZE];

static const char *path_of(const char *name)
{
	static char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

static void put(const char *name, const void *data, size_t bytes, mode_t mode)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, bytes), (ssize_t)bytes);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(path_of(name), &st), 0);
	return st.st_mode & 0777;
}

static off_t size_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(path_of(name), &st), 0);
	return st.st_size;
}

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(base, sizeof(base), "%s/test_state_dir.XXXXXX", tmp != NULL ? tmp : "/tmp");
	return mkdtemp(base) != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[PATH_MAX + 16];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	return system(command);
}

static void test_safe_names(void **state)
{
	char buf[64];

	(void)state;
	state_dir_safe_name(buf, sizeof(buf), "server-0.0.0.0:3515");
	assert_string_equal(buf, "server-0.0.0.0_3515");
	state_dir_safe_name(buf, sizeof(buf), "server-[::1]:3515");
	assert_string_equal(buf, "server-__1_3515");
	state_dir_safe_name(buf, sizeof(buf), "../../etc");
	assert_string_equal(buf, "_._.._etc");
	state_dir_safe_name(buf, 4, "abcdef");
	assert_string_equal(buf, "abc");
}

static void test_modes_and_lock(void **state)
{
	struct state_dir dir, second = STATE_DIR_NONE;

	(void)state;
	assert_int_equal(state_dir_open(&dir, path_of("a/b"), "server-x", error), 0);
	assert_int_equal(mode_of("a"), 0700);
	assert_int_equal(mode_of("a/b/server-x"), 0700);
	assert_int_equal(state_dir_open(&second, path_of("a/b"), "server-x", error),
			 RSTUN_E_ADDRESS_IN_USE);
	assert_non_null(strstr(error, "server-x"));
	assert_int_equal(second.fd, -1);
	assert_int_equal(state_dir_open(&second, path_of("a/b"), "server-y", error), 0);
	state_dir_close(&second);
	state_dir_close(&dir);
	/* A folder that others could look into is closed to them. */
	assert_int_equal(chmod(path_of("a/b/server-x"), 0755), 0);
	assert_int_equal(state_dir_open(&dir, path_of("a/b"), "server-x", error), 0);
	assert_int_equal(mode_of("a/b/server-x"), 0700);
	state_dir_close(&dir);
}

static void test_top(void **state)
{
	struct state_dir dir, role, second = STATE_DIR_NONE;

	(void)state;
	assert_int_equal(state_dir_open_top(&dir, path_of("top"), error), 0);
	assert_string_equal(dir.path, path_of("top"));
	assert_int_equal(mode_of("top"), 0700);
	assert_int_equal(access(path_of("top/lock"), F_OK), 0);
	assert_int_equal(state_dir_open_top(&second, path_of("top"), error),
			 RSTUN_E_ADDRESS_IN_USE);
	assert_non_null(strstr(error, "with a configuration"));
	/* A role's folder in it is another matter. */
	assert_int_equal(state_dir_open(&role, path_of("top"), "server-x", error), 0);
	state_dir_close(&role);
	state_dir_close(&dir);
	/* Others may look, and its mode is left alone; they may not write. */
	assert_int_equal(chmod(path_of("top"), 0755), 0);
	assert_int_equal(state_dir_open_top(&dir, path_of("top"), error), 0);
	assert_int_equal(mode_of("top"), 0755);
	state_dir_close(&dir);
	assert_int_equal(chmod(path_of("top"), 0770), 0);
	assert_int_equal(state_dir_open_top(&dir, path_of("top"), error), RSTUN_E_FILE_PERMISSIONS);
	assert_non_null(strstr(error, "chmod 700"));
	assert_int_equal(mode_of("top"), 0770);
}

static void test_write(void **state)
{
	struct rlimit old, small = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
	char data[300];
	struct state_dir dir;

	(void)state;
	memset(data, 'x', sizeof(data));
	assert_int_equal(state_dir_open_top(&dir, path_of("top"), error), 0);
	assert_int_equal(state_dir_write(&dir, "f", "old", 3, error), 0);
	assert_int_equal(mode_of("top/f"), 0600);
	/* The kernel takes 100 bytes, then none. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(state_dir_write(&dir, "f", data, sizeof(data), error),
			 RSTUN_E_STATE_WRITE_FAILED);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_non_null(strstr(error, "cannot write"));
	assert_non_null(strstr(error, "top/f: "));
	assert_int_equal(size_of("top/f"), 3);
	assert_int_equal(access(path_of("top/.f.new"), F_OK), -1);
	/* A rename that fails leaves nothing behind either. */
	assert_int_equal(mkdir(path_of("top/d"), 0700), 0);
	assert_int_equal(state_dir_write(&dir, "d", data, sizeof(data), error),
			 RSTUN_E_STATE_WRITE_FAILED);
	assert_int_equal(access(path_of("top/.d.new"), F_OK), -1);
	assert_int_equal(state_dir_write(&dir, "f", data, sizeof(data), error), 0);
	assert_int_equal(size_of("top/f"), sizeof(data));
	state_dir_close(&dir);
}

static void test_places(void **state)
{
	struct state_dir dir;
	char several[2 * PATH_MAX + 16];

	(void)state;
	snprintf(several, sizeof(several), "%s/one:%s/two", base, base);
	setenv("STATE_DIRECTORY", several, 1);
	assert_int_equal(state_dir_open(&dir, NULL, "r", error), 0);
	assert_string_equal(dir.path, path_of("one/r"));
	state_dir_close(&dir);
	assert_int_equal(state_dir_open(&dir, path_of("given"), "r", error), 0);
	assert_string_equal(dir.path, path_of("given/r"));
	state_dir_close(&dir);
	unsetenv("STATE_DIRECTORY");
	if (geteuid() == 0) /* root's is /var/lib/rstund, which a test leaves alone */
		return;
	setenv("XDG_STATE_HOME", path_of("xdg"), 1);
	assert_int_equal(state_dir_open(&dir, NULL, "r", error), 0);
	assert_string_equal(dir.path, path_of("xdg/rstund/r"));
	state_dir_close(&dir);
	unsetenv("XDG_STATE_HOME");
	setenv("HOME", base, 1);
	assert_int_equal(state_dir_open(&dir, NULL, "r", error), 0);
	assert_string_equal(dir.path, path_of(".local/state/rstund/r"));
	state_dir_close(&dir);
}

static void test_not_a_directory(void **state)
{
	struct state_dir dir = STATE_DIR_NONE;

	(void)state;
	put("file", "x", 1, 0600);
	assert_int_equal(state_dir_open(&dir, path_of("file"), "r", error),
			 RSTUN_E_STATE_WRITE_FAILED);
	assert_non_null(strstr(error, "file"));
	assert_int_equal(dir.fd, -1);
}

static void test_secret_stays(void **state)
{
	uint8_t first[STATE_DIR_SECRET_BYTES], again[STATE_DIR_SECRET_BYTES];
	struct state_dir dir;
	bool made = false;

	(void)state;
	assert_int_equal(state_dir_open(&dir, base, "r", error), 0);
	assert_int_equal(state_dir_secret(&dir, "reset.key", first, &made, error), 0);
	assert_true(made);
	assert_int_equal(mode_of("r/reset.key"), 0600);
	assert_int_equal(access(path_of("r/.reset.key.new"), F_OK), -1);
	assert_int_equal(state_dir_secret(&dir, "reset.key", again, &made, error), 0);
	assert_false(made);
	assert_memory_equal(first, again, sizeof(first));
	/* What a process that died in between left behind is in nobody's way. */
	put("r/.other.key.new", "x", 1, 0600);
	assert_int_equal(state_dir_secret(&dir, "other.key", again, &made, error), 0);
	assert_memory_not_equal(first, again, sizeof(first));
	state_dir_close(&dir);
}

static void test_secret_refused(void **state)
{
	uint8_t secret[STATE_DIR_SECRET_BYTES] = {0};
	struct state_dir dir;
	bool made = false;

	(void)state;
	assert_int_equal(state_dir_open(&dir, base, "r", error), 0);
	put("r/reset.key", secret, sizeof(secret), 0640);
	assert_int_equal(state_dir_secret(&dir, "reset.key", secret, &made, error),
			 RSTUN_E_FILE_PERMISSIONS);
	assert_non_null(strstr(error, "chmod 600"));
	put("r/reset.key", secret, sizeof(secret) - 1, 0600);
	assert_int_equal(state_dir_secret(&dir, "reset.key", secret, &made, error),
			 RSTUN_E_CONFIG_INVALID);
	put("r/reset.key", "0123456789012345678901234567890123456789", 40, 0600);
	assert_int_equal(state_dir_secret(&dir, "reset.key", secret, &made, error),
			 RSTUN_E_CONFIG_INVALID);
	assert_int_equal(unlink(path_of("r/reset.key")), 0);
	assert_int_equal(symlink("/dev/zero", path_of("r/reset.key")), 0);
	assert_int_not_equal(state_dir_secret(&dir, "reset.key", secret, &made, error), 0);
	state_dir_close(&dir);
}

static void test_another_machine(void **state)
{
	static const char *const files[] = {"reset.key", "absent"};
	char id_file[PATH_MAX + 64];
	struct state_dir dir;
	bool moved = true;

	(void)state;
	assert_int_equal(state_dir_open(&dir, base, "r", error), 0);
	put("machine-id", "0123456789abcdef\n", 17, 0644);
	snprintf(id_file, sizeof(id_file), "%s", path_of("machine-id"));
	put("r/reset.key", "x", 1, 0600);
	for (int i = 0; i < 2; i++) { /* the first use binds, the second finds it bound */
		assert_int_equal(state_dir_bind_machine(&dir, id_file, files, 2, &moved, error), 0);
		assert_false(moved);
		assert_int_equal(access(path_of("r/reset.key"), F_OK), 0);
	}
	put("machine-id", "fedcba9876543210\n", 17, 0644);
	assert_int_equal(state_dir_bind_machine(&dir, id_file, files, 2, &moved, error), 0);
	assert_true(moved);
	assert_int_equal(access(path_of("r/reset.key"), F_OK), -1);
	assert_int_equal(state_dir_bind_machine(&dir, id_file, files, 2, &moved, error), 0);
	assert_false(moved);
	/* Without an id nothing is taken away. */
	put("r/reset.key", "x", 1, 0600);
	assert_int_equal(state_dir_bind_machine(&dir, path_of("absent"), files, 2, &moved, error),
			 0);
	assert_false(moved);
	assert_int_equal(access(path_of("r/reset.key"), F_OK), 0);
	state_dir_close(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_safe_names),
		cmocka_unit_test_setup_teardown(test_modes_and_lock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_top, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_write, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_a_directory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_secret_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_secret_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_machine, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
