/* SPDX-License-Identifier: MIT */
/*
 * A mapping as text and as a value: MODE^local^remote, tcp or udp. The grammar is the original's
 * (OUT^9000^ANY, IN^3000^0.0.0.0:18080, a bare port is on 127.0.0.1) plus host names on the side
 * that dials: the remote of OUT, the local of IN; and OUT^1080^SOCKS5, IN^SOCKS5^1080, the same
 * with HTTP, where each connection says what it wants to reach (dynamic forwarding; OUT is a
 * channel on the wire, IN a mapping as any); and unix:/path as the local side, because a server
 * lets no peer name a path.
 */
#pragma once

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>

enum mapping_mode {
	MAPPING_IN,  /* the server listens, the client dials */
	MAPPING_OUT, /* the client listens, the server dials */
};

enum mapping_proto {
	MAPPING_TCP,
	MAPPING_UDP,
};

#define MAPPING_TEXT_SIZE (2 * ADDRESS_TARGET_TEXT_SIZE + 8)
#define MAPPING_ERROR_SIZE 512

struct mapping {
	enum mapping_mode mode;
	enum mapping_proto proto;
	/* OUT: the address to listen on; IN: what the client dials, or who asks for it. */
	struct target local;
	/* OUT: what the server dials, TARGET_DEFAULT = ANY, or who asks; IN: where it listens. */
	struct target remote;
};

/*
 * Parses one mapping. Surrounding blanks are allowed, the mode is accepted in either case.
 * On failure returns RSTUN_E_MALFORMED and writes into `error` one sentence that names what is
 * wrong, where in the text, and what would be right, e.g.
 *   OUT^9000^90000: port 90000 at column 10 is not in 1..65535
 * Checked here: three fields; known mode; ANY only as the remote of OUT; SOCKS5 and HTTP only there
 * and as the local of IN, for tcp only; names only where they are dialled; unix:/path only as the
 * local side, for tcp only; the remote of IN is loopback, unspecified or a bare port; port 0 only
 * where it means "pick one" (the listening side).
 */
int mapping_parse(struct mapping *ret, enum mapping_proto proto, const char *text,
		  size_t text_bytes, char error[MAPPING_ERROR_SIZE]);

/* What the server of an IN mapping listens on, alone: "[ip:]port", with the same checks and
 * sentences; columns are those of this text. */
int mapping_parse_far_listen(struct target *ret, enum mapping_proto proto, const char *text,
			     size_t text_bytes, char error[MAPPING_ERROR_SIZE]);

/*
 * OUT^9000-9009^ANY, OUT^9000-9009^db:5000-5009, IN^22^0.0.0.0:2201-2210: ranges of ports stand for
 * several mappings. *ret is the text of each, NULL at the end (mapping_expand_free); a text without
 * a range is itself, whatever it is. The side that listens has a range; the other has one as long,
 * or none. RSTUN_E_MALFORMED with a sentence as above, RSTUN_E_NOMEM.
 */
#define MAPPING_RANGE_MAX 1000
int mapping_expand(char ***ret, const char *text, size_t text_bytes,
		   char error[MAPPING_ERROR_SIZE]);
void mapping_expand_free(char **list); /* accepts NULL */
/* The same, parsed, into a new array (free()): one mapping, or as many as the range has ports. */
int mapping_parse_range(struct mapping **ret, size_t *ret_count, enum mapping_proto proto,
			const char *text, size_t text_bytes, char error[MAPPING_ERROR_SIZE]);

/* Parses a comma-separated list into a new array (free()), all or nothing; with ranges. */
int mapping_parse_list(struct mapping **ret, size_t *ret_count, enum mapping_proto proto,
		       const char *text, char error[MAPPING_ERROR_SIZE]);

/* Mode, kind and both ends are the same. */
bool mapping_equal(const struct mapping *a, const struct mapping *b);

/* The side that listens, which no other mapping there may have; NULL = any free port. */
const struct target *mapping_listens(const struct mapping *mapping);

/* "OUT^127.0.0.1:9000^ANY": the normal form. Returns buf. */
const char *mapping_format(char *buf, size_t size, const struct mapping *mapping);

const char *mapping_mode_name(enum mapping_mode mode);    /* "IN", "OUT" */
const char *mapping_proto_name(enum mapping_proto proto); /* "tcp", "udp" */
