/* SPDX-License-Identifier: MIT */
/*
 * The server role on the main thread: the secret that lets a restarted server reset connections of
 * the one before (TRANSPORT.md 9), the certificate, one UDP socket per worker, and the steering
 * between them.
 */
#include "rstund/role.h"

#include "base/clock.h"
#include "base/error.h"
#include "quic/endpoint.h"
#include "rstund/control/event_bus.h"
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
	log_warn(r->log, r->name,
		 "nothing can be kept: %s; until that is mended (--state-dir), %sclients notice a "
		 "restart only "
		 "by their timeout",
		 why,
		 r->server->cert_file == NULL ? "each start makes a new certificate and pin, and "
					      : "");
}

/* Non-zero only for what must not be passed over. */
static int role_server_open_state(struct role *r)
{
	char address[ADDRESS_TEXT_SIZE], name[ADDRESS_TEXT_SIZE + 8], error[STATE_DIR_ERROR_SIZE];
	uint8_t secret[STATE_DIR_SECRET_BYTES];
	bool made = false, moved = false;
	int rc;

	address_format(address, sizeof(address), &r->server->addr);
	snprintf(name, sizeof(name), "server-%s", address);
	rc = state_dir_open(&r->dir, r->server->state_dir, name, error);
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
		log_warn(r->log, r->name,
			 "%s was last used on another machine: reset secret and self-made "
			 "certificate are made "
			 "anew, so the pin changes",
			 r->dir.path);
	rc = state_dir_secret(&r->dir, ROLE_SERVER_RESET_FILE, secret, &made, error);
	if (rc == 0) {
		memcpy(r->secret, secret, sizeof(r->secret));
	} else if (rc == RSTUN_E_STATE_WRITE_FAILED) {
		role_server_no_state(r, error);
		state_dir_close(&r->dir);
	} else {
		log_error(r->log, r->name, "%s", error);
		return rc;
	}
	return 0;
}

static int role_server_load(struct role *r, struct tls_credentials **ret)
{
	char error[TLS_ERROR_SIZE] = "", warning[TLS_ERROR_SIZE] = "";
	bool made = false;
	int rc;

	if (r->server->cert_file != NULL)
		rc = tls_credentials_new_server(ret, r->server->cert_file, r->server->key_file,
						error, warning);
	else
		rc = tls_credentials_new_self_signed(ret, r->dir.path, &made, error);
	if (rc != 0)
		log_error(r->log, r->name, "%s", error[0] != '\0' ? error : rstun_strerror(rc));
	else if (warning[0] != '\0')
		log_warn(r->log, r->name, "%s", warning);
	else if (made && r->dir.path != NULL)
		log_info(r->log, r->name, "made a self-signed certificate for localhost in %s",
			 r->dir.path);
	return rc;
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

static int role_server_bind(struct role *r)
{
	struct address address = r->server->addr;
	int rc = role_new_fds(r, r->worker_count);

	if (rc != 0)
		return rc;
	rc = role_server_try(r);
	/* In order: a socket's place in the group is the number that steering goes by. */
	for (size_t i = 0; rc == 0 && i < r->fd_count; i++) {
		rc = quic_endpoint_bind(&address, r->worker_count > 1, &r->fds[i],
					&r->server_bound);
		if (rc == 0)
			address = r->server_bound; /* with the port that the first one got */
	}
	if (rc != 0) {
		role_log_bind_error(r, "--addr", &address, true, rc);
		return rc;
	}
	if (r->worker_count > 1 && quic_endpoint_steer(r->fds[0], r->worker_count) != 0)
		log_warn(r->log, r->name,
			 "the kernel does not take the program that steers datagrams to workers: "
			 "they are "
			 "passed on between threads, which is slower");
	return 0;
}

int role_server_open(struct role *r)
{
	int rc = role_server_open_state(r);

	if (rc == 0)
		rc = role_server_load(r, &r->credentials);
	return rc != 0 ? rc : role_server_bind(r);
}

int role_server_start(struct role *r, struct worker **workers, struct event_bus *bus)
{
	struct tunnel_event e = {.type = TUNNEL_EVENT_ROLE};
	char pin_text[PIN_TEXT_SIZE], text[128];
	uint8_t pin[PIN_BYTES];
	struct bus_event *copy;

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
		worker_post(workers[i], m);
	}
	tls_credentials_pin(r->credentials, pin);
	snprintf(text, sizeof(text), " (udp, %u worker%s), pin %s", r->worker_count,
		 r->worker_count == 1 ? "" : "s", pin_format(pin_text, pin));
	e.text = text;
	e.role.now = TUNNEL_TUNNELING;
	e.role.bound = &r->server_bound;
	copy = bus_event_new(BUS_EVENT_ROLE, &e, r->index, clock_wall_us());
	if (copy != NULL)
		copy->scope = r->name;
	event_bus_publish(bus, copy);
	return (int)r->worker_count;
}

void role_server_reload(struct role *r, struct worker **workers)
{
	struct tls_credentials *fresh;
	char pin_text[PIN_TEXT_SIZE];
	uint8_t pin[PIN_BYTES];

	if (role_server_load(r, &fresh) != 0) {
		log_error(r->log, r->name, "reload: the certificate in use stays as it is");
		return;
	}
	for (unsigned i = 0; i < r->worker_count; i++) {
		struct message *m = message_new(MESSAGE_SET_CREDENTIALS, r->index, 0);

		if (m == NULL)
			continue; /* that worker keeps the old one */
		m->set_credentials.credentials = tls_credentials_ref(fresh);
		worker_post(workers[i], m);
	}
	tls_credentials_unref(r->credentials);
	r->credentials = fresh;
	tls_credentials_pin(fresh, pin);
	log_info(r->log, r->name, "reload: new connections get the certificate from %s, pin %s",
		 r->server->cert_file, pin_format(pin_text, pin));
}
