/* SPDX-License-Identifier: MIT */
/*
 * The server role on the main thread: the secret that lets a restarted server reset connections of
 * the one before (TRANSPORT.md 9), the certificate, one UDP socket per worker, and the steering
 * between them.
 */
#include "rstund/role.h"

#include "base/error.h"
#include "quic/endpoint.h"
#include "rstund/daemon_private.h"
#include "rstund/messages.h"
#include "rstund/worker.h"
#include "tls/credentials.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROLE_SERVER_RESET_FILE "reset.key"
#define ROLE_SERVER_MACHINE_ID "/etc/machine-id"

/* What makes this server the same one as before its restart. */
static const char *const role_server_identity[] = {ROLE_SERVER_RESET_FILE, "cert.pem", "key.pem"};

static void role_server_no_state(const struct role *r, const char *why)
{
	log_warn(&r->daemon->log, r->name,
		 "nothing can be kept: %s; until that is mended (--state-dir), %sclients notice a "
		 "restart only "
		 "by their timeout",
		 why,
		 r->server->cert_file == NULL ? "each start makes a new certificate and pin, and "
					      : "");
}

/* Non-zero only for what must not be passed over. */
static int role_server_open_state(struct role *r, struct rpc_error *ret_error)
{
	char address[ADDRESS_TEXT_SIZE], name[ADDRESS_TEXT_SIZE + 8], error[STATE_DIR_ERROR_SIZE];
	bool made = false, moved = false;
	int rc;

	address_format(address, sizeof(address), &r->server->addr);
	snprintf(name, sizeof(name), "server-%s", address);
	rc = state_dir_open(&r->dir, daemon_state_dir(r->daemon), name, error);
	if (rc != 0) {
		role_server_no_state(r, error);
		return 0;
	}
	if (state_dir_bind_machine(&r->dir, ROLE_SERVER_MACHINE_ID, role_server_identity,
				   sizeof(role_server_identity) / sizeof(role_server_identity[0]),
				   &moved, error) != 0) {
		role_server_no_state(r, error);
		state_dir_close(&r->dir);
		return 0;
	}
	if (moved)
		log_warn(&r->daemon->log, r->name,
			 "%s was last used on another machine: reset secret and self-made "
			 "certificate are made "
			 "anew, so the pin changes",
			 r->dir.path);
	/* On failure it stays the random one that it is. */
	rc = state_dir_secret(&r->dir, ROLE_SERVER_RESET_FILE, r->secret, &made, error);
	if (rc == RSTUN_E_STATE_WRITE_FAILED) {
		role_server_no_state(r, error);
		state_dir_close(&r->dir);
		return 0;
	}
	return rc == 0 ? 0 : rpc_error_from(ret_error, rc, "%s", error);
}

int role_server_credentials(struct role *r, struct tls_credentials **ret,
			    struct rpc_error *ret_error)
{
	char error[TLS_ERROR_SIZE] = "", warning[TLS_ERROR_SIZE] = "";
	const struct server_config *c = r->server;
	bool made = false;
	int rc;

	if (c->cert_file != NULL)
		rc = tls_credentials_new_server(ret, c->cert_file, c->key_file, error, warning);
	else if (c->cert_pem != NULL)
		rc = tls_credentials_new_server_pem(ret, c->cert_pem, c->key_pem, error, warning);
	else
		rc = tls_credentials_new_self_signed(ret, r->dir.path, &made, error);
	if (rc != 0)
		rpc_error_from(ret_error, rc, "%s", error[0] != '\0' ? error : rstun_strerror(rc));
	else if (warning[0] != '\0')
		log_warn(&r->daemon->log, r->name, "%s", warning);
	else if (made && r->dir.path != NULL)
		log_info(&r->daemon->log, r->name,
			 "made a self-signed certificate for localhost in %s", r->dir.path);
	return rc;
}

int role_server_load(struct role *r, struct rpc_error *error)
{
	int rc = role_server_open_state(r, error);

	return rc != 0 ? rc : role_server_credentials(r, &r->credentials, error);
}

/* With SO_REUSEPORT the kernel would let a second server of the same user into the group unasked:
 * so the address is tried without it first. */
static int role_server_try(const struct role *r)
{
	struct address bound;
	int fd, rc;

	if (r->worker_count == 1 || address_port(&r->server->addr) == 0)
		return 0;
	rc = quic_endpoint_bind(&r->server->addr, false, &fd, &bound);
	if (rc == 0)
		close(fd);
	return rc;
}

int role_bind(struct role *r, struct rpc_error *error)
{
	struct address address = r->server->addr;
	int rc = role_server_try(r);

	/* In order: a socket's place in the group is the number that steering goes by. */
	for (unsigned i = 0; rc == 0 && i < r->worker_count; i++) {
		rc = quic_endpoint_bind(&address, r->worker_count > 1, &r->fds[i], &r->bound);
		if (rc == 0)
			address = r->bound; /* with the port that the first one got */
	}
	if (rc != 0) {
		for (unsigned i = 0; i < r->worker_count; i++) {
			if (r->fds[i] >= 0)
				close(r->fds[i]);
			r->fds[i] = -1;
		}
		role_bind_error(error, "--addr", &address, true, rc);
		return rc;
	}
	if (r->worker_count > 1 && quic_endpoint_steer(r->fds[0], r->worker_count) != 0)
		log_warn(&r->daemon->log, r->name,
			 "the kernel does not take the program that steers datagrams to workers: "
			 "they are passed on between threads, which is slower");
	return 0;
}

int role_start_server(struct role *r)
{
	for (unsigned i = 0; i < r->worker_count; i++) {
		struct message *m = message_new(MESSAGE_ADD_SERVER, r->index, 0);

		if (m == NULL)
			return RSTUN_E_NOMEM;
		m->add_server.config = r->server;
		m->add_server.credentials = tls_credentials_ref(r->credentials);
		m->add_server.fd = r->fds[i];
		r->fds[i] = -1;
		m->add_server.worker_count = r->worker_count;
		memcpy(m->add_server.secret, r->secret, sizeof(r->secret));
		if (role_begin_part(r, i, m) != 0)
			return RSTUN_E_NOMEM;
	}
	return 0;
}
