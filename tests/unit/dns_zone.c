/* SPDX-License-Identifier: MIT */
/*
 * The table of the tests' DNS servers. See dns_zone.h.
 */
#include "tests/unit/dns_zone.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum manner {
	RIGHT,
	SERVFAIL,
	REFUSED,
	SILENT,	    /* to both questions */
	SILENT_6,   /* to AAAA */
	GARBAGE,    /* bytes behind the header that are no record */
	CUT,	    /* the answer ends inside a record */
	WRONG_NAME, /* the question of the reply is another */
	LOOP,	    /* a CNAME to itself */
	STRANGER,   /* an address of a name that was not asked for */
};

static const struct {
	const char *name, *cname, *v4, *v4b, *v6;
	enum manner manner;
} zone[] = {
	{.name = "host.example", .v4 = "192.0.2.1", .v4b = "192.0.2.2", .v6 = "2001:db8::1"},
	{.name = "v4.example", .v4 = "192.0.2.4"},
	{.name = "v6.example", .v6 = "2001:db8::6"},
	{.name = "alias.example", .cname = "host.example"},
	{.name = "alias2.example", .cname = "alias.example"},
	{.name = "dangling.example", .cname = "nowhere.example"},
	{.name = "empty.example"},
	{.name = "servfail.example", .manner = SERVFAIL},
	{.name = "refused.example", .manner = REFUSED},
	{.name = "silent.example", .manner = SILENT},
	{.name = "silent6.example", .v4 = "192.0.2.46", .v6 = "2001:db8::46", .manner = SILENT_6},
	{.name = "garbage.example", .v4 = "192.0.2.66", .v6 = "2001:db8::66", .manner = GARBAGE},
	{.name = "cut.example", .v4 = "192.0.2.67", .v6 = "2001:db8::67", .manner = CUT},
	{.name = "other.example", .v4 = "192.0.2.68", .v6 = "2001:db8::68", .manner = WRONG_NAME},
	{.name = "loop.example", .cname = "loop.example", .manner = LOOP},
	{.name = "stranger.example", .v4 = "192.0.2.69", .v6 = "2001:db8::69", .manner = STRANGER},
	{.name = "short.two.search", .v4 = "192.0.2.9"},
	{.name = "mix.one.search", .v4 = "192.0.2.31"},
	{.name = "mix.two.search", .v6 = "2001:db8::32"},
	{.name = "dotted.name.one.search", .v4 = "192.0.2.33"},
	{.name = "dns.test", .v4 = "127.0.0.1"},
};
#define ZONE (sizeof(zone) / sizeof(zone[0]))

struct writer {
	uint8_t *data;
	size_t used;
	unsigned records;
};

static void put(struct writer *w, const void *data, size_t bytes)
{
	memcpy(w->data + w->used, data, bytes);
	w->used += bytes;
}

static void put_u16(struct writer *w, unsigned v)
{
	uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	put(w, b, 2);
}

static void put_name(struct writer *w, const char *name)
{
	while (*name) {
		size_t label = strcspn(name, ".");

		w->data[w->used++] = (uint8_t)label;
		put(w, name, label);
		name += label + (name[label] == '.');
	}
	w->data[w->used++] = 0;
}

static void put_record(struct writer *w, const char *owner, unsigned type, const void *data,
		       size_t bytes)
{
	put_name(w, owner);
	put_u16(w, type);
	put_u16(w, 1);
	put_u16(w, 0);
	put_u16(w, 60);
	put_u16(w, (unsigned)bytes);
	put(w, data, bytes);
	w->records++;
}

static void put_addresses(struct writer *w, size_t entry, const char *owner, unsigned type)
{
	const char *texts[] = {type == 1 ? zone[entry].v4 : zone[entry].v6,
			       type == 1 ? zone[entry].v4b : NULL};
	uint8_t ip[16];

	for (int i = 0; i < 2; i++)
		if (texts[i] && inet_pton(type == 1 ? AF_INET : AF_INET6, texts[i], ip) == 1)
			put_record(w, owner, type, ip, type == 1 ? 4 : 16);
}

static size_t find(const char *name)
{
	size_t i = 0;

	while (i < ZONE && strcmp(zone[i].name, name) != 0)
		i++;
	return i;
}

/* The CNAME chain, then the addresses at its end. Returns false when the end does not exist. */
static bool put_answer(struct writer *w, size_t entry, unsigned type)
{
	while (zone[entry].cname) {
		uint8_t target[256];
		struct writer t = {.data = target};

		put_name(&t, zone[entry].cname);
		put_record(w, zone[entry].name, 5, target, t.used);
		if (zone[entry].manner == LOOP)
			return true;
		entry = find(zone[entry].cname);
		if (entry == ZONE)
			return false;
	}
	put_addresses(w, entry,
		      zone[entry].manner == STRANGER ? "stranger.invalid" : zone[entry].name, type);
	return true;
}

static size_t read_question(const uint8_t *query, size_t bytes, char name[256], unsigned *type)
{
	size_t at = 12, used = 0;

	while (at < bytes && query[at]) {
		size_t label = query[at++];

		if (at + label >= bytes || used + label + 2 > 256)
			return 0;
		if (used)
			name[used++] = '.';
		for (size_t i = 0; i < label; i++)
			name[used++] = (char)tolower(query[at++]);
	}
	name[used] = '\0';
	if (at + 5 > bytes)
		return 0;
	*type = (unsigned)(query[at + 1] << 8 | query[at + 2]);
	return at + 5;
}

size_t dns_zone_reply(uint8_t reply[DNS_ZONE_REPLY_MAX], const uint8_t *query, size_t bytes,
		      char ret_name[256])
{
	struct writer w = {.data = reply};
	unsigned type = 0, rcode = 3;
	size_t question = read_question(query, bytes, ret_name, &type), entry;
	enum manner manner;

	if (question == 0)
		return 0;
	entry = find(ret_name);
	manner = entry == ZONE ? RIGHT : zone[entry].manner;
	if (manner == SILENT || (manner == SILENT_6 && type == 28))
		return 0;
	put(&w, query, question);
	if (manner == SERVFAIL)
		rcode = 2;
	else if (manner == REFUSED)
		rcode = 5;
	else if (entry < ZONE && put_answer(&w, entry, type))
		rcode = 0;
	if (manner == GARBAGE)
		memset(reply + question, 0xc0, w.used - question);
	if (manner == CUT && w.used > question)
		w.used -= 3;
	if (manner == WRONG_NAME)
		reply[13] ^= 1;
	reply[2] = 0x81;
	reply[3] = (uint8_t)(0x80 | rcode);
	memset(reply + 6, 0, 6);
	reply[7] = (uint8_t)w.records;
	return w.used;
}
