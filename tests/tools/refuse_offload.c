/* SPDX-License-Identifier: MIT */
/*
 * A kernel without UDP GRO and GSO, for a program that is started with LD_PRELOAD=refuse_offload.so:
 * the option UDP_GRO is unknown, and a sendmsg() that asks for segments (UDP_SEGMENT) fails as on a
 * device without checksum offload. (Since Linux 6.11 such a device takes them, so none can stand in
 * for this.) Everything else goes straight to the kernel.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int setsockopt(int fd, int level, int name, const void *value, socklen_t bytes)
{
	if (level == SOL_UDP && name == UDP_GRO) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return (int)syscall(SYS_setsockopt, fd, level, name, value, bytes);
}

EXPORTED ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct msghdr m = *msg; /* CMSG_NXTHDR takes no const */

	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT) {
			errno = EIO;
			return -1;
		}
	}
	return syscall(SYS_sendmsg, fd, msg, flags);
}
