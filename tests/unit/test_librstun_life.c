/* SPDX-License-Identifier: MIT */
/*
 * Beginnings and ends of what librstun makes (program.h): several contexts, threads, stopping, and
 * everything freed in each callback.
 */
#include "tests/unit/program.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- several contexts ---- */

static void test_two_contexts(void **state)
{
	struct program a, b;
	char buf[8];
	int far;

	(void)state;
	program_start(&a, "secret");
	program_start(&b, "wrong password");
	program_open(&a, NULL);
	program_open(&b, NULL);
	program_run_until(program_is_open, &a);
	program_run_until(program_has_failed, &b);
	assert_int_equal(b.error, RSTUN_E_AUTH_FAILED);
	rstun_context_free(b.context);
	assert_int_equal(rstun_channel_write(a.channel, "ping", 4), 4);
	far = program_far_accept();
	app_send(far, "pong", 4);
	program_run_until(program_is_readable, &a);
	assert_int_equal(rstun_channel_read(a.channel, buf, sizeof(buf)), 4);
	program_far_expect(far, "ping");
	program_end(&a);
	program_far_expect_reset(far);
}

/* Each thread has its own base; all of the library is used at once, its beginning and end too. */
static void *thread_run(void *user)
{
	struct program *p = user;
	struct event_base *own = event_base_new();
	char server[ADDRESS_TEXT_SIZE];
	const struct rstun_option options[] = {
		{"server-addr", program_server(server)},
		{"password", "wrong password"},
	};

	p->error = rstun_context_new(&p->context, own);
	if (p->error == 0)
		p->error = rstun_client_new(&p->client, p->context, options, 2, NULL, NULL, NULL,
					    0);
	if (p->error == 0)
		p->error = rstun_channel_open(&p->channel, p->client, NULL, &program_ops, p);
	while (p->error == 0 && p->calls[PROGRAM_ERROR] == 0)
		event_base_loop(own, EVLOOP_ONCE);
	rstun_context_free(p->context);
	event_base_free(own);
	return NULL;
}

static void test_threads(void **state)
{
	struct program p[4];
	pthread_t threads[4];

	(void)state;
	memset(p, 0, sizeof(p));
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread_run, &p[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(p[i].calls[PROGRAM_ERROR], 1);
	}
}

static void call_set_log(struct program *p)
{
	rstun_context_set_log(p->context, RSTUN_LOG_ERROR, NULL, NULL);
}

static void call_stats(struct program *p)
{
	struct rstun_stats stats = {.size = sizeof(stats)};

	rstun_client_stats(p->client, 0, &stats);
}

static void call_visit_flows(struct program *p)
{
	rstun_client_visit_flows(p->client, 0, NULL, NULL);
}

static void call_kill_flow(struct program *p)
{
	rstun_client_kill_flow(p->client, 1, 0);
}

static void call_restart_mapping(struct program *p)
{
	rstun_client_restart_mapping(p->client, 1);
}

static void call_error(struct program *p)
{
	rstun_channel_error(p->channel, NULL);
}

static void call_bufferevent(struct program *p)
{
	struct bufferevent *bev;

	rstun_channel_bufferevent(&bev, p->channel);
}

static void (*const calls[])(struct program *p) = {
	call_set_log,	      call_stats, call_visit_flows, call_kill_flow,
	call_restart_mapping, call_error, call_bufferevent,
};

struct elsewhere {
	struct program p;
	void (*call)(struct program *p);
};

static void *call_from_elsewhere(void *user)
{
	struct elsewhere *e = user;

	e->call(&e->p);
	return NULL;
}

static void die_by_wrong_thread(void (*call)(struct program *p))
{
	const struct rstun_option options[] = {{"server-addr", "1"}, {"password", "secret"}};
	const struct rlimit none = {.rlim_cur = 0};
	struct elsewhere e = {.call = call};
	pthread_t thread;

	setrlimit(RLIMIT_CORE, &none);
	if (freopen("/dev/null", "w", stderr) != NULL &&
	    rstun_context_new(&e.p.context, event_base_new()) == 0 &&
	    rstun_client_new(&e.p.client, e.p.context, options, 2, NULL, NULL, NULL, 0) == 0 &&
	    rstun_channel_open(&e.p.channel, e.p.client, NULL, NULL, NULL) == 0 &&
	    pthread_create(&thread, NULL, call_from_elsewhere, &e) == 0)
		pthread_join(thread, NULL);
	_exit(0);
}

/* Ends the program: this is a build without NDEBUG. Without a server, because a child of a process
 * with threads could not make one of its own under the thread sanitizer. */
static void test_wrong_thread(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int status;
		pid_t child = fork();

		if (child == 0)
			die_by_wrong_thread(calls[i]);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
	}
}

/* ---- the end ---- */

/* A stop lets a channel end, then ends what is left; afterwards nothing can be begun. */
static void test_stop(void **state)
{
	struct program p;
	struct rstun_channel *late = NULL;
	uint64_t id = 0;
	int far;

	(void)state;
	program_start(&p, "secret");
	program_open(&p, NULL);
	program_run_until(program_is_open, &p);
	far = program_far_accept();
	assert_int_equal(rstun_client_stop(p.client, 60000), 0);
	assert_int_equal(rstun_channel_open(&late, p.client, NULL, &program_ops, &p),
			 RSTUN_E_SHUTTING_DOWN);
	assert_int_equal(rstun_client_add_mapping(p.client, "OUT^0^ANY", RSTUN_TCP, &id, NULL, 0),
			 RSTUN_E_SHUTTING_DOWN);
	assert_int_equal(rstun_channel_write(p.channel, "bye", 3), 3);
	rstun_channel_finish(p.channel);
	program_far_expect(far, "bye");
	program_far_expect_end(far);
	program_run_until(program_is_stopped, &p);
	assert_int_equal(p.calls[PROGRAM_CLOSED], 1);
	assert_int_equal(p.calls[PROGRAM_ERROR], 0);
	assert_int_equal(p.changes[RSTUN_STATE_STOPPED], 1);
	assert_int_equal(rstun_client_stop(p.client, 0), 0);
	assert_int_equal(p.stopped, 1);
	assert_null(late);
	program_end(&p);
}

/* With nothing that has to end. */
static void test_stop_idle(void **state)
{
	struct program p;

	(void)state;
	program_start(&p, "secret");
	assert_int_equal(rstun_client_stop(p.client, 60000), 0);
	assert_int_equal(p.stopped, 0); /* not from inside */
	program_run_until(program_is_stopped, &p);
	program_end(&p);
}

static void test_stop_at_once(void **state)
{
	struct program p;

	(void)state;
	program_start(&p, "secret");
	program_open(&p, NULL);
	program_run_until(program_is_open, &p);
	assert_int_equal(rstun_client_stop(p.client, 0), 0);
	program_run_until(program_has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_SHUTTING_DOWN);
	assert_int_equal(rstun_channel_write(p.channel, "x", 1), RSTUN_E_SHUTTING_DOWN);
	program_run_until(program_is_stopped, &p);
	program_end(&p);
}

static void test_lost_tunnel(void **state)
{
	struct program p;

	(void)state;
	program_start(&p, "secret");
	program_open(&p, NULL);
	program_run_until(program_is_open, &p);
	rig_stop_server(&program_rig);
	program_run_until(program_has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_RESET);
	assert_string_equal(p.text, "the tunnel was lost");
	program_end(&p);
	rig_start_server(&program_rig);
}

static void test_abort(void **state)
{
	struct program p;
	char byte;
	int far;

	(void)state;
	program_start(&p, "secret");
	program_open(&p, NULL);
	assert_int_equal(rstun_channel_abort(p.channel), 0); /* while it waits */
	rstun_channel_free(p.channel);
	program_open(&p, NULL);
	program_run_until(program_is_open, &p);
	far = program_far_accept();
	assert_int_equal(rstun_channel_abort(p.channel), 0);
	assert_int_equal(rstun_channel_read(p.channel, &byte, 1), RSTUN_E_CANCELLED);
	assert_int_equal(rstun_channel_write(p.channel, &byte, 1), RSTUN_E_CANCELLED);
	program_far_expect_reset(far);
	assert_int_equal(p.calls[PROGRAM_ERROR] + p.calls[PROGRAM_CLOSED], 0);
	program_end(&p);
}

static bool is_freed(struct program *p)
{
	static const char zeros[4096];
	char buf[4096];

	/* Whatever the call needs: fill the stream, read what came, end. */
	if (p->freed)
		return true;
	if (p->in == PROGRAM_WRITABLE && program_is_open(p) && !p->filled) {
		p->filled = true; /* more would keep it full */
		while (rstun_channel_write(p->channel, zeros, sizeof(zeros)) > 0)
			;
	}
	if (p->in >= PROGRAM_END && p->in != PROGRAM_ERROR && program_is_readable(p))
		while (rstun_channel_read(p->channel, buf, sizeof(buf)) > 0)
			;
	if (p->in == PROGRAM_CLOSED && program_is_open(p))
		rstun_channel_finish(p->channel);
	return p->freed;
}

/* Everything may be freed in every callback. */
static void test_free_in_calls(void **state)
{
	char target[ADDRESS_TEXT_SIZE];

	(void)state;
	program_nobody(target);
	for (enum program_call in = PROGRAM_OPEN; in <= PROGRAM_ERROR; in++) {
		bool far = in != PROGRAM_OPEN && in != PROGRAM_ERROR; /* it is dialled */

		for (int what = PROGRAM_FREE_CHANNEL; what <= PROGRAM_FREE_CONTEXT; what++) {
			struct program_upstream upstream = {
				.takes = in == PROGRAM_WRITABLE, .bytes = 1};
			struct program p;

			program_start(&p, "secret");
			p.freeing = (enum program_freeing)what;
			p.in = in;
			program_open(&p, far ? NULL : target);
			if (far)
				program_upstream_start(&upstream);
			program_run_until(is_freed, &p);
			program_end(&p);
			if (far)
				pthread_join(upstream.thread, NULL);
		}
	}
}

static void on_state_free(struct rstun_client *client, void *user,
			  const struct rstun_state_change *change)
{
	struct program *p = user;

	(void)client;
	assert_false(p->freed);
	if (change->now == RSTUN_STATE_TUNNELING) {
		program_free(p, PROGRAM_FREE_CONTEXT);
		assert_string_equal(change->text, ""); /* still good */
	}
}

static bool is_freed_by_state(struct program *p)
{
	return p->freed;
}

static void test_free_in_state(void **state)
{
	const struct rstun_client_ops ops = {.size = sizeof(ops), .on_state = on_state_free};
	char server[ADDRESS_TEXT_SIZE];
	const struct rstun_option options[] = {
		{"server-addr", program_server(server)},
		{"password", "secret"},
	};
	struct program p = {.error = 0};

	(void)state;
	assert_int_equal(rstun_context_new(&p.context, program_base), 0);
	assert_int_equal(rstun_client_new(&p.client, p.context, options, 2, &ops, &p, NULL, 0), 0);
	program_open(&p, NULL);
	program_run_until(is_freed_by_state, &p);
	program_end(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_thread), /* before there are threads */
		TEST(test_two_contexts),
		TEST(test_threads),
		TEST(test_stop),
		TEST(test_stop_idle),
		TEST(test_stop_at_once),
		TEST(test_lost_tunnel),
		TEST(test_abort),
		TEST(test_free_in_calls),
		TEST(test_free_in_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
