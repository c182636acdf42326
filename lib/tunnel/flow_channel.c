/* SPDX-License-Identifier: MIT */
/*
 * What the caller of a channel gets beside the flow: the reply with a descriptor, the line about the
 * end. Used by those who have the flow, TCP (flow_tcp.c) or UDP (the daemon's worker). Any thread.
 */
#include "tunnel/flows.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void flow_channel_close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void flow_channel_close(const struct flow_channel *channel)
{
	flow_channel_close_fd(channel->fd);
	flow_channel_close_fd(channel->pass_fd);
	flow_channel_close_fd(channel->status_fd);
}

bool flow_channel_reply(int fd, const uint8_t *reply, size_t reply_bytes, int pass_fd)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)reply, .iov_len = reply_bytes};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (pass_fd >= 0) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass_fd, sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)reply_bytes;
}

bool flow_channel_tell(int status_fd, int error, const char *text)
{
	char line[FLOW_CHANNEL_LINE];
	int bytes;
	bool told;

	if (error == 0)
		bytes = snprintf(line, sizeof(line), "0\n");
	else
		bytes = snprintf(line, sizeof(line), "%d %.*s\n", -error, FLOW_CHANNEL_LINE - 16,
				 text);
	/* A pipe that is empty takes it; whoever should read it may be gone. */
	told = write(status_fd, line, (size_t)bytes) == bytes;
	close(status_fd);
	return told;
}
