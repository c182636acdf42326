/* SPDX-License-Identifier: MIT */
/*
 * The state file, written: one JSON text made in memory and handed to state_dir_write. Members at
 * their defaults are left out. The text is wiped before it is freed, because it holds secrets.
 */
#include "rstund/control/state_file.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* False: memory is short or a text is not UTF-8. What is left out is not written. */
static bool state_file_save_put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

static json_t *state_file_save_put_roles(const struct saved_role *roles, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *item = json_pack("{s:s, s:O}", "name", roles[i].name, "config",
					 roles[i].config);

		if (json_array_append_new(array, item) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *state_file_save_put_mapping(const struct saved_mapping *m)
{
	uint64_t ms = m->expires_ms < INT64_MAX ? m->expires_ms : INT64_MAX;
	json_t *item = json_object();

	if ((m->name == NULL || state_file_save_put(item, "name", json_string(m->name))) &&
	    state_file_save_put(item, "client", json_string(m->client)) &&
	    state_file_save_put(item, "proto",
			   json_string(mapping_proto_name((enum mapping_proto)m->proto))) &&
	    state_file_save_put(item, "spec", json_string(m->spec)) &&
	    (m->expires_wall_us == INT64_MAX ||
	     state_file_save_put(item, "expires_wall_us", json_integer(m->expires_wall_us))) &&
	    (m->expires_ms == UINT64_MAX ||
	     state_file_save_put(item, "expires_ms", json_integer((json_int_t)ms))) &&
	    (!m->paused || state_file_save_put(item, "paused", json_true())))
		return item;
	json_decref(item);
	return NULL;
}

static json_t *state_file_save_put_mappings(const struct saved_state *s)
{
	json_t *array = json_array();

	for (size_t i = 0; i < s->mapping_count; i++) {
		if (json_array_append_new(array, state_file_save_put_mapping(&s->mappings[i])) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *state_file_save_put_paused(const struct saved_state *s)
{
	json_t *array = json_array();

	for (size_t i = 0; i < s->paused_count; i++) {
		if (json_array_append_new(array, json_string(s->paused[i])) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

/* A new text, *ret_bytes long, that ends with a newline. NULL when memory is short. */
static char *state_file_save_text(const struct saved_state *s, size_t *ret_bytes)
{
	const size_t flags = JSON_INDENT(2);
	json_t *root = json_object();
	char *text = NULL;
	size_t bytes = 0;

	if (state_file_save_put(root, "schema_version", json_integer(STATE_FILE_SCHEMA)) &&
	    state_file_save_put(root, "clients", state_file_save_put_roles(s->clients, s->client_count)) &&
	    state_file_save_put(root, "servers", state_file_save_put_roles(s->servers, s->server_count)) &&
	    state_file_save_put(root, "mappings", state_file_save_put_mappings(s)) &&
	    state_file_save_put(root, "paused", state_file_save_put_paused(s)))
		bytes = json_dumpb(root, NULL, 0, flags);
	if (bytes > 0)
		text = malloc(bytes + 1);
	if (text != NULL && json_dumpb(root, text, bytes, flags) != bytes) {
		secret_wipe(text, bytes); /* memory was short this time */
		free(text);
		text = NULL;
	}
	if (text != NULL) {
		text[bytes] = '\n';
		*ret_bytes = bytes + 1;
	}
	json_decref(root);
	return text;
}

static bool state_file_save_is_text(const char *text)
{
	return text == NULL || utf8_valid(text, strlen(text));
}

/* jansson tells a text that is not UTF-8 and a lack of memory in the same way. */
static const char *state_file_save_find_bad(const struct saved_state *s)
{
	for (size_t i = 0; i < s->client_count; i++)
		if (!state_file_save_is_text(s->clients[i].name))
			return s->clients[i].name;
	for (size_t i = 0; i < s->server_count; i++)
		if (!state_file_save_is_text(s->servers[i].name))
			return s->servers[i].name;
	for (size_t i = 0; i < s->mapping_count; i++) {
		const struct saved_mapping *m = &s->mappings[i];
		const char *texts[] = {m->name, m->client, m->spec};

		for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++)
			if (!state_file_save_is_text(texts[k]))
				return texts[k];
	}
	for (size_t i = 0; i < s->paused_count; i++)
		if (!state_file_save_is_text(s->paused[i]))
			return s->paused[i];
	return NULL;
}

int state_file_save(const struct state_dir *dir, const struct saved_state *s,
		    char error[STATE_DIR_ERROR_SIZE])
{
	const char *bad = state_file_save_find_bad(s);
	char quoted[200], *text;
	size_t bytes = 0;
	int rc;

	if (bad != NULL) {
		snprintf(error, STATE_DIR_ERROR_SIZE,
			 "cannot write %s/%s: the name '%s' is not UTF-8", dir->path,
			 STATE_FILE_NAME, log_quote(quoted, sizeof(quoted), bad, strlen(bad)));
		return RSTUN_E_MALFORMED;
	}
	text = state_file_save_text(s, &bytes);
	if (text == NULL) {
		snprintf(error, STATE_DIR_ERROR_SIZE, "memory ran out");
		return RSTUN_E_NOMEM;
	}
	if (bytes > STATE_FILE_BYTES_MAX) {
		snprintf(error, STATE_DIR_ERROR_SIZE,
			 "cannot write %s/%s: it would be larger than %zu bytes", dir->path,
			 STATE_FILE_NAME, STATE_FILE_BYTES_MAX);
		rc = RSTUN_E_STATE_WRITE_FAILED;
	} else {
		rc = state_dir_write(dir, STATE_FILE_NAME, text, bytes, error);
	}
	secret_wipe(text, bytes);
	free(text);
	return rc;
}
