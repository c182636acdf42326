/* SPDX-License-Identifier: MIT */
/*
 * Files of a configuration: reading them, who may read them, what they include. A file is read as a
 * whole, so that it cannot change between the look at its rights and the last line; its text is
 * wiped, because passwords may stand in it.
 */
#include "rstund/config_file_private.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "rstund/config_ini.h"
#include "rstund/password.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- What the other files of the reader use -------------------------------------------------- */

void config_reader_wrong(struct config_reader *r, unsigned line, unsigned column, const char *key,
			 const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	config_diagnostics_add(r->diags, RSTUN_E_CONFIG_INVALID, r->file, line, column, key, "%s",
			       message);
}

void *config_reader_grow(struct config_reader *r, void *array, size_t count, size_t size)
{
	/* By doubling: powers of two are where an array is full. */
	bool full = (count & (count - 1)) == 0;
	size_t room = count == 0 ? 1 : 2 * count;

	if (full)
		array = reallocarray(array, room, size);
	if (array == NULL)
		r->nomem = true;
	else
		memset((char *)array + count * size, 0, size);
	return array;
}

char *config_reader_path(struct config_reader *r, const char *path)
{
	const char *slash = r->file != NULL && path[0] != '/' ? strrchr(r->file, '/') : NULL;
	char *joined;

	if (slash == NULL)
		return strdup(path);
	if (asprintf(&joined, "%.*s%s", (int)(slash - r->file) + 1, r->file, path) < 0)
		return NULL;
	return joined;
}

/* ---- Names that sections have ---------------------------------------------------------------- */

static int config_name_compare(const void *a, const void *b)
{
	const struct config_name *x = a, *y = b;

	return x->kind != y->kind ? (x->kind > y->kind) - (x->kind < y->kind)
				  : strcmp(x->name, y->name);
}

const struct config_name *config_reader_name(struct config_reader *r, enum config_kind kind,
					     const char *name, unsigned line)
{
	struct config_name *own = calloc(1, sizeof(*own) + strlen(name) + 1);
	struct config_name **found;

	if (own == NULL) {
		r->nomem = true;
		return NULL;
	}
	own->kind = kind;
	own->line = line;
	memcpy(own->name, name, strlen(name) + 1);
	if (r->file != NULL)
		own->file = strdup(r->file);
	found = tsearch(own, &r->names, config_name_compare);
	if (found != NULL && *found == own)
		return NULL;
	free(own->file);
	free(own);
	r->nomem = r->nomem || found == NULL;
	return found != NULL ? *found : NULL;
}

bool config_reader_has_client(const struct config_reader *r, const char *name)
{
	struct config_name *key = calloc(1, sizeof(*key) + strlen(name) + 1);
	bool there;

	if (key == NULL)
		return true; /* no error that is none */
	key->kind = CONFIG_KIND_CLIENT;
	memcpy(key->name, name, strlen(name) + 1);
	there = tfind(key, &r->names, config_name_compare) != NULL;
	free(key);
	return there;
}

static void config_name_free(void *node)
{
	struct config_name *name = node;

	free(name->file);
	free(name);
}

/* ---- Texts ----------------------------------------------------------------------------------- */

struct config_text_user {
	struct config_reader *reader;
	struct config_section *section;
};

static void config_on_section(void *user, unsigned line, const char *text)
{
	struct config_text_user *u = user;

	config_section_begin(u->reader, u->section, line, text);
}

static void config_on_key(void *user, unsigned line, const char *key, const char *value)
{
	struct config_text_user *u = user;

	config_section_key(u->reader, u->section, line, key, value);
}

static void config_on_error(void *user, unsigned line, unsigned column, const char *message)
{
	struct config_text_user *u = user;

	config_reader_wrong(u->reader, line, column, NULL, "%s", message);
}

static void config_read_text(struct config_reader *r, const char *text, size_t bytes)
{
	static const struct config_ini_ops ops = {
		.on_section = config_on_section,
		.on_key = config_on_key,
		.on_error = config_on_error,
	};
	struct config_section *section = calloc(1, sizeof(*section)); /* 2 KiB, and files nest */
	struct config_text_user user = {r, section};
	int rv;

	if (section == NULL) {
		r->nomem = true;
		return;
	}
	config_section_init(section);
	rv = config_ini_parse(text, bytes, &ops, &user);
	if (rv == RSTUN_E_TOO_LARGE)
		config_reader_wrong(r, 0, 0, NULL, "it has more than %d bytes, which is the most",
				    CONFIG_INI_BYTES_MAX);
	else if (rv != 0)
		r->nomem = true;
	config_section_end(r, section);
	free(section);
}

/* ---- Files ----------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void
config_file_wrong(struct config_reader *r, int error, const char *format, ...)
{
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	config_diagnostics_add(r->diags, error, r->file, 0, 0, NULL, "%s", message);
}

/* The whole file, malloc'ed with a NUL behind it. False: an error was told. */
static bool config_file_slurp(struct config_reader *r, int fd, char **ret, size_t *ret_bytes)
{
	size_t used = 0, room = CONFIG_INI_BYTES_MAX + 2;
	char *text = malloc(room); /* pages that nobody writes to cost nothing */

	if (text == NULL) {
		r->nomem = true;
		return false;
	}
	while (used < room - 1) {
		ssize_t n = read(fd, text + used, room - 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			config_file_wrong(r, rstun_error_from_errno(errno), "it cannot be read: %s",
					  strerror(errno));
			secret_wipe(text, used);
			free(text);
			return false;
		}
		if (n == 0)
			break;
		used += (size_t)n;
	}
	text[used] = '\0';
	*ret = text;
	*ret_bytes = used;
	return true;
}

/* Who could read or change it. */
static void config_file_check_rights(struct config_reader *r, const struct stat *st)
{
	char word[256];
	/* root alone can give a file to a group that root is not in, so it means that group. */
	mode_t allowed = st->st_uid == 0 ? S_IRWXU | S_IRGRP : S_IRWXU;

	password_shell_word(word, sizeof(word), r->file);
	if ((st->st_mode & S_IWOTH) != 0) {
		config_file_wrong(r, RSTUN_E_FILE_PERMISSIONS,
				  "everybody can change it (mode %04o), and so what the daemon "
				  "does; "
				  "run: chmod %s %s", (unsigned)(st->st_mode & 07777),
				  r->has_secret ? "600" : "o-w", word);
		return;
	}
	if (!r->has_secret)
		return;
	if (st->st_uid != geteuid() && st->st_uid != 0)
		config_file_wrong(r, RSTUN_E_FILE_PERMISSIONS,
				  "there is a password in it, and it belongs to another user (uid "
				  "%ld), who could read or change it; run: chown %ld %s",
				  (long)st->st_uid, (long)geteuid(), word);
	else if ((st->st_mode & (S_IRWXG | S_IRWXO) & ~allowed) != 0)
		config_file_wrong(r, RSTUN_E_FILE_PERMISSIONS,
				  "there is a password in it, and it is open to other users (mode "
				  "%04o); run: chmod 600 "
				  "%s", (unsigned)(st->st_mode & 07777), word);
}

static void config_file_read_open(struct config_reader *r, int fd)
{
	struct stat st;
	size_t bytes;
	char *text;

	if (fstat(fd, &st) != 0) {
		config_file_wrong(r, rstun_error_from_errno(errno), "it cannot be read: %s",
				  strerror(errno));
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		config_file_wrong(r, RSTUN_E_CONFIG_INVALID, "it is %s: name a file",
				  S_ISDIR(st.st_mode) ? "a directory" : "no regular file");
		return;
	}
	if (!config_file_slurp(r, fd, &text, &bytes))
		return;
	config_read_text(r, text, bytes);
	secret_wipe(text, bytes);
	free(text);
	config_file_check_rights(r, &st);
}

/* Reads a file; what is read before goes on afterwards. */
static void config_file_read(struct config_reader *r, const char *path)
{
	const char *file_before = r->file;
	bool secret_before = r->has_secret;
	int fd;

	r->file = path;
	r->has_secret = false;
	r->files++;
	/* Without O_NONBLOCK a pipe put in the file's place could hold the start up. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		config_file_wrong(r, rstun_error_from_errno(errno), "it cannot be read: %s",
				  strerror(errno));
	} else {
		config_file_read_open(r, fd);
		close(fd);
	}
	r->file = file_before;
	r->has_secret = secret_before;
}

/* The pattern from where the process is; of the directory before it nothing is a pattern. */
static char *config_include_pattern(const struct config_reader *r, const char *pattern)
{
	const char *slash = pattern[0] != '/' ? strrchr(r->file, '/') : NULL;
	size_t directory = slash != NULL ? (size_t)(slash - r->file) + 1 : 0, used = 0;
	char *full = malloc(2 * directory + strlen(pattern) + 1);

	if (full == NULL)
		return NULL;
	for (size_t i = 0; i < directory; i++) {
		if (strchr("*?[\\", r->file[i]) != NULL)
			full[used++] = '\\';
		full[used++] = r->file[i];
	}
	memcpy(full + used, pattern, strlen(pattern) + 1);
	return full;
}

/* A directory that is not there has no files; one that may not be read is an error. */
static int config_include_error(const char *path, int err)
{
	(void)path;
	return err != ENOENT && err != ENOTDIR;
}

void config_file_include(struct config_reader *r, unsigned line, const char *pattern)
{
	char *full, quoted[161];
	glob_t found;
	int rc;

	if (r->text_only) {
		config_diagnostics_add(r->diags, 0, r->file, line, 0, "include",
				       "included files are not looked at here");
		return;
	}
	log_quote(quoted, sizeof(quoted), pattern, strlen(pattern));
	if (r->depth + 1 >= CONFIG_FILE_DEPTH_MAX) {
		config_reader_wrong(r, line, 0, "include", "%d files include one another, which "
							   "is the "
							   "most: does a file include itself?",
				    CONFIG_FILE_DEPTH_MAX);
		return;
	}
	full = config_include_pattern(r, pattern);
	if (full == NULL) {
		r->nomem = true;
		return;
	}
	rc = glob(full, 0, config_include_error, &found);
	if (rc == GLOB_NOSPACE)
		r->nomem = true;
	else if (rc == GLOB_ABORTED)
		config_reader_wrong(r, line, 0, "include", "%s: a directory cannot be "
							   "read", quoted);
	else if (rc == GLOB_NOMATCH && pattern[strcspn(pattern, "*?[")] == '\0')
		config_reader_wrong(r, line, 0, "include", "%s: there is no such file", quoted);
	r->depth++;
	for (size_t i = 0; rc == 0 && i < found.gl_pathc && !r->nomem; i++) {
		if (r->files >= CONFIG_FILE_COUNT_MAX) {
			config_reader_wrong(r, line, 0, "include",
					    "there are more than %d files: does a file include "
					    "itself?", CONFIG_FILE_COUNT_MAX);
			break;
		}
		config_file_read(r, found.gl_pathv[i]);
	}
	r->depth--;
	if (rc == 0 || rc == GLOB_ABORTED)
		globfree(&found);
	free(full);
}

/* ---- The interface --------------------------------------------------------------------------- */

/* The checks of the whole, and who gets what. */
static int config_reader_finish(struct config_reader *r, struct config_set *ret)
{
	int rv;

	if (!r->nomem)
		config_mapping_check_all(r);
	tdestroy(r->names, config_name_free);
	if (r->nomem)
		rv = RSTUN_E_NOMEM;
	else if (r->diags->error_count > 0)
		rv = r->diags->errors[0].error;
	else
		rv = r->diags->more > 0 ? RSTUN_E_CONFIG_INVALID : 0;
	if (rv == 0)
		*ret = *r->set;
	else
		config_set_free(r->set);
	return rv;
}

int config_file_load(struct config_set *ret, const char *path,
		     const struct password_process *process, struct config_diagnostics *diags)
{
	struct config_set set;
	struct config_reader r = {
		.set = &set,
		.diags = diags,
		.process = process != NULL ? process : &password_process_default,
	};

	config_diagnostics_init(diags);
	if (config_set_init(&set) != 0)
		return RSTUN_E_NOMEM;
	config_file_read(&r, path);
	return config_reader_finish(&r, ret);
}

int config_file_parse_text(struct config_set *ret, const char *text, size_t bytes,
			   struct config_diagnostics *diags)
{
	struct config_set set;
	struct config_reader r = {.set = &set, .diags = diags, .text_only = true};

	config_diagnostics_init(diags);
	if (config_set_init(&set) != 0)
		return RSTUN_E_NOMEM;
	config_read_text(&r, text, bytes);
	return config_reader_finish(&r, ret);
}
