/* SPDX-License-Identifier: MIT */
/*
 * Marks and binds sockets (SO_MARK, SO_BINDTODEVICE, bind). A failure is an error of the connection
 * that was to be made, never ignored: traffic that should leave by one interface must not leave by
 * another.
 */
#include "tunnel/egress.h"

#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

void egress_init(struct egress *e, const char *bind_device, const struct address *bind_address,
		 uint64_t fwmark, const struct socket_hook *hook, const struct log *log)
{
	*e = (struct egress){.log = log, .mark = (uint32_t)fwmark, .hook = *hook};
	if (bind_address != NULL && bind_address->len != 0) {
		e->source = *bind_address;
		address_set_port(&e->source, 0);
	} else if (bind_device != NULL && bind_device[0] != '\0') {
		e->device = bind_device;
	}
}

static int egress_failed(struct egress *e, const char *what, int err)
{
	log_at(e->log, e->warned ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "egress", "%s failed: %s%s",
	       what, strerror(err),
	       err == EPERM ? " (this needs the capability CAP_NET_ADMIN)" : "");
	e->warned = true;
	if (err == EADDRNOTAVAIL)
		return RSTUN_E_NOT_FOUND;
	return rstun_error_from_errno(err);
}

int egress_apply_mark(struct egress *e, int fd)
{
	int err = socket_hook_ask(&e->hook, fd);

	if (err != 0 || e->mark == 0)
		return err;
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &e->mark, sizeof(e->mark)) != 0)
		return egress_failed(e, "--fwmark: setting the mark of a socket", errno);
	return 0;
}

int egress_apply(struct egress *e, int fd, const struct address *to)
{
	int err = egress_apply_mark(e, fd);
	int domain = 0, type = 0, on = 1;
	socklen_t len = sizeof(domain), type_len = sizeof(type);

	if (err != 0)
		return err;
	if (to != NULL && address_is_loopback(to))
		return 0;
	if (e->device != NULL) {
		if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, e->device,
			       (socklen_t)strnlen(e->device, IFNAMSIZ - 1) + 1) != 0)
			return egress_failed(e, "--bind: binding a socket to the interface", errno);
		return 0;
	}
	if (e->source.len == 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) != 0)
		return egress_failed(e, "--bind: asking a socket what it is", errno);
	if (domain != e->source.sa.sa_family)
		return RSTUN_E_UNREACHABLE;
	/* TCP's port is picked at connect, where only the pair must be unique. */
	if (type == SOCK_STREAM)
		(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, &e->source.sa, e->source.len) != 0)
		return egress_failed(e, "--bind: binding a socket to the address", errno);
	return 0;
}
