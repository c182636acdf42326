/* SPDX-License-Identifier: MIT */
/*
 * Between config_file.c (files and includes), config_section.c (keys of a section) and
 * config_mapping.c (mappings, and the checks of the whole).
 */
#pragma once

#include "rstund/config_file.h"

#define CONFIG_SECTION_ROWS_MAX 64
#define CONFIG_LABEL_SIZE 200

/* One configuration while it is read. */
struct config_reader {
	struct config_set *set;
	struct config_diagnostics *diags;
	const struct password_process *process;
	bool text_only;      /* files are neither read nor looked for */
	const char *file;    /* that is read now; NULL: a text without a name */
	bool has_secret;     /* a password stands in it */
	unsigned depth;      /* files that wait for it */
	unsigned files;      /* read so far */
	void *names;         /* of sections: struct config_name, by tsearch */
	bool nomem;
};


enum config_kind {
	CONFIG_KIND_NONE, /* before the first section of a file */
	CONFIG_KIND_DAEMON,
	CONFIG_KIND_CLIENT,
	CONFIG_KIND_SERVER,
	CONFIG_KIND_MAPPING,
	CONFIG_KIND_SKIP, /* an unknown one: its keys are not looked at */
};

/* A section that was there. */
struct config_name {
	enum config_kind kind;
	unsigned line;
	char *file; /* NULL: as in config_origin */
	char name[];
};

/* What [mapping NAME] says. */
struct config_mapping_keys {
	char *spec;
	int mode; /* -1 = not given */
	char *local, *remote;
	int proto;
	char *client;
	uint64_t expires_ms;
	bool paused;
};

/* The section of a file that is read now. */
struct config_section {
	enum config_kind kind;
	char *name;                    /* NULL: [daemon], or not usable */
	char label[CONFIG_LABEL_SIZE]; /* "[client home]" */
	unsigned line;
	const struct field *rows;
	size_t count;
	void *config;
	bool wrong;                    /* something was refused: the whole is not checked */
	unsigned lines[CONFIG_SECTION_ROWS_MAX]; /* where a row was given last; 0 = not */
	char *texts[CONFIG_SECTION_ROWS_MAX];    /* what rows that add up were given so far */
	struct client_config client;
	struct server_config server;
	struct config_mapping_keys mapping;
};

/* An error of the file that is read. key may be NULL. */
__attribute__((format(printf, 5, 6))) void config_reader_wrong(struct config_reader *r,
							       unsigned line, unsigned column,
							       const char *key, const char *format,
							       ...);

/* Grows an array by a zeroed element, NULL without memory (then r->nomem is set). */
void *config_reader_grow(struct config_reader *r, void *array, size_t count, size_t size);

/* Remembers the name of a section: NULL, or where the name stands already. */
const struct config_name *config_reader_name(struct config_reader *r, enum config_kind kind,
					     const char *name, unsigned line);
bool config_reader_has_client(const struct config_reader *r, const char *name);

/* A path of the file, as seen from where the process is. malloc'ed; NULL without memory. */
char *config_reader_path(struct config_reader *r, const char *path);

void config_section_init(struct config_section *s); /* before the first section */
/* Ends the section before, and begins the one with this heading. */
void config_section_begin(struct config_reader *r, struct config_section *s, unsigned line,
			  const char *heading);
void config_section_key(struct config_reader *r, struct config_section *s, unsigned line,
			const char *key, const char *value);
/* Checks it as a whole and adds what it describes to r->set. */
void config_section_end(struct config_reader *r, struct config_section *s);

/* The same with a message of a row or a check, "--key: what" or only "what" (it is changed).
 * `line`: where; 0 = where the key stands, or the section. */
void config_section_wrong(struct config_reader *r, struct config_section *s, unsigned line,
			  char *message);

/* Ends of the sections of roles. */
void config_role_end_client(struct config_reader *r, struct config_section *s);
void config_role_end_server(struct config_reader *r, struct config_section *s);

/* Reads the files that `pattern` names. */
void config_file_include(struct config_reader *r, unsigned line, const char *pattern);

/* "--x: y" of the rows' messages in the words of the file. Returns text. */
char *config_plain(char *text);

/* ---- Mappings -------------------------------------------------------------------------------- */

void config_mapping_end(struct config_reader *r, struct config_section *s);
/* The lists of a client, which then has none. */
void config_mapping_take_lists(struct config_reader *r, struct config_section *s);
/* What concerns several sections; after all files. */
void config_mapping_check_all(struct config_reader *r);
