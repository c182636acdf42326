/* SPDX-License-Identifier: MIT */
/*
 * The one table of errors: value, code on the wire and in the control API, kind for scripts, text
 * for people. Rows are few, so lookups are linear; nothing here is on the data path. No state, any
 * thread.
 */
#include "base/error.h"

#include <errno.h>
#include <stddef.h>

struct error_row {
	int error;
	int code; /* 0 = none of its own: sent as 1000 */
	const char *kind;
	const char *text;
};

#define ERROR_CODE_FAILED 1000

static const struct error_row error_rows[] = {
	{RSTUN_OK, 0, "ok", "no error"},
	{RSTUN_E_FAILED, 1000, "failed", "the operation failed"},
	{RSTUN_E_NOT_FOUND, 1001, "not_found", "there is no such thing"},
	{RSTUN_E_ALREADY_EXISTS, 1002, "already_exists", "it exists already"},
	{RSTUN_E_ADDRESS_IN_USE, 1003, "address_in_use", "the address is in use"},
	{RSTUN_E_PERMISSION_DENIED, 1004, "permission_denied", "permission denied"},
	{RSTUN_E_DEFINED_IN_CONFIG, 1005, "defined_in_config",
	 "it is defined in the configuration file"},
	{RSTUN_E_LIMIT_REACHED, 1006, "limit_reached", "a limit is reached"},
	{RSTUN_E_TIMEOUT, 1007, "timeout", "it took too long"},
	{RSTUN_E_SHUTTING_DOWN, 1008, "shutting_down", "it is shutting down"},
	{RSTUN_E_WRONG_ROLE, 1009, "wrong_role", "not possible in this role"},
	{RSTUN_E_UNSUPPORTED, 1010, "unsupported", "not supported here"},
	{RSTUN_E_DNS_FAILED, 1100, "dns_failed", "the name could not be resolved"},
	{RSTUN_E_UNREACHABLE, 1101, "unreachable", "the server cannot be reached"},
	{RSTUN_E_TLS_VERIFY_FAILED, 1102, "tls_verify_failed",
	 "the server's certificate is not trusted"},
	{RSTUN_E_AUTH_FAILED, 1103, "auth_failed", "wrong password, or the login was not allowed"},
	{RSTUN_E_LOGIN_REJECTED, 1104, "login_rejected", "the server rejected the login"},
	{RSTUN_E_PROTOCOL_MISMATCH, 1105, "protocol_mismatch",
	 "the peer does not speak this protocol"},
	{RSTUN_E_ACCESS_DENIED, 1106, "access_denied", "a rule of the server forbids it"},
	{RSTUN_E_NO_DEFAULT_UPSTREAM, 1107, "no_default_upstream",
	 "the server has no default upstream"},
	{RSTUN_E_RATE_LIMITED, 1108, "rate_limited", "too many attempts, try again later"},
	{RSTUN_E_SUPERSEDED, 1109, "superseded", "a newer login took this one's place"},
	{RSTUN_E_PEER_KEY_CHANGED, 1110, "peer_key_changed",
	 "the server's key is not the one that is pinned"},
	{RSTUN_E_PASSWORD_REQUIRED_UNVERIFIED, 1111, "password_required_unverified",
	 "the server wants the password in clear, but its certificate was not verified"},
	{RSTUN_E_TARGET_REFUSED, 1112, "target_refused", "the target refused the connection"},
	{RSTUN_E_TARGET_UNREACHABLE, 1113, "target_unreachable", "the target cannot be reached"},
	{RSTUN_E_REMOTE_ADDRESS_IN_USE, 1114, "remote_address_in_use",
	 "the address on the server is in use"},
	{RSTUN_E_PEER_LACKS_FEATURE, 1115, "peer_lacks_feature", "the peer cannot do this"},
	{RSTUN_E_CONFIG_INVALID, 1200, "config_invalid", "the configuration is not valid"},
	{RSTUN_E_STATE_WRITE_FAILED, 1201, "state_write_failed", "the state could not be saved"},
	{RSTUN_E_CERT_INVALID, 1202, "cert_invalid", "the certificate or its key is not usable"},
	{RSTUN_E_FILE_PERMISSIONS, 1203, "file_permissions",
	 "others may read a file that holds a secret"},
	{RSTUN_E_NOMEM, 0, "internal", "out of memory"},
	{RSTUN_E_AGAIN, 0, "internal", "not possible right now"},
	{RSTUN_E_MALFORMED, 0, "internal", "malformed input"},
	{RSTUN_E_TOO_LARGE, 0, "internal", "too large"},
	{RSTUN_E_CLOSED, 0, "internal", "closed"},
	{RSTUN_E_CANCELLED, 0, "internal", "cancelled"},
	{RSTUN_E_RESET, 0, "internal", "reset by the peer"},
	{RSTUN_E_WRONG_THREAD, 0, "internal", "called by another thread than the context's"},
};

#define ERROR_ROW_COUNT (sizeof(error_rows) / sizeof(error_rows[0]))

static const struct error_row *error_row(int error)
{
	for (size_t i = 0; i < ERROR_ROW_COUNT; i++)
		if (error_rows[i].error == error)
			return &error_rows[i];
	return NULL;
}

const char *rstun_strerror(int error)
{
	const struct error_row *row = error_row(error);

	return row != NULL ? row->text : "unknown error";
}

const char *rstun_error_kind(int error)
{
	const struct error_row *row = error_row(error);

	return row != NULL ? row->kind : "internal";
}

int rstun_error_to_code(int error)
{
	const struct error_row *row = error_row(error);

	return row != NULL && row->code != 0 ? row->code : ERROR_CODE_FAILED;
}

int rstun_error_from_code(int code)
{
	for (size_t i = 0; i < ERROR_ROW_COUNT; i++)
		if (error_rows[i].code == code && code != 0)
			return error_rows[i].error;
	return RSTUN_E_FAILED;
}

int rstun_error_from_errno(int err)
{
	switch (err) {
	case EADDRINUSE:
		return RSTUN_E_ADDRESS_IN_USE;
	case EACCES:
	case EPERM:
	case EROFS:
		return RSTUN_E_PERMISSION_DENIED;
	case ENOENT:
	case ENOTDIR:
	case ENODEV:
		return RSTUN_E_NOT_FOUND;
	case EEXIST:
		return RSTUN_E_ALREADY_EXISTS;
	case ETIMEDOUT:
		return RSTUN_E_TIMEOUT;
	case ECONNREFUSED:
		return RSTUN_E_TARGET_REFUSED;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
		return RSTUN_E_TARGET_UNREACHABLE;
	case EMFILE:
	case ENFILE:
		return RSTUN_E_LIMIT_REACHED;
	case ENOMEM:
	case ENOBUFS:
		return RSTUN_E_NOMEM;
	case EAGAIN: /* also EWOULDBLOCK */
	case EINPROGRESS:
	case EINTR:
		return RSTUN_E_AGAIN;
	case EMSGSIZE:
		return RSTUN_E_TOO_LARGE;
	case EPIPE:
	case ECONNRESET:
	case ECONNABORTED:
		return RSTUN_E_RESET;
	case ECANCELED:
		return RSTUN_E_CANCELLED;
	case EAFNOSUPPORT:
	case EPROTONOSUPPORT:
	case EOPNOTSUPP:
	case ENOSYS:
		return RSTUN_E_UNSUPPORTED;
	default:
		return RSTUN_E_FAILED;
	}
}
