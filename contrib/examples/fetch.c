/* SPDX-License-Identifier: MIT */
/*
 * Fetches a page through a tunnel, without a port on this machine:
 *   fetch SERVER PASSWORD HOST:PORT PATH
 *   cc fetch.c $(pkg-config --cflags --libs librstun) -o fetch
 * The answer goes to the standard output, headers included; the server closes the connection.
 */
#include <event2/event.h>
#include <rstun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fetch {
	struct event_base *base;
	char request[1024];
	size_t sent;
	int status; /* of the program */
};

static void on_writable(struct rstun_channel *channel, void *user)
{
	struct fetch *f = user;
	size_t left = strlen(f->request) - f->sent;
	ssize_t n = rstun_channel_write(channel, f->request + f->sent, left);

	if (n > 0)
		f->sent += (size_t)n;
}

static void on_readable(struct rstun_channel *channel, void *user)
{
	char buffer[16384];
	ssize_t n;

	(void)user;
	while ((n = rstun_channel_read(channel, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, (size_t)n, stdout);
}

/* All was read. */
static void on_end(struct rstun_channel *channel, void *user)
{
	struct fetch *f = user;

	(void)channel;
	f->status = fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	event_base_loopbreak(f->base);
}

static void on_error(struct rstun_channel *channel, void *user, int error, const char *text)
{
	struct fetch *f = user;

	(void)channel;
	fprintf(stderr, "fetch: %s (%s)\n", text, rstun_error_kind(error));
	event_base_loopbreak(f->base);
}

int main(int argc, char **argv)
{
	static const struct rstun_channel_ops ops = {
		.size = sizeof(ops),
		.on_open = on_writable,
		.on_readable = on_readable,
		.on_writable = on_writable,
		.on_end = on_end,
		.on_error = on_error,
	};
	struct fetch f = {.base = event_base_new(), .status = EXIT_FAILURE};
	struct rstun_context *context = NULL;
	struct rstun_client *client = NULL;
	struct rstun_channel *channel;
	char why[256] = "";
	int err;

	if (argc != 5 || f.base == NULL) {
		fprintf(stderr, "usage: fetch SERVER PASSWORD HOST:PORT PATH\n");
		return 2;
	}
	const struct rstun_option options[] = {{"server-addr", argv[1]}, {"password", argv[2]}};

	snprintf(f.request, sizeof(f.request), "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", argv[4],
		 argv[3]);
	err = rstun_context_new(&context, f.base);
	if (err == 0)
		err = rstun_client_new(&client, context, options, 2, NULL, NULL, why, sizeof(why));
	if (err == 0)
		err = rstun_channel_open(&channel, client, argv[3], &ops, &f);
	if (err == 0)
		event_base_dispatch(f.base);
	else
		fprintf(stderr, "fetch: %s\n", why[0] != '\0' ? why : rstun_strerror(err));
	rstun_context_free(context);
	event_base_free(f.base);
	return f.status;
}
