/* SPDX-License-Identifier: MIT */
/*
 * Mappings. Whether one should run is said by its members (paused, removed, its client's role);
 * hold_mapping_settle compares that with where it is and takes the next step: listen and give it to
 * a worker, or take it away from one. Every change is: set the members, settle. What the worker
 * answers settles again, so no order of changes leaves one where it should not be.
 */
#include "rstund/hold.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/unix_path.h"
#include "relay/tcp_listener.h"
#include "relay/udp_flow.h"
#include "rstund/control/methods.h"
#include "rstund/control/persist.h"
#include "rstund/daemon_private.h"
#include "rstund/messages.h"
#include "rstund/worker.h"
#include "tunnel/counters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOLD_MAPPING_SOON_NS (20 * CLOCK_NS_PER_MS)
#define HOLD_MAPPING_RETRY_MS 30000 /* cap of the back-off of listening */

static void hold_mapping_settle(struct daemon *d, struct held_mapping *m);

/* ---- Listening ------------------------------------------------------------------------------- */

static int hold_mapping_bind(struct held_mapping *m, int *ret_fd, struct rpc_error *error)
{
	const struct mapping *mapping = &m->mapping;
	const struct target *local = &mapping->local;
	bool udp = mapping->proto == MAPPING_UDP, is_path = local->kind == TARGET_UNIX;
	char text[MAPPING_TEXT_SIZE], option[MAPPING_TEXT_SIZE + 32], why[UNIX_PATH_ERROR_SIZE];
	int rc;

	*ret_fd = -1;
	if (mapping->mode != MAPPING_OUT)
		return 0;
	rc = is_path ? unix_path_listen(ret_fd, &m->file, local->path, TCP_LISTENER_BACKLOG, why)
	     : udp   ? udp_bind(&local->address, ret_fd, &m->bound)
		     : tcp_listener_bind(&local->address, ret_fd, &m->bound);
	if (rc == 0)
		return 0;
	mapping_format(text, sizeof(text), mapping);
	if (m->origin == RPC_ORIGIN_COMMAND_LINE)
		snprintf(option, sizeof(option), "--%s-mappings %s",
			 mapping_proto_name(mapping->proto), text);
	else
		snprintf(option, sizeof(option), "mapping %s", m->name[0] != '\0' ? m->name : text);
	if (!is_path)
		return role_bind_error(error, option, &local->address, udp, rc);
	rpc_error_from(error, rc, "%s: cannot listen on %s: %s", option,
		       target_format(text, sizeof(text), local), why);
	return RSTUN_E_FAILED;
}

/* Somebody of ours who was removed a moment ago may still have the address. A path is free at once:
 * hold_mapping_leave. */
static bool hold_mapping_address_leaves(const struct daemon *d, const struct held_mapping *m)
{
	if (m->mapping.local.kind == TARGET_UNIX)
		return false;
	for (size_t i = 0; i < INVENTORY_BUCKETS; i++) {
		const struct held_mapping *other;

		LIST_FOREACH (other, &d->inventory.mapping_hash[i], hash_link)
			if (other != m && other->leaving &&
			    other->mapping.proto == m->mapping.proto &&
			    address_port(&other->bound) == address_port(&m->mapping.local.address))
				return true;
	}
	return false;
}

static void hold_mapping_wait(struct daemon *d, struct held_mapping *m, int code, const char *text)
{
	uint64_t now_ns = loop_now(&d->loop);
	uint64_t delay_ns = backoff_down(&m->bind_backoff, RSTUN_E_UNREACHABLE, now_ns, random_u64());
	bool news = m->state != RPC_STATE_FAILED || m->last_error != code;

	loop_timer_arm(&m->bind_timer, clock_after(now_ns, delay_ns));
	m->next_retry_ns = m->bind_timer.deadline_ns;
	m->attempt++;
	if (news)
		daemon_publish_state(d, m, RPC_STATE_FAILED, code, text);
}

/* At first it is a matter of a message; one that drains may keep it for hours. */
static void hold_mapping_wait_for_address(struct daemon *d, struct held_mapping *m)
{
	uint64_t delay_ns = HOLD_MAPPING_SOON_NS << m->address_waits;

	if (delay_ns < CLOCK_NS_PER_S)
		m->address_waits++;
	loop_timer_arm(&m->bind_timer, clock_after(loop_now(&d->loop), delay_ns));
}

static void hold_mapping_on_bind_timer(void *user)
{
	struct held_mapping *m = user;

	hold_mapping_settle(m->daemon, m);
}

/* ---- On and off workers ---------------------------------------------------------------------- */

/* Nobody has got it. */
static void hold_mapping_close(struct held_mapping *m, int fd)
{
	unix_path_file_remove(&m->file);
	if (fd >= 0)
		close(fd);
}

/* Takes fd over. */
static int hold_mapping_place(struct daemon *d, struct held_mapping *m, int fd)
{
	struct message *message = message_new(MESSAGE_ADD_MAPPING, m->client->role->index, 0);
	unsigned worker;

	if (message == NULL) {
		hold_mapping_close(m, fd);
		return RSTUN_E_NOMEM;
	}
	message->add_mapping.id = m->number;
	message->add_mapping.mapping = m->mapping;
	message->add_mapping.fd = fd;
	if (role_place(m->client->role, &worker) != 0) {
		unix_path_file_remove(&m->file);
		message_free(message);
		return RSTUN_E_NOMEM;
	}
	worker_post(d->workers[worker], message);
	daemon_await_start(d);
	m->role = m->client->role;
	m->worker = worker;
	m->placement++;
	m->leaving = false;
	m->address_waits = 0;
	backoff_init(&m->bind_backoff, HOLD_MAPPING_RETRY_MS);
	loop_timer_cancel(&m->bind_timer);
	return 0;
}

static void hold_mapping_leave(struct daemon *d, struct held_mapping *m, uint64_t drain_ms)
{
	struct message *message = message_new(MESSAGE_REMOVE_MAPPING, m->role->index, 0);

	if (message == NULL) { /* to be told a little later: hold_mapping_settle */
		log_error(&d->log, m->role->name, "memory ran out while a mapping was removed");
		hold_mapping_wait_for_address(d, m);
		return;
	}
	message->remove.id = m->number;
	message->remove.placement = m->placement;
	message->remove.deadline_ns = clock_after(loop_now(&d->loop), clock_ms(drain_ms));
	m->leaving = true;
	/* While the socket is open, so that the file is ours for sure. */
	unix_path_file_remove(&m->file);
	worker_post(d->workers[m->worker], message);
}

static void hold_mapping_settle(struct daemon *d, struct held_mapping *m)
{
	bool wanted = !m->removed && !m->paused && d->phase <= DAEMON_RUNNING;
	struct rpc_error error;
	int fd, rc;

	if (m->leaving || m->role == (wanted ? m->client->role : NULL))
		return;
	if (m->role != NULL) {
		hold_mapping_leave(d, m, 0);
		return;
	}
	rc = hold_mapping_bind(m, &fd, &error);
	if (rc != 0 && hold_mapping_address_leaves(d, m)) {
		hold_mapping_wait_for_address(d, m);
		return;
	}
	if (rc != 0) {
		hold_mapping_wait(d, m, -error.code, error.message);
		return;
	}
	if (hold_mapping_place(d, m, fd) != 0)
		hold_mapping_wait(d, m, RSTUN_E_NOMEM, rstun_strerror(RSTUN_E_NOMEM));
	else if (m->bound.len != 0)
		daemon_publish_mapping(d, m, RPC_CHANGE_CHANGED, 0, "");
}

static void hold_mapping_free(struct daemon *d, struct held_mapping *m)
{
	loop_timer_cancel(&m->bind_timer);
	inventory_free_mapping(&d->inventory, m);
}

void hold_mapping_displaced(struct daemon *d, struct held_mapping *m,
			    const struct tunnel_counters *final)
{
	struct role *role = m->role;

	if (role == NULL)
		return;
	unix_path_file_remove(&m->file);
	counters_add(&m->before, final);
	m->before.active_conns = 0;
	m->before.rtt_ms = m->before.cwnd_bytes = 0;
	m->before.current_mtu = m->before.max_datagram = 0;
	m->counters = m->before;
	m->role = NULL;
	m->leaving = false;
	m->peer.len = m->bound.len = 0;
	m->software[0] = '\0';
	role_displace(role, m->worker);
	if (m->removed)
		hold_mapping_free(d, m);
	else
		hold_mapping_settle(d, m);
}

void hold_mapping_failed(struct daemon *d, struct held_mapping *m, int error, const char *text)
{
	struct role *role = m->role;

	if (role == NULL || m->leaving)
		return;
	unix_path_file_remove(&m->file);
	m->role = NULL;
	m->bound.len = 0;
	role_displace(role, m->worker);
	if (m->removed) /* and its worker could not be told for lack of memory */
		hold_mapping_free(d, m);
	else if (m->paused)
		loop_timer_cancel(&m->bind_timer);
	else
		hold_mapping_wait(d, m, error, text);
}

/* While it leaves it is not up as it is to be now. */
static void hold_mapping_not_up(struct daemon *d, struct held_mapping *m)
{
	if (m->leaving && !m->paused && m->state != RPC_STATE_IDLE)
		daemon_publish_state(d, m, RPC_STATE_IDLE, 0, "");
}

void hold_mapping_move(struct daemon *d, struct held_mapping *m)
{
	hold_mapping_settle(d, m);
	hold_mapping_not_up(d, m);
}

/* ---- What is possible ------------------------------------------------------------------------ */

struct held_mapping *hold_mapping_same(const struct daemon *d,
				       const struct hold_mapping_params *p)
{
	struct held_mapping *m;

	if (p->name != NULL)
		return inventory_mapping(&d->inventory, p->name);
	TAILQ_FOREACH (m, &d->inventory.mappings, link)
		if (m->client == p->client && mapping_equal(&m->mapping, &p->mapping))
			return m;
	return NULL;
}

int hold_mapping_check(const struct daemon *d, const struct hold_mapping_params *p,
		       const struct held_mapping *but, struct rpc_error *error)
{
	const struct target *listens = mapping_listens(&p->mapping), *other;
	char text[ADDRESS_TARGET_TEXT_SIZE], id[INVENTORY_ID_SIZE];
	struct held_mapping *m;

	if (p->name != NULL) {
		m = inventory_mapping(&d->inventory, p->name);
		if (m != NULL && m != but)
			return rpc_error_set(error, 1002, "a mapping named %s exists: %s", p->name,
					     inventory_mapping_id(id, m));
	}
	if (listens == NULL)
		return 0;
	TAILQ_FOREACH (m, &d->inventory.mappings, link) {
		other = mapping_listens(&m->mapping);
		if (m == but || other == NULL || m->mapping.proto != p->mapping.proto ||
		    m->mapping.mode != p->mapping.mode ||
		    (p->mapping.mode == MAPPING_IN && m->client != p->client) ||
		    !target_equal(other, listens))
			continue;
		rpc_error_set(error, 1003, "mapping %s listens on %s (%s) already",
			      inventory_mapping_id(id, m),
			      target_format(text, sizeof(text), listens),
			      mapping_proto_name(p->mapping.proto));
		if (listens->kind == TARGET_UNIX)
			rpc_error_hint(error, "choose another path, or remove it: rstunctl rm %s",
				       id);
		else
			rpc_error_hint(error, "choose another port, or remove it: rstunctl rm %s",
				       id);
		return RSTUN_E_FAILED;
	}
	return 0;
}

/* ---- Changes --------------------------------------------------------------------------------- */

static void hold_mapping_on_expiry(void *user)
{
	struct held_mapping *m = user;
	struct rpc_error error;

	/* When the state file cannot be written it is tried again: it must not come back. */
	if (hold_mapping_remove(m->daemon, m, 0, "its time is over", &error) != 0)
		loop_timer_arm(&m->expiry_timer,
			       clock_after(loop_now(&m->daemon->loop), 10 * CLOCK_NS_PER_S));
}

static void hold_mapping_set_expiry(struct daemon *d, struct held_mapping *m, uint64_t expires_ms,
				    int64_t expires_wall_us)
{
	int64_t now_us = clock_wall_us();
	uint64_t left_ms = expires_ms;

	m->expires_ms = expires_ms;
	m->expires_wall_us = INT64_MAX;
	loop_timer_cancel(&m->expiry_timer);
	if (expires_ms == UINT64_MAX)
		return;
	if (expires_wall_us != INT64_MAX) {
		left_ms = expires_wall_us > now_us ? (uint64_t)(expires_wall_us - now_us) / 1000 : 0;
		if (left_ms > expires_ms) { /* the clock was set back */
			left_ms = expires_ms;
			expires_wall_us = INT64_MAX;
		}
	}
	/* One that is known stays to the microsecond, over any number of restarts. */
	m->expires_wall_us = expires_wall_us != INT64_MAX ? expires_wall_us
							  : now_us + (int64_t)left_ms * 1000;
	loop_timer_arm(&m->expiry_timer, clock_after(loop_now(&d->loop), clock_ms(left_ms)));
}

static void hold_mapping_drop(struct daemon *d, struct held_mapping *m)
{
	loop_timer_cancel(&m->expiry_timer);
	loop_timer_cancel(&m->bind_timer);
	inventory_hide_mapping(&d->inventory, m);
	if (m->role == NULL)
		inventory_free_mapping(&d->inventory, m);
}

/* With a number: it has been there. Its worker may not have let go of it yet, and what that says
 * is found by the number, so there must not be two of them. */
static struct held_mapping *hold_mapping_new(struct daemon *d, const struct hold_mapping_params *p)
{
	struct held_mapping *m =
		p->number != 0 ? inventory_mapping_by_number(&d->inventory, p->number) : NULL;

	if (m == NULL)
		return inventory_new_mapping(&d->inventory, p->client, &p->mapping, p->number);
	if (!m->removed) /* in use: another one */
		return inventory_new_mapping(&d->inventory, p->client, &p->mapping, 0);
	loop_timer_cancel(&m->bind_timer); /* it is made anew: hold_mapping_add */
	m->mapping = p->mapping;
	inventory_bring_back(&d->inventory, m, p->client);
	return m;
}

static bool hold_mapping_is_saved(const struct held_mapping *m)
{
	return m->origin == RPC_ORIGIN_STATE;
}

/* Whether and where it listens at first. Nothing is told or kept yet: what is refused here must not
 * be in the state file either. *ret_rc: why it does not listen, which is tried again. */
static int hold_mapping_listen(struct daemon *d, struct held_mapping *m, bool must_listen,
			       int *ret_fd, int *ret_rc, struct rpc_error *error)
{
	*ret_fd = -1;
	*ret_rc = 0;
	/* One with a role has come back before its worker let go of it. */
	if (m->paused || m->role != NULL)
		return 0;
	*ret_rc = hold_mapping_bind(m, ret_fd, error);
	return must_listen && *ret_rc != 0 && !hold_mapping_address_leaves(d, m) ? *ret_rc : 0;
}

/* It is placed, told in the right order: added, then its state. Takes what hold_mapping_listen gave
 * over. */
static void hold_mapping_begin(struct daemon *d, struct held_mapping *m, int fd, int rc,
			       const struct rpc_error *why)
{
	daemon_publish_mapping(d, m, RPC_CHANGE_ADDED, 0, "");
	if (m->paused)
		daemon_publish_state(d, m, RPC_STATE_PAUSED, 0, "");
	else if (m->role != NULL)
		daemon_publish_state(d, m, RPC_STATE_IDLE, 0, "");
	else if (rc != 0 && hold_mapping_address_leaves(d, m))
		hold_mapping_wait_for_address(d, m);
	else if (rc != 0)
		hold_mapping_wait(d, m, -why->code, why->message);
	else if (hold_mapping_place(d, m, fd) != 0)
		hold_mapping_wait(d, m, RSTUN_E_NOMEM, rstun_strerror(RSTUN_E_NOMEM));
}

int hold_mapping_add(struct daemon *d, const struct hold_mapping_params *p,
		     struct held_mapping **ret, struct rpc_error *error)
{
	struct held_mapping *m;
	int fd, not_bound, rc = p->checked ? 0 : hold_mapping_check(d, p, NULL, error);
	struct rpc_error why;

	if (rc != 0)
		return rc;
	m = hold_mapping_new(d, p);
	if (m == NULL)
		return rpc_error_from(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
	m->daemon = d;
	snprintf(m->name, sizeof(m->name), "%s", p->name != NULL ? p->name : "");
	m->origin = p->origin;
	m->caller = p->caller;
	m->since_wall_us = clock_wall_us();
	backoff_init(&m->bind_backoff, HOLD_MAPPING_RETRY_MS);
	loop_timer_init(&m->bind_timer, &d->loop, hold_mapping_on_bind_timer, m);
	loop_timer_init(&m->expiry_timer, &d->loop, hold_mapping_on_expiry, m);
	inventory_set_paused(&d->inventory, m, p->paused);
	hold_mapping_set_expiry(d, m, p->expires_ms, p->expires_wall_us);
	rc = hold_mapping_listen(d, m, p->must_listen, &fd, &not_bound, &why);
	if (rc != 0)
		*error = why;
	else if (hold_mapping_is_saved(m))
		rc = persist_save(d, error);
	if (rc != 0) {
		hold_mapping_close(m, fd);
		hold_mapping_drop(d, m);
		return RSTUN_E_FAILED;
	}
	hold_mapping_begin(d, m, fd, not_bound, &why);
	*ret = m;
	return 0;
}

int hold_mapping_change(struct daemon *d, struct held_mapping *m,
			const struct hold_mapping_params *p, struct rpc_error *error)
{
	struct mapping mapping = m->mapping;
	struct held_client *client = m->client;
	uint64_t expires_ms = m->expires_ms;
	int64_t expires_wall_us = m->expires_wall_us;
	bool moves = client != p->client || !mapping_equal(&mapping, &p->mapping);
	int rc = p->checked ? 0 : hold_mapping_check(d, p, m, error);

	if (rc != 0)
		return rc;
	m->mapping = p->mapping;
	inventory_move_mapping(m, p->client);
	hold_mapping_set_expiry(d, m, p->expires_ms, p->expires_wall_us);
	if (hold_mapping_is_saved(m) && persist_save(d, error) != 0) {
		m->mapping = mapping;
		inventory_move_mapping(m, client);
		hold_mapping_set_expiry(d, m, expires_ms, expires_wall_us);
		return RSTUN_E_FAILED;
	}
	if (moves && m->role != NULL && !m->leaving)
		hold_mapping_leave(d, m, 0);
	daemon_publish_mapping(d, m, RPC_CHANGE_CHANGED, 0, "");
	hold_mapping_not_up(d, m);
	hold_mapping_settle(d, m);
	return 0;
}

int hold_mapping_remove(struct daemon *d, struct held_mapping *m, uint64_t drain_ms,
			const char *why, struct rpc_error *error)
{
	if (hold_mapping_is_saved(m) && !m->unsaved) {
		m->unsaved = true;
		if (persist_save(d, error) != 0) {
			m->unsaved = false;
			return RSTUN_E_FAILED;
		}
	}
	loop_timer_cancel(&m->expiry_timer);
	loop_timer_cancel(&m->bind_timer);
	daemon_publish_mapping(d, m, RPC_CHANGE_REMOVED, 0, why);
	inventory_hide_mapping(&d->inventory, m);
	methods_wait_changed(d, m);
	if (m->role == NULL)
		inventory_free_mapping(&d->inventory, m);
	else
		hold_mapping_leave(d, m, drain_ms); /* again: a shorter deadline */
	return 0;
}

int hold_mapping_pause(struct daemon *d, struct held_mapping *m, bool paused, uint64_t drain_ms,
		       struct rpc_error *error)
{
	bool saved = hold_mapping_is_saved(m) || m->origin == RPC_ORIGIN_CONFIG;

	if (m->paused == paused) {
		if (paused && m->leaving)
			hold_mapping_leave(d, m, drain_ms);
		return 0;
	}
	inventory_set_paused(&d->inventory, m, paused);
	if (saved && persist_save(d, error) != 0) {
		inventory_set_paused(&d->inventory, m, !paused);
		return RSTUN_E_FAILED;
	}
	if (!paused) {
		backoff_init(&m->bind_backoff, HOLD_MAPPING_RETRY_MS);
		daemon_publish_state(d, m, RPC_STATE_IDLE, 0, "");
		hold_mapping_settle(d, m);
		return 0;
	}
	loop_timer_cancel(&m->bind_timer);
	m->next_retry_ns = CLOCK_NEVER;
	if (m->role != NULL && !m->leaving)
		hold_mapping_leave(d, m, drain_ms);
	daemon_publish_state(d, m, RPC_STATE_PAUSED, 0, "");
	return 0;
}

int hold_mapping_keep(struct daemon *d, struct held_mapping *m, struct rpc_error *error)
{
	enum rpc_origin before = m->origin;

	m->origin = RPC_ORIGIN_STATE;
	if (persist_save(d, error) == 0)
		return 0;
	m->origin = before;
	return RSTUN_E_FAILED;
}

int hold_mapping_restart(struct daemon *d, struct held_mapping *m, struct rpc_error *error)
{
	char id[INVENTORY_ID_SIZE];
	struct message *message;

	if (m->paused) {
		inventory_mapping_id(id, m);
		rpc_error_set(error, 1000, "mapping %s is paused", id);
		rpc_error_hint(error, "rstunctl resume %s", id);
		return RSTUN_E_FAILED;
	}
	if (m->role == NULL) {
		backoff_init(&m->bind_backoff, HOLD_MAPPING_RETRY_MS);
		hold_mapping_settle(d, m);
		return 0;
	}
	if (m->leaving)
		return 0; /* it begins anew anyhow */
	message = message_new(MESSAGE_RESTART_MAPPING, m->role->index, 0);
	if (message == NULL)
		return rpc_error_from(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
	message->restart.id = m->number;
	worker_post(d->workers[m->worker], message);
	return 0;
}

void hold_mapping_shut_paths(struct daemon *d)
{
	struct held_mapping *m;

	for (size_t i = 0; i < INVENTORY_BUCKETS; i++)
		LIST_FOREACH (m, &d->inventory.mapping_hash[i], hash_link)
			unix_path_file_remove(&m->file);
}

void hold_mapping_caller_gone(struct daemon *d, uint64_t caller)
{
	struct held_mapping *m, *next;
	struct rpc_error error;

	for (m = TAILQ_FIRST(&d->inventory.mappings); m != NULL; m = next) {
		next = TAILQ_NEXT(m, link);
		if (m->caller == caller)
			(void)hold_mapping_remove(d, m, 0, "whoever added it is gone", &error);
	}
}
