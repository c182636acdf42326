/* SPDX-License-Identifier: MIT */
/*
 * A role's configuration as a whole: defaults, the checks that concern several options, the
 * original's adjustments, the end. What concerns one option is checked by its row
 * (config_fields.c), as soon as it is set and again here. Pure but for interface names. One thread
 * at a time per configuration.
 */
#include "config/config.h"

#include "base/error.h"
#include "base/log.h"
#include "config/config_private.h"

#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who hears of adjustments. */
struct config_warn {
	void (*call)(void *user, const char *text);
	void *user;
};

__attribute__((format(printf, 2, 3))) static void config_warn(const struct config_warn *warn,
							      const char *format, ...)
{
	char text[FIELD_ERROR_SIZE];
	va_list args;

	if (warn->call == NULL)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	warn->call(warn->user, text);
}

/* The checks of the rows, all again: members may have been set without field_set. */
static int config_check_rows(const struct field *rows, size_t count, void *config, char *error)
{
	for (size_t i = 0; i < count; i++) {
		char why[FIELD_ERROR_SIZE / 4 * 3];
		int rv = rows[i].check != NULL ? rows[i].check(config, why, sizeof(why)) : 0;

		if (rv == RSTUN_E_NOMEM)
			return rv;
		if (rv != 0) {
			snprintf(error, FIELD_ERROR_SIZE, "--%s: %s", rows[i].name, why);
			return RSTUN_E_CONFIG_INVALID;
		}
	}
	return 0;
}

static int config_invalid(char error[FIELD_ERROR_SIZE], const char *text)
{
	snprintf(error, FIELD_ERROR_SIZE, "%s", text);
	return RSTUN_E_CONFIG_INVALID;
}

static void config_adjust_timeouts(uint64_t *quic_timeout_ms, uint64_t *udp_timeout_ms)
{
	if (*quic_timeout_ms == 0)
		*quic_timeout_ms = CONFIG_QUIC_TIMEOUT_MS;
	if (*udp_timeout_ms == 0)
		*udp_timeout_ms = CONFIG_UDP_TIMEOUT_MS;
}

static void config_warn_bind(const struct config_warn *warn, const char *bind_device,
			     const struct address *bind_address)
{
	char quoted[80];

	if (bind_device != NULL && bind_address->len == 0 && if_nametoindex(bind_device) == 0)
		config_warn(warn,
			    "--bind: there is no network interface \"%s\" now; nothing gets out "
			    "until there is one",
			    log_quote(quoted, sizeof(quoted), bind_device, strlen(bind_device)));
}

static int config_need_password(const char *password, char error[FIELD_ERROR_SIZE])
{
	if (password != NULL)
		return 0;
	return config_invalid(error, "a password is needed: give --password-file FILE, or set the "
				     "environment variable RSTUN_PASSWORD, or give --password");
}

int server_config_check(struct server_config *c, void (*warn)(void *user, const char *text),
			void *user, char error[FIELD_ERROR_SIZE])
{
	struct config_warn to = {warn, user};
	int rv = config_check_rows(server_config_fields, server_config_field_count, c, error);

	if (rv != 0)
		return rv;
	if ((c->cert_file == NULL) != (c->key_file == NULL))
		return config_invalid(
			error, c->cert_file == NULL
				       ? "--key is given without --cert: give both or neither"
				       : "--cert is given without --key: give both or neither");
	if (c->cert_file != NULL && (c->cert_pem != NULL || c->key_pem != NULL))
		return config_invalid(error, "--cert names a file, and certificate or key are also "
					     "given as text (cert_pem, key_pem): give one form");
	if ((c->cert_pem == NULL) != (c->key_pem == NULL))
		return config_invalid(error, c->cert_pem == NULL
						     ? "key_pem is given without cert_pem: give "
						       "both or neither"
						     : "cert_pem is given without key_pem: give "
						       "both or neither");
	if (c->proxy_protocol != CONFIG_PROXY_PROTOCOL_OFF && c->tcp_upstream.kind == TARGET_DEFAULT)
		return config_invalid(error, "--proxy-protocol is for connections to the "
					     "--tcp-upstream, and there is none: give both or "
					     "neither");
	config_adjust_timeouts(&c->quic_timeout_ms, &c->udp_timeout_ms);
	config_warn_bind(&to, c->bind_device, &c->bind_address);
	return config_need_password(c->password, error);
}

static int config_check_duplicates(const struct client_config *c, char error[FIELD_ERROR_SIZE])
{
	char first[MAPPING_TEXT_SIZE], second[MAPPING_TEXT_SIZE];
	char where[ADDRESS_TARGET_TEXT_SIZE];

	for (size_t i = 0; i < c->mapping_count; i++) {
		const struct mapping *a = &c->mappings[i];
		const struct target *listens = mapping_listens(a), *other;

		if (listens == NULL)
			continue;
		for (size_t j = 0; j < i; j++) {
			const struct mapping *b = &c->mappings[j];

			other = mapping_listens(b);
			if (a->proto != b->proto || a->mode != b->mode || other == NULL ||
			    !target_equal(listens, other))
				continue;
			snprintf(error, FIELD_ERROR_SIZE,
				 "--%s-mappings: %s and %s both listen on %s of the %s",
				 mapping_proto_name(a->proto),
				 mapping_format(first, sizeof(first), b),
				 mapping_format(second, sizeof(second), a),
				 target_format(where, sizeof(where), listens),
				 a->mode == MAPPING_OUT ? "client" : "server");
			return RSTUN_E_CONFIG_INVALID;
		}
	}
	return 0;
}

static int config_make_mappings(struct client_config *c, char error[FIELD_ERROR_SIZE])
{
	char why[MAPPING_ERROR_SIZE];
	struct mapping *tcp = NULL, *udp = NULL, *all;
	size_t tcp_count = 0, udp_count = 0;
	const char *proto = "tcp";
	int rv = 0;

	if (c->tcp_mappings_text != NULL)
		rv = mapping_parse_list(&tcp, &tcp_count, MAPPING_TCP, c->tcp_mappings_text, why);
	if (rv == 0 && c->udp_mappings_text != NULL) {
		proto = "udp";
		rv = mapping_parse_list(&udp, &udp_count, MAPPING_UDP, c->udp_mappings_text, why);
	}
	if (rv != 0) {
		snprintf(error, FIELD_ERROR_SIZE, "--%s-mappings: %s", proto, why);
		free(tcp);
		return rv == RSTUN_E_NOMEM ? rv : RSTUN_E_CONFIG_INVALID;
	}
	if (tcp_count + udp_count == 0 && c->mappings_optional) {
		free(c->mappings);
		c->mappings = NULL;
		c->mapping_count = 0;
		return 0;
	}
	if (tcp_count + udp_count == 0)
		return config_invalid(error, "must specify either --tcp-mappings or "
					     "--udp-mappings, or both");
	all = calloc(tcp_count + udp_count, sizeof(*all));
	if (all != NULL) {
		if (tcp_count > 0)
			memcpy(all, tcp, tcp_count * sizeof(*all));
		if (udp_count > 0)
			memcpy(all + tcp_count, udp, udp_count * sizeof(*all));
		free(c->mappings);
		c->mappings = all;
		c->mapping_count = tcp_count + udp_count;
	}
	free(tcp);
	free(udp);
	if (all == NULL) {
		config_invalid(error, rstun_strerror(RSTUN_E_NOMEM));
		return RSTUN_E_NOMEM;
	}
	return config_check_duplicates(c, error);
}

static void client_config_adjust(struct client_config *c, const struct config_warn *warn)
{
	config_adjust_timeouts(&c->quic_timeout_ms, &c->udp_timeout_ms);
	if (c->wait_before_retry_ms < CONFIG_RETRY_MIN_MS) {
		config_warn(warn, "--wait-before-retry-ms: %llu is raised to %d",
			    (unsigned long long)c->wait_before_retry_ms, CONFIG_RETRY_MIN_MS);
		c->wait_before_retry_ms = CONFIG_RETRY_MIN_MS;
	}
	if (c->hop_interval_ms != 0 && c->hop_interval_ms < CONFIG_HOP_MIN_MS) {
		config_warn(warn, "--hop-interval-ms: %llu is raised to %d",
			    (unsigned long long)c->hop_interval_ms, CONFIG_HOP_MIN_MS);
		c->hop_interval_ms = CONFIG_HOP_MIN_MS;
	}
	if (c->heartbeat_interval_ms == 0 || c->heartbeat_timeout_ms == 0) {
		c->heartbeat_interval_ms = 0;
		c->heartbeat_timeout_ms = 0;
	} else if (c->heartbeat_timeout_ms < c->heartbeat_interval_ms) {
		config_warn(warn,
			    "--heartbeat-timeout-ms: %llu is below --heartbeat-interval-ms and is "
			    "raised to %llu",
			    (unsigned long long)c->heartbeat_timeout_ms,
			    (unsigned long long)(2 * c->heartbeat_interval_ms));
		c->heartbeat_timeout_ms = 2 * c->heartbeat_interval_ms;
	}
}

int client_config_check(struct client_config *c, void (*warn)(void *user, const char *text),
			void *user, char error[FIELD_ERROR_SIZE])
{
	struct config_warn to = {warn, user};
	int rv;

	if (c->server_addr_text == NULL)
		return config_invalid(error,
				      "--server-addr is missing: give the server to connect to, "
				      "--server-addr HOST[:PORT]");
	rv = config_check_rows(client_config_fields, client_config_field_count, c, error);
	if (rv == 0 && c->cert_file != NULL && c->cert_pem != NULL)
		rv = config_invalid(error, "--cert names a file, and the certificates are also "
					   "given "
					   "as text (cert_pem): give one form");
	if (rv == 0)
		rv = config_make_mappings(c, error);
	if (rv != 0)
		return rv;
	client_config_adjust(c, &to);
	config_warn_bind(&to, c->bind_device, &c->bind_address);
	return config_need_password(c->password, error);
}

int server_config_init(struct server_config *c)
{
	memset(c, 0, sizeof(*c));
	return field_set_defaults(server_config_fields, server_config_field_count, c);
}

int client_config_init(struct client_config *c)
{
	memset(c, 0, sizeof(*c));
	return field_set_defaults(client_config_fields, client_config_field_count, c);
}

void server_config_free(struct server_config *c)
{
	if (c == NULL)
		return;
	field_free(server_config_fields, server_config_field_count, c);
}

void client_config_free(struct client_config *c)
{
	if (c == NULL)
		return;
	field_free(client_config_fields, client_config_field_count, c);
	free(c->servers);
	free(c->mappings);
	free(c->permits);
	c->servers = NULL;
	c->mappings = NULL;
	c->permits = NULL;
	c->server_count = c->mapping_count = c->permit_count = 0;
}
