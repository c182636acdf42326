/* SPDX-License-Identifier: MIT */
/*
 * Clients of librstun: a configuration from options, the engine's client (tunnel/client.h), its
 * mappings, and what is told about them. The configuration lives as long as the engine's client,
 * which borrows it.
 */
#include "librstun_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "relay/tcp_listener.h"
#include "relay/udp_flow.h"
#include "tls/credentials.h"
#include "tunnel/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The engine's states go out as they are. */
_Static_assert((int)RSTUN_STATE_IDLE == (int)TUNNEL_IDLE &&
		       (int)RSTUN_STATE_CONNECTING == (int)TUNNEL_CONNECTING &&
		       (int)RSTUN_STATE_CONNECTED == (int)TUNNEL_CONNECTED &&
		       (int)RSTUN_STATE_TUNNELING == (int)TUNNEL_TUNNELING &&
		       (int)RSTUN_STATE_RECONNECTING == (int)TUNNEL_RECONNECTING &&
		       (int)RSTUN_STATE_FAILED == (int)TUNNEL_FAILED &&
		       (int)RSTUN_STATE_STOPPED == (int)TUNNEL_STOPPED,
	       "enum rstun_state is enum tunnel_state");
_Static_assert((int)RSTUN_TCP == (int)MAPPING_TCP && (int)RSTUN_UDP == (int)MAPPING_UDP &&
		       (int)RSTUN_IN == (int)MAPPING_IN && (int)RSTUN_OUT == (int)MAPPING_OUT,
	       "enum rstun_proto and rstun_mode are those of mappings");

/* ---- what is told ---- */

static void librstun_client_on_task(void *user)
{
	struct rstun_client *client = user;
	struct librstun_note *note;

	client->telling = true;
	while (!client->freed && (note = STAILQ_FIRST(&client->notes)) != NULL) {
		STAILQ_REMOVE_HEAD(&client->notes, link);
		note->tell(client, note);
		free(note);
	}
	if (!client->freed && client->stopped) {
		client->stopped = false;
		if (client->ops.on_stopped != NULL)
			client->ops.on_stopped(client, client->user);
	}
	client->telling = false;
	if (client->freed)
		free(client);
}

struct librstun_note *librstun_note(struct rstun_client *client,
				    void (*tell)(struct rstun_client *client,
						 const struct librstun_note *note))
{
	struct librstun_note *note = calloc(1, sizeof(*note));

	if (note == NULL)
		return NULL;
	note->tell = tell;
	STAILQ_INSERT_TAIL(&client->notes, note, link);
	loop_task_schedule(&client->owner.context->loop, &client->task);
	return note;
}

uint64_t librstun_mapping(const struct rstun_client *client, uint64_t id)
{
	return id <= client->last_id ? id : 0;
}

static void librstun_client_tell_state(struct rstun_client *client,
				       const struct librstun_note *note)
{
	client->ops.on_state(client, client->user, &note->state.change);
}

static void librstun_client_note_state(struct rstun_client *client,
				       const struct tunnel_event *event)
{
	struct librstun_note *note = librstun_note(client, librstun_client_tell_state);
	struct librstun_change *c;

	if (note == NULL)
		return;
	c = &note->state;
	c->change = (struct rstun_state_change){
		.mapping = librstun_mapping(client, event->id),
		.before = (enum rstun_state)event->state.prev,
		.now = (enum rstun_state)event->state.now,
		.error = event->error,
		.text = c->text,
		.bound = c->bound,
		.server = c->server,
		.server_software = c->software,
		.next_retry_ms = event->state.next_retry_ms,
		.attempt = event->state.attempt,
		.unverified = event->state.unverified,
		.proto = (enum rstun_proto)event->proto,
		.mode = (enum rstun_mode)event->mode,
	};
	snprintf(c->text, sizeof(c->text), "%s", event->text);
	snprintf(c->software, sizeof(c->software), "%s", event->state.peer_software);
	if (event->state.bound != NULL)
		address_format(c->bound, sizeof(c->bound), event->state.bound);
	if (event->peer != NULL)
		address_format(c->server, sizeof(c->server), event->peer);
}

static void librstun_client_on_event(void *user, const struct tunnel_event *event)
{
	struct rstun_client *client = user;

	if (event->type == TUNNEL_EVENT_STATE && event->state.now == TUNNEL_STOPPED)
		librstun_acceptor_forget(client, event->id);
	if (event->type == TUNNEL_EVENT_STATE && client->ops.on_state != NULL)
		librstun_client_note_state(client, event);
	if (event->type == TUNNEL_EVENT_FLOW && client->ops.on_flow != NULL)
		librstun_note_flow(client, event);
}

static void librstun_client_on_drained(void *user)
{
	struct rstun_client *client = user;

	client->stopped = true;
	loop_task_schedule(&client->owner.context->loop, &client->task);
}

/* ---- configuration ---- */

static void librstun_client_on_warning(void *user, const char *text)
{
	struct rstun_client *client = user;

	log_warn(&client->owner.context->log, "config", "%s", text);
}

static int librstun_client_configure(struct rstun_client *client,
				     const struct rstun_option *options, size_t option_count,
				     char error[FIELD_ERROR_SIZE])
{
	int err = client_config_init(&client->config);

	for (size_t i = 0; i < option_count && err == 0; i++)
		err = librstun_set_option(client_config_fields, client_config_field_count, NULL,
					  &client->config, &options[i], error);
	if (err != 0)
		return err;
	client->config.mappings_optional = true;
	return client_config_check(&client->config, librstun_client_on_warning, client, error);
}

static int librstun_client_load(struct rstun_client *client, char error[TLS_ERROR_SIZE])
{
	const struct client_config *config = &client->config;

	if (config->cert_file != NULL)
		return tls_credentials_new_client(&client->credentials, config->cert_file, error);
	if (config->cert_pem != NULL)
		return tls_credentials_new_client_pem(&client->credentials, config->cert_pem,
						      error);
	return 0;
}

static int librstun_client_start(struct rstun_client *client, char *error, size_t error_size)
{
	struct client_params params = {
		.env = &client->env,
		.config = &client->config,
		.credentials = client->credentials,
		.hook = client->owner.hook,
		.on_request = librstun_acceptor_on_request,
		.user = client,
	};

	return client_new(&client->engine, &params, error, error_size);
}

/* ---- beginning and end ---- */

static struct rstun_client *librstun_client_alloc(struct rstun_context *context, void *user)
{
	struct rstun_client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		return NULL;
	librstun_owner_init(&client->owner, context, "the client was stopped");
	client->user = user;
	librstun_env_init(&client->env, context);
	client->env.on_event = librstun_client_on_event;
	client->env.user = client;
	LIST_INIT(&client->acceptors);
	LIST_INIT(&client->udps);
	LIST_INIT(&client->paths);
	STAILQ_INIT(&client->notes);
	loop_task_init(&client->task, librstun_client_on_task, client);
	LIST_INSERT_HEAD(&context->clients, client, link);
	return client;
}

int rstun_client_new(struct rstun_client **ret, struct rstun_context *context,
		     const struct rstun_option *options, size_t option_count,
		     const struct rstun_client_ops *ops, void *user, char *error, size_t error_size)
{
	char why[FIELD_ERROR_SIZE + TLS_ERROR_SIZE] = "";
	struct rstun_client *client;
	int err = librstun_enter(context);

	if (err != 0)
		return err;
	client = librstun_client_alloc(context, user);
	if (client == NULL)
		return RSTUN_E_NOMEM;
	if (ops != NULL)
		err = librstun_copy_ops(&client->ops, sizeof(client->ops), ops, ops->size);
	if (err == 0)
		err = librstun_client_configure(client, options, option_count, why);
	if (err == 0)
		err = librstun_client_load(client, why);
	if (err == 0)
		err = librstun_client_start(client, why, sizeof(why));
	if (err != 0) {
		librstun_say(error, error_size, why, err);
		rstun_client_free(client);
		return err;
	}
	*ret = client;
	return 0;
}

int rstun_client_stop(struct rstun_client *client, uint64_t grace_ms)
{
	struct loop *loop = &client->owner.context->loop;
	int err = librstun_enter(client->owner.context);

	if (err != 0 || client->owner.stopping)
		return err;
	client->owner.stopping = true;
	librstun_path_remove(client, 0);
	client_drain(client->engine, clock_after(loop_now(loop), clock_ms(grace_ms)),
		     librstun_client_on_drained, client);
	return 0;
}

void rstun_client_free(struct rstun_client *client)
{
	struct librstun_note *note;
	struct rstun_udp *udp;

	if (client == NULL || librstun_enter(client->owner.context) != 0)
		return;
	librstun_owner_done(&client->owner);
	while ((udp = LIST_FIRST(&client->udps)) != NULL)
		rstun_udp_free(udp);
	librstun_path_remove(client, 0);
	client_free(client->engine);
	librstun_acceptors_free(client);
	loop_task_cancel(&client->owner.context->loop, &client->task);
	while ((note = STAILQ_FIRST(&client->notes)) != NULL) {
		STAILQ_REMOVE_HEAD(&client->notes, link);
		free(note);
	}
	LIST_REMOVE(client, link);
	tls_credentials_unref(client->credentials);
	client_config_free(&client->config);
	secret_wipe(client->env.secret, sizeof(client->env.secret));
	client->freed = true;
	if (!client->telling)
		free(client);
}

/* ---- mappings ---- */

static int librstun_client_bind(struct rstun_client *client, const struct mapping *mapping,
				int *ret_fd, char error[LIBRSTUN_PATH_ERROR_SIZE])
{
	const struct address *listen = &mapping->local.address;
	struct address bound;

	if (mapping->mode == MAPPING_IN)
		return 0;
	if (mapping->local.kind == TARGET_UNIX)
		return librstun_path_listen(client, client->last_id + 1, mapping->local.path,
					    ret_fd, error);
	if (mapping->proto == MAPPING_TCP)
		return tcp_listener_bind_hooked(listen, &client->owner.hook, ret_fd, &bound);
	return udp_bind_hooked(listen, &client->owner.hook, ret_fd, &bound);
}

int rstun_client_add_mapping(struct rstun_client *client, const char *text, enum rstun_proto proto,
			     uint64_t *ret_id, char *error, size_t error_size)
{
	char why[MAPPING_ERROR_SIZE] = "";
	struct mapping mapping;
	int fd = -1, err = librstun_enter(client->owner.context);

	if (err != 0)
		return err;
	if (client->owner.stopping)
		err = RSTUN_E_SHUTTING_DOWN;
	if (err == 0)
		err = mapping_parse(&mapping, proto == RSTUN_UDP ? MAPPING_UDP : MAPPING_TCP, text,
				    strlen(text), why);
	if (err == 0)
		err = librstun_client_bind(client, &mapping, &fd, why);
	if (err == 0) {
		client->last_id++; /* what it says meanwhile is of a mapping that is known */
		err = client_add_mapping(client->engine, client->last_id, &mapping, fd);
		if (err != 0)
			librstun_path_remove(client, client->last_id);
	}
	if (err != 0) {
		librstun_say_of(text, error, error_size, why, err);
		return err;
	}
	*ret_id = client->last_id;
	return 0;
}

int rstun_client_remove_mapping(struct rstun_client *client, uint64_t id, uint64_t grace_ms)
{
	struct loop *loop = &client->owner.context->loop;
	int err = librstun_enter(client->owner.context);

	if (err != 0)
		return err;
	if (id == 0 || id > client->last_id)
		return RSTUN_E_NOT_FOUND;
	librstun_path_remove(client, id);
	return client_remove_mapping(client->engine, id,
				     clock_after(loop_now(loop), clock_ms(grace_ms)), NULL, NULL);
}

int rstun_client_restart_mapping(struct rstun_client *client, uint64_t id)
{
	int err = librstun_enter(client->owner.context);

	if (err != 0)
		return err;
	if (id == 0 || id > client->last_id)
		return RSTUN_E_NOT_FOUND;
	return client_restart_mapping(client->engine, id);
}
