/* SPDX-License-Identifier: MIT */
/*
 * A socket address (IPv4 or IPv6 with port) as a value, and a host with port as text. The path of a
 * UNIX socket is a target, but no struct address: those are kept by the thousand (UDP flows) and go
 * over the wire, which has no form for paths.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_TEXT_SIZE 64   /* enough for "[ipv6%scope]:port" and its NUL */
#define ADDRESS_NAME_MAX 253   /* longest DNS name, RFC 1035 section 2.3.4 */
#define ADDRESS_PATH_MAX 107   /* longest path of a UNIX socket: sun_path and its NUL */
#define ADDRESS_TARGET_TEXT_SIZE (ADDRESS_NAME_MAX + 8)

struct address {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len; /* 0 = no address */
};

/* What to reach: nothing named (the far side's default), an address, or a host name with a port; or
 * each connection asks for it, by SOCKS5 (RFC 1928) or HTTP CONNECT (RFC 9110 section 9.3.6). A
 * UNIX stream socket is only ever one's own: no peer can name it. */
enum target_kind {
	TARGET_DEFAULT,
	TARGET_ADDRESS,
	TARGET_NAME,
	TARGET_SOCKS5,
	TARGET_HTTP,
	TARGET_UNIX,
};

struct target {
	enum target_kind kind;
	struct address address;           /* TARGET_ADDRESS; of any other kind there is none */
	uint16_t port;                    /* TARGET_NAME, host order */
	union {
		char name[ADDRESS_NAME_MAX + 1]; /* TARGET_NAME, address_name_valid, no dot at the
						  * end */
		char path[ADDRESS_PATH_MAX + 1]; /* TARGET_UNIX, absolute */
	};
};

/* Copies any AF_INET or AF_INET6 sockaddr (an IPv4-mapped IPv6 address becomes IPv4).
 * RSTUN_E_MALFORMED for other families or a short length. */
int address_from_sockaddr(struct address *ret, const struct sockaddr *sa, socklen_t len);

/* The address that a socket is bound to. */
int address_of_socket(struct address *ret, int fd);

/* Numeric "1.2.3.4", "::1" or "[::1]" without a port. RSTUN_E_MALFORMED if it is none. */
int address_parse_ip(struct address *ret, const char *text, size_t text_bytes, uint16_t port);

/* "ip:port", "[ipv6]:port"; a bare "port" means 127.0.0.1. No names. */
int address_parse(struct address *ret, const char *text, size_t text_bytes);

/* As address_parse, also "name:port" and "unix:/path". On failure *ret_at is the offset in `text`
 * of the first byte that is wrong and *ret_why a static sentence that says what would be right. */
int target_parse(struct target *ret, const char *text, size_t text_bytes, size_t *ret_at,
		 const char **ret_why);

/* "1.2.3.4:80", "[::1]:80"; "-" for no address. Returns buf. */
const char *address_format(char *buf, size_t size, const struct address *address);
/* The same without the port. */
const char *address_format_ip(char *buf, size_t size, const struct address *address);
/* As address_format; "name:port"; "ANY" for TARGET_DEFAULT; "SOCKS5", "HTTP"; "unix:/path". */
const char *target_format(char *buf, size_t size, const struct target *target);

uint16_t address_port(const struct address *address); /* host order; 0 for no address */
void address_set_port(struct address *address, uint16_t port);
bool address_equal(const struct address *a, const struct address *b);    /* with port */
bool address_equal_ip(const struct address *a, const struct address *b); /* without */
bool address_is_loopback(const struct address *address);
bool address_is_unspecified(const struct address *address);
bool target_is_asked(const struct target *target); /* TARGET_SOCKS5, TARGET_HTTP */
bool target_equal(const struct target *a, const struct target *b);

/* 0.0.0.0:80 as a target means loopback of its family; others are left alone. */
void address_unspecified_to_loopback(struct address *address);

/* Letters, digits, '-' and '_' in labels of 1 to 63, at most 253 bytes, the last not all digits. */
bool address_name_valid(const char *name, size_t name_bytes);

/* Hash for tables keyed by address; `seed` is random per table. */
uint64_t address_hash(const struct address *address, uint64_t seed);
