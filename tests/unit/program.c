/* SPDX-License-Identifier: MIT */
/*
 * A program of librstun for tests. Not in libtestrig: only its tests have the library.
 */
#include "tests/unit/program.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_S 20

struct rig program_rig;
struct event_base *program_base;
void (*program_on_flow)(struct rstun_client *client, void *user, const struct rstun_flow *flow);

/* ---- callbacks ---- */

void program_free(struct program *p, enum program_freeing what)
{
	p->freed = true;
	if (what == PROGRAM_FREE_CHANNEL)
		rstun_channel_free(p->channel);
	if (what == PROGRAM_FREE_CLIENT) {
		rstun_client_free(p->client);
		rstun_server_free(p->server);
	}
	if (what == PROGRAM_FREE_CONTEXT)
		rstun_context_free(p->context);
	p->channel = NULL;
	if (what >= PROGRAM_FREE_CLIENT) {
		p->client = NULL;
		p->server = NULL;
	}
	if (what == PROGRAM_FREE_CONTEXT)
		p->context = NULL;
}

static void program_called(struct program *p, enum program_call call)
{
	assert_false(p->freed); /* nothing comes after that */
	p->calls[call]++;
	if (p->freeing != PROGRAM_FREE_NOTHING && p->in == call)
		program_free(p, p->freeing);
}

static void on_open(struct rstun_channel *channel, void *user)
{
	(void)channel;
	program_called(user, PROGRAM_OPEN);
}

static void on_readable(struct rstun_channel *channel, void *user)
{
	(void)channel;
	program_called(user, PROGRAM_READABLE);
}

static void on_writable(struct rstun_channel *channel, void *user)
{
	(void)channel;
	program_called(user, PROGRAM_WRITABLE);
}

static void on_end(struct rstun_channel *channel, void *user)
{
	(void)channel;
	program_called(user, PROGRAM_END);
}

static void on_closed(struct rstun_channel *channel, void *user)
{
	(void)channel;
	program_called(user, PROGRAM_CLOSED);
}

static void on_error(struct rstun_channel *channel, void *user, int error, const char *text)
{
	struct program *p = user;

	(void)channel;
	p->error = error;
	program_called(p, PROGRAM_ERROR);
	snprintf(p->text, sizeof(p->text), "%s", text); /* still good, whatever was freed */
}

const struct rstun_channel_ops program_ops = {
	.size = sizeof(struct rstun_channel_ops),
	.on_open = on_open,
	.on_readable = on_readable,
	.on_writable = on_writable,
	.on_end = on_end,
	.on_closed = on_closed,
	.on_error = on_error,
};

static void on_state(struct rstun_client *client, void *user,
		     const struct rstun_state_change *change)
{
	struct program *p = user;

	(void)client;
	p->changes[change->now]++;
	p->last = *change;
	snprintf(p->bound, sizeof(p->bound), "%s", change->bound);
}

static void on_stopped(struct rstun_client *client, void *user)
{
	struct program *p = user;

	assert_ptr_equal(client, p->client);
	p->stopped++;
}

/* ---- of the far side's streams ---- */

static void take(struct program *p, const struct rstun_channel_request *request)
{
	struct rstun_channel *again = NULL;
	char byte;

	assert_int_equal(rstun_channel_take(&p->channel, request, &program_ops, p), 0);
	assert_int_equal(rstun_channel_take(&again, request, &program_ops, p), RSTUN_E_CLOSED);
	assert_int_equal(rstun_channel_refuse(request, RSTUN_E_TIMEOUT), RSTUN_E_CLOSED);
	assert_null(again);
	/* It is open, though nothing of that has been told. */
	assert_true(rstun_channel_room(p->channel) > 0);
	assert_true(rstun_channel_read(p->channel, &byte, 0) <= 0);
}

void program_on_channel(const struct rstun_channel_request *request, void *user)
{
	struct program *p = user;

	snprintf(p->asked_target, sizeof(p->asked_target), "%s",
		 request->target != NULL ? request->target : "-");
	snprintf(p->asked_peer, sizeof(p->asked_peer), "%s", request->peer);
	p->asked_id = request->id;
	if (p->answer == PROGRAM_TAKES)
		take(p, request);
	else if (p->answer == PROGRAM_REFUSES)
		assert_int_equal(rstun_channel_refuse(request, p->refusal), 0);
	program_called(p, PROGRAM_ASKED);
}

static void on_session(struct rstun_server *server, void *user,
		       const struct rstun_session_change *change)
{
	struct program *p = user;

	assert_ptr_equal(server, p->server);
	p->sessions[change->now]++;
	p->session = *change;
	snprintf(p->session_mapping, sizeof(p->session_mapping), "%s", change->mapping);
	snprintf(p->session_software, sizeof(p->session_software), "%s", change->peer_software);
	snprintf(p->bound, sizeof(p->bound), "%s", change->bound);
}

static void on_server_stopped(struct rstun_server *server, void *user)
{
	struct program *p = user;

	assert_ptr_equal(server, p->server);
	p->stopped++;
}

static void on_log(void *user, enum rstun_log_level level, const char *scope, const char *text)
{
	struct program *p = user;

	(void)level;
	assert_null(strstr(text, "secret"));
	assert_non_null(scope);
	p->lines++;
}

static int on_socket(void *user, int fd)
{
	struct program *p = user;

	assert_true(fcntl(fd, F_GETFD) >= 0);
	p->sockets++;
	return p->refuse_sockets;
}

/* ---- running ---- */

static void on_limit(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	*(bool *)user = true;
}

/* Runs the loop until `test` is true. */
void program_run_until(bool (*test)(struct program *p), struct program *p)
{
	const struct timeval limit = {.tv_sec = LIMIT_S};
	struct event *timer;
	bool late = false;

	timer = event_new(program_base, -1, 0, on_limit, &late);
	event_add(timer, &limit);
	while (!test(p) && !late)
		event_base_loop(program_base, EVLOOP_ONCE);
	event_free(timer);
	if (late)
		fail_msg("nothing happened in %d s; error %d %s", LIMIT_S, p->error, p->text);
}

bool program_is_open(struct program *p)
{
	return p->calls[PROGRAM_OPEN] > 0;
}

bool program_is_readable(struct program *p)
{
	return p->calls[PROGRAM_READABLE] > 0;
}

bool program_is_ended(struct program *p)
{
	return p->calls[PROGRAM_END] > 0;
}

bool program_is_closed(struct program *p)
{
	return p->calls[PROGRAM_CLOSED] > 0;
}

bool program_has_failed(struct program *p)
{
	return p->calls[PROGRAM_ERROR] > 0;
}

bool program_is_up(struct program *p)
{
	return p->changes[RSTUN_STATE_TUNNELING] > 0;
}

bool program_is_stopped(struct program *p)
{
	return p->stopped > 0;
}

bool program_was_asked(struct program *p)
{
	return p->calls[PROGRAM_ASKED] > 0;
}

/* ---- the far side: blocking sockets, while the loop runs ---- */

static void on_fd(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	*(bool *)user = true;
}

void program_far_wait(int fd)
{
	const struct timeval limit = {.tv_sec = LIMIT_S};
	struct event *event;
	bool done = false;

	event = event_new(program_base, fd, EV_READ, on_fd, &done);
	event_add(event, &limit);
	while (!done)
		event_base_loop(program_base, EVLOOP_ONCE);
	event_free(event);
}

int program_far_accept(void)
{
	program_far_wait(pair_upstream[0]);
	return app_accept(pair_upstream[0]);
}

void program_far_expect(int fd, const char *text)
{
	program_far_wait(fd);
	app_expect(fd, text, strlen(text));
}

void program_far_expect_end(int fd)
{
	program_far_wait(fd);
	app_expect_end(fd);
	close(fd);
}

void program_far_expect_reset(int fd)
{
	program_far_wait(fd);
	app_expect_reset(fd);
	close(fd);
}

/* ---- beginning and end ---- */

const char *program_server(char buf[ADDRESS_TEXT_SIZE])
{
	return address_format(buf, ADDRESS_TEXT_SIZE, &program_rig.server_address);
}

static void program_start_context(struct program *p)
{
	memset(p, 0, sizeof(*p));
	assert_int_equal(rstun_context_new(&p->context, program_base), 0);
	rstun_context_set_log(p->context, RSTUN_LOG_TRACE, on_log, p);
	rstun_context_set_socket_hook(p->context, on_socket, p);
}

void program_serve(struct program *p, bool asked, const struct rstun_option more[2])
{
	const struct rstun_server_ops ops = {
		.size = sizeof(ops),
		.on_session = on_session,
		.on_channel = asked ? program_on_channel : NULL,
		.on_stopped = on_server_stopped,
	};
	struct rstun_option options[4] = {{"addr", "0"}, {"password", "secret"}};
	char error[256] = "";
	size_t count = 2;

	for (size_t i = 0; more != NULL && i < 2; i++)
		if (more[i].name != NULL)
			options[count++] = more[i];
	program_start_context(p);
	if (rstun_server_new(&p->server, p->context, options, count, &ops, p, error, sizeof(error)))
		fail_msg("%s", error);
	assert_int_equal(address_parse(&program_rig.server_address, rstun_server_address(p->server),
				       strlen(rstun_server_address(p->server))),
			 0);
}

void program_start(struct program *p, const char *password)
{
	const struct rstun_client_ops ops = {
		.size = sizeof(ops),
		.on_state = on_state,
		.on_stopped = on_stopped,
		.on_flow = program_on_flow,
	};
	char server[ADDRESS_TEXT_SIZE], error[256] = "";
	const struct rstun_option options[] = {
		{"server-addr", program_server(server)},
		{"password", password},
		{"cipher", "aes-128-gcm"},
	};

	program_start_context(p);
	if (rstun_client_new(&p->client, p->context, options, 3, &ops, p, error, sizeof(error)))
		fail_msg("%s", error);
}

void program_open(struct program *p, const char *target)
{
	assert_int_equal(rstun_channel_open(&p->channel, p->client, target, &program_ops, p), 0);
	for (int i = 0; i < PROGRAM_CALLS; i++) /* nothing comes from inside */
		assert_int_equal(p->calls[i], 0);
}

void program_leave(struct program *p)
{
	rstun_context_free(p->context);
	p->context = NULL;
}

void program_end(struct program *p)
{
	program_leave(p);
	/* Nothing of it is left in the program's program_base. */
	assert_int_equal(event_base_get_num_events(program_base, EVENT_BASE_COUNT_ADDED), 0);
}

int program_setup_alone(void **state)
{
	(void)state;
	program_base = event_base_new();
	assert_non_null(program_base);
	memset(&program_rig, 0, sizeof(program_rig));
	rig_init(&program_rig);
	program_rig.server_config.tcp_upstream = (struct target){.kind = TARGET_ADDRESS};
	pair_upstream[0] = app_listen(MAPPING_TCP, &program_rig.server_config.tcp_upstream.address);
	program_rig.server_config.udp_upstream = (struct target){.kind = TARGET_ADDRESS};
	pair_upstream[1] = app_listen(MAPPING_UDP, &program_rig.server_config.udp_upstream.address);
	return 0;
}

int program_setup(void **state)
{
	program_setup_alone(state);
	rig_start_server(&program_rig);
	return 0;
}

int program_teardown(void **state)
{
	(void)state;
	rig_done(&program_rig);
	close(pair_upstream[0]);
	close(pair_upstream[1]);
	event_base_free(program_base);
	return 0;
}

/* An address of this machine where program_nobody listens. */
const char *program_nobody(char buf[ADDRESS_TEXT_SIZE])
{
	struct address address;

	close(app_listen(MAPPING_TCP, &address));
	return address_format(buf, ADDRESS_TEXT_SIZE, &address);
}

/* ---- upstreams in threads ---- */

static void *program_upstream_run(void *user)
{
	struct program_upstream *u = user;
	int fd = app_accept(pair_upstream[0]);
	static uint8_t zeros[65536];
	uint8_t buf[65536];
	ssize_t n;

	while (u->takes && (n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		u->received += (size_t)n;
		if (u->echo && send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	}
	while (!u->takes && u->sent < u->bytes &&
	       (n = send(fd, zeros, sizeof(zeros), MSG_NOSIGNAL)) > 0)
		u->sent += (size_t)n;
	close(fd);
	return NULL;
}

void program_upstream_start(struct program_upstream *u)
{
	assert_int_equal(pthread_create(&u->thread, NULL, program_upstream_run, u), 0);
}
