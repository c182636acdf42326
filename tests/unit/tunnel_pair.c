/* SPDX-License-Identifier: MIT */
/*
 * A rig with upstreams and flows through it. The upstreams are global: one rig at a time.
 */
#include "tests/unit/tunnel_pair.h"

#include "relay/tcp_listener.h"
#include "relay/udp_flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

int pair_upstream[2];

static void set_upstream(struct target *t, enum mapping_proto proto, int *ret_fd)
{
	*t = (struct target){.kind = TARGET_ADDRESS};
	*ret_fd = app_listen(proto, &t->address);
}

void pair_start(struct rig *r)
{
	rig_init(r);
	set_upstream(&r->server_config.tcp_upstream, MAPPING_TCP, &pair_upstream[0]);
	set_upstream(&r->server_config.udp_upstream, MAPPING_UDP, &pair_upstream[1]);
	rig_start_server(r);
	rig_start_client(r);
}

void pair_add(struct rig *r, uint64_t id, enum mapping_proto proto)
{
	rig_add(r, id, proto, "OUT^127.0.0.1:0^ANY");
	rig_wait(r, id, TUNNEL_TUNNELING);
}

void pair_stop(struct rig *r)
{
	rig_done(r);
	close(pair_upstream[0]);
	close(pair_upstream[1]);
}

void pair_check(const struct pair *p)
{
	app_send(p->app, "ping", 4);
	app_expect(p->far, "ping", 4);
	app_send(p->far, "answer", 6);
	app_expect(p->app, "answer", 6);
}

struct pair pair_open(struct rig *r, uint64_t id)
{
	struct pair p = {.app = app_connect(MAPPING_TCP, &r->listen[id])};

	p.far = app_accept(pair_upstream[0]);
	pair_check(&p);
	return p;
}

void pair_close(const struct pair *p)
{
	close(p->app);
	app_expect_end(p->far);
	close(p->far);
}

bool pair_can_bind(const struct address *a)
{
	struct address bound;
	int tcp = -1, udp = -1;
	bool can = tcp_listener_bind(a, &tcp, &bound) == 0 && udp_bind(a, &udp, &bound) == 0;

	if (tcp >= 0)
		close(tcp);
	if (udp >= 0)
		close(udp);
	return can;
}
