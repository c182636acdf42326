/* SPDX-License-Identifier: MIT */
/*
 * completion: what the three scripts have in common. Each has its own file.
 */
#include "rstunctl/completion.h"

#include "rpc/api_types.h"
#include "rstunctl/commands.h"

#include <string.h>

const char *const completion_shells[] = {"bash", "zsh", "fish", NULL};

enum completion_value completion_of_option(const struct command_option *o)
{
	static const struct {
		const char *name;
		enum completion_value value;
	} names[] = {
		{"client", COMPLETION_CLIENTS},	 {"mapping", COMPLETION_MAPPINGS},
		{"server", COMPLETION_SERVERS},	 {"session", COMPLETION_SESSIONS},
		{"socket", COMPLETION_FILES},	 {"write", COMPLETION_FILES},
	};

	if (o->row->choices != NULL)
		return COMPLETION_CHOICES;
	if (o->content != NULL && !o->from_stdin)
		return COMPLETION_FILES;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(o->name, names[i].name) == 0)
			return names[i].value;
	return COMPLETION_NONE;
}

const char *const *completion_word_choices(const struct command *command)
{
	static const char *const modes[] = {"in", "out", NULL};

	switch (command->words) {
	case COMMAND_SHELL:
		return completion_shells;
	case COMMAND_LEVEL:
		return rpc_level_names;
	case COMMAND_SPECS:
		return modes;
	default:
		return NULL;
	}
}

enum completion_value completion_of_words(const struct command *command)
{
	switch (command->words) {
	case COMMAND_MAPPINGS:
		return COMPLETION_MAPPINGS;
	case COMMAND_CLIENTS:
		return COMPLETION_CLIENTS;
	case COMMAND_SERVERS:
		return COMPLETION_SERVERS;
	case COMMAND_SESSIONS:
		return COMPLETION_SESSIONS;
	case COMMAND_FILE:
		return COMPLETION_FILES;
	case COMMAND_METHOD:
		return COMPLETION_METHODS;
	case COMMAND_COMMAND:
		return COMPLETION_COMMANDS;
	case COMMAND_SHELL:
	case COMMAND_LEVEL:
	case COMMAND_SPECS:
		return COMPLETION_CHOICES;
	case COMMAND_NOTHING:
	case COMMAND_OTHER:
		break;
	}
	return COMPLETION_NONE;
}

const char *completion_kind(enum completion_value value)
{
	static const char *const kinds[] = {
		[COMPLETION_NONE] = "",		    [COMPLETION_CHOICES] = "",
		[COMPLETION_FILES] = "files",	    [COMPLETION_MAPPINGS] = "mappings",
		[COMPLETION_CLIENTS] = "clients",   [COMPLETION_SERVERS] = "servers",
		[COMPLETION_SESSIONS] = "sessions", [COMPLETION_METHODS] = "methods",
		[COMPLETION_COMMANDS] = "commands",
	};

	return kinds[value];
}

void completion_choices(FILE *to, const char *const *choices)
{
	for (size_t i = 0; choices[i] != NULL; i++)
		fprintf(to, "%s%s", i > 0 ? " " : "", choices[i]);
}

void completion_quote(FILE *to, const char *text, bool fish)
{
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			fputs(fish ? "\\'" : "'\\''", to);
		else if (*text == '\\' && fish)
			fputs("\\\\", to);
		else
			fputc(*text, to);
	}
}

/* True for the first row whose name begins with that word. */
static bool completion_first_of(size_t i, char word[32])
{
	size_t bytes = strcspn(commands[i].name, " ");

	snprintf(word, 32, "%.*s", (int)bytes, commands[i].name);
	for (size_t j = 0; j < i; j++)
		if (strncmp(commands[j].name, word, bytes) == 0 &&
		    (commands[j].name[bytes] == ' ' || commands[j].name[bytes] == '\0'))
			return false;
	return true;
}

void completion_groups(FILE *to, const char *between)
{
	bool first = true;
	char word[32];

	for (size_t i = 0; i < command_count; i++) {
		if (!completion_first_of(i, word) || !command_is_group(word))
			continue;
		fprintf(to, "%s%s", first ? "" : between, word);
		first = false;
	}
}

void completion_global_values(FILE *to, const char *between)
{
	bool first = true;

	for (size_t i = 0; i < ctl_rows.count; i++) {
		if (ctl_rows.rows[i].type == FIELD_BOOL)
			continue;
		fprintf(to, "%s--%s", first ? "" : between, ctl_rows.rows[i].name);
		first = false;
		if (ctl_rows.rows[i].short_name != 0)
			fprintf(to, "%s-%c", between, ctl_rows.rows[i].short_name);
	}
}

void completion_first_words(void (*visit)(FILE *to, const char *word, const char *help), FILE *to)
{
	char word[32], text[96];

	for (size_t i = 0; i < command_count; i++) {
		const struct command *command;

		if (!completion_first_of(i, word))
			continue;
		command = command_find(word);
		snprintf(text, sizeof(text), "Sub-commands about %ss.", word);
		visit(to, word, command != NULL ? command->help
				: strcmp(word, "config") == 0
					? "Sub-commands about the configuration."
					: text);
	}
}

bool completion_write(FILE *to, const char *shell)
{
	if (strcmp(shell, "bash") == 0)
		completion_bash(to);
	else if (strcmp(shell, "zsh") == 0)
		completion_zsh(to);
	else if (strcmp(shell, "fish") == 0)
		completion_fish(to);
	else
		return false;
	return true;
}

int completion_command(struct ctl *c, struct command_input *in)
{
	char quoted[64];

	if (completion_write(c->out, in->args[0]))
		return 0;
	return ctl_usage(c, "there is no completion for \"%s\": bash, zsh or fish",
			 output_clean(quoted, sizeof(quoted), in->args[0]));
}
