/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a configuration that came over the control socket. What is accepted must be sound:
 * names that can be names, each mapping with its client and a text that is read as the same
 * mapping, roles that pass their own check. What is refused has a sentence for each error. One
 * thread.
 */
#include "base/error.h"
#include "rstund/config_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_diagnostics(const struct config_diagnostic *list, size_t count)
{
	char text[CONFIG_DIAGNOSTIC_SIZE];

	for (size_t i = 0; i < count; i++) {
		check(list[i].file == NULL && list[i].message[0] != '\0');
		config_diagnostic_format(text, sizeof(text), &list[i]);
		check(strchr(text, '\n') == NULL);
	}
}

static void check_mapping(const struct config_set *set, const struct config_mapping *m)
{
	char error[MAPPING_ERROR_SIZE];
	struct mapping again;

	check(m->client != NULL && config_set_client(set, m->client) != NULL);
	check(m->name == NULL || config_name_check(m->name, error, sizeof(error)) == 0);
	check(mapping_parse(&again, m->mapping.proto, m->spec, strlen(m->spec), error) == 0);
	check(again.mode == m->mapping.mode && target_equal(&again.local, &m->mapping.local) &&
	      target_equal(&again.remote, &m->mapping.remote));
	check(m->expires_ms > 0);
}

static void check_set(struct config_set *set)
{
	char error[FIELD_ERROR_SIZE];

	for (size_t i = 0; i < set->client_count; i++) {
		struct config_client *c = &set->clients[i];

		check(config_name_check(c->name, error, sizeof(error)) == 0);
		check(c->config.mapping_count == 0 && c->config.server_count > 0);
		check(c->config.password == NULL ||
		      client_config_check(&c->config, NULL, NULL, error) == 0);
	}
	for (size_t i = 0; i < set->server_count; i++) {
		struct config_server *s = &set->servers[i];

		check(config_name_check(s->name, error, sizeof(error)) == 0);
		check(s->config.password == NULL ||
		      server_config_check(&s->config, NULL, NULL, error) == 0);
	}
	for (size_t i = 0; i < set->mapping_count; i++)
		check_mapping(set, &set->mappings[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_diagnostics diags;
	struct config_set set;
	char *text = malloc(size > 0 ? size : 1); /* its own: a read beyond it is seen */
	int rv;

	check(text != NULL);
	memcpy(text, data, size);
	rv = config_file_parse_text(&set, text, size, &diags);
	check((rv == 0) == (diags.error_count == 0));
	check_diagnostics(diags.errors, diags.error_count);
	check_diagnostics(diags.warnings, diags.warning_count);
	if (rv == 0) {
		check_set(&set);
		config_set_free(&set);
	}
	config_diagnostics_free(&diags);
	free(text);
	return 0;
}
