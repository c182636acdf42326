/* SPDX-License-Identifier: MIT */
/*
 * The table of error kinds, and errors made from it. Those of base/error.h are here with the same
 * code and kind (a test compares them). Constant data, any thread.
 */
#include "rpc/api.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct rpc_error_row rpc_errors[] = {
	{RPC_PARSE_ERROR, "parse_error", RPC_EXIT_REFUSED, false,
	 "The line is not JSON, is too long or nests too deep, or an object has a member twice."},
	{RPC_INVALID_REQUEST, "invalid_request", RPC_EXIT_REFUSED, false,
	 "It is JSON, but no JSON-RPC 2.0 request."},
	{RPC_METHOD_NOT_FOUND, "method_not_found", RPC_EXIT_USAGE, false,
	 "This daemon has no such method."},
	{RPC_INVALID_PARAMS, "invalid_params", RPC_EXIT_USAGE, false,
	 "A parameter is unknown, missing or wrong; field names it."},
	{RPC_INTERNAL, "internal", RPC_EXIT_REFUSED, false,
	 "The daemon could not do it for a reason of its own, such as lack of memory."},
	{RPC_CANCELLED, "cancelled", RPC_EXIT_REFUSED, true, "rpc.cancel ended the call."},
	{RPC_NO_DAEMON, "no_daemon", RPC_EXIT_NO_DAEMON, true,
	 "Nobody answers on the control socket. Said by rstunctl itself, never by a daemon."},
	{1000, "failed", RPC_EXIT_REFUSED, false, "It failed; the message says why."},
	{1001, "not_found", RPC_EXIT_NOT_FOUND, false, "There is no such thing."},
	{1002, "already_exists", RPC_EXIT_CONFLICT, false,
	 "A thing of that name exists with another configuration."},
	{1003, "address_in_use", RPC_EXIT_CONFLICT, true, "Somebody else listens there."},
	{1004, "permission_denied", RPC_EXIT_PERMISSION, false,
	 "You may not do this here, or the daemon may not do it on this machine."},
	{1005, "defined_in_config", RPC_EXIT_CONFLICT, false,
	 "It is defined in the configuration file, which only its administrator changes."},
	{1006, "limit_reached", RPC_EXIT_REFUSED, true, "There are too many already."},
	{1007, "timeout", RPC_EXIT_TIMEOUT, true, "It did not happen within the time given."},
	{1008, "shutting_down", RPC_EXIT_REFUSED, false, "The daemon is ending."},
	{1009, "wrong_role", RPC_EXIT_REFUSED, false,
	 "It is for a client and was asked of a server, or the other way round."},
	{1010, "unsupported", RPC_EXIT_REFUSED, false, "This build or system cannot do it."},
	{1100, "dns_failed", RPC_EXIT_REFUSED, true, "A name could not be resolved."},
	{1101, "unreachable", RPC_EXIT_REFUSED, true, "The remote server does not answer."},
	{1102, "tls_verify_failed", RPC_EXIT_REFUSED, false,
	 "The remote server's certificate is not trusted."},
	{1103, "auth_failed", RPC_EXIT_REFUSED, false,
	 "The password is wrong, or this login is not allowed."},
	{1104, "login_rejected", RPC_EXIT_REFUSED, false, "The remote server refused the login."},
	{1105, "protocol_mismatch", RPC_EXIT_REFUSED, false,
	 "The remote server does not speak this protocol."},
	{1106, "access_denied", RPC_EXIT_REFUSED, false, "A rule of the remote server forbids it."},
	{1107, "no_default_upstream", RPC_EXIT_REFUSED, false,
	 "The mapping leads to ANY, and the remote server has no default upstream."},
	{1108, "rate_limited", RPC_EXIT_REFUSED, true,
	 "Too many attempts; retry_after_ms says when to try again."},
	{1109, "superseded", RPC_EXIT_REFUSED, false, "A newer login took this one's place."},
	{1110, "peer_key_changed", RPC_EXIT_REFUSED, false,
	 "The remote server's key is not the one that is pinned."},
	{1111, "password_required_unverified", RPC_EXIT_REFUSED, false,
	 "The remote server wants the password in clear, but its certificate was not verified."},
	{1112, "target_refused", RPC_EXIT_REFUSED, true, "The target refused the connection."},
	{1113, "target_unreachable", RPC_EXIT_REFUSED, true, "The target does not answer."},
	{1114, "remote_address_in_use", RPC_EXIT_CONFLICT, true,
	 "On the remote server, somebody else listens there."},
	{1115, "peer_lacks_feature", RPC_EXIT_REFUSED, false,
	 "The remote server's version cannot do it."},
	{1200, "config_invalid", RPC_EXIT_REFUSED, false,
	 "The configuration is wrong; the message names the place."},
	{1201, "state_write_failed", RPC_EXIT_REFUSED, true,
	 "What is to survive a restart could not be written."},
	{1202, "cert_invalid", RPC_EXIT_REFUSED, false,
	 "A certificate or its key is not usable."},
	{1203, "file_permissions", RPC_EXIT_REFUSED, false,
	 "Others may read a file that holds a secret; the message has the chmod to run."},
	{RPC_UNKNOWN_SUBSCRIPTION, "unknown_subscription", RPC_EXIT_NOT_FOUND, false,
	 "This connection has no such subscription."},
	{RPC_CURSOR_EXPIRED, "cursor_expired", RPC_EXIT_REFUSED, false,
	 "Events behind the cursor are gone: begin anew without one."},
};

const size_t rpc_error_count = sizeof(rpc_errors) / sizeof(rpc_errors[0]);

const struct rpc_error_row *rpc_error_row(int code)
{
	for (size_t i = 0; i < rpc_error_count; i++)
		if (rpc_errors[i].code == code)
			return &rpc_errors[i];
	return rpc_error_row(RPC_INTERNAL);
}

const char *rpc_error_failure(int error)
{
	/* Not of our making, and tried again: to a caller the far side is away. */
	if (error == RSTUN_E_CLOSED || error == RSTUN_E_RESET)
		error = RSTUN_E_UNREACHABLE;
	return rstun_error_kind(error);
}

const struct rpc_error_row *rpc_error_find(const char *kind)
{
	for (size_t i = 0; i < rpc_error_count; i++)
		if (strcmp(rpc_errors[i].kind, kind) == 0)
			return &rpc_errors[i];
	return NULL;
}

static void rpc_error_fill(struct rpc_error *e, int code, const char *format, va_list args)
{
	const struct rpc_error_row *row = rpc_error_row(code);

	memset(e, 0, sizeof(*e));
	e->code = row->code;
	e->retryable = row->retryable;
	e->retry_after_ms = UINT64_MAX;
	snprintf(e->kind, sizeof(e->kind), "%s", row->kind);
	vsnprintf(e->message, sizeof(e->message), format, args);
}

int rpc_error_set(struct rpc_error *e, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	rpc_error_fill(e, code, format, args);
	va_end(args);
	return RSTUN_E_FAILED;
}

int rpc_error_from(struct rpc_error *e, int error, const char *format, ...)
{
	/* The engine's own values are below the API's. */
	int code = error == RSTUN_E_CANCELLED	 ? RPC_CANCELLED
		   : error <= RSTUN_E_NOMEM	 ? RPC_INTERNAL
						 : -error;
	va_list args;

	va_start(args, format);
	rpc_error_fill(e, code, format, args);
	va_end(args);
	return RSTUN_E_FAILED;
}

void rpc_error_hint(struct rpc_error *e, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(e->hint, sizeof(e->hint), format, args);
	va_end(args);
}
