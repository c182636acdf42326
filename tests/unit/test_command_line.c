/* SPDX-License-Identifier: MIT */
/*
 * The command line as main() hands it over: roles, every way to write an option, what is refused
 * with which message and status, help and versions, and that a password does not stay in argv.
 */
#include "rstund/command_line.h"
#include "rstund/password.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS_MAX 40

static const struct command_line_about about = {"0.1.0", "1.24.0", "static"};
static struct command_line line;
static char *args[ARGS_MAX + 1];
static char *out, *err;
static bool filled;

static void forget(void)
{
	for (char **p = args; *p != NULL; p++) {
		free(*p);
		*p = NULL;
	}
	free(out);
	free(err);
	out = err = NULL;
	if (filled)
		command_line_free(&line);
	filled = false;
}

static int teardown(void **state)
{
	(void)state;
	forget();
	unsetenv(PASSWORD_VARIABLE);
	return 0;
}

/* Parses "rstund" and the arguments, up to NULL. */
static enum command_line_outcome parse(const char *first, ...)
{
	struct password_process process = {.stdin_fd = -1, .tty_path = "/nonexistent"};
	size_t out_bytes, err_bytes;
	FILE *out_file, *err_file;
	enum command_line_outcome outcome;
	char *argv[ARGS_MAX + 1];
	int argc = 0;
	va_list list;

	forget();
	args[argc++] = strdup("rstund");
	va_start(list, first);
	for (const char *arg = first; arg != NULL; arg = va_arg(list, const char *)) {
		assert_true(argc < ARGS_MAX);
		args[argc++] = strdup(arg);
	}
	va_end(list);
	memcpy(argv, args, sizeof(argv)); /* getopt moves the pointers about */
	out_file = open_memstream(&out, &out_bytes);
	err_file = open_memstream(&err, &err_bytes);
	assert_true(out_file != NULL && err_file != NULL);
	outcome = command_line_parse(&line, argc, argv, &about, &process, out_file, err_file);
	fclose(out_file);
	fclose(err_file);
	filled = outcome == COMMAND_LINE_RUN;
	if (filled)
		assert_string_equal(err, "");
	return outcome;
}

#define assert_run(...) \
	do { \
		if (parse(__VA_ARGS__, NULL) != COMMAND_LINE_RUN) \
			fail_msg("%s", err); \
	} while (0)
#define assert_usage(message, ...) \
	do { \
		assert_int_equal(parse(__VA_ARGS__, NULL), COMMAND_LINE_USAGE); \
		assert_string_equal(err, message); \
		assert_string_equal(out, ""); \
	} while (0)

static void test_quick_start(void **state)
{
	(void)state;
	assert_run("server", "-a", "3515", "-p", "1234", "-t", "8080");
	assert_int_equal(line.role, COMMAND_LINE_SERVER);
	assert_int_equal(address_port(&line.server.addr), 3515);
	assert_true(address_is_loopback(&line.server.addr));
	assert_string_equal(line.server.password, "1234");
	assert_int_equal(address_port(&line.server.tcp_upstream.address), 8080);

	assert_run("client", "-a", "127.0.0.1:3515", "-p", "1234", "-t", "OUT^9000^ANY");
	assert_int_equal(line.role, COMMAND_LINE_CLIENT);
	assert_int_equal(line.client.mapping_count, 1);
	assert_int_equal(line.client.server_count, 1);
	assert_int_equal(line.client.heartbeat_timeout_ms, 15000);
}

static void test_ways_to_write(void **state)
{
	(void)state;
	assert_run("s", "--addr=[::]:1", "-pabc", "--workers", "3", "-lD", "--exit-on-failure",
		   "--ready-fd=5");
	assert_string_equal(line.server.password, "abc");
	assert_int_equal(line.server.workers, 3);
	assert_int_equal(line.server.loglevel, 1);
	assert_int_equal(line.server.ready_fd, 5);
	assert_true(line.server.exit_on_failure);

	assert_run("c", "--password=a b", "--server-ad", "x.org", "-u", "OUT^1^ANY",
		   "--exit-on-failure=no", "--hop-interval-ms", "30s");
	assert_string_equal(line.client.password, "a b");
	assert_string_equal(line.client.servers[0].name, "x.org");
	assert_false(line.client.exit_on_failure);
	assert_int_equal(line.client.hop_interval_ms, 30000);
	assert_true(line.client.ready_fd == UINT64_MAX);
}

static void test_options_that_add_up(void **state)
{
	(void)state;
	assert_run("c", "-a", "a.org", "-p", "x", "-t", "OUT^1^ANY", "-t", "OUT^2^ANY,IN^3^4",
		   "--dns", "1.1.1.1", "--dns", "8.8.8.8", "-a", "b.org:7", "-t", "", "-u", "",
		   "-u", "OUT^1^ANY");
	assert_int_equal(line.client.mapping_count, 4);
	assert_int_equal(line.client.server_count, 2);
	assert_string_equal(line.client.dns_servers[1], "8.8.8.8");
	assert_null(line.client.dns_servers[2]);
	assert_usage("rstund client: --cipher is given twice; try 'rstund client --help'\n", "c",
		     "-e", "aes-128-gcm", "-e", "aes-256-gcm");
	assert_usage("rstund server: --tcp-upstream is given twice; try 'rstund server --help'\n",
		     "s", "-t", "1", "-t", "2");
}

static void test_roles(void **state)
{
	(void)state;
	assert_usage("rstund: \"sevrer\" is neither server nor client (did you mean server?); try "
		     "'rstund --help'\n",
		     "sevrer", "-p", "1");
	assert_usage("rstund: \"xyz\" is neither server nor client; try 'rstund --help'\n", "xyz");
	assert_usage("rstund: --addr is an option of a role: the role, server or client, is first; "
		     "try 'rstund --help'\n",
		     "--addr", "1", "server");
	assert_usage("rstund: -a is an option of a role: the role, server or client, is first; try "
		     "'rstund --help'\n",
		     "-a", "1", "server");
	assert_usage("rstund: unexpected \"server\": a role, server or client, is first; try "
		     "'rstund "
		     "--help'\n",
		     "--socket", "x", "server");
	assert_usage("rstund: unknown option --cofnig (did you mean --config?); try 'rstund "
		     "--help'\n",
		     "--cofnig", "x");
}

static void test_daemon(void **state)
{
	(void)state;
	assert_int_equal(parse(NULL), COMMAND_LINE_RUN);
	assert_int_equal(line.role, COMMAND_LINE_NONE);
	assert_int_equal(line.daemon.drain_ms, 5000);
	assert_int_equal(line.daemon_given, 0);
	assert_int_equal(line.set.client_count + line.set.server_count, 0);
	setenv(PASSWORD_VARIABLE, "unused", 1);
	assert_run("--socket", "/tmp/s", "-w", "3", "-lW", "--log-format=json", "--flow-log",
		   "--drain-ms", "1m", "--ready-fd", "7", "--exit-on-failure", "--state-dir=d",
		   "--admin-group", "adm", "--monitor-group=1000");
	assert_null(getenv(PASSWORD_VARIABLE));
	assert_int_equal(line.warning_count, 1);
	assert_non_null(strstr(line.warnings[0], "RSTUN_PASSWORD is not used without a role"));
	assert_string_equal(line.daemon.socket, "/tmp/s");
	assert_int_equal(line.daemon.workers, 3);
	assert_int_equal(line.daemon.ready_fd, 7);
	assert_int_equal(line.daemon.drain_ms, 60000);
	assert_true(line.daemon.flow_log && line.daemon.exit_on_failure);
	assert_usage("rstund: --log-format: \"xml\" is not one of auto, text, journal, json; try "
		     "'rstund --help'\n",
		     "--log-format", "xml");
	assert_usage("rstund: --check-config needs the file: --config FILE; try 'rstund --help'\n",
		     "--check-config");
	assert_usage("rstund: --socket is given twice; try 'rstund --help'\n", "--socket", "a",
		     "--socket", "b");
}

/* Options of the daemon beside a role, and options of a role that are the daemon's too. */
static void test_daemon_beside_a_role(void **state)
{
	(void)state;
	assert_run("server", "-p", "x", "--socket", "/tmp/s", "--drain-ms=0", "-w", "2", "-lE",
		   "--ready-fd", "9", "--exit-on-failure", "--state-dir", "d", "--flow-log",
		   "--log-format", "text");
	assert_string_equal(line.daemon.socket, "/tmp/s");
	assert_int_equal(line.daemon.drain_ms, 0);
	assert_int_equal(line.daemon.workers, 2);
	assert_int_equal(line.daemon.loglevel, 4);
	assert_int_equal(line.daemon.ready_fd, 9);
	assert_true(line.daemon.exit_on_failure && line.daemon.flow_log);
	assert_string_equal(line.daemon.state_dir, "d");
	assert_int_equal(__builtin_popcount(line.daemon_given), 4);
	assert_run("client", "-a", "1", "-p", "x", "-t", "OUT^1^ANY", "--admin-group", "adm");
	assert_string_equal(line.daemon.admin_group, "adm");
	assert_true(line.daemon.ready_fd == UINT64_MAX);
	assert_usage("rstund client: unknown option --config; try 'rstund client --help'\n", "c",
		     "--config", "x");
}

static void write_config(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	assert_true(fputs(text, file) >= 0);
	fclose(file);
}

static void test_config(void **state)
{
	char directory[] = "/tmp/rstund-command-XXXXXX", path[64], want[512];

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/c", directory);
	write_config(path, "[daemon]\nworkers = 3\nsocket = /of/file\ndrain-ms = 7\n[server a]\n"
			   "password = x\n[client b]\nserver-addr = h\npassword = y\n"
			   "hop-interval-ms = 5\ntcp-mappings = OUT^1^ANY,OUT^2^ANY\n");
	assert_run("--config", path, "--socket", "/of/line", "--ready-fd", "5");
	assert_int_equal(line.role, COMMAND_LINE_NONE);
	assert_string_equal(line.daemon.socket, "/of/line");
	assert_string_equal(line.daemon.config_file, path);
	assert_int_equal(line.daemon.workers, 3);
	assert_int_equal(line.daemon.drain_ms, 7);
	assert_int_equal(line.daemon.ready_fd, 5);
	assert_string_equal(line.set.daemon.socket, "/of/file");
	assert_int_equal(line.set.client_count, 1);
	assert_int_equal(line.set.mapping_count, 2);
	assert_int_equal(line.warning_count, 1);
	snprintf(want, sizeof(want), "%s:10: hop-interval-ms: 5 is raised to 5000", path);
	assert_string_equal(line.warnings[0], want);

	assert_int_equal(parse("--config", path, "--check-config", NULL), COMMAND_LINE_DONE);
	snprintf(want, sizeof(want), "%s: 1 client, 1 server, 2 mappings: ok\n", path);
	assert_string_equal(out, want);
	snprintf(want, sizeof(want), "%s:10: hop-interval-ms: 5 is raised to 5000 "
				     "(warning)\n", path);
	assert_string_equal(err, want);

	write_config(path, "[server a]\nzebra = 1\n[client]\npassword = x\nserver-addr = y\n");
	for (int check = 0; check < 2; check++) {
		assert_int_equal(parse("--config", path, check ? "--check-config" : NULL, NULL),
				 COMMAND_LINE_FAILED);
		snprintf(want, sizeof(want), "%s:2: zebra: unknown key in [server a]\n%s:3: "
					     "[client] "
			 "needs a name: write [client NAME]\n", path, path);
		assert_string_equal(err, want);
		assert_string_equal(out, "");
	}
	unlink(path);
	assert_int_equal(parse("--config", path, NULL), COMMAND_LINE_FAILED);
	snprintf(want, sizeof(want), "%s: it cannot be read: No such file or directory\n", path);
	assert_string_equal(err, want);
	rmdir(directory);
}

static void test_refused(void **state)
{
	(void)state;
	assert_usage("rstund client: --quic-timeout-ms: \"x\" is not a number of milliseconds (0 "
		     "to 86400000); try 'rstund client --help'\n",
		     "client", "--quic-timeout-ms", "x");
	assert_usage("rstund client: unknown option --quic-timout-ms (did you mean "
		     "--quic-timeout-ms?); try 'rstund client --help'\n",
		     "client", "--quic-timout-ms=5");
	assert_usage("rstund server: unknown option --zebra; try 'rstund server --help'\n", "s",
		     "--zebra", "x");
	assert_usage("rstund server: unknown option -z; try 'rstund server --help'\n", "s", "-z");
	assert_usage("rstund client: --udp could mean --udp-mappings or --udp-timeout-ms; try "
		     "'rstund client --help'\n",
		     "c", "--udp", "x");
	assert_usage("rstund client: --help takes no value; try 'rstund client --help'\n", "c",
		     "--help=x");
	assert_usage("rstund client: --password needs a value: TEXT; try 'rstund client --help'\n",
		     "c", "-p");
	assert_usage("rstund server: --addr needs a value: [IP:]PORT; try 'rstund server --help'\n",
		     "s", "--addr");
	assert_usage("rstund client: unexpected \"OUT^1^ANY\": mappings follow -t (TCP) or -u "
		     "(UDP); try 'rstund client --help'\n",
		     "c", "OUT^1^ANY");
	assert_usage("rstund server: unexpected \"x\\x1by\"; try 'rstund server --help'\n", "s",
		     "-p", "1", "--", "x\x1by");
	assert_usage("rstund client: must specify either --tcp-mappings or --udp-mappings, or "
		     "both; try 'rstund client --help'\n",
		     "c", "-a", "1", "-p", "1");
	assert_usage("rstund client: --tcp-mappings: OUT^90000^ANY: port 90000 at column 5 is not "
		     "in 0..65535 (0 = any free one); try 'rstund client --help'\n",
		     "c", "-t", "OUT^90000^ANY");
	assert_usage("rstund server: --cert is given without --key: give both or neither; try "
		     "'rstund server --help'\n",
		     "s", "-p", "1", "-c", "x");
	assert_usage("rstund server: --password: an empty password protects nothing; try 'rstund "
		     "server --help'\n",
		     "s", "-p", "");
	assert_usage("rstund server: --password and --password-file are both given: give one of "
		     "them; try 'rstund server --help'\n",
		     "s", "-p", "1", "--password-file", "x");
	assert_int_equal(parse("s", NULL), COMMAND_LINE_USAGE);
	assert_non_null(strstr(err, "a password is needed: give --password-file"));
}

static void test_password_leaves_argv(void **state)
{
	(void)state;
	assert_run("server", "--password=canary-1");
	assert_string_equal(line.server.password, "canary-1");
	assert_string_equal(args[2], "--password=***");
	assert_int_equal(line.warning_count, 1);
	assert_non_null(strstr(line.warnings[0], "--password-file"));
	assert_run("server", "-pcanary-2");
	assert_string_equal(args[2], "-p***");
	assert_run("server", "-p", "ab");
	assert_string_equal(args[3], "**");
	/* Also when something else is wrong, and when it is given twice. */
	assert_int_equal(parse("server", "-p", "canary-3", "--zebra", NULL), COMMAND_LINE_USAGE);
	assert_string_equal(args[3], "***");
	assert_int_equal(parse("server", "-p", "canary-4", "-p", "canary-5", NULL),
			 COMMAND_LINE_USAGE);
	assert_string_equal(args[5], "***");
	assert_null(strstr(err, "canary"));
}

static void test_proxy_auth(void **state)
{
	(void)state;
	setenv(PASSWORD_VARIABLE, "x", 1);
	assert_run("client", "-a", "1", "-t", "OUT^1^SOCKS5", "--proxy-auth", "canary:6");
	assert_string_equal(line.client.proxy_auth, "canary:6");
	assert_string_equal(args[7], "***");
	assert_int_equal(line.warning_count, 1);
	assert_non_null(strstr(line.warnings[0], "use --proxy-auth-file"));
	assert_usage("rstund client: --proxy-auth: it is not USER:PASSWORD, neither of them empty; "
		     "try 'rstund client --help'\n",
		     "client", "--proxy-auth", "canary-7");
	assert_usage("rstund client: --proxy-auth and --proxy-auth-file are both given: give one of "
		     "them; try 'rstund client --help'\n",
		     "client", "-a", "1", "-p", "1", "--proxy-auth", "a:b", "--proxy-auth-file", "x");
	assert_int_equal(parse("client", "-a", "1", "-p", "1", "--proxy-auth-file",
			       "/nonexistent/auth", NULL),
			 COMMAND_LINE_FAILED);
	assert_string_equal(err, "rstund client: --proxy-auth-file: /nonexistent/auth: No such file "
				 "or directory\n");
}

static void test_environment(void **state)
{
	(void)state;
	setenv(PASSWORD_VARIABLE, "from-environment", 1);
	assert_run("server");
	assert_string_equal(line.server.password, "from-environment");
	assert_int_equal(line.warning_count, 0);
	assert_null(getenv(PASSWORD_VARIABLE));
}

static void test_unreadable_password_file(void **state)
{
	(void)state;
	assert_int_equal(parse("server", "--password-file", "/nonexistent/pw", NULL),
			 COMMAND_LINE_FAILED);
	assert_string_equal(err, "rstund server: --password-file: /nonexistent/pw: No such file or "
				 "directory\n");
	assert_int_equal(command_line_exit_status(COMMAND_LINE_FAILED), 1);
	assert_int_equal(command_line_exit_status(COMMAND_LINE_USAGE), 2);
	assert_int_equal(command_line_exit_status(COMMAND_LINE_DONE), 0);
}

static void test_warnings(void **state)
{
	(void)state;
	setenv(PASSWORD_VARIABLE, "x", 1);
	assert_run("c", "-a", "1", "-t", "OUT^1^ANY", "-r", "5", "--hop-interval-ms", "7");
	assert_int_equal(line.warning_count, 2);
	assert_string_equal(line.warnings[1], "--hop-interval-ms: 7 is raised to 5000");
}

/* Every option stands in the help of its role, no line is too long, and it does not depend on the
 * rest of the command line being right. */
static void check_help(enum command_line_role role, size_t width)
{
	size_t count, bytes;
	const struct field *rows = command_line_rows(role, &count);
	char *text = NULL, *at;
	FILE *file = open_memstream(&text, &bytes);

	assert_non_null(file);
	command_line_help(file, role, width);
	fclose(file);
	for (size_t i = 0; i < count; i++) {
		char option[64];

		snprintf(option, sizeof(option), "--%s ", rows[i].name);
		if (rows[i].type == FIELD_BOOL)
			option[strlen(option) - 1] = '\0';
		assert_int_equal(strstr(text, option) == NULL,
				 (rows[i].flags & FIELD_API_ONLY) != 0);
	}
	for (at = text; *at != '\0'; at += strcspn(at, "\n") + 1) {
		size_t length = strcspn(at, "\n");

		if (length > width)
			fail_msg("longer than %zu: %.*s", width, (int)length, at);
		assert_true(length == 0 || at[length - 1] != ' ');
	}
	free(text);
}

static void test_help(void **state)
{
	(void)state;
	check_help(COMMAND_LINE_CLIENT, 80);
	check_help(COMMAND_LINE_SERVER, 80);
	check_help(COMMAND_LINE_CLIENT, 100);
	check_help(COMMAND_LINE_NONE, 80);
	assert_int_equal(parse("client", "--help", NULL), COMMAND_LINE_DONE);
	assert_non_null(strstr(out, "Usage: rstund client"));
	assert_non_null(strstr(out, "[default: chacha20-poly1305]"));
	assert_non_null(strstr(out, "One of T, D, I, W, E."));
	assert_string_equal(err, "");
	assert_int_equal(parse("s", "-a", "1", "-h", "--zebra", NULL), COMMAND_LINE_DONE);
	assert_non_null(strstr(out, "Usage: rstund server"));
	assert_int_equal(parse("-h", NULL), COMMAND_LINE_DONE);
	assert_non_null(strstr(out, "rstund server|client --help"));
}

static void test_version(void **state)
{
	(void)state;
	assert_int_equal(parse("--version", NULL), COMMAND_LINE_DONE);
	assert_string_equal(out, "rstund 0.1.0\nngtcp2 1.24.0 (static)\n");
	assert_int_equal(parse("-V", NULL), COMMAND_LINE_DONE);
	assert_int_equal(parse("client", "-V", NULL), COMMAND_LINE_DONE);
	assert_string_equal(out, "rstund 0.1.0\nngtcp2 1.24.0 (static)\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		T(test_quick_start),
		T(test_ways_to_write),
		T(test_options_that_add_up),
		T(test_roles),
		T(test_daemon),
		T(test_daemon_beside_a_role),
		T(test_config),
		T(test_refused),
		T(test_password_leaves_argv),
		T(test_environment),
		T(test_unreadable_password_file),
		T(test_proxy_auth),
		T(test_warnings),
		T(test_help),
		T(test_version),
	};

	unsetenv("CREDENTIALS_DIRECTORY");
	unsetenv(PASSWORD_VARIABLE);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
