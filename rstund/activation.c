/* SPDX-License-Identifier: MIT */
/*
 * Reading of the variables of socket activation, all or nothing.
 */
#include "rstund/activation.h"

#include "base/error.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Digits only, at most `max`; -1 if it is anything else. */
static long activation_number(const char *text, long max)
{
	long value = 0;

	if (text[0] == '\0')
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || value > max / 10)
			return -1;
		value = value * 10 + (*text - '0');
	}
	return value <= max ? value : -1;
}

/* The names, one per descriptor; NULL names are "unknown". */
static int activation_names(struct activation *a, const char *names,
			    char error[ACTIVATION_ERROR_SIZE])
{
	size_t count = 1;

	for (const char *p = names; p != NULL && *p != '\0'; p++)
		count += *p == ':';
	if (names != NULL && count != a->count) {
		snprintf(error, ACTIVATION_ERROR_SIZE,
			 "LISTEN_FDNAMES has %zu names for %zu sockets: there must be one for each",
			 count, a->count);
		return RSTUN_E_CONFIG_INVALID;
	}
	for (size_t i = 0; i < a->count; i++) {
		size_t bytes = names != NULL ? strcspn(names, ":") : 0;

		a->sockets[i].name = bytes > 0 ? strndup(names, bytes) : strdup("unknown");
		if (a->sockets[i].name == NULL) {
			snprintf(error, ACTIVATION_ERROR_SIZE, "%s", rstun_strerror(RSTUN_E_NOMEM));
			return RSTUN_E_NOMEM;
		}
		if (names != NULL)
			names += bytes + (names[bytes] == ':');
	}
	return 0;
}

static int activation_fill(struct activation *a, const char *names,
			   char error[ACTIVATION_ERROR_SIZE])
{
	for (size_t i = 0; i < a->count; i++) {
		int fd = ACTIVATION_FIRST_FD + (int)i, flags = fcntl(fd, F_GETFD);

		if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0) {
			snprintf(error, ACTIVATION_ERROR_SIZE,
				 "LISTEN_FDS says that %zu sockets are passed in, but descriptor "
				 "%d "
				 "is not open", a->count, fd);
			return RSTUN_E_CONFIG_INVALID;
		}
		a->sockets[i].fd = fd;
	}
	return activation_names(a, names, error);
}

/* The variables, without taking them away. */
static int activation_read(struct activation *a, char error[ACTIVATION_ERROR_SIZE])
{
	const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	char quoted[80];
	long count;

	if (fds == NULL || pid == NULL || activation_number(pid, 0x7fffffff) != getpid())
		return 0;
	count = activation_number(fds, ACTIVATION_MAX);
	if (count < 0) {
		snprintf(error, ACTIVATION_ERROR_SIZE,
			 "LISTEN_FDS: \"%s\" is not a number of sockets from 0 to %d",
			 log_quote(quoted, sizeof(quoted), fds, strlen(fds)), ACTIVATION_MAX);
		return RSTUN_E_CONFIG_INVALID;
	}
	a->sockets = calloc((size_t)count + 1, sizeof(*a->sockets));
	if (a->sockets == NULL) {
		snprintf(error, ACTIVATION_ERROR_SIZE, "%s", rstun_strerror(RSTUN_E_NOMEM));
		return RSTUN_E_NOMEM;
	}
	a->count = (size_t)count;
	for (size_t i = 0; i < a->count; i++)
		a->sockets[i].fd = -1;
	return activation_fill(a, getenv("LISTEN_FDNAMES"), error);
}

int activation_take(struct activation *ret, char error[ACTIVATION_ERROR_SIZE])
{
	struct activation a = {.sockets = NULL};
	int rv = activation_read(&a, error);

	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_PIDFDID");
	unsetenv("LISTEN_FDNAMES");
	if (rv == 0)
		*ret = a;
	else
		activation_free(&a);
	return rv;
}

void activation_free(struct activation *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->count; i++) {
		if (a->sockets[i].fd >= 0)
			close(a->sockets[i].fd);
		free(a->sockets[i].name);
	}
	free(a->sockets);
	a->sockets = NULL;
	a->count = 0;
}
