/* SPDX-License-Identifier: MIT */
/*
 * A QUIC stream as a buffered end: the only file of relay/ that knows quic/.
 */
#pragma once

#include "relay/end.h"

#include <stdbool.h>

struct quic_stream;

/* Takes the stream over (sets its ops). `plain_codes`: the peer is the original, so every error
 * code sent is 1. RSTUN_E_NOMEM (then the stream is aborted). */
int quic_end_new(struct end **ret, struct quic_stream *stream, bool plain_codes);
