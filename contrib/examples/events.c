/* SPDX-License-Identifier: MIT */
/*
 * Holds a mapping and prints what happens to it as JSON, a line per event, as the original's
 * listeners get it; statistics every 30 seconds, and at the end (Ctrl-C):
 *   events SERVER PASSWORD MAPPING        MAPPING: OUT^9000^ANY
 *   cc events.c $(pkg-config --cflags --libs librstun) -o events
 */
#include <event2/event.h>
#include <rstun.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct listener {
	struct event_base *base;
	struct rstun_client *client;
};

/* Text of peers may make a log line long; it is then left out. */
static char line[16384];

static void print_line(size_t bytes)
{
	if (bytes < sizeof(line))
		puts(line);
	fflush(stdout);
}

static void on_state(struct rstun_client *client, void *user,
		     const struct rstun_state_change *change)
{
	(void)client;
	(void)user;
	if (change->text[0] != '\0')
		print_line(rstun_json_log(line, sizeof(line), change->text, change));
	print_line(rstun_json_state(line, sizeof(line), change));
}

static void on_log(void *user, enum rstun_log_level level, const char *scope, const char *text)
{
	(void)user;
	(void)level;
	(void)scope;
	print_line(rstun_json_log(line, sizeof(line), text, NULL));
}

static void print_stat(struct listener *l)
{
	struct rstun_stats stats = {.size = sizeof(stats)};

	if (rstun_client_stats(l->client, 0, &stats) == 0)
		print_line(rstun_json_stat(line, sizeof(line), &stats));
}

static void on_timer(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	print_stat(user);
}

/* The second time it does not wait for flows. */
static void on_signal(evutil_socket_t fd, short what, void *user)
{
	static int times;
	struct listener *l = user;

	(void)fd;
	(void)what;
	if (times++ == 0)
		rstun_client_stop(l->client, 5000);
	else
		event_base_loopbreak(l->base);
}

static void on_stopped(struct rstun_client *client, void *user)
{
	struct listener *l = user;

	(void)client;
	print_stat(l);
	event_base_loopbreak(l->base);
}

static int run(struct listener *l)
{
	const struct timeval interval = {.tv_sec = 30};
	struct event *timer = event_new(l->base, -1, EV_PERSIST, on_timer, l);
	struct event *interrupt = evsignal_new(l->base, SIGINT, on_signal, l);
	int ok = timer != NULL && interrupt != NULL && event_add(timer, &interval) == 0 &&
		 event_add(interrupt, NULL) == 0 && event_base_dispatch(l->base) >= 0;

	if (timer != NULL)
		event_free(timer);
	if (interrupt != NULL)
		event_free(interrupt);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static const struct rstun_client_ops ops = {
		.size = sizeof(ops),
		.on_state = on_state,
		.on_stopped = on_stopped,
	};
	struct listener l = {.base = event_base_new()};
	struct rstun_context *context = NULL;
	char why[512] = "";
	uint64_t mapping;
	int err, status = EXIT_FAILURE;

	if (argc != 4 || l.base == NULL) {
		fprintf(stderr, "usage: events SERVER PASSWORD MAPPING\n");
		return 2;
	}
	const struct rstun_option options[] = {{"server-addr", argv[1]}, {"password", argv[2]}};

	err = rstun_context_new(&context, l.base);
	if (err == 0)
		err = rstun_context_set_log(context, RSTUN_LOG_INFO, on_log, NULL);
	if (err == 0)
		err = rstun_client_new(&l.client, context, options, 2, &ops, &l, why, sizeof(why));
	if (err == 0)
		err = rstun_client_add_mapping(l.client, argv[3], RSTUN_TCP, &mapping, why,
					       sizeof(why));
	if (err == 0)
		status = run(&l);
	else
		fprintf(stderr, "events: %s\n", why[0] != '\0' ? why : rstun_strerror(err));
	rstun_context_free(context);
	event_base_free(l.base);
	return status;
}
