/* SPDX-License-Identifier: MIT */
/*
 * The rig of the tunnel's tests: one thread with the engine's loop, commands to it through a pipe.
 */
#include "tests/unit/tunnel_rig.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "quic/endpoint.h"
#include "relay/tcp_listener.h"
#include "relay/udp_flow.h"
#include "tls/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define RIG_LIMIT_S 20

static void rig_write_log(void *user, enum log_level level, const char *scope, const char *text)
{
	(void)user;
	if (getenv("RIG_LOG") != NULL)
		fprintf(stderr, "%s %s: %s\n", log_level_name(level), scope, text);
}

/* ---- what the engine reports ---- */

static void rig_on_client_event(void *user, const struct tunnel_event *event)
{
	struct rig *r = user;
	struct rig_mapping *m;

	assert_in_range(event->id, 1, RIG_MAPPINGS);
	pthread_mutex_lock(&r->mutex);
	m = &r->mappings[event->id];
	if (event->type == TUNNEL_EVENT_STATE) {
		if (getenv("RIG_LOG") != NULL)
			fprintf(stderr, "mapping %u: %s, error %d %s, retry %u\n", (unsigned)event->id,
				tunnel_state_name(event->state.now), event->error, event->text,
				(unsigned)event->state.next_retry_ms);
		m->state = event->state.now;
		m->error = event->error;
		snprintf(m->text, sizeof(m->text), "%s", event->text);
		m->next_retry_ms = event->state.next_retry_ms;
		m->changes++;
		m->tunnels += event->state.now == TUNNEL_TUNNELING;
		m->unverified = event->state.unverified;
		m->bound = event->state.bound != NULL ? *event->state.bound : (struct address){0};
		snprintf(m->software, sizeof(m->software), "%s", event->state.peer_software);
	} else if (event->type == TUNNEL_EVENT_FLOW) {
		m->flows++;
		m->flow_error = event->error;
	}
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->mutex);
}

static void rig_on_server_event(void *user, const struct tunnel_event *event)
{
	struct rig *r = user;

	if (event->type != TUNNEL_EVENT_SESSION)
		return;
	pthread_mutex_lock(&r->mutex);
	if (getenv("RIG_LOG") != NULL)
		fprintf(stderr, "session %u: change %d, error %d %s\n", (unsigned)event->id,
			event->session.change, event->error, event->text);
	switch (event->session.change) {
	case TUNNEL_SESSION_LOGIN:
		r->logins++;
		snprintf(r->session_software, sizeof(r->session_software), "%s",
			 event->session.peer_software);
		break;
	case TUNNEL_SESSION_REFUSED:
		r->refused++;
		r->refused_error = event->error;
		break;
	case TUNNEL_SESSION_ENDED:
		r->ended++;
		r->ended_error = event->error;
		break;
	}
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->mutex);
}

static void rig_on_auth(void *user, bool held, uint64_t retry_after_ms)
{
	struct rig *r = user;

	(void)retry_after_ms;
	pthread_mutex_lock(&r->mutex);
	r->auth_held = held;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->mutex);
}

/* ---- the thread ---- */

static void rig_on_wake(evutil_socket_t fd, short what, void *user)
{
	struct rig *r = user;
	char byte;

	(void)what;
	loop_enter(&r->loop);
	if (read(fd, &byte, 1) != 1)
		return;
	if (r->call != NULL)
		r->call(r, r->call_arg);
	pthread_mutex_lock(&r->mutex);
	r->calling = false;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->mutex);
}

static void *rig_run(void *user)
{
	struct rig *r = user;

	loop_run(&r->loop);
	return NULL;
}

static void rig_deadline(struct timespec *ret)
{
	clock_gettime(CLOCK_REALTIME, ret);
	ret->tv_sec += RIG_LIMIT_S;
}

/* Mutex held. */
static void rig_wait_change(struct rig *r, const struct timespec *deadline)
{
	if (pthread_cond_timedwait(&r->changed, &r->mutex, deadline) == ETIMEDOUT) {
		pthread_mutex_unlock(&r->mutex);
		fail_msg("nothing happened in %d s", RIG_LIMIT_S);
	}
}

void rig_call(struct rig *r, void (*call)(struct rig *r, void *arg), void *arg)
{
	struct timespec deadline;

	rig_deadline(&deadline);
	pthread_mutex_lock(&r->mutex);
	r->call = call;
	r->call_arg = arg;
	r->calling = true;
	assert_int_equal(write(r->wake[1], "x", 1), 1);
	while (r->calling)
		rig_wait_change(r, &deadline);
	pthread_mutex_unlock(&r->mutex);
}

static void rig_init_env(struct rig *r, struct tunnel_env *env,
			 void (*on_event)(void *user, const struct tunnel_event *event))
{
	*env = (struct tunnel_env){
		.loop = &r->loop,
		.log = &r->log,
		.pool = &r->pool,
		.worker_count = 1,
		.on_event = on_event,
		.user = r,
	};
	random_bytes(env->secret, sizeof(env->secret));
}

void rig_init(struct rig *r)
{
	char error[TLS_ERROR_SIZE];
	bool made;

	memset(r, 0, sizeof(*r));
	r->log = (struct log){.level = LOG_LEVEL_TRACE, .write = rig_write_log};
	assert_int_equal(tls_global_init(), 0);
	assert_int_equal(loop_init(&r->loop, NULL, &r->log), 0);
	chunk_pool_init(&r->pool, 64);
	rig_init_env(r, &r->server_env, rig_on_server_event);
	rig_init_env(r, &r->client_env, rig_on_client_event);
	assert_int_equal(tls_credentials_new_self_signed(&r->credentials, NULL, &made, error), 0);
	r->server_config = (struct server_config){
		.password = strdup("secret"),
		.quic_timeout_ms = 30000,
		.udp_timeout_ms = 5000,
	};
	r->client_config = (struct client_config){
		.password = strdup("secret"),
		.quic_timeout_ms = 30000,
		.udp_timeout_ms = 5000,
		.wait_before_retry_ms = 300,
		.heartbeat_interval_ms = 5000,
		.heartbeat_timeout_ms = 15000,
		.servers = r->servers,
	};
	pthread_mutex_init(&r->mutex, NULL);
	pthread_cond_init(&r->changed, NULL);
	assert_int_equal(pipe2(r->wake, O_CLOEXEC | O_NONBLOCK), 0);
	event_assign(&r->wake_event, r->loop.base, r->wake[0], EV_READ | EV_PERSIST, rig_on_wake, r);
	event_add(&r->wake_event, NULL);
	assert_int_equal(pthread_create(&r->thread, NULL, rig_run, r), 0);
}

static void rig_end(struct rig *r, void *arg)
{
	(void)arg;
	client_free(r->client);
	server_free(r->server);
	r->quiet = TAILQ_EMPTY(&r->loop.tasks);
	loop_stop(&r->loop);
}

void rig_done(struct rig *r)
{
	rig_call(r, rig_end, NULL);
	pthread_join(r->thread, NULL);
	assert_true(r->quiet); /* the roles took all that was theirs with them */
	event_del(&r->wake_event);
	close(r->wake[0]);
	close(r->wake[1]);
	loop_done(&r->loop);
	assert_int_equal(r->pool.in_use, 0);
	chunk_pool_done(&r->pool);
	tls_credentials_unref(r->credentials);
	tls_credentials_unref(r->roots);
	free(r->server_config.password);
	free(r->client_config.password);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->mutex);
	tls_global_done();
}

/* ---- roles ---- */

void rig_reserve(struct rig *r)
{
	struct address any;
	int fd;

	assert_int_equal(address_parse(&any, "127.0.0.1:0", 11), 0);
	assert_int_equal(quic_endpoint_bind(&any, false, &fd, &r->server_address), 0);
	close(fd);
}

static void rig_make_server(struct rig *r, void *arg)
{
	struct server_params params = {
		.env = &r->server_env,
		.config = &r->server_config,
		.credentials = r->credentials,
	};

	(void)arg;
	assert_int_equal(quic_endpoint_bind(&r->server_address, false, &params.fd, &r->server_address), 0);
	assert_int_equal(server_new(&r->server, &params), 0);
}

void rig_start_server(struct rig *r)
{
	if (r->server_address.len == 0)
		assert_int_equal(address_parse(&r->server_address, "127.0.0.1:0", 11), 0);
	rig_call(r, rig_make_server, NULL);
}

static void rig_drop_server(struct rig *r, void *arg)
{
	(void)arg;
	server_free(r->server);
	r->server = NULL;
}

void rig_stop_server(struct rig *r)
{
	rig_call(r, rig_drop_server, NULL);
}

static void rig_make_client(struct rig *r, void *arg)
{
	struct client_params params = {
		.env = &r->client_env,
		.config = &r->client_config,
		.credentials = r->roots,
		.on_auth = rig_on_auth,
		.user = r,
	};
	char error[256] = "";

	(void)arg;
	if (client_new(&r->client, &params, error, sizeof(error)) != 0)
		fail_msg("client_new: %s", error);
}

void rig_start_client(struct rig *r)
{
	if (r->client_config.server_count == 0) {
		r->servers[0] = (struct target){.kind = TARGET_ADDRESS, .address = r->server_address};
		r->client_config.server_count = 1;
	}
	rig_call(r, rig_make_client, NULL);
}

static void rig_drop_client(struct rig *r, void *arg)
{
	(void)arg;
	client_free(r->client);
	r->client = NULL;
}

void rig_stop_client(struct rig *r)
{
	rig_call(r, rig_drop_client, NULL);
}

struct rig_add_arg {
	uint64_t id;
	struct mapping mapping;
};

static void rig_add_mapping(struct rig *r, void *user)
{
	struct rig_add_arg *arg = user;
	const struct address *listen = &arg->mapping.local.address;
	int fd = -1;

	if (arg->mapping.mode == MAPPING_OUT && arg->mapping.proto == MAPPING_TCP)
		assert_int_equal(tcp_listener_bind(listen, &fd, &r->listen[arg->id]), 0);
	else if (arg->mapping.mode == MAPPING_OUT)
		assert_int_equal(udp_bind(listen, &fd, &r->listen[arg->id]), 0);
	assert_int_equal(client_add_mapping(r->client, arg->id, &arg->mapping, fd), 0);
}

void rig_add(struct rig *r, uint64_t id, enum mapping_proto proto, const char *text)
{
	struct rig_add_arg arg = {.id = id};
	char error[MAPPING_ERROR_SIZE];

	if (mapping_parse(&arg.mapping, proto, text, strlen(text), error) != 0)
		fail_msg("%s", error);
	rig_call(r, rig_add_mapping, &arg);
}

struct rig_mapping rig_wait(struct rig *r, uint64_t id, enum tunnel_state state)
{
	struct rig_mapping copy;
	struct timespec deadline;

	rig_deadline(&deadline);
	pthread_mutex_lock(&r->mutex);
	while (r->mappings[id].state != state || r->mappings[id].changes == 0)
		rig_wait_change(r, &deadline);
	copy = r->mappings[id];
	pthread_mutex_unlock(&r->mutex);
	return copy;
}

void rig_wait_for(struct rig *r, bool (*test)(struct rig *r))
{
	struct timespec deadline;

	rig_deadline(&deadline);
	pthread_mutex_lock(&r->mutex);
	while (!test(r))
		rig_wait_change(r, &deadline);
	pthread_mutex_unlock(&r->mutex);
}

/* ---- applications ---- */

static int app_socket(enum mapping_proto proto, int family)
{
	const struct timeval limit = {.tv_sec = 10};
	int fd = socket(family, (proto == MAPPING_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

int app_listen(enum mapping_proto proto, struct address *ret_bound)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct address any;
	int fd;

	assert_int_equal(address_parse(&any, "127.0.0.1:0", 11), 0);
	fd = app_socket(proto, AF_INET);
	assert_int_equal(bind(fd, &any.sa, any.len), 0);
	if (proto == MAPPING_TCP)
		assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &len), 0);
	assert_int_equal(address_from_sockaddr(ret_bound, (struct sockaddr *)&name, len), 0);
	return fd;
}

int app_accept(int fd)
{
	const struct timeval limit = {.tv_sec = 10};
	int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	if (got < 0)
		fail_msg("no connection: %s", strerror(errno));
	setsockopt(got, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return got;
}

int app_connect(enum mapping_proto proto, const struct address *to)
{
	int fd = app_socket(proto, to->sa.sa_family);

	assert_int_equal(connect(fd, &to->sa, to->len), 0);
	return fd;
}

void app_send(int fd, const void *data, size_t bytes)
{
	const char *p = data;

	do {
		ssize_t n = send(fd, p, bytes, MSG_NOSIGNAL);

		if (n < 0)
			fail_msg("send: %s", strerror(errno));
		p += n;
		bytes -= (size_t)n;
	} while (bytes > 0);
}

void app_expect(int fd, const void *data, size_t bytes)
{
	char *got = malloc(bytes + 1);
	size_t have = 0;

	assert_non_null(got);
	do {
		ssize_t n = recv(fd, got + have, bytes - have, 0);

		if (n < 0)
			fail_msg("recv after %zu of %zu bytes: %s", have, bytes, strerror(errno));
		if (n == 0 && bytes > 0)
			fail_msg("end of file after %zu of %zu bytes", have, bytes);
		have += (size_t)n;
	} while (have < bytes);
	assert_memory_equal(got, data, bytes);
	free(got);
}

void app_expect_end(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	if (n < 0)
		fail_msg("no end of file: %s", strerror(errno));
	assert_int_equal(n, 0);
}

void app_expect_reset(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	if (n >= 0)
		fail_msg("no reset, recv gave %zd", n);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
}

void app_reset(int fd)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}
