/* SPDX-License-Identifier: MIT */
/*
 * Batches of datagrams. Receiving copies once more than it must (socket, batch, stream): recvmmsg
 * saves more than the copy of a datagram costs. Sending does not copy: the messages of a sendmmsg
 * point into the stream's chunks, also where a frame lies across several of them.
 *
 * Errors of a socket (ICMP) are told by the kernel on the next call, whichever it is, and that call
 * then has not done its work: a send is tried once more, and the error is counted, never the end of
 * a flow.
 */
#include "relay/udp_socket.h"

#include "base/error.h"
#include "base/log.h"
#include "base/socket_hook.h"
#include "relay/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UDP_CONTROL_BYTES 64 /* holds one in_pktinfo or in6_pktinfo */
#define UDP_SOCKET_BUFFER_BYTES (2 * 1024 * 1024)
#define UDP_PEEK_IOV 64
#define UDP_RESERVE_IOV 16

struct udp_batch {
	unsigned users;
	struct mmsghdr messages[UDP_BATCH];
	struct iovec iov[UDP_BATCH];
	struct sockaddr_storage sources[UDP_BATCH];
	_Alignas(struct cmsghdr) uint8_t control[UDP_BATCH][UDP_CONTROL_BYTES];
	uint8_t data[UDP_BATCH][UDP_DATAGRAM_MAX];
};

static _Thread_local struct udp_batch *udp_batch_of_thread;

struct udp_batch *udp_batch_acquire(void)
{
	struct udp_batch *batch = udp_batch_of_thread;

	if (batch == NULL) {
		batch = malloc(sizeof(*batch));
		if (batch == NULL)
			return NULL;
		batch->users = 0;
		udp_batch_of_thread = batch;
	}
	batch->users++;
	return batch;
}

void udp_batch_release(struct udp_batch *batch)
{
	if (batch == NULL || --batch->users > 0)
		return;
	udp_batch_of_thread = NULL;
	free(batch);
}

int udp_batch_receive(struct udp_batch *batch, int fd, bool with_source)
{
	int count;

	for (unsigned i = 0; i < UDP_BATCH; i++) {
		batch->iov[i] =
			(struct iovec){.iov_base = batch->data[i], .iov_len = UDP_DATAGRAM_MAX};
		batch->messages[i] = (struct mmsghdr){
			.msg_hdr = {
				.msg_name = with_source ? &batch->sources[i] : NULL,
				.msg_namelen = with_source ? sizeof(batch->sources[i]) : 0,
				.msg_iov = &batch->iov[i],
				.msg_iovlen = 1,
				.msg_control = with_source ? batch->control[i] : NULL,
				.msg_controllen = with_source ? UDP_CONTROL_BYTES : 0,
			},
		};
	}
	do
		count = recvmmsg(fd, batch->messages, UDP_BATCH, MSG_DONTWAIT, NULL);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return errno == EAGAIN ? 0 : -errno;
	return count;
}

/* The address of ours that a datagram was sent to (ip(7), RFC 3542 section 6.2). */
static void udp_read_local(struct msghdr *msg, struct udp_packet *ret)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_PKTINFO) {
			struct sockaddr_in in = {.sin_family = AF_INET};
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(cmsg), sizeof(info));
			in.sin_addr =
				info.ipi_spec_dst; /* ours, where the datagram was a broadcast */
			(void)address_from_sockaddr(&ret->local, (struct sockaddr *)&in,
						    sizeof(in));
		} else if (cmsg->cmsg_level == IPPROTO_IPV6 && cmsg->cmsg_type == IPV6_PKTINFO) {
			struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(cmsg), sizeof(info));
			if (IN6_IS_ADDR_MULTICAST(&info.ipi6_addr))
				continue; /* no address to answer from */
			in6.sin6_addr = info.ipi6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				ret->interface = (unsigned)info.ipi6_ifindex;
			(void)address_from_sockaddr(&ret->local, (struct sockaddr *)&in6,
						    sizeof(in6));
		}
	}
}

void udp_batch_packet(const struct udp_batch *batch, int index, struct udp_packet *ret)
{
	struct mmsghdr message = batch->messages[index];
	const struct sockaddr *source = message.msg_hdr.msg_name;

	*ret = (struct udp_packet){
		.data = batch->data[index],
		.bytes = message.msg_len,
		.truncated = (message.msg_hdr.msg_flags & MSG_TRUNC) != 0,
	};
	if (source == NULL)
		return;
	(void)address_from_sockaddr(&ret->source, source, message.msg_hdr.msg_namelen);
	udp_read_local(&message.msg_hdr, ret);
}

/* ---- stream to socket ---- */

struct udp_send {
	struct mmsghdr messages[UDP_BATCH];
	struct iovec iov[UDP_PEEK_IOV + 2 * UDP_BATCH];
	int count, iov_count;
	size_t bytes;   /* of the stream that the messages cover */
	size_t payload; /* of it without headers */
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
	send->messages[send->count++] = (struct mmsghdr){
		.msg_hdr = {.msg_iov = first, .msg_iovlen = (size_t)used},
	};
	send->iov_count += used;
	send->bytes += FRAME_HEADER_BYTES + bytes;
	send->payload += bytes;
	*cursor = c;
	return true;
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

/* Gives the messages to the socket; returns how many it took, and adds their bytes. */
static int udp_send_all(struct udp_send *send, int fd, uint64_t *sent_bytes)
{
	bool retried = false;
	int sent = 0;

	for (int at = 0; at < send->count;) {
		int n = sendmmsg(fd, send->messages + at, (unsigned)(send->count - at),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			for (int i = 0; i < n; i++)
				*sent_bytes += send->messages[at + i].msg_len;
			at += n;
			sent += n;
			retried = false;
		} else if (errno == EINTR) {
			continue;
		} else if (errno == EAGAIN || errno == ENOBUFS) {
			break; /* the newest are dropped */
		} else if (!retried && errno != EMSGSIZE) {
			retried = true; /* the error of an earlier datagram */
		} else {
			retried = false;
			at++;
		}
	}
	return sent;
}

/* The same for a program. */
static int udp_tell_all(const struct udp_send *send, const struct udp_program *program,
			uint64_t *sent_bytes)
{
	int sent = 0;

	for (int i = 0; i < send->count; i++) {
		const struct msghdr *msg = &send->messages[i].msg_hdr;

		if (!program->on_datagram(program->user, msg->msg_iov[0].iov_base,
					  msg->msg_iov + 1, msg->msg_iovlen - 1))
			continue;
		for (size_t k = 0; k < msg->msg_iovlen; k++)
			*sent_bytes += msg->msg_iov[k].iov_len;
		sent++;
	}
	return sent;
}

int udp_forward_frames(struct end *stream, int fd, const struct udp_path *path,
		       struct udp_counters *counters, size_t *ret_bytes)
{
	_Alignas(struct cmsghdr) uint8_t control[UDP_CONTROL_BYTES];
	struct iovec view[UDP_PEEK_IOV];
	struct udp_send send;
	struct udp_cursor cursor;
	size_t control_bytes = 0;
	uint64_t sent_bytes = 0;
	int sent;

	send.count = 0;
	send.iov_count = 0;
	send.bytes = 0;
	send.payload = 0;
	cursor = (struct udp_cursor){.iov = view,
				     .left = stream->ops->peek(stream, view, UDP_PEEK_IOV)};
	for (int i = 0; i < cursor.left; i++)
		cursor.bytes += view[i].iov_len;
	while (udp_send_add(&send, &cursor, path))
		;
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
	sent = path != NULL && path->program != NULL
		       ? udp_tell_all(&send, path->program, &sent_bytes)
		       : udp_send_all(&send, fd, &sent_bytes);
	if (path != NULL)
		sent_bytes -= (uint64_t)sent * path->head_bytes;
	counters->out_bytes += sent_bytes;
	counters->out_datagrams += (uint64_t)sent;
	counters->dropped_socket += (uint64_t)(send.count - sent);
	stream->ops->consume(stream, send.bytes);
	return send.count;
}

/* ---- socket to stream ---- */

static size_t udp_scatter(const struct iovec *iov, int iov_count, size_t at, const void *data,
			  size_t bytes)
{
	const uint8_t *from = data;
	size_t begin = 0, done = 0;

	for (int i = 0; i < iov_count && done < bytes; i++) {
		if (at < begin + iov[i].iov_len) {
			size_t offset = at - begin, piece = iov[i].iov_len - offset;

			if (piece > bytes - done)
				piece = bytes - done;
			memcpy((uint8_t *)iov[i].iov_base + offset, from + done, piece);
			done += piece;
			at += piece;
		}
		begin += iov[i].iov_len;
	}
	return at;
}

bool udp_put_bytes(struct end *stream, const void *head, size_t head_bytes, const void *data,
		   size_t bytes)
{
	struct iovec iov[UDP_RESERVE_IOV];
	size_t room = 0;
	int count = stream->ops->reserve(stream, head_bytes + bytes, iov, UDP_RESERVE_IOV);

	if (count == 0)
		return false;
	for (int i = 0; i < count; i++)
		room += iov[i].iov_len;
	if (room < head_bytes + bytes) {
		stream->ops->commit(stream, 0);
		return false;
	}
	udp_scatter(iov, count, udp_scatter(iov, count, 0, head, head_bytes), data, bytes);
	stream->ops->commit(stream, head_bytes + bytes);
	return true;
}

void udp_drop_too_large(const struct udp_config *config, size_t bytes)
{
	config->counters->dropped_too_large++;
	if (config->warned == NULL || *config->warned)
		return;
	*config->warned = true;
	log_warn(config->log, config->scope,
		 "a datagram of %zu bytes was dropped: the far side is the original, which takes "
		 "%d at most; what else is dropped is counted",
		 bytes, FRAME_ORIGINAL_MAX);
}

bool udp_put_frame(struct end *stream, const void *data, size_t bytes,
		   const struct udp_config *config)
{
	size_t limit = config->queue_bytes == 0 ? UDP_QUEUE_BYTES : config->queue_bytes;
	size_t waiting = stream->ops->waiting(stream);
	uint8_t header[FRAME_HEADER_BYTES];

	if (config->peer_is_original && bytes > FRAME_ORIGINAL_MAX) {
		udp_drop_too_large(config, bytes);
		return false;
	}
	frame_put_header(header, (uint16_t)bytes);
	/* An empty queue takes any datagram, however small the limit. */
	if ((waiting > 0 && waiting + bytes > limit) ||
	    !udp_put_bytes(stream, header, sizeof(header), data, bytes)) {
		config->counters->dropped_full++;
		return false;
	}
	config->counters->in_datagrams++;
	config->counters->in_bytes += bytes;
	return true;
}

/* ---- sockets ---- */

void udp_tune_socket(int fd)
{
	const int bytes = UDP_SOCKET_BUFFER_BYTES;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int udp_bind(const struct address *addr, int *ret_fd, struct address *ret_bound)
{
	return udp_bind_hooked(addr, NULL, ret_fd, ret_bound);
}

/* A wildcard socket is told which address each datagram was sent to. */
static int udp_ask_local(int fd, const struct address *addr)
{
	const int on = 1;

	if (!address_is_unspecified(addr))
		return 0;
	/* IPv4 datagrams on an IPv6 socket are told as mapped addresses by the same option. */
	return addr->sa.sa_family == AF_INET
		       ? setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on))
		       : setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
}

int udp_bind_hooked(const struct address *addr, const struct socket_hook *hook, int *ret_fd,
		    struct address *ret_bound)
{
	int fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return rstun_error_from_errno(errno);
	rc = socket_hook_ask(hook, fd);
	if (rc == 0 && (udp_ask_local(fd, addr) != 0 || bind(fd, &addr->sa, addr->len) != 0))
		rc = rstun_error_from_errno(errno);
	if (rc == 0)
		rc = address_of_socket(ret_bound, fd);
	if (rc != 0) {
		close(fd);
		return rc;
	}
	udp_tune_socket(fd);
	*ret_fd = fd;
	return 0;
}
