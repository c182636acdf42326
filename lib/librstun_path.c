/* SPDX-License-Identifier: MIT */
/*
 * Mappings OUT of librstun that listen at a path: the engine has the socket, and closes it; the
 * file in the file system is the client's, and goes before that (base/unix_path.h).
 */
#include "librstun_private.h"

#include "base/error.h"
#include "base/unix_path.h"
#include "relay/tcp_listener.h"

#include <stdio.h>
#include <stdlib.h>

struct librstun_path {
	LIST_ENTRY(librstun_path) link;
	uint64_t mapping;
	struct unix_path_file file;
};

int librstun_path_listen(struct rstun_client *client, uint64_t mapping, const char *path,
			 int *ret_fd, char error[LIBRSTUN_PATH_ERROR_SIZE])
{
	struct librstun_path *p = calloc(1, sizeof(*p));
	char why[UNIX_PATH_ERROR_SIZE];
	int err;

	if (p == NULL)
		return RSTUN_E_NOMEM;
	err = unix_path_listen(ret_fd, &p->file, path, TCP_LISTENER_BACKLOG, why);
	if (err != 0) {
		snprintf(error, LIBRSTUN_PATH_ERROR_SIZE, "cannot listen on unix:%s: %s", path,
			 why);
		free(p);
		return err;
	}
	p->mapping = mapping;
	LIST_INSERT_HEAD(&client->paths, p, link);
	return 0;
}

void librstun_path_remove(struct rstun_client *client, uint64_t mapping)
{
	struct librstun_path *p, *next;

	for (p = LIST_FIRST(&client->paths); p != NULL; p = next) {
		next = LIST_NEXT(p, link);
		if (mapping != 0 && p->mapping != mapping)
			continue;
		unix_path_file_remove(&p->file);
		LIST_REMOVE(p, link);
		free(p);
	}
}
