/* SPDX-License-Identifier: MIT */
/*
 * The internal bus: masks, order, subscribers that come, go and publish while it runs, the bound on
 * what waits; and what the texts of events look like, because scripts wait for them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "rstund/control/event_bus.h"
#include "rstund/control/event_text.h"

#include <stdio.h>
#include <string.h>

struct listener {
	struct event_bus_subscriber subscriber;
	struct event_bus *bus;
	uint64_t seen[2 * EVENT_BUS_WAITING_MAX];
	size_t count;
	struct listener *remove; /* unsubscribed at the first event */
	struct listener *add;    /* subscribed at the first event */
	unsigned publish;        /* events published at the first event */
};

static struct bus_event *line(const char *text)
{
	struct bus_event *e = bus_event_new_log(LOG_LEVEL_INFO, "test", text, 0);

	assert_non_null(e);
	return e;
}

static void on_event(void *user, struct bus_event *e)
{
	struct listener *l = user;
	struct listener *other;

	l->seen[l->count++] = e->seq;
	other = l->remove;
	l->remove = NULL;
	if (other != NULL)
		event_bus_unsubscribe(l->bus, &other->subscriber);
	other = l->add;
	l->add = NULL;
	if (other != NULL)
		assert_int_equal(event_bus_subscribe(l->bus, &other->subscriber, BUS_EVENT_ALL,
						     on_event, other),
				 0);
	for (unsigned n = l->publish; n > 0; n--) {
		l->publish = 0;
		event_bus_publish(l->bus, line("nested"));
	}
}

static void subscribe(struct listener *l, struct event_bus *bus, unsigned mask)
{
	*l = (struct listener){.bus = bus};
	assert_int_equal(event_bus_subscribe(bus, &l->subscriber, mask, on_event, l), 0);
}

static void test_mask_and_order(void **state)
{
	struct tunnel_event role = {.type = TUNNEL_EVENT_ROLE, .text = ""};
	struct event_bus bus;
	static struct listener all, logs;

	(void)state;
	event_bus_init(&bus);
	subscribe(&all, &bus, BUS_EVENT_ALL);
	subscribe(&logs, &bus, BUS_EVENT_MASK(BUS_EVENT_LOG));
	event_bus_publish(&bus, line("one"));
	event_bus_publish(&bus, bus_event_new(BUS_EVENT_SERVER, &role, 0, 0));
	event_bus_publish(&bus, line("three"));
	assert_int_equal(all.count, 3);
	assert_int_equal(logs.count, 2);
	assert_int_equal(logs.seen[0], 1);
	assert_int_equal(logs.seen[1], 3);
	event_bus_unsubscribe(&bus, &all.subscriber);
	event_bus_unsubscribe(&bus, &logs.subscriber);
	event_bus_publish(&bus, line("nobody"));
	event_bus_done(&bus);
}

/* Each order of subscribing, because the list may hold the removed one before or behind the
 * remover. */
static void test_removal_while_running(void **state)
{
	(void)state;
	for (int order = 0; order < 2; order++) {
		struct event_bus bus;
		static struct listener a, b, third;
		struct listener *first = order == 0 ? &a : &b, *second = order == 0 ? &b : &a;

		event_bus_init(&bus);
		subscribe(first, &bus, BUS_EVENT_ALL);
		subscribe(second, &bus, BUS_EVENT_ALL);
		subscribe(&third, &bus, BUS_EVENT_ALL);
		a.remove = &b;
		event_bus_publish(&bus, line("one"));
		event_bus_publish(&bus, line("two"));
		assert_int_equal(a.count, 2);
		assert_in_range(b.count, 0, 1);
		assert_int_equal(third.count, 2);
		event_bus_unsubscribe(&bus, &a.subscriber);
		event_bus_unsubscribe(&bus, &third.subscriber);
		event_bus_done(&bus);
	}
}

static void test_self_removal_and_addition(void **state)
{
	struct event_bus bus;
	static struct listener a, b, late;

	(void)state;
	event_bus_init(&bus);
	subscribe(&a, &bus, BUS_EVENT_ALL);
	subscribe(&b, &bus, BUS_EVENT_ALL);
	late = (struct listener){.bus = &bus};
	a.remove = &a;
	a.add = &late;
	event_bus_publish(&bus, line("one"));
	assert_int_equal(late.count, 0);
	event_bus_publish(&bus, line("two"));
	assert_int_equal(a.count, 1);
	assert_int_equal(b.count, 2);
	assert_int_equal(late.count, 1);
	assert_int_equal(late.seen[0], 2);
	event_bus_unsubscribe(&bus, &b.subscriber);
	event_bus_unsubscribe(&bus, &late.subscriber);
	event_bus_done(&bus);
}

static void test_nested_publishing_keeps_order(void **state)
{
	struct event_bus bus;
	static struct listener a, b;

	(void)state;
	event_bus_init(&bus);
	subscribe(&a, &bus, BUS_EVENT_ALL);
	subscribe(&b, &bus, BUS_EVENT_ALL);
	a.publish = 3;
	b.publish = 3;
	event_bus_publish(&bus, line("one"));
	assert_int_equal(a.count, 7);
	assert_int_equal(b.count, 7);
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(a.seen[i], i + 1);
		assert_int_equal(b.seen[i], i + 1);
	}
	event_bus_unsubscribe(&bus, &a.subscriber);
	event_bus_unsubscribe(&bus, &b.subscriber);
	event_bus_done(&bus);
}

static void test_waiting_is_bounded(void **state)
{
	struct event_bus bus;
	static struct listener a;

	(void)state;
	event_bus_init(&bus);
	subscribe(&a, &bus, BUS_EVENT_ALL);
	a.publish = EVENT_BUS_WAITING_MAX + 10;
	event_bus_publish(&bus, line("one"));
	assert_int_equal(a.count, EVENT_BUS_WAITING_MAX + 1);
	assert_int_equal(bus.dropped, 10);
	event_bus_unsubscribe(&bus, &a.subscriber);
	event_bus_done(&bus);
}

static void test_subscribers_are_bounded(void **state)
{
	struct event_bus bus;
	static struct listener many[EVENT_BUS_SUBSCRIBERS_MAX], one_more;

	(void)state;
	event_bus_init(&bus);
	for (size_t i = 0; i < EVENT_BUS_SUBSCRIBERS_MAX; i++)
		subscribe(&many[i], &bus, BUS_EVENT_ALL);
	assert_int_equal(
		event_bus_subscribe(&bus, &one_more.subscriber, BUS_EVENT_ALL, on_event, &one_more),
		RSTUN_E_LIMIT_REACHED);
	for (size_t i = 0; i < EVENT_BUS_SUBSCRIBERS_MAX; i++)
		event_bus_unsubscribe(&bus, &many[i].subscriber);
	event_bus_done(&bus);
}

/* ---- texts ---- */

struct lines {
	size_t count;
	enum log_level level[2];
	char text[2][EVENT_TEXT_SIZE];
};

static void on_line(void *user, enum log_level level, const char *scope, const char *text)
{
	struct lines *l = user;

	assert_true(l->count < 2);
	assert_non_null(scope);
	l->level[l->count] = level;
	snprintf(l->text[l->count], sizeof(l->text[0]), "%s", text);
	l->count++;
}

static void text_of(struct lines *l, enum bus_event_type type, const struct tunnel_event *e)
{
	struct bus_event *copy = bus_event_new(type, e, 0, 0);

	assert_non_null(copy);
	l->count = 0;
	event_text_lines(copy, on_line, l);
	bus_event_unref(copy);
}

static void test_state_texts(void **state)
{
	static struct lines l;
	struct address server, bound;
	struct mapping mapping;
	char error[MAPPING_ERROR_SIZE];
	struct tunnel_event e = {
		.type = TUNNEL_EVENT_STATE,
		.id = 1,
		.mode = MAPPING_OUT,
		.mapping = &mapping,
		.peer = &server,
		.text = "",
		.state = {.now = TUNNEL_TUNNELING, .took_ms = 12},
	};

	(void)state;
	assert_int_equal(address_parse(&server, "127.0.0.1:3515", 14), 0);
	assert_int_equal(address_parse(&bound, "0.0.0.0:18080", 13), 0);
	assert_int_equal(mapping_parse(&mapping, MAPPING_TCP, "OUT^9000^ANY", 12, error), 0);
	text_of(&l, BUS_EVENT_STATE, &e);
	assert_int_equal(l.count, 1);
	assert_int_equal(l.level[0], LOG_LEVEL_INFO);
	assert_string_equal(
		l.text[0],
		"OUT^127.0.0.1:9000^ANY tcp: tunneling, server 127.0.0.1:3515, took 12 ms");

	e.state.unverified = true;
	text_of(&l, BUS_EVENT_STATE, &e);
	assert_int_equal(l.count, 2);
	assert_int_equal(l.level[1], LOG_LEVEL_WARN);
	assert_non_null(strstr(l.text[1], "--cert"));
	assert_non_null(strstr(l.text[1], "--pin"));

	e.state.unverified = false;
	e.state.now = TUNNEL_RECONNECTING;
	e.state.next_retry_ms = 300;
	e.error = RSTUN_E_TIMEOUT;
	text_of(&l, BUS_EVENT_STATE, &e);
	assert_int_equal(l.level[0], LOG_LEVEL_WARN);
	assert_non_null(strstr(l.text[0], "tcp: reconnecting in 0.3 s: "));
	assert_non_null(strstr(l.text[0], rstun_strerror(RSTUN_E_TIMEOUT)));

	e.state.now = TUNNEL_FAILED;
	e.state.next_retry_ms = 60000;
	e.text = "wrong password";
	text_of(&l, BUS_EVENT_STATE, &e);
	assert_int_equal(l.level[0], LOG_LEVEL_ERROR);
	assert_non_null(strstr(l.text[0], "tcp: failed, next try in 60 s: wrong password"));

	e.state.now = TUNNEL_TUNNELING;
	e.mode = MAPPING_IN;
	e.state.bound = &bound;
	assert_int_equal(mapping_parse(&mapping, MAPPING_TCP, "IN^3000^0.0.0.0:0", 17, error), 0);
	text_of(&l, BUS_EVENT_STATE, &e);
	assert_non_null(strstr(l.text[0], "tcp: tunneling, server listens on 0.0.0.0:18080"));
}

static void test_session_texts(void **state)
{
	static struct lines l;
	struct address peer;
	struct mapping mapping;
	char error[MAPPING_ERROR_SIZE];
	struct tunnel_event e = {
		.type = TUNNEL_EVENT_SESSION,
		.id = 7,
		.mode = MAPPING_OUT,
		.mapping = &mapping,
		.peer = &peer,
		.text = "",
		.session = {.change = TUNNEL_SESSION_LOGIN, .peer_software = "rstund 0.1.0"},
	};

	(void)state;
	assert_int_equal(address_parse(&peer, "1.2.3.4:5555", 12), 0);
	assert_int_equal(mapping_parse(&mapping, MAPPING_TCP, "OUT^9000^ANY", 12, error), 0);
	text_of(&l, BUS_EVENT_SESSION, &e);
	assert_string_equal(l.text[0],
			    "session 7: login of OUT tcp from 1.2.3.4:5555 (rstund 0.1.0)");
	e.session.peer_software = "";
	text_of(&l, BUS_EVENT_SESSION, &e);
	assert_string_equal(l.text[0], "session 7: login of OUT tcp from 1.2.3.4:5555");
	e.session.change = TUNNEL_SESSION_REFUSED;
	e.text = "wrong password";
	text_of(&l, BUS_EVENT_SESSION, &e);
	assert_string_equal(l.text[0], "session refused: wrong password, from 1.2.3.4:5555");
	e.session.change = TUNNEL_SESSION_ENDED;
	e.text = "idle timeout";
	text_of(&l, BUS_EVENT_SESSION, &e);
	assert_string_equal(l.text[0], "session 7: ended: idle timeout");
}

/* The copy must not lead back into the original's memory. */
static void test_copies_are_deep(void **state)
{
	char text[] = "reason", software[] = "software";
	struct address peer = {.len = 0}, bound = {.len = 0};
	struct mapping mapping = {.mode = MAPPING_IN};
	struct tunnel_event e = {
		.type = TUNNEL_EVENT_STATE,
		.mapping = &mapping,
		.peer = &peer,
		.text = text,
		.state = {.bound = &bound, .peer_software = software},
	};
	struct bus_event *copy = bus_event_new(BUS_EVENT_STATE, &e, 3, 42);

	(void)state;
	assert_non_null(copy);
	memset(text, 'x', sizeof(text));
	memset(software, 'x', sizeof(software));
	memset(&mapping, 0xff, sizeof(mapping));
	assert_string_equal(copy->tunnel.text, "reason");
	assert_string_equal(copy->tunnel.state.peer_software, "software");
	assert_int_equal(copy->tunnel.mapping->mode, MAPPING_IN);
	assert_ptr_not_equal(copy->tunnel.peer, &peer);
	assert_ptr_not_equal(copy->tunnel.state.bound, &bound);
	assert_int_equal(copy->role, 3);
	bus_event_unref(bus_event_ref(copy));
	bus_event_unref(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mask_and_order),
		cmocka_unit_test(test_removal_while_running),
		cmocka_unit_test(test_self_removal_and_addition),
		cmocka_unit_test(test_nested_publishing_keeps_order),
		cmocka_unit_test(test_waiting_is_bounded),
		cmocka_unit_test(test_subscribers_are_bounded),
		cmocka_unit_test(test_state_texts),
		cmocka_unit_test(test_session_texts),
		cmocka_unit_test(test_copies_are_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
