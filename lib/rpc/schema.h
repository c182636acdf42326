/* SPDX-License-Identifier: MIT */
/*
 * The control API as an OpenRPC 1.2 document with JSON Schemas (draft 7) of params, results,
 * events and errors, made from the same rows that decode and encode them. Pure, any thread.
 */
#pragma once

#include "base/field.h"

#include <jansson.h>

struct schema_params {
	const char *version; /* of the software */
	/* Rows that are not rpc's: the options of a client ("ClientConfig") and of a server
	 * ("ServerConfig"). A name that the API refers to and that is not here is any object. */
	const struct field_rows *const *extra;
	size_t extra_count;
};

/* A new reference; NULL when memory is short. */
json_t *schema_document(const struct schema_params *params);

/* The schema of a struct: inline, nested structs as references into components/schemas. `input`:
 * unknown members are forbidden and required rows required. NULL when memory is short. */
json_t *schema_object(const struct field_rows *rows, bool input);
