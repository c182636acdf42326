/* SPDX-License-Identifier: MIT */
/*
 * What a role is told: plain structs and the option rows that fill them (config.c). Names and
 * defaults are those of the original. A config is built on one thread, then shared read-only;
 * whoever made it frees it after the roles that use it are gone.
 */
#pragma once

#include "base/address.h"
#include "base/field.h"
#include "base/mapping.h"
#include "config/permit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_cipher {
	CONFIG_CIPHER_CHACHA20_POLY1305, /* the default */
	CONFIG_CIPHER_AES_256_GCM,
	CONFIG_CIPHER_AES_128_GCM,
	CONFIG_CIPHER_AUTO,
};

enum config_congestion {
	CONFIG_CONGESTION_BBR, /* the default, as in the original */
	CONFIG_CONGESTION_CUBIC,
	CONFIG_CONGESTION_RENO,
};

enum config_proxy_protocol {
	CONFIG_PROXY_PROTOCOL_OFF, /* the default */
	CONFIG_PROXY_PROTOCOL_V2,
};

#define CONFIG_DEFAULT_PORT 3515
#define CONFIG_CONNECT_TIMEOUT_MS 5000 /* dialling an upstream, and how long an accepted
					* connection waits for the tunnel */
#define CONFIG_PASSWORD_MAX 1024
#define CONFIG_PEM_MAX 65536 /* bytes of certificates or of a key */
#define CONFIG_PROXY_USER_MAX 255 /* bytes of a user and of a password (RFC 1929 section 2) */

struct server_config {
	/* members that rows fill */
	char *addr_text;           /* -a */
	char *password;            /* -p: never empty after config_check */
	char *password_file;
	char *tcp_upstream_text;   /* -t */
	char *udp_upstream_text;   /* -u */
	int proxy_protocol;        /* enum config_proxy_protocol: toward tcp_upstream */
	char **proxy_ports;        /* IN: in front of what is accepted there; NULL = none */
	char *cert_file, *key_file; /* -c, -k; both or none */
	char *cert_pem, *key_pem;  /* their contents instead; both or none */
	uint64_t workers;          /* -w, 0 = cores */
	uint64_t quic_timeout_ms;
	uint64_t tcp_timeout_ms;   /* 0 = never */
	uint64_t udp_timeout_ms;
	uint64_t max_idle_ms;      /* cap on the idle timeouts a client may ask for; 0 = none */
	int congestion;            /* enum config_congestion */
	char *bind_device;         /* --bind: interface, or the text of bind_address */
	uint64_t fwmark;           /* 0 = none */
	char *state_dir;
	int loglevel;              /* 0..4 = T D I W E */
	bool exit_on_failure;
	uint64_t ready_fd;         /* UINT64_MAX = none */
	/* set by the caller, not a row: TCP mappings to ANY are let in without a default upstream,
	 * because somebody else decides where their streams lead */
	bool tcp_upstream_optional;
	/* made by server_config_check */
	struct address addr;
	struct target tcp_upstream; /* TARGET_DEFAULT = none */
	struct target udp_upstream;
	struct address bind_address; /* len 0 = none */
};

struct client_config {
	char *server_addr_text;    /* -a; addresses of one server, separated by commas */
	char *password;
	char *password_file;
	char *tcp_mappings_text;   /* -t */
	char *udp_mappings_text;   /* -u */
	char *cert_file;           /* -c */
	char *cert_pem;            /* its content instead */
	char *pin;                 /* sha256/BASE64 of the server's SPKI */
	int cipher;                /* enum config_cipher */
	uint64_t workers;
	uint64_t wait_before_retry_ms;
	uint64_t quic_timeout_ms;
	uint64_t tcp_timeout_ms;
	uint64_t udp_timeout_ms;
	uint64_t heartbeat_interval_ms; /* either 0 = off */
	uint64_t heartbeat_timeout_ms;
	uint64_t hop_interval_ms;  /* 0 = off */
	char *proxy_auth;          /* USER:PASSWORD of who may ask a SOCKS5 or HTTP listener */
	char *proxy_auth_file;
	char **permit_remote_open; /* lists: NULL or NULL-terminated */
	char **dot_servers;
	char **dns_servers;
	char **sni_names;
	int congestion;
	char *bind_device;
	uint64_t fwmark;
	char *state_dir;
	int loglevel;
	bool exit_on_failure;
	uint64_t ready_fd;
	/* set by the caller, not a row: no mapping is no error, they come separately */
	bool mappings_optional;
	/* made by client_config_check */
	struct target *servers;    /* at least one; names or addresses, port filled in */
	size_t server_count;
	struct mapping *mappings;  /* tcp first, in the order given */
	size_t mapping_count;
	struct permit *permits;    /* of permit_remote_open */
	size_t permit_count;
	struct address bind_address;
	uint8_t pin_sha256[32];
	bool has_pin;
};

#define CONFIG_SERVERS_MAX 16      /* addresses of one server */
#define CONFIG_QUIC_TIMEOUT_MS 30000
#define CONFIG_UDP_TIMEOUT_MS 5000
#define CONFIG_RETRY_MIN_MS 300
#define CONFIG_HOP_MIN_MS 5000

extern const struct field server_config_fields[];
extern const size_t server_config_field_count;
extern const struct field client_config_fields[];
extern const size_t client_config_field_count;

/* Clears the struct and sets the defaults. RSTUN_E_NOMEM. */
int server_config_init(struct server_config *c);
int client_config_init(struct client_config *c);

/*
 * Cross-checks a filled config, fills its derived members and applies the original's adjustments
 * (quic-timeout 0 = 30000, hop raised to 5000, ...). Adjustments that a user should know are
 * reported through `warn` (one sentence each; `warn` may be NULL). The password is looked at last.
 * May be called again after a member was changed.
 * RSTUN_E_CONFIG_INVALID with a sentence in `error`.
 */
int server_config_check(struct server_config *c, void (*warn)(void *user, const char *text),
			void *user, char error[FIELD_ERROR_SIZE]);
int client_config_check(struct client_config *c, void (*warn)(void *user, const char *text),
			void *user, char error[FIELD_ERROR_SIZE]);
/* What to connect to: "[ip:]port", "name:port", "unix:/path" (tcp); NULL: TARGET_DEFAULT.
 * RSTUN_E_MALFORMED with a sentence in `error`. */
int config_check_upstream(struct target *ret, enum mapping_proto proto, const char *text,
			  char *error, size_t size);
/* Whether TCP connections that a listener of an IN mapping accepts on `port` begin with a PROXY
 * header. */
bool config_proxies_in(const struct server_config *c, uint16_t port);
void server_config_free(struct server_config *c); /* members only; secrets are wiped */
void client_config_free(struct client_config *c);
