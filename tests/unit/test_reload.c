/* SPDX-License-Identifier: MIT */
/*
 * The configuration file against what the main thread really holds (daemon_rig.h).
 */
#include "base/clock.h"
#include "base/error.h"
#include "rstund/config_file.h"
#include "rstund/control/state_file.h"
#include "rstund/hold.h"
#include "rstund/reload.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/pki.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[PKI_PATH_SIZE], state_dir[PKI_PATH_SIZE + 8], path[PKI_PATH_SIZE + 16];
static struct daemon_rig rig;
static struct rpc_reload_result result;
static struct rpc_error error;

static int set_up(void **state)
{
	(void)state;
	pki_directory(base);
	snprintf(state_dir, sizeof(state_dir), "%s/state", base);
	snprintf(path, sizeof(path), "%s/rstund.conf", base);
	assert_int_equal(mkdir(state_dir, 0700), 0);
	daemon_rig_init(&rig, state_dir);
	rig.config.config_file = strdup(path);
	memset(&result, 0, sizeof(result));
	return 0;
}

static void forget_result(void)
{
	const struct field_rows *rows = rpc_methods[RPC_DAEMON_RELOAD].result;

	field_free(rows->rows, rows->count, &result);
	memset(&result, 0, sizeof(result));
}

static int tear_down(void **state)
{
	(void)state;
	forget_result();
	daemon_rig_done(&rig);
	pki_directory_remove(base);
	return 0;
}

static void put(const char *text)
{
	pki_write(path, text, strlen(text), 0600);
}

static void start(const char *text)
{
	struct config_diagnostics diags;
	char why[CONFIG_DIAGNOSTIC_SIZE];
	struct config_set set;

	put(text);
	if (config_file_load(&set, path, NULL, &diags) != 0)
		fail_msg("%s", config_diagnostic_format(why, sizeof(why), &diags.errors[0]));
	config_diagnostics_free(&diags);
	rig.d.phase = DAEMON_STARTING;
	if (reload_start(&rig.d, &set, &error) != 0)
		fail_msg("%s", error.message);
	rig.d.phase = DAEMON_RUNNING;
	config_set_free(&set);
}

static int reload(const char *text, bool dry_run)
{
	put(text);
	forget_result();
	memset(&error, 0, sizeof(error));
	return reload_run(&rig.d, dry_run, &result, &error);
}

static void assert_reloaded(const char *text)
{
	if (reload(text, false) != 0)
		fail_msg("%s", error.message);
}

static void assert_refused(const char *text, int code, const char *message)
{
	uint64_t total = rig.d.inventory.states.total;

	assert_int_not_equal(reload(text, false), 0);
	assert_int_equal(error.code, code);
	if (strstr(error.message, message) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", error.message, message);
	assert_int_equal(rig.d.inventory.states.total, total);
}

static void assert_told(const char *added, const char *changed, const char *removed,
			uint64_t unchanged)
{
	daemon_rig_assert_list(result.added, added);
	daemon_rig_assert_list(result.changed, changed);
	daemon_rig_assert_list(result.removed, removed);
	assert_int_equal(result.unchanged, unchanged);
}

#define HOME "[client home]\nserver-addr = 127.0.0.1:9\npassword = a\n"
#define OFFICE "[client office]\nserver-addr = 127.0.0.1:9\npassword = b\n"
#define MAIN "[server main]\naddr = 127.0.0.1:0\npassword = c\n"
#define WEB "[mapping web]\nspec = IN^1^4001\nclient = home\n"
#define OLD "[mapping old]\nspec = IN^2^4002\nclient = home\n"

static void the_same_file_changes_nothing(void **state)
{
	struct role *role, *server;

	(void)state;
	start(HOME "tcp-mappings = IN^3^4003\n" MAIN WEB OLD);
	role = daemon_rig_find(&rig, "web")->role;
	server = inventory_server(&rig.d.inventory, "main")->role;
	assert_non_null(role);
	assert_int_equal(daemon_rig_find(&rig, "web")->origin, RPC_ORIGIN_CONFIG);
	assert_int_equal(inventory_server(&rig.d.inventory, "main")->state, RPC_SERVER_LISTENING);
	assert_reloaded(HOME "tcp-mappings = IN^3^4003\n" MAIN WEB OLD);
	assert_told("", "", "", 5);
	daemon_rig_assert_list(result.warnings, "");
	assert_ptr_equal(daemon_rig_find(&rig, "web")->role, role);
	assert_ptr_equal(inventory_server(&rig.d.inventory, "main")->role, server);
	assert_non_null(strstr(rig.log, "reload: 0 added, 0 changed, 0 removed, 5 unchanged"));
}

static void a_server_that_was_drained_stays_so(void **state)
{
	static const struct tunnel_counters none;
	struct held_server *s;
	struct role *role;

	(void)state;
	start(HOME MAIN);
	s = inventory_server(&rig.d.inventory, "main");
	role = s->role;
	hold_server_drain(&rig.d, s, 0);
	assert_int_equal(s->state, RPC_SERVER_DRAINING);
	role_part_gone(role, 0, &none);
	role_part_gone(role, 1, &none);
	assert_int_equal(s->state, RPC_SERVER_STOPPED);
	assert_null(s->role);
	assert_reloaded(HOME MAIN);
	assert_told("", "", "", 2);
	assert_int_equal(s->state, RPC_SERVER_STOPPED);
	/* Another configuration begins anew, by the timer. */
	assert_reloaded(HOME MAIN "max-idle-ms = 5000\n");
	assert_told("", "server main", "", 1);
	assert_int_not_equal(s->retry_timer.deadline_ns, CLOCK_NEVER);
}

static void differences_go_by_name(void **state)
{
	struct held_client *home;
	uint64_t web;

	(void)state;
	start(HOME MAIN WEB OLD);
	home = inventory_client(&rig.d.inventory, "home");
	web = daemon_rig_find(&rig, "web")->number;
	/* The client's password, web's port; old goes, more comes, and a client for it. */
	assert_reloaded("[client home]\nserver-addr = 127.0.0.1:9\npassword = z\n" OFFICE
			"[mapping web]\nspec = IN^1^4009\nclient = home\n"
			"[mapping more]\nspec = IN^1^4001\nclient = office\n");
	assert_told("client office, mapping more", "client home, mapping web",
		    "server main, mapping old", 0);
	assert_ptr_equal(inventory_client(&rig.d.inventory, "home"), home);
	assert_string_equal(home->role->client->password, "z");
	assert_int_equal(daemon_rig_find(&rig, "web")->number, web);
	assert_null(daemon_rig_find(&rig, "old"));
	assert_null(inventory_server(&rig.d.inventory, "main"));
	assert_string_equal(daemon_rig_find(&rig, "more")->client->name, "office");
}

static void a_range_grows_and_shrinks(void **state)
{
	uint64_t middle;

	(void)state;
	start(HOME "[mapping many]\nspec = IN^1^4001-4003\n");
	middle = daemon_rig_find(&rig, "many-4002")->number;
	assert_reloaded(HOME "[mapping many]\nspec = IN^1^4002-4004\n");
	assert_told("mapping many-4004", "", "mapping many-4001", 3);
	assert_int_equal(daemon_rig_find(&rig, "many-4002")->number, middle);
	assert_refused(HOME WEB "[mapping many]\nspec = IN^1^4001-4003\n", 1200, "both listen on");
	assert_told("", "", "", 0);
	assert_null(daemon_rig_find(&rig, "many-4001"));
	assert_reloaded(HOME "[mapping many]\nspec = IN^1^4002\n");
	assert_told("mapping many", "", "mapping many-4002, mapping many-4003, mapping many-4004",
		    1);
}

static void a_mapping_moves_to_another_client(void **state)
{
	(void)state;
	start(HOME WEB);
	assert_reloaded(OFFICE "[mapping web]\nspec = IN^1^4001\nclient = office\n");
	assert_told("client office", "mapping web", "client home", 0);
	assert_null(inventory_client(&rig.d.inventory, "home"));
	assert_string_equal(daemon_rig_find(&rig, "web")->client->name, "office");
}

static void names_and_places_may_be_swapped(void **state)
{
	(void)state;
	start(HOME WEB OLD);
	assert_reloaded(HOME "[mapping old]\nspec = IN^1^4001\n[mapping web]\nspec = IN^2^4002\n");
	assert_told("", "mapping old, mapping web", "", 1);
	daemon_rig_assert_spec(daemon_rig_find(&rig, "web"), "IN^127.0.0.1:2^127.0.0.1:4002");
	/* One with a name becomes one without. */
	assert_reloaded(HOME "tcp-mappings = IN^1^4001\n[mapping web]\nspec = IN^2^4002\n");
	assert_told("mapping IN^127.0.0.1:1^127.0.0.1:4001", "", "mapping old", 2);
}

static void dry_run_changes_nothing(void **state)
{
	(void)state;
	start(HOME WEB);
	assert_int_equal(reload(HOME OLD "[daemon]\nloglevel = D\n", true), 0);
	assert_true(result.dry_run);
	assert_told("mapping old", "", "mapping web", 1);
	assert_non_null(daemon_rig_find(&rig, "web"));
	assert_null(daemon_rig_find(&rig, "old"));
	assert_int_equal(rig.d.level, LOG_LEVEL_INFO);
}

static void everything_that_is_wrong_is_told(void **state)
{
	(void)state;
	start(HOME WEB);
	assert_refused(HOME "colour = red\n" WEB "[mapping x]\nspec = OUT^y^ANY\n", 1200,
		       "rstund.conf:4: colour: unknown key");
	assert_non_null(strstr(error.message, "; "));
	assert_non_null(strstr(error.message, "rstund.conf:9: "));
	assert_string_equal(error.field, "colour");
	assert_non_null(strstr(error.value, "rstund.conf:4"));
	assert_non_null(daemon_rig_find(&rig, "web"));
	rig.config.config_file[0] = '?';
	assert_int_not_equal(reload_run(&rig.d, false, &result, &error), 0);
	assert_int_equal(error.code, 1200);
}

static void what_was_added_otherwise_is_left_alone(void **state)
{
	(void)state;
	start(HOME WEB);
	daemon_rig_client(&rig, "office", RPC_ORIGIN_STATE);
	daemon_rig_mapping(&rig, "office", "added", "IN^1^4001", RPC_ORIGIN_STATE);
	daemon_rig_mapping(&rig, "home", "ours", "IN^5^4005", RPC_ORIGIN_RUNTIME);
	assert_reloaded(HOME WEB OLD);
	assert_told("mapping old", "", "", 2);
	/* Names that are taken. */
	assert_refused(HOME OFFICE WEB, 1002, "rstund.conf:4: client office is there already (c2)");
	assert_refused(HOME WEB "[mapping added]\nspec = IN^6^4006\n", 1002,
		       "mapping added is there already (m2)");
	/* An address that is taken. */
	assert_refused(HOME "[mapping x]\nspec = IN^6^4005\n", 1003, "mapping m3 does (ours)");
	/* Its client goes. */
	assert_refused("", 1000, "client home is gone from the configuration, but mapping m3");
	assert_non_null(daemon_rig_find(&rig, "web"));
	assert_int_equal(hold_mapping_remove(&rig.d, daemon_rig_find(&rig, "ours"), 0, "", &error),
			 0);
	assert_reloaded("");
	assert_told("", "", "client home, mapping web, mapping old", 0);
	assert_non_null(daemon_rig_find(&rig, "added"));
}

static void a_certificate_that_is_broken_changes_nothing(void **state)
{
	char text[1024], cert[PKI_PATH_SIZE + 16];

	(void)state;
	start(HOME WEB);
	snprintf(cert, sizeof(cert), "%s/broken.pem", base);
	pki_write(cert, "nothing", 7, 0600);
	snprintf(text, sizeof(text), HOME "cert = %s\n" WEB OLD, cert);
	assert_refused(text, 1202, "broken.pem");
	assert_null(daemon_rig_find(&rig, "old"));
	snprintf(text, sizeof(text), HOME WEB MAIN "cert = %s\nkey = %s\n", cert, cert);
	assert_refused(text, 1202, "broken.pem");
	assert_null(inventory_server(&rig.d.inventory, "main"));
}

static void certificates_are_read_anew(void **state)
{
	struct pki_spec spec = {.common_name = "localhost", .dns = "localhost"};
	struct held_server *s;
	struct pki one, two;
	char text[1024];
	bool changed;

	(void)state;
	pki_make(&one, base, "one", &spec);
	snprintf(text, sizeof(text), MAIN "cert = %s\nkey = %s\n", one.cert, one.key);
	start(text);
	s = inventory_server(&rig.d.inventory, "main");
	assert_int_equal(reload_certificate(&rig.d, s, &changed, &error), 0);
	assert_false(changed);
	pki_make(&two, base, "one", &spec); /* over the first */
	assert_reloaded(text);
	assert_told("", "", "", 1);
	assert_non_null(strstr(rig.log, "info reload: new connections get the certificate from "));
	pki_write(two.cert, "half", 4, 0600);
	assert_reloaded(text);
	assert_non_null(result.warnings);
	assert_non_null(strstr(result.warnings[0],
			       "server main: the certificate in use stays as it is: "));
	assert_non_null(strstr(rig.log, "error reload: the certificate in use stays as it is"));
	pki_done(&one);
	pki_done(&two);
}

static void assert_paused_saved(size_t count)
{
	char why[STATE_DIR_ERROR_SIZE];
	struct saved_state saved;
	bool aside;

	assert_int_equal(state_file_load(&saved, &rig.d.state_dir, &aside, why), 0);
	assert_int_equal(saved.paused_count, count);
	saved_state_free(&saved);
}

static void paused_is_what_was_said_last(void **state)
{
	(void)state;
	start(HOME WEB OLD "paused = yes\n");
	assert_true(daemon_rig_find(&rig, "old")->paused);
	/* By hand: the file says nothing new, so it stays. */
	assert_int_equal(hold_mapping_pause(&rig.d, daemon_rig_find(&rig, "web"), true, 0, &error),
			 0);
	assert_paused_saved(1); /* not the one of the file */
	assert_reloaded(HOME WEB OLD "paused = yes\n");
	assert_told("", "", "", 3);
	assert_true(daemon_rig_find(&rig, "web")->paused);
	assert_reloaded(HOME WEB OLD);
	assert_told("", "mapping old", "", 2);
	assert_false(daemon_rig_find(&rig, "old")->paused);
	assert_true(daemon_rig_find(&rig, "web")->paused);
	assert_reloaded(HOME WEB "paused = yes\n" OLD);
	assert_told("", "mapping web", "", 2);
	assert_paused_saved(0);
}

static void what_needs_a_restart_is_said(void **state)
{
	(void)state;
	start(HOME);
	assert_reloaded("[daemon]\nworkers = 3\nlog-format = json\n" HOME);
	daemon_rig_assert_list(result.warnings,
		    "workers is another one in the file: it takes effect when the daemon is started "
		    "anew, log-format is another one in the file: it takes effect when the daemon is "
		    "started anew");
	/* What the command line says wins, so it is nothing new. */
	rig.params.given = UINT32_MAX;
	assert_reloaded("[daemon]\nworkers = 3\nlog-format = json\n" HOME);
	daemon_rig_assert_list(result.warnings, "");
}

static void without_a_file_only_certificates_are_read(void **state)
{
	(void)state;
	start(HOME);
	free(rig.config.config_file);
	rig.config.config_file = NULL;
	assert_int_not_equal(reload_run(&rig.d, false, &result, &error), 0);
	assert_int_equal(error.code, 1000);
	assert_non_null(strstr(error.message, "no configuration file was given"));
	reload_on_signal(&rig.d);
	assert_non_null(strstr(rig.log, "warn reload: no configuration file was given"));
}

static void a_role_of_the_command_line_has_its_own_words(void **state)
{
	struct client_config client;

	(void)state;
	start(HOME);
	rig.params.client = &client;
	reload_on_signal(&rig.d);
	assert_non_null(strstr(rig.log, "info reload: there is no certificate file to read again"));
	assert_null(strstr(rig.log, "SIGHUP"));
}

static void at_start_a_taken_address_is_tried_again(void **state)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[512];

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	snprintf(text, sizeof(text), HOME "[mapping web]\nspec = OUT^127.0.0.1:%u^ANY\n",
		 (unsigned)ntohs(addr.sin_port));
	start(text);
	assert_int_equal(daemon_rig_find(&rig, "web")->state, RPC_STATE_FAILED);
	assert_int_equal(daemon_rig_find(&rig, "web")->last_error, RSTUN_E_ADDRESS_IN_USE);
	close(fd);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_same_file_changes_nothing),
		TEST(a_server_that_was_drained_stays_so),
		TEST(differences_go_by_name),
		TEST(a_range_grows_and_shrinks),
		TEST(a_mapping_moves_to_another_client),
		TEST(names_and_places_may_be_swapped),
		TEST(dry_run_changes_nothing),
		TEST(everything_that_is_wrong_is_told),
		TEST(what_was_added_otherwise_is_left_alone),
		TEST(a_certificate_that_is_broken_changes_nothing),
		TEST(certificates_are_read_anew),
		TEST(paused_is_what_was_said_last),
		TEST(what_needs_a_restart_is_said),
		TEST(without_a_file_only_certificates_are_read),
		TEST(a_role_of_the_command_line_has_its_own_words),
		TEST(at_start_a_taken_address_is_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
