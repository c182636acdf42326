/* SPDX-License-Identifier: MIT */
/*
 * Names of the states, as they stand in log lines and in the control API. No state, any thread.
 */
#include "tunnel/event.h"

const char *tunnel_state_name(enum tunnel_state state)
{
	switch (state) {
	case TUNNEL_IDLE:
		return "idle";
	case TUNNEL_CONNECTING:
		return "connecting";
	case TUNNEL_CONNECTED:
		return "connected";
	case TUNNEL_TUNNELING:
		return "tunneling";
	case TUNNEL_RECONNECTING:
		return "reconnecting";
	case TUNNEL_FAILED:
		return "failed";
	case TUNNEL_STOPPED:
		return "stopped";
	}
	return "idle";
}
