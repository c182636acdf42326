/* SPDX-License-Identifier: MIT */
/*
 * Contexts of librstun: the engine's loop on the program's event_base, the pool of chunks, the log.
 */
#include "librstun_private.h"

#include "base/error.h"
#include "tls/credentials.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LIBRSTUN_FREE_CHUNKS 64 /* kept for the next stream: 1 MiB */

int librstun_enter(struct rstun_context *context)
{
	bool here = pthread_equal(context->thread, pthread_self()) != 0;

	assert(here);
	if (!here)
		return RSTUN_E_WRONG_THREAD;
	loop_enter(&context->loop);
	return 0;
}

int librstun_copy_ops(void *to, size_t to_size, const void *from, size_t size)
{
	if (size < sizeof(size_t))
		return RSTUN_E_MALFORMED;
	memset(to, 0, to_size);
	memcpy(to, from, size < to_size ? size : to_size);
	return 0;
}

int librstun_target(struct target *ret, const char *text)
{
	struct target target = {.kind = TARGET_DEFAULT};
	const char *why;
	size_t at;

	if (text != NULL &&
	    (strlen(text) >= ADDRESS_TARGET_TEXT_SIZE ||
	     target_parse(&target, text, strlen(text), &at, &why) != 0 ||
	     (target.kind == TARGET_NAME ? target.port : address_port(&target.address)) == 0))
		return RSTUN_E_MALFORMED;
	*ret = target;
	return 0;
}

const char *rstun_version(void)
{
	return PACKAGE_VERSION;
}

static void librstun_context_write_log(void *user, enum log_level level, const char *scope,
				       const char *text)
{
	static const enum rstun_log_level levels[] = {
		[LOG_LEVEL_TRACE] = RSTUN_LOG_TRACE, [LOG_LEVEL_DEBUG] = RSTUN_LOG_DEBUG,
		[LOG_LEVEL_INFO] = RSTUN_LOG_INFO,   [LOG_LEVEL_WARN] = RSTUN_LOG_WARN,
		[LOG_LEVEL_ERROR] = RSTUN_LOG_ERROR,
	};
	struct rstun_context *context = user;

	if (context->on_log != NULL)
		context->on_log(context->log_user, levels[level], scope, text);
}

int rstun_context_new(struct rstun_context **ret, struct event_base *base)
{
	struct rstun_context *context = calloc(1, sizeof(*context));
	int err;

	if (context == NULL)
		return RSTUN_E_NOMEM;
	context->thread = pthread_self();
	context->log = (struct log){
		.level = LOG_LEVEL_ERROR,
		.write = librstun_context_write_log,
		.user = context,
	};
	LIST_INIT(&context->clients);
	LIST_INIT(&context->servers);
	err = tls_global_init();
	if (err != 0) {
		free(context);
		return err;
	}
	chunk_pool_init(&context->pool, LIBRSTUN_FREE_CHUNKS);
	(void)loop_init(&context->loop, base, &context->log); /* fails only when it makes a base */
	*ret = context;
	return 0;
}

void rstun_context_free(struct rstun_context *context)
{
	struct rstun_client *client;
	struct rstun_server *server;

	if (context == NULL || librstun_enter(context) != 0)
		return;
	while ((client = LIST_FIRST(&context->clients)) != NULL)
		rstun_client_free(client);
	while ((server = LIST_FIRST(&context->servers)) != NULL)
		rstun_server_free(server);
	loop_done(&context->loop);
	chunk_pool_done(&context->pool);
	tls_global_done();
	free(context);
}

int rstun_context_set_log(struct rstun_context *context, enum rstun_log_level level,
			  void (*on_log)(void *user, enum rstun_log_level level, const char *scope,
					 const char *text),
			  void *user)
{
	int err = librstun_enter(context);

	if (err != 0)
		return err;
	context->log.level = on_log != NULL ? (enum log_level)level : LOG_LEVEL_ERROR;
	context->on_log = on_log;
	context->log_user = user;
	return 0;
}

int rstun_context_set_socket_hook(struct rstun_context *context,
				  int (*on_socket)(void *user, int fd), void *user)
{
	int err = librstun_enter(context);

	if (err != 0)
		return err;
	context->hook = (struct socket_hook){.call = on_socket, .user = user};
	return 0;
}
