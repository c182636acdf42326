/* SPDX-License-Identifier: MIT */
/*
 * Waiting for several things at once in the sub-commands that go on until they are ended: the
 * daemon, a signal, a key, the one who reads our output. Signals come as a descriptor (signalfd),
 * so nothing runs in a handler. One thread.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

enum interrupt_what {
	INTERRUPT_READY = 1 << 0,  /* the daemon has said something, or is gone */
	INTERRUPT_END = 1 << 1,    /* a signal that ends programs */
	INTERRUPT_RESIZE = 1 << 2, /* the terminal has another size */
	INTERRUPT_STOP = 1 << 3,   /* Ctrl-Z: interrupt_stop() */
	INTERRUPT_KEY = 1 << 4,    /* standard input has something */
	INTERRUPT_GONE = 1 << 5,   /* whoever reads standard output is gone */
};

struct interrupt {
	int fd;
	sigset_t before;
};

/* `terminal`: Ctrl-Z and a new size are told too, which a program that draws has to know. Negative
 * when there is no descriptor left. */
int interrupt_init(struct interrupt *i, bool terminal);
/* Signals act as before again. */
void interrupt_done(struct interrupt *i);

/* Which of those happened; 0 = the time is over. fd, key_fd, out_fd: -1 = not looked at. */
unsigned interrupt_wait(struct interrupt *i, int fd, int key_fd, int out_fd, uint64_t timeout_ms);

/* Stops the process as Ctrl-Z does, until it is continued. */
void interrupt_stop(void);

/* What a child has to begin with. */
void interrupt_reset_child(const struct interrupt *i);
