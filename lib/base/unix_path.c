/* SPDX-License-Identifier: MIT */
/*
 * UNIX stream sockets in the file system. The mode of a new one is set at the socket before bind,
 * which Linux takes for the file: umask belongs to all threads.
 */
#include "base/unix_path.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define UNIX_PATH_MODE 0600

struct sockaddr_un unix_path_address(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	memcpy(a.sun_path, path, strnlen(path, ADDRESS_PATH_MAX));
	return a;
}

static int unix_path_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int unix_path_look(enum unix_path_state *ret, const char *path)
{
	struct sockaddr_un a = unix_path_address(path);
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) != 0) {
		*ret = UNIX_PATH_FREE;
		return errno == ENOENT ? 0 : -1;
	}
	*ret = UNIX_PATH_NO_SOCKET;
	if (!S_ISSOCK(st.st_mode))
		return 0;
	fd = unix_path_socket();
	if (fd < 0)
		return -1;
	rc = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 ? 0 : errno;
	close(fd);
	if (rc == 0 || rc == EAGAIN) /* its queue is full */
		*ret = UNIX_PATH_LIVE;
	else if (rc == ECONNREFUSED)
		*ret = UNIX_PATH_STALE;
	else
		*ret = rc == ENOENT ? UNIX_PATH_FREE : UNIX_PATH_UNKNOWN;
	return 0;
}

void unix_path_file_init(struct unix_path_file *ret, const char *path)
{
	struct stat st;

	*ret = (struct unix_path_file){.path = ""};
	if (lstat(path, &st) != 0)
		return;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	snprintf(ret->path, sizeof(ret->path), "%s", path);
}

void unix_path_file_remove(struct unix_path_file *file)
{
	struct stat st;

	if (file->path[0] != '\0' && lstat(file->path, &st) == 0 && st.st_ino == file->ino &&
	    st.st_dev == file->dev)
		unlink(file->path);
	file->path[0] = '\0';
}

static int unix_path_fail(char *error, int rv, const char *why)
{
	snprintf(error, UNIX_PATH_ERROR_SIZE, "%s", why);
	return rv;
}

static int unix_path_fail_errno(char *error, int err)
{
	switch (err) {
	case EADDRINUSE:
		return unix_path_fail(error, RSTUN_E_ADDRESS_IN_USE,
				      "somebody else has just taken the path");
	case ENOENT:
	case ENOTDIR:
		return unix_path_fail(error, RSTUN_E_NOT_FOUND,
				      "the folder is not there: make it, or choose another path");
	case EACCES:
	case EPERM:
	case EROFS:
		return unix_path_fail(error, RSTUN_E_PERMISSION_DENIED,
				      "permission denied: the user of this process must be able "
				      "to write to the folder");
	default:
		return unix_path_fail(error, rstun_error_from_errno(err), strerror(err));
	}
}

/* What is left over is removed. */
static int unix_path_clear(const char *path, char *error)
{
	enum unix_path_state state;

	if (unix_path_look(&state, path) != 0)
		return unix_path_fail_errno(error, errno);
	switch (state) {
	case UNIX_PATH_FREE:
		return 0;
	case UNIX_PATH_STALE:
		if (unlink(path) != 0 && errno != ENOENT)
			return unix_path_fail_errno(error, errno);
		return 0;
	case UNIX_PATH_LIVE:
		return unix_path_fail(error, RSTUN_E_ADDRESS_IN_USE,
				      "another program listens there: end it, or choose another "
				      "path");
	case UNIX_PATH_UNKNOWN:
		return unix_path_fail(error, RSTUN_E_ADDRESS_IN_USE,
				      "a socket of another user or kind is there: choose another "
				      "path");
	case UNIX_PATH_NO_SOCKET:
		break;
	}
	return unix_path_fail(error, RSTUN_E_CONFIG_INVALID,
			      "something is there that is no socket: remove it, or choose another "
			      "path");
}

int unix_path_listen(int *ret_fd, struct unix_path_file *ret_file, const char *path, int backlog,
		     char error[UNIX_PATH_ERROR_SIZE])
{
	struct sockaddr_un a = unix_path_address(path);
	struct unix_path_file file;
	int fd, err, rv = unix_path_clear(path, error);

	if (rv != 0)
		return rv;
	fd = unix_path_socket();
	if (fd < 0)
		return unix_path_fail_errno(error, errno);
	if (fchmod(fd, UNIX_PATH_MODE) != 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		err = errno;
		close(fd);
		return unix_path_fail_errno(error, err);
	}
	unix_path_file_init(&file, path);
	if (listen(fd, backlog) != 0) {
		err = errno;
		unix_path_file_remove(&file);
		close(fd);
		return unix_path_fail_errno(error, err);
	}
	*ret_fd = fd;
	*ret_file = file;
	return 0;
}
