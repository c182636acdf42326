/* SPDX-License-Identifier: MIT */
/*
 * Error values of the whole project. A function that can fail returns 0 or one of these negative
 * values; out-parameters named ret_ are untouched on failure. The numbers are the negated codes of
 * the control API, and the same codes travel in the `failure` record of the wire, so there is one
 * table for all three: code, kind (what scripts match), text (what people read).
 * ngtcp2 codes never leave quic/, GnuTLS codes never leave tls/.
 */
#pragma once

#include <stdbool.h>

enum rstun_error {
	RSTUN_OK = 0,
	RSTUN_E_FAILED = -1000,
	RSTUN_E_NOT_FOUND = -1001,
	RSTUN_E_ALREADY_EXISTS = -1002,
	RSTUN_E_ADDRESS_IN_USE = -1003,
	RSTUN_E_PERMISSION_DENIED = -1004,
	RSTUN_E_DEFINED_IN_CONFIG = -1005,
	RSTUN_E_LIMIT_REACHED = -1006,
	RSTUN_E_TIMEOUT = -1007,
	RSTUN_E_SHUTTING_DOWN = -1008,
	RSTUN_E_WRONG_ROLE = -1009,
	RSTUN_E_UNSUPPORTED = -1010,
	RSTUN_E_DNS_FAILED = -1100,
	RSTUN_E_UNREACHABLE = -1101,
	RSTUN_E_TLS_VERIFY_FAILED = -1102,
	RSTUN_E_AUTH_FAILED = -1103,
	RSTUN_E_LOGIN_REJECTED = -1104,
	RSTUN_E_PROTOCOL_MISMATCH = -1105,
	RSTUN_E_ACCESS_DENIED = -1106,
	RSTUN_E_NO_DEFAULT_UPSTREAM = -1107,
	RSTUN_E_RATE_LIMITED = -1108,
	RSTUN_E_SUPERSEDED = -1109,
	RSTUN_E_PEER_KEY_CHANGED = -1110,
	RSTUN_E_PASSWORD_REQUIRED_UNVERIFIED = -1111,
	RSTUN_E_TARGET_REFUSED = -1112,
	RSTUN_E_TARGET_UNREACHABLE = -1113,
	RSTUN_E_REMOTE_ADDRESS_IN_USE = -1114,
	RSTUN_E_PEER_LACKS_FEATURE = -1115,
	RSTUN_E_CONFIG_INVALID = -1200,
	RSTUN_E_STATE_WRITE_FAILED = -1201,
	RSTUN_E_CERT_INVALID = -1202,
	RSTUN_E_FILE_PERMISSIONS = -1203,
	/* Not part of the control API: inside the engine only. */
	RSTUN_E_NOMEM = -2000,    /* allocation failed */
	RSTUN_E_AGAIN = -2001,    /* would block; more input or room is needed */
	RSTUN_E_MALFORMED = -2002, /* input that no valid peer or user produces */
	RSTUN_E_TOO_LARGE = -2003, /* a declared length beyond its limit */
	RSTUN_E_CLOSED = -2004,   /* the object is closing or gone */
	RSTUN_E_CANCELLED = -2005,
	RSTUN_E_RESET = -2006,    /* the peer reset the flow or the connection */
};

/* A short sentence fragment in lower case without a full stop; never NULL. */
const char *rstun_strerror(int error);

/* The stable kind of the control API ("auth_failed", ...); "internal" for the engine's own. */
const char *rstun_error_kind(int error);

/* The code of the `failure` record for an error (positive, 1000 if it has none of its own), and
 * back: an unknown code becomes RSTUN_E_FAILED. */
int rstun_error_to_code(int error);
int rstun_error_from_code(int code);

/* The error value that best names an errno of bind, connect, open and the like. */
int rstun_error_from_errno(int err);
