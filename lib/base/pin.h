/* SPDX-License-Identifier: MIT */
/*
 * Public key pins: SHA-256 over a certificate's SubjectPublicKeyInfo (RFC 7469 section 2.4), and
 * their text form "sha256/BASE64=". Pure; how a pin is made of a certificate is in tls/.
 */
#pragma once

#include <stdint.h>

#define PIN_BYTES 32
#define PIN_TEXT_SIZE 64 /* "sha256/" + base64 + NUL */

/* "sha256/BASE64=". Returns buf. */
const char *pin_format(char buf[PIN_TEXT_SIZE], const uint8_t pin[PIN_BYTES]);
/* The padding may be left out. RSTUN_E_MALFORMED. */
int pin_parse(uint8_t ret[PIN_BYTES], const char *text);
