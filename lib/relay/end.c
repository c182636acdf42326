/* SPDX-License-Identifier: MIT */
/*
 * What the ends of flows have in common: the meaning of the flow error codes, as text, as an error
 * value of the engine, and from the errno of a socket.
 */
#include "relay/end.h"

#include "base/error.h"

#include <errno.h>

const char *flow_error_text(enum flow_error error)
{
	switch (error) {
	case FLOW_OK:
		return "finished";
	case FLOW_RESET:
		break;
	case FLOW_REFUSED:
		return "connection refused";
	case FLOW_UNREACHABLE:
		return "target unreachable";
	case FLOW_TIMEOUT:
		return "timed out";
	case FLOW_DENIED:
		return "denied by a rule";
	case FLOW_LIMIT:
		return "limit reached";
	case FLOW_NAME_NOT_FOUND:
		return "name not found";
	case FLOW_SHUTTING_DOWN:
		return "shutting down";
	}
	return "reset";
}

int flow_error_to_rstun(enum flow_error error)
{
	switch (error) {
	case FLOW_OK:
		return RSTUN_OK;
	case FLOW_RESET:
		break;
	case FLOW_REFUSED:
		return RSTUN_E_TARGET_REFUSED;
	case FLOW_UNREACHABLE:
		return RSTUN_E_TARGET_UNREACHABLE;
	case FLOW_TIMEOUT:
		return RSTUN_E_TIMEOUT;
	case FLOW_DENIED:
		return RSTUN_E_ACCESS_DENIED;
	case FLOW_LIMIT:
		return RSTUN_E_LIMIT_REACHED;
	case FLOW_NAME_NOT_FOUND:
		return RSTUN_E_DNS_FAILED;
	case FLOW_SHUTTING_DOWN:
		return RSTUN_E_SHUTTING_DOWN;
	}
	return RSTUN_E_RESET;
}

enum flow_error flow_error_from_rstun(int error)
{
	for (int e = FLOW_RESET; e <= FLOW_SHUTTING_DOWN; e++)
		if (flow_error_to_rstun((enum flow_error)e) == error)
			return (enum flow_error)e;
	return FLOW_RESET;
}

enum flow_error flow_error_from_errno(int err)
{
	switch (err) {
	case 0:
		return FLOW_OK;
	case ECONNREFUSED:
		return FLOW_REFUSED;
	case ETIMEDOUT:
		return FLOW_TIMEOUT;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
	case ENONET:
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT:
	case EINVAL: /* connect() to an address that no route can mean */
		return FLOW_UNREACHABLE;
	case EACCES:
	case EPERM:
		return FLOW_DENIED;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EAGAIN: /* connect(): no free local port */
		return FLOW_LIMIT;
	default:
		return FLOW_RESET;
	}
}
