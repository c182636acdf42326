/* SPDX-License-Identifier: MIT */
/*
 * The daemon's end of the control socket: taking the path, giving it back, who connects. The
 * caller's end is in unix_socket_find.c.
 */
#include "rpc/unix_socket.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UNIX_SOCKET_BACKLOG 128
#define UNIX_SOCKET_LOCK_TRIES 32
#define UNIX_SOCKET_FOLDER "rstund" /* the folder that we may make */

__attribute__((format(printf, 3, 4))) static int unix_socket_fail(char *error, int rv,
								  const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, UNIX_SOCKET_ERROR_SIZE, format, args);
	va_end(args);
	return rv;
}

static int unix_socket_fail_errno(char *error, const char *what, const char *path)
{
	int err = errno;

	return unix_socket_fail(error, rstun_error_from_errno(err), "%s %s: %s", what, path,
				strerror(err));
}

/* ---- The folder and the lock ----------------------------------------------------------------- */

/* Makes the folder of `path` if it is called rstund: /run/rstund, /run/user/1000/rstund. */
static int unix_socket_make_folder(const char *path, const struct unix_socket_params *p,
				   char *error)
{
	const char *end = strrchr(path, '/'), *name;
	char folder[UNIX_SOCKET_PATH_MAX + 1];
	/* Below a user's own folder nobody else has business; in /run the group may pass. */
	mode_t mode = geteuid() == 0 ? 0750 : 0700;
	struct stat st;

	if (end == NULL || end == path)
		return 0;
	memcpy(folder, path, (size_t)(end - path));
	folder[end - path] = '\0';
	if (stat(folder, &st) == 0)
		return 0;
	name = strrchr(folder, '/') != NULL ? strrchr(folder, '/') + 1 : folder;
	if (strcmp(name, UNIX_SOCKET_FOLDER) != 0)
		return unix_socket_fail(error, RSTUN_E_NOT_FOUND,
					"the folder %s of the control socket is not there: make it "
					"with \"mkdir -m 700 %s\", or name another path with "
					"--socket",
					folder, folder);
	if (mkdir(folder, mode) != 0 && errno != EEXIST)
		return unix_socket_fail_errno(error, "cannot make the folder", folder);
	if (p->group != (gid_t)-1 && chown(folder, (uid_t)-1, p->group) != 0)
		return unix_socket_fail_errno(error, "cannot give the group the folder", folder);
	return 0;
}

static int unix_socket_taken(char *error, const char *path, int lock_fd)
{
	char pid[24] = "";
	ssize_t n = lock_fd >= 0 ? pread(lock_fd, pid, sizeof(pid) - 1, 0) : -1;

	pid[n > 0 ? n : 0] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
	return unix_socket_fail(error, RSTUN_E_ADDRESS_IN_USE,
				"the control socket %s is served by another process%s%s: end that "
				"one, or name another path with --socket",
				path, pid[0] != '\0' ? ", " : "", pid);
}

/* Whoever had the lock may have removed the file while we waited for it: then it is another one. */
static bool unix_socket_same_file(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && ours.st_ino == there.st_ino &&
	       ours.st_dev == there.st_dev;
}

static int unix_socket_lock(int *ret_fd, const char *path, char *error)
{
	char lock[UNIX_SOCKET_PATH_MAX + 8];

	snprintf(lock, sizeof(lock), "%s.lock", path);
	for (int i = 0; i < UNIX_SOCKET_LOCK_TRIES; i++) {
		int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return unix_socket_fail_errno(error, "cannot open the lock file", lock);
		if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
			int rv = errno == EWOULDBLOCK
					 ? unix_socket_taken(error, path, fd)
					 : unix_socket_fail_errno(error, "cannot lock", lock);

			close(fd);
			return rv;
		}
		if (unix_socket_same_file(fd, lock)) {
			/* For the message of the next one who wants it; not needed for the lock. */
			if (ftruncate(fd, 0) == 0)
				dprintf(fd, "%ld\n", (long)getpid());
			*ret_fd = fd;
			return 0;
		}
		close(fd);
	}
	return unix_socket_taken(error, path, -1);
}

/* ---- The socket ------------------------------------------------------------------------------ */

/* With the lock in hand: what lies at the path is left over, unless somebody without a lock (the
 * file was swept away, or it is another program) answers there. */
static int unix_socket_clear(const char *path, char *error)
{
	enum unix_path_state state;

	if (unix_path_look(&state, path) != 0)
		return unix_socket_fail_errno(error, "cannot look at", path);
	if (state == UNIX_PATH_NO_SOCKET)
		return unix_socket_fail(error, RSTUN_E_CONFIG_INVALID,
					"%s is there and is no socket: remove it, or name another "
					"path with --socket", path);
	if (state == UNIX_PATH_LIVE)
		return unix_socket_taken(error, path, -1);
	if (state != UNIX_PATH_FREE && unlink(path) != 0 && errno != ENOENT)
		return unix_socket_fail_errno(error, "cannot remove the old socket", path);
	return 0;
}

static int unix_socket_bind(struct unix_socket *s, const struct unix_socket_params *p, char *error)
{
	struct sockaddr_un a = unix_path_address(s->path);
	bool group = p->group != (gid_t)-1;
	mode_t old;
	int rv;

	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return unix_socket_fail_errno(error, "cannot make a socket for", s->path);
	/* For a group that it does not have yet, it is opened only when it has it. */
	old = umask(~(group ? p->mode & ~(mode_t)077 : p->mode) & 0777);
	rv = bind(s->fd, (struct sockaddr *)&a, sizeof(a));
	umask(old);
	if (rv != 0)
		return unix_socket_fail_errno(error, "cannot make the control socket", s->path);
	unix_path_file_init(&s->file, s->path);
	if (group && (lchown(s->path, (uid_t)-1, p->group) != 0 || chmod(s->path, p->mode) != 0))
		return unix_socket_fail_errno(error, "cannot give the group the control socket",
					      s->path);
	if (listen(s->fd, UNIX_SOCKET_BACKLOG) != 0)
		return unix_socket_fail_errno(error, "cannot listen on the control socket",
					      s->path);
	return 0;
}

static int unix_socket_listen_at(struct unix_socket *ret, const char *path,
				 const struct unix_socket_params *p, char *error)
{
	struct unix_socket s = UNIX_SOCKET_NONE;
	int rv;

	if (strlen(path) > UNIX_SOCKET_PATH_MAX)
		return unix_socket_fail(error, RSTUN_E_CONFIG_INVALID,
					"the path of the control socket has %zu bytes, at most %d "
					"are possible: %s",
					strlen(path), UNIX_SOCKET_PATH_MAX, path);
	s.path = strdup(path);
	if (s.path == NULL)
		return unix_socket_fail(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
	rv = unix_socket_make_folder(path, p, error);
	if (rv == 0)
		rv = unix_socket_lock(&s.lock_fd, path, error);
	if (rv == 0)
		rv = unix_socket_clear(path, error);
	if (rv == 0)
		rv = unix_socket_bind(&s, p, error);
	if (rv != 0) {
		unix_socket_close(&s);
		return rv;
	}
	*ret = s;
	return 0;
}

int unix_socket_listen(struct unix_socket *ret, const char *path,
		       const struct unix_socket_params *p, char error[UNIX_SOCKET_ERROR_SIZE])
{
	static const char suffix[] = ".sock";
	int rv = unix_socket_listen_at(ret, path, p, error);
	size_t bytes = strlen(path);
	char beside[UNIX_SOCKET_PATH_MAX + 32];

	if (rv != RSTUN_E_ADDRESS_IN_USE || !p->beside)
		return rv;
	if (bytes > sizeof(suffix) && strcmp(path + bytes - (sizeof(suffix) - 1), suffix) == 0)
		bytes -= sizeof(suffix) - 1;
	snprintf(beside, sizeof(beside), "%.*s-%ld%s", (int)bytes, path, (long)getpid(), suffix);
	return unix_socket_listen_at(ret, beside, p, error);
}

int unix_socket_adopt(struct unix_socket *ret, int fd, char error[UNIX_SOCKET_ERROR_SIZE])
{
	int domain = 0, type = 0, listening = 0, flags = fcntl(fd, F_GETFL);
	socklen_t size = sizeof(int);

	if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 ||
	    domain != AF_UNIX || type != SOCK_STREAM || !listening)
		return unix_socket_fail(error, RSTUN_E_CONFIG_INVALID,
					"descriptor %d is no UNIX stream socket that listens", fd);
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return unix_socket_fail(error, RSTUN_E_FAILED, "descriptor %d: %s", fd,
					strerror(errno));
	*ret = UNIX_SOCKET_NONE;
	ret->fd = fd;
	return 0;
}

void unix_socket_close(struct unix_socket *s)
{
	char lock[UNIX_SOCKET_PATH_MAX + 8];

	/* Only what is still ours, and while the lock keeps others away. */
	if (s->lock_fd >= 0)
		unix_path_file_remove(&s->file);
	if (s->fd >= 0)
		close(s->fd);
	if (s->lock_fd >= 0) {
		snprintf(lock, sizeof(lock), "%s.lock", s->path);
		if (unix_socket_same_file(s->lock_fd, lock))
			unlink(lock);
		close(s->lock_fd);
	}
	free(s->path);
	*s = UNIX_SOCKET_NONE;
}

int unix_socket_accept(const struct unix_socket *s)
{
	int fd;

	do
		fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd >= 0 ? fd : rstun_error_from_errno(errno);
}

/* ---- Who is there ---------------------------------------------------------------------------- */

int unix_socket_peer(struct unix_socket_peer *ret, int fd)
{
	struct unix_socket_peer peer = {.pid = 0};
	struct ucred cred;
	socklen_t size = sizeof(cred), room = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) != 0)
		return RSTUN_E_FAILED;
	peer.pid = cred.pid;
	peer.uid = cred.uid;
	peer.gid = cred.gid;
	/* The kernel tells how much room it needs. One that knows no groups: there are none. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &room) != 0 && errno == ERANGE &&
	    room > 0) {
		peer.groups = malloc(room);
		if (peer.groups == NULL)
			return RSTUN_E_NOMEM;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer.groups, &room) != 0)
			room = 0;
		peer.group_count = room / sizeof(gid_t);
	}
	*ret = peer;
	return 0;
}

void unix_socket_peer_done(struct unix_socket_peer *peer)
{
	free(peer->groups);
	*peer = (struct unix_socket_peer){.pid = 0};
}

bool unix_socket_peer_in_group(const struct unix_socket_peer *peer, gid_t group)
{
	if (peer->gid == group)
		return true;
	for (size_t i = 0; i < peer->group_count; i++)
		if (peer->groups[i] == group)
			return true;
	return false;
}
