/* SPDX-License-Identifier: MIT */
/*
 * The writer of log lines: the three forms of a line, levels, a reader that stops (the caller never
 * waits, and what was lost is said), and a descriptor that is dead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rstund/control/log_sink.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_SIZE (2 * 1024 * 1024)
#define WALL_US INT64_C(1795342272345000) /* 2026-11-22T10:11:12.345Z */

/* Reads to the end of the pipe. */
struct reader {
	int fd;
	char *text;
	size_t bytes;
};

static void *reader_run(void *user)
{
	struct reader *r = user;
	ssize_t n;

	while (r->bytes < OUTPUT_SIZE - 1 &&
	       (n = read(r->fd, r->text + r->bytes, OUTPUT_SIZE - 1 - r->bytes)) > 0)
		r->bytes += (size_t)n;
	r->text[r->bytes] = '\0';
	return NULL;
}

static void reader_init(struct reader *r, int fd)
{
	*r = (struct reader){.fd = fd, .text = malloc(OUTPUT_SIZE)};
	assert_non_null(r->text);
}

static void open_pipe(int fds[2])
{
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 4096) > 0);
}

static void test_line(void **state)
{
	struct log_sink *s;
	struct reader r;
	int fds[2];

	(void)state;
	unsetenv("JOURNAL_STREAM");
	open_pipe(fds);
	assert_int_equal(log_sink_new(&s, fds[1], LOG_LEVEL_INFO, LOG_SINK_AUTO), 0);
	log_sink_write(s, LOG_LEVEL_DEBUG, "web", "not asked for", WALL_US);
	log_sink_write(s, LOG_LEVEL_INFO, "web", "one", WALL_US);
	log_sink_lost(s, 3);
	log_sink_write(s, LOG_LEVEL_ERROR, "web", "two", WALL_US);
	log_sink_free(s);
	close(fds[1]);
	reader_init(&r, fds[0]);
	reader_run(&r);
	assert_string_equal(r.text, "2026-11-22T10:11:12.345Z info  [web] one\n"
				    "2026-11-22T10:11:12.345Z warn  [log] 3 lines lost\n"
				    "2026-11-22T10:11:12.345Z error [web] two\n");
	free(r.text);
	close(fds[0]);
}

static void test_journal(void **state)
{
	struct log_sink *s;
	struct reader r;
	struct stat st;
	char stream[64];
	int fds[2];

	(void)state;
	open_pipe(fds);
	assert_int_equal(fstat(fds[1], &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	assert_int_equal(log_sink_new(&s, fds[1], LOG_LEVEL_TRACE, LOG_SINK_AUTO), 0);
	unsetenv("JOURNAL_STREAM");
	log_sink_write(s, LOG_LEVEL_WARN, "web", "one", WALL_US);
	log_sink_write(s, LOG_LEVEL_TRACE, "web", "two", WALL_US);
	log_sink_free(s);
	close(fds[1]);
	reader_init(&r, fds[0]);
	reader_run(&r);
	assert_string_equal(r.text, "<4>[web] one\n<7>[web] two\n");
	free(r.text);
	close(fds[0]);
}

/* What was written in this format, read back. The caller frees it. */
static char *written(enum log_sink_format format, const char *scope, const char *text)
{
	struct log_sink *s;
	struct reader r;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0); /* room for the longest line */
	assert_int_equal(log_sink_new(&s, fds[1], LOG_LEVEL_INFO, format), 0);
	log_sink_write(s, LOG_LEVEL_WARN, scope, text, WALL_US);
	log_sink_free(s);
	close(fds[1]);
	reader_init(&r, fds[0]);
	reader_run(&r);
	close(fds[0]);
	return r.text;
}

static void check_written(enum log_sink_format format, const char *text, const char *want)
{
	char *line = written(format, "web", text);

	assert_string_equal(line, want);
	free(line);
}

static void test_formats(void **state)
{
	(void)state;
	check_written(LOG_SINK_JOURNAL, "one", "<4>[web] one\n");
	check_written(LOG_SINK_TEXT, "one", "2026-11-22T10:11:12.345Z warn  [web] one\n");
#define JSON_LINE(message)                                                                         \
	"{\"timestamp\":\"2026-11-22T10:11:12.345Z\",\"level\":\"warn\",\"scope\":\"web\","           \
	"\"message\":\"" message "\"}\n"
	check_written(LOG_SINK_JSON, "one", JSON_LINE("one"));
	check_written(LOG_SINK_JSON, "", JSON_LINE(""));
	check_written(LOG_SINK_JSON, "a\"b\\c\td\x01\x7f",
		      JSON_LINE("a\\\"b\\\\c\\u0009d\\u0001\x7f"));
	check_written(LOG_SINK_JSON, "\xc3\xa4\xe2\x82\xac", JSON_LINE("\xc3\xa4\xe2\x82\xac"));
	/* What is no UTF-8 must not make the line unreadable. */
	check_written(LOG_SINK_JSON, "x\xff\xc3", JSON_LINE("x\\ufffd\\ufffd"));
}

/* A line that is cut is still one line, and an object. */
static void test_long_lines(void **state)
{
	static const enum log_sink_format formats[] = {LOG_SINK_TEXT, LOG_SINK_JOURNAL,
						       LOG_SINK_JSON};
	char *text = malloc(20001);

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (size_t bytes = 3900; bytes < 4200; bytes++) {
			char *line;
			size_t length;

			memset(text, bytes % 2 == 0 ? 'x' : '\\', bytes);
			text[bytes] = '\0';
			line = written(formats[i], "web", text);
			length = strlen(line);
			assert_true(length > 3500 && length <= 4096);
			assert_ptr_equal(strchr(line, '\n'), line + length - 1);
			if (formats[i] == LOG_SINK_JSON)
				assert_string_equal(line + length - 3, "\"}\n");
			free(line);
		}
	}
	free(text);
}

static void test_set_level(void **state)
{
	struct log_sink *s;
	struct reader r;
	int fds[2];

	(void)state;
	open_pipe(fds);
	assert_int_equal(log_sink_new(&s, fds[1], LOG_LEVEL_ERROR, LOG_SINK_JOURNAL), 0);
	log_sink_write(s, LOG_LEVEL_WARN, "web", "one", WALL_US);
	log_sink_set_level(s, LOG_LEVEL_TRACE);
	log_sink_write(s, LOG_LEVEL_TRACE, "web", "two", WALL_US);
	log_sink_set_level(s, LOG_LEVEL_WARN);
	log_sink_write(s, LOG_LEVEL_INFO, "web", "three", WALL_US);
	log_sink_free(s);
	close(fds[1]);
	reader_init(&r, fds[0]);
	reader_run(&r);
	assert_string_equal(r.text, "<7>[web] two\n");
	free(r.text);
	close(fds[0]);
}

/* Nobody reads until far more was written than the ring holds; then every line is there or counted.
 */
static void test_slow_reader(void **state)
{
	enum { LINES = 20000 };
	unsigned long long lines = 0, lost = 0;
	struct log_sink *s;
	struct reader r;
	pthread_t thread;
	char text[64];
	int fds[2];

	(void)state;
	open_pipe(fds);
	assert_int_equal(log_sink_new(&s, fds[1], LOG_LEVEL_INFO, LOG_SINK_AUTO), 0);
	for (int i = 0; i < LINES; i++) {
		snprintf(text, sizeof(text), "line %d", i);
		log_sink_write(s, LOG_LEVEL_INFO, "web", text, WALL_US);
	}
	reader_init(&r, fds[0]);
	assert_int_equal(pthread_create(&thread, NULL, reader_run, &r), 0);
	log_sink_free(s);
	close(fds[1]);
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (char *at = r.text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		unsigned long long count;

		*end = '\0';
		assert_non_null(strstr(at, "] "));
		if (sscanf(strstr(at, "] "), "] %llu lines lost", &count) == 1)
			lost += count;
		else
			lines++;
	}
	assert_true(lost > 0);
	assert_int_equal(lines + lost, LINES);
	free(r.text);
	close(fds[0]);
}

static void test_dead_descriptor(void **state)
{
	struct log_sink *s;
	int fds[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	open_pipe(fds);
	close(fds[0]);
	assert_int_equal(log_sink_new(&s, fds[1], LOG_LEVEL_INFO, LOG_SINK_AUTO), 0);
	for (int i = 0; i < 20000; i++)
		log_sink_write(s, LOG_LEVEL_INFO, "web", "nobody hears this", WALL_US);
	log_sink_free(s);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_journal),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_set_level),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_dead_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
