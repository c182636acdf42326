/* SPDX-License-Identifier: MIT */
/*
 * Text for people: colours, units, clean strings, members of JSON. Tables are in output_table.c.
 */
#include "rstunctl/output.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define OUTPUT_WIDTH_UNKNOWN 80
#define OUTPUT_WIDTH_LEAST 40

const char *const output_format_names[] = {
	[OUTPUT_TABLE] = "table", [OUTPUT_WIDE] = "wide", [OUTPUT_TSV] = "tsv",
	[OUTPUT_JSON] = "json", NULL,
};

const char *const output_color_names[] = {
	[OUTPUT_AUTO] = "auto", [OUTPUT_ALWAYS] = "always", [OUTPUT_NEVER] = "never", NULL,
};

size_t output_terminal_width(FILE *to)
{
	struct winsize size;
	int fd = fileno(to);

	if (fd < 0 || ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return OUTPUT_WIDTH_UNKNOWN;
	return size.ws_col < OUTPUT_WIDTH_LEAST ? OUTPUT_WIDTH_LEAST : size.ws_col;
}

/* no-color.org: the variable counts when it is set and not empty. */
static bool output_wants_color(enum output_color color, bool terminal)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (color != OUTPUT_AUTO)
		return color == OUTPUT_ALWAYS;
	return terminal && (no == NULL || no[0] == '\0') && term != NULL &&
	       strcmp(term, "dumb") != 0;
}

void output_init(struct output *o, FILE *to, enum output_format format, enum output_color color)
{
	int fd = fileno(to);

	*o = (struct output){.to = to, .format = format, .wall_us = clock_wall_us()};
	o->terminal = fd >= 0 && isatty(fd);
	o->color = output_wants_color(color, o->terminal);
	o->ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
	o->width = o->terminal ? output_terminal_width(to) : 0;
}

enum output_hue output_state_hue(const char *state)
{
	static const struct {
		const char *word;
		enum output_hue hue;
	} hues[] = {
		{"tunneling", OUTPUT_GOOD}, {"listening", OUTPUT_GOOD}, {"ok", OUTPUT_GOOD},
		{"running", OUTPUT_GOOD},   {"login", OUTPUT_GOOD},	{"connecting", OUTPUT_BUSY},
		{"connected", OUTPUT_BUSY}, {"reconnecting", OUTPUT_BUSY},
		{"starting", OUTPUT_BUSY},  {"draining", OUTPUT_BUSY},	{"warn", OUTPUT_BUSY},
		{"failed", OUTPUT_BAD},	    {"error", OUTPUT_BAD},	{"refused", OUTPUT_BAD},
		{"paused", OUTPUT_DIM},	    {"idle", OUTPUT_DIM},	{"stopped", OUTPUT_DIM},
		{"skipped", OUTPUT_DIM},    {"debug", OUTPUT_DIM},	{"trace", OUTPUT_DIM},
	};

	for (size_t i = 0; i < sizeof(hues) / sizeof(hues[0]); i++)
		if (strcmp(hues[i].word, state) == 0)
			return hues[i].hue;
	return OUTPUT_PLAIN;
}

const char *output_paint(const struct output *o, enum output_hue hue)
{
	static const char *const codes[] = {
		[OUTPUT_PLAIN] = "\033[0m", [OUTPUT_GOOD] = "\033[32m", [OUTPUT_BUSY] = "\033[33m",
		[OUTPUT_BAD] = "\033[31m",  [OUTPUT_DIM] = "\033[2m",   [OUTPUT_BOLD] = "\033[1m",
	};

	return o->color ? codes[hue] : "";
}

/* ---- Text ------------------------------------------------------------------------------------ */

/* Control characters of both sets, line and paragraph ends, and what turns the direction of writing
 * or cannot be seen: a name could show itself as another one by them. */
static bool output_hidden(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad ||
	       (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

/* The next character: how many bytes it has, and how many it needs when it is written. */
static size_t output_clean_next(const char *text, size_t left, size_t *ret_need)
{
	uint32_t code = 0;
	size_t bytes = utf8_decode(&code, text, left);
	bool escape = bytes == 0 || output_hidden(code);

	if (bytes == 0)
		bytes = 1;
	*ret_need = escape ? 4 * bytes : bytes;
	return bytes;
}

const char *output_clean(char *buf, size_t size, const char *text)
{
	size_t left = strlen(text), used = 0, total = 0, most, need, bytes;

	for (size_t i = 0; i < left; i += bytes) {
		bytes = output_clean_next(text + i, left - i, &need);
		total += need;
	}
	most = total < size ? total : size < 4 ? 0 : size - 4; /* room for what ends a cut text */
	for (; left > 0; text += bytes, left -= bytes) {
		bytes = output_clean_next(text, left, &need);
		if (used + need > most)
			break;
		for (size_t i = 0; i < bytes && need != bytes; i++)
			used += (size_t)snprintf(buf + used, 5, "\\x%02x", (unsigned char)text[i]);
		if (need == bytes) {
			memcpy(buf + used, text, bytes);
			used += bytes;
		}
	}
	if (size > 0)
		snprintf(buf + used, size - used, "%s", left > 0 && size >= 4 ? "..." : "");
	return buf;
}

const char *output_bytes(char *buf, size_t size, double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	size_t unit = 0;

	while (bytes >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		unit++;
	}
	snprintf(buf, size, unit > 0 && bytes < 99.95 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
	return buf;
}

const char *output_ms(char *buf, size_t size, uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (ms < 1000)
		snprintf(buf, size, "%" PRIu64 " ms", ms);
	else if (ms < 10000)
		snprintf(buf, size, "%" PRIu64 ".%" PRIu64 " s", s, ms % 1000 / 100);
	else if (s < 60)
		snprintf(buf, size, "%" PRIu64 " s", s);
	else if (s < 3600)
		snprintf(buf, size, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, size, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(buf, size, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s / 3600 % 24);
	return buf;
}

/* Days since 1970-01-01 of a day of the proleptic Gregorian calendar. */
static int64_t output_days(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year, era = y / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool output_parse_time(int64_t *ret_us, const char *text)
{
	int year, month, day, hour, minute, second, taken = 0;
	int64_t us = 0, digit = 100000;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second,
		   &taken) != 6 ||
	    taken != 19 || year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 ||
	    hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
		return false;
	text += taken;
	if (*text == '.')
		for (text++; *text >= '0' && *text <= '9'; text++, digit /= 10)
			us += (*text - '0') * digit;
	if (strcmp(text, "Z") != 0)
		return false;
	*ret_us = (((output_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) *
			  1000000 + us;
	return true;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

const json_t *output_member(const json_t *object, const char *path)
{
	char name[64];

	while (object != NULL && *path != '\0') {
		size_t bytes = strcspn(path, ".");

		if (bytes >= sizeof(name))
			return NULL;
		memcpy(name, path, bytes);
		name[bytes] = '\0';
		object = json_object_get(object, name);
		path += bytes + (path[bytes] == '.');
	}
	return object;
}

const char *output_string(const json_t *object, const char *path)
{
	const char *text = json_string_value(output_member(object, path));

	return text != NULL ? text : "";
}

uint64_t output_number(const json_t *object, const char *path)
{
	json_int_t value = json_integer_value(output_member(object, path));

	return value < 0 ? 0 : (uint64_t)value;
}

double output_real(const json_t *object, const char *path)
{
	return json_number_value(output_member(object, path));
}

bool output_flag(const json_t *object, const char *path)
{
	return json_is_true(output_member(object, path));
}

void output_json(const struct output *o, const json_t *value)
{
	json_dumpf(value, o->to, (o->terminal ? JSON_INDENT(2) : JSON_COMPACT) | JSON_ENCODE_ANY);
	fputc('\n', o->to);
}
