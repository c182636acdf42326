/* SPDX-License-Identifier: MIT */
/*
 * top: a live view. Lists are asked for every second, statistics come as events in between. The
 * screen is the terminal's second one, so that nothing of what was there before is lost; it is
 * given back on every way out but SIGKILL. Survives a restart of the daemon.
 */
#include "base/clock.h"
#include "base/error.h"
#include "rpc/api_types.h"
#include "rstunctl/commands.h"
#include "rstunctl/interrupt.h"
#include "rstunctl/top_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define TOP_CALL_MS 5000
#define TOP_ONCE_MS 1200 /* two statistics of every mapping come in it */

struct top_options {
	bool once;
	uint64_t interval_ms;
};

static const struct field top_fields[] = {
	{.name = "once", .type = FIELD_BOOL, .offset = offsetof(struct top_options, once),
	 .help = "Show it once, after a second, as without a terminal."},
	{.name = "interval", .short_name = 'i', .type = FIELD_MS,
	 .offset = offsetof(struct top_options, interval_ms), .min = 200, .max = 3600000,
	 .default_text = "1s", .argument = "TIME", .help = "How often to look."},
};

const struct field_rows top_rows = {
	.name = "TopOptions", .rows = top_fields,
	.count = sizeof(top_fields) / sizeof(top_fields[0]), .size = sizeof(struct top_options),
};

struct top {
	struct ctl *c;
	const struct top_options *options;
	struct top_model model;
	struct interrupt interrupt;
	struct termios before;
	bool drawing;  /* the second screen is on */
	bool raw;      /* standard input has other settings */
	bool quit;
	size_t height;
};

/* ---- The daemon ------------------------------------------------------------------------------ */

static bool top_ask(struct top *t, enum rpc_method method, json_t *params, json_t **ret)
{
	struct rpc_error error;

	return ctl_try(t->c, rpc_methods[method].name, params, TOP_CALL_MS, ret, &error) == 0;
}

/* Lists and counts. False when the daemon does not answer. */
static bool top_refresh(struct top *t)
{
	json_t *result;

	if (!top_ask(t, RPC_DAEMON_STATUS, NULL, &result))
		return false;
	top_model_status(&t->model, result);
	json_decref(result);
	if (!top_ask(t, RPC_MAPPING_LIST, NULL, &result))
		return false;
	top_model_mappings(&t->model, result);
	json_decref(result);
	if (output_number(t->model.status, "sessions") == 0) {
		top_model_sessions(&t->model, NULL);
		return true;
	}
	if (!top_ask(t, RPC_SESSION_LIST, NULL, &result))
		return false;
	top_model_sessions(&t->model, result);
	json_decref(result);
	return true;
}

static bool top_begin(struct top *t)
{
	uint64_t interval_ms = t->options->once ? TOP_ONCE_MS / 3 : t->options->interval_ms;
	json_t *result;

	if (!top_ask(t, RPC_DAEMON_INFO, NULL, &result))
		return false;
	output_clean(t->model.version, sizeof(t->model.version), output_string(result, "version"));
	json_decref(result);
	if (!top_ask(t, RPC_EVENTS_SUBSCRIBE,
		     json_pack("{s:[s,s],s:I,s:s}", "types", "state", "stat", "stat_interval_ms",
			       (json_int_t)interval_ms, "snapshot", "never"),
		     &result))
		return false;
	json_decref(result);
	t->model.connected = top_refresh(t);
	return t->model.connected;
}

/* All events that are there. False when the daemon is gone. */
static bool top_events(struct top *t)
{
	for (;;) {
		json_t *event;
		int rv = rpc_caller_next_event(t->c->caller, 0, &event);

		if (rv != 0)
			return rv == RSTUN_E_TIMEOUT;
		top_model_event(&t->model, event);
		json_decref(event);
	}
}

static void top_reconnect(struct top *t)
{
	struct rpc_error error;

	ctl_disconnect(t->c);
	top_model_forget(&t->model);
	if (rpc_caller_open(&t->c->caller, &t->c->env, &error) == 0 && !top_begin(t))
		ctl_disconnect(t->c);
}

/* ---- The terminal ---------------------------------------------------------------------------- */

static void top_size(struct top *t)
{
	struct winsize size;

	t->c->output.width = output_terminal_width(t->c->out);
	t->height = 24;
	if (ioctl(fileno(t->c->out), TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
		t->height = size.ws_row;
}

static void top_enter(struct top *t)
{
	struct termios settings;

	t->raw = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &t->before) == 0;
	if (t->raw) {
		settings = t->before;
		settings.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* Ctrl-C stays a signal */
		settings.c_cc[VMIN] = 0;
		settings.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSADRAIN, &settings);
	}
	/* The second screen, no cursor, lines that are cut instead of going on in the next one. */
	fputs("\033[?1049h\033[?25l\033[?7l\033[H\033[2J", t->c->out);
	fflush(t->c->out);
	t->drawing = true;
	top_size(t);
}

static void top_leave(struct top *t)
{
	if (!t->drawing)
		return;
	fputs("\033[?7h\033[?25h\033[?1049l", t->c->out);
	fflush(t->c->out);
	if (t->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &t->before);
	t->drawing = t->raw = false;
}

/* The whole screen in one write: nothing flickers. */
static void top_paint(struct top *t)
{
	struct output o = t->c->output;
	size_t bytes = 0;
	char *text = NULL;

	o.to = open_memstream(&text, &bytes);
	if (o.to == NULL)
		return;
	/* The rest of a line is cleared from the cursor on, which stays on the last column. */
	o.width -= 1;
	fputs("\033[H", o.to);
	top_draw(&t->model, &o, t->height - 1, "\033[K");
	fputs("\033[J", o.to);
	if (fclose(o.to) == 0)
		fwrite(text, 1, bytes, t->c->out);
	free(text);
	fflush(t->c->out);
}

static void top_move(struct top *t, int by)
{
	size_t first = t->model.first;

	if (by < 0)
		t->model.first = first < (size_t)-by ? 0 : first - (size_t)-by;
	else
		t->model.first = first + (size_t)by < t->model.count ? first + (size_t)by : first;
}

static void top_keys(struct top *t)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n == 0) /* the terminal is gone */
		t->quit = true;
	for (ssize_t i = 0; i < n; i++) {
		if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 4)
			t->quit = true;
		else if (keys[i] == 'j' || (keys[i] == 'B' && i > 0 && keys[i - 1] == '['))
			top_move(t, 1);
		else if (keys[i] == 'k' || (keys[i] == 'A' && i > 0 && keys[i - 1] == '['))
			top_move(t, -1);
		else if (keys[i] == ' ' || (keys[i] == '6' && i > 0 && keys[i - 1] == '['))
			top_move(t, 10);
		else if (keys[i] == 'b' || (keys[i] == '5' && i > 0 && keys[i - 1] == '['))
			top_move(t, -10);
	}
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void top_happened(struct top *t, unsigned what)
{
	if ((what & (INTERRUPT_END | INTERRUPT_GONE)) != 0)
		t->quit = true;
	if ((what & INTERRUPT_KEY) != 0)
		top_keys(t);
	if ((what & INTERRUPT_STOP) != 0) {
		top_leave(t);
		interrupt_stop();
		top_enter(t);
	}
	if ((what & INTERRUPT_RESIZE) != 0)
		top_size(t);
	if ((what & INTERRUPT_READY) != 0 && t->c->caller != NULL && !top_events(t)) {
		ctl_disconnect(t->c);
		top_model_forget(&t->model);
	}
}

static void top_loop(struct top *t)
{
	uint64_t next_ns = clock_now_ns();

	while (!t->quit) {
		uint64_t now_ns = clock_now_ns();

		if (now_ns >= next_ns) {
			if (t->c->caller == NULL)
				top_reconnect(t);
			else if (!top_refresh(t) || !top_events(t))
				ctl_disconnect(t->c);
			t->model.connected = t->c->caller != NULL;
			next_ns = clock_after(clock_now_ns(), clock_ms(t->options->interval_ms));
			now_ns = clock_now_ns();
		}
		top_paint(t);
		top_happened(t, interrupt_wait(
					&t->interrupt,
					t->c->caller != NULL ? rpc_caller_fd(t->c->caller) : -1,
					t->raw ? STDIN_FILENO : -1, fileno(t->c->out),
					next_ns > now_ns ? (next_ns - now_ns) / CLOCK_NS_PER_MS + 1
							 : 0));
	}
}

/* Without a terminal: what there is after a little more than a second. */
static int top_once(struct top *t)
{
	uint64_t end_ns = clock_after(clock_now_ns(), clock_ms(TOP_ONCE_MS));

	for (;;) {
		uint64_t now_ns = clock_now_ns();

		if (now_ns >= end_ns || !top_events(t))
			break;
		interrupt_wait(&t->interrupt, rpc_caller_fd(t->c->caller), -1, -1,
			       (end_ns - now_ns) / CLOCK_NS_PER_MS + 1);
	}
	if (!top_refresh(t))
		return ctl_fail(t->c, RSTUN_E_TIMEOUT, "the daemon does not answer any more");
	top_draw(&t->model, &t->c->output, 0, "");
	return 0;
}

int top_command(struct ctl *c, struct command_input *in)
{
	struct top_options options = *(const struct top_options *)in->own;
	struct top t = {.c = c, .options = &options};
	int status;

	if (c->output.format == OUTPUT_JSON)
		return ctl_usage(
			c, "top is for people: 'rstunctl events --json --types stat --stats 1s' "
			   "has the same for programs");
	options.once = options.once || !c->output.terminal;
	top_model_init(&t.model);
	status = ctl_connect(c);
	if (status == 0 && !top_begin(&t))
		status = ctl_fail(c, RSTUN_E_FAILED, "the daemon does not give what top shows");
	if (status == 0 && interrupt_init(&t.interrupt, !options.once) != 0)
		status =
			ctl_fail(c, RSTUN_E_FAILED, "cannot wait for signals: %s", strerror(errno));
	if (status == 0) {
		if (options.once) {
			status = top_once(&t);
		} else {
			top_enter(&t);
			top_loop(&t);
			top_leave(&t);
		}
		interrupt_done(&t.interrupt);
	}
	top_model_done(&t.model);
	return status;
}
