/* SPDX-License-Identifier: MIT */
/*
 * Sources of a password, but for the terminal (password_ask.c). Buffers that held one are wiped.
 * Main thread, before others start.
 */
#include "rstund/password.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/utf8.h"
#include "rstund/password_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSWORD_QUOTE_SIZE 256

const struct password_process password_process_default = {
	.stdin_fd = STDIN_FILENO,
	.tty_path = "/dev/tty",
};

int password_fail(char error[PASSWORD_ERROR_SIZE], int rv, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, PASSWORD_ERROR_SIZE, format, args);
	va_end(args);
	return rv;
}

int password_accept(char **ret, const char *where, const char *text, size_t bytes,
		    char error[PASSWORD_ERROR_SIZE])
{
	char *copy;

	if (bytes == 0)
		return password_fail(error, RSTUN_E_CONFIG_INVALID,
				     "%s: an empty password protects nothing", where);
	if (bytes > PASSWORD_MAX)
		return password_fail(error, RSTUN_E_CONFIG_INVALID,
				     "%s: the password is longer than %d bytes", where,
				     PASSWORD_MAX);
	if (memchr(text, '\0', bytes) != NULL)
		return password_fail(error, RSTUN_E_CONFIG_INVALID,
				     "%s: there is a NUL byte in the password", where);
	if (!utf8_valid(text, bytes))
		return password_fail(error, RSTUN_E_CONFIG_INVALID,
				     "%s: the password is not valid UTF-8", where);
	copy = strndup(text, bytes);
	if (copy == NULL)
		return password_fail(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
	*ret = copy;
	return 0;
}

/* Reads to the end; the last line break is not part of the password. */
static int password_read(char **ret, const char *where, int fd, char error[PASSWORD_ERROR_SIZE])
{
	char buf[PASSWORD_MAX + 3]; /* a line break, and one byte more to see that it is too long */
	size_t used = 0;
	int rv;

	while (used < sizeof(buf)) {
		ssize_t n = read(fd, buf + used, sizeof(buf) - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rv = errno;
			secret_wipe(buf, sizeof(buf));
			return password_fail(error, rstun_error_from_errno(rv), "%s: %s", where,
					     strerror(rv));
		}
		if (n == 0)
			break;
		used += (size_t)n;
	}
	if (used < sizeof(buf) && used > 0 && buf[used - 1] == '\n') {
		used--;
		if (used > 0 && buf[used - 1] == '\r')
			used--;
	}
	rv = password_accept(ret, where, buf, used, error);
	secret_wipe(buf, sizeof(buf));
	return rv;
}

const char *password_shell_word(char *buf, size_t size, const char *path)
{
	size_t used = 0;

	if (path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			      "/._-+@%=:,")] == '\0' && path[0] != '-') {
		snprintf(buf, size, "%s", path);
		return buf;
	}
	if (path[0] == '-') /* not an option of chmod */
		used += (size_t)snprintf(buf, size, "./");
	used += (size_t)snprintf(buf + used, size - used, "'");
	for (; *path != '\0' && used + 6 < size; path++) {
		if (*path == '\'')
			used += (size_t)snprintf(buf + used, size - used, "'\\''");
		else
			buf[used++] = *path;
	}
	snprintf(buf + used, size - used, "'");
	return buf;
}

static int password_check_file(const char *where, const char *path, const struct stat *st,
			       char error[PASSWORD_ERROR_SIZE])
{
	char word[PASSWORD_QUOTE_SIZE];

	if (!S_ISREG(st->st_mode))
		return password_fail(error, RSTUN_E_CONFIG_INVALID, "%s is not a regular file",
				     where);
	password_shell_word(word, sizeof(word), path);
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return password_fail(error, RSTUN_E_FILE_PERMISSIONS,
				     "%s belongs to another user (uid %ld), who could read or "
				     "change it; run: chown %ld %s",
				     where, (long)st->st_uid, (long)geteuid(), word);
	if ((st->st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return password_fail(error, RSTUN_E_FILE_PERMISSIONS,
				     "%s is open to other users (mode %04o); run: chmod 600 %s",
				     where, (unsigned)(st->st_mode & 07777), word);
	return 0;
}

int password_from_file(char **ret, const char *option, const char *path,
		       const struct password_process *process, char error[PASSWORD_ERROR_SIZE])
{
	char quoted[PASSWORD_QUOTE_SIZE], where[PASSWORD_QUOTE_SIZE + 24];
	struct stat st;
	int fd, rv;

	if (strcmp(path, "-") == 0) {
		if (password_can_ask(process))
			return password_ask(ret, "Password: ", process, error);
		return password_read(ret, "standard input", process->stdin_fd, error);
	}
	log_quote(quoted, sizeof(quoted), path, strlen(path));
	snprintf(where, sizeof(where), "--%s: %s", option, quoted);
	/* Without O_NONBLOCK a pipe put in the file's place could hold the start up. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		rv = errno;
		return password_fail(error, rstun_error_from_errno(rv), "%s: %s", where,
				     strerror(rv));
	}
	if (fstat(fd, &st) != 0) {
		rv = errno;
		rv = password_fail(error, rstun_error_from_errno(rv), "%s: %s", where,
				   strerror(rv));
	} else {
		rv = password_check_file(where, path, &st, error);
	}
	if (rv == 0)
		rv = password_read(ret, where, fd, error);
	close(fd);
	return rv;
}

int password_from_credential(char **ret, const char *name, char error[PASSWORD_ERROR_SIZE])
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	char where[PASSWORD_QUOTE_SIZE], *path;
	int fd, rv;

	if (directory == NULL || directory[0] != '/')
		return 0;
	snprintf(where, sizeof(where), "systemd credential \"%s\"", name);
	if (asprintf(&path, "%s/%s", directory, name) < 0)
		return password_fail(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	rv = errno;
	free(path);
	if (fd < 0)
		return rv == ENOENT
			       ? 0
			       : password_fail(error, rstun_error_from_errno(rv), "%s: %s", where,
					       strerror(rv));
	rv = password_read(ret, where, fd, error);
	close(fd);
	return rv;
}

/* Moves the variable out of the environment, of which the kernel shows the first bytes' place to
 * others (/proc/PID/environ): so its value is wiped there, not only forgotten. NULL if not set. */
static char *password_take_variable(bool *ret_nomem)
{
	char *value = getenv(PASSWORD_VARIABLE), *copy;

	*ret_nomem = false;
	if (value == NULL)
		return NULL;
	copy = strdup(value);
	*ret_nomem = copy == NULL;
	secret_wipe(value, strlen(value));
	unsetenv(PASSWORD_VARIABLE);
	return copy;
}

bool password_forget_variable(void)
{
	bool there = getenv(PASSWORD_VARIABLE) != NULL, nomem;

	password_free(password_take_variable(&nomem));
	return there;
}

int password_find(char **password, const char *file, const struct password_process *process,
		  char error[PASSWORD_ERROR_SIZE])
{
	bool nomem;
	char *variable = password_take_variable(&nomem);
	char *found = NULL;
	int rv = 0;

	if (*password != NULL && file != NULL) {
		rv = password_fail(error, RSTUN_E_CONFIG_INVALID,
				   "--password and --password-file are both given: give one of "
				   "them");
	} else if (*password != NULL) {
		rv = 0;
	} else if (file != NULL) {
		rv = password_from_file(&found, "password-file", file, process, error);
	} else {
		rv = password_from_credential(&found, PASSWORD_CREDENTIAL, error);
		if (rv == 0 && found == NULL && variable != NULL)
			rv = password_accept(&found, "environment variable " PASSWORD_VARIABLE,
					     variable, strlen(variable), error);
		else if (rv == 0 && found == NULL && nomem)
			rv = password_fail(error, RSTUN_E_NOMEM, "%s",
					   rstun_strerror(RSTUN_E_NOMEM));
	}
	if (found != NULL)
		*password = found;
	password_free(variable);
	return rv;
}

bool password_can_ask(const struct password_process *process)
{
	return isatty(process->stdin_fd) == 1;
}

void password_wipe_argument(char *argument)
{
	size_t bytes = strlen(argument);

	secret_wipe(argument, bytes);
	/* Something to see, so that nobody wonders; its length says nothing. */
	memset(argument, '*', bytes < 3 ? bytes : 3);
}

void password_free(char *password)
{
	if (password == NULL)
		return;
	secret_wipe(password, strlen(password));
	free(password);
}
