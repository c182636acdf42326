/* SPDX-License-Identifier: MIT */
/*
 * What clients and servers of librstun have in common: the part that owns channels, options as
 * text, the engine's surroundings, sentences about errors.
 */
#include "librstun_private.h"

#include "base/error.h"
#include "base/random.h"

#include <stdio.h>
#include <string.h>

void librstun_owner_init(struct librstun_owner *owner, struct rstun_context *context,
			 const char *stopped_text)
{
	*owner = (struct librstun_owner){
		.context = context,
		.hook = context->hook,
		.stopped_text = stopped_text,
	};
	LIST_INIT(&owner->channels);
	LIST_INIT(&owner->requests);
}

void librstun_owner_done(struct librstun_owner *owner)
{
	struct rstun_channel *channel;
	struct librstun_request *request;

	while ((channel = LIST_FIRST(&owner->channels)) != NULL)
		librstun_channel_destroy(channel);
	while ((request = LIST_FIRST(&owner->requests)) != NULL)
		librstun_request_free(request);
}

void librstun_env_init(struct tunnel_env *env, struct rstun_context *context)
{
	*env = (struct tunnel_env){
		.loop = &context->loop,
		.log = &context->log,
		.pool = &context->pool,
		.worker_count = 1,
	};
	random_bytes(env->secret, sizeof(env->secret));
}

/* Not an option of the daemon, nor one that reads a secret from a file. */
static bool librstun_takes(const struct field *row, const char *also)
{
	if (also != NULL && strcmp(row->name, also) == 0)
		return true;
	return (row->flags & FIELD_CLI_ONLY) == 0 && strcmp(row->name, "password-file") != 0 &&
	       strcmp(row->name, "proxy-auth-file") != 0;
}

int librstun_set_option(const struct field *rows, size_t row_count, const char *also, void *config,
			const struct rstun_option *option, char error[FIELD_ERROR_SIZE])
{
	const struct field *row = field_find(rows, row_count, option->name);
	const struct field *near;

	if (row != NULL && librstun_takes(row, also))
		return field_set(row, config, option->value, error) == 0 ? 0
									 : RSTUN_E_CONFIG_INVALID;
	near = field_suggest(rows, row_count, option->name);
	if (row != NULL)
		snprintf(error, FIELD_ERROR_SIZE, "%s: an option of the daemon, not of the library",
			 row->name);
	else if (near != NULL)
		snprintf(error, FIELD_ERROR_SIZE, "there is no option %.64s; did you mean %s?",
			 option->name, near->name);
	else
		snprintf(error, FIELD_ERROR_SIZE, "there is no option %.64s", option->name);
	return RSTUN_E_CONFIG_INVALID;
}

void librstun_say_of(const char *given, char *error, size_t error_size, const char *why, int err)
{
	if (why[0] != '\0')
		librstun_say(error, error_size, why, err);
	else if (error != NULL && error_size > 0)
		snprintf(error, error_size, "%s: %s", given, rstun_strerror(err));
}

void librstun_say(char *error, size_t error_size, const char *why, int err)
{
	if (error != NULL && error_size > 0)
		snprintf(error, error_size, "%s", why[0] != '\0' ? why : rstun_strerror(err));
}
