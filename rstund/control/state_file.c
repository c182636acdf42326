/* SPDX-License-Identifier: MIT */
/*
 * The state file, read (state_file_save.c writes it). Its text is wiped before it is freed, because
 * it holds secrets (what jansson keeps is its own); no message quotes a value, for the same reason.
 */
#include "rstund/control/state_file.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STATE_FILE_WHY_SIZE 384
#define STATE_FILE_NAMES_MAX 1000 /* damaged files of one second */

struct state_text {
	char *data;
	size_t bytes;
};

__attribute__((format(printf, 3, 4))) static int state_file_fail(char *error, int code,
								 const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, STATE_DIR_ERROR_SIZE, format, args);
	va_end(args);
	return code;
}

static int state_file_nomem(char error[STATE_DIR_ERROR_SIZE])
{
	return state_file_fail(error, RSTUN_E_NOMEM, "memory ran out");
}

static void state_text_free(struct state_text *t)
{
	if (t->data != NULL)
		secret_wipe(t->data, t->bytes);
	free(t->data);
	*t = (struct state_text){0};
}

static void saved_roles_free(struct saved_role *roles, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(roles[i].name);
		json_decref(roles[i].config);
	}
	free(roles);
}

void saved_state_free(struct saved_state *s)
{
	if (s == NULL)
		return;
	saved_roles_free(s->clients, s->client_count);
	saved_roles_free(s->servers, s->server_count);
	for (size_t i = 0; i < s->mapping_count; i++) {
		free(s->mappings[i].name);
		free(s->mappings[i].spec);
		free(s->mappings[i].client);
	}
	free(s->mappings);
	for (size_t i = 0; i < s->paused_count; i++)
		free(s->paused[i]);
	free(s->paused);
	*s = (struct saved_state){0};
}

/* ---- From JSON ------------------------------------------------------------------------------- */

/* Why a file is damaged; `json` may be NULL. What jansson says names members and types, no values.
 */
__attribute__((format(printf, 3, 4))) static int
state_file_damaged(char why[STATE_FILE_WHY_SIZE], const json_error_t *json, const char *format, ...)
{
	size_t used;
	va_list args;

	va_start(args, format);
	vsnprintf(why, STATE_FILE_WHY_SIZE, format, args);
	va_end(args);
	used = strlen(why);
	if (json != NULL) {
		char quoted[2 * JSON_ERROR_TEXT_LENGTH];

		log_quote(quoted, sizeof(quoted), json->text, strlen(json->text));
		snprintf(why + used, STATE_FILE_WHY_SIZE - used, ": %s", quoted);
	}
	return RSTUN_E_MALFORMED;
}

/* NULL stays NULL. */
static int state_file_copy(char **ret, const char *text)
{
	char *copy = NULL;

	if (text != NULL) {
		copy = strdup(text);
		if (copy == NULL)
			return RSTUN_E_NOMEM;
	}
	*ret = copy;
	return 0;
}

/* An array that may be missing. *ret is zeroed memory for its items (NULL for none). */
static int state_file_array(void **ret, size_t *ret_count, json_t *root, const char *key,
			    size_t item_bytes, char why[STATE_FILE_WHY_SIZE])
{
	json_t *array = json_object_get(root, key);
	void *items = NULL;

	if (array != NULL && !json_is_array(array))
		return state_file_damaged(why, NULL, "\"%s\" is not an array", key);
	if (json_array_size(array) > 0) {
		items = calloc(json_array_size(array), item_bytes);
		if (items == NULL)
			return RSTUN_E_NOMEM;
	}
	*ret = items;
	*ret_count = json_array_size(array);
	return 0;
}

static int state_file_get_roles(struct saved_role **ret, size_t *ret_count, json_t *root,
				const char *key, char why[STATE_FILE_WHY_SIZE])
{
	json_t *array = json_object_get(root, key);
	void *items = NULL;
	int rc = state_file_array(&items, ret_count, root, key, sizeof(**ret), why);

	if (rc != 0)
		return rc;
	*ret = items;
	for (size_t i = 0; i < *ret_count; i++) {
		json_error_t json;
		const char *name;
		json_t *config;

		if (json_unpack_ex(json_array_get(array, i), &json, JSON_STRICT, "{s:s, s:o}",
				   "name", &name, "config", &config) != 0)
			return state_file_damaged(why, &json, "%s[%zu]", key, i);
		if (!json_is_object(config))
			return state_file_damaged(why, NULL, "%s[%zu]: \"config\" is not an object",
						  key, i);
		(*ret)[i].config = json_incref(config);
		rc = state_file_copy(&(*ret)[i].name, name);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int state_file_get_mapping(struct saved_mapping *m, json_t *item, size_t i,
				  char why[STATE_FILE_WHY_SIZE])
{
	const char *name = NULL, *spec, *client, *proto;
	json_int_t expires_wall_us = INT64_MAX, expires_ms = -1;
	int paused = 0, rc;
	json_error_t json;

	if (json_unpack_ex(item, &json, JSON_STRICT, "{s?s, s:s, s:s, s:s, s?I, s?I, s?b}", "name",
			   &name, "client", &client, "proto", &proto, "spec", &spec,
			   "expires_wall_us", &expires_wall_us, "expires_ms", &expires_ms, "paused",
			   &paused) != 0)
		return state_file_damaged(why, &json, "mappings[%zu]", i);
	if (expires_ms < 0 && json_object_get(item, "expires_ms") != NULL)
		return state_file_damaged(why, NULL, "mappings[%zu]: \"expires_ms\" is negative",
					  i);
	if (strcmp(proto, mapping_proto_name(MAPPING_TCP)) == 0)
		m->proto = MAPPING_TCP;
	else if (strcmp(proto, mapping_proto_name(MAPPING_UDP)) == 0)
		m->proto = MAPPING_UDP;
	else
		return state_file_damaged(
			why, NULL, "mappings[%zu]: \"proto\" is neither \"tcp\" nor \"udp\"", i);
	m->expires_wall_us = expires_wall_us;
	m->expires_ms = expires_ms < 0 ? UINT64_MAX : (uint64_t)expires_ms;
	m->paused = paused != 0;
	rc = state_file_copy(&m->name, name);
	if (rc == 0)
		rc = state_file_copy(&m->client, client);
	return rc == 0 ? state_file_copy(&m->spec, spec) : rc;
}

static int state_file_get_mappings(struct saved_state *s, json_t *root,
				   char why[STATE_FILE_WHY_SIZE])
{
	json_t *array = json_object_get(root, "mappings");
	void *items = NULL;
	int rc = state_file_array(&items, &s->mapping_count, root, "mappings", sizeof(*s->mappings),
				  why);

	s->mappings = items;
	for (size_t i = 0; rc == 0 && i < s->mapping_count; i++)
		rc = state_file_get_mapping(&s->mappings[i], json_array_get(array, i), i, why);
	return rc;
}

static int state_file_get_paused(struct saved_state *s, json_t *root, char why[STATE_FILE_WHY_SIZE])
{
	json_t *array = json_object_get(root, "paused");
	void *items = NULL;
	int rc = state_file_array(&items, &s->paused_count, root, "paused", sizeof(*s->paused),
				  why);

	s->paused = items;
	for (size_t i = 0; rc == 0 && i < s->paused_count; i++) {
		const char *text = json_string_value(json_array_get(array, i));

		if (text == NULL)
			return state_file_damaged(why, NULL, "paused[%zu] is not a string", i);
		rc = state_file_copy(&s->paused[i], text);
	}
	return rc;
}

/* A file without anything is damaged too: what is saved has its schema version always. */
static int state_file_get(struct saved_state *s, json_t *root, char why[STATE_FILE_WHY_SIZE])
{
	static const char *const keys[] = {"schema_version", "clients", "servers", "mappings",
					   "paused"};
	const char *key;
	json_t *value;
	int rc;

	json_object_foreach(root, key, value) {
		bool known = false;

		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			known = known || strcmp(key, keys[i]) == 0;
		if (!known) {
			char quoted[128];

			log_quote(quoted, sizeof(quoted), key, strlen(key));
			return state_file_damaged(why, NULL, "there is no member \"%s\"", quoted);
		}
	}
	rc = state_file_get_roles(&s->clients, &s->client_count, root, "clients", why);
	if (rc == 0)
		rc = state_file_get_roles(&s->servers, &s->server_count, root, "servers", why);
	if (rc == 0)
		rc = state_file_get_mappings(s, root, why);
	return rc == 0 ? state_file_get_paused(s, root, why) : rc;
}

/* RSTUN_E_MALFORMED with the reason in `why`, RSTUN_E_UNSUPPORTED with the version there. */
static int state_file_parse(struct saved_state *ret, const struct state_text *text,
			    char why[STATE_FILE_WHY_SIZE])
{
	struct saved_state s = {0};
	json_int_t version;
	json_error_t json;
	json_t *root;
	int rc;

	root = json_loadb(text->data, text->bytes, JSON_REJECT_DUPLICATES, &json);
	/* Where jansson says nothing, an allocation failed. */
	if (root == NULL && (json_error_code(&json) == json_error_out_of_memory ||
			     json_error_code(&json) == json_error_unknown))
		return RSTUN_E_NOMEM;
	if (root == NULL) /* its text may quote a password */
		return state_file_damaged(why, NULL, "line %d, column %d: %s", json.line,
					  json.column,
					  json_error_code(&json) == json_error_duplicate_key
						  ? "a member is there twice"
						  : "this is not JSON, or it ends too early");
	version = json_integer_value(json_object_get(root, "schema_version"));
	if (version > STATE_FILE_SCHEMA) {
		rc = RSTUN_E_UNSUPPORTED;
		snprintf(why, STATE_FILE_WHY_SIZE, "%" JSON_INTEGER_FORMAT, version);
	} else if (version <= 0) {
		rc = state_file_damaged(why, NULL, "it has no \"schema_version\"");
	} else {
		rc = state_file_get(&s, root, why);
	}
	json_decref(root);
	if (rc == 0)
		*ret = s;
	else
		saved_state_free(&s);
	return rc;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static int state_file_check(int fd, const struct state_dir *dir, size_t *ret_bytes,
			    char error[STATE_DIR_ERROR_SIZE])
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return state_file_fail(error, RSTUN_E_STATE_WRITE_FAILED, "cannot read %s/%s: %s",
				       dir->path, STATE_FILE_NAME, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return state_file_fail(error, RSTUN_E_STATE_WRITE_FAILED,
				       "%s/%s is not a file: remove it", dir->path,
				       STATE_FILE_NAME);
	if (st.st_uid != geteuid())
		return state_file_fail(error, RSTUN_E_FILE_PERMISSIONS,
				       "%s/%s holds secrets and belongs to user %ld: run chown %ld "
				       "'%s/%s', or remove it",
				       dir->path, STATE_FILE_NAME, (long)st.st_uid, (long)geteuid(),
				       dir->path, STATE_FILE_NAME);
	if ((st.st_mode & 077) != 0)
		return state_file_fail(error, RSTUN_E_FILE_PERMISSIONS,
				       "%s/%s holds secrets and others can read it: run chmod 600 "
				       "'%s/%s', or remove it",
				       dir->path, STATE_FILE_NAME, dir->path, STATE_FILE_NAME);
	*ret_bytes = st.st_size < 0 ? 0 : (size_t)st.st_size;
	return 0;
}

/* The whole file, one byte more than the limit at most. An absent one is RSTUN_E_NOT_FOUND. */
static int state_file_read(struct state_text *ret, const struct state_dir *dir,
			   char error[STATE_DIR_ERROR_SIZE])
{
	int fd = openat(dir->fd, STATE_FILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct state_text text = {0};
	size_t size = 0;
	ssize_t n = 0;
	int rc;

	if (fd < 0 && errno == ENOENT)
		return RSTUN_E_NOT_FOUND;
	if (fd < 0)
		return state_file_fail(error,
				       errno == EACCES || errno == EPERM
					       ? RSTUN_E_PERMISSION_DENIED
					       : RSTUN_E_STATE_WRITE_FAILED,
				       "cannot open %s/%s: %s", dir->path, STATE_FILE_NAME,
				       strerror(errno));
	rc = state_file_check(fd, dir, &size, error);
	if (rc == 0) {
		size = (size < STATE_FILE_BYTES_MAX ? size : STATE_FILE_BYTES_MAX) + 1;
		text.data = malloc(size);
		if (text.data == NULL)
			rc = state_file_nomem(error);
	}
	while (rc == 0 && text.bytes < size) {
		n = read(fd, text.data + text.bytes, size - text.bytes);
		if (n > 0)
			text.bytes += (size_t)n;
		else if (n == 0)
			break;
		else if (errno != EINTR)
			rc = state_file_fail(error, RSTUN_E_STATE_WRITE_FAILED,
					     "cannot read %s/%s: %s", dir->path, STATE_FILE_NAME,
					     strerror(errno));
	}
	close(fd);
	if (rc == 0)
		*ret = text;
	else
		state_text_free(&text);
	return rc;
}

/* To a name that no file has; the lock of the directory is ours. */
static int state_file_move_aside(const struct state_dir *dir, const char *why,
				 char error[STATE_DIR_ERROR_SIZE])
{
	char name[NAME_MAX + 1], stamp[32] = "";
	time_t now_s = (time_t)(clock_wall_us() / 1000000);
	struct tm tm;
	int i = 0;

	if (gmtime_r(&now_s, &tm) != NULL)
		strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(name, sizeof(name), "%s.corrupt-%s", STATE_FILE_NAME, stamp);
	while (faccessat(dir->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && i < STATE_FILE_NAMES_MAX)
		snprintf(name, sizeof(name), "%s.corrupt-%s.%d", STATE_FILE_NAME, stamp, ++i);
	if (i == STATE_FILE_NAMES_MAX)
		return state_file_fail(error, RSTUN_E_STATE_WRITE_FAILED,
				       "%s/%s is damaged (%s), and there are too many of these: "
				       "remove the files %s.corrupt-*",
				       dir->path, STATE_FILE_NAME, why, STATE_FILE_NAME);
	if (renameat(dir->fd, STATE_FILE_NAME, dir->fd, name) != 0)
		return state_file_fail(error, RSTUN_E_STATE_WRITE_FAILED,
				       "%s/%s is damaged (%s) and cannot be moved aside: %s",
				       dir->path, STATE_FILE_NAME, why, strerror(errno));
	fsync(dir->fd);
	state_file_fail(error, 0,
			"%s/%s is damaged (%s): it is now %s, and what was added at run time is "
			"not there until that is mended",
			dir->path, STATE_FILE_NAME, why, name);
	return 0;
}

int state_file_load(struct saved_state *ret, const struct state_dir *dir, bool *ret_moved_aside,
		    char error[STATE_DIR_ERROR_SIZE])
{
	struct saved_state s = {0};
	struct state_text text = {0};
	char why[STATE_FILE_WHY_SIZE] = "";
	bool aside = false;
	int rc = state_file_read(&text, dir, error);

	if (rc == 0 && text.bytes > STATE_FILE_BYTES_MAX)
		rc = state_file_damaged(why, NULL, "it is larger than %zu bytes",
					STATE_FILE_BYTES_MAX);
	else if (rc == 0)
		rc = state_file_parse(&s, &text, why);
	else if (rc == RSTUN_E_NOT_FOUND)
		rc = 0;
	state_text_free(&text);
	if (rc == RSTUN_E_MALFORMED) {
		rc = state_file_move_aside(dir, why, error);
		aside = rc == 0;
	} else if (rc == RSTUN_E_UNSUPPORTED) {
		state_file_fail(error, rc,
				"%s/%s is of a newer rstund (schema version %s, and this one knows "
				"%d): start that one again, or move the file away",
				dir->path, STATE_FILE_NAME, why, STATE_FILE_SCHEMA);
	} else if (rc == RSTUN_E_NOMEM) {
		state_file_nomem(error);
	}
	if (rc != 0)
		return rc;
	*ret = s;
	*ret_moved_aside = aside;
	return 0;
}
