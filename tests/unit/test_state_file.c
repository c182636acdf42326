/* SPDX-License-Identifier: MIT */
/*
 * The state file: what is saved comes back, whatever is damaged is moved aside and told, what must
 * not be touched stays, and a write that fails leaves the old file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "rstund/control/state_file.h"
#include "tests/unit/pki.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[PKI_PATH_SIZE], path[PKI_PATH_SIZE + 32];
static char error[STATE_DIR_ERROR_SIZE];
static struct state_dir dir;

static int set_up(void **state)
{
	(void)state;
	pki_directory(base);
	snprintf(path, sizeof(path), "%s/%s", base, STATE_FILE_NAME);
	return state_dir_open_top(&dir, base, error);
}

static int tear_down(void **state)
{
	(void)state;
	state_dir_close(&dir);
	pki_directory_remove(base);
	return 0;
}

static void put(const char *text, size_t bytes)
{
	pki_write(path, text, bytes, 0600);
}

static void assert_contains(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", text, part);
}

/* Files state.json.corrupt-*, which are removed. */
static size_t take_corrupt(void)
{
	char name[PKI_PATH_SIZE + 300];
	DIR *d = opendir(base);
	struct dirent *e;
	size_t count = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, "state.json.corrupt-", 19) != 0)
			continue;
		count++;
		snprintf(name, sizeof(name), "%s/%s", base, e->d_name);
		assert_int_equal(unlink(name), 0);
	}
	closedir(d);
	return count;
}

/* Two roles, mappings with and without everything. */
static void fill(struct saved_state *s)
{
	static struct saved_role clients[2], servers[1];
	static struct saved_mapping mappings[] = {
		{.name = "web", .spec = "OUT^9000^ANY", .client = "home", .proto = MAPPING_TCP,
		 .expires_wall_us = 1795600000123456, .expires_ms = 3600000, .paused = true},
		{.spec = "IN^5353^0.0.0.0:53", .client = "büro", .proto = MAPPING_UDP,
		 .expires_wall_us = INT64_MAX, .expires_ms = UINT64_MAX},
	};
	static char *paused[] = {"mail", "home udp OUT^127.0.0.1:53^ANY"};

	clients[0].name = "home";
	clients[0].config = json_pack("{s:s, s:s, s:i, s:[s,s]}", "server_addr", "a.example:3515",
				      "password", "ge\"heim", "quic_timeout_ms", 30000,
				      "dns_servers", "9.9.9.9", "::1");
	clients[1].name = "büro";
	clients[1].config = json_object();
	servers[0].name = "s";
	servers[0].config = json_pack("{s:s, s:s}", "addr", "0.0.0.0:3515", "key_pem",
				      "-----BEGIN PRIVATE KEY-----\nAA==\n");
	*s = (struct saved_state){clients, 2, servers, 1, mappings, 2, paused, 2};
}

static void fill_done(struct saved_state *s)
{
	for (size_t i = 0; i < s->client_count; i++)
		json_decref(s->clients[i].config);
	json_decref(s->servers[0].config);
}

static void assert_same_roles(const struct saved_role *a, const struct saved_role *b, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(a[i].name, b[i].name);
		assert_true(json_equal(a[i].config, b[i].config));
	}
}

static void assert_same(const struct saved_state *a, const struct saved_state *b)
{
	assert_int_equal(a->client_count, b->client_count);
	assert_int_equal(a->server_count, b->server_count);
	assert_int_equal(a->mapping_count, b->mapping_count);
	assert_int_equal(a->paused_count, b->paused_count);
	assert_same_roles(a->clients, b->clients, a->client_count);
	assert_same_roles(a->servers, b->servers, a->server_count);
	for (size_t i = 0; i < a->mapping_count; i++) {
		const struct saved_mapping *m = &a->mappings[i], *n = &b->mappings[i];

		assert_string_equal(m->name != NULL ? m->name : "-",
				    n->name != NULL ? n->name : "-");
		assert_string_equal(m->spec, n->spec);
		assert_string_equal(m->client, n->client);
		assert_int_equal(m->proto, n->proto);
		assert_true(m->expires_wall_us == n->expires_wall_us);
		assert_true(m->expires_ms == n->expires_ms);
		assert_int_equal(m->paused, n->paused);
	}
	for (size_t i = 0; i < a->paused_count; i++)
		assert_string_equal(a->paused[i], b->paused[i]);
}

static void nothing_there(void **state)
{
	struct saved_state s = {.client_count = 7};
	bool aside = true;

	(void)state;
	assert_int_equal(state_file_load(&s, &dir, &aside, error), 0);
	assert_false(aside);
	assert_int_equal(s.client_count, 0);
	saved_state_free(&s);
	saved_state_free(NULL);
	/* Nothing is a state too. */
	assert_int_equal(state_file_save(&dir, &s, error), 0);
	s.client_count = 7;
	assert_int_equal(state_file_load(&s, &dir, &aside, error), 0);
	assert_false(aside);
	assert_int_equal(s.client_count + s.server_count + s.mapping_count + s.paused_count, 0);
}

static void round_trip(void **state)
{
	struct saved_state s, back;
	char *text, *again;
	bool aside = true;
	struct stat st;

	(void)state;
	fill(&s);
	assert_int_equal(state_file_save(&dir, &s, error), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	text = pki_read(path);
	assert_contains(text, "{\n  \"schema_version\": 1,\n  \"clients\": [\n    {\n");
	assert_contains(text, "\"password\": \"ge\\\"heim\"");
	assert_contains(text, "BEGIN PRIVATE KEY");
	assert_contains(text, "\"proto\": \"udp\"");
	assert_int_equal(text[strlen(text) - 1], '\n');
	assert_int_equal(state_file_load(&back, &dir, &aside, error), 0);
	assert_false(aside);
	assert_same(&s, &back);
	/* The same state is the same text. */
	assert_int_equal(state_file_save(&dir, &back, error), 0);
	again = pki_read(path);
	assert_string_equal(text, again);
	saved_state_free(&back);
	fill_done(&s);
	free(text);
	free(again);
}

static void torn_anywhere(void **state)
{
	struct saved_state s, back;
	size_t bytes;
	bool aside;
	char *text;

	(void)state;
	fill(&s);
	assert_int_equal(state_file_save(&dir, &s, error), 0);
	text = pki_read(path);
	bytes = strlen(text);
	for (size_t i = 0; i <= bytes; i++) {
		put(text, i);
		assert_int_equal(state_file_load(&back, &dir, &aside, error), 0);
		/* The last byte is a newline, which JSON does not need. */
		assert_int_equal(aside, i < bytes - 1);
		assert_int_equal(take_corrupt(), i < bytes - 1 ? 1 : 0);
		assert_int_equal(access(path, F_OK), i < bytes - 1 ? -1 : 0);
		if (aside)
			assert_int_equal(back.client_count + back.mapping_count, 0);
		else
			assert_same(&s, &back);
		saved_state_free(&back);
	}
	fill_done(&s);
	free(text);
}

#define V "{\"schema_version\":1"
static const struct {
	const char *text;
	const char *why;
} damaged[] = {
	{"\n", "line 2, column 0: this is not JSON"},
	{"[]", "no \"schema_version\""},
	{"{}", "no \"schema_version\""},
	{"{\"schema_version\":\"1\"}", "no \"schema_version\""},
	{"{\"schema_version\":1.5}", "no \"schema_version\""},
	{"{\"schema_version\":0}", "no \"schema_version\""},
	{V ",\"schema_version\":2}", "a member is there twice"},
	{V "} {}", "not JSON"},
	{V ",\"client\":[]}", "there is no member \"client\""},
	{V ",\"clients\":{}}", "\"clients\" is not an array"},
	{V ",\"clients\":[1]}", "clients[0]: Expected object"},
	{V ",\"clients\":[{\"name\":\"a\"}]}", "clients[0]: Object item not found: config"},
	{V ",\"clients\":[{\"name\":7,\"config\":{}}]}", "clients[0]: Expected string"},
	{V ",\"clients\":[{\"name\":\"a\",\"config\":{}},{\"name\":\"b\",\"config\":[]}]}",
	 "clients[1]: \"config\" is not an object"},
	{V ",\"clients\":[{\"name\":\"a\",\"config\":{\"x\":1,\"x\":2}}]}", "twice"},
	{V ",\"servers\":[{\"name\":\"a\",\"config\":{},\"more\":1}]}", "servers[0]: "},
	{V ",\"servers\":null}", "\"servers\" is not an array"},
	{V ",\"mappings\":[{\"spec\":\"x\",\"client\":\"c\"}]}",
	 "mappings[0]: Object item not found: proto"},
	{V ",\"mappings\":[{\"spec\":\"x\",\"client\":\"c\",\"proto\":\"sctp\"}]}",
	 "mappings[0]: \"proto\" is neither"},
	{V ",\"mappings\":[{\"spec\":\"x\",\"client\":\"c\",\"proto\":\"tcp\",\"paused\":1}]}",
	 "mappings[0]: Expected true or false"},
	{V ",\"mappings\":[{\"spec\":\"x\",\"client\":\"c\",\"proto\":\"tcp\",\"expires_ms\":-1}]}",
	 "\"expires_ms\" is negative"},
	{V ",\"mappings\":[{\"spec\":\"x\",\"client\":\"c\",\"proto\":\"tcp\",\"expires_ms\":1e3}]}",
	 "mappings[0]: Expected integer"},
	{V ",\"mappings\":[{\"spec\":\"x\",\"client\":\"c\",\"proto\":\"tcp\","
	   "\"expires_wall_us\":99999999999999999999}]}",
	 "not JSON"},
	{V ",\"mappings\":[{\"spec\":\"x\",\"client\":\"c\",\"proto\":\"tcp\",\"name\":null}]}",
	 "mappings[0]: Expected string"},
	{V ",\"paused\":[\"a\",1]}", "paused[1] is not a string"},
	{V ",\"paused\":[\"a\\u0000b\"]}", "not JSON"},
	{V ",\"paused\":[\"\xff\"]}", "not JSON"},
};

static void damaged_in_many_ways(void **state)
{
	struct saved_state s = {0};
	bool aside;

	(void)state;
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		put(damaged[i].text, strlen(damaged[i].text));
		aside = false;
		assert_int_equal(state_file_load(&s, &dir, &aside, error), 0);
		if (!aside)
			fail_msg("\"%s\" is taken", damaged[i].text);
		assert_contains(error, damaged[i].why);
		assert_contains(error, "it is now state.json.corrupt-2");
	}
	/* Each has its own name, even within one second. */
	assert_int_equal(take_corrupt(), sizeof(damaged) / sizeof(damaged[0]));
}

static void no_secret_in_messages(void **state)
{
	static const char *const texts[] = {
		V ",\"clients\":[{\"name\":\"a\",\"config\":{\"password\":\"geheim}}]}",
		V ",\"clients\":[{\"name\":\"a\",\"config\":\"geheim\"}]}",
		V ",\"clients\":[{\"name\":\"a\",\"config\":{\"password\":geheim}}]}",
	};
	struct saved_state s = {0};
	bool aside = false;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		put(texts[i], strlen(texts[i]));
		assert_int_equal(state_file_load(&s, &dir, &aside, error), 0);
		assert_true(aside);
		assert_null(strstr(error, "geheim"));
	}
}

static void deep_nesting(void **state)
{
	enum { DEPTH = 200000 };
	char *text = malloc(2 * DEPTH + 64);
	struct saved_state s = {0};
	bool aside = false;
	size_t used;

	(void)state;
	assert_non_null(text);
	used = (size_t)snprintf(text, 64, "{\"schema_version\":1,\"paused\":");
	memset(text + used, '[', DEPTH);
	memset(text + used + DEPTH, ']', DEPTH);
	text[used + 2 * DEPTH] = '}';
	put(text, used + 2 * DEPTH + 1);
	assert_int_equal(state_file_load(&s, &dir, &aside, error), 0);
	assert_true(aside);
	free(text);
}

static void newer_schema(void **state)
{
	static const char text[] = "{\"schema_version\":2,\"tunnels\":{},\"clients\":7}";
	struct saved_state s = {.client_count = 7};
	bool aside = true;
	char *there;

	(void)state;
	put(text, strlen(text));
	assert_int_equal(state_file_load(&s, &dir, &aside, error), RSTUN_E_UNSUPPORTED);
	assert_contains(error, "schema version 2");
	assert_int_equal(s.client_count, 7);
	assert_true(aside);
	there = pki_read(path);
	assert_string_equal(there, text);
	assert_int_equal(take_corrupt(), 0);
	free(there);
}

static void others_can_read(void **state)
{
	static const unsigned modes[] = {0640, 0604, 0660, 0601};
	struct saved_state s = {0};
	bool aside = true;

	(void)state;
	assert_int_equal(state_file_save(&dir, &s, error), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		assert_int_equal(state_file_load(&s, &dir, &aside, error),
				 RSTUN_E_FILE_PERMISSIONS);
		assert_contains(error, "chmod 600 '");
		assert_contains(error, path);
	}
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(state_file_load(&s, &dir, &aside, error), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
		assert_int_equal(state_file_load(&s, &dir, &aside, error),
				 RSTUN_E_FILE_PERMISSIONS);
		assert_contains(error, "chown 0 '");
	}
}

static void no_plain_file(void **state)
{
	struct saved_state s = {0};
	bool aside = true;

	(void)state;
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(state_file_load(&s, &dir, &aside, error), RSTUN_E_STATE_WRITE_FAILED);
	assert_contains(error, "is not a file");
	assert_int_equal(state_file_save(&dir, &s, error), RSTUN_E_STATE_WRITE_FAILED);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0); /* must not hang */
	assert_int_equal(state_file_load(&s, &dir, &aside, error), RSTUN_E_STATE_WRITE_FAILED);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(state_file_load(&s, &dir, &aside, error), RSTUN_E_STATE_WRITE_FAILED);
}

static void a_write_that_fails(void **state)
{
	struct rlimit old, small;
	struct saved_state s, empty = {0};
	char *before, *after;

	(void)state;
	assert_int_equal(state_file_save(&dir, &empty, error), 0);
	before = pki_read(path);
	fill(&s);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 200;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(state_file_save(&dir, &s, error), RSTUN_E_STATE_WRITE_FAILED);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_contains(error, path);
	after = pki_read(path);
	assert_string_equal(before, after);
	free(before);
	free(after);
	/* A name that JSON cannot hold. */
	s.mappings[1].name = "a\xff";
	assert_int_equal(state_file_save(&dir, &s, error), RSTUN_E_MALFORMED);
	assert_contains(error, "a\\xff");
	s.mappings[1].name = NULL;
	fill_done(&s);
}

/* Allocations of jansson fail from the n-th on. */
static long allocations_left = -1;

static void *few_mallocs(size_t bytes)
{
	if (allocations_left == 0)
		return NULL;
	allocations_left -= allocations_left > 0;
	return malloc(bytes);
}

static void short_of_memory(void **state)
{
	struct saved_state s, back;
	char *before, *after;
	bool aside;
	int rc = RSTUN_E_NOMEM;
	long n;

	(void)state;
	json_set_alloc_funcs(few_mallocs, free);
	fill(&s);
	assert_int_equal(state_file_save(&dir, &s, error), 0);
	before = pki_read(path);
	/* jansson does not always tell a lack of memory from a fault of the text: at worst the file
	 * is moved aside, whole. */
	for (n = 0; rc != 0; n++) {
		allocations_left = n;
		aside = false;
		rc = state_file_load(&back, &dir, &aside, error);
		allocations_left = -1;
		assert_true(rc == 0 || rc == RSTUN_E_NOMEM);
		assert_int_equal(take_corrupt(), aside ? 1 : 0);
		if (aside) {
			assert_int_equal(back.client_count + back.mapping_count, 0);
			pki_write(path, before, strlen(before), 0600);
			rc = RSTUN_E_NOMEM;
		}
	}
	assert_true(n > 50);
	assert_same(&s, &back);
	for (rc = RSTUN_E_NOMEM, n = 0; rc != 0; n++) {
		allocations_left = n;
		rc = state_file_save(&dir, &back, error);
		allocations_left = -1;
		assert_true(rc == 0 || rc == RSTUN_E_NOMEM);
		after = pki_read(path);
		assert_string_equal(before, after);
		free(after);
	}
	saved_state_free(&back);
	fill_done(&s);
	free(before);
	json_set_alloc_funcs(malloc, free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(round_trip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(torn_anywhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damaged_in_many_ways, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_secret_in_messages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(deep_nesting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(newer_schema, set_up, tear_down),
		cmocka_unit_test_setup_teardown(others_can_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_plain_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_write_that_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(short_of_memory, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
