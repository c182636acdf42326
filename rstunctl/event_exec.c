/* SPDX-License-Identifier: MIT */
/*
 * Runs the command of `events --exec`. The JSON lies in a file without a name, so that a command
 * that does not read it holds up nobody.
 */
#include "rstunctl/event_exec.h"

#include "rstunctl/output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The event in a descriptor, at its beginning. -1 with errno. */
static int event_exec_input(const json_t *event)
{
	int fd = memfd_create("rstunctl-event", MFD_CLOEXEC);

	if (fd < 0)
		return -1;
	if (json_dumpfd(event, fd, JSON_COMPACT) != 0 || write(fd, "\n", 1) != 1 ||
	    lseek(fd, 0, SEEK_SET) != 0) {
		close(fd);
		errno = EIO;
		return -1;
	}
	return fd;
}

static void event_exec_variable(const char *name, const json_t *event, const char *path)
{
	const json_t *value = output_member(event, path);
	char number[32];

	if (json_is_string(value)) {
		setenv(name, json_string_value(value), 1);
	} else if (json_is_integer(value)) {
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(value));
		setenv(name, number, 1);
	} else {
		unsetenv(name);
	}
}

static void event_exec_environment(const json_t *event)
{
	static const char *const variables[][2] = {
		{"RSTUN_EVENT_TYPE", "type"},	      {"RSTUN_EVENT_DATA", "data"},
		{"RSTUN_EVENT_SEQ", "seq"},	      {"RSTUN_EVENT_TIMESTAMP", "timestamp"},
		{"RSTUN_EVENT_MAPPING", "mapping"},   {"RSTUN_EVENT_NAME", "name"},
		{"RSTUN_EVENT_ID", "detail.id"},      {"RSTUN_EVENT_PREV", "detail.prev"},
		{"RSTUN_EVENT_LEVEL", "detail.level"}, {"RSTUN_EVENT_BOUND", "detail.bound"},
		{"RSTUN_EVENT_ERROR", "detail.error.kind"},
		{"RSTUN_EVENT_MESSAGE", "detail.error.message"},
	};

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		event_exec_variable(variables[i][0], event, variables[i][1]);
}

/* Waits for the child's end, and passes a signal on that is meant for us. */
static bool event_exec_wait(pid_t pid, struct interrupt *interrupt, int *ret_status)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	bool ended = false;

	/* Without pidfd (Linux before 5.3) only the end of the child ends the wait. */
	while (fd >= 0) {
		unsigned what = interrupt_wait(interrupt, fd, -1, -1, UINT64_MAX);

		if ((what & INTERRUPT_END) != 0 && !ended) {
			kill(pid, SIGTERM);
			ended = true;
		}
		if ((what & INTERRUPT_READY) != 0)
			break;
	}
	while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		;
	if (fd >= 0)
		close(fd);
	return ended;
}

bool event_exec_run(const char *command, const json_t *event, struct interrupt *interrupt,
		    int *ret_status, bool *ret_ended)
{
	int fd = event_exec_input(event), err;
	pid_t pid;

	if (fd < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		interrupt_reset_child(interrupt);
		event_exec_environment(event);
		dup2(fd, STDIN_FILENO);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	err = errno;
	close(fd);
	if (pid < 0) {
		errno = err;
		return false;
	}
	*ret_ended = event_exec_wait(pid, interrupt, ret_status);
	return true;
}
