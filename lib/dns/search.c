/* SPDX-License-Identifier: MIT */
/*
 * The search list of resolv.conf(5): the last "search" or "domain" line counts, else the domain of
 * the host name; names with at least ndots dots are tried as they are first, others last.
 */
#include "dns/search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLANKS " \t\r\n"
#define NDOTS_MAX 15

struct search_config {
	unsigned ndots;
	size_t count;
	char domains[SEARCH_DOMAINS_MAX][ADDRESS_NAME_MAX + 1];
};

static void add_domain(struct search_config *c, const char *domain)
{
	size_t length = strlen(domain);

	if (length > 0 && domain[length - 1] == '.')
		length--;
	if (length == 0 || length > ADDRESS_NAME_MAX || c->count == SEARCH_DOMAINS_MAX)
		return;
	memcpy(c->domains[c->count], domain, length);
	c->domains[c->count++][length] = '\0';
}

static void read_line(struct search_config *c, char *line)
{
	char *save = NULL, *key = strtok_r(line, BLANKS, &save), *word;

	if (!key)
		return;
	if (!strcmp(key, "search") || !strcmp(key, "domain")) {
		c->count = 0;
		while ((word = strtok_r(NULL, BLANKS, &save)))
			if (word[0] != '#' && word[0] != ';')
				add_domain(c, word);
			else
				break;
	} else if (!strcmp(key, "options")) {
		while ((word = strtok_r(NULL, BLANKS, &save)))
			if (!strncmp(word, "ndots:", 6)) {
				unsigned long n = strtoul(word + 6, NULL, 10);

				c->ndots = n > NDOTS_MAX ? NDOTS_MAX : (unsigned)n;
			}
	}
}

static void read_config(struct search_config *c, const char *path)
{
	FILE *file = fopen(path, "re");
	char host[256] = "";
	char *line = NULL, *dot;
	size_t size = 0;

	*c = (struct search_config){.ndots = 1};
	if (gethostname(host, sizeof(host) - 1) == 0 && (dot = strchr(host, '.')))
		add_domain(c, dot + 1);
	if (!file)
		return;
	while (getline(&line, &size, file) >= 0)
		read_line(c, line);
	free(line);
	fclose(file);
}

static void add_name(struct search_list *list, const char *name, size_t bytes, const char *domain)
{
	int n = snprintf(list->names[list->count], sizeof(list->names[0]), "%.*s%s%s", (int)bytes,
			 name, domain ? "." : "", domain ? domain : "");

	if (n > 0 && (size_t)n < sizeof(list->names[0]))
		list->count++;
}

static size_t length_without_dot(const char *name)
{
	size_t bytes = strlen(name);

	return bytes > 1 && name[bytes - 1] == '.' ? bytes - 1 : bytes;
}

void search_list_single(struct search_list *ret, const char *name)
{
	ret->count = 0;
	add_name(ret, name, length_without_dot(name), NULL);
}

void search_list_system(struct search_list *ret, const char *resolv_conf, const char *name)
{
	size_t bytes = length_without_dot(name);
	struct search_config c;
	unsigned dots = 0;

	if (name[bytes] == '.') {
		search_list_single(ret, name);
		return;
	}
	for (size_t i = 0; i < bytes; i++)
		dots += name[i] == '.';
	read_config(&c, resolv_conf);
	ret->count = 0;
	if (dots >= c.ndots)
		add_name(ret, name, bytes, NULL);
	for (size_t i = 0; i < c.count; i++)
		add_name(ret, name, bytes, c.domains[i]);
	if (dots < c.ndots)
		add_name(ret, name, bytes, NULL);
}
