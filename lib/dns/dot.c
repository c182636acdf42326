/* SPDX-License-Identifier: MIT */
/*
 * DNS over TLS. An attempt is one connection to one address of one server; a failed one, or a
 * server that could not find out, leads to the next. A server that says that the name does not
 * exist is believed.
 */
#include "dns/dot.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/random.h"
#include "dns/answer.h"
#include "dns/message.h"
#include "tls/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCOPE "dns"
#define TRIED_ADDRESSES_MAX 4 /* of one server */
#define ATTEMPT_MIN_MS 500
#define FRAME_BYTES_MAX (2 + 65535)

struct dot {
	struct dot_config config;
	void (*on_done)(void *user, const struct resolver_result *result);
	void *user;
	char name[ADDRESS_NAME_MAX + 2];
	size_t server;	    /* the one being asked, */
	size_t address;	    /* and which of its addresses */
	struct direct *own; /* looks up the server's own name */
	struct tls_stream *stream;
	uint16_t ids[ANSWER_FAMILIES];
	struct answer_pair answers;
	uint8_t *in; /* FRAME_BYTES_MAX */
	size_t in_bytes;
	struct loop_task start;
	struct loop_timer timer; /* the end of the attempt, or of the grace */
	uint64_t attempt_deadline_ns;
	char asked[ADDRESS_NAME_MAX + ADDRESS_TEXT_SIZE + 8];
	char why[256]; /* what went wrong so far */
};

static const uint16_t types[] = {[ANSWER_V6] = MESSAGE_TYPE_AAAA, [ANSWER_V4] = MESSAGE_TYPE_A};

static void dot_attempt(struct dot *d);

static void dot_end_attempt(struct dot *d)
{
	loop_timer_cancel(&d->timer);
	direct_free(d->own);
	d->own = NULL;
	tls_stream_free(d->stream);
	d->stream = NULL;
}

static void dot_fail(struct dot *d)
{
	struct resolver_result result = {.error = RSTUN_E_DNS_FAILED};

	snprintf(result.why, sizeof(result.why), "\"%.80s\": %.170s", d->name, d->why);
	d->on_done(d->user, &result); /* may free d */
}

/* Notes a failure and goes on with the next address or, when `server_done`, the next server. */
static void dot_next(struct dot *d, const char *why, bool server_done)
{
	struct server_list_dot *s = &d->config.servers[d->server];
	size_t used = strlen(d->why);

	dot_end_attempt(d);
	snprintf(d->why + used, sizeof(d->why) - used, "%s%s: %s", used ? "; " : "", d->asked, why);
	log_debug(d->config.log, SCOPE, "DNS over TLS: %s: %s", d->asked, why);
	d->address++;
	if (server_done || d->address >= s->count || d->address >= TRIED_ADDRESSES_MAX) {
		/* What a name led to is asked anew next time. */
		if (!s->is_ip && !server_done)
			s->count = 0;
		d->server++;
		d->address = 0;
	}
	if (d->server == d->config.server_count)
		dot_fail(d);
	else
		dot_attempt(d);
}

static void dot_conclude(struct dot *d)
{
	enum answer_state state = answer_pair_state(&d->answers);
	struct resolver_result result = {0};
	char why[sizeof(d->answers.of[0].why)];

	if (state == ANSWER_UNKNOWN) {
		snprintf(why, sizeof(why), "%s", answer_pair_why(&d->answers));
		dot_next(d, why, true);
		return;
	}
	dot_end_attempt(d);
	if (state == ANSWER_FOUND) {
		answer_pair_merge(&d->answers, &result);
	} else {
		result.error = RSTUN_E_DNS_FAILED;
		snprintf(result.why, sizeof(result.why), "\"%.100s\": %s (says %.90s)", d->name,
			 answer_pair_why(&d->answers), d->asked);
	}
	d->on_done(d->user, &result); /* may free d */
}

static void dot_on_timer(void *user)
{
	struct dot *d = user;

	if (answer_pair_enough(&d->answers, loop_now(d->config.direct.loop)) ||
	    answer_pair_state(&d->answers) == ANSWER_FOUND)
		dot_conclude(d);
	else
		dot_next(d, "no answer in time", false);
}

static int dot_on_message(struct dot *d, const uint8_t *data, size_t bytes)
{
	for (int f = 0; f < ANSWER_FAMILIES; f++) {
		struct answer *a = &d->answers.of[f];
		struct message_answer m;

		if (bytes < MESSAGE_HEADER_BYTES || message_id(data) != d->ids[f] ||
		    a->state != ANSWER_OPEN)
			continue;
		if (message_parse(&m, data, bytes, d->ids[f], d->name, types[f]) || m.truncated)
			return RSTUN_E_MALFORMED;
		for (size_t i = 0; i < m.count && i < RESOLVER_ADDRESSES_MAX; i++)
			a->addresses[a->count++] = m.addresses[i];
		if (m.count > 0)
			a->state = ANSWER_FOUND;
		else if (m.rcode == MESSAGE_NOERROR || m.rcode == MESSAGE_NXDOMAIN)
			a->state = ANSWER_NONE;
		else
			a->state = ANSWER_UNKNOWN;
		snprintf(a->why, sizeof(a->why), "%s", message_rcode_text(m.rcode));
		return 0;
	}
	return RSTUN_E_MALFORMED;
}

/* Whole frames out of what has come: length in two bytes, then the message (RFC 1035
 * section 4.2.2). */
static int dot_read_frames(struct dot *d)
{
	size_t at = 0;

	while (d->in_bytes - at >= 2) {
		size_t length = (size_t)(d->in[at] << 8 | d->in[at + 1]);

		if (d->in_bytes - at - 2 < length)
			break;
		if (dot_on_message(d, d->in + at + 2, length))
			return RSTUN_E_MALFORMED;
		at += 2 + length;
	}
	memmove(d->in, d->in + at, d->in_bytes - at);
	d->in_bytes -= at;
	return 0;
}

static void dot_on_data(void *user, const uint8_t *data, size_t bytes)
{
	struct dot *d = user;
	uint64_t now_ns = loop_now(d->config.direct.loop);

	while (bytes > 0) {
		/* There is always room: a frame that fills it is whole and gone. */
		size_t n = FRAME_BYTES_MAX - d->in_bytes;

		if (n > bytes)
			n = bytes;
		memcpy(d->in + d->in_bytes, data, n);
		d->in_bytes += n;
		data += n;
		bytes -= n;
		if (dot_read_frames(d)) {
			dot_next(d, "what it answered is no answer to the question", false);
			return;
		}
	}
	answer_pair_update(&d->answers, now_ns);
	if (answer_pair_enough(&d->answers, now_ns))
		dot_conclude(d);
	else
		loop_timer_arm(&d->timer, clock_min(d->answers.enough_ns, d->attempt_deadline_ns));
}

static void dot_on_ready(void *user)
{
	struct dot *d = user;
	uint8_t frames[2 * (2 + MESSAGE_QUERY_MAX)];
	size_t used = 0;

	for (int f = 0; f < ANSWER_FAMILIES; f++) {
		size_t bytes;

		if (message_query(frames + used + 2, &bytes, d->ids[f], d->name, types[f])) {
			dot_next(d, "the name cannot be asked for", true);
			return;
		}
		frames[used] = (uint8_t)(bytes >> 8);
		frames[used + 1] = (uint8_t)bytes;
		used += 2 + bytes;
	}
	if (tls_stream_write(d->stream, frames, used))
		dot_next(d, "out of memory", false);
}

static void dot_on_close(void *user, int error, const char *why)
{
	struct dot *d = user;

	(void)error;
	if (answer_pair_state(&d->answers) == ANSWER_FOUND)
		dot_conclude(d);
	else
		dot_next(d, why, false);
}

static const struct tls_stream_ops stream_ops = {
	.on_ready = dot_on_ready,
	.on_data = dot_on_data,
	.on_close = dot_on_close,
};

static void dot_new_ids(struct dot *d)
{
	uint64_t r = random_u64();

	d->ids[ANSWER_V6] = (uint16_t)r;
	d->ids[ANSWER_V4] = (uint16_t)(r >> 16);
	if (d->ids[ANSWER_V4] == d->ids[ANSWER_V6])
		d->ids[ANSWER_V4] ^= 1;
}

/* Returns NULL or why not. */
static const char *dot_connect(struct dot *d, const struct server_list_dot *s,
			       const struct address *to)
{
	const struct direct_config *c = &d->config.direct;
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return strerror(errno);
	if (c->on_socket && c->on_socket(c->socket_user, fd)) {
		close(fd);
		return "the socket cannot be set up as configured";
	}
	if (connect(fd, &to->sa, to->len) < 0 && errno != EINPROGRESS) {
		const char *why = strerror(errno);

		close(fd);
		return why;
	}
	if (tls_stream_new(&d->stream, c->loop, fd, d->config.credentials,
			   s->name[0] ? s->name : NULL, to, &stream_ops, d))
		return "TLS cannot be set up";
	return NULL;
}

/* The time that is left, in equal parts for what may still be tried. */
static void dot_arm(struct dot *d, size_t addresses_left)
{
	uint64_t now_ns = loop_now(d->config.direct.loop);
	uint64_t left_ns = d->config.deadline_ns > now_ns ? d->config.deadline_ns - now_ns : 0;
	uint64_t part_ns;

	if (addresses_left > TRIED_ADDRESSES_MAX)
		addresses_left = TRIED_ADDRESSES_MAX;
	part_ns = left_ns / (addresses_left + d->config.server_count - d->server - 1);
	if (part_ns < clock_ms(ATTEMPT_MIN_MS))
		part_ns = clock_ms(ATTEMPT_MIN_MS);
	d->attempt_deadline_ns = clock_after(now_ns, part_ns);
	loop_timer_arm(&d->timer, d->attempt_deadline_ns);
}

static void dot_on_own_name(void *user, const struct resolver_result *result)
{
	struct dot *d = user;
	struct server_list_dot *s = &d->config.servers[d->server];

	if (result->error) {
		dot_next(d, result->why, true);
		return;
	}
	loop_timer_cancel(&d->timer);
	s->count = result->count;
	for (size_t i = 0; i < result->count; i++) {
		s->addresses[i] = result->addresses[i];
		address_set_port(&s->addresses[i], s->port);
	}
	direct_free(d->own);
	d->own = NULL;
	dot_attempt(d);
}

static void dot_attempt(struct dot *d)
{
	struct server_list_dot *s = &d->config.servers[d->server];
	char text[ADDRESS_TEXT_SIZE];
	const char *why;

	answer_pair_init(&d->answers);
	d->in_bytes = 0;
	if (s->count == 0) {
		snprintf(d->asked, sizeof(d->asked), "%s", s->host);
		log_info(d->config.log, SCOPE,
			 "the DNS over TLS server's own name %s is looked up by %s, in clear; give "
			 "its "
			 "address (--dot IP#%s) to avoid that",
			 s->host, d->config.direct.servers ? "--dns" : "this system's DNS",
			 s->host);
		dot_arm(d, 2);
		if (direct_new(&d->own, &d->config.direct, s->host, dot_on_own_name, d))
			dot_next(d, "out of memory", true);
		return;
	}
	address_format(text, sizeof(text), &s->addresses[d->address]);
	if (s->name[0])
		snprintf(d->asked, sizeof(d->asked), "%s (%s)", s->name, text);
	else
		snprintf(d->asked, sizeof(d->asked), "%s", text);
	dot_new_ids(d);
	dot_arm(d, s->count - d->address);
	why = dot_connect(d, s, &s->addresses[d->address]);
	if (why)
		dot_next(d, why, false);
}

static void dot_on_start(void *user)
{
	dot_attempt(user);
}

int dot_new(struct dot **ret, const struct dot_config *config, const char *name,
	    void (*on_done)(void *user, const struct resolver_result *result), void *user)
{
	struct dot *d = calloc(1, sizeof(*d));

	if (d)
		d->in = malloc(FRAME_BYTES_MAX);
	if (!d || !d->in) {
		free(d);
		return RSTUN_E_NOMEM;
	}
	d->config = *config;
	d->on_done = on_done;
	d->user = user;
	snprintf(d->name, sizeof(d->name), "%s", name);
	loop_task_init(&d->start, dot_on_start, d);
	loop_timer_init(&d->timer, config->direct.loop, dot_on_timer, d);
	loop_task_schedule(config->direct.loop, &d->start);
	*ret = d;
	return 0;
}

void dot_free(struct dot *d)
{
	if (!d)
		return;
	dot_end_attempt(d);
	loop_task_cancel(d->config.direct.loop, &d->start);
	free(d->in);
	free(d);
}

const char *dot_asked(const struct dot *d)
{
	return d->asked;
}
