/* SPDX-License-Identifier: MIT */
/*
 * tests/tools/hostile ADDRESS CASE PASSWORD [SECONDS]: connects to a server, does what the case says, waits
 * until the connection ends or SECONDS have passed (default 3), and prints one line of JSON:
 *   case, answer (none, success, failure), text (of a failure), closed, kind, code, reason, ms (from the
 *   handshake to the close), flow (none, open, refused, reset, end), flow_code, note
 * Exit status 0 when the line was printed, 1 when it did not even get through the handshake.
 * `hostile --list` prints the cases. One thread.
 */
#include "tests/tools/hostile.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "quic/endpoint.h"
#include "tls/credentials.h"
#include "tls/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOSTILE_REST_MS 200 /* after the close, for what is still to be sent */

struct hostile_run {
	struct hostile hostile; /* first: the cases get a pointer to it */
	struct log log;
	struct chunk_pool pool;
	struct quic_endpoint *endpoint;
	struct loop_timer limit;
	uint64_t limit_ns, ready_ns, close_ns;
	bool ready, closed;
	struct quic_close why;
	uint8_t in[WIRE_FRAME_MAX + 4];
	size_t in_bytes;
	const char *answer;
	char answer_text[WIRE_REASON_MAX + 1];
	const char *flow;
	uint64_t flow_code;
	const char *note;
	bool done;
};

static struct hostile_run *hostile_run_of(struct hostile *h)
{
	return (struct hostile_run *)h;
}

static void hostile_log(void *user, enum log_level level, const char *scope, const char *text)
{
	(void)user;
	fprintf(stderr, "%s [%s] %s\n", log_level_name(level), scope, text);
}

static void hostile_die(const char *what, int error)
{
	fprintf(stderr, "hostile: %s: %s\n", what, rstun_strerror(error));
	exit(1);
}

static void hostile_finish(struct hostile_run *r)
{
	if (r->done)
		return;
	r->done = true;
	loop_stop(&r->hostile.loop);
}

/* ---- the control stream ---- */

static void hostile_answer(struct hostile_run *r, const struct wire_message *m)
{
	if (strcmp(r->answer, "none") != 0)
		return;
	if (m->kind == WIRE_RESP_SUCCESS) {
		r->answer = "success";
		if (r->hostile.which->logged_in != NULL)
			r->hostile.which->logged_in(&r->hostile);
	} else if (m->kind == WIRE_RESP_FAILURE) {
		r->answer = "failure";
		snprintf(r->answer_text, sizeof(r->answer_text), "%s", m->reason);
	}
}

static void hostile_on_readable(struct quic_stream *s, void *user)
{
	struct hostile_run *r = user;
	static struct wire_message m;
	size_t used;

	r->in_bytes += quic_stream_read(s, r->in + r->in_bytes, sizeof(r->in) - r->in_bytes);
	while (wire_decode(&m, &used, r->in, r->in_bytes) == 0) {
		memmove(r->in, r->in + used, r->in_bytes - used);
		r->in_bytes -= used;
		hostile_answer(r, &m);
	}
}

static void hostile_on_writable(struct quic_stream *s, void *user)
{
	(void)s;
	(void)user;
}

static void hostile_on_stream_error(struct quic_stream *s, void *user, uint64_t app_error)
{
	(void)s;
	(void)user;
	(void)app_error;
}

static void hostile_on_control_close(struct quic_stream *s, void *user, bool lost)
{
	struct hostile_run *r = user;

	(void)s;
	(void)lost;
	r->hostile.control = NULL;
}

static const struct quic_stream_ops hostile_control_ops = {
	.on_readable = hostile_on_readable,
	.on_writable = hostile_on_writable,
	.on_reset = hostile_on_stream_error,
	.on_stop_sending = hostile_on_stream_error,
	.on_close = hostile_on_control_close,
};

void hostile_send(struct hostile *h, const void *data, size_t bytes)
{
	int rv;

	if (h->control == NULL) {
		rv = quic_conn_open_stream(h->conn, &hostile_control_ops, h, &h->control);
		if (rv != 0)
			hostile_die("control stream", rv);
	}
	if (bytes == 0)
		return;
	rv = quic_stream_write(h->control, data, bytes);
	if (rv != 0)
		hostile_note(h, rstun_strerror(rv));
}

static void hostile_trickle_step(void *user)
{
	struct hostile *h = user;

	if (h->control == NULL || h->bytes_sent >= h->bytes_count)
		return;
	hostile_send(h, h->bytes + h->bytes_sent, 1);
	h->bytes_sent++;
	loop_timer_arm(&h->trickle, clock_after(loop_now(&h->loop), h->trickle_ns));
}

void hostile_trickle(struct hostile *h, const void *data, size_t bytes, uint64_t every_ns)
{
	free(h->bytes);
	h->bytes = malloc(bytes);
	if (h->bytes == NULL)
		hostile_die("memory", RSTUN_E_NOMEM);
	memcpy(h->bytes, data, bytes);
	h->bytes_count = bytes;
	h->bytes_sent = 0;
	h->trickle_ns = every_ns;
	hostile_send(h, "", 0);
	hostile_trickle_step(h);
}

size_t hostile_login(struct hostile *h, uint8_t *buf, size_t size, enum mapping_proto proto, bool channel)
{
	int rv;

	h->login.login.proto = proto;
	h->login.login.channel = channel;
	rv = wire_encode(buf, size, &h->login);
	if (rv < 0)
		hostile_die("login", rv);
	return (size_t)rv;
}

void hostile_note(struct hostile *h, const char *text)
{
	hostile_run_of(h)->note = text;
}

/* ---- a flow ---- */

static void hostile_flow_over(struct hostile_run *r, const char *how, uint64_t code)
{
	if (strcmp(r->flow, "open") != 0)
		return;
	r->flow = how;
	r->flow_code = code;
}

static void hostile_on_flow_readable(struct quic_stream *s, void *user)
{
	quic_stream_consume(s, quic_stream_readable(s));
	if (quic_stream_at_end(s))
		hostile_flow_over(user, "end", 0);
}

static void hostile_on_flow_reset(struct quic_stream *s, void *user, uint64_t app_error)
{
	(void)s;
	hostile_flow_over(user, "reset", app_error);
}

static void hostile_on_flow_stop(struct quic_stream *s, void *user, uint64_t app_error)
{
	(void)s;
	(void)app_error;
	(void)user;
}

static void hostile_on_flow_close(struct quic_stream *s, void *user, bool lost)
{
	struct hostile_run *r = user;

	(void)s;
	hostile_flow_over(r, lost ? "lost" : "end", 0);
	r->hostile.flow = NULL;
}

static const struct quic_stream_ops hostile_flow_ops = {
	.on_readable = hostile_on_flow_readable,
	.on_writable = hostile_on_writable,
	.on_reset = hostile_on_flow_reset,
	.on_stop_sending = hostile_on_flow_stop,
	.on_close = hostile_on_flow_close,
};

void hostile_open_flow(struct hostile *h, const void *data, size_t bytes, bool finish)
{
	struct hostile_run *r = hostile_run_of(h);
	int rv = quic_conn_open_stream(h->conn, &hostile_flow_ops, h, &h->flow);

	if (rv != 0) {
		r->flow = "refused";
		hostile_note(h, rstun_strerror(rv));
		return;
	}
	r->flow = "open";
	rv = quic_stream_write(h->flow, data, bytes);
	if (rv != 0)
		hostile_note(h, rstun_strerror(rv));
	if (finish)
		quic_stream_finish(h->flow);
}

/* ---- the connection ---- */

static void hostile_on_ready(struct quic_conn *c, void *user)
{
	struct hostile_run *r = user;

	(void)c;
	r->ready = true;
	r->ready_ns = loop_now(&r->hostile.loop);
	loop_timer_arm(&r->limit, clock_after(r->ready_ns, r->limit_ns));
	r->hostile.which->begin(&r->hostile);
}

static void hostile_on_close(struct quic_conn *c, void *user, const struct quic_close *why)
{
	struct hostile_run *r = user;

	(void)c;
	r->closed = r->close_ns == 0;
	if (r->closed)
		r->close_ns = loop_now(&r->hostile.loop);
	r->why = *why;
	r->hostile.conn = NULL;
	r->hostile.control = NULL;
	loop_timer_arm(&r->limit, clock_after(loop_now(&r->hostile.loop), clock_ms(HOSTILE_REST_MS)));
}

static const struct quic_conn_ops hostile_conn_ops = {
	.on_ready = hostile_on_ready,
	.on_close = hostile_on_close,
};

static void hostile_on_limit(void *user)
{
	struct hostile_run *r = user;

	if (r->hostile.conn != NULL && r->ready) {
		r->close_ns = loop_now(&r->hostile.loop);
		quic_conn_close(r->hostile.conn, 1, "done");
		loop_timer_arm(&r->limit, clock_after(r->close_ns, clock_ms(HOSTILE_REST_MS)));
		r->ready = false; /* the next time is the end */
		return;
	}
	hostile_finish(r);
}

static void hostile_connect(struct hostile_run *r, const struct address *server)
{
	struct quic_endpoint_config config = {
		.loop = &r->hostile.loop,
		.log = &r->log,
		.pool = &r->pool,
		.worker_count = 1,
	};
	static const struct quic_endpoint_ops ops;
	struct tls_credentials *credentials;
	struct tls_session_config tls = {.cipher = TLS_CIPHER_AES_128_GCM, .verify_ip = server};
	struct quic_connect connect = {.remote = *server, .ops = &hostile_conn_ops, .user = r};
	int rv;

	quic_config_default(&config.quic);
	random_bytes(config.secret, sizeof(config.secret));
	config.ops = &ops;
	rv = tls_credentials_new_unverified(&credentials);
	if (rv != 0)
		hostile_die("credentials", rv);
	tls.credentials = credentials;
	rv = quic_endpoint_new(&r->endpoint, &config);
	if (rv == 0)
		rv = tls_session_new_client(&connect.session, &tls);
	if (rv == 0)
		rv = quic_endpoint_connect(r->endpoint, &connect, &r->hostile.conn);
	if (rv != 0)
		hostile_die("connect", rv);
	tls_credentials_unref(credentials);
}

/* ---- the result ---- */

static void hostile_print_text(const char *name, const char *text)
{
	printf(", \"%s\": \"", name);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		if ((unsigned char)*text >= ' ')
			putchar(*text);
	}
	putchar('"');
}

static const char *hostile_kind(enum quic_close_kind kind)
{
	switch (kind) {
	case QUIC_CLOSE_LOCAL:
		return "local";
	case QUIC_CLOSE_PEER_APP:
		return "app";
	case QUIC_CLOSE_PEER_TRANSPORT:
		return "transport";
	case QUIC_CLOSE_IDLE:
		return "idle";
	case QUIC_CLOSE_HANDSHAKE_TIMEOUT:
		return "handshake";
	case QUIC_CLOSE_STATELESS_RESET:
		return "reset";
	case QUIC_CLOSE_TLS:
		return "tls";
	case QUIC_CLOSE_VERSION:
		return "version";
	case QUIC_CLOSE_ERROR:
		return "error";
	}
	return "unknown";
}

static void hostile_report(const struct hostile_run *r)
{
	uint64_t ms = r->ready_ns != 0 && r->close_ns > r->ready_ns
			      ? (r->close_ns - r->ready_ns) / CLOCK_NS_PER_MS
			      : 0;

	printf("{\"case\": \"%s\", \"answer\": \"%s\"", r->hostile.which->name, r->answer);
	hostile_print_text("text", r->answer_text);
	printf(", \"closed\": %s", r->closed ? "true" : "false");
	hostile_print_text("kind", r->closed ? hostile_kind(r->why.kind) : "none");
	printf(", \"code\": %llu", (unsigned long long)(r->closed ? r->why.code : 0));
	hostile_print_text("reason", r->closed ? r->why.reason : "");
	printf(", \"ms\": %llu", (unsigned long long)ms);
	hostile_print_text("flow", r->flow);
	printf(", \"flow_code\": %llu", (unsigned long long)r->flow_code);
	hostile_print_text("note", r->note);
	printf("}\n");
}

static const struct hostile_case *hostile_find(const char *name)
{
	for (size_t i = 0; i < hostile_case_count; i++)
		if (strcmp(hostile_cases[i].name, name) == 0)
			return &hostile_cases[i];
	return NULL;
}

static void hostile_init(struct hostile_run *r, const char *password, const char *seconds)
{
	struct wire_message *login = &r->hostile.login;

	r->log = (struct log){.level = LOG_LEVEL_WARN, .write = hostile_log};
	r->limit_ns = clock_ms(seconds != NULL ? strtoull(seconds, NULL, 10) * 1000 : 3000);
	r->answer = "none";
	r->flow = "none";
	r->note = "";
	login->kind = WIRE_REQ_LOGIN;
	snprintf(login->login.password, sizeof(login->login.password), "%s", password);
	login->login.mode = MAPPING_OUT;
	login->login.has_local = true;
	address_parse(&login->login.local, "9", 1);
	login->login.has_upstream = true;
	address_parse(&login->login.upstream, "9", 1);
	login->login.tcp_timeout_ms = 30000;
	login->login.udp_timeout_ms = 500;
	if (loop_init(&r->hostile.loop, NULL, &r->log) != 0)
		hostile_die("loop", RSTUN_E_NOMEM);
	loop_enter(&r->hostile.loop);
	chunk_pool_init(&r->pool, 16);
	loop_timer_init(&r->limit, &r->hostile.loop, hostile_on_limit, r);
	loop_timer_init(&r->hostile.trickle, &r->hostile.loop, hostile_trickle_step, &r->hostile);
	loop_timer_arm(&r->limit, clock_after(loop_now(&r->hostile.loop), clock_ms(15000)));
}

int main(int argc, char **argv)
{
	static struct hostile_run run;
	struct address server;
	bool reached;

	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (size_t i = 0; i < hostile_case_count; i++)
			printf("%-24s %s\n", hostile_cases[i].name, hostile_cases[i].help);
		return 0;
	}
	if (argc < 4 || address_parse(&server, argv[1], strlen(argv[1])) != 0 ||
	    (run.hostile.which = hostile_find(argv[2])) == NULL) {
		fprintf(stderr, "usage: hostile ADDRESS CASE PASSWORD [SECONDS]; hostile --list\n");
		return 2;
	}
	if (tls_global_init() != 0)
		return 1;
	hostile_init(&run, argv[3], argc > 4 ? argv[4] : NULL);
	hostile_connect(&run, &server);
	loop_run(&run.hostile.loop);
	hostile_report(&run);
	reached = run.ready_ns != 0;
	quic_endpoint_free(run.endpoint);
	loop_timer_cancel(&run.limit);
	loop_timer_cancel(&run.hostile.trickle);
	free(run.hostile.bytes);
	chunk_pool_done(&run.pool);
	loop_done(&run.hostile.loop);
	tls_global_done();
	return reached ? 0 : 1;
}
