/* SPDX-License-Identifier: MIT */
/*
 * Mappings IN of librstun whose local side is the program: the streams that the server opens become
 * requests (librstun_request.c). What is to be called for a mapping is kept until it has stopped.
 */
#include "librstun_private.h"

#include "base/error.h"
#include "tunnel/client.h"

#include <stdlib.h>
#include <string.h>

static void librstun_acceptor_free(struct librstun_acceptor *a)
{
	LIST_REMOVE(a, link);
	free(a);
}

static struct librstun_acceptor *librstun_acceptor_find(const struct rstun_client *client,
							uint64_t id)
{
	struct librstun_acceptor *a;

	LIST_FOREACH(a, &client->acceptors, link)
	if (a->id == id)
		return a;
	return NULL;
}

void librstun_acceptor_forget(struct rstun_client *client, uint64_t id)
{
	struct librstun_acceptor *a = librstun_acceptor_find(client, id);

	if (a != NULL)
		librstun_acceptor_free(a);
}

void librstun_acceptors_free(struct rstun_client *client)
{
	while (!LIST_EMPTY(&client->acceptors))
		librstun_acceptor_free(LIST_FIRST(&client->acceptors));
}

enum flow_answer librstun_acceptor_on_request(void *user, struct flow_request *request,
					      struct flow_program *ret_program)
{
	struct rstun_client *client = user;
	struct librstun_acceptor *a = librstun_acceptor_find(client, request->owner_id);

	if (a == NULL)
		return FLOW_ANSWER_REFUSE;
	return librstun_request_new(&client->owner, request, a->on_channel, a->user, ret_program);
}

static int librstun_acceptor_add(struct rstun_client *client, const struct mapping *mapping,
				 void (*on_channel)(const struct rstun_channel_request *request,
						    void *user),
				 void *user)
{
	struct librstun_acceptor *a = calloc(1, sizeof(*a));
	int err;

	if (a == NULL)
		return RSTUN_E_NOMEM;
	a->id = ++client->last_id;
	a->on_channel = on_channel;
	a->user = user;
	LIST_INSERT_HEAD(&client->acceptors, a, link);
	err = client_add_mapping(client->engine, a->id, mapping, -1);
	if (err != 0)
		librstun_acceptor_free(a);
	return err;
}

int rstun_client_accept(struct rstun_client *client, const char *listen,
			void (*on_channel)(const struct rstun_channel_request *request, void *user),
			void *user, uint64_t *ret_id, char *error, size_t error_size)
{
	struct mapping mapping = {
		.mode = MAPPING_IN,
		.proto = MAPPING_TCP,
		.local = {.kind = TARGET_DEFAULT}, /* the program */
	};
	char why[MAPPING_ERROR_SIZE] = "";
	int err = librstun_enter(client->owner.context);

	if (err != 0)
		return err;
	if (client->owner.stopping)
		err = RSTUN_E_SHUTTING_DOWN;
	if (err == 0)
		err = mapping_parse_far_listen(&mapping.remote, MAPPING_TCP, listen, strlen(listen),
					       why);
	if (err == 0)
		err = librstun_acceptor_add(client, &mapping, on_channel, user);
	if (err != 0) {
		librstun_say_of(listen, error, error_size, why, err);
		return err;
	}
	*ret_id = client->last_id;
	return 0;
}
