/* SPDX-License-Identifier: MIT */
/*
 * Configurations and diagnostics as data: making, freeing, names, and a diagnostic as a line.
 */
#include "rstund/config_set.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int config_set_init(struct config_set *set)
{
	memset(set, 0, sizeof(*set));
	return daemon_config_init(&set->daemon);
}

void config_client_done(struct config_client *c)
{
	free(c->name);
	free(c->origin.file);
	client_config_free(&c->config);
}

void config_server_done(struct config_server *s)
{
	free(s->name);
	free(s->origin.file);
	server_config_free(&s->config);
}

void config_mapping_done(struct config_mapping *m)
{
	free(m->name);
	free(m->origin.file);
	free(m->client);
	free(m->spec);
}

void config_set_free(struct config_set *set)
{
	if (set == NULL)
		return;
	daemon_config_free(&set->daemon);
	for (size_t i = 0; i < set->client_count; i++)
		config_client_done(&set->clients[i]);
	for (size_t i = 0; i < set->server_count; i++)
		config_server_done(&set->servers[i]);
	for (size_t i = 0; i < set->mapping_count; i++)
		config_mapping_done(&set->mappings[i]);
	free(set->clients);
	free(set->servers);
	free(set->mappings);
	memset(set, 0, sizeof(*set));
}

const struct config_client *config_set_client(const struct config_set *set, const char *name)
{
	for (size_t i = 0; i < set->client_count; i++)
		if (strcmp(set->clients[i].name, name) == 0)
			return &set->clients[i];
	return NULL;
}

int config_name_check(const char *name, char *error, size_t size)
{
	static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789_";
	size_t bytes = strlen(name);

	if (bytes == 0 || bytes > CONFIG_NAME_MAX) {
		snprintf(error, size, "a name has 1 to %d characters", CONFIG_NAME_MAX);
		return RSTUN_E_MALFORMED;
	}
	/* A leading - would be an option somewhere, a leading . a hidden file. */
	if (strchr(first, name[0]) == NULL ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") !=
		    bytes) {
		snprintf(error, size, "a name is made of letters, digits and . _ - and begins "
				      "with a "
				      "letter, a digit or _");
		return RSTUN_E_MALFORMED;
	}
	if (bytes > 1 && strchr("csm", name[0]) != NULL &&
	    strspn(name + 1, "0123456789") == bytes - 1) {
		snprintf(error, size, "a name must not look like an id (c1, s1, m1): give it "
				      "another one");
		return RSTUN_E_MALFORMED;
	}
	return 0;
}

int config_range_name(char **ret, const char *name, const struct mapping *mapping, char *error,
		      size_t size)
{
	uint16_t port = address_port(&mapping_listens(mapping)->address);
	char why[256], *text;

	if (asprintf(&text, "%s-%u", name, port) < 0) {
		snprintf(error, size, "%s", rstun_strerror(RSTUN_E_NOMEM));
		return RSTUN_E_NOMEM;
	}
	if (config_name_check(text, why, sizeof(why)) != 0) {
		snprintf(error, size, "one of its mappings would be named %s: %s", text, why);
		free(text);
		return RSTUN_E_MALFORMED;
	}
	*ret = text;
	return 0;
}

/* ---- Diagnostics ---------------------------------------------------------------------------- */

void config_diagnostics_init(struct config_diagnostics *d)
{
	memset(d, 0, sizeof(*d));
}

static void config_diagnostic_done(struct config_diagnostic *d)
{
	free(d->file);
	free(d->key);
	free(d->message);
}

void config_diagnostics_free(struct config_diagnostics *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->error_count; i++)
		config_diagnostic_done(&d->errors[i]);
	for (size_t i = 0; i < d->warning_count; i++)
		config_diagnostic_done(&d->warnings[i]);
	memset(d, 0, sizeof(*d));
}

void config_diagnostics_add(struct config_diagnostics *d, int error, const char *file,
			    unsigned line, unsigned column, const char *key, const char *format,
			    ...)
{
	struct config_diagnostic *list = error != 0 ? d->errors : d->warnings, one;
	size_t *count = error != 0 ? &d->error_count : &d->warning_count;
	va_list args;

	if (*count == CONFIG_DIAGNOSTICS_MAX) {
		d->more += error != 0;
		return;
	}
	memset(&one, 0, sizeof(one));
	one.error = error;
	one.line = line;
	one.column = column;
	one.file = file != NULL ? strdup(file) : NULL;
	one.key = key != NULL ? strdup(key) : NULL;
	va_start(args, format);
	if (vasprintf(&one.message, format, args) < 0)
		one.message = NULL;
	va_end(args);
	if (one.message == NULL) { /* a message less is better than a crash, but it counts */
		config_diagnostic_done(&one);
		d->more += error != 0;
		return;
	}
	list[(*count)++] = one;
}

const char *config_diagnostic_format(char *buf, size_t size, const struct config_diagnostic *d)
{
	char where[64] = "";

	if (d->line > 0)
		snprintf(where, sizeof(where), "%s%u", d->file != NULL ? ":" : "line ", d->line);
	if (d->line > 0 && d->column > 0)
		snprintf(where + strlen(where), sizeof(where) - strlen(where), ":%u", d->column);
	snprintf(buf, size, "%s%s%s%s%s%s", d->file != NULL ? d->file : "", where,
		 d->file != NULL || where[0] != '\0' ? ": " : "", d->key != NULL ? d->key : "",
		 d->key != NULL ? ": " : "", d->message);
	return buf;
}
