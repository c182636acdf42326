/* SPDX-License-Identifier: MIT */
/*
 * Readiness on an inherited descriptor. Standard input, output and error are not closed but
 * replaced by /dev/null, or the next socket would get their number; standard error, where our log
 * goes, is only written to.
 */
#include "rstund/ready.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

int ready_init(struct ready *r, uint64_t number)
{
	int fd, flags;

	r->fd = -1;
	if (number == UINT64_MAX)
		return 0;
	if (number > INT_MAX)
		return RSTUN_E_CONFIG_INVALID;
	fd = (int)number;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return RSTUN_E_CONFIG_INVALID;
	if (fd > STDERR_FILENO)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	r->fd = fd;
	return 0;
}

void ready_tell(struct ready *r)
{
	static const char line[] = "READY=1\n";
	ssize_t n;

	if (r->fd < 0)
		return;
	/* Eight bytes fit into any pipe that is not full; a reader who left does not matter. */
	do
		n = write(r->fd, line, sizeof(line) - 1);
	while (n < 0 && errno == EINTR);
	ready_done(r);
}

void ready_done(struct ready *r)
{
	int fd = r->fd;

	r->fd = -1;
	if (fd > STDERR_FILENO) {
		close(fd);
	} else if (fd >= 0 && fd != STDERR_FILENO) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null >= 0) {
			dup2(null, fd);
			close(null);
		}
	}
}
