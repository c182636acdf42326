/* SPDX-License-Identifier: MIT */
/*
 * Where the control socket is, and the caller's way to it.
 */
#include "rpc/unix_socket.h"

#include "base/error.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define UNIX_SOCKET_SYSTEM_DIR "/run/rstund"
#define UNIX_SOCKET_READ_ONLY "rstund-ro.sock" /* for those who may only look */
#define UNIX_SOCKET_LIVE_MAX 1024
#define UNIX_SOCKET_BUSY_S 5

void unix_socket_env_init(struct unix_socket_env *env, const char *option)
{
	*env = (struct unix_socket_env){
		.option = option,
		.variable = getenv("RSTUN_SOCKET"),
		.runtime_dir = getenv("XDG_RUNTIME_DIR"),
		.system_dir = UNIX_SOCKET_SYSTEM_DIR,
		.uid = geteuid(),
	};
}

/* A place to look at: a socket, or a directory that has one. */
struct unix_socket_place {
	const char *from;   /* "--socket", "$XDG_RUNTIME_DIR" */
	const char *path;   /* of the socket, or NULL: */
	const char *folder; /* of the directory */
	const char *below;  /* "" or "/rstund" */
};

static bool unix_socket_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* In the order in which they count. */
static size_t unix_socket_places(struct unix_socket_place ret[UNIX_SOCKET_CANDIDATES_MAX],
				 const struct unix_socket_env *env)
{
	size_t count = 0;

	if (unix_socket_set(env->option)) {
		ret[0] = (struct unix_socket_place){.from = "--socket", .path = env->option};
		return 1;
	}
	if (unix_socket_set(env->variable)) {
		ret[0] = (struct unix_socket_place){.from = "$RSTUN_SOCKET", .path = env->variable};
		return 1;
	}
	/* A relative one is to be ignored, says the XDG base directory specification. */
	if (env->uid != 0 && unix_socket_set(env->runtime_dir) && env->runtime_dir[0] == '/')
		ret[count++] = (struct unix_socket_place){
			.from = "$XDG_RUNTIME_DIR", .folder = env->runtime_dir, .below = "/rstund"};
	ret[count++] = (struct unix_socket_place){
		.from = "the system's", .folder = env->system_dir, .below = ""};
	return count;
}

static char *unix_socket_place_path(const struct unix_socket_place *place, const char *name)
{
	char *path = NULL;

	if (place->path != NULL)
		return strdup(place->path);
	return asprintf(&path, "%s%s/%s", place->folder, place->below, name) < 0 ? NULL : path;
}

int unix_socket_path(char **ret, const struct unix_socket_env *env)
{
	struct unix_socket_place places[UNIX_SOCKET_CANDIDATES_MAX];
	char *path;

	unix_socket_places(places, env);
	path = unix_socket_place_path(&places[0], UNIX_SOCKET_NAME);
	if (path == NULL)
		return RSTUN_E_NOMEM;
	*ret = path;
	return 0;
}

/* A connected descriptor, or -1 with errno. A daemon that does not accept any more (EAGAIN) is
 * waited for UNIX_SOCKET_BUSY_S. */
static int unix_socket_dial(const char *path)
{
	struct timeval busy = {.tv_sec = UNIX_SOCKET_BUSY_S}, never = {.tv_sec = 0};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct stat st;
	int fd, err;

	if (strlen(path) > UNIX_SOCKET_PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(a.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &busy, sizeof(busy));
	while (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		if (errno == EINTR)
			continue;
		err = errno;
		/* The kernel says the same of a file of another kind. */
		if (err == ECONNREFUSED && stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
			err = ENOTSOCK;
		close(fd);
		errno = err;
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &never, sizeof(never));
	return fd;
}

static const char *unix_socket_why(int err)
{
	switch (err) {
	case ENOENT:
	case ENOTDIR:
		return "there is no such socket";
	case ECONNREFUSED:
		return "nobody listens there any more";
	case EACCES:
	case EPERM:
		return "you may not use it";
	case ENAMETOOLONG:
		return "a path has at most 107 bytes";
	case EAGAIN:
		return "it takes no more callers right now";
	case ENOTSOCK:
		return "it is no socket";
	default:
		return strerror(err);
	}
}

int unix_socket_connect(int *ret_fd, char **ret_path, const struct unix_socket_env *env,
			char error[UNIX_SOCKET_ERROR_SIZE])
{
	static const char *const names[] = {UNIX_SOCKET_NAME, UNIX_SOCKET_READ_ONLY};
	struct unix_socket_place places[UNIX_SOCKET_CANDIDATES_MAX];
	size_t count = unix_socket_places(places, env), used;
	int rv = RSTUN_E_UNREACHABLE;

	used = (size_t)snprintf(error, UNIX_SOCKET_ERROR_SIZE, "no rstund can be reached");
	for (size_t i = 0; i < count; i++) {
		bool denied = true; /* who may not change may be allowed to look */

		for (size_t j = 0; j < 2 && denied; j++) {
			char *path = unix_socket_place_path(&places[i], names[j]);
			int fd = path != NULL ? unix_socket_dial(path) : -1, err = errno;

			if (fd >= 0) {
				*ret_fd = fd;
				*ret_path = path;
				return 0;
			}
			if (path == NULL)
				return RSTUN_E_NOMEM;
			denied = (err == EACCES || err == EPERM) && places[i].path == NULL;
			if (err == EACCES || err == EPERM)
				rv = RSTUN_E_PERMISSION_DENIED;
			if (used < UNIX_SOCKET_ERROR_SIZE)
				used += (size_t)snprintf(error + used,
							 UNIX_SOCKET_ERROR_SIZE - used,
							 "%s %s (%s): %s", i + j == 0 ? ":" : ";",
							 path, places[i].from,
							 unix_socket_why(err));
			free(path);
		}
	}
	return rv;
}

/* ---- All that are there ---------------------------------------------------------------------- */

/* rstund.sock or rstund-PID.sock. */
static bool unix_socket_is_name(const char *name)
{
	static const char stem[] = "rstund";
	const char *p = name + sizeof(stem) - 1;

	if (strncmp(name, stem, sizeof(stem) - 1) != 0)
		return false;
	if (*p == '-') {
		size_t digits = strspn(p + 1, "0123456789");

		if (digits == 0)
			return false;
		p += 1 + digits;
	}
	return strcmp(p, ".sock") == 0;
}

static bool unix_socket_answers(const char *path)
{
	int fd = unix_socket_dial(path);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno == EACCES || errno == EPERM || errno == EAGAIN;
}

static int unix_socket_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes `path` over. False when memory is short. */
static bool unix_socket_add_live(char **paths, size_t *count, char *path)
{
	if (path == NULL)
		return false;
	if (*count < UNIX_SOCKET_LIVE_MAX && unix_socket_answers(path))
		paths[(*count)++] = path;
	else
		free(path);
	return true;
}

static bool unix_socket_scan(char **paths, size_t *count, const struct unix_socket_place *place)
{
	char *folder = unix_socket_place_path(place, "");
	DIR *dir = folder != NULL ? opendir(folder) : NULL;
	size_t first = *count;
	struct dirent *entry;
	bool ok = folder != NULL;

	while (ok && dir != NULL && (entry = readdir(dir)) != NULL)
		if (unix_socket_is_name(entry->d_name))
			ok = unix_socket_add_live(paths, count,
						  unix_socket_place_path(place, entry->d_name));
	if (dir != NULL)
		closedir(dir);
	free(folder);
	qsort(paths + first, *count - first, sizeof(*paths), unix_socket_compare);
	return ok;
}

int unix_socket_live(char ***ret_paths, size_t *ret_count, const struct unix_socket_env *env)
{
	struct unix_socket_place places[UNIX_SOCKET_CANDIDATES_MAX];
	size_t place_count = unix_socket_places(places, env), count = 0;
	char **paths = calloc(UNIX_SOCKET_LIVE_MAX + 1, sizeof(*paths));
	bool ok = paths != NULL;

	for (size_t i = 0; i < place_count && ok; i++)
		ok = places[i].path != NULL
			     ? unix_socket_add_live(paths, &count, strdup(places[i].path))
			     : unix_socket_scan(paths, &count, &places[i]);
	if (!ok) {
		unix_socket_live_free(paths);
		return RSTUN_E_NOMEM;
	}
	*ret_paths = paths;
	*ret_count = count;
	return 0;
}

void unix_socket_live_free(char **paths)
{
	for (char **p = paths; p != NULL && *p != NULL; p++)
		free(*p);
	free(paths);
}
