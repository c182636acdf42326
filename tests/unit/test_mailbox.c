/* SPDX-License-Identifier: MIT */
/*
 * The mailbox between threads: order, one wake-up per batch, the bound on what is only offered, and
 * several senders at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/loop.h"
#include "rstund/mailbox.h"

#include <pthread.h>
#include <stdlib.h>

#define SENDERS 4
#define PER_SENDER 20000

struct note {
	struct mailbox_item item;
	unsigned sender;
	unsigned number;
};

struct rig {
	struct loop loop;
	struct mailbox mailbox;
	unsigned handled;
	unsigned expected;
	unsigned next[SENDERS]; /* the number that must come next from each */
	bool post_again;        /* from inside on_item */
};

static struct mailbox_item *note_new(unsigned sender, unsigned number)
{
	struct note *n = calloc(1, sizeof(*n));

	assert_non_null(n);
	n->sender = sender;
	n->number = number;
	return &n->item;
}

static void on_item(void *user, struct mailbox_item *item)
{
	struct rig *rig = user;
	struct note *n = (struct note *)item;

	assert_int_equal(n->number, rig->next[n->sender]);
	rig->next[n->sender]++;
	rig->handled++;
	if (rig->post_again) {
		rig->post_again = false;
		mailbox_post(&rig->mailbox, note_new(0, n->number + 1));
	}
	if (rig->handled == rig->expected)
		loop_stop(&rig->loop);
	free(n);
}

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	assert_int_equal(loop_init(&rig->loop, NULL, NULL), 0);
	assert_int_equal(mailbox_init(&rig->mailbox, on_item, rig), 0);
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;
	struct mailbox_item *item;

	mailbox_detach(&rig->mailbox);
	while ((item = mailbox_take(&rig->mailbox)) != NULL)
		free(item);
	mailbox_done(&rig->mailbox);
	loop_done(&rig->loop);
	free(rig);
	return 0;
}

static void test_order(void **state)
{
	struct rig *rig = *state;

	rig->expected = 3;
	/* What is posted before the receiver listens is delivered too. */
	mailbox_post(&rig->mailbox, note_new(0, 0));
	mailbox_post(&rig->mailbox, note_new(0, 1));
	assert_int_equal(mailbox_attach(&rig->mailbox, &rig->loop), 0);
	mailbox_post(&rig->mailbox, note_new(0, 2));
	loop_run(&rig->loop);
	assert_int_equal(rig->handled, 3);
}

/* What comes early waits for a post that wakes, and keeps its place before it. */
static void test_post_early(void **state)
{
	struct rig *rig = *state;

	rig->expected = 3;
	assert_int_equal(mailbox_attach(&rig->mailbox, &rig->loop), 0);
	mailbox_post_early(&rig->mailbox, note_new(0, 0));
	mailbox_post_early(&rig->mailbox, note_new(0, 1));
	assert_int_equal(event_base_loop(rig->loop.base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(rig->handled, 0);
	mailbox_post(&rig->mailbox, note_new(0, 2));
	loop_run(&rig->loop);
	assert_int_equal(rig->handled, 3);
	/* And the next one wakes again. */
	rig->expected = 4;
	mailbox_post(&rig->mailbox, note_new(0, 3));
	loop_run(&rig->loop);
	assert_int_equal(rig->handled, 4);
}

static void test_post_from_handler(void **state)
{
	struct rig *rig = *state;

	rig->expected = 2;
	rig->post_again = true;
	assert_int_equal(mailbox_attach(&rig->mailbox, &rig->loop), 0);
	mailbox_post(&rig->mailbox, note_new(0, 0));
	loop_run(&rig->loop);
	assert_int_equal(rig->handled, 2);
}

static void test_offer_is_bounded(void **state)
{
	struct rig *rig = *state;
	struct mailbox_item *refused = note_new(1, 99);

	for (unsigned i = 0; i < 5; i++)
		assert_true(mailbox_offer(&rig->mailbox, note_new(1, i), 5));
	assert_false(mailbox_offer(&rig->mailbox, refused, 5));
	/* What must arrive is not refused, and does not count. */
	mailbox_post(&rig->mailbox, note_new(0, 0));
	assert_false(mailbox_offer(&rig->mailbox, refused, 5));
	rig->expected = 6;
	assert_int_equal(mailbox_attach(&rig->mailbox, &rig->loop), 0);
	loop_run(&rig->loop);
	assert_int_equal(rig->handled, 6);
	((struct note *)refused)->number = 5;
	assert_true(mailbox_offer(&rig->mailbox, refused, 5));
}

static void test_take_what_was_not_delivered(void **state)
{
	struct rig *rig = *state;
	struct mailbox_item *first = note_new(0, 0), *second = note_new(0, 1);

	mailbox_post(&rig->mailbox, first);
	mailbox_post(&rig->mailbox, second);
	assert_ptr_equal(mailbox_take(&rig->mailbox), first);
	assert_ptr_equal(mailbox_take(&rig->mailbox), second);
	assert_null(mailbox_take(&rig->mailbox));
	free(first);
	free(second);
}

struct sender {
	struct mailbox *mailbox;
	unsigned index;
};

static void *sender_run(void *user)
{
	struct sender *s = user;

	for (unsigned i = 0; i < PER_SENDER; i++)
		mailbox_post(s->mailbox, note_new(s->index, i));
	return NULL;
}

static void test_many_senders(void **state)
{
	struct rig *rig = *state;
	pthread_t threads[SENDERS];
	struct sender senders[SENDERS];

	rig->expected = SENDERS * PER_SENDER;
	assert_int_equal(mailbox_attach(&rig->mailbox, &rig->loop), 0);
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){.mailbox = &rig->mailbox, .index = i};
		assert_int_equal(pthread_create(&threads[i], NULL, sender_run, &senders[i]), 0);
	}
	loop_run(&rig->loop);
	for (unsigned i = 0; i < SENDERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(rig->next[i], PER_SENDER);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_post_early, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_post_from_handler, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_offer_is_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_take_what_was_not_delivered, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_many_senders, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
