/* SPDX-License-Identifier: MIT */
/*
 * The pin of a certificate (base/pin.h has its text form).
 */
#include "tls/tls_private.h"

bool tls_certificate_pin(gnutls_x509_crt_t certificate, uint8_t ret[PIN_BYTES])
{
	size_t bytes = PIN_BYTES;

	return gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, ret, &bytes) == 0 &&
	       bytes == PIN_BYTES;
}
