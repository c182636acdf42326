/* SPDX-License-Identifier: MIT */
/*
 * Holds a mapping, prints a line per change of its state and per flow that ended, until Ctrl-C:
 *   flows SERVER PASSWORD MAPPING        MAPPING: OUT^9000^ANY
 *   c++ -std=c++11 flows.cc $(pkg-config --cflags --libs librstun) -o flows
 * No exception may leave a callback: the library is C.
 */
#include <csignal>
#include <event2/event.h>
#include <iostream>
#include <memory>
#include <rstun.h>
#include <stdexcept>

namespace
{

struct Free {
	void operator()(event_base *base) const { event_base_free(base); }
	void operator()(event *e) const { event_free(e); }
	void operator()(rstun_context *context) const { rstun_context_free(context); }
	void operator()(rstun_client *client) const { rstun_client_free(client); }
};

template <class T> using Owned = std::unique_ptr<T, Free>;

void check(int error, const char *why = "")
{
	if (error != 0)
		throw std::runtime_error(*why != '\0' ? why : rstun_strerror(error));
}

/* Members are freed in the opposite order: what is used last goes first. */
class Flows
{
      public:
	Flows(const char *server, const char *password, const char *mapping)
	{
		const rstun_option options[] = {{"server-addr", server}, {"password", password}};
		rstun_client_ops ops = {};
		rstun_context *new_context;
		rstun_client *new_client;
		char why[512] = "";
		uint64_t id;

		ops.size = sizeof(ops);
		ops.on_state = [](rstun_client *, void *, const rstun_state_change *change) {
			std::cout << state_name(change->now) << ' ' << change->bound
				  << change->text << std::endl;
		};
		ops.on_flow = [](rstun_client *, void *, const rstun_flow *flow) {
			std::cout << "flow from " << flow->source << ": " << flow->in_bytes
				  << " bytes in, " << flow->out_bytes << " out, "
				  << (flow->error == 0 ? "complete" : rstun_strerror(flow->error))
				  << std::endl;
		};
		ops.on_stopped = [](rstun_client *, void *user) {
			event_base_loopbreak(static_cast<Flows *>(user)->base.get());
		};
		check(rstun_context_new(&new_context, base.get()));
		context.reset(new_context);
		check(rstun_client_new(&new_client, context.get(), options, 2, &ops, this, why,
				       sizeof(why)),
		      why);
		client.reset(new_client);
		check(rstun_client_add_mapping(client.get(), mapping, RSTUN_TCP, &id, why,
					       sizeof(why)),
		      why);
		interrupt.reset(evsignal_new(base.get(), SIGINT, on_signal, this));
		event_add(interrupt.get(), nullptr);
	}

	void run() { event_base_dispatch(base.get()); }

      private:
	static void on_signal(evutil_socket_t, short, void *user)
	{
		rstun_client_stop(static_cast<Flows *>(user)->client.get(), 5000);
	}

	static const char *state_name(rstun_state state)
	{
		switch (state) {
		case RSTUN_STATE_IDLE: return "idle";
		case RSTUN_STATE_CONNECTING: return "connecting";
		case RSTUN_STATE_CONNECTED: return "connected";
		case RSTUN_STATE_TUNNELING: return "tunneling";
		case RSTUN_STATE_RECONNECTING: return "reconnecting";
		case RSTUN_STATE_FAILED: return "failed";
		case RSTUN_STATE_STOPPED: return "stopped";
		}
		return "?"; /* of a later version */
	}

	Owned<event_base> base{event_base_new()};
	Owned<rstun_context> context;
	Owned<rstun_client> client;
	Owned<event> interrupt;
};

} // namespace

int main(int argc, char **argv)
{
	if (argc != 4) {
		std::cerr << "usage: flows SERVER PASSWORD MAPPING\n";
		return 2;
	}
	try {
		Flows(argv[1], argv[2], argv[3]).run();
	} catch (const std::exception &e) {
		std::cerr << "flows: " << e.what() << '\n';
		return 1;
	}
	return 0;
}
