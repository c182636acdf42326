/* SPDX-License-Identifier: MIT */
/*
 * Datagrams from a stream into a socket, in batches, or to a program. Sending does not copy: the
 * messages of a sendmmsg point into the stream's chunks, also where a frame lies across several of
 * them.
 *
 * Errors of a socket (ICMP) are told by the kernel on the next call, whichever it is, and that call
 * then has not done its work: a send is tried once more, and the error is counted, never the end of
 * a flow.
 */
#include "relay/udp_socket.h"

#include "relay/frame.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define UDP_PEEK_IOV 64
#define UDP_SEGMENTS_MAX 64 /* UDP_MAX_SEGMENTS of older kernels */
#define UDP_SEGMENTS_BYTES 65000

struct udp_send {
	struct mmsghdr messages[UDP_BATCH];
	struct iovec iov[2 * UDP_PEEK_IOV + 2 * UDP_BATCH];
	size_t sizes[UDP_BATCH]; /* of each message */
	int count, iov_count;
	size_t payload;
	int sent; /* that the socket took */
	uint64_t sent_bytes;
};

/* A place in the bytes that a peek gave. */
struct udp_cursor {
	const struct iovec *iov;
	int left;   /* entries from `iov` on */
	size_t at;  /* offset in the first */
	size_t bytes; /* from here to the end */
};

static void udp_cursor_skip(struct udp_cursor *c, size_t bytes)
{
	c->bytes -= bytes;
	c->at += bytes;
	while (c->left > 0 && c->at >= c->iov->iov_len) {
		c->at -= c->iov->iov_len;
		c->iov++;
		c->left--;
	}
}

static uint8_t udp_cursor_byte(struct udp_cursor *c)
{
	uint8_t byte = ((const uint8_t *)c->iov->iov_base)[c->at];

	udp_cursor_skip(c, 1);
	return byte;
}

/* Adds the next whole frame, behind the path's head; false: there is none, or no place for it. */
static bool udp_send_add(struct udp_send *send, struct udp_cursor *cursor,
			 const struct udp_path *path)
{
	struct udp_cursor c = *cursor;
	struct iovec *first = &send->iov[send->iov_count];
	uint8_t header[FRAME_HEADER_BYTES];
	size_t bytes, left;
	int used = 0;

	if (send->count == UDP_BATCH || c.bytes < FRAME_HEADER_BYTES)
		return false;
	header[0] = udp_cursor_byte(&c);
	header[1] = udp_cursor_byte(&c);
	bytes = frame_get_header(header);
	if (c.bytes < bytes)
		return false;
	if (path != NULL && path->head_bytes > 0)
		first[used++] = (struct iovec){
			.iov_base = (void *)(uintptr_t)path->head,
			.iov_len = path->head_bytes,
		};
	for (left = bytes; left > 0; used++) {
		size_t piece = c.iov->iov_len - c.at;

		if (piece > left)
			piece = left;
		first[used] = (struct iovec){
			.iov_base = (uint8_t *)c.iov->iov_base + c.at,
			.iov_len = piece,
		};
		udp_cursor_skip(&c, piece);
		left -= piece;
	}
	send->sizes[send->count] = bytes + (path != NULL ? path->head_bytes : 0);
	send->messages[send->count++] = (struct mmsghdr){
		.msg_hdr = {.msg_iov = first, .msg_iovlen = (size_t)used},
	};
	send->iov_count += used;
	send->payload += bytes;
	*cursor = c;
	return true;
}

/* Adds whole frames from the front of a view of them; returns their bytes. */
static size_t udp_send_add_all(struct udp_send *send, const struct iovec *view, int view_count,
			       const struct udp_path *path)
{
	struct udp_cursor cursor = {.iov = view, .left = view_count};
	size_t all;

	for (int i = 0; i < view_count; i++)
		cursor.bytes += view[i].iov_len;
	all = cursor.bytes;
	while (udp_send_add(send, &cursor, path))
		;
	return all - cursor.bytes;
}

/* The control message that chooses the address of ours; 0 = none. */
static size_t udp_write_local(uint8_t control[UDP_CONTROL_BYTES], const struct udp_path *path)
{
	struct msghdr msg = {.msg_control = control, .msg_controllen = UDP_CONTROL_BYTES};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	if (path->from.len == 0)
		return 0;
	memset(control, 0, UDP_CONTROL_BYTES);
	if (path->from.sa.sa_family == AF_INET) {
		struct in_pktinfo info = {.ipi_spec_dst = path->from.in.sin_addr};

		cmsg->cmsg_level = IPPROTO_IP;
		cmsg->cmsg_type = IP_PKTINFO;
		cmsg->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
		return CMSG_SPACE(sizeof(info));
	}
	struct in6_pktinfo info6 = {
		.ipi6_addr = path->from.in6.sin6_addr,
		.ipi6_ifindex = path->interface,
	};
	cmsg->cmsg_level = IPPROTO_IPV6;
	cmsg->cmsg_type = IPV6_PKTINFO;
	cmsg->cmsg_len = CMSG_LEN(sizeof(info6));
	memcpy(CMSG_DATA(cmsg), &info6, sizeof(info6));
	return CMSG_SPACE(sizeof(info6));
}

/* Messages of one size that follow each other, the last perhaps shorter: one for the kernel, which
 * cuts them apart again (udp(7), UDP_SEGMENT). */
struct udp_run {
	int first, count;
};

static struct udp_run udp_run_at(const struct udp_send *send, int first)
{
	struct udp_run run = {.first = first, .count = 1};
	size_t size = send->sizes[first], bytes = size;

	while (size > 0 && first + run.count < send->count && run.count < UDP_SEGMENTS_MAX) {
		size_t next = send->sizes[first + run.count];

		bytes += next;
		if (next == 0 || next > size || bytes > UDP_SEGMENTS_BYTES)
			break;
		run.count++;
		if (next < size)
			break;
	}
	return run;
}

/* One message of a run; `control` has room for the size of its parts behind what is there. */
static void udp_merge(const struct udp_send *send, const struct udp_run *run, uint8_t *control,
		      struct mmsghdr *ret)
{
	struct msghdr *msg = &ret->msg_hdr;
	uint16_t size = (uint16_t)send->sizes[run->first];
	struct cmsghdr cmsg = {
		.cmsg_level = SOL_UDP,
		.cmsg_type = UDP_SEGMENT,
		.cmsg_len = CMSG_LEN(sizeof(size)),
	};

	*ret = send->messages[run->first];
	if (run->count == 1)
		return;
	for (int i = 1; i < run->count; i++)
		msg->msg_iovlen += send->messages[run->first + i].msg_hdr.msg_iovlen;
	if (msg->msg_controllen > 0)
		memcpy(control, msg->msg_control, msg->msg_controllen);
	memcpy(control + msg->msg_controllen, &cmsg, sizeof(cmsg));
	memcpy(control + msg->msg_controllen + CMSG_LEN(0), &size, sizeof(size));
	msg->msg_control = control;
	msg->msg_controllen += CMSG_SPACE(sizeof(size));
}

/* Gives messages to the socket, which are runs or, without, single ones. False: it is full. */
static bool udp_send_messages(struct udp_send *send, int fd, struct mmsghdr *messages,
			      const struct udp_run *runs, int count)
{
	bool retried = false;

	for (int at = 0; at < count;) {
		int n = sendmmsg(fd, messages + at, (unsigned)(count - at),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			for (int end = at + n; at < end; at++) {
				send->sent += runs == NULL ? 1 : runs[at].count;
				send->sent_bytes += messages[at].msg_len;
			}
			retried = false;
		} else if (errno == EINTR) {
			continue;
		} else if (errno == EAGAIN || errno == ENOBUFS) {
			return false; /* the newest are dropped */
		} else if (!retried && errno != EMSGSIZE && errno != EINVAL && errno != EIO) {
			retried = true; /* the error of an earlier datagram */
		} else {
			/* A run: its parts are larger than the interface's packets, or that one
			 * makes no checksums. */
			if (runs != NULL && runs[at].count > 1 &&
			    !udp_send_messages(send, fd, send->messages + runs[at].first, NULL,
					       runs[at].count))
				return false;
			retried = false;
			at++;
		}
	}
	return true;
}

static void udp_send_all(struct udp_send *send, int fd)
{
	_Alignas(struct cmsghdr) uint8_t control[UDP_BATCH][UDP_CONTROL_BYTES];
	struct mmsghdr messages[UDP_BATCH];
	struct udp_run runs[UDP_BATCH] = {{0}};
	int count = 0;

	for (int at = 0; at < send->count; count++) {
		runs[count] = udp_run_at(send, at);
		at += runs[count].count;
		udp_merge(send, &runs[count], control[count], &messages[count]);
	}
	(void)udp_send_messages(send, fd, messages, runs, count);
}

/* The same for a program. */
static void udp_tell_all(struct udp_send *send, const struct udp_program *program)
{
	for (int i = 0; i < send->count; i++) {
		const struct msghdr *msg = &send->messages[i].msg_hdr;

		if (!program->on_datagram(program->user, msg->msg_iov[0].iov_base,
					  msg->msg_iov + 1, msg->msg_iovlen - 1))
			continue;
		send->sent_bytes += send->sizes[i];
		send->sent++;
	}
}

int udp_forward_frames(struct end *stream, int fd, const struct udp_path *path,
		       struct udp_counters *counters, size_t *ret_bytes)
{
	_Alignas(struct cmsghdr) uint8_t control[UDP_CONTROL_BYTES];
	struct iovec view[UDP_PEEK_IOV];
	struct udp_send send;
	size_t control_bytes = 0, datagram_bytes = 0, stream_bytes = 0;
	int datagrams = 0;

	send.count = 0;
	send.iov_count = 0;
	send.payload = 0;
	send.sent = 0;
	send.sent_bytes = 0;
	if (stream->ops->peek_datagrams != NULL) {
		int count = stream->ops->peek_datagrams(stream, view, UDP_PEEK_IOV);

		datagram_bytes = udp_send_add_all(&send, view, count, path);
		datagrams = send.count;
	}
	if (send.count < UDP_BATCH) {
		int count = stream->ops->peek(stream, view, UDP_PEEK_IOV);

		stream_bytes = udp_send_add_all(&send, view, count, path);
	}
	*ret_bytes = send.payload;
	if (send.count == 0)
		return 0;
	if (path != NULL)
		control_bytes = udp_write_local(control, path);
	for (int i = 0; path != NULL && i < send.count; i++) {
		struct msghdr *msg = &send.messages[i].msg_hdr;

		msg->msg_name = (void *)(uintptr_t)&path->to.sa;
		msg->msg_namelen = path->to.len;
		msg->msg_control = control_bytes == 0 ? NULL : control;
		msg->msg_controllen = control_bytes;
	}
	if (path != NULL && path->program != NULL)
		udp_tell_all(&send, path->program);
	else
		udp_send_all(&send, fd);
	if (path != NULL)
		send.sent_bytes -= (uint64_t)send.sent * path->head_bytes;
	counters->out_bytes += send.sent_bytes;
	counters->out_datagrams += (uint64_t)send.sent;
	counters->dropped_socket += (uint64_t)(send.count - send.sent);
	if (datagrams > 0)
		stream->ops->consume_datagrams(stream, datagram_bytes, (size_t)datagrams);
	if (stream_bytes > 0)
		stream->ops->consume(stream, stream_bytes);
	return send.count;
}
