/* SPDX-License-Identifier: MIT */
/*
 * What waits to be written to a caller: a list of lines. It is bounded by those who put something
 * there: no request is dispatched while CONTROL_OUTPUT_MAX wait, and subscriptions keep to their
 * own bounds.
 */
#include "rstund/control/control_private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CONTROL_OUTPUT_LINES 64 /* in one call of the system */

void control_output_put(struct control_connection *c, char *text, size_t bytes, bool event)
{
	struct control_line *line = NULL;

	if (!c->hung_up && !c->broken && !c->closing) {
		line = malloc(sizeof(*line));
		c->broken = line == NULL;
		control_connection_wake(c);
	}
	if (line == NULL) {
		free(text);
		return;
	}
	*line = (struct control_line){.text = text, .bytes = bytes, .event = event};
	STAILQ_INSERT_TAIL(&c->output, line, link);
	c->output_bytes += bytes;
	c->event_bytes += event ? bytes : 0;
}

static void control_output_shift(struct control_connection *c)
{
	struct control_line *line = STAILQ_FIRST(&c->output);

	STAILQ_REMOVE_HEAD(&c->output, link);
	free(line->text);
	free(line);
}

void control_output_discard(struct control_connection *c)
{
	while (!STAILQ_EMPTY(&c->output))
		control_output_shift(c);
	c->output_bytes = c->event_bytes = 0;
}

static void control_output_sent(struct control_connection *c, size_t bytes)
{
	while (bytes > 0) {
		struct control_line *line = STAILQ_FIRST(&c->output);
		size_t left = line->bytes - line->sent, n = bytes < left ? bytes : left;

		line->sent += n;
		bytes -= n;
		c->output_bytes -= n;
		c->event_bytes -= line->event ? n : 0;
		if (n == left)
			control_output_shift(c);
	}
}

bool control_output_write(struct control_connection *c)
{
	while (!STAILQ_EMPTY(&c->output) && !c->blocked) {
		struct iovec iov[CONTROL_OUTPUT_LINES];
		struct msghdr m = {.msg_iov = iov};
		struct control_line *line;
		ssize_t n;

		STAILQ_FOREACH(line, &c->output, link) {
			if (m.msg_iovlen == CONTROL_OUTPUT_LINES)
				break;
			iov[m.msg_iovlen++] = (struct iovec){
				.iov_base = line->text + line->sent,
				.iov_len = line->bytes - line->sent,
			};
		}
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			control_output_sent(c, (size_t)n);
		else if (errno == EAGAIN)
			c->blocked = true;
		else if (errno != EINTR)
			return false;
	}
	return true;
}
