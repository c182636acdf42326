/* SPDX-License-Identifier: MIT */
/*
 * Between config_fields.c (the rows) and config_check.c: the checks of single options. Each takes
 * the member, NULL when it is not given, and fills what is made from it. They return 0 or
 * RSTUN_E_MALFORMED (RSTUN_E_NOMEM) with a sentence in `error`, which does not name the option.
 */
#pragma once

#include "config/config.h"

#define CONFIG_DEFAULT_ADDR "0.0.0.0:0"

int config_check_password(const char *password, char *error, size_t size);
int config_check_addr(struct address *ret, const char *text, char *error, size_t size);
int config_check_bind(struct address *ret, const char *text, char *error, size_t size);
int config_check_pin(uint8_t ret[32], bool *ret_has, const char *text, char *error, size_t size);
int config_check_sni_names(char *const *names, char *error, size_t size);
int config_check_ports(char *const *ports, char *error, size_t size);
int config_check_dns(char *const *servers, char *error, size_t size);
int config_check_dot(char *const *servers, char *error, size_t size);
int config_check_proxy_auth(const char *auth, char *error, size_t size);
int config_check_mappings(enum mapping_proto proto, const char *text, char *error, size_t size);

/* Frees what *ret held and replaces it by a new array. */
int config_check_servers(struct target **ret, size_t *ret_count, const char *text, char *error,
			 size_t size);
/* The same. */
int config_check_permits(struct permit **ret, size_t *ret_count, char *const *texts, char *error,
			 size_t size);
