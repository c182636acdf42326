/* SPDX-License-Identifier: MIT */
/*
 * Servers of librstun: a configuration from options, the engine's server (tunnel/server.h) on one
 * socket, and what is told about its sessions. There is no registry of IN sockets: an address that
 * another session holds is in use. The configuration lives as long as the engine's server, which
 * borrows it.
 */
#include "librstun_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "tls/credentials.h"
#include "tunnel/server.h"

#include <stdio.h>
#include <stdlib.h>

/* The engine's words for a session go out as they are. */
_Static_assert((int)RSTUN_SESSION_LOGIN == (int)TUNNEL_SESSION_LOGIN &&
		       (int)RSTUN_SESSION_REFUSED == (int)TUNNEL_SESSION_REFUSED &&
		       (int)RSTUN_SESSION_ENDED == (int)TUNNEL_SESSION_ENDED &&
		       (int)RSTUN_TCP == (int)MAPPING_TCP && (int)RSTUN_UDP == (int)MAPPING_UDP,
	       "enum rstun_session_state is enum tunnel_session_change");

/* ---- what is told ---- */

static void librstun_server_on_task(void *user)
{
	struct rstun_server *server = user;
	struct librstun_session_change *c;

	server->telling = true;
	while (!server->freed && (c = STAILQ_FIRST(&server->changes)) != NULL) {
		STAILQ_REMOVE_HEAD(&server->changes, link);
		server->ops.on_session(server, server->user, &c->change);
		free(c);
	}
	if (!server->freed && server->stopped) {
		server->stopped = false;
		if (server->ops.on_stopped != NULL)
			server->ops.on_stopped(server, server->user);
	}
	server->telling = false;
	if (server->freed)
		free(server);
}

static void librstun_server_on_event(void *user, const struct tunnel_event *event)
{
	struct rstun_server *server = user;
	struct librstun_session_change *c;

	if (event->type != TUNNEL_EVENT_SESSION || server->ops.on_session == NULL)
		return;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return;
	c->change = (struct rstun_session_change){
		.session = event->id,
		.now = (enum rstun_session_state)event->session.change,
		.proto = (enum rstun_proto)event->proto,
		.mapping = c->mapping,
		.peer = c->peer,
		.peer_software = c->software,
		.bound = c->bound,
		.error = event->error,
		.text = c->text,
	};
	if (event->mapping != NULL)
		mapping_format(c->mapping, sizeof(c->mapping), event->mapping);
	address_format(c->peer, sizeof(c->peer), event->peer);
	if (event->session.bound != NULL)
		address_format(c->bound, sizeof(c->bound), event->session.bound);
	snprintf(c->software, sizeof(c->software), "%s", event->session.peer_software);
	snprintf(c->text, sizeof(c->text), "%s", event->text);
	STAILQ_INSERT_TAIL(&server->changes, c, link);
	loop_task_schedule(&server->owner.context->loop, &server->task);
}

static void librstun_server_on_drained(void *user)
{
	struct rstun_server *server = user;

	server->stopped = true;
	loop_task_schedule(&server->owner.context->loop, &server->task);
}

static enum flow_answer librstun_server_on_request(void *user, struct flow_request *request,
						   struct flow_program *ret_program)
{
	struct rstun_server *server = user;

	return librstun_request_new(&server->owner, request, server->ops.on_channel, server->user,
				    ret_program);
}

/* ---- configuration ---- */

static void librstun_server_on_warning(void *user, const char *text)
{
	struct rstun_server *server = user;

	log_warn(&server->owner.context->log, "config", "%s", text);
}

static int librstun_server_configure(struct rstun_server *server,
				     const struct rstun_option *options, size_t option_count,
				     char error[FIELD_ERROR_SIZE])
{
	int err = server_config_init(&server->config);

	for (size_t i = 0; i < option_count && err == 0; i++)
		err = librstun_set_option(server_config_fields, server_config_field_count,
					  "state-dir", &server->config, &options[i], error);
	if (err != 0)
		return err;
	server->config.tcp_upstream_optional = server->ops.on_channel != NULL;
	return server_config_check(&server->config, librstun_server_on_warning, server, error);
}

static int librstun_server_load(struct rstun_server *server, char error[TLS_ERROR_SIZE])
{
	const struct server_config *config = &server->config;
	char warning[TLS_ERROR_SIZE] = "";
	uint8_t pin[PIN_BYTES];
	bool made;
	int err;

	if (config->cert_file != NULL)
		err = tls_credentials_new_server(&server->credentials, config->cert_file,
						 config->key_file, error, warning);
	else if (config->cert_pem != NULL)
		err = tls_credentials_new_server_pem(&server->credentials, config->cert_pem,
						     config->key_pem, error, warning);
	else
		err = tls_credentials_new_self_signed(&server->credentials, config->state_dir,
						      &made, error);
	if (err != 0)
		return err;
	if (warning[0] != '\0')
		librstun_server_on_warning(server, warning);
	tls_credentials_pin(server->credentials, pin);
	pin_format(server->pin, pin);
	return 0;
}

static int librstun_server_start(struct rstun_server *server, char *error, size_t error_size)
{
	struct server_params params = {
		.env = &server->env,
		.config = &server->config,
		.credentials = server->credentials,
		.hook = server->owner.hook,
		.user = server,
	};
	char text[ADDRESS_TEXT_SIZE];
	struct address bound;
	int err = server_bind(&server->config, &server->owner.hook, &params.fd, &bound);

	if (err != 0) {
		snprintf(error, error_size, "--addr: cannot listen on %s (udp): %s%s",
			 address_format(text, sizeof(text), &server->config.addr),
			 rstun_strerror(err),
			 err == RSTUN_E_FAILED ? "; it must be an address of this machine" : "");
		return err;
	}
	address_format(server->address, sizeof(server->address), &bound);
	if (server->ops.on_channel != NULL)
		params.on_request = librstun_server_on_request;
	return server_new(&server->engine, &params);
}

/* ---- beginning and end ---- */

static struct rstun_server *librstun_server_alloc(struct rstun_context *context, void *user)
{
	struct rstun_server *server = calloc(1, sizeof(*server));

	if (server == NULL)
		return NULL;
	librstun_owner_init(&server->owner, context, "the server was stopped");
	server->user = user;
	librstun_env_init(&server->env, context);
	server->env.on_event = librstun_server_on_event;
	server->env.user = server;
	STAILQ_INIT(&server->changes);
	loop_task_init(&server->task, librstun_server_on_task, server);
	LIST_INSERT_HEAD(&context->servers, server, link);
	return server;
}

int rstun_server_new(struct rstun_server **ret, struct rstun_context *context,
		     const struct rstun_option *options, size_t option_count,
		     const struct rstun_server_ops *ops, void *user, char *error, size_t error_size)
{
	char why[FIELD_ERROR_SIZE + TLS_ERROR_SIZE] = "";
	struct rstun_server *server;
	int err = librstun_enter(context);

	if (err != 0)
		return err;
	server = librstun_server_alloc(context, user);
	if (server == NULL)
		return RSTUN_E_NOMEM;
	if (ops != NULL)
		err = librstun_copy_ops(&server->ops, sizeof(server->ops), ops, ops->size);
	if (err == 0)
		err = librstun_server_configure(server, options, option_count, why);
	if (err == 0)
		err = librstun_server_load(server, why);
	if (err == 0)
		err = librstun_server_start(server, why, sizeof(why));
	if (err != 0) {
		librstun_say(error, error_size, why, err);
		rstun_server_free(server);
		return err;
	}
	*ret = server;
	return 0;
}

const char *rstun_server_address(const struct rstun_server *server)
{
	return server->address;
}

const char *rstun_server_pin(const struct rstun_server *server)
{
	return server->pin;
}

int rstun_server_stop(struct rstun_server *server, uint64_t grace_ms)
{
	struct loop *loop = &server->owner.context->loop;
	int err = librstun_enter(server->owner.context);

	if (err != 0 || server->owner.stopping)
		return err;
	server->owner.stopping = true;
	server_drain(server->engine, clock_after(loop_now(loop), clock_ms(grace_ms)),
		     librstun_server_on_drained, server);
	return 0;
}

void rstun_server_free(struct rstun_server *server)
{
	struct librstun_session_change *c;

	if (server == NULL || librstun_enter(server->owner.context) != 0)
		return;
	librstun_owner_done(&server->owner);
	server_free(server->engine);
	loop_task_cancel(&server->owner.context->loop, &server->task);
	while ((c = STAILQ_FIRST(&server->changes)) != NULL) {
		STAILQ_REMOVE_HEAD(&server->changes, link);
		free(c);
	}
	LIST_REMOVE(server, link);
	tls_credentials_unref(server->credentials);
	server_config_free(&server->config);
	secret_wipe(server->env.secret, sizeof(server->env.secret));
	server->freed = true;
	if (!server->telling)
		free(server);
}
