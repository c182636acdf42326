/* SPDX-License-Identifier: MIT */
/*
 * Text into params. A value is parsed by its row into an empty struct and read back as JSON, so the
 * command line takes exactly what the rows say. The rows' own checks are left to the daemon.
 */
#include "rstunctl/call_params.h"

#include "base/error.h"
#include "base/mapping.h"
#include "rpc/field_json.h"
#include "rstunctl/command.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALL_PASSWORD_MAX 1024

static int call_params_nomem(char error[FIELD_ERROR_SIZE])
{
	snprintf(error, FIELD_ERROR_SIZE, "%s", rstun_strerror(RSTUN_E_NOMEM));
	return RSTUN_E_NOMEM;
}

static int call_params_store(json_t *object, const char *name, json_t *value,
			     char error[FIELD_ERROR_SIZE])
{
	return json_object_set_new(object, name, value) == 0 ? 0 : call_params_nomem(error);
}

/* A value that is JSON itself. */
static int call_params_json(json_t *object, const char *name, const char *text,
			    char error[FIELD_ERROR_SIZE])
{
	json_error_t why;
	json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);

	if (value == NULL) {
		snprintf(error, FIELD_ERROR_SIZE, "%s: this is no JSON: %s (line %d, column %d)",
			 name, why.text, why.line, why.column);
		return RSTUN_E_MALFORMED;
	}
	return call_params_store(object, name, value, error);
}

int call_params_set(json_t *object, const struct field_rows *rows, const struct field *row,
		    const char *text, char error[FIELD_ERROR_SIZE])
{
	struct field bare = *row;
	char name[FIELD_JSON_NAME_SIZE];
	json_t *value = NULL;
	void *scratch;
	int rv;

	field_json_name(name, row);
	if (text[0] == '\0' && row->type != FIELD_SECRET)
		return call_params_store(object, name, json_null(), error);
	if (row->type == FIELD_JSON || row->type == FIELD_OBJECT || row->type == FIELD_OBJECTS)
		return call_params_json(object, name, text, error);
	if (row->type == FIELD_SECRET)
		return call_params_store(object, name, json_string(text), error);
	scratch = calloc(1, rows->size);
	if (scratch == NULL)
		return call_params_nomem(error);
	bare.check = NULL;
	bare.present = 0;
	rv = field_set(&bare, scratch, text, error);
	if (rv == 0 && field_json_encode_member(&value, &bare, scratch) != 0)
		rv = call_params_nomem(error);
	if (rv == 0)
		rv = call_params_store(object, name, value != NULL ? value : json_null(), error);
	field_free(&bare, 1, scratch);
	free(scratch);
	return rv;
}

/* ---- key=value ------------------------------------------------------------------------------- */

/* The row whose name in JSON is `name`, "-" counting as "_". */
static const struct field *call_params_find(const struct field_rows *rows, const char *name)
{
	char text[FIELD_JSON_NAME_SIZE];

	for (size_t i = 0; rows != NULL && i < rows->count; i++)
		if (field_json_has(&rows->rows[i]) &&
		    strcmp(field_json_name(text, &rows->rows[i]), name) == 0)
			return &rows->rows[i];
	return NULL;
}

static const struct field *call_params_near(const struct field_rows *rows, const char *name)
{
	return rows != NULL && rows->count > 0 ? field_suggest(rows->rows, rows->count, name)
					       : NULL;
}

static int call_params_unknown(const struct rpc_method_row *method, const char *key,
			       char error[FIELD_ERROR_SIZE])
{
	const struct field_rows *role = command_role(method->config);
	const struct field *near = call_params_near(method->params, key);
	char quoted[128], name[FIELD_JSON_NAME_SIZE];

	if (near == NULL)
		near = call_params_near(role, key);
	output_clean(quoted, sizeof(quoted), key);
	if (near != NULL && field_json_has(near))
		snprintf(error, FIELD_ERROR_SIZE, "%s has no parameter %s (did you mean %s?)",
			 method->name, quoted, field_json_name(name, near));
	else
		snprintf(error, FIELD_ERROR_SIZE,
			 "%s has no parameter %s; 'rstunctl help %s' shows them all", method->name,
			 quoted, method->name);
	return RSTUN_E_MALFORMED;
}

/* "since.seq": the row of the object, and what is in it. */
static int call_params_nested(json_t *object, const struct field_rows *rows, char *key,
			      const char *text, char error[FIELD_ERROR_SIZE], bool *ret_found)
{
	char *dot = strchr(key, '.');
	const struct field *row, *inner;
	json_t *member;

	*ret_found = false;
	if (dot == NULL || rows == NULL)
		return 0;
	*dot = '\0';
	row = call_params_find(rows, key);
	inner = row != NULL && row->type == FIELD_OBJECT ? call_params_find(row->rows, dot + 1)
							 : NULL;
	*dot = '.';
	if (inner == NULL)
		return 0;
	*ret_found = true;
	*dot = '\0';
	member = json_object_get(object, key);
	if (!json_is_object(member)) {
		json_object_set_new(object, key, json_object());
		member = json_object_get(object, key);
	}
	*dot = '.';
	return call_params_set(member, row->rows, inner, text, error);
}

static int call_params_known(json_t *object, const struct rpc_method_row *method, char *key,
			     const char *text, bool from_file, char error[FIELD_ERROR_SIZE])
{
	const struct field_rows *role = command_role(method->config);
	const struct field *row = call_params_find(method->params, key);
	bool found;
	int rv;

	if (row != NULL)
		return call_params_set(object, method->params, row, text, error);
	rv = call_params_nested(object, method->params, key, text, error, &found);
	if (found || rv != 0)
		return rv;
	row = call_params_find(role, key);
	if (row != NULL && row->type == FIELD_SECRET && !from_file) {
		snprintf(error, FIELD_ERROR_SIZE,
			 "%s: a secret on the command line is seen by everybody on this machine: "
			 "say %s=@FILE", key, key);
		return RSTUN_E_MALFORMED;
	}
	if (row != NULL)
		return call_params_set(object, role, row, text, error);
	/* Contents of files that older rows only name. */
	if (role != NULL && (strcmp(key, "cert_pem") == 0 || strcmp(key, "key_pem") == 0))
		return call_params_store(object, key, json_string(text), error);
	return call_params_unknown(method, key, error);
}

bool call_params_is_password(const char *key)
{
	return strcmp(key, "password") == 0 || strcmp(key, "proxy_auth") == 0;
}

/* The value of key=@FILE; a password's last newline is not part of it. */
static int call_params_content(char **ret, const char *key, const char *path,
			       char error[FIELD_ERROR_SIZE])
{
	struct rpc_error why;
	int rv = call_params_is_password(key) ? call_params_password(ret, path, &why)
					      : call_params_file(ret, path, CALL_FILE_MAX, &why);

	if (rv != 0)
		snprintf(error, FIELD_ERROR_SIZE, "%s", why.message);
	return rv;
}

int call_params_pair(json_t *object, const struct rpc_method_row *method, const char *pair,
		     char error[FIELD_ERROR_SIZE])
{
	const char *equals = strchr(pair, '=');
	char key[FIELD_JSON_NAME_SIZE], quoted[128], *content = NULL;
	bool raw = equals != NULL && equals > pair && equals[-1] == ':';
	size_t bytes = equals == NULL ? 0 : (size_t)(equals - pair) - raw;
	const char *text = equals != NULL ? equals + 1 : "";
	int rv = 0;

	if (bytes == 0 || bytes >= sizeof(key)) {
		snprintf(error, FIELD_ERROR_SIZE, "\"%s\" is not key=value, key=@FILE or key:=JSON",
			 output_clean(quoted, sizeof(quoted), pair));
		return RSTUN_E_MALFORMED;
	}
	memcpy(key, pair, bytes);
	key[bytes] = '\0';
	for (char *p = key; *p != '\0'; p++)
		if (*p == '-')
			*p = '_';
	if (raw)
		return call_params_json(object, key, text, error);
	if (text[0] == '@') {
		rv = call_params_content(&content, key, text + 1, error);
		text = content;
	}
	if (rv == 0 && method != NULL) {
		rv = call_params_known(object, method, key, text, content != NULL, error);
	} else if (rv == 0) {
		json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

		rv = call_params_store(object, key, value != NULL ? value : json_string(text),
				       error);
	}
	call_params_wipe(content);
	return rv;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* What is wrong with a file is wrong with the command line: not_found and permission_denied would
 * look as if the daemon had said it. */
static int call_params_open(const char *path, struct rpc_error *error)
{
	int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		rpc_error_set(error, RPC_INVALID_PARAMS, "cannot read %s: %s", path,
			      strerror(errno));
	return fd;
}

/* All there is, with a NUL behind it. Closes fd. */
static int call_params_read(char **ret, int fd, const char *path, size_t max,
			    struct rpc_error *error)
{
	char *text = malloc(max + 2);
	size_t used = 0;
	ssize_t n = 0;

	while (text != NULL && used <= max) {
		n = read(fd, text + used, max + 1 - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	if (text == NULL)
		rpc_error_from(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
	else if (n < 0)
		rpc_error_set(error, RPC_INVALID_PARAMS, "cannot read %s: %s", path,
			      strerror(errno));
	else if (used > max)
		rpc_error_set(error, RPC_INVALID_PARAMS, "%s has more than %zu bytes", path, max);
	else if (memchr(text, '\0', used) != NULL)
		rpc_error_set(error, RPC_INVALID_PARAMS, "%s is no text: it has a zero byte", path);
	else
		max = SIZE_MAX; /* fine */
	close(fd);
	if (max != SIZE_MAX) {
		if (text != NULL)
			explicit_bzero(text, used);
		free(text);
		return RSTUN_E_FAILED;
	}
	text[used] = '\0';
	*ret = text;
	return 0;
}

int call_params_file(char **ret, const char *path, size_t max, struct rpc_error *error)
{
	int fd = call_params_open(path, error);

	return fd < 0 ? RSTUN_E_FAILED : call_params_read(ret, fd, path, max, error);
}

int call_params_password(char **ret, const char *path, struct rpc_error *error)
{
	int fd = call_params_open(path, error), rv;
	struct stat st;
	char *text;
	size_t bytes;

	if (fd < 0)
		return RSTUN_E_FAILED;
	if (strcmp(path, "-") != 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_mode & 077) != 0) {
		close(fd);
		rpc_error_from(error, RSTUN_E_FILE_PERMISSIONS,
			       "others may read the password in %s", path);
		rpc_error_hint(error, "chmod 600 %s", path);
		return RSTUN_E_FILE_PERMISSIONS;
	}
	rv = call_params_read(&text, fd, path, CALL_PASSWORD_MAX + 2, error);
	if (rv != 0)
		return rv;
	bytes = strlen(text);
	if (bytes > 0 && text[bytes - 1] == '\n')
		text[--bytes] = '\0';
	if (bytes > 0 && text[bytes - 1] == '\r')
		text[--bytes] = '\0';
	if (bytes == 0 || bytes > CALL_PASSWORD_MAX || strchr(text, '\n') != NULL) {
		rpc_error_set(error, RPC_INVALID_PARAMS,
			      "the password in %s has to be one line of 1 to %d bytes", path,
			      CALL_PASSWORD_MAX);
		call_params_wipe(text);
		return RSTUN_E_FAILED;
	}
	*ret = text;
	return 0;
}

void call_params_wipe(char *secret)
{
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

/* ---- Mappings -------------------------------------------------------------------------------- */

void call_params_free(char **list)
{
	mapping_expand_free(list);
}

static bool call_params_is_mode(const char *word)
{
	return strcasecmp(word, "in") == 0 || strcasecmp(word, "out") == 0;
}

/* Dynamic forwarding: two words, the other is the address to listen on. */
static bool call_params_is_asking(const char *word)
{
	return strcasecmp(word, "socks5") == 0 || strcasecmp(word, "http") == 0;
}

/* *ret stays NULL when memory is short. */
static int call_params_two_words(char **ret, char *const *args, size_t count,
				 char error[FIELD_ERROR_SIZE])
{
	if (count < 2 || call_params_is_mode(args[1]) || call_params_is_asking(args[1])) {
		snprintf(error, FIELD_ERROR_SIZE,
			 "two words make a mapping: %s LOCAL, such as: %s 1080", args[0], args[0]);
		return RSTUN_E_MALFORMED;
	}
	if (asprintf(ret, "OUT^%s^%s", args[1], args[0]) < 0)
		*ret = NULL;
	return 0;
}

/* As above. */
static int call_params_three_words(char **ret, char *const *args, size_t count,
				   char error[FIELD_ERROR_SIZE])
{
	const char *mode = strcasecmp(args[0], "in") == 0 ? "IN" : "OUT";
	const char *remote;

	if (count < 3 || call_params_is_mode(args[1]) || call_params_is_mode(args[2])) {
		snprintf(error, FIELD_ERROR_SIZE,
			 "three words make a mapping: %s LOCAL REMOTE, such as: %s", args[0],
			 strcasecmp(args[0], "in") == 0 ? "in 3000 0.0.0.0:18080" : "out 9000 any");
		return RSTUN_E_MALFORMED;
	}
	remote = strcasecmp(args[2], "any") == 0 ? "ANY" : args[2];
	if (asprintf(ret, "%s^%s^%s", mode, args[1], remote) < 0)
		*ret = NULL;
	return 0;
}

/* The text of one, and how many words it took. */
static int call_params_spec(char **ret, size_t *ret_words, char *const *args, size_t count,
			    char error[FIELD_ERROR_SIZE])
{
	char quoted[128];
	char *text = NULL;
	int rv = 0;

	if (strchr(args[0], '^') != NULL) {
		*ret_words = 1;
		text = strdup(args[0]);
	} else if (call_params_is_asking(args[0])) {
		*ret_words = 2;
		rv = call_params_two_words(&text, args, count, error);
	} else if (call_params_is_mode(args[0])) {
		*ret_words = 3;
		rv = call_params_three_words(&text, args, count, error);
	} else {
		output_clean(quoted, sizeof(quoted), args[0]);
		snprintf(error, FIELD_ERROR_SIZE,
			 "\"%s\" is no mapping: say 'OUT^9000^ANY' in quotes, or three words: "
			 "out 9000 any; or two: socks5 1080, http 8118", quoted);
		rv = RSTUN_E_MALFORMED;
	}
	if (rv != 0)
		return rv;
	if (text == NULL)
		return call_params_nomem(error);
	*ret = text;
	return 0;
}

bool call_params_is_range(const char *spec)
{
	char why[MAPPING_ERROR_SIZE], **list;
	bool is_range;

	if (mapping_expand(&list, spec, strlen(spec), why) != 0)
		return false;
	is_range = list[1] != NULL;
	mapping_expand_free(list);
	return is_range;
}

/* The texts of a range as the one that it was. */
static int call_params_fold(char ***list, size_t *count, const char *text)
{
	char *whole = strdup(text), **one = calloc(2, sizeof(*one));

	if (whole == NULL || one == NULL) {
		free(whole);
		free(one);
		return RSTUN_E_NOMEM;
	}
	one[0] = whole;
	mapping_expand_free(*list);
	*list = one;
	*count = 1;
	return 0;
}

/* One text, which may be a range: appended. */
static int call_params_append(char ***list, size_t *count, bool udp, bool ranges, const char *text,
			      char error[FIELD_ERROR_SIZE])
{
	char why[MAPPING_ERROR_SIZE], **more = NULL, **grown;
	struct mapping parsed;
	size_t added = 0;
	int rv = mapping_expand(&more, text, strlen(text), why);

	/* The daemon would say the same: this way nothing is sent, and the exit status is usage. */
	for (; rv == 0 && more[added] != NULL; added++)
		rv = mapping_parse(&parsed, udp ? MAPPING_UDP : MAPPING_TCP, more[added],
				   strlen(more[added]), why);
	if (rv != 0) {
		snprintf(error, FIELD_ERROR_SIZE, "%s", why);
		mapping_expand_free(more);
		return RSTUN_E_MALFORMED;
	}
	if (ranges && added > 1)
		rv = call_params_fold(&more, &added, text);
	grown = rv == 0 ? reallocarray(*list, *count + added + 1, sizeof(*grown)) : NULL;
	if (grown == NULL) {
		mapping_expand_free(more);
		return call_params_nomem(error);
	}
	memcpy(grown + *count, more, (added + 1) * sizeof(*grown));
	free(more); /* its texts are the list's now */
	*list = grown;
	*count += added;
	return 0;
}

int call_params_specs(char ***ret, size_t *ret_count, bool udp, bool ranges, char *const *args,
		      size_t count, char error[FIELD_ERROR_SIZE])
{
	char **list = calloc(1, sizeof(*list));
	size_t used = 0, words;
	int rv = 0;

	if (list == NULL)
		return call_params_nomem(error);
	for (size_t i = 0; i < count && rv == 0; i += words) {
		char *text = NULL;

		words = 1;
		rv = call_params_spec(&text, &words, args + i, count - i, error);
		if (rv == 0)
			rv = call_params_append(&list, &used, udp, ranges, text, error);
		free(text);
	}
	if (rv != 0) {
		call_params_free(list);
		return rv;
	}
	*ret = list;
	*ret_count = used;
	return 0;
}
