/* SPDX-License-Identifier: MIT */
/*
 * mapping.apply and mapping.confirm on what the main thread really holds (daemon_rig.h).
 */
#include "base/clock.h"
#include "base/error.h"
#include "rstund/control/apply.h"
#include "rstund/control/state_file.h"
#include "rstund/hold.h"
#include "rstund/control/persist.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/pki.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define S CLOCK_NS_PER_S

static char base[PKI_PATH_SIZE];
static struct daemon_rig rig;
static struct rpc_mapping_apply_result result;
static struct rpc_error error;

static int set_up(void **state)
{
	(void)state;
	pki_directory(base);
	daemon_rig_init(&rig, base);
	daemon_rig_client(&rig, "home", RPC_ORIGIN_STATE);
	memset(&result, 0, sizeof(result));
	return 0;
}

static void forget_result(void)
{
	const struct field_rows *rows = rpc_methods[RPC_MAPPING_APPLY].result;

	field_free(rows->rows, rows->count, &result);
	memset(&result, 0, sizeof(result));
}

static int tear_down(void **state)
{
	(void)state;
	forget_result();
	apply_forget(&rig.d);
	daemon_rig_done(&rig);
	pki_directory_remove(base);
	return 0;
}

/* ---- Lists ---- */

struct wanted {
	const char *name, *spec;
	const char *client;
	uint64_t expires_ms; /* 0 = never */
};

#define W(n, s) {.name = (n), .spec = (s)}
#define END {.spec = NULL}

/* Up to the first without a spec. */
static int apply(const struct wanted *wanted, struct rpc_mapping_apply_params params,
		 uint64_t now_ns)
{
	struct rpc_mapping_input in[16] = {{.spec = NULL}};
	size_t count = 0;

	for (; wanted[count].spec != NULL; count++)
		in[count] = (struct rpc_mapping_input){
			.spec = (char *)wanted[count].spec,
			.mode = -1,
			.name = (char *)wanted[count].name,
			.client = (char *)wanted[count].client,
			.expires_ms = wanted[count].expires_ms != 0 ? wanted[count].expires_ms
								    : UINT64_MAX,
		};
	params.mappings = (struct field_array){in, count};
	rig.d.loop.now_ns = now_ns;
	forget_result();
	memset(&error, 0, sizeof(error));
	return apply_mappings(&rig.d, &params, now_ns, &result, &error);
}

static void assert_applied(int rc)
{
	if (rc != 0)
		fail_msg("%s", error.message);
}

static void assert_told(const char *added, const char *changed, const char *removed,
			uint64_t unchanged)
{
	daemon_rig_assert_list(result.added, added);
	daemon_rig_assert_list(result.changed, changed);
	daemon_rig_assert_list(result.removed, removed);
	assert_int_equal(result.unchanged, unchanged);
}

/* Names, or specs, of the mappings in the state file. */
static void assert_saved(const char *joined)
{
	char text[1024] = "", why[STATE_DIR_ERROR_SIZE];
	struct saved_state saved;
	bool aside;

	assert_int_equal(state_file_load(&saved, &rig.d.state_dir, &aside, why), 0);
	for (size_t i = 0; i < saved.mapping_count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s=%s",
			 i > 0 ? " " : "",
			 saved.mappings[i].name != NULL ? saved.mappings[i].name : "",
			 saved.mappings[i].spec);
	saved_state_free(&saved);
	assert_string_equal(text, joined);
}

static ino_t file_number(void)
{
	char path[PKI_PATH_SIZE + 32];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", base, STATE_FILE_NAME);
	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

#define IN1 "IN^127.0.0.1:1^0.0.0.0:4001"
#define IN2 "IN^127.0.0.1:2^0.0.0.0:4002"
#define IN3 "IN^127.0.0.1:3^0.0.0.0:4003"
#define IN4 "IN^127.0.0.1:4^0.0.0.0:4004"

static void three(void)
{
	daemon_rig_mapping(&rig, "home", "web", IN1, RPC_ORIGIN_STATE);
	daemon_rig_mapping(&rig, "home", NULL, IN2, RPC_ORIGIN_STATE);
	daemon_rig_mapping(&rig, "home", "old", IN3, RPC_ORIGIN_STATE);
}

/* ---- Differences ---- */

static void only_differences_are_carried_out(void **state)
{
	static const struct wanted list[] = {W("web", IN1), W(NULL, IN2), W("new", IN4), END};
	struct role *role;

	(void)state;
	three();
	role = daemon_rig_find(&rig, "web")->role;
	assert_applied(apply(list, (struct rpc_mapping_apply_params){.prune = false}, S));
	assert_told("new", "", "", 2);
	assert_true(result.revert_in_ms == UINT64_MAX);
	assert_ptr_equal(daemon_rig_find(&rig, "web")->role, role);
	assert_false(daemon_rig_find(&rig, "web")->leaving);
	assert_non_null(daemon_rig_find(&rig, "old"));
	assert_int_equal(daemon_rig_find(&rig, "new")->origin, RPC_ORIGIN_STATE);
	assert_saved("web=" IN1 " =" IN2 " old=" IN3 " new=" IN4);
	/* The same again does nothing, and does not write. */
	{
		ino_t before = file_number();

		assert_applied(apply(list, (struct rpc_mapping_apply_params){.prune = false}, S));
		assert_told("", "", "", 3);
		assert_int_equal(file_number(), before);
	}
}

static void prune_leaves_what_is_not_its_own(void **state)
{
	static const struct wanted list[] = {W("web", IN1), END};
	static const struct wanted other[] = {W("web", IN1), W("run", "IN^5^4009"), END};
	struct held_mapping *m;

	(void)state;
	three();
	daemon_rig_mapping(&rig, "home", "file", IN4, RPC_ORIGIN_CONFIG);
	m = daemon_rig_mapping(&rig, "home", "run", "IN^5^4005", RPC_ORIGIN_RUNTIME);
	m->caller = 7;
	daemon_rig_mapping(&rig, "home", "gone", "IN^6^4006", RPC_ORIGIN_RUNTIME);
	assert_applied(apply(list, (struct rpc_mapping_apply_params){.prune = true}, S));
	assert_told("", "", IN2 ", old, gone", 1);
	assert_non_null(daemon_rig_find(&rig, "file"));
	assert_non_null(daemon_rig_find(&rig, "run"));
	assert_null(daemon_rig_find(&rig, "gone"));
	assert_saved("web=" IN1);
	forget_result();
	assert_int_not_equal(apply(other, (struct rpc_mapping_apply_params){.prune = true}, S), 0);
	assert_int_equal(error.code, 1002);
	assert_string_equal(error.field, "mappings[1]");
	daemon_rig_assert_spec(m, "IN^127.0.0.1:5^127.0.0.1:4005");
}

static void config_is_not_touched(void **state)
{
	static const struct wanted same[] = {W("file", IN4), END};
	static const struct wanted other[] = {W("new", IN1), W("file", IN3), END};

	(void)state;
	daemon_rig_mapping(&rig, "home", "file", IN4, RPC_ORIGIN_CONFIG);
	assert_applied(apply(same, (struct rpc_mapping_apply_params){.prune = true}, S));
	assert_told("", "", "", 1);
	assert_int_not_equal(apply(other, (struct rpc_mapping_apply_params){.prune = true}, S), 0);
	assert_int_equal(error.code, 1005);
	assert_string_equal(error.field, "mappings[1]");
	assert_null(daemon_rig_find(&rig, "new"));
	daemon_rig_assert_spec(daemon_rig_find(&rig, "file"), IN4);
}

static void a_name_that_moves_is_not_taken_for_another(void **state)
{
	/* What "web" was is to be one without a name. */
	static const struct wanted list[] = {W(NULL, IN1), W("web", IN4), END};
	uint64_t number;

	(void)state;
	number = daemon_rig_mapping(&rig, "home", "web", IN1, RPC_ORIGIN_STATE)->number;
	assert_applied(apply(list, (struct rpc_mapping_apply_params){.prune = true}, S));
	assert_told(IN1, "web", "", 0);
	assert_int_equal(daemon_rig_find(&rig, "web")->number, number);
	daemon_rig_assert_spec(daemon_rig_find(&rig, "web"), IN4);
	assert_int_equal(rig.d.inventory.states.total, 2);
}

static void addresses_can_be_swapped(void **state)
{
	static const struct wanted list[] = {W("web", IN3), W("old", IN1), END};

	(void)state;
	three();
	inventory_set_state(&rig.d.inventory, daemon_rig_find(&rig, "web"), RPC_STATE_TUNNELING, 1);
	assert_applied(apply(list, (struct rpc_mapping_apply_params){.prune = false}, S));
	assert_told("", "web, old", "", 0);
	assert_int_equal(daemon_rig_find(&rig, "web")->state, RPC_STATE_IDLE);
	daemon_rig_assert_spec(daemon_rig_find(&rig, "web"), IN3);
	daemon_rig_assert_spec(daemon_rig_find(&rig, "old"), IN1);
	assert_saved("web=" IN3 " =" IN2 " old=" IN1);
}

static void dry_run_changes_nothing(void **state)
{
	static const struct wanted list[] = {W("web", IN4), W("new", IN1), END};
	struct rpc_mapping_apply_params params = {
		.dry_run = true, .prune = true, .confirm_within_s = 60};

	(void)state;
	three();
	assert_applied(apply(list, params, S));
	assert_true(result.dry_run);
	assert_told("new", "web", IN2 ", old", 0);
	assert_null(rig.d.apply);
	assert_int_equal(rig.d.inventory.states.total, 3);
	daemon_rig_assert_spec(daemon_rig_find(&rig, "web"), IN1);
}

static void expiry_is_a_difference(void **state)
{
	static const struct wanted list[] = {{.name = "web", .spec = IN1, .expires_ms = 5000}, END};

	(void)state;
	three();
	assert_applied(apply(list, (struct rpc_mapping_apply_params){.prune = false}, S));
	assert_told("", "web", "", 0);
	assert_int_equal(daemon_rig_find(&rig, "web")->expires_ms, 5000);
	assert_false(daemon_rig_find(&rig, "web")->leaving); /* it keeps its connection */
	assert_applied(apply(list, (struct rpc_mapping_apply_params){.prune = false}, S));
	assert_told("", "", "", 1);
}

/* ---- What is refused ---- */

static void assert_refused(const struct wanted *list, bool prune, int code, const char *message)
{
	uint64_t total = rig.d.inventory.states.total;

	assert_int_not_equal(apply(list, (struct rpc_mapping_apply_params){.prune = prune}, S), 0);
	assert_int_equal(error.code, code);
	if (strstr(error.message, message) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", error.message, message);
	assert_int_equal(rig.d.inventory.states.total, total);
	assert_non_null(daemon_rig_find(&rig, "web"));
}

static void contradictions_are_refused(void **state)
{
	static const struct wanted names[] = {W("a", IN1), W("a", IN4), END};
	static const struct wanted specs[] = {
		W(NULL, "OUT^0^ANY"), W(NULL, "OUT^0^ANY"), END};
	static const struct wanted both[] = {W("a", IN4), W("b", "IN^9^0.0.0.0:4004"), END};
	static const struct wanted taken[] = {W("a", "IN^9^0.0.0.0:4003"), END};
	static const struct wanted wrong[] = {W("a", IN4), W("b", "OUT^x^ANY"), END};
	static const struct wanted client[] = {{.name = "a", .spec = IN4, .client = "office"}, END};

	(void)state;
	three();
	assert_refused(names, true, RPC_INVALID_PARAMS, "mapping a is there twice");
	assert_refused(specs, false, RPC_INVALID_PARAMS, "OUT^127.0.0.1:0^ANY is there twice");
	assert_refused(both, false, RPC_INVALID_PARAMS,
		       "mappings a and b would both listen on 0.0.0.0:4004 (tcp)");
	assert_refused(taken, false, 1003, "mapping m3 does (old)");
	assert_refused(wrong, false, RPC_INVALID_PARAMS, "mappings[1]: ");
	assert_string_equal(error.field, "mappings[1].spec");
	assert_refused(client, false, 1001, "mappings[0]: there is no client office");
	assert_applied(apply(taken, (struct rpc_mapping_apply_params){.prune = true}, S));
}

/* As with mapping.add and the configuration file: it is there, and tried again. */
static void an_address_of_another_program_is_tried_again(void **state)
{
	char spec[64];
	struct wanted list[] = {W("a", spec), END};
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	three();
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	snprintf(spec, sizeof(spec), "OUT^127.0.0.1:%u^ANY", (unsigned)ntohs(addr.sin_port));
	assert_applied(apply(list, (struct rpc_mapping_apply_params){.prune = false}, S));
	assert_int_equal(daemon_rig_find(&rig, "a")->state, RPC_STATE_FAILED);
	assert_int_equal(daemon_rig_find(&rig, "a")->last_error, RSTUN_E_ADDRESS_IN_USE);
	close(fd);
}

static void several_clients_need_a_name(void **state)
{
	static const struct wanted list[] = {W("a", IN4), END};
	static const struct wanted named[] = {
		{.name = "a", .spec = IN4, .client = "office"},
		{.name = "b", .spec = IN4, .client = "home"},
		END,
	};

	(void)state;
	three();
	daemon_rig_client(&rig, "office", RPC_ORIGIN_STATE);
	assert_refused(list, false, RPC_INVALID_PARAMS, "home, office");
	/* The same address at two servers is no clash. */
	assert_applied(apply(named, (struct rpc_mapping_apply_params){.prune = false}, S));
}

static void a_file_that_cannot_be_written_changes_nothing(void **state)
{
	static const struct wanted list[] = {W("web", IN4), W("new", IN1), END};
	char gone[PKI_PATH_SIZE + 8], why[STATE_DIR_ERROR_SIZE];
	struct state_dir kept, dir;

	(void)state;
	three();
	kept = rig.d.state_dir;
	snprintf(gone, sizeof(gone), "%s/gone", base);
	assert_int_equal(mkdir(gone, 0700), 0);
	assert_int_equal(state_dir_open_top(&dir, gone, why), 0);
	pki_directory_remove(gone);
	rig.d.state_dir = dir;
	assert_int_not_equal(apply(list, (struct rpc_mapping_apply_params){.prune = true}, S), 0);
	assert_int_equal(error.code, 1201);
	assert_int_equal(rig.d.inventory.states.total, 3);
	daemon_rig_assert_spec(daemon_rig_find(&rig, "web"), IN1);
	assert_false(daemon_rig_find(&rig, "web")->leaving);
	/* To be confirmed: it is carried out, and the confirmation is what fails. */
	assert_applied(apply(list, (struct rpc_mapping_apply_params){.confirm_within_s = 9}, S));
	assert_false(apply_confirm(&rig.d, false, &error));
	assert_int_equal(error.code, 1201);
	assert_int_equal(apply_left_ms(&rig.d, S), 9000);
	rig.d.state_dir = kept;
	assert_true(apply_confirm(&rig.d, false, &error));
	assert_saved("web=" IN4 " =" IN2 " old=" IN3 " new=" IN1);
	state_dir_close(&dir);
}

/* ---- To be confirmed ---- */

static const struct wanted much[] = {W("web", IN3), W("new", IN4), END};

static void carry_out_much(uint64_t within_s, uint64_t now_ns)
{
	struct rpc_mapping_apply_params params = {.prune = true, .confirm_within_s = within_s};

	three();
	hold_mapping_pause(&rig.d, daemon_rig_find(&rig, "old"), true, 0, &error);
	daemon_rig_let_go(&rig, daemon_rig_find(&rig, "old")->number);
	assert_applied(apply(much, params, now_ns));
	assert_told("new", "web", IN2 ", old", 0);
	assert_int_equal(result.revert_in_ms, within_s * 1000);
	assert_null(daemon_rig_find(&rig, "old"));
	/* The file is as before: a crash would undo it. */
	assert_saved("web=" IN1 " =" IN2 " old=" IN3);
}

static void assert_as_before(void)
{
	static const char *const specs[] = {IN1, IN2, IN3};
	struct held_mapping *m;
	size_t i = 0;

	TAILQ_FOREACH (m, &rig.d.inventory.mappings, link) {
		assert_true(i < 3);
		assert_int_equal(m->number, i + 1);
		daemon_rig_assert_spec(m, specs[i++]);
		assert_int_equal(m->origin, RPC_ORIGIN_STATE);
		assert_ptr_equal(m->client, inventory_client(&rig.d.inventory, "home"));
	}
	assert_int_equal(i, 3);
	assert_true(daemon_rig_find(&rig, "old")->paused);
	assert_false(daemon_rig_find(&rig, "web")->paused);
	assert_null(rig.d.apply);
	assert_true(apply_left_ms(&rig.d, S) == UINT64_MAX);
	assert_saved("web=" IN1 " =" IN2 " old=" IN3);
}

static void what_is_not_confirmed_is_undone(void **state)
{
	struct held_mapping *m;

	(void)state;
	carry_out_much(60, S);
	assert_int_equal(apply_left_ms(&rig.d, 2 * S), 59000);
	daemon_rig_let_go(&rig, 2); /* m1 and m4 are on their workers still */
	apply_check(&rig.d, 61 * S - 1);
	assert_non_null(daemon_rig_find(&rig, "new"));
	rig.d.loop.now_ns = 61 * S;
	apply_check(&rig.d, 61 * S);
	assert_as_before();
	assert_non_null(strstr(rig.log, "warn mapping.apply is undone (not confirmed within 60 s)"));
	/* The workers' answers find the right ones. */
	daemon_rig_let_go(&rig, 1);
	daemon_rig_let_go(&rig, 4);
	assert_null(inventory_mapping_by_number(&rig.d.inventory, 4));
	m = daemon_rig_find(&rig, "web");
	assert_non_null(m->role);
	assert_false(m->leaving);
	/* A number is never used for another one. */
	m = daemon_rig_mapping(&rig, "home", "later", IN4, RPC_ORIGIN_RUNTIME);
	assert_int_equal(m->number, 5);
}

static void it_can_be_undone_at_once(void **state)
{
	struct held_mapping *m;

	(void)state;
	carry_out_much(60, S);
	/* No worker has answered yet: what was removed comes back in its own place. */
	assert_true(apply_confirm(&rig.d, true, &error));
	assert_as_before();
	m = inventory_mapping_by_number(&rig.d.inventory, 2);
	assert_true(m->leaving);
	assert_int_equal(rig.d.inventory.states.total, 3);
	assert_int_equal(rig.d.inventory.states.paused, 1);
	daemon_rig_let_go(&rig, 2);
	assert_non_null(m->role);
	assert_false(m->leaving);
	assert_false(apply_confirm(&rig.d, true, &error));
	assert_int_equal(error.code, 0);
}

static void what_is_confirmed_stays(void **state)
{
	(void)state;
	carry_out_much(60, S);
	assert_true(apply_confirm(&rig.d, false, &error));
	assert_saved("web=" IN3 " new=" IN4);
	apply_check(&rig.d, 100 * S);
	daemon_rig_assert_spec(daemon_rig_find(&rig, "web"), IN3);
	assert_false(apply_confirm(&rig.d, false, &error));
}

static void one_waits_at_a_time(void **state)
{
	static const struct wanted list[] = {W("more", IN2), END};

	(void)state;
	carry_out_much(60, S);
	assert_int_not_equal(apply(list, (struct rpc_mapping_apply_params){.prune = false}, 11 * S),
			     0);
	assert_int_equal(error.code, 1006);
	assert_non_null(strstr(error.message, "in 50 s"));
	assert_non_null(strstr(error.hint, "rstunctl confirm"));
	assert_applied(apply(list, (struct rpc_mapping_apply_params){.dry_run = true}, 11 * S));
	assert_told("more", "", "", 0);
}

static void others_may_change_things_meanwhile(void **state)
{
	(void)state;
	carry_out_much(60, S);
	/* Somebody takes an address, removes one of ours, and one that was changed. */
	daemon_rig_mapping(&rig, "home", "other", "IN^7^0.0.0.0:4002", RPC_ORIGIN_STATE);
	assert_saved("web=" IN1 " =" IN2 " old=" IN3 " other=IN^127.0.0.1:7^0.0.0.0:4002");
	assert_int_equal(hold_mapping_remove(&rig.d, daemon_rig_find(&rig, "web"), 0, "", &error),
			 0);
	assert_int_equal(hold_mapping_remove(&rig.d, daemon_rig_find(&rig, "new"), 0, "", &error),
			 0);
	apply_check(&rig.d, 61 * S);
	/* "old" is back; the address of m2 is taken, which is said; "web" stays removed. */
	assert_non_null(daemon_rig_find(&rig, "old"));
	assert_null(daemon_rig_find(&rig, IN2));
	assert_null(daemon_rig_find(&rig, "web"));
	assert_non_null(strstr(rig.log, "error mapping m2 cannot be as it was: "));
	assert_saved("old=" IN3 " other=IN^127.0.0.1:7^0.0.0.0:4002");
}

static void nothing_to_change_is_nothing_to_confirm(void **state)
{
	static const struct wanted list[] = {W("web", IN1), END};

	(void)state;
	three();
	assert_applied(apply(list, (struct rpc_mapping_apply_params){.confirm_within_s = 9}, S));
	assert_true(result.revert_in_ms == UINT64_MAX);
	assert_null(rig.d.apply);
}

/* ---- One mapping as it is told ---- */

static void parts_and_specs_are_read(void **state)
{
	struct rpc_mapping_input in = {
		.mode = MAPPING_OUT,
		.local = (char *)"9000",
		.remote = (char *)"ANY",
		.proto = MAPPING_UDP,
		.name = (char *)"dns",
		.expires_ms = 1000,
	};
	struct hold_mapping_params p;
	char spec[MAPPING_TEXT_SIZE];

	(void)state;
	assert_int_equal(apply_parse_input(&rig.d, &in, &p, &error), 0);
	assert_string_equal(mapping_format(spec, sizeof(spec), &p.mapping), "OUT^127.0.0.1:9000^ANY");
	assert_int_equal(p.mapping.proto, MAPPING_UDP);
	assert_string_equal(p.client->name, "home");
	assert_string_equal(p.name, "dns");
	assert_int_equal(p.expires_ms, 1000);
	assert_int_equal(p.expires_wall_us, INT64_MAX);
	in.local = (char *)"9000^1";
	assert_int_not_equal(apply_parse_input(&rig.d, &in, &p, &error), 0);
	assert_int_equal(error.code, RPC_INVALID_PARAMS);
	in.local = NULL;
	assert_int_not_equal(apply_parse_input(&rig.d, &in, &p, &error), 0);
	assert_int_equal(error.code, RPC_INVALID_PARAMS);
}

static void without_a_client_there_is_a_hint(void **state)
{
	struct rpc_mapping_input in = {.spec = (char *)"OUT^9000^ANY", .mode = -1};
	struct hold_mapping_params p;

	(void)state;
	assert_int_equal(hold_client_remove(&rig.d, inventory_client(&rig.d.inventory, "home"), 0,
					    &error), 0);
	assert_int_not_equal(apply_parse_input(&rig.d, &in, &p, &error), 0);
	assert_int_equal(error.code, 1001);
	assert_non_null(strstr(error.hint, "rstunctl client add NAME HOST:PORT --password-file FILE"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_differences_are_carried_out),
		TEST(prune_leaves_what_is_not_its_own),
		TEST(config_is_not_touched),
		TEST(a_name_that_moves_is_not_taken_for_another),
		TEST(addresses_can_be_swapped),
		TEST(dry_run_changes_nothing),
		TEST(expiry_is_a_difference),
		TEST(contradictions_are_refused),
		TEST(an_address_of_another_program_is_tried_again),
		TEST(several_clients_need_a_name),
		TEST(a_file_that_cannot_be_written_changes_nothing),
		TEST(what_is_not_confirmed_is_undone),
		TEST(it_can_be_undone_at_once),
		TEST(what_is_confirmed_stays),
		TEST(one_waits_at_a_time),
		TEST(others_may_change_things_meanwhile),
		TEST(nothing_to_change_is_nothing_to_confirm),
		TEST(parts_and_specs_are_read),
		TEST(without_a_client_there_is_a_hint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
