/* SPDX-License-Identifier: MIT */
/*
 * The messages of the control stream: rstun v0.8.10's bincode bodies in u32-length frames, and
 * behind them our own trailer of records that the original ignores (WIRE.md). Pure encode and
 * decode; nothing here allocates, and no size is taken from a peer without a limit.
 */
#pragma once

#include "base/address.h"
#include "base/mapping.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_FRAME_MAX 65536  /* longest body, WIRE.md */
#define WIRE_PASSWORD_MAX 1024
#define WIRE_REASON_MAX 512
#define WIRE_SOFTWARE_MAX 64
#define WIRE_NAME_MAX 64
/* What "never" is sent as toward the original: a year. */
#define WIRE_NEVER_MS UINT64_C(31536000000)
/* An encoder never produces more than this (header, body and trailer of our longest message). */
#define WIRE_MESSAGE_MAX 4096

enum wire_kind {
	WIRE_REQ_LOGIN = 0,
	WIRE_REQ_HEARTBEAT = 1,
	WIRE_RESP_HEARTBEAT = 2,
	WIRE_RESP_FAILURE = 3,
	WIRE_RESP_SUCCESS = 4,
};

enum wire_feature {
	WIRE_FEATURE_DATAGRAM = 1 << 0,
	WIRE_FEATURE_FAILURES = 1 << 1,
	WIRE_FEATURE_PROBE = 1 << 2,
	WIRE_FEATURE_RESUME = 1 << 3,
	WIRE_FEATURE_PAKE = 1 << 4,
	WIRE_FEATURE_SEVERAL = 1 << 5,
};

/* The trailer: which records were there, and their values. */
struct wire_trailer {
	bool present; /* the magic was there (decode), or is to be written (encode) */
	bool has_instance, has_features, has_user, has_proof, has_failure, has_software, has_bound,
		has_target, has_name;
	uint8_t instance[16];
	uint64_t features;
	char user[65];
	uint8_t proof[32];
	uint16_t failure_code;     /* code of the control API, positive */
	uint32_t failure_retry_ms;
	char failure_text[WIRE_REASON_MAX + 1];
	char software[WIRE_SOFTWARE_MAX + 1];
	struct address bound;
	struct target target;      /* TARGET_NAME */
	char name[WIRE_NAME_MAX + 1];
};

struct wire_login {
	char password[WIRE_PASSWORD_MAX + 1]; /* wipe after use */
	bool channel;            /* ChannelBased: only `proto` means something below */
	enum mapping_mode mode;
	enum mapping_proto proto;
	bool has_local, has_upstream;
	struct address local;    /* mapping field 2 */
	struct address upstream; /* mapping field 3; none = ANY */
	uint64_t tcp_timeout_ms, udp_timeout_ms;
};

struct wire_message {
	enum wire_kind kind;
	union {
		struct wire_login login;
		uint64_t seq;                     /* heartbeats */
		char reason[WIRE_REASON_MAX + 1]; /* RespFailure; cut when longer, valid UTF-8 */
		bool ipv6_supported;              /* RespSuccess */
	};
	struct wire_trailer trailer; /* of the login messages; present = false on others */
};

/*
 * Writes length, body and trailer. Returns bytes written; RSTUN_E_TOO_LARGE when `size` is too
 * small, RSTUN_E_MALFORMED for a value that no peer would accept (text that is not UTF-8, no
 * address where one is said to be). `buf` may hold a part of a password then, too: wipe it after a
 * login.
 */
int wire_encode(uint8_t *buf, size_t size, const struct wire_message *message);

/*
 * Reads the message at the front of a byte stream. 0 and *ret_used (whole frame); RSTUN_E_AGAIN:
 * more bytes are needed (*ret_used = how many the frame has in all, 4 when even that is unknown);
 * RSTUN_E_TOO_LARGE: declared length over WIRE_FRAME_MAX; RSTUN_E_MALFORMED: not a message, a
 * non-UTF-8 string, a trailer that is broken behind its magic. Bytes behind the body that do not
 * begin with the magic are ignored. A password longer than WIRE_PASSWORD_MAX is RSTUN_E_MALFORMED.
 */
int wire_decode(struct wire_message *ret, size_t *ret_used, const uint8_t *data, size_t bytes);

/* Copies text that only people read: cut at a whole character to `max` bytes (ret has one more),
 * NUL becomes a blank. False, and nothing copied, when it is not UTF-8. */
bool wire_copy_prose(char *ret, size_t max, const void *text, size_t bytes);
