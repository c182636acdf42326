/* SPDX-License-Identifier: MIT */
/*
 * What every object of tunnel/ on one thread shares, given by the thread's owner and borrowed for
 * life.
 */
#pragma once

#include "base/chunk.h"
#include "base/loop.h"
#include "dns/resolver.h"
#include "tunnel/event.h"

struct log;

struct tunnel_env {
	struct loop *loop;
	const struct log *log;
	struct chunk_pool *pool;
	unsigned worker, worker_count;
	uint8_t secret[32]; /* reset and Retry tokens */
	void (*on_event)(void *user, const struct tunnel_event *event);
	void *user;
};
