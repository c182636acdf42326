/* SPDX-License-Identifier: MIT */
/*
 * The control API's tables: every method, event type and error kind is one row here, and the
 * structs of params, results and events (api_types.h) are described by `struct field` rows. The
 * daemon decodes, dispatches and encodes from these rows; rstunctl makes its commands and tables,
 * rpc.discover its schema, and the man pages their sections from them.
 *
 * A new method is a line in enum rpc_method, a row in api_method.c (with the structs and rows it
 * needs) and a handler in the daemon. A method that the daemon does not have is not in the table.
 * Constant data, any thread, no I/O.
 */
#pragma once

#include "base/field.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RPC_API_VERSION 1
#define RPC_LINE_MAX (256 * 1024) /* bytes of a request line without its newline */
#define RPC_DEPTH_MAX 32          /* arrays and objects within each other */
#define RPC_BATCH_MAX 64

/* ---- Methods --------------------------------------------------------------------------------- */

enum rpc_method {
	RPC_DISCOVER,
	RPC_CANCEL,
	RPC_DAEMON_INFO,
	RPC_DAEMON_STATUS,
	RPC_DAEMON_PING,
	RPC_DAEMON_RELOAD,
	RPC_DAEMON_SHUTDOWN,
	RPC_CONFIG_GET,
	RPC_CONFIG_CHECK,
	RPC_LOG_GET_LEVEL,
	RPC_LOG_SET_LEVEL,
	RPC_LOG_TAIL,
	RPC_CLIENT_ADD,
	RPC_CLIENT_SET,
	RPC_CLIENT_REMOVE,
	RPC_CLIENT_LIST,
	RPC_CLIENT_GET,
	RPC_CLIENT_TEST,
	RPC_SERVER_ADD,
	RPC_SERVER_SET,
	RPC_SERVER_REMOVE,
	RPC_SERVER_LIST,
	RPC_SERVER_GET,
	RPC_SERVER_DRAIN,
	RPC_MAPPING_ADD,
	RPC_MAPPING_SET,
	RPC_MAPPING_REMOVE,
	RPC_MAPPING_LIST,
	RPC_MAPPING_GET,
	RPC_MAPPING_WAIT,
	RPC_MAPPING_PAUSE,
	RPC_MAPPING_RESUME,
	RPC_MAPPING_RESTART,
	RPC_MAPPING_DRAIN,
	RPC_MAPPING_APPLY,
	RPC_MAPPING_CONFIRM,
	RPC_CHANNEL_OPEN,
	RPC_FLOW_LIST,
	RPC_FLOW_KILL,
	RPC_SESSION_LIST,
	RPC_SESSION_GET,
	RPC_SESSION_KICK,
	RPC_STATS_GET,
	RPC_METRICS_GET,
	RPC_CERT_LIST,
	RPC_CERT_RELOAD,
	RPC_EVENTS_SUBSCRIBE,
	RPC_EVENTS_UNSUBSCRIBE,
	RPC_EVENTS_NEXT,
};

#define RPC_METHOD_COUNT (RPC_EVENTS_NEXT + 1)

struct rpc_method_row {
	const char *name;                /* "mapping.list" */
	bool change;                     /* needs the right to change things */
	bool waits;                      /* may be answered much later; rpc.cancel ends it */
	const struct field_rows *params; /* never NULL; rpc_nothing when there are none */
	/* Params may also hold, beside those of the rows or within an object `config`, the members of
	 * this row set of the daemon ("ClientConfig"); they arrive as the params' `config`, JSON text.
	 * "": only that members of `config` may stand in it, too, so that a configuration can be passed
	 * back as it was shown. NULL: neither. */
	const char *config;
	/* The result is an object with these members. NULL: the handler makes the JSON itself, and
	 * result_schema describes it. */
	const struct field_rows *result;
	const char *result_schema;
	const char *list;                /* member of the result that is a list, or NULL */
	const char *help;                /* one sentence */
	const char *remarks;             /* more of them, for the manual; or NULL */
	const char *example;             /* params as JSON */
	/* NULL, or checks what no single row can (this or that, not both). Params are complete. */
	int (*check)(const void *params, char *error, size_t error_size);
};

extern const struct rpc_method_row rpc_methods[RPC_METHOD_COUNT]; /* by enum rpc_method */
extern const struct field_rows rpc_nothing;                       /* an object without members */

/* By name; -1 = there is none. */
int rpc_method_find(const char *name);
/* The nearest name, or NULL: for "did you mean". */
const char *rpc_method_suggest(const char *name);

/* ---- Events ---------------------------------------------------------------------------------- */

enum rpc_event_type {
	RPC_EVENT_STATE,
	RPC_EVENT_LOG,
	RPC_EVENT_STAT,
	RPC_EVENT_MAPPING,
	RPC_EVENT_CLIENT,
	RPC_EVENT_SERVER,
	RPC_EVENT_SESSION,
	RPC_EVENT_FLOW,
	RPC_EVENT_DAEMON,
	RPC_EVENT_CERT,
	RPC_EVENT_DROPPED,
	RPC_EVENT_OVERRUN,
};

#define RPC_EVENT_TYPE_COUNT (RPC_EVENT_OVERRUN + 1)

struct rpc_event_row {
	const char *name;                /* "state" */
	bool on;                         /* sent when events.subscribe names no types */
	bool always;                     /* sent whatever it names (dropped, overrun) */
	bool tunnel;                     /* has a `tunnel` member, where it is about one */
	const struct field_rows *data;   /* `data` is an object with these members, or */
	const char *const *words;        /* one of these strings, or (both NULL) any text */
	const struct field_rows *detail; /* NULL = no `detail` */
	const char *help;
	const char *example;             /* the whole event's params as JSON */
};

extern const struct rpc_event_row rpc_events[RPC_EVENT_TYPE_COUNT];
extern const char *const rpc_event_names[]; /* NULL at the end */

int rpc_event_find(const char *name); /* -1 = none */

/* ---- Errors ---------------------------------------------------------------------------------- */

/* Codes below have no enum rstun_error; those of base/error.h are its values, negated. */
enum rpc_error_code {
	RPC_PARSE_ERROR = -32700,
	RPC_INVALID_REQUEST = -32600,
	RPC_METHOD_NOT_FOUND = -32601,
	RPC_INVALID_PARAMS = -32602,
	RPC_INTERNAL = -32603,
	RPC_CANCELLED = -32800,
	RPC_NO_DAEMON = -32001, /* rpc_caller's own: never sent */
	RPC_UNKNOWN_SUBSCRIPTION = 1300,
	RPC_CURSOR_EXPIRED = 1301,
};

/* Exit statuses of rstunctl. */
enum rpc_exit {
	RPC_EXIT_OK = 0,
	RPC_EXIT_REFUSED = 1, /* the daemon said no */
	RPC_EXIT_USAGE = 2,
	RPC_EXIT_NO_DAEMON = 3,
	RPC_EXIT_PERMISSION = 4,
	RPC_EXIT_NOT_FOUND = 5,
	RPC_EXIT_TIMEOUT = 6,
	RPC_EXIT_CONFLICT = 7,
};

struct rpc_error_row {
	int code;
	const char *kind;   /* what scripts match */
	enum rpc_exit exit;
	bool retryable;     /* the same call may succeed later without anything being changed */
	const char *help;   /* when it happens */
};

extern const struct rpc_error_row rpc_errors[];
extern const size_t rpc_error_count;

/* RPC_INTERNAL's row for an unknown code. */
const struct rpc_error_row *rpc_error_row(int code);
const struct rpc_error_row *rpc_error_find(const char *kind); /* NULL = none */
/* Kind of an enum rstun_error that ended a connection. */
const char *rpc_error_failure(int error);

/* An error on its way into a reply, or out of one. */
struct rpc_error {
	int code;                      /* 0 = none */
	char message[FIELD_ERROR_SIZE];
	/* "" = not given */
	char field[128];               /* "since.seq" */
	char value[128];               /* what was given there; never a secret */
	char hint[512];                /* what to do, a command where there is one */
	bool retryable;
	uint64_t retry_after_ms;       /* UINT64_MAX = not given */
	char kind[40];                 /* the row's; in a reply of another version, what it says */
};

/* Sets code, kind, retryable and the message; clears the rest. Returns RSTUN_E_FAILED, for
 * "return rpc_error_set(...)". */
__attribute__((format(printf, 3, 4))) int rpc_error_set(struct rpc_error *e, int code,
							const char *format, ...);
/* The same from an enum rstun_error; the engine's own become `internal`. */
__attribute__((format(printf, 3, 4))) int rpc_error_from(struct rpc_error *e, int error,
							 const char *format, ...);
__attribute__((format(printf, 2, 3))) void rpc_error_hint(struct rpc_error *e, const char *format,
							  ...);
