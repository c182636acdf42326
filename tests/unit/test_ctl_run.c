/* SPDX-License-Identifier: MIT */
/*
 * rstunctl as a whole against a process that plays the daemon: what is sent, what is shown, exit
 * statuses, errors as text and as JSON, no daemon, another API version.
 */
#include "ctl_rig.h"

#include "rpc/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define MAPPING                                                                                    \
	"{\"id\":\"m3\",\"spec\":\"OUT^127.0.0.1:9000^ANY\",\"config\":{"                          \
	"\"mode\":\"out\",\"proto\":\"tcp\",\"local\":\"127.0.0.1:9000\","                         \
	"\"remote\":\"ANY\",\"client\":\"home\"},\"runtime\":{\"origin\":\"state\","               \
	"\"state\":\"tunneling\",\"since\":\"2026-11-22T10:11:12.345Z\","                          \
	"\"attempt\":0,\"active_flows\":2,\"bound\":\"127.0.0.1:9000\"}}"

#define SERVER(state, more)                                                                        \
	"{\"id\":\"s1\",\"name\":\"busy\",\"runtime\":{\"state\":\"" state "\"" more "}}"
#define BUSY ",\"last_error\":{\"kind\":\"address_in_use\",\"message\":\"it is in use\"}"

#define EVENT(seq, data)                                                                           \
	"{\"sub\":1,\"n\":1,\"seq\":" #seq ",\"timestamp\":\"2001-11-22T10:11:12.345Z\","   \
	"\"type\":\"state\",\"data\":\"" data "\",\"mapping\":\"m3\"}"

static json_t *error_of(const char *kind, const char *message, const char *hint)
{
	return json_pack("{s:i,s:s,s:{s:s,s:s*}}", "code", rpc_error_find(kind)->code, "message",
			 message, "data", "kind", kind, "hint", hint);
}

/* What the daemon says about a client's options, in its own words. */
static json_t *role_error(const char *name, bool *is_error)
{
	*is_error = true;
	return strcmp(name, "pem") == 0
		       ? error_of("invalid_params", "key_pem is given without cert_pem: give both",
				  NULL)
		       : error_of("invalid_params",
				  "a password is needed: give --password-file FILE, or set the "
				  "environment variable RSTUN_PASSWORD, or give --password", NULL);
}

/* Which events there are depends on where the stream begins: those behind 50 are kept, and 0 is the
 * start. */
static json_t *subscription(const json_t *params)
{
	const json_t *since = json_object_get(params, "since");
	const char *epoch = json_string_value(json_object_get(since, "epoch"));
	json_int_t seq = json_integer_value(json_object_get(since, "seq"));
	const char *replay = since == NULL	       ? "none"
			     : strcmp(epoch, "e") != 0 ? "epoch_changed"
			     : seq > 0 && seq < 50     ? "gap"
						       : "complete";
	json_t *then = json_loads("[" EVENT(101, "connected") "," EVENT(102, "tunneling") ",null]",
				  0, NULL);

	if (strcmp(replay, "epoch_changed") == 0)
		json_array_clear(then); /* all of it is asked for behind that */
	return json_pack("{s:i,s:s,s:i,s:s,s:o}", "sub", 1, "epoch", "e", "seq",
			 strcmp(replay, "complete") == 0 ? (int)seq : 100, "replay", replay, "then",
			 then);
}

/* The name or id that is asked for decides what becomes of it. */
static json_t *answer(const char *method, const json_t *params, bool *is_error)
{
	const char *id = json_string_value(json_object_get(params, "id"));
	const char *name = json_string_value(json_object_get(params, "name"));

	if (strcmp(method, "daemon.info") == 0)
		return json_pack("{s:s,s:i,s:i,s:s}", "version", "0.2.0", "api_version", 2, "pid",
				 7, "epoch", "e");
	if (strcmp(method, "mapping.list") == 0)
		return json_loads("{\"mappings\":[" MAPPING "]}", 0, NULL);
	if (strcmp(method, "mapping.get") == 0 && id != NULL && strcmp(id, "slow") == 0)
		return json_loads("{\"id\":\"slow\",\"runtime\":{\"state\":\"connecting\","
				  "\"last_error\":{\"message\":\"nobody answers\"}}}", 0, NULL);
	if (strcmp(method, "mapping.get") == 0 && id != NULL)
		return json_loads(MAPPING, 0, NULL);
	if (strcmp(method, "mapping.add") == 0)
		return json_pack("{s:b,s:{s:s,s:s}}", "created", 1, "mapping", "id",
				 name != NULL ? name : "m3", "spec", "OUT^127.0.0.1:9000^ANY");
	if (strcmp(method, "mapping.wait") == 0 && strcmp(id, "m3") != 0) {
		*is_error = true;
		return strcmp(id, "slow") == 0
			       ? error_of("timeout", "mapping slow is connecting", NULL)
			       : error_of("address_in_use", "mapping busy: the address is in use",
					  NULL);
	}
	if (strcmp(method, "mapping.wait") == 0)
		return json_loads("{\"waited_ms\":5,\"mapping\":" MAPPING "}", 0, NULL);
	if (strcmp(method, "events.subscribe") == 0)
		return subscription(params);
	if (strcmp(method, "events.unsubscribe") == 0)
		return json_pack("{s:b}", "done", 1);
	if (strcmp(method, "daemon.ping") == 0)
		return NULL;
	if (strcmp(method, "daemon.status") == 0)
		return json_pack("{s:s,s:i,s:{s:i,s:i,s:i,s:i}}", "state", "running", "seq", 100,
				 "mappings", "total", 3, "tunneling", 1, "paused", 1,
				 "reconnecting", 1);
	if (strcmp(method, "server.list") == 0)
		return json_loads("{\"servers\":[" SERVER("listening", "") "," SERVER(
					  "starting", "") "]}", 0, NULL);
	if (strcmp(method, "server.add") == 0 && strcmp(name, "busy") == 0)
		return json_loads("{\"created\":true,\"server\":" SERVER("failed", BUSY) "}", 0,
				  NULL);
	if (strcmp(method, "client.add") == 0)
		return role_error(name, is_error);
	*is_error = true;
	if (name != NULL && rpc_error_find(name) != NULL)
		return error_of(name, "what happened\033", "what to do");
	return error_of("method_not_found", "there is no such method", NULL);
}

static void test_list(void **state)
{
	(void)state;
	assert_int_equal(ctl_rig_run("list"), 0);
	assert_non_null(
		strstr(ctl_rig_out, "m3  -     OUT^127.0.0.1:9000^ANY  tcp    home    tunneling"));
	assert_string_equal(ctl_rig_err, "");
	assert_int_equal(ctl_rig_run("list --json"), 0);
	assert_string_equal(ctl_rig_out, "{\"mappings\":[" MAPPING "]}\n");
	assert_int_equal(ctl_rig_run("list -o tsv"), 0);
	assert_int_equal(
		strncmp(ctl_rig_out, "m3\t\tOUT^127.0.0.1:9000^ANY\ttcp\thome\ttunneling\t", 45),
		0);
}

static void test_add(void **state)
{
	(void)state;
	assert_int_equal(ctl_rig_run("add out 9000 any"), 0);
	assert_int_equal(
		strncmp(ctl_rig_out, "m3 OUT^127.0.0.1:9000^ANY tcp: tunneling after ", 47), 0);
	/* The daemon of this test is newer: a change says so once. */
	assert_non_null(strstr(ctl_rig_err, "API 2"));
	assert_int_equal(ctl_rig_run("-q add OUT^9000^ANY"), 0);
	assert_string_equal(ctl_rig_out, "");
	assert_string_equal(ctl_rig_err, "");
	assert_int_equal(ctl_rig_run("add out 9000 any out 9001 any --name x"), RPC_EXIT_USAGE);
}

static void test_add_that_is_not_up(void **state)
{
	(void)state;
	assert_int_equal(ctl_rig_run("-q add OUT^9000^ANY --name slow --wait 20ms"), 6);
	assert_string_equal(ctl_rig_err,
			    "rstunctl: slow OUT^127.0.0.1:9000^ANY : it is connecting after 20 ms: "
			    "nobody answers; it stays and is tried again\n"
			    "hint: 'rstunctl explain slow' looks closer, 'rstunctl rm slow' gives "
			    "it up\n");
	assert_int_equal(ctl_rig_run("-q add OUT^9000^ANY --name busy"), 7);
	assert_non_null(strstr(ctl_rig_err, ": the address is in use; it stays and is tried again"));
	assert_non_null(strstr(ctl_rig_err, "'rstunctl rm busy' gives it up"));
}

static void test_roles(void **state)
{
	(void)state;
	assert_int_equal(ctl_rig_run("-q server add busy 1"), 7);
	assert_string_equal(ctl_rig_out, "");
	assert_non_null(strstr(ctl_rig_err, "s1 busy: added, but failed: it is in use; it stays and "
					    "is tried again\n"));
	assert_int_equal(ctl_rig_run("-q --json server add busy 1"), 7);
	assert_int_equal(strncmp(ctl_rig_out, "{\"created\":true,\"server\":", 25), 0);
	assert_string_equal(ctl_rig_err, "");
	assert_int_equal(ctl_rig_run("-q client add home 192.0.2.1"), RPC_EXIT_USAGE);
	assert_string_equal(ctl_rig_err, "rstunctl: a password is needed: give --password-file FILE "
					 "or --password-stdin\n");
	assert_int_equal(ctl_rig_run("-q client add pem 192.0.2.1"), RPC_EXIT_USAGE);
	assert_string_equal(ctl_rig_err,
			    "rstunctl: --key is given without --cert: give both\n");
	/* Each server counts for a health check. */
	assert_int_equal(ctl_rig_run("status --check"), 1);
	assert_string_equal(ctl_rig_out,
			    "not all up: 3 mappings: 1 tunneling, 1 reconnecting, 1 paused; 2 "
			    "servers: 1 starting, 1 listening\n");
}

static void test_log_level(void **state)
{
	(void)state;
	assert_int_equal(ctl_rig_run("log level X"), RPC_EXIT_USAGE);
	assert_non_null(strstr(ctl_rig_err, "there is no level \"X\""));
	/* Known ones are sent: the daemon of this test does not know the method. */
	assert_int_equal(ctl_rig_run("-q log level D"), RPC_EXIT_USAGE);
	assert_non_null(strstr(ctl_rig_err, "no such method"));
}

static void test_exit_statuses(void **state)
{
	static const struct {
		const char *line;
		int status;
	} cases[] = {
		{"-q show internal", 1},	  {"-q show invalid_params", 2},
		{"-q show permission_denied", 4}, {"-q show not_found", 5},
		{"-q show timeout", 6},		  {"-q show already_exists", 7},
		{"-q rm not_found m3", 5},	  {"-q ping", 3},
		{"-q status --check", 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(ctl_rig_run(cases[i].line), cases[i].status);
}

static void test_errors(void **state)
{
	json_t *error;

	(void)state;
	assert_int_equal(ctl_rig_run("show not_found"), RPC_EXIT_NOT_FOUND);
	assert_string_equal(ctl_rig_err, "rstunctl: what happened\\x1b\nhint: what to do\n");
	assert_string_equal(ctl_rig_out, "");
	assert_int_equal(ctl_rig_run("--json show not_found"), RPC_EXIT_NOT_FOUND);
	assert_string_equal(ctl_rig_out, "");
	error = json_loads(ctl_rig_err, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(error, "code")), 1001);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(error, "data"), "kind")),
		"not_found");
	json_decref(error);
	assert_int_equal(ctl_rig_run("cert list"), RPC_EXIT_USAGE);
	assert_non_null(strstr(ctl_rig_err, "the daemon is older"));
	assert_int_equal(ctl_rig_run("--json lst"), RPC_EXIT_USAGE);
	error = json_loads(ctl_rig_err, 0, NULL);
	assert_non_null(error);
	json_decref(error);
}

static void test_call(void **state)
{
	(void)state;
	assert_int_equal(ctl_rig_run("call mapping.get id=m3"), 0);
	assert_string_equal(ctl_rig_out, MAPPING "\n");
	assert_int_equal(ctl_rig_run("call mapping.get {\"id\":\"m3\"}"), 0);
	assert_string_equal(ctl_rig_out, MAPPING "\n");
	assert_int_equal(ctl_rig_run("call mapping.get \n\t{\"id\":\"m3\"}\n"), 0);
	assert_string_equal(ctl_rig_out, MAPPING "\n");
	assert_int_equal(ctl_rig_run("call mapping.get {\"id\":"), RPC_EXIT_USAGE);
	assert_int_equal(ctl_rig_run("call mapping.get [1]"), RPC_EXIT_USAGE);
	assert_int_equal(ctl_rig_run("-q call maping.get id=m3"), RPC_EXIT_USAGE);
	assert_non_null(strstr(ctl_rig_err, "did you mean mapping.get?"));
}

/* The daemon of this test ends each stream. */
static void test_events(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	assert_int_equal(ctl_rig_run("events --no-retry"), RPC_EXIT_NO_DAEMON);
	assert_string_equal(ctl_rig_out, "10:11:12.345 state    m3: connected\n"
					 "10:11:12.345 state    m3: tunneling\n");
	assert_non_null(strstr(ctl_rig_err, "the daemon is gone"));
	assert_int_equal(ctl_rig_run("events --no-retry --json --since 70"), RPC_EXIT_NO_DAEMON);
	assert_string_equal(ctl_rig_out, EVENT(101, "connected") "\n" EVENT(102, "tunneling") "\n");
	/* What is not to be had is said, in both forms. */
	assert_int_equal(ctl_rig_run("events --no-retry --json --since old:70"),
			 RPC_EXIT_NO_DAEMON);
	assert_ptr_equal(strstr(ctl_rig_out, "{\"type\":\"gap\",\"reason\":\"epoch_changed\","
					     "\"from_epoch\":\"old\",\"from_seq\":70,"),
			 ctl_rig_out);
	assert_non_null(strstr(ctl_rig_out, EVENT(102, "tunneling")));
	assert_non_null(strstr(ctl_rig_out, "\"epoch\":\"e\",\"seq\":0}\n"));
	assert_int_equal(ctl_rig_run("-q events --no-retry --since old:70"), RPC_EXIT_NO_DAEMON);
	assert_non_null(strstr(ctl_rig_err, "the daemon was restarted"));
	assert_int_equal(ctl_rig_run("-q events --no-retry --since 20"), RPC_EXIT_NO_DAEMON);
	assert_non_null(strstr(ctl_rig_err, "the events from 21 to 100 are not kept"));
	assert_non_null(strstr(ctl_rig_out, "m3: tunneling"));
	/* By time: as far back as there is something, older ones left out. */
	assert_int_equal(ctl_rig_run("events --no-retry --json --since 1m"), RPC_EXIT_NO_DAEMON);
	assert_string_equal(ctl_rig_out, "");
	assert_int_equal(ctl_rig_run("events --no-retry --json --since 365d"), RPC_EXIT_NO_DAEMON);
	assert_int_equal(ctl_rig_run("events --since x"), RPC_EXIT_USAGE);
	assert_int_equal(ctl_rig_run("events --since 101"), RPC_EXIT_USAGE);
	assert_non_null(strstr(ctl_rig_err, "there is no event 101 yet, the last one is 100"));
}

static void test_events_exec(void **state)
{
	(void)state;
	/* The words of a line are cut at blanks: one word it is. */
	assert_int_equal(ctl_rig_run("events --no-retry --exec "
				     "test\t$RSTUN_EVENT_DATA\t=\ttunneling"), RPC_EXIT_NO_DAEMON);
	assert_string_equal(ctl_rig_out, "");
	assert_non_null(strstr(ctl_rig_err, "the command ended with status 1 for event 101"));
	assert_null(strstr(ctl_rig_err, "for event 102"));
	assert_int_equal(ctl_rig_run("events --no-retry --exec grep\t-q\t'\"seq\":102'"),
			 RPC_EXIT_NO_DAEMON);
	assert_non_null(strstr(ctl_rig_err, "for event 101"));
	assert_null(strstr(ctl_rig_err, "for event 102"));
}

static void test_no_daemon(void **state)
{
	(void)state;
	assert_int_equal(ctl_rig_run("--socket /nonexistent/s.sock list"), RPC_EXIT_NO_DAEMON);
	assert_non_null(
		strstr(ctl_rig_err, "/nonexistent/s.sock (--socket): there is no such socket"));
	assert_non_null(strstr(ctl_rig_err, "\nhint: "));
	assert_int_equal(ctl_rig_run("--socket /dev/null list"), RPC_EXIT_NO_DAEMON);
	assert_non_null(strstr(ctl_rig_err, "/dev/null (--socket): it is no socket"));
	assert_int_equal(ctl_rig_run("--socket /nonexistent/s.sock status --check"), 3);
	assert_int_equal(ctl_rig_run("--socket /nonexistent/s.sock version"), 3);
	assert_int_equal(strncmp(ctl_rig_out, "rstunctl ", 9), 0);
}

static int start(void **state)
{
	(void)state;
	ctl_rig_serve(answer);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	ctl_rig_stop();
	ctl_rig_forget();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),	      cmocka_unit_test(test_add),
		cmocka_unit_test(test_add_that_is_not_up),
		cmocka_unit_test(test_roles),	      cmocka_unit_test(test_log_level),
		cmocka_unit_test(test_exit_statuses), cmocka_unit_test(test_errors),
		cmocka_unit_test(test_call),	      cmocka_unit_test(test_events),
		cmocka_unit_test(test_events_exec),   cmocka_unit_test(test_no_daemon),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
