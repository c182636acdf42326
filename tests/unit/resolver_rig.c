/* SPDX-License-Identifier: MIT */
/*
 * The rig for tests of names. See resolver_rig.h.
 */
#include "tests/unit/resolver_rig.h"

#include "base/address.h"
#include "tests/unit/dns_zone.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void on_log(void *user, enum log_level level, const char *scope, const char *text)
{
	struct resolver_rig *rig = user;
	size_t used = strlen(rig->said);

	(void)level;
	snprintf(rig->said + used, sizeof(rig->said) - used, "%s: %s\n", scope, text);
}

static void on_udp(evutil_socket_t fd, short what, void *user)
{
	struct resolver_rig *rig = user;
	uint8_t query[1500], reply[DNS_ZONE_REPLY_MAX];
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	ssize_t n = recvfrom(fd, query, sizeof(query), 0, (struct sockaddr *)&from, &size);
	size_t used = strlen(rig->asked), bytes;
	char name[256];

	(void)what;
	if (n < 0)
		return;
	bytes = dns_zone_reply(reply, query, (size_t)n, name);
	snprintf(rig->asked + used, sizeof(rig->asked) - used, "%s ", name);
	if (bytes > 0 && !rig->udp_mute)
		sendto(fd, reply, bytes, 0, (struct sockaddr *)&from, size);
}

void resolver_rig_init(struct resolver_rig *rig)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);

	memset(rig, 0, sizeof(*rig));
	rig->log = (struct log){.level = LOG_LEVEL_TRACE, .write = on_log, .user = rig};
	assert_int_equal(loop_init(&rig->loop, NULL, &rig->log), 0);
	rig->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(rig->udp_fd >= 0);
	assert_int_equal(bind(rig->udp_fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(rig->udp_fd, (struct sockaddr *)&in, &size), 0);
	snprintf(rig->udp_text, sizeof(rig->udp_text), "127.0.0.1:%u", ntohs(in.sin_port));
	event_assign(&rig->udp_event, rig->loop.base, rig->udp_fd, EV_READ | EV_PERSIST, on_udp,
		     rig);
	event_add(&rig->udp_event, NULL);
}

void resolver_rig_done(struct resolver_rig *rig)
{
	resolver_free(rig->resolver);
	event_del(&rig->udp_event);
	close(rig->udp_fd);
	loop_done(&rig->loop);
}

void resolver_rig_make(struct resolver_rig *rig, struct resolver_config config)
{
	char error[512];

	resolver_free(rig->resolver);
	rig->resolver = NULL;
	config.loop = &rig->loop;
	config.log = &rig->log;
	if (resolver_new(&rig->resolver, &config, error, sizeof(error)))
		fail_msg("%s", error);
	rig->asked[0] = rig->said[0] = '\0';
}

void resolver_rig_on_done(void *user, const struct resolver_result *result)
{
	struct resolver_rig *rig = user;

	rig->done = true;
	rig->calls++;
	rig->result = *result;
}

static const char *describe(const struct resolver_result *result, char *buf, size_t size)
{
	size_t used = 0;

	if (result->error) {
		assert_true(result->why[0] != '\0');
		snprintf(buf, size, "error %d: %s", result->error, result->why);
		return buf;
	}
	buf[0] = '\0';
	for (size_t i = 0; i < result->count; i++) {
		char text[ADDRESS_TEXT_SIZE];

		used += (size_t)snprintf(buf + used, size - used, "%s%s", i ? " " : "",
					 address_format(text, sizeof(text), &result->addresses[i]));
	}
	return buf;
}

const char *resolver_rig_ask(struct resolver_rig *rig, const char *name, char *buf, size_t size)
{
	rig->done = false;
	rig->asked[0] = '\0';
	assert_int_equal(resolver_lookup(rig->resolver, name, 1, resolver_rig_on_done, rig, NULL),
			 0);
	assert_false(rig->done);
	while (!rig->done)
		event_base_loop(rig->loop.base, EVLOOP_ONCE);
	return describe(&rig->result, buf, size);
}

void resolver_rig_turn(struct resolver_rig *rig)
{
	event_base_loop(rig->loop.base, EVLOOP_NONBLOCK);
}

uint16_t resolver_rig_port(int *ret_fd)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
	if (ret_fd) {
		assert_int_equal(listen(fd, 16), 0);
		*ret_fd = fd;
	} else {
		close(fd);
	}
	return ntohs(in.sin_port);
}
