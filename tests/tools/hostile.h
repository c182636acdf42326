/* SPDX-License-Identifier: MIT */
/*
 * A peer that finishes TLS as it should and then does what no client does: one case per run. hostile.c
 * connects, times and reports; hostile_cases.c has the cases, one row each. One thread.
 */
#pragma once

#include "base/chunk.h"
#include "base/loop.h"
#include "quic/conn.h"
#include "quic/stream.h"
#include "tunnel/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hostile;

struct hostile_case {
	const char *name;
	const char *help;
	/* The handshake is done: misbehave. */
	void (*begin)(struct hostile *h);
	/* The server let us in. NULL: wait for what comes. */
	void (*logged_in)(struct hostile *h);
};

extern const struct hostile_case hostile_cases[];
extern const size_t hostile_case_count;

struct hostile {
	const struct hostile_case *which;
	const char *password;
	struct loop loop;
	struct quic_conn *conn;
	struct quic_stream *control;   /* NULL before hostile_open_control and after its end */
	struct quic_stream *flow;
	struct wire_message login;     /* a right one, for cases that change it */
	uint8_t *bytes;                /* what hostile_trickle still has to send */
	size_t bytes_count, bytes_sent;
	uint64_t trickle_ns;           /* between two bytes */
	struct loop_timer trickle;
};

/* Opens the control stream and sends bytes on it, all of it or as much as it takes. */
void hostile_send(struct hostile *h, const void *data, size_t bytes);
/* Sends the rest byte by byte, each in a packet of its own. */
void hostile_trickle(struct hostile *h, const void *data, size_t bytes, uint64_t every_ns);
/* A right login of this kind, encoded; returns its length. */
size_t hostile_login(struct hostile *h, uint8_t *buf, size_t size, enum mapping_proto proto, bool channel);
/* Opens a flow's stream and sends bytes on it; its reset or end is what is reported. */
void hostile_open_flow(struct hostile *h, const void *data, size_t bytes, bool finish);
/* Something that the result line shall say. */
void hostile_note(struct hostile *h, const char *text);
