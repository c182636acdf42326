/* SPDX-License-Identifier: MIT */
/*
 * The rules for logins (WIRE.md, section 1). The order is deliberate: a source that is being
 * punished learns nothing, and nothing but the password is looked at before it was right.
 */
#include "tunnel/server_login.h"

#include "base/error.h"
#include "tls/digest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_USER "default"

__attribute__((format(printf, 3, 4))) static int refuse(struct server_refusal *ret, int error,
							const char *format, ...)
{
	va_list args;

	ret->error = error;
	va_start(args, format);
	vsnprintf(ret->text, sizeof(ret->text), format, args);
	va_end(args);
	return error;
}

static int check_password(struct server_refusal *ret, const uint8_t password_digest[32],
			  struct penalty *penalty, const struct address *source,
			  const struct wire_login *login, const struct wire_trailer *trailer,
			  uint64_t now_ns)
{
	uint64_t wait_ms = penalty_wait_ms(penalty, source, now_ns);
	uint8_t digest[DIGEST_SHA256_BYTES];
	bool right;

	if (wait_ms != 0) {
		ret->retry_after_ms = (uint32_t)wait_ms;
		return refuse(ret, RSTUN_E_RATE_LIMITED,
			      "too many wrong passwords from this address, try again in %u s",
			      (unsigned)((wait_ms + 999) / 1000));
	}
	digest_sha256(digest, login->password, strlen(login->password));
	right = digest_equal(digest, password_digest, sizeof(digest));
	/* There are no users yet but the one that everybody is who names none. */
	if (trailer->present && trailer->has_user && strcmp(trailer->user, DEFAULT_USER) != 0)
		right = false;
	if (!right) {
		penalty_wrong(penalty, source, now_ns);
		return refuse(ret, RSTUN_E_AUTH_FAILED,
			      "wrong password: both sides must be started with the same one");
	}
	penalty_right(penalty, source);
	return 0;
}

/* The larger of both; 0 and a year or more are "never". */
static uint64_t idle_tcp(uint64_t asked_ms, uint64_t own_ms, uint64_t cap_ms)
{
	uint64_t ms = asked_ms > own_ms ? asked_ms : own_ms;

	if (asked_ms == 0 || own_ms == 0 || ms >= WIRE_NEVER_MS)
		ms = 0;
	return cap_ms != 0 && (ms == 0 || ms > cap_ms) ? cap_ms : ms;
}

/* The same, but a UDP flow has no end of its own: 0 is our own, and never is a year. */
static uint64_t idle_udp(uint64_t asked_ms, uint64_t own_ms, uint64_t cap_ms)
{
	uint64_t ms = asked_ms > own_ms ? asked_ms : own_ms;

	if (ms > WIRE_NEVER_MS)
		ms = WIRE_NEVER_MS;
	return cap_ms != 0 && ms > cap_ms ? cap_ms : ms;
}

static void take_address(struct target *ret, const struct address *address)
{
	*ret = (struct target){.kind = TARGET_ADDRESS, .address = *address};
}

static int check_out(struct server_login *ret, struct server_refusal *refusal,
		     const struct server_config *config, const struct wire_login *login,
		     const struct wire_trailer *trailer)
{
	const struct target *own =
		login->proto == MAPPING_TCP ? &config->tcp_upstream : &config->udp_upstream;

	if (login->has_upstream) {
		take_address(&ret->upstream, &login->upstream);
		ret->mapping.remote = ret->upstream;
	} else if (trailer->present && trailer->has_target) {
		ret->upstream = trailer->target;
		ret->mapping.remote = ret->upstream;
	} else {
		ret->upstream = *own;
	}
	if (ret->upstream.kind == TARGET_DEFAULT &&
	    !(login->proto == MAPPING_TCP && config->tcp_upstream_optional))
		return refuse(refusal, RSTUN_E_NO_DEFAULT_UPSTREAM,
			      "the mapping asks for the default %s upstream (ANY) and this server "
			      "has none: start it with --%s-upstream, or name one in the mapping",
			      mapping_proto_name(login->proto), mapping_proto_name(login->proto));
	return 0;
}

static int check_in(struct server_login *ret, struct server_refusal *refusal,
		    const struct wire_login *login)
{
	char text[ADDRESS_TEXT_SIZE];

	if (!login->has_upstream)
		return refuse(refusal, RSTUN_E_CONFIG_INVALID,
			      "an IN mapping must name the port to listen on");
	if (!address_is_loopback(&login->upstream) && !address_is_unspecified(&login->upstream))
		return refuse(refusal, RSTUN_E_ACCESS_DENIED,
			      "%s: only a loopback or unspecified address may be listened on, or a "
			      "bare port",
			      address_format(text, sizeof(text), &login->upstream));
	ret->listen = login->upstream;
	take_address(&ret->mapping.remote, &login->upstream);
	return 0;
}

int server_login_check(struct server_login *ret, struct server_refusal *ret_refusal,
		       const struct server_config *config, const uint8_t password_digest[32],
		       struct penalty *penalty, const struct address *source,
		       const struct wire_login *login, const struct wire_trailer *trailer,
		       uint64_t now_ns)
{
	struct server_login asked = {
		.channel = login->channel,
		.mode = login->channel ? MAPPING_OUT : login->mode,
		.proto = login->proto,
		.tcp_idle_ms = idle_tcp(login->tcp_timeout_ms, config->tcp_timeout_ms,
					config->max_idle_ms),
		.udp_idle_ms = idle_udp(login->udp_timeout_ms, config->udp_timeout_ms,
					config->max_idle_ms),
	};
	int err;

	*ret_refusal = (struct server_refusal){0};
	err = check_password(ret_refusal, password_digest, penalty, source, login, trailer, now_ns);
	if (err != 0)
		return err;
	asked.mapping.mode = asked.mode;
	asked.mapping.proto = asked.proto;
	if (login->has_local)
		take_address(&asked.mapping.local, &login->local);
	if (login->channel) /* each flow names its target; what names none goes to the default */
		asked.upstream =
			login->proto == MAPPING_TCP ? config->tcp_upstream : config->udp_upstream;
	else if (login->mode == MAPPING_OUT)
		err = check_out(&asked, ret_refusal, config, login, trailer);
	else
		err = check_in(&asked, ret_refusal, login);
	if (err == 0)
		*ret = asked;
	return err;
}

void server_login_bind_failed(struct server_refusal *ret, enum mapping_proto proto,
			      const struct address *address, int error)
{
	char text[ADDRESS_TEXT_SIZE];
	const char *why = rstun_strerror(error);

	*ret = (struct server_refusal){0};
	if (error == RSTUN_E_ADDRESS_IN_USE || error == RSTUN_E_REMOTE_ADDRESS_IN_USE) {
		error = RSTUN_E_REMOTE_ADDRESS_IN_USE;
		why = "the address is in use: stop what listens there, or choose another port";
	} else if (error == RSTUN_E_PERMISSION_DENIED && address_port(address) < 1024) {
		why = "permission denied (ports below 1024 need a privilege)";
	}
	refuse(ret, error, "%s server failed to bind at: %s: %s", mapping_proto_name(proto),
	       address_format(text, sizeof(text), address), why);
}
