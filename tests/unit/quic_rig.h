/* SPDX-License-Identifier: MIT */
/*
 * Two QUIC connections in memory, with fake time and a link that delays, loses and refuses packets.
 * No socket and no clock: what takes an hour in the world takes milliseconds here.
 */
#pragma once

#include "base/chunk.h"
#include "base/log.h"
#include "quic/conn_internal.h"
#include "tls/credentials.h"

struct rig_packet {
	TAILQ_ENTRY(rig_packet) link;
	uint64_t at_ns;
	bool to_server;
	struct address local, remote; /* as the receiver sees them */
	unsigned copies; /* put on the wire so often; 1 unless `mutate` says otherwise */
	size_t bytes;
	uint8_t data[];
};

TAILQ_HEAD(rig_packet_list, rig_packet);

struct rig {
	struct quic_host client_host, server_host;
	struct quic_conn *client, *server;
	struct tls_credentials *server_credentials, *client_credentials;
	struct chunk_pool pool;
	struct log log;
	struct quic_config config;
	enum tls_cipher cipher; /* that the client prefers */
	struct rig_packet_list wire;
	struct address client_address, server_address;
	uint64_t now_ns;
	/* the link */
	uint64_t delay_ns;
	size_t mtu_bytes;					 /* larger UDP payloads vanish */
	bool (*drop)(struct rig *r, const struct rig_packet *p); /* NULL = none */
	/* Changes a packet on its way: its bytes, its length (shorter), when it arrives, how often.
	 * NULL = none */
	void (*mutate)(struct rig *r, struct rig_packet *p);
	unsigned seed;
	unsigned loss_percent;
	uint64_t sent, dropped, turns;
	bool client_over, server_over;
	struct quic_close client_close, server_close;
	void (*on_accept)(struct rig *r, struct quic_conn *c);
};

void rig_init(struct rig *r);
/* Makes the client's connection; the server's is made by its first packet. */
void rig_connect(struct rig *r, const struct quic_conn_ops *ops, void *user);
/* Runs until `done` says so or `limit_ns` of fake time have passed (which they have then); true
 * when done. */
bool rig_run(struct rig *r, bool (*done)(struct rig *r), uint64_t limit_ns);
void rig_done(struct rig *r);
