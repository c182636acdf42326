/* SPDX-License-Identifier: MIT */
/*
 * One thing in full: a line per member, by the rows that describe it, nested ones indented. What
 * the rows do not know (of a newer daemon) is shown by its name in JSON. No state.
 */
#pragma once

#include "base/field.h"
#include "rstunctl/output.h"

#include <jansson.h>

/* `rows` may be NULL: then names and values are shown as they are. */
void describe_object(const struct output *o, const struct field_rows *rows, const json_t *object);
