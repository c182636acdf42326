/* SPDX-License-Identifier: MIT */
/*
 * An rstun server that is itself the far end of its tunnels: it answers HTTP requests, whatever
 * their target, and connects to nothing.
 *   serve [IP:]PORT PASSWORD
 *   cc serve.c $(pkg-config --cflags --libs librstun) -o serve
 * Its address and pin go to the standard output. Then, here or elsewhere:
 *   rstund client --server-addr ADDRESS --pin PIN --password PASSWORD -t OUT^8080^ANY
 *   curl http://127.0.0.1:8080/
 */
#include <event2/event.h>
#include <rstun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One stream of a client's. */
struct visit {
	struct rstun_channel *channel;
	char request[2048];
	size_t bytes;
	char target[300];
};

static void finish_visit(struct visit *v)
{
	rstun_channel_free(v->channel);
	free(v);
}

/* Short enough for the room that a channel has at its beginning. */
static void answer(struct visit *v)
{
	char text[512];
	int bytes = snprintf(text, sizeof(text),
			     "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n"
			     "You wanted to reach %s.\n",
			     v->target);

	rstun_channel_write(v->channel, text, (size_t)bytes);
	rstun_channel_finish(v->channel);
}

static void on_readable(struct rstun_channel *channel, void *user)
{
	struct visit *v = user;
	char rest[2048];
	ssize_t n = 0;

	while (v->bytes < sizeof(v->request) - 1 && strstr(v->request, "\r\n\r\n") == NULL &&
	       (n = rstun_channel_read(channel, v->request + v->bytes,
				       sizeof(v->request) - 1 - v->bytes)) > 0) {
		v->bytes += (size_t)n;
		v->request[v->bytes] = '\0';
		if (strstr(v->request, "\r\n\r\n") != NULL)
			answer(v);
	}
	if (v->bytes == sizeof(v->request) - 1) { /* no end of it in sight */
		finish_visit(v);
		return;
	}
	while (n >= 0 && (n = rstun_channel_read(channel, rest, sizeof(rest))) > 0)
		; /* what follows is of no interest, but its end is */
}

/* The client wants no more, with an answer or without. */
static void on_end(struct rstun_channel *channel, void *user)
{
	(void)user;
	rstun_channel_finish(channel);
}

static void on_closed(struct rstun_channel *channel, void *user)
{
	(void)channel;
	finish_visit(user);
}

static void on_error(struct rstun_channel *channel, void *user, int error, const char *text)
{
	(void)channel;
	fprintf(stderr, "serve: %s (%s)\n", text, rstun_error_kind(error));
	finish_visit(user);
}

static void on_channel(const struct rstun_channel_request *request, void *user)
{
	static const struct rstun_channel_ops ops = {
		.size = sizeof(ops),
		.on_readable = on_readable,
		.on_end = on_end,
		.on_closed = on_closed,
		.on_error = on_error,
	};
	struct visit *v = calloc(1, sizeof(*v));

	(void)user;
	if (v == NULL || rstun_channel_take(&v->channel, request, &ops, v) != 0) {
		rstun_channel_refuse(request, RSTUN_E_LIMIT_REACHED);
		free(v);
		return;
	}
	snprintf(v->target, sizeof(v->target), "%s",
		 request->target != NULL ? request->target : "this program");
}

static void on_session(struct rstun_server *server, void *user,
		       const struct rstun_session_change *change)
{
	static const char *const words[] = {"logged in", "was refused", "has gone"};

	(void)server;
	(void)user;
	fprintf(stderr, "serve: %s %s%s%s\n", change->peer, words[change->now],
		change->text[0] != '\0' ? ": " : "", change->text);
}

/* What is sent is paced, by timers of less than a millisecond. */
static struct event_base *precise_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config == NULL)
		return NULL;
	if (event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) == 0)
		base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

int main(int argc, char **argv)
{
	static const struct rstun_server_ops ops = {
		.size = sizeof(ops),
		.on_session = on_session,
		.on_channel = on_channel,
	};
	struct rstun_context *context = NULL;
	struct rstun_server *server;
	struct event_base *base;
	char why[256] = "";
	int err = RSTUN_E_NOMEM;

	if (argc != 3) {
		fprintf(stderr, "usage: serve [IP:]PORT PASSWORD\n");
		return 2;
	}
	const struct rstun_option options[] = {{"addr", argv[1]}, {"password", argv[2]}};

	base = precise_base();
	if (base != NULL)
		err = rstun_context_new(&context, base);
	if (err == 0)
		err = rstun_server_new(&server, context, options, 2, &ops, NULL, why, sizeof(why));
	if (err == 0) {
		printf("%s %s\n", rstun_server_address(server), rstun_server_pin(server));
		fflush(stdout);
		event_base_dispatch(base);
	} else {
		fprintf(stderr, "serve: %s\n", why[0] != '\0' ? why : rstun_strerror(err));
	}
	rstun_context_free(context);
	if (base != NULL)
		event_base_free(base);
	return err == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
