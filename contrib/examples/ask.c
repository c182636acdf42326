/* SPDX-License-Identifier: MIT */
/*
 * Sends a datagram through a tunnel, without a port on this machine, and prints the answer:
 *   ask SERVER PASSWORD HOST:PORT TEXT
 *   cc ask.c $(pkg-config --cflags --libs librstun) -o ask
 * Datagrams may be lost: it asks again each second, three times in all.
 */
#include <event2/event.h>
#include <rstun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ask {
	struct event_base *base;
	struct event *timer;
	struct rstun_udp *udp;
	const char *target, *text;
	int asked;
	int status; /* of the program */
};

static void fail(struct ask *a, const char *why, int error)
{
	fprintf(stderr, "ask: %s (%s)\n", why, rstun_error_kind(error));
	event_base_loopbreak(a->base);
}

static void send_it(struct ask *a)
{
	const struct timeval second = {1, 0};
	int err = rstun_udp_send(a->udp, a->target, a->text, strlen(a->text));

	a->asked++;
	if (err != 0 && err != RSTUN_E_AGAIN)
		fail(a, rstun_strerror(err), err);
	else
		event_add(a->timer, &second);
}

static void on_second(evutil_socket_t fd, short what, void *user)
{
	struct ask *a = user;

	(void)fd;
	(void)what;
	if (a->asked < 3)
		send_it(a);
	else
		fail(a, "no answer", RSTUN_E_TIMEOUT);
}

static void on_open(struct rstun_udp *udp, void *user)
{
	(void)udp;
	send_it(user);
}

static void on_datagram(struct rstun_udp *udp, void *user, const char *target, const void *data,
			size_t bytes)
{
	struct ask *a = user;

	(void)udp;
	(void)target;
	fwrite(data, 1, bytes, stdout);
	a->status = fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	event_base_loopbreak(a->base);
}

static void on_target_error(struct rstun_udp *udp, void *user, const char *target, int error,
			    const char *text)
{
	(void)udp;
	(void)target;
	fail(user, text, error);
}

static void on_error(struct rstun_udp *udp, void *user, int error, const char *text)
{
	(void)udp;
	fail(user, text, error);
}

int main(int argc, char **argv)
{
	static const struct rstun_udp_ops ops = {
		.size = sizeof(ops),
		.on_open = on_open,
		.on_datagram = on_datagram,
		.on_target_error = on_target_error,
		.on_error = on_error,
	};
	struct ask a = {.base = event_base_new(), .status = EXIT_FAILURE};
	struct rstun_context *context = NULL;
	struct rstun_client *client = NULL;
	char why[256] = "";
	int err;

	if (argc != 5 || a.base == NULL) {
		fprintf(stderr, "usage: ask SERVER PASSWORD HOST:PORT TEXT\n");
		return 2;
	}
	const struct rstun_option options[] = {{"server-addr", argv[1]}, {"password", argv[2]}};

	a.target = argv[3];
	a.text = argv[4];
	a.timer = event_new(a.base, -1, 0, on_second, &a);
	err = a.timer != NULL ? rstun_context_new(&context, a.base) : RSTUN_E_NOMEM;
	if (err == 0)
		err = rstun_client_new(&client, context, options, 2, NULL, NULL, why, sizeof(why));
	if (err == 0)
		err = rstun_udp_open(&a.udp, client, &ops, &a);
	if (err == 0)
		event_base_dispatch(a.base);
	else
		fprintf(stderr, "ask: %s\n", why[0] != '\0' ? why : rstun_strerror(err));
	rstun_context_free(context);
	if (a.timer != NULL)
		event_free(a.timer);
	event_base_free(a.base);
	return a.status;
}
