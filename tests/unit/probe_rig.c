/* SPDX-License-Identifier: MIT */
/*
 * Probes for tests: steps are noted on the loop's thread, under the rig's mutex, and looked at by
 * the test's.
 */
#include "tests/unit/probe_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct rig probe_rig;
struct probe_run probe_runs[PROBE_RUNS];

/* ---- running probes ---- */

static bool leaves(const struct probe_run *run, unsigned at)
{
	return run->cancel_at == (int)at || run->free_at == (int)at;
}

static void leave(struct probe_run *run, unsigned at)
{
	if (run->cancel_at == (int)at)
		client_probe_cancel(run->probe);
	if (run->free_at == (int)at) {
		client_free(probe_rig.client);
		probe_rig.client = NULL;
	}
	pthread_mutex_lock(&probe_rig.mutex);
	run->probe = NULL;
	run->left = true;
	pthread_cond_broadcast(&probe_rig.changed);
	pthread_mutex_unlock(&probe_rig.mutex);
}

static void on_step(void *user, const struct probe_step_result *r)
{
	struct probe_run *run = user;
	unsigned step = r->step;

	pthread_mutex_lock(&probe_rig.mutex);
	assert_false(run->done);
	assert_int_equal(r->step, run->count);
	assert_true((r->outcome == PROBE_FAILED) == (r->error != 0));
	assert_true(r->text[0] != '\0');
	run->steps[run->count++] = *r;
	if (getenv("RIG_LOG") != NULL)
		fprintf(stderr, "%s: %s %d, %u ms: %s\n", probe_step_name(r->step),
			probe_outcome_name(r->outcome), r->error, (unsigned)r->took_ms, r->text);
	pthread_cond_broadcast(&probe_rig.changed);
	pthread_mutex_unlock(&probe_rig.mutex);
	if (leaves(run, step))
		leave(run, step);
}

static void on_done(void *user)
{
	struct probe_run *run = user;
	bool go = leaves(run, PROBE_STEPS); /* when it is done the test may use it again */

	pthread_mutex_lock(&probe_rig.mutex);
	assert_int_equal(run->count, PROBE_STEPS);
	run->done = true;
	run->probe = NULL;
	pthread_cond_broadcast(&probe_rig.changed);
	pthread_mutex_unlock(&probe_rig.mutex);
	if (go)
		leave(run, PROBE_STEPS);
}

void probe_run_start(struct rig *r, void *arg)
{
	struct probe_run *run = arg;

	run->error = client_probe_start(&run->probe, r->client,
					run->has_mapping ? &run->mapping : NULL, run->timeout_ms,
					on_step, on_done, run);
	assert_int_equal(run->count, 0); /* nothing from inside */
}

void probe_run_cancel(struct rig *r, void *arg)
{
	struct probe_run *run = arg;

	(void)r;
	client_probe_cancel(run->probe);
	run->probe = NULL;
}

void probe_run_begin(struct probe_run *run, enum mapping_proto proto, const char *text)
{
	char error[MAPPING_ERROR_SIZE];

	*run = (struct probe_run){.cancel_at = -1, .free_at = -1, .timeout_ms = run->timeout_ms};
	run->has_mapping = text != NULL;
	if (text != NULL && mapping_parse(&run->mapping, proto, text, strlen(text), error) != 0)
		fail_msg("%s", error);
}

bool probe_runs_done(struct rig *r)
{
	(void)r;
	for (unsigned i = 0; i < PROBE_RUNS; i++)
		if (probe_runs[i].probe != NULL && !probe_runs[i].done)
			return false;
	return true;
}

const struct probe_step_result *probe_expect(enum mapping_proto proto, const char *text,
					     int failed, int error)
{
	struct probe_run *run = &probe_runs[0];

	probe_run_begin(run, proto, text);
	rig_call(&probe_rig, probe_run_start, run);
	assert_int_equal(run->error, 0);
	rig_wait_for(&probe_rig, probe_runs_done);
	for (int i = 0; i < PROBE_STEPS; i++) {
		const struct probe_step_result *r = &run->steps[i];

		if (i == failed) {
			if (r->outcome != PROBE_FAILED || r->error != error)
				fail_msg("step %d: outcome %d, error %d: %s", i, r->outcome,
					 r->error, r->text);
		} else if (r->outcome == PROBE_FAILED) {
			fail_msg("step %d failed: %d %s", i, r->error, r->text);
		}
		if (failed >= 0 && i > failed) {
			assert_int_equal(r->outcome, PROBE_SKIPPED);
			assert_string_equal(r->text, "not reached");
		}
	}
	return failed >= 0 ? &run->steps[failed] : run->steps;
}

void probe_says(const struct probe_step_result *r, const char *text)
{
	if (strstr(r->text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, r->text);
}

void probe_is(const struct probe_step_result *r, enum probe_outcome expected, const char *text)
{
	assert_int_equal(r->outcome, expected);
	probe_says(r, text);
}

const char *probe_out(char buf[128], const struct address *target)
{
	snprintf(buf, 128, "OUT^127.0.0.1:0^127.0.0.1:%u", address_port(target));
	return buf;
}

const char *probe_in(char buf[128], const struct address *local, const struct address *remote)
{
	snprintf(buf, 128, "IN^127.0.0.1:%u^127.0.0.1:%u", address_port(local),
		 address_port(remote));
	return buf;
}

struct address probe_nobody(enum mapping_proto proto)
{
	struct address a;

	close(app_listen(proto, &a));
	return a;
}
