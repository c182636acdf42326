/* SPDX-License-Identifier: MIT */
/*
 * events: subscribes, prints, and when the daemon goes away comes back and goes on behind the last
 * event it has seen. What could not be had again is said, never passed over.
 */
#include "base/clock.h"
#include "base/error.h"
#include "rpc/api_types.h"
#include "rstunctl/commands.h"
#include "rstunctl/event_exec.h"
#include "rstunctl/event_line.h"
#include "rstunctl/event_since.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENTS_RETRY_MIN_MS 200
#define EVENTS_RETRY_MAX_MS 5000

struct events_options {
	char **types;
	char **mappings;
	int level;
	uint64_t stats_ms;
	char *since;
	char *exec;
	bool no_retry;
};

static const struct field events_fields[] = {
	{.name = "types", .short_name = 't', .type = FIELD_LIST,
	 .offset = offsetof(struct events_options, types), .choices = rpc_event_names,
	 .argument = "TYPE,...", .help = "Only these types; without it, all but flow."},
	{.name = "mapping", .short_name = 'm', .type = FIELD_LIST,
	 .offset = offsetof(struct events_options, mappings), .argument = "ID,...",
	 .help = "Only what is about these mappings (ids or names), and what is about none."},
	{.name = "level", .short_name = 'l', .type = FIELD_CHOICE,
	 .offset = offsetof(struct events_options, level), .choices = rpc_level_names,
	 .default_text = "info", .argument = "LEVEL",
	 .help = "Only log lines of this level and above."},
	{.name = "stats", .type = FIELD_MS, .flags = FIELD_OPTIONAL,
	 .offset = offsetof(struct events_options, stats_ms), .min = 100, .max = 86400000,
	 .argument = "TIME", .help = "Statistics of every mapping as often."},
	{.name = "since", .short_name = 's', .type = FIELD_STRING,
	 .offset = offsetof(struct events_options, since), .argument = "NUMBER|TIME|EPOCH:NUMBER",
	 .help = "Begin behind the event with this number, or with those of the last 5m."},
	{.name = "exec", .type = FIELD_STRING, .offset = offsetof(struct events_options, exec),
	 .argument = "COMMAND",
	 .help = "Run COMMAND by /bin/sh for each event, one at a time, instead of printing: the "
		 "event is its standard input, RSTUN_EVENT_TYPE, _DATA, _MAPPING, _NAME and others "
		 "are its variables."},
	{.name = "no-retry", .type = FIELD_BOOL,
	 .offset = offsetof(struct events_options, no_retry),
	 .help = "End, with status 3, when the daemon goes."},
};

const struct field_rows events_rows = {
	.name = "EventsOptions", .rows = events_fields,
	.count = sizeof(events_fields) / sizeof(events_fields[0]),
	.size = sizeof(struct events_options),
};

struct events {
	struct ctl *c;
	const struct events_options *options;
	struct interrupt interrupt;
	bool has_since;     /* there is something to go on behind */
	char epoch[65];
	uint64_t seq;       /* of the last event seen */
	uint64_t sub;       /* of ours; events of others are left over */
	int64_t not_before_us; /* older ones are not shown; 0 = all */
	uint64_t short_of;  /* events up to this number are not kept, and might have been wanted */
	bool ended;         /* a signal, or nobody reads any more */
	int status;         /* then: the exit status */
};

static json_t *events_list(char *const *list)
{
	json_t *array = list != NULL ? json_array() : NULL;

	for (; list != NULL && *list != NULL; list++)
		json_array_append_new(array, json_string(*list));
	return array;
}

static json_t *events_params(const struct events *e, bool since, uint64_t seq)
{
	json_t *params = json_pack("{s:s,s:s}", "min_level", rpc_level_names[e->options->level],
				   "snapshot", "never");

	if (e->options->types != NULL)
		json_object_set_new(params, "types", events_list(e->options->types));
	if (e->options->mappings != NULL)
		json_object_set_new(params, "mappings", events_list(e->options->mappings));
	if (e->options->stats_ms != UINT64_MAX)
		json_object_set_new(params, "stat_interval_ms",
				    json_integer((json_int_t)e->options->stats_ms));
	if (since)
		json_object_set_new(params, "since",
				    json_pack("{s:s,s:I}", "epoch", e->epoch, "seq",
					      (json_int_t)seq));
	return params;
}

/* ---- What is missing ------------------------------------------------------------------------- */

/* Says that events behind from_seq are not to be had; the stream goes on behind e->seq. */
static void events_say_gap(const struct events *e, const char *replay, const char *from_epoch,
			   uint64_t from_seq)
{
	if (e->c->output.format == OUTPUT_JSON) {
		json_t *line = json_pack("{s:s,s:s,s:s,s:I,s:s,s:I}", "type", "gap", "reason",
					 replay, "from_epoch", from_epoch, "from_seq",
					 (json_int_t)from_seq, "epoch", e->epoch, "seq",
					 (json_int_t)e->seq);

		json_dumpf(line, e->c->out, JSON_COMPACT);
		fputc('\n', e->c->out);
		json_decref(line);
	}
	/* With --quiet too: who must not miss anything has to know. */
	fflush(e->c->out);
	if (strcmp(replay, "epoch_changed") != 0)
		fprintf(e->c->err, "rstunctl: the events from %" PRIu64 " to %" PRIu64
				   " are not kept any more\n", from_seq + 1, e->seq);
	else
		fprintf(e->c->err, "rstunctl: the daemon was restarted: what happened behind event "
				   "%" PRIu64 " of the old one is not known; this goes on behind "
				   "event %" PRIu64 " of the new one\n", from_seq, e->seq);
}

/* ---- Subscribing ----------------------------------------------------------------------------- */

static int events_subscribe(struct events *e, bool since, uint64_t seq, json_t **ret,
			    struct rpc_error *error)
{
	int rv = ctl_try(e->c, rpc_methods[RPC_EVENTS_SUBSCRIBE].name, events_params(e, since, seq),
			 ctl_timeout(e->c, CTL_TIMEOUT_MS), ret, error);

	if (rv == 0)
		e->sub = output_number(*ret, "sub");
	return rv;
}

static void events_unsubscribe(struct events *e)
{
	struct rpc_error error;
	json_t *result;

	if (ctl_try(e->c, rpc_methods[RPC_EVENTS_UNSUBSCRIBE].name,
		    json_pack("{s:I}", "sub", (json_int_t)e->sub),
		    ctl_timeout(e->c, CTL_TIMEOUT_MS), &result, &error) == 0)
		json_decref(result);
}

static int events_subscribe_anew(struct events *e, uint64_t seq, json_t **ret,
				 struct rpc_error *error)
{
	json_decref(*ret);
	*ret = NULL;
	events_unsubscribe(e);
	return events_subscribe(e, true, seq, ret, error);
}

/* The events of the last minutes: which number that was is not known, so all that the daemon keeps
 * are asked for, and the older ones are left out when they come. Where what it keeps begins is
 * looked for: behind `low` there is a gap, behind `high` there is none. */
static int events_subscribe_back(struct events *e, json_t **ret, struct rpc_error *error)
{
	uint64_t low = 0, high, at = 0;
	int rv = events_subscribe(e, true, 0, ret, error);

	if (rv != 0 || strcmp(output_string(*ret, "replay"), "gap") != 0)
		return rv;
	high = output_number(*ret, "seq");
	while (rv == 0 && high - low > 1) {
		at = low + (high - low) / 2;
		rv = events_subscribe_anew(e, at, ret, error);
		if (rv == 0 && strcmp(output_string(*ret, "replay"), "gap") == 0)
			low = at;
		else
			high = at;
	}
	e->short_of = high;
	return rv == 0 && at != high ? events_subscribe_anew(e, high, ret, error) : rv;
}

/*
 * Takes over what the answer says about where the stream is. After a restart of the daemon all
 * that it did since its start is asked for: then only the old one's end is missing. The answer may
 * become another one, and is gone on failure.
 */
static int events_begin(struct events *e, json_t **answer, struct rpc_error *error)
{
	bool changed = strcmp(output_string(*answer, "replay"), "epoch_changed") == 0;
	uint64_t from_seq = e->seq;
	char from_epoch[65];
	int rv = 0;

	memcpy(from_epoch, e->epoch, sizeof(from_epoch));
	snprintf(e->epoch, sizeof(e->epoch), "%s", output_string(*answer, "epoch"));
	if (changed) {
		json_decref(*answer);
		events_unsubscribe(e);
		rv = events_subscribe_back(e, answer, error);
		e->short_of = 0; /* what is said below is enough */
		if (rv != 0) { /* so that the next attempt says it */
			memcpy(e->epoch, from_epoch, sizeof(e->epoch));
			return rv;
		}
	}
	e->seq = output_number(*answer, "seq");
	if (changed)
		events_say_gap(e, "epoch_changed", from_epoch, from_seq);
	else if (strcmp(output_string(*answer, "replay"), "gap") == 0)
		events_say_gap(e, "gap", from_epoch, from_seq);
	e->has_since = true;
	return 0;
}

/* A number alone is of the daemon that runs now. One that no event has yet is a mistake:
 * waiting for it would look as if nothing happened. */
static int events_check_since(struct events *e)
{
	json_t *info, *daemon_status;
	uint64_t last;
	bool same;
	int status = ctl_call(e->c, RPC_DAEMON_INFO, NULL, ctl_timeout(e->c, CTL_TIMEOUT_MS),
			      &info);

	if (status != 0)
		return status;
	if (e->epoch[0] == '\0')
		snprintf(e->epoch, sizeof(e->epoch), "%s", output_string(info, "epoch"));
	same = strcmp(e->epoch, output_string(info, "epoch")) == 0;
	json_decref(info);
	if (!same)
		return 0;
	status = ctl_call(e->c, RPC_DAEMON_STATUS, NULL, ctl_timeout(e->c, CTL_TIMEOUT_MS),
			  &daemon_status);
	if (status != 0)
		return status;
	last = output_number(daemon_status, "seq");
	json_decref(daemon_status);
	if (e->seq <= last)
		return 0;
	return ctl_usage(e->c, "--since: there is no event %" PRIu64 " yet, the last one is %" PRIu64,
			 e->seq, last);
}

/* The first time: by --since. */
static int events_first(struct events *e)
{
	char error_text[EVENT_SINCE_ERROR_SIZE];
	struct event_since since;
	struct rpc_error error;
	json_t *answer;
	bool back = false;
	int status, rv;

	if (e->options->since != NULL &&
	    event_since_parse(&since, e->options->since, error_text) != 0)
		return ctl_usage(e->c, "%s", error_text);
	status = ctl_connect(e->c);
	if (status != 0)
		return status;
	if (e->options->since != NULL) {
		e->has_since = true;
		e->seq = since.seq;
		memcpy(e->epoch, since.epoch, sizeof(e->epoch));
		back = since.form == EVENT_SINCE_AGE;
		if (back)
			e->not_before_us = clock_wall_us() - (int64_t)since.age_ms * 1000;
	}
	if (e->has_since) {
		status = events_check_since(e);
		if (status != 0)
			return status;
	}
	rv = back ? events_subscribe_back(e, &answer, &error)
		  : events_subscribe(e, e->has_since, e->seq, &answer, &error);
	if (rv == 0)
		rv = events_begin(e, &answer, &error);
	if (rv != 0)
		return ctl_complain(e->c, &error);
	json_decref(answer);
	return 0;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void events_exec(struct events *e, const json_t *event)
{
	bool ended = false;
	int status = 0;

	if (!event_exec_run(e->options->exec, event, &e->interrupt, &status, &ended))
		ctl_note(e->c, "cannot run /bin/sh: %s", strerror(errno));
	else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		ctl_note(e->c, "the command ended with status %d for event %" PRIu64,
			 WEXITSTATUS(status), output_number(event, "seq"));
	else if (WIFSIGNALED(status) && !ended)
		ctl_note(e->c, "the command was ended by signal %d", WTERMSIG(status));
	if (ended)
		e->ended = true;
}

static bool events_too_old(const struct events *e, const json_t *event)
{
	int64_t us;

	return e->not_before_us != 0 && output_parse_time(&us, output_string(event, "timestamp")) &&
	       us < e->not_before_us;
}

/* Returns false when the subscription ends with this event. */
static bool events_take(struct events *e, const json_t *event)
{
	uint64_t seq = output_number(event, "seq");
	bool overrun = strcmp(output_string(event, "type"), "overrun") == 0;

	if (output_number(event, "sub") != e->sub)
		return true;
	if (events_too_old(e, event)) {
		e->short_of = 0; /* it goes back far enough */
		return true;
	}
	if (e->short_of > 0) {
		fflush(e->c->out);
		fprintf(e->c->err, "rstunctl: events before %" PRIu64 " are not kept any more\n",
			e->short_of + 1);
		e->short_of = 0;
	}
	/* Behind an overrun the stream goes on where it was: those that were left out may still be
	 * kept. */
	if (seq > e->seq && !overrun)
		e->seq = seq;
	if (e->options->exec != NULL) {
		events_exec(e, event);
	} else if (e->c->output.format == OUTPUT_JSON) {
		json_dumpf(event, e->c->out, JSON_COMPACT);
		fputc('\n', e->c->out);
	} else {
		event_line_print(&e->c->output, event);
	}
	return !overrun;
}

/* All that is there. False when the daemon is gone or the subscription has ended. */
static bool events_read(struct events *e)
{
	bool goes_on = true;

	while (goes_on && !e->ended) {
		json_t *event;
		int rv = rpc_caller_next_event(e->c->caller, 0, &event);

		if (rv == RSTUN_E_TIMEOUT)
			break;
		if (rv != 0)
			return false;
		goes_on = events_take(e, event);
		json_decref(event);
	}
	fflush(e->c->out);
	if (ferror(e->c->out))
		e->ended = true;
	return goes_on;
}

/* Until the daemon goes or a signal comes. */
static void events_stream(struct events *e)
{
	int out_fd = fileno(e->c->out);

	while (!e->ended) {
		unsigned what;

		if (!events_read(e))
			return;
		if (e->ended)
			return;
		what = interrupt_wait(&e->interrupt, rpc_caller_fd(e->c->caller), -1, out_fd,
				      UINT64_MAX);
		if ((what & (INTERRUPT_END | INTERRUPT_GONE)) != 0)
			e->ended = true;
	}
}

/* ---- Coming back ----------------------------------------------------------------------------- */

/* 0 = the stream goes on. */
static int events_again(struct events *e, struct rpc_error *error)
{
	json_t *answer;

	ctl_disconnect(e->c);
	if (rpc_caller_open(&e->c->caller, &e->c->env, error) != 0)
		return RSTUN_E_FAILED;
	if (events_subscribe(e, e->has_since, e->seq, &answer, error) != 0 ||
	    events_begin(e, &answer, error) != 0)
		return RSTUN_E_FAILED;
	json_decref(answer);
	return 0;
}

static void events_reconnect(struct events *e)
{
	uint64_t wait_ms = EVENTS_RETRY_MIN_MS;
	struct rpc_error error;
	bool told = false;

	while (!e->ended && events_again(e, &error) != 0) {
		const struct rpc_error_row *row = rpc_error_row(error.code);

		if (!told)
			ctl_note(e->c, "the daemon is gone, trying to reach it again");
		told = true;
		if (row->exit != RPC_EXIT_NO_DAEMON && !error.retryable &&
		    error.code != -RSTUN_E_SHUTTING_DOWN) {
			e->status = ctl_complain(e->c, &error);
			e->ended = true;
			return;
		}
		if ((interrupt_wait(&e->interrupt, -1, -1, fileno(e->c->out), wait_ms) &
		     (INTERRUPT_END | INTERRUPT_GONE)) != 0)
			e->ended = true;
		wait_ms = wait_ms * 2 < EVENTS_RETRY_MAX_MS ? wait_ms * 2 : EVENTS_RETRY_MAX_MS;
	}
	if (told && !e->ended)
		ctl_note(e->c, "the daemon is there again");
}

int events_command(struct ctl *c, struct command_input *in)
{
	struct events e = {.c = c, .options = in->own};
	int status = events_first(&e);

	if (status != 0)
		return status;
	if (interrupt_init(&e.interrupt, false) != 0)
		return ctl_fail(c, RSTUN_E_FAILED, "cannot wait for signals: %s", strerror(errno));
	while (!e.ended) {
		events_stream(&e);
		if (!e.ended && e.options->no_retry) {
			struct rpc_error error;

			rpc_error_set(&error, RPC_NO_DAEMON, "the daemon is gone");
			e.status = ctl_complain(c, &error);
			e.ended = true;
		}
		if (!e.ended)
			events_reconnect(&e);
	}
	interrupt_done(&e.interrupt);
	return e.status;
}
