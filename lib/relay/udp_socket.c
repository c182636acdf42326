/* SPDX-License-Identifier: MIT */
/*
 * Datagrams from a socket, in batches, and into a stream. Receiving copies once more than it must
 * (socket, batch, stream): recvmmsg saves more than the copy of a datagram costs. The other way is
 * udp_send.c.
 */
#include "relay/udp_socket.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/socket_hook.h"
#include "relay/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UDP_SOCKET_BUFFER_BYTES (2 * 1024 * 1024)
#define UDP_RESERVE_IOV 16
#define UDP_TOO_LARGE_NS (10 * CLOCK_NS_PER_S) /* a path takes its time to show what it carries */

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

/* Whether it goes as a DATAGRAM frame; says once when those of a flow never do. */
static bool udp_fits_datagram(struct end *stream, size_t bytes, const struct udp_config *config)
{
	size_t most = stream->ops->max_datagram == NULL ? 0 : stream->ops->max_datagram(stream);
	uint64_t now_ns = loop_now(config->loop);

	if (most == 0)
		return false;
	if (bytes <= most) {
		stream->datagrams_fit = true;
		return true;
	}
	if (stream->too_large_since_ns == 0)
		stream->too_large_since_ns = now_ns;
	if (stream->datagrams_fit || now_ns - stream->too_large_since_ns < UDP_TOO_LARGE_NS ||
	    config->warned == NULL || *config->warned)
		return false;
	*config->warned = true;
	log_warn(config->log, config->scope,
		 "the datagrams of a flow (now %zu bytes) are too large for DATAGRAM frames on "
		 "this path (%zu): they go on a stream, where one that is lost holds up those "
		 "behind it",
		 bytes, most);
	return false;
}

bool udp_put_frame(struct end *stream, const void *data, size_t bytes,
		   const struct udp_config *config)
{
	size_t limit = config->queue_bytes == 0 ? UDP_QUEUE_BYTES : config->queue_bytes;
	size_t datagram_limit = config->datagram_queue_bytes == 0 ? UDP_DATAGRAM_QUEUE_BYTES
								   : config->datagram_queue_bytes;
	size_t waiting = stream->ops->waiting(stream);
	uint8_t header[FRAME_HEADER_BYTES];
	bool taken;

	if (config->peer_is_original && bytes > FRAME_ORIGINAL_MAX) {
		udp_drop_too_large(config, bytes);
		return false;
	}
	if (udp_fits_datagram(stream, bytes, config)) {
		taken = waiting + bytes <= datagram_limit &&
			stream->ops->send_datagram(stream, data, bytes, loop_now(config->loop));
	} else {
		frame_put_header(header, (uint16_t)bytes);
		/* An empty queue takes any datagram, however small the limit. */
		taken = (waiting == 0 || waiting + bytes <= limit) &&
			udp_put_bytes(stream, header, sizeof(header), data, bytes);
	}
	if (!taken) {
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
	/* Past the kernel's limit, where we may. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
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
