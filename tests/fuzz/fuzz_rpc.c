/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as what a caller writes on the control socket. The first byte says how the rest is cut
 * into reads. Every line goes through all that a daemon does before a handler: reader, message,
 * method, params; what is taken is written again and read as the same, what is refused becomes a
 * reply that is JSON. One thread.
 */
#include "base/error.h"
#include "rpc/api.h"
#include "rpc/field_json.h"
#include "rpc/line_reader.h"
#include "rpc/rpc_message.h"

#include <stdlib.h>
#include <string.h>

#define FUZZ_LINE_MAX 4096 /* the limit itself is reached with short inputs too */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* A reply must be a line of JSON that our own side can read. */
static void check_error(const json_t *id, const struct rpc_error *error)
{
	struct rpc_error back;
	json_t *reply, *result;
	size_t bytes;
	char *line = rpc_message_error(id, error, NULL, &bytes);

	check(line != NULL && line[bytes - 1] == '\n' && memchr(line, '\n', bytes) == line + bytes - 1);
	reply = json_loadb(line, bytes, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	check(reply != NULL);
	check(rpc_message_read_reply(reply, &result, &back) == 0);
	check(back.code == error->code && strcmp(back.kind, error->kind) == 0);
	json_decref(reply);
	free(line);
}

/* Secrets aside (there are none in today's params), a struct is what it was after a round trip. */
static void check_params(const struct field_rows *rows, const void *params)
{
	json_t *once = field_json_encode(rows, params), *twice;
	void *copy = calloc(1, rows->size + 1);
	struct rpc_error error;

	check(once != NULL && copy != NULL);
	check(field_json_decode(rows, copy, once, &error) == 0);
	twice = field_json_encode(rows, copy);
	check(json_equal(once, twice));
	field_free(rows->rows, rows->count, copy);
	json_decref(once);
	json_decref(twice);
	free(copy);
}

static void fuzz_request(const struct rpc_request *r)
{
	const struct rpc_method_row *row;
	struct rpc_error error;
	void *params;
	int method;

	if (r->error.code != 0) {
		check_error(r->id, &r->error);
		return;
	}
	method = rpc_method_find(r->method);
	if (method < 0) {
		rpc_method_suggest(r->method);
		return;
	}
	row = &rpc_methods[method];
	params = calloc(1, row->params->size + 1);
	check(params != NULL);
	if (field_json_decode_params(row, params, r->params, &error) == 0) {
		check_params(row->params, params);
		field_free(row->params->rows, row->params->count, params);
	} else {
		check_error(r->id, &error);
	}
	free(params);
}

static void fuzz_lines(struct line_reader *reader)
{
	struct rpc_message m;
	size_t bytes;
	char *line;
	int rv;

	while ((rv = line_reader_next(reader, &line, &bytes)) != RSTUN_E_AGAIN) {
		check(rv == 0 || rv == RSTUN_E_TOO_LARGE);
		rv = rv == 0 ? rpc_message_parse(&m, line, bytes) : rpc_message_too_long(&m);
		check(rv == 0 && m.count >= 1 && m.count <= RPC_BATCH_MAX);
		for (size_t i = 0; i < m.count; i++)
			fuzz_request(&m.requests[i]);
		rpc_message_free(&m);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct line_reader reader;
	size_t step;

	if (size == 0)
		return 0;
	step = (size_t)data[0] * 16 + 1;
	data++;
	size--;
	line_reader_init(&reader, FUZZ_LINE_MAX);
	while (size > 0) {
		size_t room;
		char *buf = line_reader_room(&reader, &room);

		check(buf != NULL && room > 0 && reader.room <= FUZZ_LINE_MAX + 1);
		room = room < step ? room : step;
		room = room < size ? room : size;
		memcpy(buf, data, room);
		line_reader_filled(&reader, room);
		data += room;
		size -= room;
		fuzz_lines(&reader);
	}
	line_reader_end(&reader);
	fuzz_lines(&reader);
	line_reader_done(&reader);
	return 0;
}
