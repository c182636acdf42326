/* SPDX-License-Identifier: MIT */
/*
 * From words of the command line to the params of a call, by the rows of the method: numbers,
 * times with units, choices and lists become what the API wants, and what does not fit is told
 * before anything is sent. Files become their contents. No state.
 */
#pragma once

#include "base/field.h"
#include "rpc/api.h"

#include <jansson.h>

/* Sets the row's member in `object`. An empty text is null: not given, or back to the default.
 * RSTUN_E_MALFORMED with a sentence in error ("--drain-ms: ..."), RSTUN_E_NOMEM. */
int call_params_set(json_t *object, const struct field_rows *rows, const struct field *row,
		    const char *text, char error[FIELD_ERROR_SIZE]);

/*
 * key=value of `call`: key is a parameter of the method or an option of the role that it takes
 * (`since.seq=5` for one of an object), key=@FILE is a file's content, key:=JSON is taken as it is.
 * For a method that is not known (`method` NULL) the value is JSON where it can be read as such,
 * and text otherwise.
 */
int call_params_pair(json_t *object, const struct rpc_method_row *method, const char *pair,
		     char error[FIELD_ERROR_SIZE]);

#define CALL_FILE_MAX (192 * 1024) /* bytes: has to fit a request's line */

/* A whole file as text, "-" is standard input. malloc'ed. Kinds of `error` as ctl_complain takes
 * them. */
int call_params_file(char **ret, const char *path, size_t max, struct rpc_error *error);

/* The same for a password: 1 to 1024 bytes of one line without its newline, from a file that only
 * its owner may read. Wipe it with call_params_wipe. */
int call_params_password(char **ret, const char *path, struct rpc_error *error);
void call_params_wipe(char *secret); /* and frees it */
/* Whether a parameter is such a password. */
bool call_params_is_password(const char *key);

/* Words into mappings: each is OUT^9000^ANY, or three follow each other: out 9000 any. A range of
 * ports becomes the mappings that it stands for, or stays one text (`ranges`). Strings and array
 * (NULL-terminated) are malloc'ed. RSTUN_E_MALFORMED with a sentence. */
int call_params_specs(char ***ret, size_t *ret_count, bool udp, bool ranges, char *const *args,
		      size_t count, char error[FIELD_ERROR_SIZE]);
bool call_params_is_range(const char *spec); /* of such a text */
void call_params_free(char **list);
