/* SPDX-License-Identifier: MIT */
/*
 * What both roles ask of their QUIC endpoint alike: its thread, its limits, its habits.
 */
#pragma once

#include "quic/endpoint.h"
#include "config/config.h"
#include "tunnel/env.h"

/* Fills what the roles share; operations, credentials, keep-alive and the streams before the login
 * are the caller's. */
void transport_config(struct quic_endpoint_config *ret, const struct tunnel_env *env,
		      uint64_t quic_timeout_ms, int congestion);
