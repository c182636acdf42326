/* SPDX-License-Identifier: MIT */
/*
 * The end of a section [client NAME] or [server NAME]: where its password comes from, whether its
 * files are there, the checks that the command line makes too, and its place in the set.
 */
#include "rstund/config_file_private.h"

#include "base/error.h"
#include "base/log.h"
#include "rstund/password.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct config_warn_to {
	struct config_reader *reader;
	struct config_section *section;
};

static void config_role_warn(void *user, const char *text)
{
	struct config_warn_to *to = user;
	char *plain = strdup(text), *colon;
	const char *key = NULL;
	unsigned line = to->section->line;

	if (plain == NULL)
		return;
	config_plain(plain);
	text = plain;
	colon = strstr(plain, ": ");
	if (colon != NULL) {
		const struct field *row;

		*colon = '\0';
		row = field_find(to->section->rows, to->section->count, plain);
		if (row != NULL) {
			key = row->name;
			text = colon + 2;
			if (to->section->lines[row - to->section->rows] != 0)
				line = to->section->lines[row - to->section->rows];
		} else {
			*colon = ':';
		}
	}
	config_diagnostics_add(to->reader->diags, 0, to->reader->file, line, 0, key, "%s", text);
	free(plain);
}

/* The secret `key` from the file of KEY-file. *secret stays NULL when there is none, or was an
 * error. False: there is nothing more to look for. */
static bool config_role_secret(struct config_reader *r, struct config_section *s, const char *key,
			       char **secret, const char *file)
{
	char error[PASSWORD_ERROR_SIZE] = "", option[32], *plain;
	int rv;

	if (*secret != NULL && file != NULL) {
		config_reader_wrong(r, s->line, 0, NULL,
				    "%s: %s and %s-file are both given: give one of them", s->label,
				    key, key);
		s->wrong = true;
	}
	if (*secret != NULL || file == NULL || r->text_only)
		return *secret == NULL;
	snprintf(option, sizeof(option), "%s-file", key);
	rv = password_from_file(secret, option, file, r->process, error);
	if (rv == 0)
		return false;
	r->nomem = r->nomem || rv == RSTUN_E_NOMEM;
	s->wrong = true;
	plain = config_plain(error);
	/* The option stands before it already. */
	if (strncmp(plain, option, strlen(option)) == 0)
		plain += strlen(option) + strlen(": ");
	config_diagnostics_add(r->diags, rv, r->file, s->line, 0, option, "%s", plain);
	return false;
}

/* From a file or a credential. *password stays NULL when there is none, or was an error. */
static void config_role_password(struct config_reader *r, struct config_section *s,
				    char **password, const char *file)
{
	char error[PASSWORD_ERROR_SIZE] = "", credential[CONFIG_NAME_MAX + 16];
	int rv = 0;

	if (!config_role_secret(r, s, "password", password, file))
		return;
	if (r->text_only) {
		if (file == NULL)
			config_diagnostics_add(r->diags, 0, r->file, s->line, 0, NULL,
					       "%s has no password: a systemd credential must give "
					       "it", s->label);
		return;
	}
	snprintf(credential, sizeof(credential), "%s.password", s->name != NULL ? s->name : "");
	if (s->name != NULL)
		rv = password_from_credential(password, credential, error);
	if (rv == 0 && *password == NULL)
		rv = password_from_credential(password, PASSWORD_CREDENTIAL, error);
	if (rv == 0 && *password == NULL)
		config_reader_wrong(r, s->line, 0, NULL, "%s: a password is needed: write "
				    "password-file = FILE or password = TEXT, or give the systemd "
				    "credential \"%s\"", s->label,
				    s->name != NULL ? credential : PASSWORD_CREDENTIAL);
	else if (rv == RSTUN_E_NOMEM)
		r->nomem = true;
	else if (rv != 0)
		config_diagnostics_add(r->diags, rv, r->file, s->line, 0, NULL, "%s",
				       config_plain(error));
	s->wrong = s->wrong || *password == NULL;
}

/* A file that the role will read: said now rather than when the role starts. */
static void config_role_look(struct config_reader *r, struct config_section *s, const char *key,
				const char *path)
{
	char quoted[320];
	const struct field *row = field_find(s->rows, s->count, key);
	int err;

	if (path == NULL || r->text_only || row == NULL || access(path, R_OK) == 0)
		return;
	err = errno;
	log_quote(quoted, sizeof(quoted), path, strlen(path));
	config_diagnostics_add(r->diags, rstun_error_from_errno(err), r->file,
			       s->lines[row - s->rows], 0, key, "%s: %s", quoted, strerror(err));
	s->wrong = true;
}

/* The check of a role, with a password that is none where it is not known here. */
static void config_role_check(struct config_reader *r, struct config_section *s,
				 char **password)
{
	struct config_warn_to to = {.reader = r, .section = s};
	char error[FIELD_ERROR_SIZE];
	bool unknown = *password == NULL;
	int rv;

	if (unknown)
		*password = strdup("?");
	rv = s->kind == CONFIG_KIND_CLIENT
		     ? client_config_check(&s->client, config_role_warn, &to, error)
		     : server_config_check(&s->server, config_role_warn, &to, error);
	if (rv == RSTUN_E_NOMEM)
		r->nomem = true;
	else if (rv != 0)
		config_section_wrong(r, s, 0, error);
	if (!unknown)
		return;
	password_free(*password);
	*password = NULL;
}

void config_role_end_client(struct config_reader *r, struct config_section *s)
{
	struct config_client *c;

	if (!s->wrong) {
		config_role_password(r, s, &s->client.password, s->client.password_file);
		config_role_secret(r, s, "proxy-auth", &s->client.proxy_auth,
				   s->client.proxy_auth_file);
		config_role_look(r, s, "cert", s->client.cert_file);
		config_mapping_take_lists(r, s);
		s->client.mappings_optional = true;
		config_role_check(r, s, &s->client.password);
	}
	c = s->name == NULL ? NULL : config_reader_grow(r, r->set->clients, r->set->client_count,
						       sizeof(*c));
	if (c == NULL) {
		client_config_free(&s->client);
		return;
	}
	r->set->clients = c;
	c += r->set->client_count++;
	c->name = s->name;
	c->origin = (struct config_origin){r->file != NULL ? strdup(r->file) : NULL, s->line};
	c->config = s->client;
	s->name = NULL;
}

void config_role_end_server(struct config_reader *r, struct config_section *s)
{
	struct config_server *c;

	if (!s->wrong) {
		config_role_password(r, s, &s->server.password, s->server.password_file);
		config_role_look(r, s, "cert", s->server.cert_file);
		config_role_look(r, s, "key", s->server.key_file);
		config_role_check(r, s, &s->server.password);
	}
	c = s->name == NULL ? NULL : config_reader_grow(r, r->set->servers, r->set->server_count,
						       sizeof(*c));
	if (c == NULL) {
		server_config_free(&s->server);
		return;
	}
	r->set->servers = c;
	c += r->set->server_count++;
	c->name = s->name;
	c->origin = (struct config_origin){r->file != NULL ? strdup(r->file) : NULL, s->line};
	c->config = s->server;
	s->name = NULL;
}
