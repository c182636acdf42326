/* SPDX-License-Identifier: MIT */
/*
 * The load of the benchmark: what the verbs of tests/bench/load share. Every verb is one thread.
 * The two ends of a flow agree on what happens by the first byte that the connecting side sends.
 */
#pragma once

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_BLOCK_BYTES (256 * 1024) /* most bytes per read or write of a bulk flow */
#define LOAD_DATAGRAM_MAX 65507
#define LOAD_BATCH 32 /* datagrams per system call */

/* What a connection is for: its first byte. */
enum load_kind {
	LOAD_ECHO = 'E',     /* everything comes back, this byte too; no more of struct load_head */
	LOAD_SINK = 'S',     /* the server reads, and sends struct load_count after `run_ns` */
	LOAD_GENERATE = 'G', /* the server writes until the other side is gone */
};

/* Head of a connection that is not LOAD_ECHO. Both ends are the same build on the same machine. */
struct load_head {
	uint8_t kind;
	uint8_t reserved[7];
	uint64_t warm_ns, run_ns;
};

struct load_count {
	uint64_t bytes, ns; /* in the window */
	uint64_t total;     /* since the first byte */
};

/* Counts what a receiver gets in a window that begins `warm_ns` after its first byte. */
struct load_meter {
	uint64_t warm_ns, run_ns;
	uint64_t first_ns, from_ns; /* 0 = not yet */
	struct load_count count;
	bool done;
};

struct load_options {
	struct address address;
	uint64_t warm_ns, run_ns;
	unsigned limit_s; /* the program ends itself after that */
	unsigned flows;   /* at once */
	size_t bytes;	  /* of a message or datagram */
	double mbit_s;	  /* offered */
	bool down, udp;
	bool cubic; /* for what it sends by TCP */
};

/* ---- verbs: exit status; the result is one line of JSON on stdout ---- */
int load_serve(const struct load_options *o);
int load_wait(const struct load_options *o);
int load_bulk(const struct load_options *o);
int load_rtt(const struct load_options *o);
int load_short(const struct load_options *o);
int load_hold(const struct load_options *o);
int load_blast(const struct load_options *o);

/* ---- shared by them ---- */

/* Says it on stderr and ends the program with status 1; errno's text follows when it is not 0. */
_Noreturn __attribute__((format(printf, 1, 2))) void load_die(const char *format, ...);

/* A socket connected to the address; TCP without Nagle, UDP with large buffers. In
 * progress when non-blocking. Negative: errno says why. */
int load_connect(const struct load_options *o, int type, bool nonblocking);
/* Buffers of 4 MiB, beyond the system's limit where we may. */
void load_large_buffers(int fd);
/* Blocking; false when the connection ended or timed out before all of it. */
bool load_send_all(int fd, const void *data, size_t bytes);
bool load_receive_all(int fd, void *data, size_t bytes);

/* LOAD_BLOCK_BYTES that no link compresses. */
const uint8_t *load_block(void);

/* `bytes` came at `now_ns`. */
void load_meter_add(struct load_meter *m, uint64_t now_ns, size_t bytes);

/* Samples in nanoseconds, any number. */
struct load_samples {
	uint64_t *ns;
	size_t count, size;
};

void load_samples_add(struct load_samples *s, uint64_t ns);
/* Sorts. The sample below which `percent` of all lie, in microseconds; 0 without samples. */
double load_samples_us(struct load_samples *s, double percent);
