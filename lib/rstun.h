/* SPDX-License-Identifier: MIT */
/*
 * librstun: tunnels of rstun in a program of yours. A client logs in to an rstun server and holds
 * mappings (ports, as the daemon has them), channels and UDP objects: TCP streams and datagrams
 * through the tunnel that need no port on this machine. A server is what clients log in to; it may
 * take the streams that they open, instead of connecting them to something. Manual: librstun(3).
 *
 * Objects. A context sits on an event_base of libevent that you made and run. It owns its clients
 * and servers, each of which owns its channels, and a client its UDP objects: freeing one frees
 * what it owns, and no callback comes for any of it afterwards. Each may be freed at any time
 * outside of the library and in every callback but on_log and on_socket.
 *
 * Threads. The library starts none, has no signal handlers, prints nothing and keeps no state
 * outside of contexts, but for what its libraries have, and that a log line about the machine (the
 * kernel refuses UDP offload) is written once. A context with all that it owns belongs to the
 * thread that made it, which must be the one that runs the event_base. Contexts of several threads
 * do not know each other. A call from another thread is an error of the program: it ends it
 * (assert) where the library was built without NDEBUG, and is RSTUN_E_WRONG_THREAD, or nothing at
 * all from a function without a result, where it was built with it.
 *
 * Callbacks come from the event loop, never from inside a call of yours; on_log and on_socket,
 * which must not call the library, come from anywhere. What they get is borrowed for the call.
 *
 * Errors are values: 0 or a negative enum rstun_error. Arguments named ret_ are untouched on
 * failure. Times are milliseconds, sizes bytes. Texts are UTF-8 and end with a NUL. No argument may
 * be NULL unless it says so; free functions accept NULL.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RSTUN_API __attribute__((visibility("default")))

struct bufferevent; /* libevent's */
struct event_base;  /* libevent's */
struct rstun_context;
struct rstun_client;
struct rstun_server;
struct rstun_channel;
struct rstun_udp;
struct rstun_channel_request;

/* ---- Errors ---------------------------------------------------------------------------------- */

/* The numbers from -1000 to -1999 are the negated codes of rstund's control API (rstund-api(7)).
 * Numbers are never used again for something else; new ones may come. */
enum rstun_error {
	RSTUN_OK = 0,
	RSTUN_E_FAILED = -1000,
	RSTUN_E_NOT_FOUND = -1001,
	RSTUN_E_ALREADY_EXISTS = -1002,
	RSTUN_E_ADDRESS_IN_USE = -1003,
	RSTUN_E_PERMISSION_DENIED = -1004,
	RSTUN_E_DEFINED_IN_CONFIG = -1005,
	RSTUN_E_LIMIT_REACHED = -1006,
	RSTUN_E_TIMEOUT = -1007,
	RSTUN_E_SHUTTING_DOWN = -1008,
	RSTUN_E_WRONG_ROLE = -1009,
	RSTUN_E_UNSUPPORTED = -1010,
	RSTUN_E_DNS_FAILED = -1100,
	RSTUN_E_UNREACHABLE = -1101,
	RSTUN_E_TLS_VERIFY_FAILED = -1102,
	RSTUN_E_AUTH_FAILED = -1103,
	RSTUN_E_LOGIN_REJECTED = -1104,
	RSTUN_E_PROTOCOL_MISMATCH = -1105,
	RSTUN_E_ACCESS_DENIED = -1106,
	RSTUN_E_NO_DEFAULT_UPSTREAM = -1107,
	RSTUN_E_RATE_LIMITED = -1108,
	RSTUN_E_SUPERSEDED = -1109,
	RSTUN_E_PEER_KEY_CHANGED = -1110,
	RSTUN_E_PASSWORD_REQUIRED_UNVERIFIED = -1111,
	RSTUN_E_TARGET_REFUSED = -1112,
	RSTUN_E_TARGET_UNREACHABLE = -1113,
	RSTUN_E_REMOTE_ADDRESS_IN_USE = -1114,
	RSTUN_E_PEER_LACKS_FEATURE = -1115,
	RSTUN_E_CONFIG_INVALID = -1200,
	RSTUN_E_STATE_WRITE_FAILED = -1201,
	RSTUN_E_CERT_INVALID = -1202,
	RSTUN_E_FILE_PERMISSIONS = -1203,
	/* Not part of the control API. */
	RSTUN_E_NOMEM = -2000,        /* allocation failed */
	RSTUN_E_AGAIN = -2001,        /* not now: more input or room is needed */
	RSTUN_E_MALFORMED = -2002,    /* input that no valid peer or user produces */
	RSTUN_E_TOO_LARGE = -2003,    /* a declared length beyond its limit */
	RSTUN_E_CLOSED = -2004,       /* the object is closing or gone */
	RSTUN_E_CANCELLED = -2005,
	RSTUN_E_RESET = -2006,        /* the peer reset the flow or the connection */
	RSTUN_E_WRONG_THREAD = -2007, /* a call from another thread than the context's */
};

/* A short sentence fragment in lower case without a full stop; never NULL. Any thread. */
RSTUN_API const char *rstun_strerror(int error);

/* A word for programs ("auth_failed"), the same as in the control API; "internal" for those that
 * are not part of it. Any thread. */
RSTUN_API const char *rstun_error_kind(int error);

/* "0.1.0": of the library that runs. Any thread. */
RSTUN_API const char *rstun_version(void);

/* ---- Context --------------------------------------------------------------------------------- */

enum rstun_log_level {
	RSTUN_LOG_TRACE,
	RSTUN_LOG_DEBUG,
	RSTUN_LOG_INFO,
	RSTUN_LOG_WARN,
	RSTUN_LOG_ERROR,
};

/* A context on `base`, which is borrowed: it must live longer, and be run by the thread that calls
 * this. Who sends much makes it with EVENT_BASE_FLAG_PRECISE_TIMER (event_config_set_flag): packets
 * are paced, and other bases have timers of up to four milliseconds, with which half of a line of 50
 * Mbit/s stays empty. Nothing is logged until rstun_context_set_log. RSTUN_E_NOMEM, RSTUN_E_FAILED
 * (GnuTLS). */
RSTUN_API int rstun_context_new(struct rstun_context **ret, struct event_base *base);

/* Frees it and all that it owns, at once: connections are closed with a word to the server, flows
 * that still go on are cut (rstun_client_stop, rstun_server_stop let them end). */
RSTUN_API void rstun_context_free(struct rstun_context *context);

/* From now on lines of at least `level` go to on_log; NULL = nowhere. `scope` names the part that
 * speaks, `text` is one line without newline and never holds a secret. on_log must not call the
 * library. RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_context_set_log(struct rstun_context *context, enum rstun_log_level level,
				    void (*on_log)(void *user, enum rstun_log_level level,
						   const char *scope, const char *text),
				    void *user);

/* on_socket (NULL = none) sees each internet socket of the clients and servers that are made after
 * this before it is bound or connected, so that it can be marked, or kept out of a VPN: those of
 * QUIC, of name servers, of what is listened on and of what is connected to. Not connections that a
 * listener accepted, nor UNIX sockets, nor the UDP socket that is connected, and sends nothing, to
 * learn whether there is a route to an address. The descriptor stays the library's. What it does
 * not return 0 for is not used: that attempt fails with RSTUN_E_PERMISSION_DENIED. It must not call
 * the library. RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_context_set_socket_hook(struct rstun_context *context,
					    int (*on_socket)(void *user, int fd), void *user);

/* ---- Client ---------------------------------------------------------------------------------- */

enum rstun_proto {
	RSTUN_TCP,
	RSTUN_UDP,
};

enum rstun_mode {
	RSTUN_IN,  /* the server listens */
	RSTUN_OUT, /* we listen */
};

enum rstun_state {
	RSTUN_STATE_IDLE,
	RSTUN_STATE_CONNECTING,
	RSTUN_STATE_CONNECTED,    /* handshake done, login not answered yet */
	RSTUN_STATE_TUNNELING,    /* logged in: traffic flows */
	RSTUN_STATE_RECONNECTING, /* waits for its next attempt */
	RSTUN_STATE_FAILED,       /* tries again, but slowly: password, certificate or the like */
	RSTUN_STATE_STOPPED,      /* the end of a mapping: its last change */
};

/* A mapping changed its state. Members may be added at the end. */
struct rstun_state_change {
	/* Its number; 0: a tunnel that all channels (proto: RSTUN_TCP) or UDP objects share. */
	uint64_t mapping;
	enum rstun_state before, now;
	int error;                    /* why, enum rstun_error; 0 = none */
	const char *text;             /* the reason or a remark in words; "" = none */
	const char *bound;            /* address listened on: OUT here, IN on the server; "" */
	const char *server;           /* address of the server; "" = none yet */
	const char *server_software;  /* "rstund 0.1.0"; "" = not known */
	uint64_t next_retry_ms;       /* RECONNECTING, FAILED: so long until the next attempt */
	unsigned attempt;             /* since it was up; 0 = it is up */
	int unverified;               /* not 0: nothing proves that the server is what it says */
	enum rstun_proto proto;
	enum rstun_mode mode;
};

/* A flow: a connection, or what goes to and from one source of datagrams. Members may be added at
 * the end. */
struct rstun_flow {
	uint64_t mapping;             /* its number; 0: a tunnel of channels or UDP objects */
	uint64_t flow;                /* from 1, never used again by the mapping */
	enum rstun_proto proto;
	const char *source;           /* who connected; "" where the server knows that (IN) */
	const char *target;           /* where to; "" where the server knows that */
	uint64_t in_bytes, out_bytes; /* into the tunnel, and out of it */
	uint64_t age_ms;              /* since it began, until now or its end */
	uint64_t idle_ms;             /* since bytes moved; 0 of one that has ended */
	int error;                    /* of one that has ended: why; 0 = it was complete */
};

/* Options are those of "rstund client" in rstund(8), under their long names, as text:
 * {"server-addr", "example.org:3515"}, {"password", "..."}; also "cert-pem", certificates
 * themselves instead of "cert". Not those of the daemon (workers, state-dir, loglevel, ...), not
 * tcp-mappings and udp-mappings (rstun_client_add_mapping) and those that read a secret from a file
 * (password-file, proxy-auth-file). */
struct rstun_option {
	const char *name, *value;
};

struct rstun_client_ops {
	size_t size; /* sizeof(struct rstun_client_ops): later versions have more members */
	/* May be NULL. A change for which there is no memory is not told. */
	void (*on_state)(struct rstun_client *client, void *user,
			 const struct rstun_state_change *change);
	/* After rstun_client_stop: all has ended. May be NULL. */
	void (*on_stopped)(struct rstun_client *client, void *user);
	/* A flow ended: those of TCP, channels too, and those of UDP that mappings IN lead to here.
	 * May be NULL. One for which there is no memory is not told. */
	void (*on_flow)(struct rstun_client *client, void *user, const struct rstun_flow *flow);
};

/* A client of one server, without mappings. It connects when it has one, or a channel or a UDP
 * object. `options`
 * are copied, and `ops` (NULL = no callbacks). When an option is wrong or missing `error`
 * (error_size bytes, NULL = not wanted) holds a sentence about it.
 * RSTUN_E_CONFIG_INVALID, RSTUN_E_CERT_INVALID, RSTUN_E_NOMEM, RSTUN_E_WRONG_THREAD, ... */
RSTUN_API int rstun_client_new(struct rstun_client **ret, struct rstun_context *context,
			       const struct rstun_option *options, size_t option_count,
			       const struct rstun_client_ops *ops, void *user, char *error,
			       size_t error_size);

/* No new flows and channels from now on (RSTUN_E_SHUTTING_DOWN). TCP flows and channels that are
 * open may go on until they end, but not longer than grace_ms; what is left then is cut, channels
 * get on_error with RSTUN_E_SHUTTING_DOWN. UDP ends at once, UDP objects get the same. on_stopped
 * follows once; the client is still to be freed. A second call does nothing.
 * RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_client_stop(struct rstun_client *client, uint64_t grace_ms);

/* Frees it with its mappings, channels and UDP objects, at once, see rstun_context_free. */
RSTUN_API void rstun_client_free(struct rstun_client *client);

/* Adds a mapping, "OUT^9000^ANY" or "IN^3000^0.0.0.0:18080" (rstund(8)); no ranges. The address of
 * OUT is listened on when this returns; port 0 is any free one. The socket of "OUT^unix:/path^ANY"
 * has mode 0600, and its file goes with the mapping, a stop or the client. *ret_id is the mapping's
 * number, from 1, never used again by the client. `error` as above.
 * RSTUN_E_MALFORMED, RSTUN_E_ADDRESS_IN_USE, RSTUN_E_PERMISSION_DENIED, RSTUN_E_SHUTTING_DOWN,
 * RSTUN_E_NOMEM, RSTUN_E_WRONG_THREAD, ... */
RSTUN_API int rstun_client_add_mapping(struct rstun_client *client, const char *text,
				       enum rstun_proto proto, uint64_t *ret_id, char *error,
				       size_t error_size);

/* Adds a mapping IN whose streams the program gets: the server listens on `listen`, "[IP:]PORT" as
 * in a mapping ("0.0.0.0:18080"; a port alone is on its 127.0.0.1; port 0 is any free one), and
 * for each TCP connection there on_channel is called, in which rstun_channel_take makes it a
 * channel of this client's. One that is not taken is refused. The number and everything else are
 * as of rstun_client_add_mapping; the request has it, so that several mappings can share one
 * on_channel. Errors as there. */
RSTUN_API int rstun_client_accept(struct rstun_client *client, const char *listen,
				  void (*on_channel)(const struct rstun_channel_request *request,
						     void *user),
				  void *user, uint64_t *ret_id, char *error, size_t error_size);

/* Takes a mapping away: its port is free when this returns. TCP flows may go on for grace_ms. Its
 * change to RSTUN_STATE_STOPPED tells that it has ended. RSTUN_E_NOT_FOUND,
 * RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_client_remove_mapping(struct rstun_client *client, uint64_t id,
					  uint64_t grace_ms);

/* Gives up a mapping's tunnel, which resets its flows, and connects anew at once, whatever it
 * waited for. The address of OUT stays listened on. RSTUN_E_NOT_FOUND, RSTUN_E_SHUTTING_DOWN,
 * RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_client_restart_mapping(struct rstun_client *client, uint64_t id);

/* ---- Statistics and flows -------------------------------------------------------------------- */

/* Totals since the beginning, connections and flows that are over included; a client's also count
 * mappings that were removed. Later versions have more members. */
struct rstun_stats {
	size_t size;                  /* sizeof(struct rstun_stats), set before it is asked for */
	uint64_t mapping;             /* whose they are; 0 = the client's, all of it */
	enum rstun_proto proto;       /* of the mapping */
	enum rstun_mode mode;
	uint64_t rx_bytes, tx_bytes;  /* of UDP, in datagrams that carry QUIC */
	uint64_t rx_dgrams, tx_dgrams;
	uint64_t sent_packets, lost_packets, lost_bytes; /* of QUIC */
	uint64_t congestion_events;
	uint64_t active_conns;        /* flows now */
	uint64_t total_conns;
	uint64_t in_bytes, out_bytes; /* what flows carried: into the tunnel, and out of it */
	uint64_t udp_dropped;         /* datagrams of flows that were lost here */
	/* Of the connection with the most traffic; 0 when there is none. */
	uint64_t rtt_ms, cwnd_bytes, current_mtu;
};

/* Fills in what ret->size has room for; members that it does not know stay as they are. `mapping`
 * 0: the whole client. RSTUN_E_NOT_FOUND, RSTUN_E_MALFORMED (the size), RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_client_stats(struct rstun_client *client, uint64_t mapping,
				 struct rstun_stats *ret);

/* Shows each flow that goes on now, of a mapping or of the whole client (0), inside this call.
 * `visit` must not call the library. RSTUN_E_NOT_FOUND, RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_client_visit_flows(struct rstun_client *client, uint64_t mapping,
				       void (*visit)(void *user, const struct rstun_flow *flow),
				       void *user);

/* Ends a flow of a mapping, or all that it has (0), now: TCP with a reset on both sides; a source
 * of datagrams gets a new one with its next. (A channel: rstun_channel_abort.) RSTUN_E_NOT_FOUND,
 * RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_client_kill_flow(struct rstun_client *client, uint64_t mapping, uint64_t flow);

/* ---- Events as JSON -------------------------------------------------------------------------- */

/* The event as rstun v0.8.10 gives it to its listeners, an object without line breaks:
 *
 *	{"type":"state","data":"Tunneling","timestamp":"2026-11-22 10:11:12.345",
 *	 "tunnel":{"source":"network","id":1,"proto":"Tcp","mode":"Out"}}
 *
 * "timestamp" is the local time of the call. "tunnel" is the mapping (its number), or source
 * "channel" with id 0 for a tunnel that channels or UDP objects share.
 *
 * All three write at most `size` bytes with the NUL and return the length without it. If that is
 * not less than `size` the buffer holds "", and a call with a larger one is due; `buffer` may be
 * NULL when `size` is 0. Any thread; from on_log too. */

/* "data" is Connecting, Connected, Tunneling or Reconnecting (FAILED too: it tries again); Idle and
 * Stopped are beyond rstun's. */
RSTUN_API size_t rstun_json_state(char *buffer, size_t size,
				  const struct rstun_state_change *change);

/* "data" is the text: of on_log, without a "tunnel" (`change` NULL); or change->text, which rstun
 * tells before the state. What is not UTF-8 becomes U+FFFD. */
RSTUN_API size_t rstun_json_log(char *buffer, size_t size, const char *text,
				const struct rstun_state_change *change);

/* "data" is an object with rstun's twelve numbers; no "tunnel" for a whole client, of which rstun
 * tells every 30 seconds. */
RSTUN_API size_t rstun_json_stat(char *buffer, size_t size, const struct rstun_stats *stats);
/* ---- Server ---------------------------------------------------------------------------------- */

enum rstun_session_state {
	RSTUN_SESSION_LOGIN,
	RSTUN_SESSION_REFUSED, /* its login was refused: it never was one */
	RSTUN_SESSION_ENDED,
};

/* A session, which is one mapping of some client, or all of its channels, logged in, was refused or
 * ended. Members may be added at the end. */
struct rstun_session_change {
	uint64_t session;             /* its number, never used again by the server */
	enum rstun_session_state now;
	enum rstun_proto proto;       /* not of one that was refused */
	const char *mapping;          /* "OUT^127.0.0.1:9000^ANY"; "" = channels, or not known */
	const char *peer;             /* address of the client */
	const char *peer_software;    /* "rstund 0.1.0"; "" = not known (the original) */
	const char *bound;            /* IN: address listened on here; "" */
	int error;                    /* why it was refused or ended; 0 = the client left */
	const char *text;             /* the same in words; "" = none */
};

struct rstun_server_ops {
	size_t size; /* sizeof(struct rstun_server_ops): later versions have more members */
	/* May be NULL. A change for which there is no memory is not told. */
	void (*on_session)(struct rstun_server *server, void *user,
			   const struct rstun_session_change *change);
	/* A client opened a TCP stream, by a mapping OUT or as a channel. Answered in the call:
	 * rstun_channel_take, rstun_channel_refuse, or neither: then the server connects it to the
	 * target or to its tcp-upstream, as rstund would. NULL: it does so always. `user` is the
	 * server's. */
	void (*on_channel)(const struct rstun_channel_request *request, void *user);
	/* After rstun_server_stop: all has ended. May be NULL. */
	void (*on_stopped)(struct rstun_server *server, void *user);
};

/* A server, which listens when this returns. Options are those of "rstund server" in rstund(8) in
 * the same form as of rstun_client_new; also "cert-pem" and "key-pem", the certificates and their
 * key themselves. Needed is "password". Without a certificate it makes a self-signed one, for as
 * long as it lives, or kept in the directory "state-dir" (which is made, and is for one server at a
 * time); otherwise the library writes no files. "addr" is 127.0.0.1:3515 if not given. With
 * on_channel, mappings OUT^...^ANY need no tcp-upstream. An IN address that another session has is
 * in use, even when that client is gone without a word, until its quic-timeout-ms.
 * RSTUN_E_CONFIG_INVALID, RSTUN_E_CERT_INVALID, RSTUN_E_ADDRESS_IN_USE, RSTUN_E_PERMISSION_DENIED,
 * RSTUN_E_STATE_WRITE_FAILED, RSTUN_E_NOMEM, RSTUN_E_WRONG_THREAD, ...; `error` as there. */
RSTUN_API int rstun_server_new(struct rstun_server **ret, struct rstun_context *context,
			       const struct rstun_option *options, size_t option_count,
			       const struct rstun_server_ops *ops, void *user, char *error,
			       size_t error_size);

/* "127.0.0.1:3515", with the port that it got. Good as long as the server. Any thread. */
RSTUN_API const char *rstun_server_address(const struct rstun_server *server);

/* "sha256/BASE64": a client with this as "pin" takes no other server for it. Good as long as the
 * server. Any thread. */
RSTUN_API const char *rstun_server_pin(const struct rstun_server *server);

/* No new sessions, flows and channels from now on. TCP flows and channels that are open may go on
 * until they end, but not longer than grace_ms; what is left then is cut, channels get on_error
 * with RSTUN_E_SHUTTING_DOWN. on_stopped follows once; the server is still to be freed. A second
 * call does nothing. RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_server_stop(struct rstun_server *server, uint64_t grace_ms);

/* Frees it with its sessions and channels, at once, see rstun_context_free. */
RSTUN_API void rstun_server_free(struct rstun_server *server);

/* ---- Channel --------------------------------------------------------------------------------- */

/* Each may be NULL. on_closed or on_error is the last call of a channel, which is still to be freed
 * then. */
struct rstun_channel_ops {
	size_t size; /* sizeof(struct rstun_channel_ops): later versions have more members */
	/* The tunnel carries it now: there is room for bytes. The server tells nothing of its own
	 * connection to the target: a target that cannot be reached is an on_error later. */
	void (*on_open)(struct rstun_channel *channel, void *user);
	/* Bytes arrived. Comes again only for more of them: read until RSTUN_E_AGAIN, or remember
	 * that there is something. As long as nothing is read the far side is held back. */
	void (*on_readable)(struct rstun_channel *channel, void *user);
	/* There is room again, half of all that can wait, after a write took less than it was given;
	 * or the far side wants no more bytes, which the next write tells. */
	void (*on_writable)(struct rstun_channel *channel, void *user);
	/* The far side has sent everything, and all of it has been read. */
	void (*on_end)(struct rstun_channel *channel, void *user);
	/* Both directions have ended: the far side's end was read, and what was written has been
	 * acknowledged by the other end of the tunnel up to rstun_channel_finish. */
	void (*on_closed)(struct rstun_channel *channel, void *user);
	/* It failed, bytes that were not read are gone. RSTUN_E_TARGET_REFUSED,
	 * RSTUN_E_TARGET_UNREACHABLE, RSTUN_E_DNS_FAILED, RSTUN_E_ACCESS_DENIED, RSTUN_E_TIMEOUT
	 * (the target, or the tunnel did not come up in 5 s), RSTUN_E_AUTH_FAILED (and whatever
	 * else keeps the tunnel down), RSTUN_E_RESET, RSTUN_E_SHUTTING_DOWN, ...; `text` says it in
	 * words. The original server (rstun) gives RSTUN_E_RESET for what goes wrong behind it. */
	void (*on_error)(struct rstun_channel *channel, void *user, int error, const char *text);
};

/* Opens a TCP stream through the tunnel to `target`, HOST:PORT as the server sees it, or to the
 * server's default upstream (NULL). May be called before the tunnel is up: it waits up to 5 s.
 * `ops` are copied; NULL = no callbacks. RSTUN_E_MALFORMED (the target), RSTUN_E_LIMIT_REACHED (too
 * many wait), RSTUN_E_SHUTTING_DOWN, RSTUN_E_NOMEM, RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_channel_open(struct rstun_channel **ret, struct rstun_client *client,
				 const char *target, const struct rstun_channel_ops *ops,
				 void *user);

/* A TCP stream that the far side opened and that the program may have. Good, with all that it
 * points to, for the call of on_channel that it came with. Members may be added at the end. */
struct rstun_channel_request {
	/* At a server: HOST:PORT that the client wants to reach; NULL = the server's default. At a
	 * client: NULL. */
	const char *target;
	const char *peer; /* address of the client, or of the server */
	uint64_t id;      /* at a server: of the session; at a client: of the mapping */
};

/* Takes it: a channel of the server's or client's that was asked, as one that rstun_channel_open
 * made but that it is open at once: it can be read and written here already. on_open comes as well,
 * as its first callback, and on_readable when there are bytes by then. `ops` are copied.
 * RSTUN_E_CLOSED (it was answered, or is gone), RSTUN_E_MALFORMED (`ops`), RSTUN_E_NOMEM,
 * RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_channel_take(struct rstun_channel **ret,
				 const struct rstun_channel_request *request,
				 const struct rstun_channel_ops *ops, void *user);

/* Refuses it. The far side gets the reason if it is one of RSTUN_E_TARGET_REFUSED,
 * RSTUN_E_TARGET_UNREACHABLE, RSTUN_E_TIMEOUT, RSTUN_E_ACCESS_DENIED, RSTUN_E_LIMIT_REACHED,
 * RSTUN_E_DNS_FAILED, RSTUN_E_SHUTTING_DOWN, and RSTUN_E_RESET otherwise; the original (rstun)
 * gets a plain reset. RSTUN_E_CLOSED and RSTUN_E_WRONG_THREAD as above. */
RSTUN_API int rstun_channel_refuse(const struct rstun_channel_request *request, int error);

/* Copies up to `bytes` bytes that arrived. Returns how many; 0: the far side has sent everything
 * (or `bytes` is 0); RSTUN_E_AGAIN: nothing now; what on_error told or will tell;
 * RSTUN_E_CANCELLED after rstun_channel_abort; RSTUN_E_WRONG_THREAD. */
RSTUN_API ssize_t rstun_channel_read(struct rstun_channel *channel, void *buffer, size_t bytes);

/* Takes up to `bytes` bytes, as many as there is room for, and returns how many: fewer than given
 * (0 too) when it is full or not open yet; on_writable (or on_open) follows then. What waits for
 * the far side is bounded. RSTUN_E_CLOSED after rstun_channel_finish; when the far side wants no
 * more, its reason, RSTUN_E_RESET mostly; errors as for reading. */
RSTUN_API ssize_t rstun_channel_write(struct rstun_channel *channel, const void *data,
				      size_t bytes);

/* Bytes that a write would take now; 0 when it is full, not open or over. */
RSTUN_API size_t rstun_channel_room(const struct rstun_channel *channel);

/* No more bytes: the far side gets an end of file behind all that was written; reading goes on. May
 * be called before on_open. RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_channel_finish(struct rstun_channel *channel);

/* Why it failed, as on_error told or will tell; or why the far side takes no more bytes; 0: it has
 * not. *ret_text (NULL = not wanted) is that in words, "" for 0, good while the channel lives.
 * RSTUN_E_CANCELLED after rstun_channel_abort; RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_channel_error(const struct rstun_channel *channel, const char **ret_text);

/* Resets it now. No callback follows. RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_channel_abort(struct rstun_channel *channel);

/* Frees it. If both directions were over (finished here, the far side's end read) what was written
 * is still delivered as long as the client or server lives, and a stop of that waits for it; else
 * it is reset. So is one whose far side takes nothing for a minute or two. */
RSTUN_API void rstun_channel_free(struct rstun_channel *channel);

/* ---- Channel as a bufferevent ---------------------------------------------------------------- */

/* *ret is a bufferevent of libevent (2.1.12 or later) on the context's event_base that reads and
 * writes the channel, for code that has one of a socket elsewhere. From now on the channel's own
 * callbacks are not called, reading, writing and finishing are the bufferevent's, and
 * bufferevent_free frees the channel, too: what has left its output buffer is still delivered, with
 * an end of file, as long as the client lives (rstun_client_stop waits until the far side ends); if
 * something was left there, or it was not open yet, or the far side takes nothing for a minute or
 * two, it is reset. If the channel goes first, because its client is freed, the bufferevent stays,
 * silent, to be freed by the program.
 *
 *   Events: BEV_EVENT_CONNECTED once, as on_open. BEV_EVENT_EOF once, when the far side's last byte
 *   is in the input buffer; writing may go on. BEV_EVENT_ERROR once: errno is a likeness of the
 *   reason, rstun_channel_error the reason, until the bufferevent is freed. Once before that it may
 *   come with BEV_EVENT_WRITING: the far side takes no more, and reading goes on.
 *   bufferevent_flush(EV_WRITE, BEV_FINISHED): end of file behind what was written, as
 *   rstun_channel_finish (what shutdown(SHUT_WR) is elsewhere: there is no descriptor).
 *   Watermarks, timeouts, bufferevent_enable and bufferevent_disable of EV_READ: as with a socket;
 *   what is not read holds the far side back. What is written while EV_WRITE is disabled goes out
 *   with the next write or flush after it is enabled, as with every filter of libevent.
 *   Callbacks are deferred (BEV_OPT_DEFER_CALLBACKS), and may free everything.
 *
 * RSTUN_E_ALREADY_EXISTS (it has one), RSTUN_E_NOMEM, RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_channel_bufferevent(struct bufferevent **ret, struct rstun_channel *channel);

/* ---- UDP ------------------------------------------------------------------------------------- */

/* The longest datagram that UDP carries over IPv4. */
#define RSTUN_UDP_DATAGRAM_MAX 65507

/* Datagrams to and from any number of targets. Each target that is written to has a flow: from the
 * server on, its datagrams come from one source port, and what the target sends to that port comes
 * back here. A flow ends when nothing has moved for udp-timeout-ms (an option of the client; the
 * server's may be longer), and the next datagram begins another, from another port. As with UDP
 * itself, datagrams may be lost on the way without a word, and nothing holds a sender back; never
 * are they cut, merged or mixed up. At most 256 targets at a time, and 256 objects of a client.
 *
 * `target` is HOST:PORT as the server sees it, or NULL, the server's default upstream. Callbacks
 * name it letter by letter as it was written to; two spellings of it are two targets. Toward the
 * original server (rstun) there is NULL only: it leads datagrams to its --udp-upstream, if it has
 * one, whatever they name. */

/* Each may be NULL. on_error is the last call of an object, which is still to be freed then. */
struct rstun_udp_ops {
	size_t size; /* sizeof(struct rstun_udp_ops): later versions have more members */
	/* There is a tunnel: datagrams are taken. Comes again whenever a tunnel was lost and another
	 * one is there; all flows are new then. */
	void (*on_open)(struct rstun_udp *udp, void *user);
	/* A datagram came, of 0 bytes perhaps. */
	void (*on_datagram)(struct rstun_udp *udp, void *user, const char *target,
			    const void *data, size_t bytes);
	/* The server ended the flow to that target and said why; datagrams to it were lost. The next
	 * one begins another. RSTUN_E_DNS_FAILED, RSTUN_E_ACCESS_DENIED (also: the server has no
	 * default upstream), RSTUN_E_TARGET_UNREACHABLE, RSTUN_E_LIMIT_REACHED,
	 * RSTUN_E_SHUTTING_DOWN, ...; `text` says it in words. A port where nobody listens is no
	 * error, and the original server says nothing. */
	void (*on_target_error)(struct rstun_udp *udp, void *user, const char *target, int error,
				const char *text);
	/* There was no tunnel for 5 s (RSTUN_E_TIMEOUT), at first or after it was lost, or there will
	 * be none: RSTUN_E_AUTH_FAILED and whatever else keeps it down, RSTUN_E_SHUTTING_DOWN. */
	void (*on_error)(struct rstun_udp *udp, void *user, int error, const char *text);
};

/* Makes one. `ops` are copied. RSTUN_E_LIMIT_REACHED, RSTUN_E_SHUTTING_DOWN, RSTUN_E_NOMEM,
 * RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_udp_open(struct rstun_udp **ret, struct rstun_client *client,
			     const struct rstun_udp_ops *ops, void *user);

/* Sends a datagram, which is copied; `data` may be NULL when `bytes` is 0. Never waits: what is not
 * 0 says that it was dropped here. RSTUN_E_AGAIN: no tunnel now (on_open follows), or too many
 * bytes wait for the tunnel (256 KiB of a target); RSTUN_E_TOO_LARGE: longer than
 * RSTUN_UDP_DATAGRAM_MAX, or than the 1500 bytes that the original server takes;
 * RSTUN_E_LIMIT_REACHED: too many targets; RSTUN_E_MALFORMED: the target;
 * RSTUN_E_PEER_LACKS_FEATURE: the server is the original, and a target is named; what on_error told
 * or will tell; RSTUN_E_NOMEM, RSTUN_E_WRONG_THREAD. */
RSTUN_API int rstun_udp_send(struct rstun_udp *udp, const char *target, const void *data,
			     size_t bytes);

/* Frees it and ends its flows; what was sent is still delivered if the client lives. */
RSTUN_API void rstun_udp_free(struct rstun_udp *udp);

#ifdef __cplusplus
}
#endif
