/* SPDX-License-Identifier: MIT */
/*
 * The completion script of fish: a line per sub-command and option, with its help.
 */
#include "rstunctl/completion.h"

#include <string.h>

static void completion_fish_help(FILE *to, const char *help)
{
	const char *end = strstr(help, ". ");
	char text[256];

	/* The first sentence, without its full stop. */
	snprintf(text, sizeof(text), "%.*s", end != NULL ? (int)(end - help) : (int)strlen(help),
		 help);
	if (text[0] != '\0' && text[strlen(text) - 1] == '.')
		text[strlen(text) - 1] = '\0';
	fprintf(to, " -d '");
	completion_quote(to, text, true);
	fprintf(to, "'");
}

static void completion_fish_value(FILE *to, enum completion_value value, const char *const *choices)
{
	switch (value) {
	case COMPLETION_NONE:
	case COMPLETION_FILES:
		break;
	case COMPLETION_CHOICES:
		fprintf(to, " -a '");
		completion_choices(to, choices);
		fprintf(to, "'");
		break;
	default:
		fprintf(to, " -a '(__rstunctl_words %s)'", completion_kind(value));
		break;
	}
}

static void completion_fish_option(FILE *to, const struct command *command,
				   const struct command_option *o)
{
	enum completion_value value = completion_of_option(o);

	fprintf(to, "complete -c rstunctl");
	if (!o->global)
		fprintf(to, " -n '__rstunctl_is \"%s\"'", command->name);
	fprintf(to, " -l %s", o->name);
	if (o->row->short_name != 0 && o->content == NULL)
		fprintf(to, " -s %c", o->row->short_name);
	if (o->row->type != FIELD_BOOL)
		fprintf(to, value == COMPLETION_FILES ? " -r -F" : " -x");
	completion_fish_value(to, value, o->row->choices);
	completion_fish_help(to, o->row->help);
	fputc('\n', to);
}

static void completion_fish_command(FILE *to, const struct command *command)
{
	struct command_option options[COMMAND_OPTIONS_MAX];
	size_t count = command_options(options, command);
	enum completion_value value = completion_of_words(command);
	const char *space = strchr(command->name, ' ');

	if (space != NULL) {
		fprintf(to, "complete -c rstunctl -n '__rstunctl_is \"%.*s\"' -a %s",
			(int)(space - command->name), command->name, space + 1);
		completion_fish_help(to, command->help);
		fputc('\n', to);
	}
	if (value == COMPLETION_FILES)
		fprintf(to, "complete -c rstunctl -n '__rstunctl_is \"%s\"' -F\n", command->name);
	else if (value != COMPLETION_NONE) {
		fprintf(to, "complete -c rstunctl -n '__rstunctl_is \"%s\"'", command->name);
		completion_fish_value(to, value, completion_word_choices(command));
		fputc('\n', to);
	}
	for (size_t i = 0; i < count; i++)
		if (!options[i].global)
			completion_fish_option(to, command, &options[i]);
}

static void completion_fish_word(FILE *to, const char *word, const char *help)
{
	fprintf(to, "complete -c rstunctl -n '__rstunctl_is \"\"' -a %s", word);
	completion_fish_help(to, help);
	fputc('\n', to);
}

static void completion_fish_name(FILE *to, const char *word, const char *help)
{
	(void)help;
	fprintf(to, " %s", word);
}

static void completion_fish_functions(FILE *to)
{
	fprintf(to, "# Completion of rstunctl for fish: rstunctl completion fish | source\n"
		    "function __rstunctl_command\n"
		    "\tset -l given (commandline -opc)\n"
		    "\tset -l command ''\n"
		    "\tset -l skip 0\n"
		    "\tfor word in $given[2..-1]\n"
		    "\t\tif test $skip = 1\n"
		    "\t\t\tset skip 0\n"
		    "\t\t\tcontinue\n"
		    "\t\tend\n"
		    "\t\tif contains -- \"$word\" ");
	completion_global_values(to, " ");
	fprintf(to, "\n"
		    "\t\t\tset skip 1\n"
		    "\t\telse if string match -q -- '-*' \"$word\"\n"
		    "\t\t\tcontinue\n"
		    "\t\telse if test -z \"$command\"\n"
		    "\t\t\tset command \"$word\"\n"
		    "\t\telse if contains -- \"$command\" ");
	completion_groups(to, " ");
	fprintf(to, "\n"
		    "\t\t\tset command \"$command $word\"\n"
		    "\t\tend\n"
		    "\tend\n"
		    "\techo \"$command\"\n"
		    "end\n"
		    "function __rstunctl_is\n"
		    "\tset -l command (__rstunctl_command)\n"
		    "\ttest \"$command\" = \"$argv[1]\"\n"
		    "end\n"
		    "function __rstunctl_words\n"
		    "\tset -l socket\n"
		    "\tset -l given (commandline -opc)\n"
		    "\tif set -l i (contains -i -- --socket $given)\n"
		    "\t\tset socket --socket $given[(math $i + 1)]\n"
		    "\tend\n"
		    "\tswitch $argv[1]\n"
		    "\tcase mappings\n"
		    "\t\tcommand rstunctl $socket -q -o tsv list 2>/dev/null |\n"
		    "\t\t\tcut -f1,2 | tr '\\t' '\\n'\n"
		    "\tcase clients\n"
		    "\t\tcommand rstunctl $socket -q -o tsv client list 2>/dev/null |\n"
		    "\t\t\tcut -f1,2 | tr '\\t' '\\n'\n"
		    "\tcase servers\n"
		    "\t\tcommand rstunctl $socket -q -o tsv server list 2>/dev/null |\n"
		    "\t\t\tcut -f1,2 | tr '\\t' '\\n'\n"
		    "\tcase sessions\n"
		    "\t\tcommand rstunctl $socket -q -o tsv session list 2>/dev/null | cut -f1\n"
		    "\tcase methods\n"
		    "\t\tprintf '%%s\\n'");
	for (int i = 0; i < RPC_METHOD_COUNT; i++)
		fprintf(to, " %s", rpc_methods[i].name);
	fprintf(to, "\n\tcase commands\n\t\tprintf '%%s\\n'");
	completion_first_words(completion_fish_name, to);
	fprintf(to, "\n\tend | string match -r '.+'\nend\n");
}

void completion_fish(FILE *to)
{
	struct command_option options[COMMAND_OPTIONS_MAX];
	size_t count = command_options(options, NULL);

	completion_fish_functions(to);
	fprintf(to, "complete -c rstunctl -f\n");
	for (size_t i = 0; i < count; i++)
		completion_fish_option(to, NULL, &options[i]);
	completion_first_words(completion_fish_word, to);
	for (size_t i = 0; i < command_count; i++)
		completion_fish_command(to, &commands[i]);
}
