/* SPDX-License-Identifier: MIT */
/*
 * The options of both roles as rows: names, short forms and defaults are the original's, with ours
 * beside them. Command line, --help, messages and documentation are made from here, so a new option
 * is a member in config.h and a row here. Constant data, any thread.
 */
#include "base/error.h"
#include "config/config_private.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define CONFIG_DAY_MS UINT64_C(86400000)
#define CONFIG_YEAR_MS UINT64_C(31536000000)
#define CONFIG_MAPPINGS_MAX (1024 * 1024) /* bytes: thousands of mappings */
#define CONFIG_PERMITS_MAX 65536          /* bytes */
#define CONFIG_WORKERS_MAX 256            /* the first byte of a connection ID names the worker */

static const char *const config_ciphers[] = {
	[CONFIG_CIPHER_CHACHA20_POLY1305] = "chacha20-poly1305",
	[CONFIG_CIPHER_AES_256_GCM] = "aes-256-gcm",
	[CONFIG_CIPHER_AES_128_GCM] = "aes-128-gcm",
	[CONFIG_CIPHER_AUTO] = "auto",
	NULL,
};

static const char *const config_congestions[] = {
	[CONFIG_CONGESTION_BBR] = "bbr",
	[CONFIG_CONGESTION_CUBIC] = "cubic",
	[CONFIG_CONGESTION_RENO] = "reno",
	NULL,
};

static const char *const config_proxy_protocols[] = {
	[CONFIG_PROXY_PROTOCOL_OFF] = "off",
	[CONFIG_PROXY_PROTOCOL_V2] = "v2",
	NULL,
};

static const char *const config_loglevels[] = {"T", "D", "I", "W", "E", NULL};

/* ---- Checks, from the untyped struct of a row to the member ---------------------------------- */

static int server_check_addr(void *config, char *error, size_t size)
{
	struct server_config *c = config;

	return config_check_addr(&c->addr, c->addr_text, error, size);
}

static int server_check_password(void *config, char *error, size_t size)
{
	return config_check_password(((struct server_config *)config)->password, error, size);
}

static int server_check_tcp_upstream(void *config, char *error, size_t size)
{
	struct server_config *c = config;

	return config_check_upstream(&c->tcp_upstream, MAPPING_TCP, c->tcp_upstream_text, error,
				     size);
}

static int server_check_udp_upstream(void *config, char *error, size_t size)
{
	struct server_config *c = config;

	return config_check_upstream(&c->udp_upstream, MAPPING_UDP, c->udp_upstream_text, error,
				     size);
}

static int server_check_proxy_ports(void *config, char *error, size_t size)
{
	return config_check_ports(((struct server_config *)config)->proxy_ports, error, size);
}

static int server_check_bind(void *config, char *error, size_t size)
{
	struct server_config *c = config;

	return config_check_bind(&c->bind_address, c->bind_device, error, size);
}

static int client_check_server_addr(void *config, char *error, size_t size)
{
	struct client_config *c = config;

	return config_check_servers(&c->servers, &c->server_count, c->server_addr_text, error,
				    size);
}

static int client_check_password(void *config, char *error, size_t size)
{
	return config_check_password(((struct client_config *)config)->password, error, size);
}

static int client_check_tcp_mappings(void *config, char *error, size_t size)
{
	struct client_config *c = config;

	return config_check_mappings(MAPPING_TCP, c->tcp_mappings_text, error, size);
}

static int client_check_udp_mappings(void *config, char *error, size_t size)
{
	struct client_config *c = config;

	return config_check_mappings(MAPPING_UDP, c->udp_mappings_text, error, size);
}

static int client_check_pin(void *config, char *error, size_t size)
{
	struct client_config *c = config;

	return config_check_pin(c->pin_sha256, &c->has_pin, c->pin, error, size);
}

static int client_check_sni_names(void *config, char *error, size_t size)
{
	return config_check_sni_names(((struct client_config *)config)->sni_names, error, size);
}

static int client_check_dot(void *config, char *error, size_t size)
{
	return config_check_dot(((struct client_config *)config)->dot_servers, error, size);
}

static int client_check_dns(void *config, char *error, size_t size)
{
	return config_check_dns(((struct client_config *)config)->dns_servers, error, size);
}

static int client_check_proxy_auth(void *config, char *error, size_t size)
{
	return config_check_proxy_auth(((struct client_config *)config)->proxy_auth, error, size);
}

static int client_check_proxy_auth_file(void *config, char *error, size_t size)
{
	const char *file = ((struct client_config *)config)->proxy_auth_file;

	if (file == NULL || strcmp(file, "-") != 0)
		return 0;
	snprintf(error, size, "standard input is for the password: name a file");
	return RSTUN_E_MALFORMED;
}

static int client_check_permits(void *config, char *error, size_t size)
{
	struct client_config *c = config;

	return config_check_permits(&c->permits, &c->permit_count, c->permit_remote_open, error,
				    size);
}

static int client_check_bind(void *config, char *error, size_t size)
{
	struct client_config *c = config;

	return config_check_bind(&c->bind_address, c->bind_device, error, size);
}

/* ---- Rows that both roles have, the struct being the only difference ------------------------- */

#define CONFIG_ROW_PASSWORD(role)                                                                  \
	{                                                                                          \
		.name = "password", .short_name = 'p', .type = FIELD_SECRET,                       \
		.offset = offsetof(struct role##_config, password), .max = CONFIG_PASSWORD_MAX,    \
		.argument = "TEXT", .check = role##_check_password, .group = "Password",           \
		.help = "The password that server and client share. Other users can see it in "    \
			"the list of processes until it is wiped: --password-file is safer. "      \
			"Without either, the systemd credential \"password\", the environment "    \
			"variable RSTUN_PASSWORD and a question on the terminal are tried in "     \
			"this order.",                                                             \
	}

#define CONFIG_ROW_PASSWORD_FILE(role)                                                             \
	{                                                                                          \
		.name = "password-file", .type = FIELD_STRING, .flags = FIELD_FILE,                \
		.offset = offsetof(struct role##_config, password_file), .argument = "FILE",       \
		.help = "Read the password from FILE, which only its owner may read; - is "        \
			"standard input.",                                                         \
	}

#define CONFIG_ROW_WORKERS(role)                                                                   \
	{                                                                                          \
		.name = "workers", .short_name = 'w', .type = FIELD_UINT,                          \
		.flags = FIELD_CLI_ONLY,                                                           \
		.offset = offsetof(struct role##_config, workers), .max = CONFIG_WORKERS_MAX,      \
		.default_text = "0", .argument = "N", .group = "Running",                          \
		.help = "Number of worker threads; 0 is one for each core.",                       \
	}

#define CONFIG_ROW_QUIC_TIMEOUT(role)                                                              \
	{                                                                                          \
		.name = "quic-timeout-ms", .type = FIELD_MS,                                       \
		.offset = offsetof(struct role##_config, quic_timeout_ms), .max = CONFIG_DAY_MS,   \
		.default_text = "30000", .argument = "MS", .unit = "ms", .group = "Timeouts",      \
		.help = "Give a QUIC connection up when nothing came for so long; 0 is 30000.",    \
	}

#define CONFIG_ROW_TCP_TIMEOUT(role)                                                               \
	{                                                                                          \
		.name = "tcp-timeout-ms", .type = FIELD_MS,                                        \
		.offset = offsetof(struct role##_config, tcp_timeout_ms), .max = CONFIG_YEAR_MS,   \
		.default_text = "0", .argument = "MS", .unit = "ms",                               \
		.help = "Cut a TCP connection that was idle for so long; 0 is never. The larger "  \
			"value of client and server counts.",                                      \
	}

#define CONFIG_ROW_UDP_TIMEOUT(role)                                                               \
	{                                                                                          \
		.name = "udp-timeout-ms", .type = FIELD_MS,                                        \
		.offset = offsetof(struct role##_config, udp_timeout_ms), .max = CONFIG_YEAR_MS,   \
		.default_text = "5000", .argument = "MS", .unit = "ms",                            \
		.help = "Forget a UDP peer that was silent in both directions for so long; 0 is "  \
			"5000. The larger value of client and server counts.",                     \
	}

#define CONFIG_ROW_CERT_PEM(role, what)                                                            \
	{                                                                                          \
		.name = "cert-pem", .type = FIELD_STRING, .flags = FIELD_API_ONLY,                 \
		.offset = offsetof(struct role##_config, cert_pem), .max = CONFIG_PEM_MAX,         \
		.argument = "PEM", .help = what,                                                   \
	}

#define CONFIG_ROW_CONGESTION(role)                                                                \
	{                                                                                          \
		.name = "congestion", .type = FIELD_CHOICE,                                        \
		.offset = offsetof(struct role##_config, congestion),                              \
		.choices = config_congestions, .default_text = "bbr", .argument = "NAME",          \
		.group = "Network", .help = "Congestion control of what this side sends.",         \
	}

#define CONFIG_ROW_BIND(role, what)                                                                \
	{                                                                                          \
		.name = "bind", .type = FIELD_STRING,                                              \
		.offset = offsetof(struct role##_config, bind_device), .argument = "ADDR|IFACE",   \
		.check = role##_check_bind, .help = what,                                          \
	}

#define CONFIG_ROW_FWMARK(role)                                                                    \
	{                                                                                          \
		.name = "fwmark", .type = FIELD_UINT,                                              \
		.offset = offsetof(struct role##_config, fwmark), .max = UINT32_MAX,               \
		.default_text = "0", .argument = "MARK",                                           \
		.help = "Firewall mark on the sockets of QUIC and on dials, for policy routing "   \
			"(0x... is hexadecimal); 0 is none. Needs CAP_NET_ADMIN.",                 \
	}

#define CONFIG_ROW_STATE_DIR(role)                                                                 \
	{                                                                                          \
		.name = "state-dir", .type = FIELD_STRING, .flags = FIELD_CLI_ONLY,                \
		.offset = offsetof(struct role##_config, state_dir), .argument = "DIR",            \
		.help = "Where generated keys are kept. Without it: $STATE_DIRECTORY, "            \
			"/var/lib/rstund for root, $XDG_STATE_HOME/rstund for others.",            \
	}

#define CONFIG_ROW_EXIT_ON_FAILURE(role, what)                                                     \
	{                                                                                          \
		.name = "exit-on-failure", .type = FIELD_BOOL, .flags = FIELD_CLI_ONLY,            \
		.offset = offsetof(struct role##_config, exit_on_failure), .help = what,           \
	}

#define CONFIG_ROW_READY_FD(role, what)                                                            \
	{                                                                                          \
		.name = "ready-fd", .type = FIELD_UINT,                                            \
		.flags = FIELD_CLI_ONLY | FIELD_OPTIONAL,                                          \
		.offset = offsetof(struct role##_config, ready_fd), .max = INT_MAX,                \
		.argument = "N", .help = what,                                                     \
	}

#define CONFIG_ROW_LOGLEVEL(role)                                                                  \
	{                                                                                          \
		.name = "loglevel", .short_name = 'l', .type = FIELD_CHOICE,                       \
		.flags = FIELD_CLI_ONLY,                                                           \
		.offset = offsetof(struct role##_config, loglevel), .choices = config_loglevels,   \
		.default_text = "I", .argument = "LEVEL",                                          \
		.help = "How much to log: trace, debug, info, warnings or errors only.",           \
	}

/* ---- The rows -------------------------------------------------------------------------------- */

const struct field server_config_fields[] = {
	{
		.name = "addr", .short_name = 'a', .type = FIELD_STRING,
		.offset = offsetof(struct server_config, addr_text),
		.default_text = CONFIG_DEFAULT_ADDR, .argument = "[IP:]PORT",
		.check = server_check_addr, .group = "Tunnel",
		.help = "Address to listen on for clients. A port alone is on 127.0.0.1; port 0 is "
			"any free one, and is printed.",
	},
	{
		.name = "tcp-upstream", .short_name = 't', .type = FIELD_STRING,
		.offset = offsetof(struct server_config, tcp_upstream_text),
		.argument = "[HOST:]PORT", .check = server_check_tcp_upstream,
		.help = "Where TCP mappings OUT^...^ANY lead. A port alone is on 127.0.0.1; "
			"unix:/PATH is a UNIX socket.",
	},
	{
		.name = "udp-upstream", .short_name = 'u', .type = FIELD_STRING,
		.offset = offsetof(struct server_config, udp_upstream_text),
		.argument = "[HOST:]PORT", .check = server_check_udp_upstream,
		.help = "Where UDP mappings OUT^...^ANY lead. A port alone is on 127.0.0.1.",
	},
	{
		.name = "proxy-protocol", .type = FIELD_CHOICE,
		.offset = offsetof(struct server_config, proxy_protocol),
		.choices = config_proxy_protocols, .default_text = "off", .argument = "VERSION",
		.help = "Begin each connection to the --tcp-upstream with the header of the PROXY "
			"protocol (v2, binary), which tells it the client's address; the upstream "
			"must expect it.",
	},
	{
		.name = "proxy-protocol-in", .type = FIELD_LIST,
		.offset = offsetof(struct server_config, proxy_ports), .argument = "PORT,...",
		.check = server_check_proxy_ports,
		.help = "Begin each TCP connection that an IN mapping accepts on one of these "
			"ports with that header, which tells the client's target who connected; "
			"the target must expect it.",
	},
	CONFIG_ROW_PASSWORD(server),
	CONFIG_ROW_PASSWORD_FILE(server),
	{
		.name = "cert", .short_name = 'c', .type = FIELD_STRING, .flags = FIELD_FILE,
		.offset = offsetof(struct server_config, cert_file), .argument = "FILE",
		.group = "Certificate",
		.help = "Certificate chain in PEM. Without --cert and --key a self-signed "
			"certificate for localhost is made and kept in the state directory.",
	},
	{
		.name = "key", .short_name = 'k', .type = FIELD_STRING, .flags = FIELD_FILE,
		.offset = offsetof(struct server_config, key_file), .argument = "FILE",
		.help = "Private key of the certificate, in PEM.",
	},
	CONFIG_ROW_CERT_PEM(server, "Certificates in PEM: the chain itself, not the name of a "
				    "file. "
				    "Needs the key too."),
	{
		.name = "key-pem", .type = FIELD_SECRET, .flags = FIELD_API_ONLY,
		.offset = offsetof(struct server_config, key_pem), .max = CONFIG_PEM_MAX,
		.argument = "PEM",
		.help = "Private key of the certificate in PEM: the key itself, not the name of a "
			"file.",
	},
	CONFIG_ROW_QUIC_TIMEOUT(server),
	CONFIG_ROW_TCP_TIMEOUT(server),
	CONFIG_ROW_UDP_TIMEOUT(server),
	{
		.name = "max-idle-ms", .type = FIELD_MS,
		.offset = offsetof(struct server_config, max_idle_ms), .max = CONFIG_YEAR_MS,
		.default_text = "0", .argument = "MS", .unit = "ms",
		.help = "The most that a client may ask for as TCP or UDP idle timeout; 0 is no "
			"limit.",
	},
	CONFIG_ROW_CONGESTION(server),
	CONFIG_ROW_BIND(server, "Connect to upstreams from this address or network interface."),
	CONFIG_ROW_FWMARK(server),
	CONFIG_ROW_WORKERS(server),
	CONFIG_ROW_STATE_DIR(server),
	CONFIG_ROW_EXIT_ON_FAILURE(server, "End with status 1 when a listener fails, instead of "
					   "trying again."),
	CONFIG_ROW_READY_FD(server, "Write a line to descriptor N, and close it, when the server "
				    "listens."),
	CONFIG_ROW_LOGLEVEL(server),
};

const size_t server_config_field_count =
	sizeof(server_config_fields) / sizeof(server_config_fields[0]);

const struct field client_config_fields[] = {
	{
		.name = "server-addr", .short_name = 'a', .type = FIELD_STRING,
		.flags = FIELD_REQUIRED | FIELD_REPEAT,
		.offset = offsetof(struct client_config, server_addr_text),
		.argument = "HOST[:PORT]", .check = client_check_server_addr, .group = "Tunnel",
		.help = "The server: a name or an address, port 3515 if none is given. A port "
			"alone is on 127.0.0.1. Several addresses of one server are separated by "
			"commas.",
	},
	{
		.name = "tcp-mappings", .short_name = 't', .type = FIELD_STRING,
		.flags = FIELD_REPEAT | FIELD_CLI_ONLY,
		.offset = offsetof(struct client_config, tcp_mappings_text),
		.max = CONFIG_MAPPINGS_MAX, .argument = "MAPPING,...",
		.check = client_check_tcp_mappings,
		.help = "TCP mappings MODE^[ip:]port^[ip:]port. OUT^9000^ANY listens on "
			"127.0.0.1:9000 here and leads to the server's default upstream; "
			"OUT^9000^10.0.0.5:80 to that address, as the server sees it. "
			"IN^3000^0.0.0.0:18080 listens on the server and leads to 127.0.0.1:3000 "
			"here. OUT^1080^SOCKS5 and IN^SOCKS5^1080, or HTTP, lead where each "
			"connection asks for. What is connected to may be a host name. Quote the "
			"text: some shells treat ^ specially.",
	},
	{
		.name = "udp-mappings", .short_name = 'u', .type = FIELD_STRING,
		.flags = FIELD_REPEAT | FIELD_CLI_ONLY,
		.offset = offsetof(struct client_config, udp_mappings_text),
		.max = CONFIG_MAPPINGS_MAX, .argument = "MAPPING,...",
		.check = client_check_udp_mappings,
		.help = "UDP mappings, in the same form. At least one mapping is needed.",
	},
	CONFIG_ROW_PASSWORD(client),
	CONFIG_ROW_PASSWORD_FILE(client),
	{
		.name = "cert", .short_name = 'c', .type = FIELD_STRING, .flags = FIELD_FILE,
		.offset = offsetof(struct client_config, cert_file), .argument = "FILE",
		.group = "Encryption",
		.help = "Certificates in PEM to trust instead of the system's. A server given as "
			"an IP address is not verified without --cert or --pin.",
	},
	CONFIG_ROW_CERT_PEM(client, "Certificates in PEM to trust instead of the system's: "
				    "themselves, not the name of a file."),
	{
		.name = "pin", .type = FIELD_STRING, .offset = offsetof(struct client_config, pin),
		.argument = "sha256/BASE64", .check = client_check_pin,
		.help = "Accept only a server with this public key; the server prints it when it "
			"starts.",
	},
	{
		.name = "cipher", .short_name = 'e', .type = FIELD_CHOICE,
		.offset = offsetof(struct client_config, cipher), .choices = config_ciphers,
		.default_text = "chacha20-poly1305", .argument = "NAME",
		.help = "Preferred cipher. auto is aes-128-gcm where client and server have AES in "
			"hardware, else chacha20-poly1305; of a server that is not an rstund the "
			"hardware does not count.",
	},
	{
		.name = "sni-names", .type = FIELD_LIST,
		.offset = offsetof(struct client_config, sni_names), .argument = "NAME,...",
		.check = client_check_sni_names,
		.help = "Host names to show on the wire, in turn, instead of the server's; the "
			"certificate is still checked against the server's own name.",
	},
	CONFIG_ROW_QUIC_TIMEOUT(client),
	CONFIG_ROW_TCP_TIMEOUT(client),
	CONFIG_ROW_UDP_TIMEOUT(client),
	{
		.name = "wait-before-retry-ms", .short_name = 'r', .type = FIELD_MS,
		.offset = offsetof(struct client_config, wait_before_retry_ms),
		.max = CONFIG_DAY_MS,
		.default_text = "5000", .argument = "MS", .unit = "ms",
		.help = "Longest wait before a lost connection is tried again; the first wait is "
			"300, and less than that is 300.",
	},
	{
		.name = "heartbeat-interval-ms", .type = FIELD_MS,
		.offset = offsetof(struct client_config, heartbeat_interval_ms),
		.max = CONFIG_DAY_MS,
		.default_text = "5000", .argument = "MS", .unit = "ms",
		.help = "Ask the server for a sign of life so often; 0 is never.",
	},
	{
		.name = "heartbeat-timeout-ms", .type = FIELD_MS,
		.offset = offsetof(struct client_config, heartbeat_timeout_ms),
		.max = CONFIG_DAY_MS,
		.default_text = "15000", .argument = "MS", .unit = "ms",
		.help = "Reconnect when the answer takes longer; 0 turns heartbeats off. Less than "
			"the interval is raised to twice the interval.",
	},
	CONFIG_ROW_CONGESTION(client),
	{
		.name = "hop-interval-ms", .type = FIELD_MS,
		.offset = offsetof(struct client_config, hop_interval_ms), .max = CONFIG_DAY_MS,
		.default_text = "0", .argument = "MS", .unit = "ms",
		.help = "Move to another UDP port so often without losing a byte; 0 is never, and "
			"less than 5000 is 5000.",
	},
	CONFIG_ROW_BIND(client, "Send QUIC packets, and connect to local targets, from this "
				"address or network interface."),
	CONFIG_ROW_FWMARK(client),
	{
		.name = "proxy-auth", .type = FIELD_SECRET,
		.offset = offsetof(struct client_config, proxy_auth),
		.max = 2 * CONFIG_PROXY_USER_MAX + 1, .argument = "USER:PASSWORD",
		.check = client_check_proxy_auth, .group = "SOCKS5 and HTTP",
		.help = "Mappings with SOCKS5 or HTTP serve only who has this user and password. "
			"Other users can see it in the list of processes until it is wiped: "
			"--proxy-auth-file is safer.",
	},
	{
		.name = "proxy-auth-file", .type = FIELD_STRING, .flags = FIELD_FILE,
		.offset = offsetof(struct client_config, proxy_auth_file), .argument = "FILE",
		.check = client_check_proxy_auth_file,
		.help = "Read USER:PASSWORD from FILE, which only its owner may read.",
	},
	{
		.name = "permit-remote-open", .type = FIELD_LIST, .max = CONFIG_PERMITS_MAX,
		.offset = offsetof(struct client_config, permit_remote_open),
		.argument = "HOST:PORT,...", .check = client_check_permits,
		.help = "What connections to a mapping IN^SOCKS5^... or IN^HTTP^... may reach from "
			"here; without it, nothing. HOST is a name, an address, a "
			"network such as 10.0.0.0/8, or * for any, IPv6 in brackets; PORT may be * "
			"too. A name permits what is asked for by that name, wherever it leads, "
			"and nothing that is asked for by address.",
	},
	{
		.name = "dot", .type = FIELD_LIST,
		.offset = offsetof(struct client_config, dot_servers), .argument = "SERVER,...",
		.check = client_check_dot, .group = "Names",
		.help = "Look the server's name up at these DNS-over-TLS servers (NAME or IP#NAME, "
			":PORT if not 853), and nowhere else.",
	},
	{
		.name = "dns", .type = FIELD_LIST,
		.offset = offsetof(struct client_config, dns_servers), .argument = "IP,...",
		.check = client_check_dns,
		.help = "Look the server's name up at these DNS servers instead of the system's.",
	},
	CONFIG_ROW_WORKERS(client),
	CONFIG_ROW_STATE_DIR(client),
	CONFIG_ROW_EXIT_ON_FAILURE(client, "End with status 1 when a mapping cannot be set up, "
					   "instead of trying again."),
	CONFIG_ROW_READY_FD(client, "Write a line to descriptor N, and close it, when every "
				    "mapping is up."),
	CONFIG_ROW_LOGLEVEL(client),
};

const size_t client_config_field_count =
	sizeof(client_config_fields) / sizeof(client_config_fields[0]);
