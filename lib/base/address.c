/* SPDX-License-Identifier: MIT */
/*
 * Socket addresses and targets: parsing, formatting, comparing. Pure but for the index of an
 * interface named in a scope ("fe80::1%eth0"). An IPv4 address inside IPv6 becomes plain IPv4
 * everywhere, so one peer has one form.
 */
#include "base/address.h"

#include "base/error.h"
#include "base/utf8.h"

#include <errno.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void address_set_v4(struct address *a, struct in_addr ip, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	a->in.sin_family = AF_INET;
	a->in.sin_addr = ip;
	a->in.sin_port = htons(port);
	a->len = sizeof(a->in);
}

static void address_set_v6(struct address *a, const struct in6_addr *ip, uint32_t scope,
			   uint16_t port)
{
	if (IN6_IS_ADDR_V4MAPPED(ip)) {
		struct in_addr v4;

		memcpy(&v4, ip->s6_addr + 12, sizeof(v4));
		address_set_v4(a, v4, port);
		return;
	}
	memset(a, 0, sizeof(*a));
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_addr = *ip;
	a->in6.sin6_scope_id = scope;
	a->in6.sin6_port = htons(port);
	a->len = sizeof(a->in6);
}

int address_from_sockaddr(struct address *ret, const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	sa_family_t family;

	if (sa == NULL || len < (socklen_t)(offsetof(struct sockaddr, sa_family) + sizeof(family)))
		return RSTUN_E_MALFORMED;
	memcpy(&family, (const char *)sa + offsetof(struct sockaddr, sa_family), sizeof(family));
	if (family == AF_INET && len >= (socklen_t)sizeof(in)) {
		memcpy(&in, sa, sizeof(in));
		address_set_v4(ret, in.sin_addr, ntohs(in.sin_port));
		return 0;
	}
	if (family == AF_INET6 && len >= (socklen_t)sizeof(in6)) {
		memcpy(&in6, sa, sizeof(in6));
		address_set_v6(ret, &in6.sin6_addr, in6.sin6_scope_id, ntohs(in6.sin6_port));
		return 0;
	}
	return RSTUN_E_MALFORMED;
}

/* "eth0" or "2" behind the '%'. 0 if there is no such interface. */
static uint32_t address_parse_scope(const char *text)
{
	char *end;
	unsigned long index;

	if (text[0] < '0' || text[0] > '9')
		return if_nametoindex(text);
	index = strtoul(text, &end, 10);
	return *end == '\0' && index <= UINT32_MAX ? (uint32_t)index : 0;
}

int address_of_socket(struct address *ret, int fd)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &len) != 0)
		return rstun_error_from_errno(errno);
	return address_from_sockaddr(ret, (const struct sockaddr *)&name, len);
}

int address_parse_ip(struct address *ret, const char *text, size_t text_bytes, uint16_t port)
{
	char buf[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
	struct in_addr v4;
	struct in6_addr v6;
	uint32_t scope = 0;
	bool brackets = text_bytes >= 2 && text[0] == '[' && text[text_bytes - 1] == ']';
	char *percent;

	if (brackets) {
		text++;
		text_bytes -= 2;
	}
	if (text_bytes == 0 || text_bytes >= sizeof(buf) || memchr(text, '\0', text_bytes) != NULL)
		return RSTUN_E_MALFORMED;
	memcpy(buf, text, text_bytes);
	buf[text_bytes] = '\0';
	if (!brackets && inet_pton(AF_INET, buf, &v4) == 1) {
		address_set_v4(ret, v4, port);
		return 0;
	}
	percent = strchr(buf, '%');
	if (percent != NULL) {
		*percent = '\0';
		scope = address_parse_scope(percent + 1);
		if (scope == 0)
			return RSTUN_E_MALFORMED;
	}
	if (inet_pton(AF_INET6, buf, &v6) != 1)
		return RSTUN_E_MALFORMED;
	address_set_v6(ret, &v6, scope, port);
	return 0;
}

/* Decimal digits only, 0 to 65535. */
static bool address_parse_port(uint16_t *ret, const char *text, size_t text_bytes)
{
	uint32_t value = 0;

	if (text_bytes == 0)
		return false;
	for (size_t i = 0; i < text_bytes; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(text[i] - '0');
		if (value > UINT16_MAX)
			return false;
	}
	*ret = (uint16_t)value;
	return true;
}

static bool address_all_digits(const char *text, size_t text_bytes)
{
	for (size_t i = 0; i < text_bytes; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return text_bytes > 0;
}

static int target_fail(size_t *ret_at, const char **ret_why, size_t at, const char *why)
{
	*ret_at = at;
	*ret_why = why;
	return RSTUN_E_MALFORMED;
}

static const char address_why_port[] = "a port is a number from 0 to 65535";
static const char address_why_v4[] = "an IPv4 address is four numbers from 0 to 255 with dots";
static const char address_why_host[] =
	"an IP address or a host name (letters, digits, '-', '_', dots) was expected";

static int target_parse_v6(struct target *ret, const char *text, size_t text_bytes, size_t *ret_at,
			   const char **ret_why)
{
	const char *close = memchr(text, ']', text_bytes);
	struct address address;
	size_t inside;
	uint16_t port;

	if (close == NULL)
		return target_fail(ret_at, ret_why, 0, "']' is missing: write [IPv6 address]:port");
	inside = (size_t)(close - text) + 1;
	if (address_parse_ip(&address, text, inside, 0) != 0)
		return target_fail(ret_at, ret_why, 1,
				   "an IPv6 address was expected between the brackets");
	if (inside == text_bytes || text[inside] != ':')
		return target_fail(ret_at, ret_why, inside, "':' and a port must follow the ']'");
	if (!address_parse_port(&port, text + inside + 1, text_bytes - inside - 1))
		return target_fail(ret_at, ret_why, inside + 1, address_why_port);
	address_set_port(&address, port);
	*ret = (struct target){.kind = TARGET_ADDRESS, .address = address};
	return 0;
}

/* Offset of the first byte that cannot stand in a host name; name_bytes if all can. */
static size_t address_name_bad_byte(const char *name, size_t name_bytes)
{
	for (size_t i = 0; i < name_bytes; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_' || c == '.'))
			return i;
	}
	return name_bytes;
}

static int target_parse_host(struct target *ret, const char *text, size_t host_bytes, uint16_t port,
			     size_t *ret_at, const char **ret_why)
{
	struct target target = {.kind = TARGET_NAME, .port = port};
	const char *label;
	size_t bad;

	if (host_bytes == 0)
		return target_fail(ret_at, ret_why, 0,
				   "an address or a host name was expected before the ':'");
	if (address_parse_ip(&target.address, text, host_bytes, port) == 0) {
		target.kind = TARGET_ADDRESS;
		target.port = 0;
		*ret = target;
		return 0;
	}
	if (text[host_bytes - 1] == '.' && host_bytes > 1) /* the root: as without it */
		host_bytes--;
	if (!address_name_valid(text, host_bytes)) {
		label = memrchr(text, '.', host_bytes);
		label = label == NULL ? text : label + 1;
		bad = address_name_bad_byte(text, host_bytes);
		if (bad == host_bytes &&
		    address_all_digits(label, (size_t)(text + host_bytes - label)))
			return target_fail(ret_at, ret_why, 0, address_why_v4);
		return target_fail(ret_at, ret_why, bad < host_bytes ? bad : 0, address_why_host);
	}
	memcpy(target.name, text, host_bytes);
	target.name[host_bytes] = '\0';
	*ret = target;
	return 0;
}

/* Two colons, and nothing that is not part of an IPv6 address. */
static bool address_looks_like_v6(const char *text, size_t text_bytes)
{
	size_t colons = 0;

	for (size_t i = 0; i < text_bytes; i++) {
		if (text[i] == '\0' || strchr("0123456789abcdefABCDEF:.", text[i]) == NULL)
			return false;
		colons += text[i] == ':';
	}
	return colons > 1;
}

#define ADDRESS_UNIX "unix:"
#define ADDRESS_UNIX_BYTES (sizeof(ADDRESS_UNIX) - 1)

/* "unix:" and anything but a port: a host may have that name, too. */
static bool address_looks_like_unix(const char *text, size_t text_bytes)
{
	return text_bytes >= ADDRESS_UNIX_BYTES &&
	       strncasecmp(text, ADDRESS_UNIX, ADDRESS_UNIX_BYTES) == 0 &&
	       !address_all_digits(text + ADDRESS_UNIX_BYTES, text_bytes - ADDRESS_UNIX_BYTES);
}

/* A caret or a comma would end it within a mapping or a list of them, and what is no text cannot be
 * shown. */
static size_t address_path_bad_byte(const char *path, size_t path_bytes)
{
	for (size_t at = 0; at < path_bytes;) {
		uint32_t code;
		size_t bytes = utf8_decode(&code, path + at, path_bytes - at);

		if (bytes == 0 || code < 0x20 || code == 0x7f || code == '^' || code == ',')
			return at;
		at += bytes;
	}
	return path_bytes;
}

static int target_parse_unix(struct target *ret, const char *text, size_t text_bytes,
			     size_t *ret_at, const char **ret_why)
{
	const char *path = text + ADDRESS_UNIX_BYTES;
	size_t bytes = text_bytes - ADDRESS_UNIX_BYTES, bad = address_path_bad_byte(path, bytes);
	struct target target = {.kind = TARGET_UNIX};

	if (bytes > 0 && path[0] == '@')
		return target_fail(ret_at, ret_why, ADDRESS_UNIX_BYTES,
				   "abstract sockets are not supported: write unix:/path");
	if (bytes < 2 || path[0] != '/')
		return target_fail(ret_at, ret_why, ADDRESS_UNIX_BYTES,
				   "the absolute path of a UNIX socket was expected: write "
				   "unix:/path");
	if (bad < bytes)
		return target_fail(ret_at, ret_why, ADDRESS_UNIX_BYTES + bad,
				   "the path of a UNIX socket is UTF-8 without '^', ',' and "
				   "control characters");
	if (bytes > ADDRESS_PATH_MAX)
		return target_fail(ret_at, ret_why, ADDRESS_UNIX_BYTES,
				   "the path of a UNIX socket has at most 107 bytes");
	memcpy(target.path, path, bytes);
	*ret = target;
	return 0;
}

int target_parse(struct target *ret, const char *text, size_t text_bytes, size_t *ret_at,
		 const char **ret_why)
{
	struct target target = {.kind = TARGET_ADDRESS};
	const char *colon;
	size_t host_bytes;
	uint16_t port;

	if (text_bytes == 0)
		return target_fail(ret_at, ret_why, 0, "a port, ip:port or name:port was expected");
	if (address_all_digits(text, text_bytes)) {
		if (!address_parse_port(&port, text, text_bytes))
			return target_fail(ret_at, ret_why, 0, address_why_port);
		address_set_v4(&target.address, (struct in_addr){htonl(INADDR_LOOPBACK)}, port);
		*ret = target;
		return 0;
	}
	if (text[0] == '[')
		return target_parse_v6(ret, text, text_bytes, ret_at, ret_why);
	if (address_looks_like_unix(text, text_bytes))
		return target_parse_unix(ret, text, text_bytes, ret_at, ret_why);
	colon = memchr(text, ':', text_bytes);
	if (colon == NULL) {
		/* "9000x" and "-1" were meant as ports, though the one could be a name. */
		if (memchr(text, '.', text_bytes) == NULL &&
		    strchr("+-0123456789", text[0]) != NULL)
			return target_fail(ret_at, ret_why, 0, address_why_port);
		if (address_parse_ip(&target.address, text, text_bytes, 0) == 0 ||
		    address_name_valid(text, text_bytes))
			return target_fail(ret_at, ret_why, text_bytes,
					   "':' and a port must follow");
		/* Finds what is wrong with the host; it cannot succeed here. */
		return target_parse_host(ret, text, text_bytes, 0, ret_at, ret_why);
	}
	host_bytes = (size_t)(colon - text);
	if (address_looks_like_v6(text, text_bytes))
		return target_fail(ret_at, ret_why, 0,
				   "an IPv6 address with a port is written [address]:port");
	if (!address_parse_port(&port, colon + 1, text_bytes - host_bytes - 1)) {
		/* Two things may be wrong: the first in the text is named. */
		if (target_parse_host(&target, text, host_bytes, 0, ret_at, ret_why) != 0)
			return RSTUN_E_MALFORMED;
		return target_fail(ret_at, ret_why, host_bytes + 1, address_why_port);
	}
	return target_parse_host(ret, text, host_bytes, port, ret_at, ret_why);
}

int address_parse(struct address *ret, const char *text, size_t text_bytes)
{
	struct target target;
	const char *why;
	size_t at;

	if (target_parse(&target, text, text_bytes, &at, &why) != 0 ||
	    target.kind != TARGET_ADDRESS)
		return RSTUN_E_MALFORMED;
	*ret = target.address;
	return 0;
}

static void address_format_parts(char *buf, size_t size, const struct address *a, bool with_port)
{
	char ip[INET6_ADDRSTRLEN], scope[16] = "";
	bool v6 = a->len != 0 && a->sa.sa_family == AF_INET6;

	if (a->len == 0) {
		snprintf(buf, size, "-");
		return;
	}
	if (!v6) {
		inet_ntop(AF_INET, &a->in.sin_addr, ip, sizeof(ip));
	} else {
		inet_ntop(AF_INET6, &a->in6.sin6_addr, ip, sizeof(ip));
		if (a->in6.sin6_scope_id != 0)
			snprintf(scope, sizeof(scope), "%%%u", a->in6.sin6_scope_id);
	}
	if (!with_port)
		snprintf(buf, size, "%s%s", ip, scope);
	else
		snprintf(buf, size, v6 ? "[%s%s]:%u" : "%s%s:%u", ip, scope, address_port(a));
}

const char *address_format(char *buf, size_t size, const struct address *address)
{
	address_format_parts(buf, size, address, true);
	return buf;
}

const char *address_format_ip(char *buf, size_t size, const struct address *address)
{
	address_format_parts(buf, size, address, false);
	return buf;
}

const char *target_format(char *buf, size_t size, const struct target *target)
{
	switch (target->kind) {
	case TARGET_DEFAULT:
		snprintf(buf, size, "ANY");
		break;
	case TARGET_ADDRESS:
		address_format(buf, size, &target->address);
		break;
	case TARGET_NAME:
		snprintf(buf, size, "%s:%u", target->name, target->port);
		break;
	case TARGET_SOCKS5:
		snprintf(buf, size, "SOCKS5");
		break;
	case TARGET_HTTP:
		snprintf(buf, size, "HTTP");
		break;
	case TARGET_UNIX:
		snprintf(buf, size, ADDRESS_UNIX "%s", target->path);
		break;
	}
	return buf;
}

uint16_t address_port(const struct address *address)
{
	if (address->len == 0)
		return 0;
	return ntohs(address->sa.sa_family == AF_INET6 ? address->in6.sin6_port
						       : address->in.sin_port);
}

void address_set_port(struct address *address, uint16_t port)
{
	if (address->len == 0)
		return;
	if (address->sa.sa_family == AF_INET6)
		address->in6.sin6_port = htons(port);
	else
		address->in.sin_port = htons(port);
}

bool address_equal_ip(const struct address *a, const struct address *b)
{
	if (a->len == 0 || b->len == 0)
		return a->len == b->len;
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET6)
		return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr) &&
		       a->in6.sin6_scope_id == b->in6.sin6_scope_id;
	return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return address_equal_ip(a, b) && address_port(a) == address_port(b);
}

bool address_is_loopback(const struct address *address)
{
	if (address->len == 0)
		return false;
	if (address->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
	return ntohl(address->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool address_is_unspecified(const struct address *address)
{
	if (address->len == 0)
		return false;
	if (address->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr);
	return address->in.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool target_is_asked(const struct target *target)
{
	return target->kind == TARGET_SOCKS5 || target->kind == TARGET_HTTP;
}

bool target_equal(const struct target *a, const struct target *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case TARGET_DEFAULT:
	case TARGET_SOCKS5:
	case TARGET_HTTP:
		return true;
	case TARGET_ADDRESS:
		return address_equal(&a->address, &b->address);
	case TARGET_NAME:
		return a->port == b->port && strcasecmp(a->name, b->name) == 0;
	case TARGET_UNIX:
		return strcmp(a->path, b->path) == 0;
	}
	return false;
}

void address_unspecified_to_loopback(struct address *address)
{
	if (!address_is_unspecified(address))
		return;
	if (address->sa.sa_family == AF_INET6)
		address->in6.sin6_addr = in6addr_loopback;
	else
		address->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

bool address_name_valid(const char *name, size_t name_bytes)
{
	size_t label = 0; /* where the present one begins */

	if (name_bytes == 0 || name_bytes > ADDRESS_NAME_MAX)
		return false;
	if (address_name_bad_byte(name, name_bytes) != name_bytes)
		return false;
	for (size_t i = 0; i <= name_bytes; i++) {
		if (i < name_bytes && name[i] != '.')
			continue;
		if (i - label < 1 || i - label > 63)
			return false;
		if (i == name_bytes)
			break;
		label = i + 1;
	}
	/* "1.2.3" and "127.1" are addresses gone wrong, never names (RFC 3696 section 2). */
	return !address_all_digits(name + label, name_bytes - label);
}

uint64_t address_hash(const struct address *address, uint64_t seed)
{
	uint64_t words[3] = {address_port(address), 0, 0}, hash = seed;

	if (address->len != 0 && address->sa.sa_family == AF_INET6) {
		memcpy(&words[1], &address->in6.sin6_addr, 16);
		words[0] |= (uint64_t)address->in6.sin6_scope_id << 32 | UINT64_C(1) << 16;
	} else if (address->len != 0) {
		words[1] = address->in.sin_addr.s_addr;
	}
	/* Each word goes through the finaliser of splitmix64. */
	for (size_t i = 0; i < 3; i++) {
		hash = (hash ^ words[i]) + UINT64_C(0x9e3779b97f4a7c15);
		hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
		hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
		hash ^= hash >> 31;
	}
	return hash;
}
