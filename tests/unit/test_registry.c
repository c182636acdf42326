/* SPDX-License-Identifier: MIT */
/*
 * The registry without network and threads: who gets a listening socket, who is asked whether it
 * lives, who is refused, in which order; and that no descriptor is left over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "rstund/control/registry.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWERS_MAX 64

struct answer {
	uint64_t session_id;
	int error;
	uint16_t port;
};

struct rig {
	struct registry *registry;
	struct answer answers[ANSWERS_MAX];
	size_t answer_count;
	uint64_t probed[ANSWERS_MAX];
	size_t probe_count;
	size_t bind_count;
	int bind_error;
	uint16_t next_port;
	int open_fds; /* of those bound and handed out, as counted at the start */
};

static int count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static int rig_bind(void *user, enum mapping_proto proto, const struct address *addr, int *ret_fd,
		    struct address *ret_bound)
{
	struct rig *rig = user;

	(void)proto;
	rig->bind_count++;
	if (rig->bind_error != 0)
		return rig->bind_error;
	*ret_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(*ret_fd >= 0);
	*ret_bound = *addr;
	if (address_port(addr) == 0)
		address_set_port(ret_bound, rig->next_port++);
	return 0;
}

static void rig_answer(void *user, const struct registry_claim *claim, int error, int fd,
		       const struct address *bound)
{
	struct rig *rig = user;

	assert_true(rig->answer_count < ANSWERS_MAX);
	assert_true((error == 0 && !claim->probe) == (fd >= 0));
	rig->answers[rig->answer_count++] = (struct answer){
		.session_id = claim->session_id,
		.error = error,
		.port = address_port(bound),
	};
	if (fd >= 0)
		close(fd);
}

static void rig_probe(void *user, const struct registry_claim *holder)
{
	struct rig *rig = user;

	rig->probed[rig->probe_count++] = holder->session_id;
}

static const struct registry_ops rig_ops = {
	.bind = rig_bind, .answer = rig_answer, .probe = rig_probe};

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->next_port = 40000;
	rig->open_fds = count_fds();
	assert_int_equal(registry_new(&rig->registry, &rig_ops, rig), 0);
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	registry_free(rig->registry);
	assert_int_equal(count_fds(), rig->open_fds);
	free(rig);
	return 0;
}

static void claim_as(struct rig *rig, uint64_t session_id, enum mapping_proto proto,
		     const char *address)
{
	struct registry_claim claim = {
		.role = 0, .worker = 1, .session_id = session_id, .proto = proto};

	assert_int_equal(address_parse(&claim.address, address, strlen(address)), 0);
	registry_claim(rig->registry, &claim);
}

static void claim(struct rig *rig, uint64_t session_id, const char *address)
{
	claim_as(rig, session_id, MAPPING_TCP, address);
}

static void expect_answer(struct rig *rig, size_t index, uint64_t session_id, int error)
{
	assert_true(index < rig->answer_count);
	assert_int_equal(rig->answers[index].session_id, session_id);
	assert_int_equal(rig->answers[index].error, error);
}

static void test_free_address(void **state)
{
	struct rig *rig = *state;

	claim(rig, 1, "127.0.0.1:1000");
	claim(rig, 2, "127.0.0.1:1001");
	claim_as(rig, 3, MAPPING_UDP, "127.0.0.1:1000"); /* another protocol */
	claim(rig, 4, "[::1]:1000");                     /* another family */
	assert_int_equal(rig->answer_count, 4);
	for (size_t i = 0; i < 4; i++)
		expect_answer(rig, i, i + 1, 0);
	assert_int_equal(rig->probe_count, 0);
	assert_int_equal(registry_sockets(rig->registry), 4);
	registry_release(rig->registry, 0, 2);
	registry_release(rig->registry, 0, 2);
	registry_release(rig->registry, 5, 1); /* another role's session 1 */
	assert_int_equal(registry_sockets(rig->registry), 3);
	claim(rig, 5, "127.0.0.1:1001");
	expect_answer(rig, 4, 5, 0);
}

/* What a part of a role had goes with it, and who waited on another worker gets it. */
static void test_part_is_gone(void **state)
{
	struct registry_claim other = {.role = 0, .worker = 2, .session_id = 4};
	struct rig *rig = *state;

	assert_int_equal(address_parse(&other.address, "127.0.0.1:1000", 14), 0);
	claim(rig, 1, "127.0.0.1:1000");
	claim(rig, 2, "127.0.0.1:1000");
	claim(rig, 3, "127.0.0.1:1001");
	registry_claim(rig->registry, &other);
	assert_int_equal(rig->answer_count, 2);
	registry_forget(rig->registry, 1, 1); /* another role's */
	assert_int_equal(registry_sockets(rig->registry), 2);
	registry_forget(rig->registry, 0, 1);
	assert_int_equal(registry_sockets(rig->registry), 1);
	registry_release(rig->registry, 0, 1);
	assert_int_equal(registry_sockets(rig->registry), 1);
	registry_release(rig->registry, 0, 4);
	assert_int_equal(registry_sockets(rig->registry), 0);
	registry_forget(NULL, 0, 1);
}

static void test_picked_port_is_held(void **state)
{
	struct rig *rig = *state;

	claim(rig, 1, "127.0.0.1:0");
	claim(rig, 2, "127.0.0.1:0");
	expect_answer(rig, 0, 1, 0);
	expect_answer(rig, 1, 2, 0);
	assert_int_equal(rig->answers[0].port, 40000);
	assert_int_equal(rig->answers[1].port, 40001);
	claim(rig, 3, "127.0.0.1:40000");
	assert_int_equal(rig->probe_count, 1);
	assert_int_equal(rig->probed[0], 1);
}

static void test_live_holder_keeps_it(void **state)
{
	struct rig *rig = *state;

	claim(rig, 1, "127.0.0.1:1000");
	claim(rig, 2, "127.0.0.1:1000");
	claim(rig, 3, "127.0.0.1:1000");
	assert_int_equal(rig->answer_count, 1);
	assert_int_equal(rig->probe_count, 1); /* one question for both */
	registry_probed(rig->registry, 0, 1, true);
	expect_answer(rig, 1, 2, RSTUN_E_REMOTE_ADDRESS_IN_USE);
	expect_answer(rig, 2, 3, RSTUN_E_REMOTE_ADDRESS_IN_USE);
	/* and can be asked again */
	claim(rig, 4, "127.0.0.1:1000");
	assert_int_equal(rig->probe_count, 2);
	registry_probed(rig->registry, 0, 1, true);
	expect_answer(rig, 3, 4, RSTUN_E_REMOTE_ADDRESS_IN_USE);
}

static void test_dead_holder_loses_it(void **state)
{
	struct rig *rig = *state;

	claim(rig, 1, "127.0.0.1:1000");
	claim(rig, 2, "127.0.0.1:1000");
	claim(rig, 3, "127.0.0.1:1000");
	registry_probed(rig->registry, 0, 1, false);
	expect_answer(rig, 1, 2, 0);
	expect_answer(rig, 2, 3, RSTUN_E_REMOTE_ADDRESS_IN_USE);
	assert_int_equal(rig->bind_count, 1);  /* the socket moved, its backlog with it */
	registry_release(rig->registry, 0, 1); /* comes late and takes nothing away */
	assert_int_equal(registry_sockets(rig->registry), 1);
	registry_release(rig->registry, 0, 2);
	assert_int_equal(registry_sockets(rig->registry), 0);
}

static void test_release_grants_before_the_probe_answers(void **state)
{
	struct rig *rig = *state;

	claim(rig, 1, "127.0.0.1:1000");
	claim(rig, 2, "127.0.0.1:1000");
	registry_release(rig->registry, 0, 1);
	expect_answer(rig, 1, 2, 0);
	registry_probed(rig->registry, 0, 1, false); /* about somebody who has left */
	claim(rig, 3, "127.0.0.1:1000");
	assert_int_equal(rig->probed[1], 2);
	registry_probed(rig->registry, 0, 1, false);
	assert_int_equal(rig->answer_count, 2);
	registry_probed(rig->registry, 0, 2, true);
	expect_answer(rig, 2, 3, RSTUN_E_REMOTE_ADDRESS_IN_USE);
}

static void test_waiting_session_may_leave(void **state)
{
	struct rig *rig = *state;

	claim(rig, 1, "127.0.0.1:1000");
	claim(rig, 2, "127.0.0.1:1000");
	claim(rig, 3, "127.0.0.1:1000");
	registry_release(rig->registry, 0, 2);
	registry_probed(rig->registry, 0, 1, false);
	assert_int_equal(rig->answer_count, 2);
	expect_answer(rig, 1, 3, 0);
}

static void test_wildcard_overlaps(void **state)
{
	struct rig *rig = *state;

	claim(rig, 1, "127.0.0.1:1000");
	claim(rig, 2, "0.0.0.0:1000");
	assert_int_equal(rig->probe_count, 1);
	registry_probed(rig->registry, 0, 1, false);
	expect_answer(rig, 1, 2, 0);
	assert_int_equal(rig->bind_count, 2); /* not the same address: bound anew */
	claim(rig, 3, "127.0.0.1:1000");
	assert_int_equal(rig->probed[1], 2);
	registry_probed(rig->registry, 0, 2, true);
	expect_answer(rig, 2, 3, RSTUN_E_REMOTE_ADDRESS_IN_USE);
}

static void test_waiting_is_bounded(void **state)
{
	struct rig *rig = *state;

	claim(rig, 1, "127.0.0.1:1000");
	for (uint64_t i = 0; i < REGISTRY_WAITING_MAX; i++)
		claim(rig, 10 + i, "127.0.0.1:1000");
	assert_int_equal(rig->answer_count, 1);
	claim(rig, 99, "127.0.0.1:1000");
	expect_answer(rig, 1, 99, RSTUN_E_REMOTE_ADDRESS_IN_USE);
	registry_probed(rig->registry, 0, 1, false);
	assert_int_equal(rig->answer_count, 2 + REGISTRY_WAITING_MAX);
	expect_answer(rig, 2, 10, 0);
}

static void test_bind_errors(void **state)
{
	struct rig *rig = *state;

	rig->bind_error = RSTUN_E_ADDRESS_IN_USE; /* by another program */
	claim(rig, 1, "127.0.0.1:1000");
	expect_answer(rig, 0, 1, RSTUN_E_REMOTE_ADDRESS_IN_USE);
	rig->bind_error = RSTUN_E_PERMISSION_DENIED;
	claim(rig, 1, "127.0.0.1:1000"); /* the refused one is forgotten and may come again */
	expect_answer(rig, 1, 1, RSTUN_E_PERMISSION_DENIED);
	rig->bind_error = 0;
	claim(rig, 1, "127.0.0.1:1000");
	expect_answer(rig, 2, 1, 0);
	claim(rig, 1, "127.0.0.1:1001"); /* one socket per session */
	expect_answer(rig, 3, 1, RSTUN_E_ALREADY_EXISTS);
	assert_int_equal(registry_sockets(rig->registry), 1);
}

static void ask(struct rig *rig, uint64_t session_id, enum mapping_proto proto, const char *address)
{
	struct registry_claim claim = {
		.worker = 1, .session_id = session_id, .proto = proto, .probe = true};

	assert_int_equal(address_parse(&claim.address, address, strlen(address)), 0);
	registry_claim(rig->registry, &claim);
}

/* Who only asks gets nothing, and takes nothing from anybody: not even a look at whether the holder
 * lives. */
static void test_asking(void **state)
{
	struct rig *rig = *state;

	ask(rig, 1, MAPPING_TCP, "127.0.0.1:1000");
	expect_answer(rig, 0, 1, 0);
	assert_int_equal(registry_sockets(rig->registry), 0);
	claim(rig, 2, "127.0.0.1:1000");
	expect_answer(rig, 1, 2, 0);
	ask(rig, 3, MAPPING_TCP, "127.0.0.1:1000");
	expect_answer(rig, 2, 3, RSTUN_E_REMOTE_ADDRESS_IN_USE);
	ask(rig, 4, MAPPING_TCP, "0.0.0.0:1000");
	expect_answer(rig, 3, 4, RSTUN_E_REMOTE_ADDRESS_IN_USE);
	ask(rig, 5, MAPPING_UDP, "127.0.0.1:1000"); /* the other protocol */
	expect_answer(rig, 4, 5, 0);
	assert_int_equal(rig->probe_count, 0);
	/* Nor does it wait for the holder, or keep anything that a release would have to find. */
	registry_release(rig->registry, 0, 3);
	registry_release(rig->registry, 0, 2);
	assert_int_equal(rig->answer_count, 5);
	assert_int_equal(registry_sockets(rig->registry), 0);
	rig->bind_error = RSTUN_E_ADDRESS_IN_USE; /* another program */
	ask(rig, 6, MAPPING_TCP, "127.0.0.1:1000");
	expect_answer(rig, 5, 6, RSTUN_E_REMOTE_ADDRESS_IN_USE);
	rig->bind_error = RSTUN_E_PERMISSION_DENIED;
	ask(rig, 7, MAPPING_TCP, "127.0.0.1:1000");
	expect_answer(rig, 6, 7, RSTUN_E_PERMISSION_DENIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_free_address, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_part_is_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_picked_port_is_held, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_live_holder_keeps_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dead_holder_loses_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_release_grants_before_the_probe_answers,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_waiting_session_may_leave, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wildcard_overlaps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_waiting_is_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bind_errors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_asking, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
