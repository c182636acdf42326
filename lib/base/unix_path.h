/* SPDX-License-Identifier: MIT */
/*
 * The path of a UNIX stream socket in the file system: its address, who is there, a listening
 * socket of our own, and the removal of the file that we made. For the control socket
 * (rpc/unix_socket) and for mappings. Blocking calls that do not wait for anybody; any thread, one
 * owner of each file.
 */
#pragma once

#include "base/address.h"

#include <sys/stat.h>
#include <sys/un.h>

#define UNIX_PATH_ERROR_SIZE 256

/* `path` has at most ADDRESS_PATH_MAX bytes. */
struct sockaddr_un unix_path_address(const char *path);

enum unix_path_state {
	UNIX_PATH_FREE,      /* nothing is there */
	UNIX_PATH_STALE,     /* a socket that nobody listens on */
	UNIX_PATH_LIVE,      /* a socket that somebody listens on */
	UNIX_PATH_UNKNOWN,   /* a socket that we may not connect to */
	UNIX_PATH_NO_SOCKET, /* something else */
};

/* Looks, and where there is a socket connects for a moment. 0 or -1 with errno. */
int unix_path_look(enum unix_path_state *ret, const char *path);

/* The file of a socket that we made, so that no other one is removed. */
struct unix_path_file {
	char path[ADDRESS_PATH_MAX + 1]; /* "" = none */
	dev_t dev;
	ino_t ino;
};

/* The file that lies at `path` now; none if there is nothing. */
void unix_path_file_init(struct unix_path_file *ret, const char *path);
/* Removes it if it is still the same; then and in any case it is none. While the socket is open no
 * other file can have its number. */
void unix_path_file_remove(struct unix_path_file *file);

/*
 * Listens at `path`, mode 0600: only our user (and root) can connect. What a process that was
 * killed left there is replaced; what somebody listens on, or might, and what is no socket is not
 * touched.
 * Two processes that replace one left over at the same moment are not told apart: the later one has
 * it. *ret_fd is non-blocking and close-on-exec. On failure a sentence in `error`, and
 * RSTUN_E_ADDRESS_IN_USE, RSTUN_E_CONFIG_INVALID (no socket lies there), RSTUN_E_PERMISSION_DENIED,
 * RSTUN_E_NOT_FOUND (no such folder), ...
 */
int unix_path_listen(int *ret_fd, struct unix_path_file *ret_file, const char *path, int backlog,
		     char error[UNIX_PATH_ERROR_SIZE]);
