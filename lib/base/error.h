/* SPDX-License-Identifier: MIT */
/*
 * Error values of the whole project: rstun.h has them, and rstun_strerror and rstun_error_kind; here
 * is what programs do not see. A function that can fail returns 0 or one of these negative
 * values; out-parameters named ret_ are untouched on failure. The numbers are the negated codes of
 * the control API, and the same codes travel in the `failure` record of the wire, so there is one
 * table for all three: code, kind (what scripts match), text (what people read).
 * ngtcp2 codes never leave quic/, GnuTLS codes never leave tls/.
 */
#pragma once

#include "rstun.h"

/* The code of the `failure` record for an error (positive, 1000 if it has none of its own), and
 * back: an unknown code becomes RSTUN_E_FAILED. */
int rstun_error_to_code(int error);
int rstun_error_from_code(int code);

/* The error value that best names an errno of bind, connect, open and the like. */
int rstun_error_from_errno(int err);
