/* SPDX-License-Identifier: MIT */
/*
 * tests/bench/load VERB ADDRESS [OPTIONS]: the load that the benchmark puts on a tunnel, and the
 * upstream behind it. Each verb prints one line of JSON (serve: "ready"). Exit status 0, 1 when the
 * load could not be put on, 2 for wrong arguments.
 */
#include "tests/bench/load.h"

#include "base/clock.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct load_verb {
	const char *name;
	int (*run)(const struct load_options *o);
	const char *help;
};

static const struct load_verb verbs[] = {
	{"serve", load_serve, "the upstream, TCP and UDP: echo, sink, source"},
	{"wait", load_wait, "until an echo comes back (--udp: of a datagram)"},
	{"bulk", load_bulk, "throughput of --flows flows, up or --down"},
	{"rtt", load_rtt, "round trips of --bytes bytes, one after the other (--udp)"},
	{"short", load_short, "connections with one round trip each, --flows at once"},
	{"hold", load_hold, "--flows idle connections until the end of stdin"},
	{"blast", load_blast, "datagrams of --bytes at --mbit Mbit/s, echoed, counted"},
};

static const struct option options[] = {
	{"seconds", required_argument, NULL, 's'}, {"warm", required_argument, NULL, 'w'},
	{"limit", required_argument, NULL, 'l'},   {"flows", required_argument, NULL, 'f'},
	{"bytes", required_argument, NULL, 'b'},   {"mbit", required_argument, NULL, 'm'},
	{"down", no_argument, NULL, 'd'},	   {"udp", no_argument, NULL, 'u'},
	{"cubic", no_argument, NULL, 'c'},	   {"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void usage(FILE *to)
{
	fputs("Usage: load VERB IP:PORT [OPTIONS]\n\n", to);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		fprintf(to, "  %-6s %s\n", verbs[i].name, verbs[i].help);
	fputs("\n  --seconds S  how long is measured (3)\n"
	      "  --warm S     before that, not measured (0.5)\n"
	      "  --limit S    the load is given up after that (60)\n"
	      "  --flows N    flows at once (1)\n"
	      "  --bytes N    of a message or datagram (64)\n"
	      "  --mbit N     datagrams offered, Mbit/s (100)\n"
	      "  --down       bulk: toward the side that connects\n"
	      "  --cubic      TCP's congestion control, instead of the system's\n"
	      "  --udp        wait, rtt: a datagram instead of a connection\n",
	      to);
}

static double number(const char *name, const char *text, double min, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= min && value <= max)) {
		fprintf(stderr, "load: --%s %s: not a number from %g to %g\n", name, text, min, max);
		exit(2);
	}
	return value;
}

static void parse(struct load_options *o, int argc, char **argv)
{
	int c, index = 0;

	while ((c = getopt_long(argc, argv, "h", options, &index)) != -1) {
		const char *name = options[index].name;

		if (c == 's')
			o->run_ns = (uint64_t)(number(name, optarg, 0.01, 3600) * 1e9);
		else if (c == 'w')
			o->warm_ns = (uint64_t)(number(name, optarg, 0, 3600) * 1e9);
		else if (c == 'l')
			o->limit_s = (unsigned)number(name, optarg, 1, 86400);
		else if (c == 'f')
			o->flows = (unsigned)number(name, optarg, 1, 10000);
		else if (c == 'b')
			o->bytes = (size_t)number(name, optarg, 1, LOAD_DATAGRAM_MAX);
		else if (c == 'm')
			o->mbit_s = number(name, optarg, 0.1, 100000);
		else if (c == 'd')
			o->down = true;
		else if (c == 'u')
			o->udp = true;
		else if (c == 'c')
			o->cubic = true;
		else {
			usage(c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
}

static void give_up(int number)
{
	static const char text[] = "load: not done within --limit\n";

	(void)number;
	_exit(write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ? 2 : 1);
}

int main(int argc, char **argv)
{
	struct load_options o = {.warm_ns = CLOCK_NS_PER_S / 2,
				 .run_ns = 3 * CLOCK_NS_PER_S,
				 .limit_s = 60,
				 .flows = 1,
				 .bytes = 64,
				 .mbit_s = 100};

	parse(&o, argc, argv);
	argv += optind;
	if (argc - optind != 2) {
		usage(stderr);
		return 2;
	}
	if (address_parse(&o.address, argv[1], strlen(argv[1])) != 0) {
		fprintf(stderr, "load: %s: not an address of the form IP:PORT\n", argv[1]);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, argv[0]) != 0)
			continue;
		if (verbs[i].run != load_serve) {
			signal(SIGALRM, give_up);
			alarm(o.limit_s);
		}
		return verbs[i].run(&o);
	}
	fprintf(stderr, "load: no such verb: %s\n", argv[0]);
	return 2;
}
