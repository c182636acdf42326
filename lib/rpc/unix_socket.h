/* SPDX-License-Identifier: MIT */
/*
 * The control socket in the file system: where it is, how a daemon takes it, who is at its other
 * end, how a caller finds it.
 *
 * Whether a path is taken is decided by a lock (flock) on a file beside it, PATH.lock: a socket
 * without a holder of the lock is left over and replaced, unless somebody answers there. The socket
 * is made with its mode (umask before bind), so that nobody ever has more access than meant. umask
 * is the process's, so unix_socket_listen is called while no other thread makes files. Blocking
 * calls, one owner.
 */
#pragma once

#include "base/unix_path.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define UNIX_SOCKET_PATH_MAX ADDRESS_PATH_MAX /* bytes */
#define UNIX_SOCKET_ERROR_SIZE 2048
#define UNIX_SOCKET_NAME "rstund.sock"
#define UNIX_SOCKET_CANDIDATES_MAX 3

/* Where paths come from; tests give their own. */
struct unix_socket_env {
	const char *option;      /* --socket, or NULL */
	const char *variable;    /* $RSTUN_SOCKET, or NULL */
	const char *runtime_dir; /* $XDG_RUNTIME_DIR, or NULL */
	const char *system_dir;  /* /run/rstund */
	uid_t uid;
};

/* From the environment of the process. */
void unix_socket_env_init(struct unix_socket_env *env, const char *option);

/* ---- The daemon's side ---------------------------------------------------------------------- */

struct unix_socket {
	int fd;      /* listening, non-blocking, close-on-exec; -1 = not open */
	int lock_fd;
	char *path;  /* NULL = it was passed in */
	struct unix_path_file file; /* that we made */
};

#define UNIX_SOCKET_NONE ((struct unix_socket){.fd = -1, .lock_fd = -1})

struct unix_socket_params {
	mode_t mode;      /* 0660 */
	gid_t group;      /* of the socket and of a directory that we make; -1 = as it is */
	/* When somebody else has the path: NAME-PID.sock beside it. */
	bool beside;
};

/* The path a daemon serves: option, variable, system_dir for uid 0, runtime_dir, system_dir.
 * malloc'ed. RSTUN_E_NOMEM. */
int unix_socket_path(char **ret, const struct unix_socket_env *env);

/*
 * Makes the directory where it is missing and ours (0700 below the runtime directory, 0750
 * elsewhere), takes the lock, removes a stale socket, binds and listens.
 * RSTUN_E_ADDRESS_IN_USE (the sentence names the pid of the holder), RSTUN_E_CONFIG_INVALID (path
 * too long, or something that is no socket lies there), RSTUN_E_PERMISSION_DENIED,
 * RSTUN_E_NOT_FOUND, RSTUN_E_FAILED, RSTUN_E_NOMEM.
 */
int unix_socket_listen(struct unix_socket *ret, const char *path,
		       const struct unix_socket_params *params, char error[UNIX_SOCKET_ERROR_SIZE]);

/* Takes over a listening descriptor that was passed in (socket activation): path and lock are not
 * ours. RSTUN_E_CONFIG_INVALID when it is no listening UNIX stream socket. */
int unix_socket_adopt(struct unix_socket *ret, int fd, char error[UNIX_SOCKET_ERROR_SIZE]);

/* Closes, and removes socket and lock file where they are ours. Also of UNIX_SOCKET_NONE. */
void unix_socket_close(struct unix_socket *s);

/* Accepts a caller: non-blocking, close-on-exec. The descriptor, RSTUN_E_AGAIN (none waits), or
 * another error value. */
int unix_socket_accept(const struct unix_socket *s);

struct unix_socket_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary ones */
	size_t group_count;
};

/* Who has connected (as of connect). RSTUN_E_NOMEM, RSTUN_E_FAILED. */
int unix_socket_peer(struct unix_socket_peer *ret, int fd);
void unix_socket_peer_done(struct unix_socket_peer *peer);
bool unix_socket_peer_in_group(const struct unix_socket_peer *peer, gid_t group);

/* ---- The caller's side ---------------------------------------------------------------------- */

/*
 * Connects: to the option if given, else to the variable, else to the first of runtime_dir,
 * system_dir that answers (uid 0: system_dir only); where rstund.sock may not be used,
 * rstund-ro.sock beside it is tried. 0 with a blocking descriptor and the path (malloc'ed).
 * RSTUN_E_UNREACHABLE (nobody there) or RSTUN_E_PERMISSION_DENIED with a sentence in `error` that
 * names every path tried and why it did not do; RSTUN_E_NOMEM.
 */
int unix_socket_connect(int *ret_fd, char **ret_path, const struct unix_socket_env *env,
			char error[UNIX_SOCKET_ERROR_SIZE]);

/* Paths of all sockets rstund.sock and rstund-PID.sock, in the directories that
 * unix_socket_connect would try, where somebody answers (or would, if we were allowed to ask).
 * NULL-terminated, strings and array malloc'ed; sorted within a directory. RSTUN_E_NOMEM. */
int unix_socket_live(char ***ret_paths, size_t *ret_count, const struct unix_socket_env *env);
void unix_socket_live_free(char **paths);
