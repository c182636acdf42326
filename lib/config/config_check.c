/* SPDX-License-Identifier: MIT */
/*
 * Checks of single options of both roles, and what is made from them: addresses, targets, pins,
 * lists of names. Each says in one sentence what is wrong and what would be right; who calls puts
 * the option's name before it. Pure but for interface names in IPv6 scopes.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/pin.h"
#include "base/utf8.h"
#include "config/server_list.h"
#include "config/config_private.h"

#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_QUOTE_SIZE 161

__attribute__((format(printf, 3, 4))) static int config_wrong(char *error, size_t size,
							      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, size, format, args);
	va_end(args);
	return RSTUN_E_MALFORMED;
}

static const char *config_quote(char buf[CONFIG_QUOTE_SIZE], const char *text, size_t bytes)
{
	return log_quote(buf, CONFIG_QUOTE_SIZE, text, bytes);
}

int config_check_password(const char *password, char *error, size_t size)
{
	if (password == NULL)
		return 0;
	if (password[0] == '\0')
		return config_wrong(error, size, "an empty password protects nothing");
	/* Both ends send and compare it as a string of the wire, which is UTF-8. */
	if (!utf8_valid(password, strlen(password)))
		return config_wrong(error, size, "the password is not valid UTF-8");
	return 0;
}

/* The sentences never show any of it. */
int config_check_proxy_auth(const char *auth, char *error, size_t size)
{
	size_t bytes, user;

	if (auth == NULL)
		return 0;
	bytes = strlen(auth);
	user = strcspn(auth, ":");
	if (user == bytes || user == 0 || user + 1 == bytes)
		return config_wrong(error, size, "it is not USER:PASSWORD, neither of them empty");
	if (user > CONFIG_PROXY_USER_MAX || bytes - user - 1 > CONFIG_PROXY_USER_MAX)
		return config_wrong(error, size,
				    "user and password have at most %d bytes each: SOCKS5 has no "
				    "room for more",
				    CONFIG_PROXY_USER_MAX);
	/* RFC 7617 section 2 */
	for (size_t i = 0; i < bytes; i++)
		if ((unsigned char)auth[i] < 0x20 || auth[i] == 0x7f)
			return config_wrong(error, size, "it contains a control character");
	if (!utf8_valid(auth, bytes))
		return config_wrong(error, size, "it is not valid UTF-8");
	return 0;
}

/* A host with an optional port: an address, a name, or what target_parse knows. */
static int config_parse_host(struct target *ret, const char *text, size_t bytes, uint16_t port,
			     size_t *ret_at, const char **ret_why)
{
	struct target target = {.kind = TARGET_ADDRESS};
	size_t name_bytes = bytes;

	if (address_parse_ip(&target.address, text, bytes, port) == 0) {
		*ret = target;
		return 0;
	}
	if (name_bytes > 1 && text[name_bytes - 1] == '.')
		name_bytes--;
	if (address_name_valid(text, name_bytes)) {
		target = (struct target){.kind = TARGET_NAME, .port = port};
		memcpy(target.name, text, name_bytes);
		*ret = target;
		return 0;
	}
	return target_parse(ret, text, bytes, ret_at, ret_why);
}

static uint16_t config_target_port(const struct target *target)
{
	return target->kind == TARGET_NAME ? target->port : address_port(&target->address);
}

int config_check_addr(struct address *ret, const char *text, char *error, size_t size)
{
	char quoted[CONFIG_QUOTE_SIZE];
	struct target target;
	const char *why;
	size_t at;

	if (text == NULL)
		text = CONFIG_DEFAULT_ADDR;
	config_quote(quoted, text, strlen(text));
	if (target_parse(&target, text, strlen(text), &at, &why) != 0)
		return config_wrong(error, size, "\"%s\" is wrong at column %zu: %s", quoted,
				    utf8_count(text, at) + 1, why);
	if (target.kind == TARGET_NAME)
		return config_wrong(error, size,
				    "\"%s\" is a host name: write the address to listen on, "
				    "[ip:]port",
				    quoted);
	if (target.kind == TARGET_UNIX)
		return config_wrong(error, size,
				    "\"%s\" is a UNIX socket, and tunnels are QUIC, which needs "
				    "UDP: write the address to listen on, [ip:]port",
				    quoted);
	*ret = target.address;
	return 0;
}

int config_check_upstream(struct target *ret, enum mapping_proto proto, const char *text,
			  char *error, size_t size)
{
	char quoted[CONFIG_QUOTE_SIZE];
	struct target target;
	const char *why;
	size_t at;

	if (text == NULL) {
		*ret = (struct target){.kind = TARGET_DEFAULT};
		return 0;
	}
	config_quote(quoted, text, strlen(text));
	if (target_parse(&target, text, strlen(text), &at, &why) != 0)
		return config_wrong(error, size, "\"%s\" is wrong at column %zu: %s", quoted,
				    utf8_count(text, at) + 1, why);
	if (target.kind == TARGET_UNIX && proto == MAPPING_UDP)
		return config_wrong(error, size, "\"%s\" is a UNIX socket, which is for tcp only",
				    quoted);
	if (target.kind != TARGET_UNIX && config_target_port(&target) == 0)
		return config_wrong(error, size, "\"%s\": port 0 is not in 1..65535", quoted);
	*ret = target;
	return 0;
}

int config_check_bind(struct address *ret, const char *text, char *error, size_t size)
{
	char quoted[CONFIG_QUOTE_SIZE];
	struct address address = {.len = 0};
	size_t bytes = text != NULL ? strlen(text) : 0;

	if (text == NULL || address_parse_ip(&address, text, bytes, 0) == 0) {
		*ret = address;
		return 0;
	}
	if (bytes >= IF_NAMESIZE || strpbrk(text, "/:[] \t") != NULL)
		return config_wrong(error, size,
				    "\"%s\" is neither an IP address nor the name of a network "
				    "interface",
				    config_quote(quoted, text, bytes));
	*ret = (struct address){.len = 0};
	return 0;
}

int config_check_pin(uint8_t ret[32], bool *ret_has, const char *text, char *error, size_t size)
{
	char quoted[CONFIG_QUOTE_SIZE];

	if (text == NULL) {
		*ret_has = false;
		return 0;
	}
	if (pin_parse(ret, text) != 0)
		return config_wrong(error, size,
				    "\"%s\" is not a pin: write sha256/ and 44 characters of "
				    "base64, as the server prints it at its start",
				    config_quote(quoted, text, strlen(text)));
	*ret_has = true;
	return 0;
}

int config_check_sni_names(char *const *names, char *error, size_t size)
{
	char quoted[CONFIG_QUOTE_SIZE];
	struct address unused;

	for (; names != NULL && *names != NULL; names++) {
		size_t bytes = strlen(*names);

		config_quote(quoted, *names, bytes);
		/* RFC 6066 section 3: literal addresses are not permitted. */
		if (address_parse_ip(&unused, *names, bytes, 0) == 0)
			return config_wrong(error, size,
					    "\"%s\" is an IP address: only host names can be sent "
					    "as SNI",
					    quoted);
		if (!address_name_valid(*names, bytes))
			return config_wrong(error, size, "\"%s\" is not a host name", quoted);
	}
	return 0;
}

/* 0 = it is no port. */
static uint16_t config_port(const char *text)
{
	unsigned port = 0;

	for (const char *at = text; *at != '\0'; at++) {
		if (*at < '0' || *at > '9' || port > UINT16_MAX / 10)
			return 0;
		port = port * 10 + (unsigned)(*at - '0');
	}
	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

int config_check_ports(char *const *ports, char *error, size_t size)
{
	char quoted[CONFIG_QUOTE_SIZE];

	for (; ports != NULL && *ports != NULL; ports++)
		if (config_port(*ports) == 0)
			return config_wrong(error, size, "\"%s\" is not a port in 1..65535",
					    config_quote(quoted, *ports, strlen(*ports)));
	return 0;
}

bool config_proxies_in(const struct server_config *c, uint16_t port)
{
	for (char *const *at = c->proxy_ports; at != NULL && *at != NULL; at++)
		if (config_port(*at) == port)
			return true;
	return false;
}

int config_check_dns(char *const *servers, char *error, size_t size)
{
	char quoted[CONFIG_QUOTE_SIZE], why[256];
	struct address address;

	for (; servers != NULL && *servers != NULL; servers++)
		if (server_list_parse_dns(&address, *servers, why, sizeof(why)) != 0)
			return config_wrong(error, size,
					    "\"%s\" is not the IP address of a DNS server (ip, "
					    "ip:port or [ipv6]:port)",
					    config_quote(quoted, *servers, strlen(*servers)));
	return 0;
}

int config_check_dot(char *const *servers, char *error, size_t size)
{
	char quoted[CONFIG_QUOTE_SIZE], why[256];
	struct server_list_dot dot;

	for (; servers != NULL && *servers != NULL; servers++)
		if (server_list_parse_dot(&dot, *servers, why, sizeof(why)) != 0)
			return config_wrong(error, size,
					    "\"%s\" is not a DNS-over-TLS server: write NAME or "
					    "IP#NAME, and :PORT behind it if it is not 853",
					    config_quote(quoted, *servers, strlen(*servers)));
	return 0;
}

int config_check_mappings(enum mapping_proto proto, const char *text, char *error, size_t size)
{
	char why[MAPPING_ERROR_SIZE];
	struct mapping *list = NULL;
	size_t count;
	int rv;

	if (text == NULL)
		return 0;
	rv = mapping_parse_list(&list, &count, proto, text, why);
	if (rv != 0)
		snprintf(error, size, "%s", why);
	free(list);
	return rv;
}

/* One address of the list; `whole` is the list, for the column. */
static int config_parse_server(struct target *ret, const char *whole, const char *text,
			       size_t bytes, char *error, size_t size)
{
	char quoted[CONFIG_QUOTE_SIZE];
	const char *why;
	size_t at;

	config_quote(quoted, text, bytes);
	if (config_parse_host(ret, text, bytes, CONFIG_DEFAULT_PORT, &at, &why) != 0)
		return config_wrong(error, size, "\"%s\" is wrong at column %zu: %s", quoted,
				    utf8_count(whole, (size_t)(text - whole) + at) + 1, why);
	if (ret->kind == TARGET_UNIX)
		return config_wrong(error, size,
				    "\"%s\" is a UNIX socket, and tunnels are QUIC, which needs "
				    "UDP: write host[:port]",
				    quoted);
	if (config_target_port(ret) == 0)
		return config_wrong(error, size, "\"%s\": port 0 is not in 1..65535", quoted);
	return 0;
}

int config_check_servers(struct target **ret, size_t *ret_count, const char *text, char *error,
			 size_t size)
{
	struct target servers[CONFIG_SERVERS_MAX], *copy;
	const char *at = text;
	size_t count = 0;

	while (text != NULL) {
		size_t length = strcspn(at, ","), bytes;
		const char *next = at + length;
		int rv;

		at += strspn(at, " \t");
		bytes = at < next ? (size_t)(next - at) : 0;
		while (bytes > 0 && (at[bytes - 1] == ' ' || at[bytes - 1] == '\t'))
			bytes--;
		if (bytes > 0) {
			if (count == CONFIG_SERVERS_MAX)
				return config_wrong(error, size,
						    "more than %d addresses for one server",
						    CONFIG_SERVERS_MAX);
			rv = config_parse_server(&servers[count], text, at, bytes, error, size);
			if (rv != 0)
				return rv;
			count++;
		}
		if (*next == '\0')
			break;
		at = next + 1;
	}
	if (count == 0)
		return config_wrong(error, size,
				    "the address of the server is missing: write host[:port]");
	copy = calloc(count, sizeof(*copy));
	if (copy == NULL) {
		config_wrong(error, size, "%s", rstun_strerror(RSTUN_E_NOMEM));
		return RSTUN_E_NOMEM;
	}
	memcpy(copy, servers, count * sizeof(*copy));
	free(*ret);
	*ret = copy;
	*ret_count = count;
	return 0;
}

int config_check_permits(struct permit **ret, size_t *ret_count, char *const *texts, char *error,
			 size_t size)
{
	struct permit *permits;
	size_t count = 0;
	int rv = 0;

	while (texts != NULL && texts[count] != NULL)
		count++;
	permits = calloc(count + 1, sizeof(*permits));
	if (permits == NULL) {
		config_wrong(error, size, "%s", rstun_strerror(RSTUN_E_NOMEM));
		return RSTUN_E_NOMEM;
	}
	for (size_t i = 0; i < count && rv == 0; i++)
		rv = permit_parse(&permits[i], texts[i], error, size);
	if (rv != 0) {
		free(permits);
		return rv;
	}
	free(*ret);
	*ret = permits;
	*ret_count = count;
	return 0;
}
