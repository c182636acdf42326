/* SPDX-License-Identifier: MIT */
/*
 * Choice and resolution of what is dialled. An unspecified address (0.0.0.0:80) means loopback of
 * its family here, once for all callers, also when a name resolves to it.
 */
#include "tunnel/dial.h"

#include "base/error.h"
#include "dns/resolver.h"

#include <unistd.h>

void dial_choose(struct target *ret, const struct target *fixed, const struct target *named,
		 const struct target *fallback)
{
	const struct target *order[] = {fixed, named, fallback};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (order[i] != NULL && order[i]->kind != TARGET_DEFAULT) {
			*ret = *order[i];
			return;
		}
	}
	*ret = (struct target){.kind = TARGET_DEFAULT};
}

static void dial_failed(struct dial *d, int error, const char *why)
{
	struct dial_result result = {.error = error, .why = why};

	d->done(d->user, &result);
}

static void dial_on_lookup(void *user, const struct resolver_result *found)
{
	struct dial *d = user;
	struct address addresses[RESOLVER_ADDRESSES_MAX];
	struct dial_result result = {.addresses = addresses, .count = found->count, .why = ""};

	d->lookup = NULL;
	if (found->error != 0) {
		dial_failed(d, found->error, found->why);
		return;
	}
	for (size_t i = 0; i < found->count; i++) {
		addresses[i] = found->addresses[i];
		address_unspecified_to_loopback(&addresses[i]);
	}
	d->done(d->user, &result);
}

void dial_resolve(struct dial *d, struct resolver *resolver, const struct target *target,
		  void (*done)(void *user, const struct dial_result *result), void *user)
{
	struct address address;
	struct dial_result result = {.addresses = &address, .count = 1, .why = ""};
	int err;

	*d = (struct dial){.done = done, .user = user};
	switch (target->kind) {
	case TARGET_DEFAULT:
	case TARGET_SOCKS5:
	case TARGET_HTTP:
		dial_failed(d, RSTUN_E_NOT_FOUND, "no target is named and there is no default");
		return;
	case TARGET_ADDRESS:
		address = target->address;
		address_unspecified_to_loopback(&address);
		done(user, &result);
		return;
	case TARGET_UNIX:
		result.count = 0;
		result.path = target->path;
		done(user, &result);
		return;
	case TARGET_NAME:
		err = resolver_lookup(resolver, target->name, target->port, dial_on_lookup, d,
				      &d->lookup);
		if (err != 0)
			dial_failed(d, err, rstun_strerror(err));
		return;
	}
}

static bool dial_has_route(const struct address *address)
{
	int fd = socket(address->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool routed = fd >= 0 && connect(fd, &address->sa, address->len) == 0;

	if (fd >= 0)
		close(fd);
	return routed;
}

const struct address *dial_pick(const struct dial_result *result)
{
	const struct address *picked = NULL;

	for (size_t i = 0; i < result->count; i++) {
		const struct address *address = &result->addresses[i];
		bool better = picked == NULL || (address->sa.sa_family == AF_INET &&
						 picked->sa.sa_family != AF_INET);

		if (better && (result->count == 1 || dial_has_route(address)))
			picked = address;
	}
	return picked != NULL ? picked : &result->addresses[0];
}

void dial_cancel(struct dial *d)
{
	if (d->lookup == NULL)
		return;
	resolver_cancel(d->lookup);
	d->lookup = NULL;
}
