/* SPDX-License-Identifier: MIT */
/*
 * Parsing of --dot and --dns servers.
 */
#include "config/server_list.h"

#include "base/error.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

static int invalid(const char *option, const char *text, const char *why, char *error,
		   size_t error_size)
{
	char quoted[160];

	snprintf(error, error_size, "%s \"%s\": %s", option,
		 log_quote(quoted, sizeof(quoted), text, strlen(text)), why);
	return RSTUN_E_CONFIG_INVALID;
}

/* Digits only, 1 to 65535. */
static bool parse_port(uint16_t *ret, const char *text)
{
	unsigned port = 0;

	for (const char *at = text; *at; at++) {
		if (*at < '0' || *at > '9')
			return false;
		port = port * 10 + (unsigned)(*at - '0');
		if (port > 65535)
			return false;
	}
	*ret = (uint16_t)port;
	return port > 0;
}

static bool copy_name(char ret[ADDRESS_NAME_MAX + 1], const char *text, size_t bytes)
{
	if (bytes > 1 && text[bytes - 1] == '.')
		bytes--;
	if (bytes > ADDRESS_NAME_MAX || !address_name_valid(text, bytes))
		return false;
	memcpy(ret, text, bytes);
	ret[bytes] = '\0';
	return true;
}

int server_list_parse_dot(struct server_list_dot *ret, const char *text, char *error,
			  size_t error_size)
{
	static const char form[] =
		"write NAME, IP, IP#NAME, each with or without :PORT behind it; an IPv6 "
		"address with a port in brackets";
	struct server_list_dot s = {.port = SERVER_LIST_DOT_PORT};
	const char *hash = strchr(text, '#');
	size_t bytes = strlen(text), host_bytes = hash ? (size_t)(hash - text) : bytes;
	const char *rest = hash ? hash + 1 : text;
	const char *colon;

	/* The whole of what stands before '#' is an address, or nothing has a port yet. */
	s.is_ip = address_parse_ip(&s.addresses[0], text, host_bytes, 0) == 0;
	if (!s.is_ip || hash) {
		colon = strrchr(rest, ':');
		if (colon) {
			if (!parse_port(&s.port, colon + 1))
				return invalid("--dot", text, "the port must be 1 to 65535", error,
					       error_size);
			bytes = (size_t)(colon - text);
			if (!hash)
				host_bytes = bytes;
		}
	}
	if (!s.is_ip)
		s.is_ip = address_parse_ip(&s.addresses[0], text, host_bytes, 0) == 0;
	if (s.is_ip) {
		s.count = 1;
		address_set_port(&s.addresses[0], s.port);
		address_format_ip(s.host, sizeof(s.host), &s.addresses[0]);
	} else if (!copy_name(s.host, text, host_bytes)) {
		return invalid("--dot", text, form, error, error_size);
	}
	if (hash && !copy_name(s.name, hash + 1, bytes - host_bytes - 1))
		return invalid("--dot", text, form, error, error_size);
	if (!hash && !s.is_ip)
		memcpy(s.name, s.host, sizeof(s.name));
	*ret = s;
	return 0;
}

int server_list_parse_dns(struct address *ret, const char *text, char *error, size_t error_size)
{
	size_t bytes = strlen(text);

	if (address_parse_ip(ret, text, bytes, SERVER_LIST_DNS_PORT) == 0)
		return 0;
	/* A bare number would be a port of this machine. */
	if (strchr(text, ':') && address_parse(ret, text, bytes) == 0 && address_port(ret) != 0)
		return 0;
	return invalid("--dns", text,
		       "write IP or IP:PORT; an IPv6 address with a port in brackets", error,
		       error_size);
}
