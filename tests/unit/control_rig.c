/* SPDX-License-Identifier: MIT */
/*
 * The rig of the control server's tests. Waiting is turning the loop; a guard ends a test that
 * would wait for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/control_rig.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpc/api_types.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RIG_TURNS 200000 /* in which the server reads what is said to it */
#define RIG_SOON_NS (10 * CLOCK_NS_PER_S) /* a bound for what comes at once */

struct rig *rig;

/* ---- The daemon ------------------------------------------------------------------------------ */

static void rig_on_cancel(struct call *c, void *user)
{
	size_t i = 0;

	(void)user;
	while (rig->waiting[i] != c)
		i++;
	rig->waiting_count--;
	for (; i < rig->waiting_count; i++)
		rig->waiting[i] = rig->waiting[i + 1];
	rig->cancelled++;
}

static struct answer rig_wait(struct call *c, bool can_cancel)
{
	assert_true(rig->waiting_count < RIG_CALLS);
	rig->waiting[rig->waiting_count++] = c;
	return call_later(c, can_cancel ? rig_on_cancel : NULL, rig);
}

static struct answer rig_metrics(struct call *c)
{
	struct rpc_metrics_result result = {.text = malloc(rig->big + 1)};
	struct answer answer;

	memset(result.text, 'x', rig->big);
	result.text[rig->big] = '\0';
	answer = call_reply(c, &result);
	free(result.text);
	return answer;
}

static struct answer rig_on_call(void *user, struct call *c, enum rpc_method method,
				 const void *params)
{
	struct rpc_done_result done = {.done = true};
	char t[] = "t";
	struct rpc_ping_result ping = {.timestamp = t, .uptime_ms = 5};
	struct rpc_error error;

	(void)user;
	rig->calls[method]++;
	assert_int_equal(call_method(c), method);
	if (rig->handler != NULL && method != RPC_CANCEL)
		return rig->handler(c, method, params);
	switch (method) {
	case RPC_CANCEL:
		return control_server_cancel(rig->cs, c, params);
	case RPC_EVENTS_SUBSCRIBE:
		return control_server_subscribe(rig->cs, c, params);
	case RPC_EVENTS_UNSUBSCRIBE:
		return control_server_unsubscribe(rig->cs, c, params);
	case RPC_EVENTS_NEXT:
		return control_server_next(rig->cs, c, params);
	case RPC_DAEMON_PING:
		return call_reply(c, &ping);
	case RPC_SESSION_KICK:
		assert_true(call_caller(c)->may_change);
		return call_reply(c, &done);
	case RPC_MAPPING_WAIT:
		return rig_wait(c, true);
	case RPC_CERT_LIST:
		return rig_wait(c, false);
	case RPC_METRICS_GET:
		return rig_metrics(c);
	case RPC_DISCOVER:
		return call_reply_json(c, json_pack("{s:s}", "openrpc", "1"));
	default:
		rpc_error_from(&error, RSTUN_E_NOT_FOUND, "not here");
		return call_fail(c, &error, json_pack("{s:i}", "extra", 7));
	}
}

static void rig_on_gone(void *user, uint64_t caller)
{
	(void)user;
	if (rig->gone_count < RIG_CALLS)
		rig->gone[rig->gone_count] = caller;
	rig->gone_count++;
}

static int rig_snapshot(void *user, struct rpc_snapshot *ret)
{
	(void)user;
	(void)ret;
	rig->snapshots++;
	return 0;
}

/* m1, m2, ... or one, two. */
static bool rig_find(void *user, const char *text, uint64_t *ret)
{
	(void)user;
	if (strcmp(text, "one") == 0)
		*ret = 1;
	else if (strcmp(text, "two") == 0)
		*ret = 2;
	else if (text[0] == 'm' && text[1] != '\0')
		*ret = strtoull(text + 1, NULL, 10);
	else
		return false;
	return true;
}

static void rig_on_wanted(void *user, uint64_t interval_ms, bool flows)
{
	(void)user;
	rig->wanted_ms = interval_ms;
	rig->wanted_flows = flows;
	rig->wanted_count++;
}

static void rig_visit(void *user, void (*visit)(void *arg, const struct control_stat *stat),
		      void *arg)
{
	(void)user;
	for (size_t i = 1; i <= rig->mappings; i++) {
		struct control_stat stat = {
			.mapping = i, .mode = MAPPING_OUT, .stat = {.rx_bytes = i}};

		visit(arg, &stat);
	}
}

static void rig_write_log(void *user, enum log_level level, const char *scope, const char *text)
{
	(void)user;
	(void)level;
	(void)scope;
	(void)text;
}

static int rig_peer(struct unix_socket_peer *ret, int fd)
{
	int rv = unix_socket_peer(ret, fd);

	if (rv == 0 && rig->uid != (uid_t)-1) {
		free(ret->groups);
		*ret = (struct unix_socket_peer){.uid = rig->uid, .gid = rig->uid, .pid = 1};
	}
	return rv;
}

static void rig_listen(const char *path, bool read_only)
{
	static const struct unix_socket_params params = {.mode = 0660, .group = (gid_t)-1};
	char error[UNIX_SOCKET_ERROR_SIZE];
	struct unix_socket s;

	if (unix_socket_listen(&s, path, &params, error) != 0)
		fail_msg("%s", error);
	assert_int_equal(control_server_listen(rig->cs, &s, read_only), 0);
	assert_int_equal(s.fd, -1);
}

int rig_setup(void **state)
{
	struct control_server_params params = {
		.epoch = "e1",
		.uid = 1000,
		.admin_group = 2000,
		.on_call = rig_on_call,
		.on_gone = rig_on_gone,
		.snapshot = rig_snapshot,
		.find_mapping = rig_find,
		.on_wanted = rig_on_wanted,
		.visit_stats = rig_visit,
	};

	(void)state;
	rig = calloc(1, sizeof(*rig));
	rig->uid = 0;
	rig->log = (struct log){.level = LOG_LEVEL_TRACE, .write = rig_write_log};
	params.log = &rig->log;
	params.loop = &rig->loop;
	params.bus = &rig->bus;
	event_bus_init(&rig->bus);
	snprintf(rig->folder, sizeof(rig->folder), "/tmp/rstund-test-XXXXXX");
	if (mkdtemp(rig->folder) == NULL || loop_init(&rig->loop, NULL, &rig->log) != 0 ||
	    control_server_new(&rig->cs, &params) != 0)
		return -1;
	rig->cs->peer = rig_peer;
	snprintf(rig->path, sizeof(rig->path), "%s/rstund.sock", rig->folder);
	snprintf(rig->path_ro, sizeof(rig->path_ro), "%s/rstund-ro.sock", rig->folder);
	rig_listen(rig->path, false);
	rig_listen(rig->path_ro, true);
	return 0;
}

int rig_teardown(void **state)
{
	(void)state;
	control_server_free(rig->cs);
	event_bus_done(&rig->bus);
	loop_done(&rig->loop);
	if (rmdir(rig->folder) != 0) /* sockets and locks are gone */
		return -1;
	free(rig);
	return 0;
}

/* ---- Callers --------------------------------------------------------------------------------- */

static void rig_turn(void)
{
	/* Without ONCE it would go on until nothing is active: not one turn. */
	rig->turning = true;
	event_base_loop(rig->loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	rig->turning = false;
}

static void rig_on_late(void *user)
{
	(void)user;
	fail_msg("nothing was said");
}

/* Until something happens on the server's side. */
static void rig_turn_once(void)
{
	struct loop_timer guard;

	loop_timer_init(&guard, &rig->loop, rig_on_late, NULL);
	loop_timer_arm(&guard, clock_after(clock_now_ns(), RIG_SOON_NS));
	rig->turning = true;
	event_base_loop(rig->loop.base, EVLOOP_ONCE);
	rig->turning = false;
	loop_timer_cancel(&guard);
}

void rig_settle(void)
{
	/* Whatever is under way takes a few turns at a time; a handful without any is the end. */
	for (int i = 0; i < 200; i++)
		rig_turn();
}

void rig_connect(struct caller *c, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	*c = (struct caller){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	line_reader_init(&c->reader, 64 << 20);
	rig_settle();
}

void rig_close(struct caller *c)
{
	close(c->fd);
	line_reader_done(&c->reader);
	rig_settle();
}

void rig_say(struct caller *c, const char *text)
{
	size_t left = strlen(text);

	for (int i = 0; left > 0; i++) {
		ssize_t n = send(c->fd, text, left, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			assert_true(i < RIG_TURNS);
			rig_turn();
			continue;
		}
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return; /* cut off: the test reads that */
		assert_true(n > 0);
		text += n;
		left -= (size_t)n;
	}
}

/* 0, or RSTUN_E_AGAIN: nothing now, RSTUN_E_CLOSED: it ended. */
static int rig_read(struct caller *c, char **line, size_t *bytes)
{
	for (;;) {
		int rv = line_reader_next(&c->reader, line, bytes);
		size_t room;
		char *buf;
		ssize_t n;

		if (rv != RSTUN_E_AGAIN)
			return rv;
		if (c->ended)
			return RSTUN_E_CLOSED;
		buf = line_reader_room(&c->reader, &room);
		n = recv(c->fd, buf, room, MSG_DONTWAIT);
		if (n > 0) {
			line_reader_filled(&c->reader, (size_t)n);
		} else if (n == 0 || errno != EAGAIN) {
			c->ended = true;
			line_reader_end(&c->reader);
		} else {
			return RSTUN_E_AGAIN;
		}
	}
}

json_t *rig_hear(struct caller *c)
{
	for (;;) {
		char *line;
		size_t bytes;
		int rv = rig_read(c, &line, &bytes);
		json_t *json;

		if (rv == RSTUN_E_CLOSED)
			return NULL;
		if (rv == 0) {
			json = json_loadb(line, bytes, JSON_DECODE_ANY, NULL);
			assert_non_null(json);
			return json;
		}
		rig_turn_once();
	}
}

void rig_expect(struct caller *c, const char *text)
{
	json_t *is = rig_hear(c), *ought = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(ought);
	if (!json_equal(is, ought)) {
		char *dump = json_dumps(is, JSON_COMPACT | JSON_ENCODE_ANY);

		fail_msg("said: %s\nnot: %s", dump != NULL ? dump : "(end)", text);
	}
	json_decref(is);
	json_decref(ought);
}

void rig_expect_error(struct caller *c, int code, const char *kind)
{
	json_t *is = rig_hear(c), *error = json_object_get(is, "error");

	if (json_integer_value(json_object_get(error, "code")) != code) {
		char *dump = json_dumps(is, JSON_COMPACT | JSON_ENCODE_ANY);

		fail_msg("said: %s\nnot the error %d", dump != NULL ? dump : "(end)", code);
	}
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(error, "data"), "kind")), kind);
	json_decref(is);
}

void rig_expect_end(struct caller *c)
{
	json_t *is = rig_hear(c);

	if (is != NULL)
		fail_msg("said: %s", json_dumps(is, JSON_COMPACT | JSON_ENCODE_ANY));
}

void rig_expect_silence(struct caller *c)
{
	char *line;
	size_t bytes;

	rig_settle();
	assert_int_equal(rig_read(c, &line, &bytes), RSTUN_E_AGAIN);
}

void rig_answer(void)
{
	struct rpc_mapping_wait_result waited = {.waited_ms = 3};
	struct rpc_cert_list certs = {.certs = {.count = 0}};
	struct call *c = rig->waiting[0];

	assert_true(rig->waiting_count > 0);
	rig->waiting_count--;
	memmove(rig->waiting, rig->waiting + 1, rig->waiting_count * sizeof(rig->waiting[0]));
	assert_true(call_user(c) == rig);
	if (call_method(c) == RPC_MAPPING_WAIT)
		call_end(call_reply(c, &waited));
	else
		call_end(call_reply(c, &certs));
}

/* ---- Events ---------------------------------------------------------------------------------- */

void rig_log(enum log_level level, const char *text)
{
	event_bus_publish(&rig->bus, bus_event_new_log(level, "test", text, 0));
}

static void rig_publish(enum bus_event_type type, const struct tunnel_event *t, unsigned mapping)
{
	struct bus_event *e = bus_event_new(type, t, 0, 0);

	if (e != NULL && mapping != 0)
		snprintf(e->id, sizeof(e->id), "m%u", mapping);
	event_bus_publish(&rig->bus, e);
}

void rig_state(unsigned mapping, enum tunnel_state now)
{
	const struct tunnel_event t = {
		.id = mapping,
		.text = "",
		.state = {.now = now, .peer_software = ""},
	};

	rig_publish(BUS_EVENT_STATE, &t, mapping);
}

void rig_total(uint64_t rx_bytes)
{
	const struct tunnel_event t = {.text = "", .stat = {.rx_bytes = rx_bytes}};

	rig_publish(BUS_EVENT_STAT, &t, 0);
}

void rig_flow(unsigned mapping)
{
	const struct tunnel_event t = {.id = mapping, .text = "", .flow = {.target = "1.2.3.4:5"}};

	rig_publish(BUS_EVENT_FLOW, &t, mapping);
}
