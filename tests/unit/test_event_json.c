/* SPDX-License-Identifier: MIT */
/*
 * What each type of event looks like in the API, word for word: clients depend on it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "rpc/rpc_event.h"
#include "rstund/control/control_server.h"
#include "rstund/control/event_json.h"
#include "rstund/control/show.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "\"seq\":4711,\"timestamp\":\"2026-11-22T10:11:12.345Z\","
#define WALL_US INT64_C(1795342272345678)
#define TUNNEL                                                                                     \
	"\"tunnel\":{\"source\":\"network\",\"id\":3,\"proto\":\"tcp\",\"mode\":\"out\"},"         \
	"\"mapping\":\"m3\",\"name\":\"web\""

static struct mapping mapping;
static struct address peer, bound;

static int setup(void **state)
{
	char error[MAPPING_ERROR_SIZE];

	(void)state;
	if (mapping_parse(&mapping, MAPPING_TCP, "OUT^9000^ANY", 12, error) != 0)
		return -1;
	if (address_parse(&peer, "192.0.2.7:3515", 14) != 0)
		return -1;
	return address_parse(&bound, "127.0.0.1:9000", 14);
}

static struct bus_event *made(enum bus_event_type type, struct tunnel_event *t, const char *id,
			      const char *name)
{
	struct bus_event *e;

	if (t->text == NULL)
		t->text = "";
	e = bus_event_new(type, t, 0, WALL_US);
	e->seq = 4711;
	e->scope = "role";
	snprintf(e->id, sizeof(e->id), "%s", id);
	snprintf(e->name, sizeof(e->name), "%s", name);
	return e;
}

/* Consumes the event. */
static void expect(struct bus_event *e, const char *text)
{
	size_t bytes;
	char *line;
	json_t *json;

	assert_true(event_json_type(e) >= 0);
	assert_int_equal(event_json_body(e), 0);
	assert_string_equal(e->body, text);
	assert_int_equal(e->body_bytes, strlen(text));
	line = rpc_event_line(1, 2, e->body, e->body_bytes, &bytes);
	json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	json_decref(json);
	free(line);
	bus_event_unref(e);
}

static struct tunnel_event of_mapping(void)
{
	return (struct tunnel_event){
		.id = 3,
		.mode = MAPPING_OUT,
		.proto = MAPPING_TCP,
		.mapping = &mapping,
		.peer = &peer,
	};
}

static void states(void **state)
{
	struct tunnel_event t = of_mapping();

	(void)state;
	t.state.prev = TUNNEL_CONNECTED;
	t.state.now = TUNNEL_TUNNELING;
	t.state.took_ms = 12;
	t.state.bound = &bound;
	t.state.peer_software = "rstund 0.1";
	expect(made(BUS_EVENT_STATE, &t, "m3", "web"),
	       HEAD "\"type\":\"state\",\"data\":\"tunneling\"," TUNNEL
		    ",\"detail\":{\"prev\":\"connected\",\"attempt\":0,\"took_ms\":12,"
		    "\"bound\":\"127.0.0.1:9000\",\"peer\":\"192.0.2.7:3515\","
		    "\"peer_software\":\"rstund 0.1\",\"unverified\":false}}");
	t = of_mapping();
	t.peer = NULL;
	t.error = RSTUN_E_AUTH_FAILED;
	t.text = "wrong \xff password";
	t.state.prev = TUNNEL_CONNECTED;
	t.state.now = TUNNEL_FAILED;
	t.state.attempt = 4;
	t.state.next_retry_ms = 60000;
	t.state.unverified = true;
	expect(made(BUS_EVENT_STATE, &t, "m3", ""),
	       HEAD "\"type\":\"state\",\"data\":\"failed\",\"tunnel\":{\"source\":\"network\","
		    "\"id\":3,\"proto\":\"tcp\",\"mode\":\"out\"},\"mapping\":\"m3\","
		    "\"detail\":{\"prev\":\"connected\",\"attempt\":4,\"next_retry_ms\":60000,"
		    "\"unverified\":true,\"error\":{\"kind\":\"auth_failed\","
		    "\"message\":\"wrong \\\\xff password\"}}}");
	/* The daemon's own word. */
	t = of_mapping();
	t.peer = NULL;
	t.error = RSTUN_E_TIMEOUT;
	t.state.now = (enum tunnel_state)RPC_STATE_PAUSED;
	expect(made(BUS_EVENT_STATE, &t, "m3", "web"),
	       HEAD "\"type\":\"state\",\"data\":\"paused\"," TUNNEL
		    ",\"detail\":{\"prev\":\"idle\",\"attempt\":0,\"unverified\":false,"
		    "\"error\":{\"kind\":\"timeout\",\"message\":\"it took too long\"}}}");
	for (int i = TUNNEL_IDLE; i <= TUNNEL_STOPPED; i++)
		assert_string_equal(rpc_state_names[i], tunnel_state_name((enum tunnel_state)i));
}

static void counters(void **state)
{
	struct tunnel_event t = {.stat = {.rx_bytes = 1, .tx_bytes = 2, .rx_dgrams = 3,
					  .tx_dgrams = 4, .sent_packets = 5, .lost_packets = 6,
					  .lost_bytes = 7, .congestion_events = 8,
					  .payload_in_bytes = 14, .payload_out_bytes = 15,
					  .active_conns = 9, .total_conns = 10, .rtt_ms = 11,
					  .cwnd_bytes = 12, .current_mtu = 13, .udp_dropped = 16,
					  .max_datagram = 17, .rx_datagram_frames = 18,
					  .tx_datagram_frames = 19}};
	struct control_stat stat = {.mapping = 3, .name = "web", .mode = MAPPING_OUT};
	struct bus_event *e = made(BUS_EVENT_STAT, &t, "m3", "");
	size_t bytes;
	char *body;

#define STAT                                                                                       \
	"{\"rx_bytes\":1,\"tx_bytes\":2,\"rx_dgrams\":3,\"tx_dgrams\":4,\"sent_packets\":5,"       \
	"\"lost_packets\":6,\"lost_bytes\":7,\"congestion_events\":8,\"active_conns\":9,"          \
	"\"total_conns\":10,\"rtt_ms\":11,\"cwnd_bytes\":12,\"current_mtu\":13,"                   \
	"\"max_datagram\":17,\"payload_in_bytes\":14,\"payload_out_bytes\":15,"                    \
	"\"udp_dropped\":16,\"rx_datagram_frames\":18,\"tx_datagram_frames\":19}"
	(void)state;
	assert_int_equal(event_json_type(e), -1);
	bus_event_unref(e);
	expect(made(BUS_EVENT_STAT, &t, "", ""), HEAD "\"type\":\"stat\",\"data\":" STAT "}");
	show_stat(&stat.stat, &t.stat);
	body = event_json_stat(&stat, 4711, WALL_US, &bytes);
	assert_string_equal(body, HEAD "\"type\":\"stat\",\"data\":" STAT "," TUNNEL "}");
	free(body);
}

static void sessions(void **state)
{
	struct tunnel_event t = of_mapping();

	(void)state;
	t.id = 17;
	t.session.change = TUNNEL_SESSION_LOGIN;
	t.session.bound = &bound;
	t.session.peer_software = "rstun";
	expect(made(BUS_EVENT_SESSION, &t, "s1.17", ""),
	       HEAD "\"type\":\"session\",\"data\":\"login\",\"tunnel\":{\"source\":\"network\","
		    "\"id\":17,\"proto\":\"tcp\",\"mode\":\"out\"},\"detail\":{\"id\":\"s1.17\","
		    "\"bound\":\"127.0.0.1:9000\",\"remote\":\"192.0.2.7:3515\","
		    "\"software\":\"rstun\"}}");
	t = (struct tunnel_event){.id = 18, .peer = &peer, .error = RSTUN_E_AUTH_FAILED};
	t.session.change = TUNNEL_SESSION_REFUSED;
	t.session.peer_software = "";
	expect(made(BUS_EVENT_SESSION, &t, "s1.18", ""),
	       HEAD "\"type\":\"session\",\"data\":\"refused\",\"detail\":{\"id\":\"s1.18\","
		    "\"error\":{\"kind\":\"auth_failed\",\"message\":\"wrong password, or "
		    "the login was not allowed\"},"
		    "\"remote\":\"192.0.2.7:3515\"}}");
	t.error = 0;
	t.session.change = TUNNEL_SESSION_ENDED;
	expect(made(BUS_EVENT_SESSION, &t, "s1.18", ""),
	       HEAD "\"type\":\"session\",\"data\":\"ended\",\"tunnel\":{\"source\":\"channel\","
		    "\"id\":18,\"proto\":\"tcp\",\"mode\":\"in\"},\"detail\":{\"id\":\"s1.18\","
		    "\"remote\":\"192.0.2.7:3515\"}}");
}

static void flows(void **state)
{
	struct tunnel_event t = of_mapping();

	(void)state;
	t.flow.source = &bound;
	t.flow.target = "192.0.2.1:80";
	t.flow.in_bytes = 80;
	t.flow.out_bytes = 2048;
	t.flow.duration_ms = 31;
	expect(made(BUS_EVENT_FLOW, &t, "m3", "web"),
	       HEAD "\"type\":\"flow\",\"data\":\"ended\"," TUNNEL
		    ",\"detail\":{\"peer\":\"127.0.0.1:9000\",\"target\":\"192.0.2.1:80\","
		    "\"in_bytes\":80,\"out_bytes\":2048,\"duration_ms\":31}}");
	t.id = 17;
	t.error = RSTUN_E_TARGET_REFUSED;
	t.text = "refused";
	expect(made(BUS_EVENT_FLOW, &t, "s1.17", ""),
	       HEAD "\"type\":\"flow\",\"data\":\"ended\",\"tunnel\":{\"source\":\"network\","
		    "\"id\":17,\"proto\":\"tcp\",\"mode\":\"out\"},\"detail\":{\"session\":"
		    "\"s1.17\",\"peer\":\"127.0.0.1:9000\",\"target\":\"192.0.2.1:80\","
		    "\"in_bytes\":80,\"out_bytes\":2048,\"duration_ms\":31,\"error\":{\"kind\":"
		    "\"target_refused\",\"message\":\"refused\"}}}");
}

static struct bus_event *changed(struct bus_event *e, int change)
{
	e->change = change;
	return e;
}

static void things(void **state)
{
	struct tunnel_event t = of_mapping(), none = {.text = ""};

	(void)state;
	t.peer = NULL;
	t.state.bound = &bound;
	expect(changed(made(BUS_EVENT_MAPPING, &t, "m3", "web"), RPC_CHANGE_CHANGED),
	       HEAD "\"type\":\"mapping\",\"data\":\"changed\"," TUNNEL
		    ",\"detail\":{\"id\":\"m3\",\"name\":\"web\",\"bound\":\"127.0.0.1:9000\"}}");
	expect(changed(made(BUS_EVENT_CLIENT, &none, "c1", "home"), RPC_CHANGE_REMOVED),
	       HEAD "\"type\":\"client\",\"data\":\"removed\",\"detail\":{\"id\":\"c1\","
		    "\"name\":\"home\"}}");
	none.role.bound = &bound;
	expect(changed(made(BUS_EVENT_SERVER, &none, "s1", ""), RPC_SERVER_CHANGE_LISTENING),
	       HEAD "\"type\":\"server\",\"data\":\"listening\",\"detail\":{\"id\":\"s1\","
		    "\"bound\":\"127.0.0.1:9000\"}}");
	none.role.bound = NULL;
	none.error = RSTUN_E_ADDRESS_IN_USE;
	none.text = "taken";
	expect(changed(made(BUS_EVENT_SERVER, &none, "s1", ""), RPC_SERVER_CHANGE_FAILED),
	       HEAD "\"type\":\"server\",\"data\":\"failed\",\"detail\":{\"id\":\"s1\",\"error\":"
		    "{\"kind\":\"address_in_use\",\"message\":\"taken\"}}}");
	none.error = 0;
	none.text = "SIGTERM";
	expect(changed(made(BUS_EVENT_DAEMON, &none, "", ""), RPC_DAEMON_CHANGE_DRAINING),
	       HEAD "\"type\":\"daemon\",\"data\":\"draining\",\"detail\":{\"text\":\"SIGTERM\"}}");
}

static void certs(void **state)
{
	struct tunnel_event t = {.text = "sha256/abc"};

	(void)state;
	t.state.peer_software = "2027-01-01T00:00:00.000Z";
	expect(changed(made(BUS_EVENT_CERT, &t, "s1", ""), RPC_CERT_RELOADED),
	       HEAD "\"type\":\"cert\",\"data\":\"reloaded\",\"detail\":{\"server\":\"s1\","
		    "\"pin\":\"sha256/abc\",\"not_after\":\"2027-01-01T00:00:00.000Z\"}}");
	t.error = RSTUN_E_CERT_INVALID;
	t.state.peer_software = "not a PEM file";
	expect(changed(made(BUS_EVENT_CERT, &t, "s1", ""), RPC_CERT_FAILED),
	       HEAD "\"type\":\"cert\",\"data\":\"failed\",\"detail\":{\"server\":\"s1\",\"pin\":"
		    "\"sha256/abc\",\"error\":{\"kind\":\"cert_invalid\",\"message\":"
		    "\"not a PEM file\"}}}");
}

static void logs_and_gaps(void **state)
{
	const struct rpc_dropped dropped = {.from_seq = 4001, .to_seq = 4711, .count = 612};
	struct bus_event *e =
		bus_event_new_log(LOG_LEVEL_WARN, "login", "says \"no\"\n", WALL_US);
	size_t bytes;
	char *body;

	(void)state;
	e->seq = 4711;
	expect(e, HEAD "\"type\":\"log\",\"data\":\"says \\\"no\\\"\\n\",\"detail\":{\"level\":"
		       "\"warn\",\"scope\":\"login\"}}");
	body = event_json_dropped(RPC_EVENT_DROPPED, &dropped, WALL_US, &bytes);
	assert_string_equal(body, HEAD "\"type\":\"dropped\",\"data\":{\"from_seq\":4001,"
				       "\"to_seq\":4711,\"count\":612}}");
	free(body);
	body = event_json_dropped(RPC_EVENT_OVERRUN, &dropped, WALL_US, &bytes);
	assert_string_equal(body, HEAD "\"type\":\"overrun\",\"data\":{\"from_seq\":4001,"
				       "\"to_seq\":4711,\"count\":612}}");
	free(body);
}

/* The text is made once and shared; under another number it is made anew. */
static void made_once(void **state)
{
	struct bus_event *e = bus_event_new_log(LOG_LEVEL_INFO, "t", "x", WALL_US);
	const char *body;
	size_t bytes;
	char *other;

	(void)state;
	e->seq = 5;
	assert_int_equal(event_json_body(e), 0);
	body = e->body;
	assert_int_equal(event_json_body(e), 0);
	assert_ptr_equal(body, e->body);
	other = event_json_make(e, 9, &bytes);
	assert_int_equal(strncmp(other, "\"seq\":9,", 8), 0);
	free(other);
	bus_event_unref(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states),
		cmocka_unit_test(counters),
		cmocka_unit_test(sessions),
		cmocka_unit_test(flows),
		cmocka_unit_test(things),
		cmocka_unit_test(certs),
		cmocka_unit_test(logs_and_gaps),
		cmocka_unit_test(made_once),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
