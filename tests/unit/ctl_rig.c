/* SPDX-License-Identifier: MIT */
/*
 * rstunctl in a test: output in memory, a child process as its daemon.
 */
#include "ctl_rig.h"

#include "rstunctl/ctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CTL_RIG_WORDS 30

char *ctl_rig_out, *ctl_rig_err;

static char ctl_rig_folder[] = "/tmp/rstunctl-test-XXXXXX";
static char ctl_rig_path[64];
static pid_t ctl_rig_child;

void ctl_rig_forget(void)
{
	free(ctl_rig_out);
	free(ctl_rig_err);
	ctl_rig_out = ctl_rig_err = NULL;
}

int ctl_rig_run(const char *line)
{
	char *words[CTL_RIG_WORDS + 2] = {(char *)"rstunctl"}, *copy = strdup(line), *save = NULL;
	size_t out_bytes, err_bytes;
	FILE *out, *err;
	int count = 1, status;

	ctl_rig_forget();
	for (char *word = strtok_r(copy, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		assert_true(count <= CTL_RIG_WORDS);
		words[count++] = word;
	}
	out = open_memstream(&ctl_rig_out, &out_bytes);
	err = open_memstream(&ctl_rig_err, &err_bytes);
	status = ctl_main(count, words, out, err);
	fclose(out);
	fclose(err);
	free(copy);
	return status;
}

/* ---- The daemon ------------------------------------------------------------------------------ */

static bool ctl_rig_say(FILE *to, json_t *reply)
{
	json_dumpf(reply, to, JSON_COMPACT);
	json_decref(reply);
	fputc('\n', to);
	return fflush(to) == 0;
}

/* Answers, and says what the result's member "then" holds: events, taken out of it. */
static bool ctl_rig_reply(FILE *to, const json_t *request, ctl_rig_answer *answer)
{
	bool is_error = false, goes_on;
	json_t *result = answer(json_string_value(json_object_get(request, "method")),
				json_object_get(request, "params"), &is_error);
	json_t *then = json_incref(json_object_get(result, "then")), *event;
	size_t i;

	json_object_del(result, "then");
	goes_on = result != NULL &&
		  ctl_rig_say(to, json_pack("{s:s,s:O,s:o}", "jsonrpc", "2.0", "id",
					    json_object_get(request, "id"),
					    is_error ? "error" : "result", result));
	json_array_foreach(then, i, event) {
		if (json_is_null(event))
			goes_on = false; /* the end of the connection */
		else
			ctl_rig_say(to, json_pack("{s:s,s:s,s:O}", "jsonrpc", "2.0", "method",
						  "event", "params", event));
	}
	json_decref(then);
	return goes_on;
}

static void ctl_rig_talk(int fd, ctl_rig_answer *answer)
{
	FILE *from = fdopen(fd, "r"), *to = fdopen(dup(fd), "w");
	char *line = NULL;
	size_t room = 0;
	bool goes_on = true;

	while (goes_on && getline(&line, &room, from) > 0) {
		json_t *request = json_loads(line, 0, NULL);

		goes_on = ctl_rig_reply(to, request, answer);
		json_decref(request);
	}
	free(line);
	fclose(from);
	fclose(to);
}

void ctl_rig_serve(ctl_rig_answer *answer)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(strrchr(ctl_rig_folder, '-') + 1, "XXXXXX", 6);
	assert_non_null(mkdtemp(ctl_rig_folder));
	snprintf(ctl_rig_path, sizeof(ctl_rig_path), "%s/s.sock", ctl_rig_folder);
	memcpy(a.sun_path, ctl_rig_path, strlen(ctl_rig_path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 10), 0);
	setenv("RSTUN_SOCKET", ctl_rig_path, 1);
	ctl_rig_child = fork();
	assert_true(ctl_rig_child >= 0);
	if (ctl_rig_child == 0) {
		signal(SIGPIPE, SIG_IGN);
		for (;;) {
			int caller = accept(fd, NULL, NULL);

			if (caller < 0)
				_exit(1);
			ctl_rig_talk(caller, answer);
		}
	}
	close(fd);
}

void ctl_rig_stop(void)
{
	if (ctl_rig_child <= 0)
		return;
	kill(ctl_rig_child, SIGKILL);
	waitpid(ctl_rig_child, NULL, 0);
	ctl_rig_child = 0;
	unlink(ctl_rig_path);
	rmdir(ctl_rig_folder);
	unsetenv("RSTUN_SOCKET");
}
