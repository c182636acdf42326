/* SPDX-License-Identifier: MIT */
/*
 * The completion scripts of bash and zsh, which are alike but for how words are counted and given
 * back. Every pattern and every expansion is quoted, so zsh's extendedglob changes nothing.
 */
#include "rstunctl/completion.h"

#include <string.h>

/* case "$command:$previous" in ... : what the value of an option can be. */
static void completion_option_values(FILE *to, const struct command *command)
{
	struct command_option options[COMMAND_OPTIONS_MAX];
	size_t count = command_options(options, command);

	for (size_t i = 0; i < count; i++) {
		const struct command_option *o = &options[i];
		enum completion_value value = completion_of_option(o);

		if (o->row->type == FIELD_BOOL || (command == NULL) != o->global)
			continue;
		fprintf(to, "\t'%s:--%s'", o->global ? "*" : command->name, o->name);
		if (o->row->short_name != 0 && o->content == NULL)
			fprintf(to, "|'%s:-%c'", o->global ? "*" : command->name,
				o->row->short_name);
		fprintf(to, ") kind=%s choices='", value == COMPLETION_NONE ? "nothing"
						 : value == COMPLETION_CHOICES
							 ? "words"
							 : completion_kind(value));
		if (value == COMPLETION_CHOICES)
			completion_choices(to, o->row->choices);
		fprintf(to, "' ;;\n");
	}
}

static void completion_options(FILE *to, const struct command *command)
{
	struct command_option options[COMMAND_OPTIONS_MAX];
	size_t count = command_options(options, command);

	for (size_t i = 0; i < count; i++)
		fprintf(to, "%s--%s", i > 0 ? " " : "", options[i].name);
}

/* The words behind `client`, or "" where the name is no group. */
static void completion_subwords(FILE *to, const char *group)
{
	size_t bytes = strlen(group);

	for (size_t i = 0; i < command_count; i++)
		if (strncmp(commands[i].name, group, bytes) == 0 && commands[i].name[bytes] == ' ')
			fprintf(to, "%s ", commands[i].name + bytes + 1);
}

/* What may follow a sub-command: words, and the options. */
static void completion_words(FILE *to)
{
	for (size_t i = 0; i < command_count; i++) {
		const struct command *command = &commands[i];
		const char *const *choices = completion_word_choices(command);
		const char *kind = completion_kind(completion_of_words(command));

		fprintf(to, "\t'%s') kind=%s choices='", command->name,
			kind[0] != '\0' ? kind : "words");
		completion_subwords(to, command->name);
		if (choices != NULL)
			completion_choices(to, choices);
		fprintf(to, "' options='");
		completion_options(to, command);
		fprintf(to, "' ;;\n");
	}
}

static void completion_group_word(FILE *to, const char *word, const char *help)
{
	(void)help;
	if (!command_is_group(word) || command_find(word) != NULL)
		return;
	fprintf(to, "\t'%s') kind=words choices='", word);
	completion_subwords(to, word);
	fprintf(to, "' options='");
	completion_options(to, NULL);
	fprintf(to, "' ;;\n");
}

static void completion_word(FILE *to, const char *word, const char *help)
{
	(void)help;
	fprintf(to, "%s ", word);
}

/* Shared by both: $command and $previous are known; sets kind, words, options. */
static void completion_decide(FILE *to)
{
	fprintf(to, "\tkind='' choices='' options=''\n\tcase \"$command:$previous\" in\n");
	for (size_t i = 0; i < command_count; i++)
		completion_option_values(to, &commands[i]);
	fprintf(to, "\tesac\n\t[ -n \"$kind\" ] || case \"$previous\" in\n");
	/* Of the global ones, whatever the sub-command is. */
	for (size_t i = 0; i < ctl_rows.count; i++) {
		struct command_option o = {.row = &ctl_rows.rows[i], .global = true};
		enum completion_value value;

		snprintf(o.name, sizeof(o.name), "%s", o.row->name);
		value = completion_of_option(&o);
		if (o.row->type == FIELD_BOOL)
			continue;
		fprintf(to, "\t'--%s'", o.name);
		if (o.row->short_name != 0)
			fprintf(to, "|'-%c'", o.row->short_name);
		fprintf(to, ") kind=%s choices='", value == COMPLETION_NONE ? "nothing"
						 : value == COMPLETION_CHOICES
							 ? "words"
							 : completion_kind(value));
		if (value == COMPLETION_CHOICES)
			completion_choices(to, o.row->choices);
		fprintf(to, "' ;;\n");
	}
	fprintf(to, "\tesac\n\t[ -n \"$kind\" ] || case \"$command\" in\n\t'') kind=commands "
		    "options='");
	completion_options(to, NULL);
	fprintf(to, "' ;;\n");
	completion_first_words(completion_group_word, to);
	completion_words(to);
	fprintf(to, "\tesac\n");
}

/* Functions that print what a kind stands for, a word a line. */
static void completion_sources(FILE *to)
{
	fprintf(to,
		"# Ids and names, from the daemon; nothing where there is none.\n"
		"_rstunctl_ask() {\n"
		"\tif [ -n \"$_rstunctl_socket\" ]; then\n"
		"\t\tcommand rstunctl --socket \"$_rstunctl_socket\" -q -o tsv \"$@\" 2>/dev/null\n"
		"\telse\n"
		"\t\tcommand rstunctl -q -o tsv \"$@\" 2>/dev/null\n"
		"\tfi\n"
		"}\n"
		"_rstunctl_words() {\n"
		"\tcase \"$1\" in\n"
		"\t'mappings') _rstunctl_ask list | cut -f1,2 | tr '\\t' '\\n' ;;\n"
		"\t'clients') _rstunctl_ask client list | cut -f1,2 | tr '\\t' '\\n' ;;\n"
		"\t'servers') _rstunctl_ask server list | cut -f1,2 | tr '\\t' '\\n' ;;\n"
		"\t'sessions') _rstunctl_ask session list | cut -f1 ;;\n"
		"\t'methods') printf '%%s\\n'");
	for (int i = 0; i < RPC_METHOD_COUNT; i++)
		fprintf(to, " %s", rpc_methods[i].name);
	fprintf(to, " ;;\n\t'commands') printf '%%s\\n' ");
	completion_first_words(completion_word, to);
	fprintf(to, ";;\n\tesac\n}\n");
}

/* The end of the loop over the words: what is no option is the sub-command. */
static void completion_collect(FILE *to)
{
	fprintf(to, "\t\t*) case \"$command\" in\n"
		    "\t\t\t'') command=\"$word\" ;;\n"
		    "\t\t\t'");
	completion_groups(to, "'|'");
	fprintf(to, "') command=\"$command $word\" ;;\n"
		    "\t\t\tesac ;;\n"
		    "\t\tesac\n"
		    "\tdone\n");
}

void completion_bash(FILE *to)
{
	fprintf(to, "# Completion of rstunctl for bash: eval \"$(rstunctl completion bash)\"\n");
	completion_sources(to);
	fprintf(to,
		"_rstunctl() {\n"
		"\tlocal current=\"${COMP_WORDS[COMP_CWORD]}\" previous='' command='' word=''\n"
		"\tlocal kind=\"\" choices=\"\" options=\"\" i=0 _rstunctl_socket=\"\"\n"
		"\tCOMPREPLY=()\n"
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		"\t\tword=\"${COMP_WORDS[i]}\"\n"
		"\t\tcase \"$word\" in\n"
		"\t\t'");
	completion_global_values(to, "'|'");
	fprintf(to, "')\n"
		    "\t\t\t[ \"${COMP_WORDS[i + 1]}\" != '=' ] || i=$((i + 1))\n"
		    "\t\t\t[ \"$word\" != '--socket' ] ||\n"
		    "\t\t\t\t_rstunctl_socket=\"${COMP_WORDS[i + 1]}\"\n"
		    "\t\t\ti=$((i + 1)) ;;\n"
		    "\t\t'-'*|'=') ;;\n");
	completion_collect(to);
	fprintf(to, "\tprevious=\"${COMP_WORDS[COMP_CWORD - 1]}\"\n"
		    "\t# bash cuts --color=auto into three words.\n"
		    "\tif [ \"$current\" = '=' ]; then\n"
		    "\t\tcurrent=''\n"
		    "\telif [ \"$previous\" = '=' ] && [ \"$COMP_CWORD\" -gt 2 ]; then\n"
		    "\t\tprevious=\"${COMP_WORDS[COMP_CWORD - 2]}\"\n"
		    "\tfi\n"
		    "\tcase \"$command\" in\n"
		    "\t\"log \"*) [ \"$command\" = 'log level' ] || command='log' ;;\n"
		    "\tesac\n");
	completion_decide(to);
	fprintf(to, "\tif [ \"$kind\" = 'files' ]; then\n"
		    "\t\tcompopt -o filenames 2>/dev/null\n"
		    "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
		    "\t\treturn\n"
		    "\tfi\n"
		    "\tcase \"$kind\" in\n"
		    "\t'words'|'nothing'|'') ;;\n"
		    "\t*) choices=\"$choices $(_rstunctl_words \"$kind\")\" ;;\n"
		    "\tesac\n"
		    "\tcase \"$current\" in\n"
		    "\t'-'*) choices=\"$options\" ;;\n"
		    "\tesac\n"
		    "\tmapfile -t COMPREPLY < <(compgen -W \"$choices\" -- \"$current\")\n"
		    "}\n"
		    "complete -F _rstunctl rstunctl\n");
}

void completion_zsh(FILE *to)
{
	fprintf(to, "#compdef rstunctl\n"
		    "# Completion of rstunctl for zsh: a file _rstunctl in a folder of $fpath, or\n"
		    "# source <(rstunctl completion zsh)\n");
	completion_sources(to);
	fprintf(to,
		"_rstunctl() {\n"
		"\tlocal current=\"${words[CURRENT]}\" previous=\"${words[CURRENT - 1]}\"\n"
		"\tlocal command='' word=''\n"
		"\tlocal kind='' choices='' options='' _rstunctl_socket=''\n"
		"\tlocal -a given found\n"
		"\tlocal -i i=2\n"
		"\tgiven=(\"${words[@]}\")\n"
		"\tlocal choices=''\n"
		"\tfor ((; i < CURRENT; i++)); do\n"
		"\t\tword=\"${given[i]}\"\n"
		"\t\tcase \"$word\" in\n"
		"\t\t'");
	completion_global_values(to, "'|'");
	fprintf(to, "')\n"
		    "\t\t\t[ \"$word\" != '--socket' ] || _rstunctl_socket=\"${given[i + 1]}\"\n"
		    "\t\t\ti=$((i + 1)) ;;\n"
		    "\t\t'--socket='*) _rstunctl_socket=\"${word#--socket=}\" ;;\n"
		    "\t\t'-'*) ;;\n");
	completion_collect(to);
	fprintf(to, "\tcase \"$current\" in\n"
		    "\t'--'*'='*) previous=\"${current%%%%=*}\"; compset -P '--*=' ;;\n"
		    "\tesac\n"
		    "\tcase \"$command\" in\n"
		    "\t'log '*) [ \"$command\" = 'log level' ] || command='log' ;;\n"
		    "\tesac\n");
	completion_decide(to);
	fprintf(to, "\tif [ \"$kind\" = 'files' ]; then\n"
		    "\t\t_files\n"
		    "\t\treturn\n"
		    "\tfi\n"
		    "\tfound=(\"${(@s: :)choices}\")\n"
		    "\tcase \"$kind\" in\n"
		    "\t'words'|'nothing'|'') ;;\n"
		    "\t*) found+=(\"${(@f)$(_rstunctl_words \"$kind\")}\") ;;\n"
		    "\tesac\n"
		    "\tcase \"$current\" in\n"
		    "\t'--'*'='*) ;;\n"
		    "\t'-'*) found=(\"${(@s: :)options}\") ;;\n"
		    "\tesac\n"
		    "\tfound=(\"${(@)found:#}\")\n"
		    "\tcompadd -- \"${found[@]}\"\n"
		    "}\n"
		    "if [ \"${funcstack[1]}\" = '_rstunctl' ]; then\n"
		    "\t_rstunctl \"$@\"\n"
		    "else\n"
		    "\tcompdef _rstunctl rstunctl\n"
		    "fi\n");
}
