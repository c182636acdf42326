/* SPDX-License-Identifier: MIT */
/*
 * Mappings of a configuration: the section [mapping NAME], which with a range of ports stands for
 * several, the lists of a client, and at the end whose mappings they are and whether two of them
 * listen on one address.
 */
#include "rstund/config_file_private.h"

#include "base/error.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_MAPPING_MAX 1024 /* bytes of one */
#define CONFIG_EXPIRES_MAX_MS UINT64_C(31536000000)

static const char *const config_mapping_modes[] = {
	[MAPPING_IN] = "in", [MAPPING_OUT] = "out", NULL,
};

static const char *const config_mapping_protos[] = {
	[MAPPING_TCP] = "tcp", [MAPPING_UDP] = "udp", NULL,
};

const struct field config_mapping_fields[] = {
	{
		.name = "spec", .type = FIELD_STRING, .max = CONFIG_MAPPING_MAX,
		.offset = offsetof(struct config_mapping_keys, spec),
		.argument = "MODE^[ip:]port^[ip:]port", .group = "Mapping",
		.help = "The mapping, as with --tcp-mappings. One with a range of ports stands for "
			"a section for each port, [mapping NAME-9000] and so on.",
	},
	{
		.name = "mode", .type = FIELD_CHOICE, .flags = FIELD_OPTIONAL,
		.offset = offsetof(struct config_mapping_keys, mode),
		.choices = config_mapping_modes, .argument = "MODE",
		.help = "Instead of spec: which side listens. With local and remote.",
	},
	{
		.name = "local", .type = FIELD_STRING, .max = CONFIG_MAPPING_MAX,
		.offset = offsetof(struct config_mapping_keys, local), .argument = "[HOST:]PORT",
		.help = "Instead of spec: the client's side. What it listens on (out), or what it "
			"connects to (in; or SOCKS5, HTTP). For tcp it may be unix:/PATH.",
	},
	{
		.name = "remote", .type = FIELD_STRING, .max = CONFIG_MAPPING_MAX,
		.offset = offsetof(struct config_mapping_keys, remote), .argument = "[HOST:]PORT",
		.help = "Instead of spec: the server's side. What it connects to (out; ANY is its "
			"default upstream; or SOCKS5, HTTP), or what it listens on (in).",
	},
	{
		.name = "proto", .type = FIELD_CHOICE,
		.offset = offsetof(struct config_mapping_keys, proto),
		.choices = config_mapping_protos, .default_text = "tcp", .argument = "PROTO",
		.help = "What it carries.",
	},
	{
		.name = "client", .type = FIELD_STRING, .max = CONFIG_NAME_MAX,
		.offset = offsetof(struct config_mapping_keys, client), .argument = "NAME",
		.help = "The client that it belongs to. It may be left out when there is one "
			"client.",
	},
	{
		.name = "expires", .type = FIELD_MS, .flags = FIELD_OPTIONAL, .min = 1,
		.max = CONFIG_EXPIRES_MAX_MS, .unit = "ms",
		.offset = offsetof(struct config_mapping_keys, expires_ms), .argument = "TIME",
		.help = "Remove it after so long, such as 2h.",
	},
	{
		.name = "paused", .type = FIELD_BOOL,
		.offset = offsetof(struct config_mapping_keys, paused),
		.help = "Do not start it until it is resumed.",
	},
};

const size_t config_mapping_field_count =
	sizeof(config_mapping_fields) / sizeof(config_mapping_fields[0]);

static unsigned config_mapping_line(const struct config_section *s, const char *key)
{
	const struct field *row = field_find(s->rows, s->count, key);

	return row != NULL && s->lines[row - s->rows] != 0 ? s->lines[row - s->rows] : s->line;
}

/* Adds one to the set. The strings are taken over, also on failure. */
static void config_mapping_add(struct config_reader *r, struct config_mapping *m, unsigned line)
{
	char spec[MAPPING_TEXT_SIZE];
	struct config_mapping *more =
		config_reader_grow(r, r->set->mappings, r->set->mapping_count, sizeof(*more));

	m->origin = (struct config_origin){r->file != NULL ? strdup(r->file) : NULL, line};
	m->spec = strdup(mapping_format(spec, sizeof(spec), &m->mapping));
	if (more != NULL)
		r->set->mappings = more;
	if (more == NULL || m->spec == NULL) {
		r->nomem = true;
		config_mapping_done(m);
		return;
	}
	more[r->set->mapping_count++] = *m;
}

/* MODE^local^remote, of spec or of the three others. malloc'ed; NULL: an error was told. */
static char *config_mapping_text(struct config_reader *r, struct config_section *s)
{
	const struct config_mapping_keys *keys = &s->mapping;
	bool three = keys->mode >= 0 || keys->local != NULL || keys->remote != NULL;
	char *text = NULL;

	if (keys->spec != NULL && three) {
		config_reader_wrong(r, config_mapping_line(s, "spec"), 0, "spec",
				    "it says all: leave out mode, local and remote, or it");
	} else if (keys->spec != NULL) {
		text = strdup(keys->spec);
		r->nomem = r->nomem || text == NULL;
	} else if (keys->mode < 0 || keys->local == NULL || keys->remote == NULL) {
		config_reader_wrong(r, s->line, 0, NULL,
				    "%s says not what is mapped: write spec = OUT^9000^ANY, or "
				    "mode, "
				    "local and remote", s->label);
	} else if (strchr(keys->local, '^') != NULL || strchr(keys->remote, '^') != NULL) {
		config_reader_wrong(r, s->line, 0, NULL, "%s: local and remote are one address "
							 "each: "
							 "a mapping with ^ is spec = ...", s->label);
	} else if (asprintf(&text, "%s^%s^%s", config_mapping_modes[keys->mode], keys->local,
			    keys->remote) < 0) {
		text = NULL;
		r->nomem = true;
	}
	return text;
}

/* The name of one of several. malloc'ed; NULL: an error was told. */
static char *config_mapping_range_name(struct config_reader *r, const struct config_section *s,
				       const struct mapping *mapping)
{
	const struct config_name *first = NULL;
	char why[512], *name = NULL;
	int rv = config_range_name(&name, s->name, mapping, why, sizeof(why));

	r->nomem = r->nomem || rv == RSTUN_E_NOMEM;
	if (rv == RSTUN_E_MALFORMED)
		config_reader_wrong(r, s->line, 0, NULL, "%s: %s", s->label, why);
	if (rv == 0)
		first = config_reader_name(r, s->kind, name, s->line);
	if (first == NULL)
		return name;
	config_reader_wrong(r, s->line, 0, NULL,
			    "%s: one of its mappings is named %s, as that in line %u%s%s",
			    s->label, name, first->line, first->file != NULL ? " of " : "",
			    first->file != NULL ? first->file : "");
	free(name);
	return NULL;
}

/* One of the section's mappings, which may be the only one. False: an error was told. */
static bool config_mapping_of_section(struct config_reader *r, const struct config_section *s,
				      const struct mapping *mapping, bool only)
{
	struct config_mapping m = {
		.mapping = *mapping,
		.expires_ms = s->mapping.expires_ms,
		.paused = s->mapping.paused,
		.name = only ? strdup(s->name) : config_mapping_range_name(r, s, mapping),
		.client = s->mapping.client != NULL ? strdup(s->mapping.client) : NULL,
	};

	r->nomem = r->nomem || (only && m.name == NULL) ||
		   (s->mapping.client != NULL && m.client == NULL);
	if (m.name == NULL || r->nomem) {
		config_mapping_done(&m);
		return false;
	}
	config_mapping_add(r, &m, s->line);
	return !r->nomem;
}

void config_mapping_end(struct config_reader *r, struct config_section *s)
{
	char error[MAPPING_ERROR_SIZE], *text = s->wrong ? NULL : config_mapping_text(r, s);
	bool by_spec = s->mapping.spec != NULL;
	struct mapping *list = NULL;
	size_t count = 0;

	if (text != NULL &&
	    mapping_parse_range(&list, &count, (enum mapping_proto)s->mapping.proto, text,
				strlen(text), error) != 0)
		config_reader_wrong(r, by_spec ? config_mapping_line(s, "spec") : s->line, 0,
				    by_spec ? "spec" : NULL, "%s", error);
	for (size_t i = 0; i < count && s->name != NULL; i++)
		if (!config_mapping_of_section(r, s, &list[i], count == 1))
			break;
	free(list);
	free(text);
	field_free(config_mapping_fields, config_mapping_field_count, &s->mapping);
}

static void config_mapping_take_list(struct config_reader *r, struct config_section *s,
				     enum mapping_proto proto, char **text, const char *key)
{
	char error[MAPPING_ERROR_SIZE];
	struct mapping *list = NULL;
	size_t count = 0;

	if (*text == NULL)
		return;
	if (mapping_parse_list(&list, &count, proto, *text, error) != 0)
		r->nomem = true; /* the row has checked all else */
	for (size_t i = 0; i < count; i++) {
		struct config_mapping m = {.mapping = list[i], .expires_ms = UINT64_MAX};

		if (s->name == NULL)
			break;
		m.client = strdup(s->name);
		r->nomem = r->nomem || m.client == NULL;
		config_mapping_add(r, &m, config_mapping_line(s, key));
	}
	free(list);
	free(*text);
	*text = NULL;
}

void config_mapping_take_lists(struct config_reader *r, struct config_section *s)
{
	config_mapping_take_list(r, s, MAPPING_TCP, &s->client.tcp_mappings_text, "tcp-mappings");
	config_mapping_take_list(r, s, MAPPING_UDP, &s->client.udp_mappings_text, "udp-mappings");
}

/* ---- The whole ------------------------------------------------------------------------------- */

__attribute__((format(printf, 4, 5))) static void
config_mapping_wrong(struct config_reader *r, const struct config_origin *at, const char *key,
		     const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	config_diagnostics_add(r->diags, RSTUN_E_CONFIG_INVALID, at->file, at->line, 0, key, "%s",
			       message);
}

/* The names of all clients, as many as fit. */
static const char *config_mapping_clients(char *buf, size_t size, const struct config_set *set)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < set->client_count && used < size; i++)
		used += (size_t)snprintf(buf + used, size - used, "%s%s", i > 0 ? ", " : "",
					 set->clients[i].name);
	return buf;
}

static void config_mapping_find_client(struct config_reader *r, struct config_mapping *m)
{
	const struct config_set *set = r->set;
	const char *near = NULL;
	size_t best = SIZE_MAX;
	char names[300], quoted[161];

	if (m->client == NULL && set->client_count == 1) {
		m->client = strdup(set->clients[0].name);
		r->nomem = r->nomem || m->client == NULL;
	} else if (m->client == NULL && set->client_count == 0) {
		config_mapping_wrong(r, &m->origin, NULL, "[mapping %s] needs a client: there is "
							  "no "
							  "section [client NAME]", m->name);
	} else if (m->client == NULL) {
		config_mapping_wrong(r, &m->origin, NULL,
				     "[mapping %s]: there are several clients, write client = NAME "
				     "with one of %s", m->name,
				     config_mapping_clients(names, sizeof(names), set));
	} else if (m->name != NULL && !config_reader_has_client(r, m->client)) {
		for (size_t i = 0; i < set->client_count; i++) {
			size_t distance = field_distance(m->client, set->clients[i].name);

			if (distance <= 2 && distance < best) {
				best = distance;
				near = set->clients[i].name;
			}
		}
		log_quote(quoted, sizeof(quoted), m->client, strlen(m->client));
		if (near != NULL)
			config_mapping_wrong(r, &m->origin, "client",
					     "there is no client \"%s\" (did you mean %s?)", quoted,
					     near);
		else
			config_mapping_wrong(r, &m->origin, "client", "there is no client \"%s\"",
					     quoted);
	}
}

/* An address that somebody listens on, as text that is the same for the same address. */
struct config_listener {
	char *key;
	const char *kind; /* "server ", or "": a mapping */
	const char *what; /* borrowed: the server's name or the mapping's text */
	const struct config_origin *origin;
	size_t order;
};

static int config_listener_compare(const void *a, const void *b)
{
	const struct config_listener *x = a, *y = b;
	int order = strcmp(x->key, y->key);

	return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

/* NULL: any free port, which is never taken; or no memory. */
static char *config_listener_key(struct config_reader *r, const char *whose, const char *proto,
				 const struct target *listens)
{
	char text[ADDRESS_TARGET_TEXT_SIZE], *key;

	if (listens == NULL)
		return NULL;
	if (asprintf(&key, "%s %s "
			   "%s", target_format(text, sizeof(text), listens), proto, whose) < 0) {
		r->nomem = true;
		return NULL;
	}
	return key;
}

static size_t config_listener_list(struct config_reader *r, struct config_listener *list)
{
	const struct config_set *set = r->set;
	size_t count = 0;

	for (size_t i = 0; i < set->server_count; i++) {
		const struct config_server *s = &set->servers[i];
		struct target here = {.kind = TARGET_ADDRESS, .address = s->config.addr};

		list[count] = (struct config_listener){
			.key = config_listener_key(r, "here", "udp",
						   address_port(&here.address) != 0 ? &here : NULL),
			.kind = "server ",
			.what = s->name,
			.origin = &s->origin,
			.order = count,
		};
		count += list[count].key != NULL;
	}
	for (size_t i = 0; i < set->mapping_count; i++) {
		const struct config_mapping *m = &set->mappings[i];
		bool out = m->mapping.mode == MAPPING_OUT;
		char whose[CONFIG_NAME_MAX + 32];

		if (m->client == NULL)
			continue;
		snprintf(whose, sizeof(whose), "at the server of %s", m->client);
		list[count] = (struct config_listener){
			.key = config_listener_key(r, out ? "here" : whose,
						   mapping_proto_name(m->mapping.proto),
						   mapping_listens(&m->mapping)),
			.kind = "",
			.what = m->spec,
			.origin = &m->origin,
			.order = count,
		};
		count += list[count].key != NULL;
	}
	return count;
}

static void config_listener_check(struct config_reader *r)
{
	size_t room = r->set->server_count + r->set->mapping_count, count;
	struct config_listener *list = calloc(room + 1, sizeof(*list));

	if (list == NULL) {
		r->nomem = true;
		return;
	}
	count = config_listener_list(r, list);
	qsort(list, count, sizeof(*list), config_listener_compare);
	for (size_t i = 1; i < count; i++) {
		const struct config_listener *a = &list[i - 1], *b = &list[i];

		if (strcmp(a->key, b->key) == 0)
			config_mapping_wrong(r, b->origin, NULL,
					     "%s%s and %s%s (line %u%s%s) both listen on %s",
					     b->kind, b->what, a->kind, a->what, a->origin->line,
					     a->origin->file != NULL ? " of " : "",
					     a->origin->file != NULL ? a->origin->file : "",
					     b->key);
	}
	for (size_t i = 0; i < count; i++)
		free(list[i].key);
	free(list);
}

void config_mapping_check_all(struct config_reader *r)
{
	for (size_t i = 0; i < r->set->mapping_count && !r->nomem; i++)
		config_mapping_find_client(r, &r->set->mappings[i]);
	if (!r->nomem)
		config_listener_check(r);
}
