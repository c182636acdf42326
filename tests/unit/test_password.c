/* SPDX-License-Identifier: MIT */
/*
 * Where passwords come from, in which order, and what is refused: files by their rights and
 * content, credentials, the environment (wiped where the kernel shows it), and the question on a
 * terminal, which is played on a pseudo-terminal by a second thread.
 */
#include "base/error.h"
#include "rstund/password.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64], path[128];
static char error[PASSWORD_ERROR_SIZE];
static struct password_process process;
static char *found;

static int setup(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/rstund-password-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/password", directory);
	process = (struct password_process){.stdin_fd = -1, .tty_path = "/nonexistent"};
	unsetenv("CREDENTIALS_DIRECTORY");
	unsetenv(PASSWORD_VARIABLE);
	found = NULL;
	error[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	password_free(found);
	unlink(path);
	rmdir(directory);
	return 0;
}

static void write_file(const char *text, size_t bytes, mode_t mode)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, bytes), (ssize_t)bytes);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int find(const char *file)
{
	password_free(found);
	found = NULL;
	return password_find(&found, file, &process, error);
}

static void test_file_content(void **state)
{
	char text[1100];

	(void)state;
	write_file("secret\n", 7, 0600);
	assert_int_equal(find(path), 0);
	assert_string_equal(found, "secret");
	write_file("secret", 6, 0400);
	assert_int_equal(find(path), 0);
	assert_string_equal(found, "secret");
	write_file("with blanks \r\n", 14, 0600);
	assert_int_equal(find(path), 0);
	assert_string_equal(found, "with blanks ");
	write_file("two\n\n", 5, 0600); /* only the last line break goes */
	assert_int_equal(find(path), 0);
	assert_string_equal(found, "two\n");

	write_file("", 0, 0600);
	assert_int_equal(find(path), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "an empty password protects nothing"));
	write_file("\n", 1, 0600);
	assert_int_equal(find(path), RSTUN_E_CONFIG_INVALID);
	write_file("a\0b", 3, 0600);
	assert_int_equal(find(path), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "NUL"));
	write_file("\xff\xfe", 2, 0600);
	assert_int_equal(find(path), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "UTF-8"));
	memset(text, 'p', sizeof(text));
	write_file(text, 1024, 0600);
	assert_int_equal(find(path), 0);
	assert_int_equal(strlen(found), 1024);
	text[1024] = '\n';
	write_file(text, 1025, 0600);
	assert_int_equal(find(path), 0);
	assert_int_equal(strlen(found), 1024);
	text[1024] = 'p';
	write_file(text, 1025, 0600);
	assert_int_equal(find(path), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "longer than 1024 bytes"));
	assert_null(strstr(error, "ppp"));
	write_file(text, 1100, 0600);
	assert_int_equal(find(path), RSTUN_E_CONFIG_INVALID);
}

/* The command that the message suggests makes the file acceptable. */
static void test_file_rights(void **state)
{
	static const mode_t open_modes[] = {0640, 0604, 0660, 0622, 0644, 0777};
	char *command;

	(void)state;
	for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
		write_file("x", 1, open_modes[i]);
		assert_int_equal(find(path), RSTUN_E_FILE_PERMISSIONS);
		assert_null(found);
		command = strstr(error, "; run: ");
		assert_non_null(command);
		assert_int_equal(system(command + 7), 0);
		assert_int_equal(find(path), 0);
	}
}

static void test_file_kinds(void **state)
{
	char odd[128], *command;

	(void)state;
	assert_int_equal(find(path), RSTUN_E_NOT_FOUND);
	assert_non_null(strstr(error, "No such file"));
	assert_int_equal(find(directory), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "not a regular file"));
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(find(path), RSTUN_E_CONFIG_INVALID); /* and does not wait for a writer */
	unlink(path);
	/* A name that a shell would take apart. */
	snprintf(odd, sizeof(odd), "%s/it's a; 'test'", directory);
	write_file("x", 1, 0644);
	assert_int_equal(rename(path, odd), 0);
	assert_int_equal(find(odd), RSTUN_E_FILE_PERMISSIONS);
	command = strstr(error, "; run: ");
	assert_non_null(command);
	assert_int_equal(system(command + 7), 0);
	assert_int_equal(find(odd), 0);
	unlink(odd);
	if (geteuid() != 0)
		return;
	write_file("x", 1, 0600);
	assert_int_equal(chown(path, 12345, 0), 0);
	assert_int_equal(find(path), RSTUN_E_FILE_PERMISSIONS);
	command = strstr(error, "; run: ");
	assert_non_null(command);
	assert_int_equal(system(command + 7), 0);
	assert_int_equal(find(path), 0);
}

static void test_standard_input(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "piped\n", 6), 6);
	close(fds[1]);
	process.stdin_fd = fds[0];
	assert_int_equal(find("-"), 0);
	assert_string_equal(found, "piped");
	close(fds[0]);
}

static void test_environment(void **state)
{
	const char *place;

	(void)state;
	assert_int_equal(find(NULL), 0);
	assert_null(found);
	assert_int_equal(setenv(PASSWORD_VARIABLE, "canary", 1), 0);
	place = getenv(PASSWORD_VARIABLE);
	assert_int_equal(find(NULL), 0);
	assert_string_equal(found, "canary");
	assert_null(getenv(PASSWORD_VARIABLE));
	assert_memory_equal(place, "\0\0\0\0\0\0", 6);
	assert_int_equal(setenv(PASSWORD_VARIABLE, "", 1), 0);
	assert_int_equal(find(NULL), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "environment variable RSTUN_PASSWORD"));
}

static void test_order(void **state)
{
	(void)state;
	write_file("from-file", 9, 0600);
	setenv(PASSWORD_VARIABLE, "from-environment", 1);
	setenv("CREDENTIALS_DIRECTORY", "/nonexistent", 1);
	assert_int_equal(find(NULL), 0); /* no such credential: on to the next */
	assert_string_equal(found, "from-environment");
	setenv(PASSWORD_VARIABLE, "from-environment", 1);
	setenv("CREDENTIALS_DIRECTORY", directory, 1);
	chmod(path, 0440); /* as systemd may have it */
	assert_int_equal(find(NULL), 0);
	assert_string_equal(found, "from-file");
	assert_null(getenv(PASSWORD_VARIABLE)); /* taken out although not used */
	chmod(path, 0600);
	setenv("CREDENTIALS_DIRECTORY", "relative", 1);
	assert_int_equal(find(NULL), 0);
	assert_null(found);

	/* A literal beats all but another option. */
	setenv(PASSWORD_VARIABLE, "from-environment", 1);
	found = strdup("literal");
	assert_int_equal(password_find(&found, NULL, &process, error), 0);
	assert_string_equal(found, "literal");
	assert_null(getenv(PASSWORD_VARIABLE));
	assert_int_equal(password_find(&found, path, &process, error), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(error,
			    "--password and --password-file are both given: give one of them");
	assert_string_equal(found, "literal");
}

/* The ways of a configuration file. */
static void test_single_sources(void **state)
{
	char word[64];

	(void)state;
	write_file("own\n", 4, 0600);
	assert_int_equal(password_from_credential(&found, "password", error), 0);
	assert_null(found); /* there are none */
	setenv("CREDENTIALS_DIRECTORY", directory, 1);
	assert_int_equal(password_from_credential(&found, "home.password", error), 0);
	assert_null(found);
	assert_int_equal(password_from_credential(&found, "password", error), 0);
	assert_string_equal(found, "own");
	password_free(found);
	found = NULL;
	assert_int_equal(password_from_file(&found, "password-file", path, &process, error), 0);
	assert_string_equal(found, "own");
	setenv(PASSWORD_VARIABLE, "unused", 1);
	assert_true(password_forget_variable());
	assert_null(getenv(PASSWORD_VARIABLE));
	assert_false(password_forget_variable());
	assert_string_equal(password_shell_word(word, sizeof(word), "/a/b.c"), "/a/b.c");
	assert_string_equal(password_shell_word(word, sizeof(word), "it's"), "'it'\\''s'");
	assert_string_equal(password_shell_word(word, sizeof(word), "-r"), "./'-r'");
}

static void test_wipe(void **state)
{
	char text[] = "0123456789", two[] = "ab", none[] = "";

	(void)state;
	password_wipe_argument(text);
	assert_memory_equal(text, "***\0\0\0\0\0\0\0", 11);
	password_wipe_argument(two);
	assert_string_equal(two, "**");
	password_wipe_argument(none);
	assert_string_equal(none, "");
	password_free(NULL);
}

/* ---- The terminal ---------------------------------------------------------------------------- */

struct typist {
	int master;
	const char *answer; /* NULL = a signal instead */
	bool echo_was_on;
	char heard[512];    /* what the terminal showed */
	size_t heard_bytes;
};

static bool echo_on(int fd)
{
	struct termios termios;

	assert_int_equal(tcgetattr(fd, &termios), 0);
	return (termios.c_lflag & ECHO) != 0;
}

static void hear(struct typist *t)
{
	ssize_t n = read(t->master, t->heard + t->heard_bytes,
			 sizeof(t->heard) - 1 - t->heard_bytes);

	if (n > 0)
		t->heard_bytes += (size_t)n;
}

static void *type_answer(void *user)
{
	struct typist *t = user;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	while (strstr(t->heard, "Password: ") == NULL)
		hear(t);
	t->echo_was_on = echo_on(t->master);
	if (t->answer == NULL)
		kill(getpid(), SIGINT);
	else if (write(t->master, t->answer, strlen(t->answer)) < 0)
		return NULL;
	while (strchr(t->heard, '\n') == NULL)
		hear(t);
	return NULL;
}

/* Asks with somebody at the other end; returns what password_ask does. */
static int ask(struct typist *t, const char *answer)
{
	char name[64];
	pthread_t thread;
	int slave, rv;

	*t = (struct typist){.answer = answer};
	t->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(t->master >= 0);
	assert_int_equal(grantpt(t->master), 0);
	assert_int_equal(unlockpt(t->master), 0);
	assert_int_equal(ptsname_r(t->master, name, sizeof(name)), 0);
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	process = (struct password_process){.stdin_fd = slave, .tty_path = name};
	assert_true(password_can_ask(&process));
	assert_int_equal(pthread_create(&thread, NULL, type_answer, t), 0);
	password_free(found);
	found = NULL;
	rv = password_ask(&found, "Password: ", &process, error);
	pthread_join(thread, NULL);
	assert_false(t->echo_was_on);
	assert_true(echo_on(slave)); /* restored */
	close(slave);
	close(t->master);
	return rv;
}

static void test_ask(void **state)
{
	struct typist t;

	(void)state;
	assert_int_equal(ask(&t, "canary\n"), 0);
	assert_string_equal(found, "canary");
	assert_null(strstr(t.heard, "canary"));
	assert_int_equal(ask(&t, "\n"), RSTUN_E_CONFIG_INVALID);
	assert_int_equal(ask(&t, "\x04"), RSTUN_E_CANCELLED); /* end of file */
	assert_null(found);
}

static volatile sig_atomic_t interrupts;

static void on_interrupt(int number)
{
	(void)number;
	interrupts = interrupts + 1;
}

static void test_ask_interrupted(void **state)
{
	struct sigaction action = {.sa_handler = on_interrupt}, old, now;
	struct typist t;

	(void)state;
	assert_int_equal(sigaction(SIGINT, &action, &old), 0);
	assert_int_equal(ask(&t, NULL), RSTUN_E_CANCELLED);
	assert_int_equal(interrupts, 1); /* passed on once the terminal was restored */
	assert_int_equal(sigaction(SIGINT, &old, &now), 0);
	assert_true(now.sa_handler == on_interrupt);
}

static void test_no_terminal(void **state)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	process.stdin_fd = fd;
	assert_false(password_can_ask(&process));
	assert_int_equal(password_ask(&found, "Password: ", &process, error), RSTUN_E_FAILED);
	assert_non_null(strstr(error, "/nonexistent"));
	process.tty_path = "/dev/null";
	assert_int_equal(password_ask(&found, "Password: ", &process, error), RSTUN_E_FAILED);
	close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_file_content),	T(test_file_rights), T(test_file_kinds),
		T(test_standard_input), T(test_environment), T(test_order),
		T(test_single_sources),
		T(test_wipe),		T(test_ask),	     T(test_ask_interrupted),
		T(test_no_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
