/* SPDX-License-Identifier: MIT */
/*
 * Every limit of tunnel/ in one place: what a peer, an application or a slow network can make us
 * hold or wait for, and how much of it. Limits of one QUIC connection before login are in struct
 * quic_config, sizes of messages in wire.h and frame.h.
 */
#pragma once

/* ---- time ---- */
/* A client's attempt: names, all addresses, handshake. Whatever hangs, the next attempt comes. */
#define LIMITS_CONNECT_MS 20000
/* One handshake, from the first packet to the last. */
#define LIMITS_HANDSHAKE_MS 10000
/* Happy Eyeballs: the next address is tried so long after the one before (RFC 8305 section 5). */
#define LIMITS_STAGGER_MS 250
/* Server: the whole login must be there so long after the handshake; client: the answer to it. */
#define LIMITS_LOGIN_MS 5000
/* Server: so long may the answer take (a claim of an address); the original gives up after 3 s and
 * every refusal leaves within 2. */
#define LIMITS_ANSWER_MS 1800
/* Server: so long may the check of a probe take, names and dial together; the answer must be out
 * before LIMITS_ANSWER_MS. */
#define LIMITS_CHECK_MS 1500
/* Client: a probe in all, when its caller names no time. */
#define LIMITS_PROBE_MS 15000
/* Server: from a refusal to the close, when the client does not acknowledge it. */
#define LIMITS_LINGER_MS 1000
/* How often a lingering refusal is looked at: acknowledged? */
#define LIMITS_LINGER_POLL_MS 20
/* The target at the head of a flow's stream must be there so long after the stream was opened. */
#define LIMITS_HEADER_MS 5000
/* Most that a client waits because a server asked it to. */
#define LIMITS_RETRY_AFTER_MS 900000
/* A client's PING after so much silence, or a third of the idle timeout if that is shorter. */
#define LIMITS_KEEP_ALIVE_MS 5000
/* Until the password is known to be right one mapping of a client tries alone, the others wait for
 * it, but not longer than this. */
#define LIMITS_PILOT_MS 1000

/* A refusal without a reason may mean the password or the mapping: so many mappings of a client try
 * one after the other before it is taken for the password. */
#define LIMITS_VAGUE_REFUSALS 16

/* Mappings of one client and thread that connect at the same time; the others queue. More would
 * only meet the server's limits on half-open connections and wait for retransmissions. */
#define LIMITS_ATTEMPTS 64

/* ---- what a peer can make us hold ---- */
/* Streams that a server may open while its answer to the login is on the way; they wait for it. */
#define LIMITS_EARLY_STREAMS 128
/* Streams that a logged-in peer may have open at once. */
#define LIMITS_STREAMS 16384
/* Flows that we open for one mapping or session, TCP. */
#define LIMITS_FLOWS 16384
/* Dials of one mapping or session in one turn of the loop; more wait for the next. */
#define LIMITS_DIALS 16
/* Most UDP sources of one listener, and UDP flows that a peer opens. */
#define LIMITS_UDP_FLOWS 4096
/* Accepted connections of one mapping or session that wait for the tunnel or for a stream, each at
 * most CONFIG_CONNECT_TIMEOUT_MS. */
#define LIMITS_WAITING 1024
/* Accepted connections of one mapping that are asked what they want to reach, or wait for a stream
 * toward it; each at most so long for the question, then CONFIG_CONNECT_TIMEOUT_MS. */
#define LIMITS_ASKED 1024
#define LIMITS_ASK_MS 10000
/* Associations (of SOCKS5, of programs) of one client and thread, and targets that each may have at
 * a time. */
#define LIMITS_ASSOCIATES 256
#define LIMITS_ASSOCIATE_FLOWS 256
/* The tunnel of a client's channels is closed when there has been none for so long. */
#define LIMITS_CHANNELS_IDLE_MS 60000
/* After an attempt of it that failed for good, a new channel may bring the next one after this. */
#define LIMITS_CHANNELS_RETRY_MS 5000
/* Addresses of all servers of a client together that one attempt tries. */
#define LIMITS_CONNECT_ADDRESSES 64
/* Connections of one server worker, logged in or not. */
#define LIMITS_SESSIONS 65536
/* Questions whether one session is alive that wait for the same answer. */
#define LIMITS_PROBES 16
/* Checks of probes under way in one server worker. */
#define LIMITS_CHECKS 8
/* UDP: most bytes that wait for one flow's stream. */
#define LIMITS_UDP_QUEUE_BYTES (256 * 1024)

/* ---- wrong passwords ---- */
/* So many from one source (an IPv4 address, an IPv6 /64) within the window, and it is refused
 * unheard for the penalty. */
#define LIMITS_WRONG_PASSWORDS 5
#define LIMITS_WRONG_PASSWORDS_WINDOW_MS 60000
#define LIMITS_WRONG_PASSWORDS_PENALTY_MS 60000
/* Sources remembered: sets of slots; the oldest of a set gives way. */
#define LIMITS_PENALTY_SETS 256
#define LIMITS_PENALTY_SLOTS 8
