/* SPDX-License-Identifier: MIT */
/*
 * The side of a UDP mapping that receives the first datagram: one bound socket, a flow with a
 * stream for each source (and, on a wildcard socket, for each address of ours that the source wrote
 * to, so answers of two of them never mix). Or a program in place of the socket: a flow for each
 * target that it names; no source.
 *
 * The opener owns the socket and its flows; a flow owns its stream end. A flow ends when it was
 * idle for the timeout, when the far side ends or refuses the stream, or by udp_opener_reset; the
 * next datagram of its source opens another. Everything on one loop's thread.
 */
#include "relay/udp_flow.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "relay/flow_table.h"
#include "relay/frame.h"
#include "relay/udp_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UDP_OPENER_FLOWS_MAX 4096
#define UDP_SOCKS_HEAD 3 /* bytes before the target, RFC 1928 section 7 */

struct udp_opener_flow {
	struct flow_entry entry; /* first */
	struct udp_opener *opener;
	struct end *stream;
	struct loop_task task; /* stream to socket or program */
	struct udp_path path;  /* back to the source */
	uint64_t answered_ns;  /* when something last came back, or the stream was opened */
	uint64_t id, started_ns;
	uint64_t in_bytes, out_bytes; /* its share of the counters */
	uint8_t head[];        /* what its datagrams begin with */
};

/* A datagram without what it begins with. */
struct udp_opener_datagram {
	struct flow_entry key;
	struct target target;
	const uint8_t *data;
	size_t bytes;
	unsigned interface;
};

struct udp_opener {
	struct udp_opener_config config;
	struct udp_program program; /* config.program is this, or NULL */
	struct loop *loop;
	uint64_t idle_ns;
	int fd; /* with event and batch; -1: a program's */
	struct event event;
	struct udp_batch *batch;
	struct flow_table flows;
	struct loop_timer timer; /* for the flow that has been idle longest */
};

static void udp_flow_schedule(struct udp_opener_flow *f)
{
	loop_task_schedule(f->opener->loop, &f->task);
}

/* `graceful`: what is on the way still arrives; else the stream is aborted with it. */
static void udp_flow_end(struct udp_opener_flow *f, bool graceful)
{
	struct udp_opener *o = f->opener;

	flow_table_remove(&o->flows, &f->entry);
	loop_task_cancel(o->loop, &f->task);
	if (graceful) {
		f->stream->ops->finish(f->stream);
		f->stream->ops->stop_reading(f->stream, FLOW_RESET);
	}
	f->stream->ops->free(f->stream);
	free(f);
	if (o->config.on_flow_done != NULL)
		o->config.on_flow_done(o->config.user);
	if (o->config.program != NULL && o->program.on_done != NULL)
		o->program.on_done(o->program.user);
}

static void udp_flow_run(void *user)
{
	struct udp_opener_flow *f = user;
	struct udp_opener *o = f->opener;
	struct udp_counters *counters = o->config.common.counters;
	uint64_t out_before = counters->out_bytes;
	size_t bytes;
	int count = 0;

	for (int i = 0; i < UDP_TURN_BATCHES; i++) {
		count = udp_forward_frames(f->stream, o->fd, &f->path, counters, &bytes);
		if (count == 0)
			break;
		f->answered_ns = loop_now(o->loop);
		flow_table_touch(&o->flows, &f->entry, f->answered_ns);
	}
	f->out_bytes += counters->out_bytes - out_before;
	if (count > 0)
		udp_flow_schedule(f);
	else if (f->stream->ops->at_end(f->stream))
		udp_flow_end(f, true);
}

/* At once: it comes once for all that a wake-up brought, and before the connection writes. */
static void udp_flow_on_readable(void *user)
{
	udp_flow_run(user);
}

static void udp_flow_on_writable(void *user)
{
	(void)user; /* datagrams do not wait for room */
}

/* The far side does not go on. FLOW_RESET is no reason: a flow that was idle there ends so, too. */
static void udp_flow_on_refused(void *user, enum flow_error error)
{
	struct udp_opener_flow *f = user;
	const struct udp_program *program = f->opener->config.program;

	if (program != NULL && error != FLOW_RESET)
		program->on_refused(program->user, (const char *)f->head, error);
	udp_flow_end(f, false);
}

static void udp_flow_on_error(void *user, enum flow_error error, bool both)
{
	if (both)
		udp_flow_end(user, false); /* the tunnel is lost, which its owner knows */
	else
		udp_flow_on_refused(user, error);
}

static const struct end_owner udp_flow_owner = {
	.on_readable = udp_flow_on_readable,
	.on_writable = udp_flow_on_writable,
	.on_error = udp_flow_on_error,
	.on_refused = udp_flow_on_refused,
};

/* Not 0: the datagram is dropped, and counted here. */
static int udp_flow_open(struct udp_opener *o, const struct udp_opener_datagram *d,
			 struct udp_opener_flow **ret)
{
	struct udp_counters *counters = o->config.common.counters;
	uint8_t target[FRAME_TARGET_MAX];
	size_t target_bytes = frame_put_target(target, &d->target);
	struct udp_opener_flow *f;
	uint64_t id = 0;

	if (o->flows.count >= o->config.max_flows) {
		counters->dropped_flows++;
		return RSTUN_E_LIMIT_REACHED;
	}
	f = calloc(1, sizeof(*f) + d->key.head_bytes);
	if (f == NULL) {
		counters->dropped_flows++;
		return RSTUN_E_NOMEM;
	}
	f->stream = o->config.open(o->config.user, &d->key.source, &id);
	if (f->stream == NULL) {
		counters->dropped_no_tunnel++;
		free(f);
		return RSTUN_E_AGAIN;
	}
	if (!udp_put_bytes(f->stream, target, target_bytes, NULL, 0)) {
		counters->dropped_full++;
		f->stream->ops->free(f->stream);
		free(f);
		return RSTUN_E_AGAIN;
	}
	f->opener = o;
	f->stream->owner = &udp_flow_owner;
	f->stream->owner_user = f;
	if (d->key.head_bytes > 0)
		memcpy(f->head, d->key.head, d->key.head_bytes);
	f->path = (struct udp_path){
		.to = d->key.source,
		.from = d->key.local,
		.interface = d->interface,
		.head = f->head,
		.head_bytes = d->key.head_bytes,
		.program = o->config.program,
	};
	f->id = id;
	f->started_ns = loop_now(o->loop);
	f->answered_ns = f->started_ns;
	loop_task_init(&f->task, udp_flow_run, f);
	f->entry = d->key;
	f->entry.head = f->head;
	flow_table_add(&o->flows, &f->entry, f->answered_ns);
	if (o->flows.count == 1)
		loop_timer_arm(&o->timer, clock_after(f->answered_ns, o->idle_ns));
	f->stream->ops->want_read(f->stream, true);
	*ret = f;
	return 0;
}

/* Not 0: the datagram is dropped, and counted. */
static int udp_opener_put(struct udp_opener *o, const struct udp_opener_datagram *d)
{
	uint64_t now_ns = loop_now(o->loop);
	struct udp_opener_flow *f;
	int err = 0;

	if (o->config.common.peer_is_original && d->bytes > FRAME_ORIGINAL_MAX) {
		udp_drop_too_large(&o->config.common, d->bytes); /* not worth a stream */
		return RSTUN_E_TOO_LARGE;
	}
	f = (struct udp_opener_flow *)flow_table_find(&o->flows, &d->key);
	/* The original has stopped relaying answers for good by now (WIRE.md section 1). */
	if (f != NULL && o->config.common.peer_is_original &&
	    now_ns >= clock_after(f->answered_ns, o->idle_ns)) {
		udp_flow_end(f, true);
		f = NULL;
	}
	if (f == NULL)
		err = udp_flow_open(o, d, &f);
	if (err != 0)
		return err;
	flow_table_touch(&o->flows, &f->entry, now_ns);
	if (!udp_put_frame(f->stream, d->data, d->bytes, &o->config.common))
		return RSTUN_E_AGAIN;
	f->in_bytes += d->bytes;
	return 0;
}

int udp_opener_send(struct udp_opener *o, const char *name, const struct target *target,
		    const void *data, size_t bytes)
{
	const struct udp_opener_datagram d = {
		.key = {.head = (const uint8_t *)name, .head_bytes = strlen(name) + 1},
		.target = *target,
		.data = data,
		.bytes = bytes,
	};

	return udp_opener_put(o, &d);
}

/* ---- the socket ---- */

/* Takes off what a datagram of SOCKS5 begins with. False: it cannot be forwarded. */
static bool udp_opener_read_head(struct udp_opener_datagram *d)
{
	size_t used;

	/* Two reserved bytes that are not looked at, and the number of a fragment: whoever does not
	 * put fragments together drops them. */
	if (d->bytes < UDP_SOCKS_HEAD || d->data[2] != 0 ||
	    frame_get_socks_target(&d->target, &used, d->data + UDP_SOCKS_HEAD,
				   d->bytes - UDP_SOCKS_HEAD) != 0 ||
	    (d->target.kind == TARGET_NAME ? d->target.port
					   : address_port(&d->target.address)) == 0)
		return false;
	d->key.head = d->data;
	d->key.head_bytes = UDP_SOCKS_HEAD + used;
	d->data += d->key.head_bytes;
	d->bytes -= d->key.head_bytes;
	return true;
}

static void udp_opener_take(struct udp_opener *o, const struct udp_packet *packet)
{
	struct udp_counters *counters = o->config.common.counters;
	struct udp_opener_datagram d = {
		.key = {.source = packet->source, .local = packet->local},
		.target = o->config.target,
		.data = packet->data,
		.bytes = packet->bytes,
		.interface = packet->interface,
	};

	if (packet->truncated) {
		counters->dropped_too_large++;
		return;
	}
	if ((o->config.only.len != 0 && !address_equal_ip(&o->config.only, &packet->source)) ||
	    (o->config.socks && !udp_opener_read_head(&d))) {
		counters->dropped_malformed++;
		return;
	}
	if (packet->source.len == 0 || address_port(&packet->source) == 0) {
		counters->dropped_socket++; /* nowhere to answer to */
		return;
	}
	(void)udp_opener_put(o, &d);
}

static void udp_opener_on_event(evutil_socket_t fd, short what, void *user)
{
	struct udp_opener *o = user;

	(void)what;
	loop_enter(o->loop);
	for (int turn = 0; turn < UDP_TURN_BATCHES; turn++) {
		int count = udp_batch_receive(o->batch, fd, true);

		for (int i = 0; i < count; i++) {
			struct udp_packet packet;

			udp_batch_packet(o->batch, i, &packet);
			udp_opener_take(o, &packet);
		}
		if (count < 0)
			log_debug(o->config.common.log, "udp", "receiving failed: %s",
				  strerror(-count));
		if (count < UDP_BATCH)
			break;
	}
}

static void udp_opener_on_timer(void *user)
{
	struct udp_opener *o = user;
	uint64_t now_ns = loop_now(o->loop);
	struct flow_entry *entry;

	while ((entry = flow_table_oldest(&o->flows)) != NULL) {
		uint64_t deadline_ns = clock_after(entry->active_ns, o->idle_ns);

		if (now_ns < deadline_ns) {
			loop_timer_arm(&o->timer, deadline_ns);
			return;
		}
		udp_flow_end((struct udp_opener_flow *)entry, true);
	}
}

static bool udp_opener_listen(struct udp_opener *o)
{
	o->batch = udp_batch_acquire();
	event_assign(&o->event, o->loop->base, o->fd, EV_READ | EV_PERSIST, udp_opener_on_event, o);
	return o->batch != NULL && event_add(&o->event, NULL) == 0;
}

static void udp_opener_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

int udp_opener_new(struct udp_opener **ret, const struct udp_opener_config *config)
{
	struct udp_opener *o = calloc(1, sizeof(*o));
	int fd = config->program == NULL ? config->fd : -1;

	if (o == NULL) {
		udp_opener_close(fd);
		return RSTUN_E_NOMEM;
	}
	o->config = *config;
	if (config->program != NULL) {
		o->program = *config->program;
		o->config.program = &o->program;
	}
	if (o->config.max_flows == 0)
		o->config.max_flows = UDP_OPENER_FLOWS_MAX;
	o->loop = config->common.loop;
	o->idle_ns = config->common.idle_timeout_ms == 0 ? CLOCK_NEVER
							 : clock_ms(config->common.idle_timeout_ms);
	o->fd = fd;
	loop_timer_init(&o->timer, o->loop, udp_opener_on_timer, o);
	if (flow_table_init(&o->flows) != 0 || (fd >= 0 && !udp_opener_listen(o))) {
		flow_table_done(&o->flows);
		udp_batch_release(o->batch);
		udp_opener_close(fd);
		free(o);
		return RSTUN_E_NOMEM;
	}
	*ret = o;
	return 0;
}

static void udp_opener_end_all(struct udp_opener *o, bool graceful)
{
	struct flow_entry *entry;

	while ((entry = flow_table_oldest(&o->flows)) != NULL)
		udp_flow_end((struct udp_opener_flow *)entry, graceful);
}

void udp_opener_reset(struct udp_opener *o, bool peer_is_original)
{
	o->config.common.peer_is_original = peer_is_original;
	udp_opener_end_all(o, false);
}

size_t udp_opener_flows(const struct udp_opener *o)
{
	return o->flows.count;
}

void udp_opener_visit(const struct udp_opener *o,
		      void (*visit)(void *user, const struct udp_opener_info *flow), void *user)
{
	const struct flow_entry *entry;

	TAILQ_FOREACH(entry, &o->flows.ages, age)
	{
		const struct udp_opener_flow *f = (const struct udp_opener_flow *)entry;
		struct udp_opener_info info = {
			.id = f->id,
			.source = o->config.program == NULL ? &entry->source : NULL,
			.name = o->config.program == NULL ? NULL : (const char *)f->head,
			.in_bytes = f->in_bytes,
			.out_bytes = f->out_bytes,
			.started_ns = f->started_ns,
			.active_ns = entry->active_ns,
		};

		visit(user, &info);
	}
}

size_t udp_opener_kill(struct udp_opener *o, uint64_t id)
{
	struct flow_entry *entry, *next;
	size_t count = 0;

	for (entry = flow_table_oldest(&o->flows); entry != NULL; entry = next) {
		struct udp_opener_flow *f = (struct udp_opener_flow *)entry;

		next = TAILQ_NEXT(entry, age);
		if (id != 0 && f->id != id)
			continue;
		udp_flow_end(f, false);
		count++;
	}
	return count;
}

void udp_opener_free(struct udp_opener *o)
{
	if (o == NULL)
		return;
	udp_opener_end_all(o, true);
	if (o->fd >= 0)
		event_del(&o->event);
	loop_timer_cancel(&o->timer);
	flow_table_done(&o->flows);
	udp_batch_release(o->batch);
	udp_opener_close(o->fd);
	free(o);
}
