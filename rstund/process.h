/* SPDX-License-Identifier: MIT */
/*
 * What the process asks of the kernel once, before it has threads (but for process_give_way). Main
 * thread.
 */
#pragma once

/* Opens /dev/null where 0, 1 or 2 is closed: a socket that got such a number would receive our log.
 */
int process_fill_standard_fds(void);

/* RLIMIT_NOFILE: soft to hard. */
void process_raise_descriptors(void);

/* Passwords and session keys must not end up in a core file or with a debugger of the same user;
 * root sees everything all the same. Does nothing in sanitizer builds, which look at their own
 * process. */
void process_hide_memory(void);

/* A write to a pipe or socket that nobody reads is an error, not an end. */
void process_ignore_sigpipe(void);

/* The signals that tell us something are the main thread's: around the start of a thread they are
 * blocked, because it inherits that. */
void process_block_signals(void);
void process_unblock_signals(void);

/* The tunnels come before the socket: the calling thread gets a tenth of the weight of those that
 * it started. Refused (a sandbox), things stay as they are. */
void process_give_way(void);

/* Processors that we may run on; at least 1. */
unsigned process_cores(void);
