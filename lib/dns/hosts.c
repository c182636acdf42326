/* SPDX-License-Identifier: MIT */
/*
 * The hosts file. c-ares has a reader too, but its path cannot be given before version 1.19, and it
 * takes part in the search list; this one behaves alike with every version.
 */
#include "dns/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BLANKS " \t\r\n\f\v"

static size_t name_length(const char *name)
{
	size_t length = strlen(name);

	return length > 1 && name[length - 1] == '.' ? length - 1 : length;
}

size_t hosts_lookup(const char *path, const char *name, struct address *ret, size_t max)
{
	size_t wanted = name_length(name), count = 0, size = 0;
	FILE *file = fopen(path, "re");
	char *line = NULL;

	if (!file)
		return 0;
	while (count < max && getline(&line, &size, file) >= 0) {
		char *save = NULL, *ip, *word;
		struct address address;

		line[strcspn(line, "#")] = '\0';
		ip = strtok_r(line, BLANKS, &save);
		while (ip && (word = strtok_r(NULL, BLANKS, &save))) {
			if (name_length(word) != wanted || strncasecmp(word, name, wanted) != 0)
				continue;
			if (address_parse_ip(&address, ip, strlen(ip), 0) == 0)
				ret[count++] = address;
			break;
		}
	}
	free(line);
	fclose(file);
	return count;
}

bool hosts_is_localhost(const char *name)
{
	static const char localhost[] = "localhost";
	size_t length = name_length(name), wanted = sizeof(localhost) - 1;

	if (length < wanted || strncasecmp(name + length - wanted, localhost, wanted) != 0)
		return false;
	return length == wanted || name[length - wanted - 1] == '.';
}

size_t hosts_localhost(struct address *ret)
{
	address_parse_ip(&ret[0], "::1", 3, 0);
	address_parse_ip(&ret[1], "127.0.0.1", 9, 0);
	return 2;
}
