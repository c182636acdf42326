/* SPDX-License-Identifier: MIT */
/*
 * Descriptors, limits, signals of the process.
 */
#include "rstund/process.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PROCESS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(memory_sanitizer)
#define PROCESS_SANITIZED 1
#endif
#endif

#define PROCESS_NICE 10

int process_fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return rstun_error_from_errno(errno);
	close(fd);
	return 0;
}

void process_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

void process_give_way(void)
{
	/* On Linux this is the thread's alone; each step is a factor of 1.25. */
	setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + PROCESS_NICE);
}

void process_hide_memory(void)
{
#ifndef PROCESS_SANITIZED
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

void process_ignore_sigpipe(void)
{
	signal(SIGPIPE, SIG_IGN);
}

static void process_signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGUSR2);
}

void process_block_signals(void)
{
	sigset_t set;

	process_signal_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void process_unblock_signals(void)
{
	sigset_t set;

	process_signal_set(&set);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

unsigned process_cores(void)
{
	cpu_set_t set;
	int count = 0;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		count = CPU_COUNT(&set);
	return count > 0 ? (unsigned)count : 1;
}
