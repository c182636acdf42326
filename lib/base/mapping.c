/* SPDX-License-Identifier: MIT */
/*
 * Mappings as text. Every refusal names the mapping, the column (characters, from 1) and what would
 * be right. Pure but for interface names in IPv6 scopes (address.c).
 */
#include "base/mapping.h"

#include "base/error.h"
#include "base/log.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPPING_EXAMPLE "write MODE^local^remote, such as OUT^9000^ANY"
#define MAPPING_QUOTE_SIZE 161

/* A piece of the mapping's text. */
struct mapping_span {
	const char *at;
	size_t bytes;
};

/* The text that is parsed, for messages. */
struct mapping_text {
	struct mapping_span span;
	enum mapping_proto proto;
	char *error;
};

static size_t mapping_column(const struct mapping_text *text, const char *at)
{
	return utf8_count(text->span.at, (size_t)(at - text->span.at)) + 1;
}

__attribute__((format(printf, 2, 3))) static int mapping_fail(const struct mapping_text *text,
							      const char *format, ...)
{
	char quoted[MAPPING_QUOTE_SIZE];
	size_t used;
	va_list args;

	log_quote(quoted, sizeof(quoted), text->span.at, text->span.bytes);
	used = (size_t)snprintf(text->error, MAPPING_ERROR_SIZE, "%s: ", quoted);
	va_start(args, format);
	vsnprintf(text->error + used, MAPPING_ERROR_SIZE - used, format, args);
	va_end(args);
	return RSTUN_E_MALFORMED;
}

static bool mapping_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct mapping_span mapping_trim(const char *text, size_t bytes)
{
	while (bytes > 0 && mapping_is_blank(text[0])) {
		text++;
		bytes--;
	}
	while (bytes > 0 && mapping_is_blank(text[bytes - 1]))
		bytes--;
	return (struct mapping_span){text, bytes};
}

static bool mapping_span_is(const struct mapping_span *span, const char *word)
{
	return span->bytes == strlen(word) && strncasecmp(span->at, word, span->bytes) == 0;
}

static bool mapping_all_digits(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return bytes > 0;
}

static bool mapping_is_range(const char *text, size_t bytes)
{
	const char *dash = memchr(text, '-', bytes);
	size_t head = dash != NULL ? (size_t)(dash - text) : 0;

	return dash != NULL && mapping_all_digits(text, head) &&
	       mapping_all_digits(dash + 1, bytes - head - 1);
}

/* Where the port stands in a field that was parsed. */
static const char *mapping_port_at(const struct mapping_span *field)
{
	const char *colon = memrchr(field->at, ':', field->bytes);

	return colon != NULL ? colon + 1 : field->at;
}

static const char *mapping_port_range(bool listens)
{
	return listens ? "0..65535 (0 = any free one)" : "1..65535";
}

/* What one of the two address fields may be. */
struct mapping_side {
	const char *word;  /* "local" or "remote" */
	const char *wanted;
	bool listens;      /* else it is dialled */
	bool may_be_any;   /* ANY */
	bool may_be_asked; /* SOCKS5, HTTP */
	const char *no_path; /* why it is no UNIX socket; NULL = it may be */
	bool local_only;   /* loopback or unspecified addresses only */
};

static const struct mapping_side mapping_out_local = {
	.word = "local",
	.wanted = "the [ip:]port or unix:/path that the client listens on",
	.listens = true,
};
static const struct mapping_side mapping_out_remote = {
	.word = "remote",
	.wanted = "what the server connects to: [ip:]port, name:port, ANY, SOCKS5 or HTTP",
	.may_be_any = true,
	.may_be_asked = true,
	.no_path = "a server connects to no path that a client names: make it the server's "
		   "--tcp-upstream and write ANY",
};
static const struct mapping_side mapping_in_local = {
	.word = "local",
	.wanted = "what the client connects to: [ip:]port, name:port, unix:/path, SOCKS5 or HTTP",
	.may_be_asked = true,
};
static const struct mapping_side mapping_in_remote = {
	.word = "remote",
	.wanted = "the [ip:]port that the server listens on",
	.listens = true,
	.no_path = "a server listens on no path that a client names: write the [ip:]port that the "
		   "server listens on",
	.local_only = true,
};

static int mapping_parse_syntax(struct target *ret, const struct mapping_side *side,
				const struct mapping_span *field, const struct mapping_text *text)
{
	char quoted[MAPPING_QUOTE_SIZE];
	const char *why, *bad;
	size_t at, rest;

	if (target_parse(ret, field->at, field->bytes, &at, &why) == 0)
		return 0;
	bad = field->at + at;
	rest = field->bytes - at;
	if (rest == 0)
		return mapping_fail(text, "at column %zu %s", mapping_column(text, bad), why);
	log_quote(quoted, sizeof(quoted) / 2, bad, rest);
	if (mapping_is_range(bad, rest) && (at == 0 || bad[-1] == ':'))
		return mapping_fail(text, "%s at column %zu is a range of ports, which stands for "
				    "several mappings: this is the place of one", quoted,
				    mapping_column(text, bad));
	if (mapping_all_digits(bad, rest) && (at == 0 || bad[-1] == ':'))
		return mapping_fail(text, "port %s at column %zu is not in %s", quoted,
				    mapping_column(text, bad), mapping_port_range(side->listens));
	return mapping_fail(text, "\"%s\" at column %zu: %s", quoted, mapping_column(text, bad),
			    why);
}

static bool mapping_word(struct target *ret, const struct mapping_span *field)
{
	static const enum target_kind words[] = {TARGET_DEFAULT, TARGET_SOCKS5, TARGET_HTTP};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct target target = {.kind = words[i]};
		char word[16];

		if (mapping_span_is(field, target_format(word, sizeof(word), &target))) {
			*ret = target;
			return true;
		}
	}
	return false;
}

static int mapping_parse_side(struct target *ret, const struct mapping_side *side,
			      const struct mapping_span *field, const struct mapping_text *text)
{
	size_t column = mapping_column(text, field->at);
	char quoted[MAPPING_QUOTE_SIZE / 2];
	struct target target;
	uint16_t port;
	int rv;

	log_quote(quoted, sizeof(quoted), field->at, field->bytes);
	if (field->bytes == 0)
		return mapping_fail(text, "the %s address is missing at column %zu: write %s",
				    side->word, column, side->wanted);
	if (mapping_word(&target, field)) {
		bool asked = target_is_asked(&target);

		if (!(asked ? side->may_be_asked : side->may_be_any))
			return mapping_fail(text,
					    "%s at column %zu stands only as the remote of OUT%s: "
					    "write %s",
					    quoted, column, asked ? " or the local of IN" : "",
					    side->wanted);
		if (text->proto == MAPPING_UDP && asked)
			return mapping_fail(text, "%s at column %zu is for tcp only", quoted,
					    column);
		*ret = target;
		return 0;
	}
	rv = mapping_parse_syntax(&target, side, field, text);
	if (rv != 0)
		return rv;
	if (target.kind == TARGET_UNIX) {
		if (text->proto == MAPPING_UDP)
			return mapping_fail(text, "\"%s\" at column %zu is a UNIX socket, which is "
					    "for tcp only", quoted, column);
		if (side->no_path != NULL)
			return mapping_fail(text, "\"%s\" at column %zu: %s", quoted, column,
					    side->no_path);
		*ret = target;
		return 0;
	}
	if (side->listens && target.kind == TARGET_NAME)
		return mapping_fail(text,
				    "\"%s\" at column %zu is a host name, and names are only for "
				    "what is dialled: write %s",
				    quoted, column, side->wanted);
	port = target.kind == TARGET_NAME ? target.port : address_port(&target.address);
	if (!side->listens && port == 0)
		return mapping_fail(text, "port 0 at column %zu is not in %s",
				    mapping_column(text, mapping_port_at(field)),
				    mapping_port_range(false));
	if (side->local_only && !address_is_loopback(&target.address) &&
	    !address_is_unspecified(&target.address))
		return mapping_fail(text,
				    "\"%s\" at column %zu: the server of an IN mapping listens on "
				    "a loopback address, 0.0.0.0 or [::] only",
				    quoted, column);
	*ret = target;
	return 0;
}

int mapping_parse_far_listen(struct target *ret, enum mapping_proto proto, const char *text,
			     size_t text_bytes, char error[MAPPING_ERROR_SIZE])
{
	const struct mapping_text all = {
		.span = mapping_trim(text, text_bytes),
		.proto = proto,
		.error = error,
	};

	return mapping_parse_side(ret, &mapping_in_remote, &all.span, &all);
}

/* Splits at the carets; exactly three fields. */
static int mapping_split(struct mapping_span fields[3], const struct mapping_text *text)
{
	const char *at = text->span.at, *end = at + text->span.bytes;

	for (int i = 0; i < 3; i++) {
		const char *caret = memchr(at, '^', (size_t)(end - at));

		if (caret == NULL && i < 2)
			return mapping_fail(text,
					    "'^' and %s are missing at column "
					    "%zu: " MAPPING_EXAMPLE,
					    i == 0 ? "two fields" : "a third field",
					    mapping_column(text, end));
		if (caret != NULL && i == 2)
			return mapping_fail(text,
					    "a fourth field begins at column %zu: " MAPPING_EXAMPLE,
					    mapping_column(text, caret));
		fields[i] = (struct mapping_span){at, (size_t)((caret != NULL ? caret : end) - at)};
		at = caret != NULL ? caret + 1 : end;
	}
	return 0;
}

int mapping_parse(struct mapping *ret, enum mapping_proto proto, const char *text,
		  size_t text_bytes, char error[MAPPING_ERROR_SIZE])
{
	struct mapping_text whole = {mapping_trim(text, text_bytes), proto, error};
	struct mapping mapping = {.proto = proto};
	struct mapping_span fields[3];
	int rv;

	if (whole.span.bytes == 0) {
		snprintf(error, MAPPING_ERROR_SIZE, "the mapping is empty: " MAPPING_EXAMPLE);
		return RSTUN_E_MALFORMED;
	}
	rv = mapping_split(fields, &whole);
	if (rv != 0)
		return rv;
	if (mapping_span_is(&fields[0], "OUT")) {
		mapping.mode = MAPPING_OUT;
	} else if (mapping_span_is(&fields[0], "IN")) {
		mapping.mode = MAPPING_IN;
	} else {
		char quoted[MAPPING_QUOTE_SIZE / 2];

		if (fields[0].bytes == 0)
			return mapping_fail(&whole,
					    "the mode is missing at column 1: write OUT or IN");
		log_quote(quoted, sizeof(quoted), fields[0].at, fields[0].bytes);
		return mapping_fail(&whole, "mode \"%s\" at column 1 is neither OUT nor IN",
				    quoted);
	}
	rv = mapping_parse_side(&mapping.local,
				mapping.mode == MAPPING_OUT ? &mapping_out_local
							    : &mapping_in_local,
				&fields[1], &whole);
	if (rv != 0)
		return rv;
	rv = mapping_parse_side(&mapping.remote,
				mapping.mode == MAPPING_OUT ? &mapping_out_remote
							    : &mapping_in_remote,
				&fields[2], &whole);
	if (rv != 0)
		return rv;
	*ret = mapping;
	return 0;
}

/* One element of a list, which may be a range: appended. */
static int mapping_append(struct mapping **list, size_t *count, enum mapping_proto proto,
			  const char *text, size_t bytes, char error[MAPPING_ERROR_SIZE])
{
	struct mapping *grown;
	size_t more = 0;
	char **texts;
	int rv = mapping_expand(&texts, text, bytes, error);

	if (rv != 0)
		return rv;
	while (texts[more] != NULL)
		more++;
	grown = reallocarray(*list, *count + more, sizeof(**list));
	if (grown == NULL) {
		snprintf(error, MAPPING_ERROR_SIZE, "%s", rstun_strerror(RSTUN_E_NOMEM));
		rv = RSTUN_E_NOMEM;
	} else {
		*list = grown;
	}
	for (size_t i = 0; i < more && rv == 0; i++) {
		rv = mapping_parse(&grown[*count], proto, texts[i], strlen(texts[i]), error);
		*count += rv == 0;
	}
	mapping_expand_free(texts);
	return rv;
}

int mapping_parse_range(struct mapping **ret, size_t *ret_count, enum mapping_proto proto,
			const char *text, size_t bytes, char error[MAPPING_ERROR_SIZE])
{
	struct mapping *list = NULL;
	size_t count = 0;
	int rv = mapping_append(&list, &count, proto, text, bytes, error);

	if (rv != 0) {
		free(list);
		return rv;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

int mapping_parse_list(struct mapping **ret, size_t *ret_count, enum mapping_proto proto,
		       const char *text, char error[MAPPING_ERROR_SIZE])
{
	struct mapping_span all = mapping_trim(text, strlen(text));
	struct mapping *list = NULL;
	size_t count = 0, elements = 1;
	const char *at = all.at, *end = at + all.bytes;

	if (all.bytes == 0) { /* as in the original: an empty list is no mapping, not a wrong one */
		*ret = NULL;
		*ret_count = 0;
		return 0;
	}
	for (size_t i = 0; i < all.bytes; i++)
		elements += all.at[i] == ',';
	for (size_t i = 0; i < elements; i++) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma != NULL ? comma : end;
		struct mapping_span one = mapping_trim(at, (size_t)(stop - at));
		int rv = RSTUN_E_MALFORMED;

		if (elements > 1 && one.bytes == 0)
			snprintf(error, MAPPING_ERROR_SIZE,
				 "mapping %zu of %zu, at column %zu, is empty: " MAPPING_EXAMPLE,
				 i + 1, elements, utf8_count(text, (size_t)(at - text)) + 1);
		else
			rv = mapping_append(&list, &count, proto, one.at, one.bytes, error);
		if (rv != 0) {
			free(list);
			return rv;
		}
		at = comma != NULL ? comma + 1 : end;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

const char *mapping_format(char *buf, size_t size, const struct mapping *mapping)
{
	char local[ADDRESS_TARGET_TEXT_SIZE], remote[ADDRESS_TARGET_TEXT_SIZE];

	snprintf(buf, size, "%s^%s^%s", mapping_mode_name(mapping->mode),
		 target_format(local, sizeof(local), &mapping->local),
		 target_format(remote, sizeof(remote), &mapping->remote));
	return buf;
}

const char *mapping_mode_name(enum mapping_mode mode)
{
	return mode == MAPPING_IN ? "IN" : "OUT";
}

const char *mapping_proto_name(enum mapping_proto proto)
{
	return proto == MAPPING_TCP ? "tcp" : "udp";
}

const struct target *mapping_listens(const struct mapping *mapping)
{
	const struct target *t =
		mapping->mode == MAPPING_OUT ? &mapping->local : &mapping->remote;

	return t->kind == TARGET_ADDRESS && address_port(&t->address) == 0 ? NULL : t;
}

bool mapping_equal(const struct mapping *a, const struct mapping *b)
{
	return a->mode == b->mode && a->proto == b->proto && target_equal(&a->local, &b->local) &&
	       target_equal(&a->remote, &b->remote);
}
