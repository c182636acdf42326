/* SPDX-License-Identifier: MIT */
/*
 * UDP objects of librstun: an association of the engine's (tunnel/flow_associate.h) whose near side
 * is the program. What comes is copied, because it may free everything when it is told, and told by
 * a task in the order it came; the queue between is emptied in each turn of the loop and bounded by
 * bytes, for what many flows bring in one.
 */
#include "librstun_private.h"

#include "base/error.h"
#include "tunnel/client.h"
#include "tunnel/flow_associate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than one flow brings in a turn, so only many together lose something. */
#define LIBRSTUN_UDP_ARRIVED_MAX (4 * 1024 * 1024)

/* ---- what is told ---- */

static void librstun_udp_schedule(struct rstun_udp *udp)
{
	loop_task_schedule(&udp->client->owner.context->loop, &udp->task);
}

static struct librstun_arrival *librstun_udp_pop(struct rstun_udp *udp)
{
	struct librstun_arrival *arrival = STAILQ_FIRST(&udp->arrivals);

	if (arrival == NULL)
		return NULL;
	STAILQ_REMOVE_HEAD(&udp->arrivals, link);
	udp->arrived_bytes -= sizeof(*arrival) + arrival->bytes;
	return arrival;
}

static void librstun_udp_tell_arrival(struct rstun_udp *udp, const struct librstun_arrival *arrival)
{
	const char *target = arrival->target[0] != '\0' ? arrival->target : NULL;

	if (arrival->error != FLOW_OK && udp->ops.on_target_error != NULL)
		udp->ops.on_target_error(udp, udp->user, target,
					 flow_error_to_rstun(arrival->error),
					 flow_error_text(arrival->error));
	if (arrival->error == FLOW_OK && udp->ops.on_datagram != NULL)
		udp->ops.on_datagram(udp, udp->user, target, arrival->data, arrival->bytes);
}

static void librstun_udp_tell(struct rstun_udp *udp)
{
	struct librstun_arrival *arrival;

	if (udp->opened) {
		udp->opened = false;
		if (udp->ops.on_open != NULL)
			udp->ops.on_open(udp, udp->user);
	}
	while (!udp->freed && (arrival = librstun_udp_pop(udp)) != NULL) {
		librstun_udp_tell_arrival(udp, arrival);
		free(arrival);
	}
	if (!udp->freed && udp->failed) {
		udp->failed = false;
		if (udp->ops.on_error != NULL)
			udp->ops.on_error(udp, udp->user, udp->error, udp->text);
	}
}

static void librstun_udp_on_task(void *user)
{
	struct rstun_udp *udp = user;

	udp->telling = true;
	librstun_udp_tell(udp);
	udp->telling = false;
	if (udp->freed)
		free(udp);
}

/* ---- what the engine says ---- */

/* Room for `bytes`, noted already; NULL: they are dropped. */
static struct librstun_arrival *librstun_udp_note(struct rstun_udp *udp, const char *target,
						  size_t bytes)
{
	size_t target_bytes = strlen(target) + 1;
	struct librstun_arrival *arrival;

	if (udp->arrived_bytes + sizeof(*arrival) + bytes > LIBRSTUN_UDP_ARRIVED_MAX)
		return NULL;
	arrival = malloc(sizeof(*arrival) + target_bytes + bytes);
	if (arrival == NULL)
		return NULL;
	memcpy(arrival->place, target, target_bytes);
	arrival->error = FLOW_OK;
	arrival->target = arrival->place;
	arrival->data = (const uint8_t *)arrival->place + target_bytes;
	arrival->bytes = bytes;
	STAILQ_INSERT_TAIL(&udp->arrivals, arrival, link);
	udp->arrived_bytes += sizeof(*arrival) + bytes;
	librstun_udp_schedule(udp);
	return arrival;
}

static bool librstun_udp_on_datagram(void *user, const char *target, const struct iovec *iov,
				     size_t iov_count)
{
	struct librstun_arrival *arrival;
	size_t bytes = 0, at = strlen(target) + 1;

	for (size_t i = 0; i < iov_count; i++)
		bytes += iov[i].iov_len;
	arrival = librstun_udp_note(user, target, bytes);
	if (arrival == NULL)
		return false;
	for (size_t i = 0; i < iov_count; i++) {
		memcpy(arrival->place + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	return true;
}

static void librstun_udp_on_refused(void *user, const char *target, enum flow_error error)
{
	struct librstun_arrival *arrival = librstun_udp_note(user, target, 0);

	if (arrival != NULL)
		arrival->error = error;
}

static void librstun_udp_on_open(void *user)
{
	struct rstun_udp *udp = user;

	udp->opened = true;
	librstun_udp_schedule(udp);
}

static void librstun_udp_on_failed(void *user, int error, const char *text)
{
	struct rstun_udp *udp = user;

	udp->near = NULL;
	udp->opened = false;
	udp->failed = true;
	udp->error = error;
	if (udp->client->owner.stopping)
		text = "the client was stopped";
	snprintf(udp->text, sizeof(udp->text), "%s", text[0] != '\0' ? text : rstun_strerror(error));
	librstun_udp_schedule(udp);
}

/* ---- what the program asks ---- */

static int librstun_udp_start(struct rstun_udp *udp)
{
	const struct flow_datagrams program = {
		.program = {
			.on_datagram = librstun_udp_on_datagram,
			.on_refused = librstun_udp_on_refused,
			.user = udp,
		},
		.on_open = librstun_udp_on_open,
		.on_failed = librstun_udp_on_failed,
	};

	return client_open_udp(udp->client->engine, &program, &udp->near);
}

int rstun_udp_open(struct rstun_udp **ret, struct rstun_client *client,
		   const struct rstun_udp_ops *ops, void *user)
{
	struct rstun_udp *udp;
	int err = librstun_enter(client->owner.context);

	if (err == 0 && client->owner.stopping)
		err = RSTUN_E_SHUTTING_DOWN;
	if (err != 0)
		return err;
	udp = calloc(1, sizeof(*udp));
	if (udp == NULL)
		return RSTUN_E_NOMEM;
	udp->client = client;
	udp->user = user;
	STAILQ_INIT(&udp->arrivals);
	loop_task_init(&udp->task, librstun_udp_on_task, udp);
	err = librstun_copy_ops(&udp->ops, sizeof(udp->ops), ops, ops->size);
	if (err == 0)
		err = librstun_udp_start(udp);
	if (err != 0) {
		free(udp);
		return err;
	}
	LIST_INSERT_HEAD(&client->udps, udp, link);
	*ret = udp;
	return 0;
}

int rstun_udp_send(struct rstun_udp *udp, const char *target, const void *data, size_t bytes)
{
	struct target wanted;
	int err = librstun_enter(udp->client->owner.context);

	if (err == 0)
		err = librstun_target(&wanted, target);
	if (err == 0 && bytes > RSTUN_UDP_DATAGRAM_MAX)
		err = RSTUN_E_TOO_LARGE;
	if (err == 0)
		err = udp->error;
	if (err != 0)
		return err;
	return flow_associate_send(udp->near, target != NULL ? target : "", &wanted, data, bytes);
}

void rstun_udp_free(struct rstun_udp *udp)
{
	struct librstun_arrival *arrival;

	if (udp == NULL || librstun_enter(udp->client->owner.context) != 0)
		return;
	if (udp->near != NULL)
		flow_associate_end(udp->near);
	loop_task_cancel(&udp->client->owner.context->loop, &udp->task);
	while ((arrival = librstun_udp_pop(udp)) != NULL)
		free(arrival);
	LIST_REMOVE(udp, link);
	udp->freed = true;
	if (!udp->telling)
		free(udp);
}
