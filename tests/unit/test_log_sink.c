/* SPDX-License-Identifier: MIT */
/*
 * The writer of log lines: the two forms of a line, levels, a reader that stops (the caller never
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
	assert_int_equal(log_sink_new(&s, fds[1], LOG_LEVEL_INFO), 0);
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
	assert_int_equal(log_sink_new(&s, fds[1], LOG_LEVEL_TRACE), 0);
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
	assert_int_equal(log_sink_new(&s, fds[1], LOG_LEVEL_INFO), 0);
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
	assert_int_equal(log_sink_new(&s, fds[1], LOG_LEVEL_INFO), 0);
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
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_dead_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
