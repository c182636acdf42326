/* SPDX-License-Identifier: MIT */
/*
 * Streams that the far side opens, and what the program answers: a channel of its own, a refusal,
 * or nothing, which leaves the stream to the engine. The engine tells of one from inside; the
 * program is asked by a task, and answers within the call. A request belongs to its owner and is
 * gone when that task has run, or as soon as the stream is.
 */
#include "librstun_private.h"

#include "base/error.h"

#include <stdlib.h>

/* Nothing is to be asked any more; not while it is being asked. */
static void librstun_request_drop(struct librstun_request *r)
{
	loop_task_cancel(&r->owner->context->loop, &r->task);
	LIST_REMOVE(r, link);
	free(r);
}

/* The stream is gone. */
static void librstun_request_on_cut(void *user, enum flow_error error)
{
	struct librstun_request *r = user;

	(void)error;
	r->flow = NULL;
	if (!r->telling)
		librstun_request_drop(r);
}

static void librstun_request_on_task(void *user)
{
	struct librstun_request *r = user;
	struct flow_tcp *flow;

	r->telling = true;
	if (r->owner->stopping)
		(void)rstun_channel_refuse(&r->shown, RSTUN_E_SHUTTING_DOWN);
	else
		r->on_channel(&r->shown, r->user);
	if (r->freed) {
		free(r);
		return;
	}
	flow = r->flow;
	if (flow != NULL)
		flow_program_leave(flow, &r->target);
	librstun_request_drop(r);
}

enum flow_answer
librstun_request_new(struct librstun_owner *owner, const struct flow_request *asked,
		     void (*on_channel)(const struct rstun_channel_request *request, void *user),
		     void *user, struct flow_program *ret_program)
{
	struct librstun_request *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return FLOW_ANSWER_REFUSE;
	r->owner = owner;
	r->flow = asked->flow;
	r->target = *asked->target;
	r->on_channel = on_channel;
	r->user = user;
	if (r->target.kind != TARGET_DEFAULT)
		r->shown.target = target_format(r->target_text, sizeof(r->target_text),
						 &r->target);
	r->shown.peer = address_format(r->peer, sizeof(r->peer), asked->peer);
	r->shown.id = asked->owner_id;
	loop_task_init(&r->task, librstun_request_on_task, r);
	LIST_INSERT_HEAD(&owner->requests, r, link);
	loop_task_schedule(&owner->context->loop, &r->task);
	*ret_program = (struct flow_program){.on_cut = librstun_request_on_cut, .user = r};
	return FLOW_ANSWER_LATER;
}

void librstun_request_free(struct librstun_request *r)
{
	struct flow_tcp *flow = r->flow;

	r->flow = NULL;
	if (flow != NULL)
		flow_program_close(flow, FLOW_SHUTTING_DOWN);
	loop_task_cancel(&r->owner->context->loop, &r->task);
	LIST_REMOVE(r, link);
	r->freed = true;
	if (!r->telling)
		free(r);
}

/* ---- what the program answers ---- */

/* RSTUN_E_CLOSED: there is nothing to answer any more. */
static int librstun_request_enter(const struct rstun_channel_request *request,
				  struct librstun_request **ret)
{
	struct librstun_request *r = (struct librstun_request *)(uintptr_t)request;

	*ret = r;
	return r->freed || r->flow == NULL ? RSTUN_E_CLOSED : librstun_enter(r->owner->context);
}

int rstun_channel_take(struct rstun_channel **ret, const struct rstun_channel_request *request,
		       const struct rstun_channel_ops *ops, void *user)
{
	struct librstun_request *r;
	struct rstun_channel *channel;
	struct flow_program program;
	struct flow_tcp *flow;
	int err = librstun_request_enter(request, &r);

	if (err == 0)
		err = librstun_channel_new(&channel, r->owner, ops, user);
	if (err != 0)
		return err;
	flow = r->flow;
	r->flow = NULL;
	program = librstun_channel_program(channel);
	err = flow_program_take(flow, &program, &r->target);
	if (err != 0) {
		rstun_channel_free(channel);
		return err;
	}
	*ret = channel;
	return 0;
}

int rstun_channel_refuse(const struct rstun_channel_request *request, int error)
{
	struct librstun_request *r;
	struct flow_tcp *flow;
	int err = librstun_request_enter(request, &r);

	if (err != 0)
		return err;
	flow = r->flow;
	r->flow = NULL;
	flow_program_close(flow, flow_error_from_rstun(error));
	return 0;
}
