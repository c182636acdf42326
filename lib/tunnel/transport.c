/* SPDX-License-Identifier: MIT */
/*
 * See transport.h. Pure; any thread.
 */
#include "tunnel/transport.h"

#include "base/clock.h"
#include "tunnel/limits.h"

#include <string.h>

void transport_config(struct quic_endpoint_config *ret, const struct tunnel_env *env,
		      uint64_t quic_timeout_ms, int congestion)
{
	static const enum quic_congestion algorithms[] = {
		[CONFIG_CONGESTION_BBR] = QUIC_CONGESTION_BBR,
		[CONFIG_CONGESTION_CUBIC] = QUIC_CONGESTION_CUBIC,
		[CONFIG_CONGESTION_RENO] = QUIC_CONGESTION_RENO,
	};

	*ret = (struct quic_endpoint_config){
		.loop = env->loop,
		.log = env->log,
		.pool = env->pool,
		.worker = env->worker,
		.worker_count = env->worker_count,
	};
	quic_config_default(&ret->quic);
	ret->quic.idle_timeout_ns = clock_ms(quic_timeout_ms);
	ret->quic.keep_alive_ns = 0;
	ret->quic.handshake_timeout_ns = clock_ms(LIMITS_HANDSHAKE_MS);
	ret->quic.congestion = algorithms[congestion];
	memcpy(ret->secret, env->secret, sizeof(ret->secret));
}
