/* SPDX-License-Identifier: MIT */
/*
 * As fetch.c, by a bufferevent: all but main() is what it would be with a socket.
 *   fetch_bufferevent SERVER PASSWORD HOST:PORT PATH
 *   cc fetch_bufferevent.c $(pkg-config --cflags --libs librstun) -o fetch_bufferevent
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <rstun.h>
#include <stdio.h>
#include <stdlib.h>

struct fetch {
	struct event_base *base;
	int status; /* of the program */
};

static void on_read(struct bufferevent *bev, void *user)
{
	char buffer[16384];
	size_t n;

	(void)user;
	while ((n = bufferevent_read(bev, buffer, sizeof(buffer))) > 0)
		fwrite(buffer, 1, n, stdout);
}

static void on_event(struct bufferevent *bev, short what, void *user)
{
	struct fetch *f = user;

	(void)bev;
	if (what & BEV_EVENT_CONNECTED)
		return;
	if (what & BEV_EVENT_EOF)
		f->status = fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	event_base_loopbreak(f->base);
}

int main(int argc, char **argv)
{
	struct fetch f = {.base = event_base_new(), .status = EXIT_FAILURE};
	struct rstun_context *context = NULL;
	struct rstun_client *client = NULL;
	struct rstun_channel *channel = NULL;
	struct bufferevent *bev = NULL;
	char why[256] = "";
	const char *text = "";
	int err;

	if (argc != 5 || f.base == NULL) {
		fprintf(stderr, "usage: fetch_bufferevent SERVER PASSWORD HOST:PORT PATH\n");
		return 2;
	}
	const struct rstun_option options[] = {{"server-addr", argv[1]}, {"password", argv[2]}};

	err = rstun_context_new(&context, f.base);
	if (err == 0)
		err = rstun_client_new(&client, context, options, 2, NULL, NULL, why, sizeof(why));
	if (err == 0)
		err = rstun_channel_open(&channel, client, argv[3], NULL, NULL);
	if (err == 0)
		err = rstun_channel_bufferevent(&bev, channel);
	if (err == 0) {
		bufferevent_setcb(bev, on_read, NULL, on_event, &f);
		bufferevent_enable(bev, EV_READ | EV_WRITE);
		evbuffer_add_printf(bufferevent_get_output(bev),
				    "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", argv[4], argv[3]);
		event_base_dispatch(f.base);
		err = f.status == EXIT_SUCCESS ? 0 : rstun_channel_error(channel, &text);
		if (err != 0)
			fprintf(stderr, "fetch: %s (%s)\n", text, rstun_error_kind(err));
		bufferevent_free(bev);
	} else {
		fprintf(stderr, "fetch: %s\n", why[0] != '\0' ? why : rstun_strerror(err));
	}
	rstun_context_free(context);
	event_base_free(f.base);
	return f.status;
}
