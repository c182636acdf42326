/* SPDX-License-Identifier: MIT */
/*
 * The writer of log lines. The ring is shared by the main thread, which puts whole lines in, and
 * the writer thread, which takes out what lies there in one piece and writes it unlocked. Whoever
 * gets SIGPIPE is not asked here: the daemon ignores it, and a descriptor that takes nothing any
 * more makes the writer throw away and count.
 */
#include "rstund/control/log_sink.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/utf8.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOG_SINK_RING_BYTES (256 * 1024)
#define LOG_SINK_LINE_SIZE 4096
#define LOG_SINK_NOTE_ROOM 128 /* kept free for the line that tells of lost ones */
#define LOG_SINK_GOODBYE_NS CLOCK_NS_PER_S

struct log_sink {
	pthread_t thread;
	int fd;
	enum log_level level;
	enum log_sink_format format; /* never LOG_SINK_AUTO */
	uint64_t lost; /* main thread: lines lost and not yet told */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* something was put in or taken out, or `stop` was set */
	/* under lock */
	size_t first, used;
	bool stop;
	bool finished;
	char ring[LOG_SINK_RING_BYTES];
};

/* systemd names the device and inode of the stream that it connected to stdout and stderr. */
static bool log_sink_is_journal(int fd)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	char end;

	if (text == NULL || sscanf(text, "%llu:%llu%c", &device, &inode, &end) != 2)
		return false;
	return fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* One write; waits where the descriptor was made non-blocking by somebody else. False: it is dead.
 */
static bool log_sink_put(int fd, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, data, bytes);

		if (n >= 0) {
			data += n;
			bytes -= (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};

			poll(&p, 1, -1);
		} else if (errno != EINTR) {
			return false;
		}
	}
	return true;
}

static void *log_sink_run(void *user)
{
	struct log_sink *s = user;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		size_t bytes;

		while (s->used == 0 && !s->stop)
			pthread_cond_wait(&s->changed, &s->lock);
		if (s->used == 0)
			break;
		bytes = LOG_SINK_RING_BYTES - s->first;
		if (bytes > s->used)
			bytes = s->used;
		pthread_mutex_unlock(&s->lock);
		/* A dead descriptor takes nothing, and nobody is left to be told. */
		log_sink_put(s->fd, s->ring + s->first, bytes);
		pthread_mutex_lock(&s->lock);
		s->first = (s->first + bytes) % LOG_SINK_RING_BYTES;
		s->used -= bytes;
		pthread_cond_broadcast(&s->changed);
	}
	s->finished = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int log_sink_new(struct log_sink **ret, int fd, enum log_level level, enum log_sink_format format)
{
	struct log_sink *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int rc;

	if (s == NULL)
		return RSTUN_E_NOMEM;
	s->fd = fd;
	s->level = level;
	s->format = format;
	if (format == LOG_SINK_AUTO)
		s->format = log_sink_is_journal(fd) ? LOG_SINK_JOURNAL : LOG_SINK_TEXT;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	rc = pthread_create(&s->thread, NULL, log_sink_run, s);
	if (rc != 0) {
		pthread_cond_destroy(&s->changed);
		pthread_mutex_destroy(&s->lock);
		free(s);
		return rstun_error_from_errno(rc);
	}
	*ret = s;
	return 0;
}

void log_sink_set_level(struct log_sink *s, enum log_level level)
{
	s->level = level;
}

static int log_sink_priority(enum log_level level)
{
	static const int priorities[] = {
		[LOG_LEVEL_TRACE] = 7, [LOG_LEVEL_DEBUG] = 7, [LOG_LEVEL_INFO] = 6,
		[LOG_LEVEL_WARN] = 4,  [LOG_LEVEL_ERROR] = 3,
	};

	return priorities[level];
}

/* Appends text inside quotes of JSON to a line, as much as leaves `keep` bytes free. */
static size_t log_sink_escape(char line[LOG_SINK_LINE_SIZE], size_t used, const char *text,
			      size_t keep)
{
	size_t left = strlen(text), limit = LOG_SINK_LINE_SIZE - keep;

	while (left > 0) {
		char escape[8];
		size_t bytes = utf8_decode(NULL, text, left), step = bytes > 0 ? bytes : 1;
		const char *from = text;

		if (bytes == 0 || (unsigned char)*text < 0x20) {
			/* U+FFFD is what stands for bytes that are no character. */
			snprintf(escape, sizeof(escape), "\\u%04x",
				 bytes == 0 ? 0xfffdU : (unsigned)*text);
			from = escape;
			bytes = strlen(escape);
		} else if (*text == '"' || *text == '\\') {
			snprintf(escape, sizeof(escape), "\\%c", *text);
			from = escape;
			bytes = 2;
		}
		if (used + bytes > limit)
			break;
		memcpy(line + used, from, bytes);
		used += bytes;
		text += step;
		left -= step;
	}
	return used;
}

static size_t log_sink_format_json(char line[LOG_SINK_LINE_SIZE], enum log_level level,
				   const char *scope, const char *text, int64_t wall_us)
{
	static const char middle[] = "\",\"message\":\"", end[] = "\"}\n";
	char when[32];
	size_t used = (size_t)snprintf(line, LOG_SINK_LINE_SIZE,
				       "{\"timestamp\":\"%s\",\"level\":\"%s\",\"scope\":\"",
				       clock_format(when, sizeof(when), wall_us),
				       log_level_name(level));

	used = log_sink_escape(line, used, scope, LOG_SINK_LINE_SIZE / 2);
	memcpy(line + used, middle, sizeof(middle) - 1);
	used = log_sink_escape(line, used + sizeof(middle) - 1, text, sizeof(end) - 1);
	memcpy(line + used, end, sizeof(end) - 1);
	return used + sizeof(end) - 1;
}

/* Formats a line with its newline; cut when too long. Returns its bytes. */
static size_t log_sink_format(const struct log_sink *s, char line[LOG_SINK_LINE_SIZE],
			      enum log_level level, const char *scope, const char *text,
			      int64_t wall_us)
{
	char when[32];
	int n;

	if (s->format == LOG_SINK_JSON)
		return log_sink_format_json(line, level, scope, text, wall_us);
	if (s->format == LOG_SINK_JOURNAL)
		n = snprintf(line, LOG_SINK_LINE_SIZE, "<%d>[%s] %s\n", log_sink_priority(level),
			     scope, text);
	else
		n = snprintf(line, LOG_SINK_LINE_SIZE, "%s %-5s [%s] %s\n",
			     clock_format(when, sizeof(when), wall_us), log_level_name(level),
			     scope, text);
	if (n < 0)
		return 0;
	if (n >= LOG_SINK_LINE_SIZE) {
		n = LOG_SINK_LINE_SIZE - 1;
		line[n - 1] = '\n';
	}
	return (size_t)n;
}

/* Puts a line into the ring. False: no room. Under lock. */
static bool log_sink_append(struct log_sink *s, const char *line, size_t bytes, size_t keep_free)
{
	size_t at, part;

	if (bytes + keep_free > LOG_SINK_RING_BYTES - s->used)
		return false;
	at = (s->first + s->used) % LOG_SINK_RING_BYTES;
	part = LOG_SINK_RING_BYTES - at < bytes ? LOG_SINK_RING_BYTES - at : bytes;
	memcpy(s->ring + at, line, part);
	memcpy(s->ring, line + part, bytes - part);
	s->used += bytes;
	return true;
}

/* Says how many lines were lost, before the next one that fits. Under lock. */
static void log_sink_append_note(struct log_sink *s, size_t next_bytes, int64_t wall_us)
{
	char line[LOG_SINK_LINE_SIZE], text[64];
	size_t bytes;

	if (s->lost == 0)
		return;
	snprintf(text, sizeof(text), "%llu lines lost", (unsigned long long)s->lost);
	bytes = log_sink_format(s, line, LOG_LEVEL_WARN, "log", text, wall_us);
	if (log_sink_append(s, line, bytes, next_bytes))
		s->lost = 0;
}

void log_sink_write(struct log_sink *s, enum log_level level, const char *scope, const char *text,
		    int64_t wall_us)
{
	char line[LOG_SINK_LINE_SIZE];
	size_t bytes;

	if (level < s->level)
		return;
	bytes = log_sink_format(s, line, level, scope, text, wall_us);
	pthread_mutex_lock(&s->lock);
	log_sink_append_note(s, bytes, wall_us);
	/* While lines are owed a note no other line goes before it. */
	if (s->lost > 0 || !log_sink_append(s, line, bytes, LOG_SINK_NOTE_ROOM))
		s->lost++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void log_sink_lost(struct log_sink *s, uint64_t lines)
{
	s->lost += lines;
}

void log_sink_free(struct log_sink *s)
{
	uint64_t until_ns = clock_now_ns() + LOG_SINK_GOODBYE_NS;
	struct timespec until = {
		.tv_sec = (time_t)(until_ns / CLOCK_NS_PER_S),
		.tv_nsec = (long)(until_ns % CLOCK_NS_PER_S),
	};
	int64_t wall_us = clock_wall_us();
	int rc = 0;

	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	/* The last lines may have been lost too: their note waits for room. */
	for (log_sink_append_note(s, 0, wall_us); s->lost > 0 && rc == 0;
	     log_sink_append_note(s, 0, wall_us))
		rc = pthread_cond_timedwait(&s->changed, &s->lock, &until);
	s->stop = true;
	pthread_cond_broadcast(&s->changed);
	while (!s->finished && rc == 0)
		rc = pthread_cond_timedwait(&s->changed, &s->lock, &until);
	pthread_mutex_unlock(&s->lock);
	if (rc != 0) {
		/* It sits in a write that nobody takes. It keeps the ring, and ends with the
		 * process. */
		pthread_detach(s->thread);
		return;
	}
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
