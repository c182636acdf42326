/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets by address, claims by session, mappings by id: three small hash tables. A
 * socket has a queue of claims, of which the first is its holder.
 */
#include "rstund/control/registry.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct registry_socket;

struct registry_entry {
	struct registry_claim claim;
	struct registry_socket *socket;
	TAILQ_ENTRY(registry_entry) queue_link;
	LIST_ENTRY(registry_entry) session_link;
};

struct registry_socket {
	enum mapping_proto proto;
	struct address address; /* with the port that was picked */
	int fd;                 /* ours; workers have copies */
	bool probing;
	TAILQ_HEAD(registry_queue, registry_entry) queue;
	size_t waiting; /* claims behind the first */
	LIST_ENTRY(registry_socket) link;
};

LIST_HEAD(registry_sockets, registry_socket);
LIST_HEAD(registry_entries, registry_entry);

struct registry {
	const struct registry_ops *ops;
	void *user;
	size_t socket_count;
	struct registry_sockets sockets[REGISTRY_BUCKETS];   /* by port */
	struct registry_entries sessions[REGISTRY_BUCKETS];  /* by session id */
};

int registry_new(struct registry **ret, const struct registry_ops *ops, void *user)
{
	struct registry *r = calloc(1, sizeof(*r)); /* zeroed list heads are empty lists */

	if (r == NULL)
		return RSTUN_E_NOMEM;
	r->ops = ops;
	r->user = user;
	*ret = r;
	return 0;
}

static struct registry_sockets *registry_sockets_of(struct registry *r,
						    const struct address *address)
{
	return &r->sockets[address_port(address) % REGISTRY_BUCKETS];
}

static struct registry_entry *registry_find(struct registry *r, unsigned role, uint64_t session_id)
{
	struct registry_entry *e;

	LIST_FOREACH (e, &r->sessions[session_id % REGISTRY_BUCKETS], session_link)
		if (e->claim.role == role && e->claim.session_id == session_id)
			return e;
	return NULL;
}

/* Would the kernel take both? A wildcard and an address of its family exclude each other. */
static bool registry_overlap(const struct address *a, const struct address *b)
{
	if (a->sa.sa_family != b->sa.sa_family || address_port(a) != address_port(b))
		return false;
	return address_equal_ip(a, b) || address_is_unspecified(a) || address_is_unspecified(b);
}

static struct registry_socket *registry_holder(struct registry *r,
					       const struct registry_claim *claim)
{
	struct registry_socket *s;

	if (address_port(&claim->address) == 0)
		return NULL;
	LIST_FOREACH (s, registry_sockets_of(r, &claim->address), link)
		if (s->proto == claim->proto && registry_overlap(&s->address, &claim->address))
			return s;
	return NULL;
}

static void registry_refuse(struct registry *r, const struct registry_claim *claim, int error)
{
	r->ops->answer(r->user, claim, error, -1, &claim->address);
}

static void registry_enqueue(struct registry *r, struct registry_socket *s,
			     struct registry_entry *e)
{
	e->socket = s;
	TAILQ_INSERT_TAIL(&s->queue, e, queue_link);
	LIST_INSERT_HEAD(&r->sessions[e->claim.session_id % REGISTRY_BUCKETS], e, session_link);
}

static void registry_drop_entry(struct registry_entry *e)
{
	TAILQ_REMOVE(&e->socket->queue, e, queue_link);
	LIST_REMOVE(e, session_link);
	free(e);
}

/* With no claims left. */
static void registry_drop_socket(struct registry *r, struct registry_socket *s)
{
	close(s->fd);
	LIST_REMOVE(s, link);
	r->socket_count--;
	free(s);
}

/* Gives the first claim in the queue its copy of the descriptor. */
static int registry_hand_over(struct registry *r, struct registry_socket *s)
{
	struct registry_claim claim = TAILQ_FIRST(&s->queue)->claim;
	int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return rstun_error_from_errno(errno);
	r->ops->answer(r->user, &claim, 0, fd, &s->address);
	return 0;
}

static int registry_bind_new(struct registry *r, const struct registry_claim *claim,
			     struct registry_socket **ret)
{
	struct registry_socket *s;
	struct address bound;
	int fd, rc;

	if (r->socket_count >= REGISTRY_SOCKETS_MAX)
		return RSTUN_E_LIMIT_REACHED;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return RSTUN_E_NOMEM;
	rc = r->ops->bind(r->user, claim->proto, &claim->address, &fd, &bound);
	if (rc != 0) {
		free(s);
		return rc;
	}
	s->proto = claim->proto;
	s->address = bound;
	s->fd = fd;
	TAILQ_INIT(&s->queue);
	LIST_INSERT_HEAD(registry_sockets_of(r, &bound), s, link);
	r->socket_count++;
	*ret = s;
	return 0;
}

/* The address is free: binds it for this claim. The entry is taken over. */
static void registry_grant_new(struct registry *r, struct registry_entry *e)
{
	struct registry_claim claim = e->claim;
	struct registry_socket *s;
	int rc = registry_bind_new(r, &claim, &s);

	if (rc != 0) {
		free(e);
		/* Another program has it: for the far side that is the same as another session. */
		registry_refuse(r, &claim,
				rc == RSTUN_E_ADDRESS_IN_USE ? RSTUN_E_REMOTE_ADDRESS_IN_USE : rc);
		return;
	}
	registry_enqueue(r, s, e);
	rc = registry_hand_over(r, s);
	if (rc != 0) {
		registry_drop_entry(e);
		registry_drop_socket(r, s);
		registry_refuse(r, &claim, rc);
	}
}

/* Whoever holds the address keeps it, and is not even asked whether it lives. */
static void registry_probe_address(struct registry *r, const struct registry_claim *claim)
{
	struct address bound;
	int fd = -1, rc;

	rc = registry_holder(r, claim) != NULL
		     ? RSTUN_E_ADDRESS_IN_USE
		     : r->ops->bind(r->user, claim->proto, &claim->address, &fd, &bound);
	if (rc != 0) {
		registry_refuse(r, claim,
				rc == RSTUN_E_ADDRESS_IN_USE ? RSTUN_E_REMOTE_ADDRESS_IN_USE : rc);
		return;
	}
	close(fd);
	r->ops->answer(r->user, claim, 0, -1, &bound);
}

void registry_claim(struct registry *r, const struct registry_claim *claim)
{
	struct registry_socket *s;
	struct registry_entry *e;

	if (claim->probe) {
		registry_probe_address(r, claim);
		return;
	}
	if (registry_find(r, claim->role, claim->session_id) != NULL) {
		registry_refuse(r, claim, RSTUN_E_ALREADY_EXISTS);
		return;
	}
	s = registry_holder(r, claim);
	if (s != NULL && s->waiting >= REGISTRY_WAITING_MAX) {
		registry_refuse(r, claim, RSTUN_E_REMOTE_ADDRESS_IN_USE);
		return;
	}
	e = calloc(1, sizeof(*e));
	if (e == NULL) {
		registry_refuse(r, claim, RSTUN_E_NOMEM);
		return;
	}
	e->claim = *claim;
	if (s == NULL) {
		registry_grant_new(r, e);
		return;
	}
	registry_enqueue(r, s, e);
	s->waiting++;
	if (!s->probing) {
		struct registry_claim holder = TAILQ_FIRST(&s->queue)->claim;

		s->probing = true;
		r->ops->probe(r->user, &holder);
	}
}

/* The holder lives, or has just come: everybody behind it is refused. */
static void registry_refuse_waiting(struct registry *r, struct registry_socket *s)
{
	struct registry_entry *e;

	while ((e = TAILQ_NEXT(TAILQ_FIRST(&s->queue), queue_link)) != NULL) {
		struct registry_claim claim = e->claim;

		registry_drop_entry(e);
		s->waiting--;
		registry_refuse(r, &claim, RSTUN_E_REMOTE_ADDRESS_IN_USE);
	}
}

/* The next claim overlaps with the socket's address but is not the same (0.0.0.0 behind 127.0.0.1):
 * the old socket closes, and those who waited claim anew, in their order. */
static void registry_claim_anew(struct registry *r, struct registry_socket *s)
{
	struct registry_claim claims[REGISTRY_WAITING_MAX + 1];
	struct registry_entry *e;
	size_t count = 0;

	while ((e = TAILQ_FIRST(&s->queue)) != NULL) {
		claims[count++] = e->claim;
		registry_drop_entry(e);
	}
	registry_drop_socket(r, s);
	for (size_t i = 0; i < count; i++)
		registry_claim(r, &claims[i]);
}

/* The holder has left the queue: the next in it gets the socket, or it is closed. */
static void registry_next_holder(struct registry *r, struct registry_socket *s)
{
	struct registry_entry *e;

	s->probing = false;
	while ((e = TAILQ_FIRST(&s->queue)) != NULL) {
		struct registry_claim claim = e->claim;
		int rc;

		if (!address_equal(&claim.address, &s->address)) {
			registry_claim_anew(r, s);
			return;
		}
		s->waiting--;
		rc = registry_hand_over(r, s);
		if (rc == 0) {
			registry_refuse_waiting(r, s);
			return;
		}
		registry_drop_entry(e);
		registry_refuse(r, &claim, rc);
	}
	registry_drop_socket(r, s);
}

static void registry_leave(struct registry *r, struct registry_entry *e)
{
	struct registry_socket *s = e->socket;
	bool holder = TAILQ_FIRST(&s->queue) == e;

	registry_drop_entry(e);
	if (holder)
		registry_next_holder(r, s);
	else
		s->waiting--;
}

void registry_release(struct registry *r, unsigned role, uint64_t session_id)
{
	struct registry_entry *e = registry_find(r, role, session_id);

	if (e != NULL)
		registry_leave(r, e);
}

static void registry_forget_some(struct registry *r, struct registry_entries *bucket,
				 unsigned role, unsigned worker, bool holders)
{
	struct registry_entry *e = LIST_FIRST(bucket);

	while (e != NULL) {
		if (e->claim.role != role || e->claim.worker != worker ||
		    (!holders && TAILQ_FIRST(&e->socket->queue) == e)) {
			e = LIST_NEXT(e, session_link);
			continue;
		}
		registry_leave(r, e);
		e = LIST_FIRST(bucket); /* others may have gone with it */
	}
}

void registry_forget(struct registry *r, unsigned role, unsigned worker)
{
	if (r == NULL)
		return;
	/* Those that wait first, so that none of them is given what another one leaves. */
	for (size_t i = 0; i < REGISTRY_BUCKETS; i++)
		registry_forget_some(r, &r->sessions[i], role, worker, false);
	for (size_t i = 0; i < REGISTRY_BUCKETS; i++)
		registry_forget_some(r, &r->sessions[i], role, worker, true);
}

void registry_probed(struct registry *r, unsigned role, uint64_t session_id, bool alive)
{
	struct registry_entry *e = registry_find(r, role, session_id);

	/* It may have left meanwhile, and the socket may be another's: then there is nothing to
	 * say. */
	if (e == NULL || TAILQ_FIRST(&e->socket->queue) != e || !e->socket->probing)
		return;
	e->socket->probing = false;
	if (alive)
		registry_refuse_waiting(r, e->socket);
	else
		registry_leave(r, e);
}

size_t registry_sockets(const struct registry *r)
{
	return r->socket_count;
}

void registry_free(struct registry *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < REGISTRY_BUCKETS; i++) {
		struct registry_socket *s;

		while ((s = LIST_FIRST(&r->sockets[i])) != NULL) {
			while (!TAILQ_EMPTY(&s->queue))
				registry_drop_entry(TAILQ_FIRST(&s->queue));
			registry_drop_socket(r, s);
		}
	}
	free(r);
}
