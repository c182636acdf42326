/* SPDX-License-Identifier: MIT */
/*
 * tests/bench/link PID_A PID_B [OPTIONS]: a link between the network namespaces of two processes,
 * in user space: a TUN device in each (10.89.0.1 and .2), and packets between them that wait for
 * the rate, in a queue of so many bytes, then for the delay, and some of which are lost. So it
 * slows TCP down as well as UDP. Prints "ready", runs until it is killed. One thread; needs
 * CAP_NET_ADMIN.
 */
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINK_PACKET_MAX 2048
#define LINK_TURN_PACKETS 64 /* read from one side before the other has its turn */

struct link_packet {
	STAILQ_ENTRY(link_packet) next;
	uint64_t at_ns;
	size_t bytes;
	uint8_t data[];
};

/* One direction: packets read from `from`, on their way to `to`. */
struct link_way {
	int from, to;
	STAILQ_HEAD(, link_packet) packets; /* in the order in which they arrive */
	uint64_t free_ns;		    /* when the line has sent what it has */
	bool losing;			    /* in a burst */
	uint64_t random;
};

struct link_options {
	double mbit_s, loss, burst; /* loss: share of packets; burst: mean length in packets */
	uint64_t delay_ns;	    /* one way */
	uint64_t queue_bytes, seed;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- devices ---- */

static void set_address(int fd, struct ifreq *request, unsigned long call, uint32_t address)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};

	memcpy(&request->ifr_addr, &sin, sizeof(sin));
	if (ioctl(fd, call, request) != 0)
		die("address of the device");
}

/* A device in the namespace of the process, up, with 10.89.0.`host` of a /24. Stays in that
 * namespace. */
static int open_device(const char *pid, unsigned host)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	char path[64];
	int space, control, fd;

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	space = open(path, O_RDONLY | O_CLOEXEC);
	if (space < 0 || setns(space, CLONE_NEWNET) != 0)
		die(path);
	close(space);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		die("/dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "bench%u", host);
	if (ioctl(fd, TUNSETIFF, &request) != 0)
		die("TUNSETIFF");
	control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (control < 0)
		die("socket");
	set_address(control, &request, SIOCSIFADDR, 0x0a590000 + host);
	set_address(control, &request, SIOCSIFNETMASK, 0xffffff00);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(control, SIOCSIFFLAGS, &request) != 0)
		die("SIOCSIFFLAGS");
	close(control);
	return fd;
}

/* ---- packets ---- */

/* 0 to 1; xorshift64, so that a seed gives the same losses everywhere. */
static double draw(struct link_way *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (double)(w->random >> 11) / 9007199254740992.0;
}

/* Two states (Gilbert): in a burst every packet is lost; its length is geometric. */
static bool lose(struct link_way *w, const struct link_options *o)
{
	if (o->loss <= 0)
		return false;
	if (w->losing)
		w->losing = draw(w) >= 1 / o->burst;
	else
		w->losing = draw(w) < o->loss / (o->burst * (1 - o->loss));
	return w->losing;
}

static void take(struct link_way *w, const struct link_options *o, const uint8_t *data,
		 size_t bytes, uint64_t now_ns)
{
	double bytes_per_ns = o->mbit_s / 8e3;
	uint64_t begins_ns = w->free_ns > now_ns ? w->free_ns : now_ns;
	uint64_t waiting = (uint64_t)((double)(begins_ns - now_ns) * bytes_per_ns);
	struct link_packet *p;

	if (waiting + bytes > o->queue_bytes || lose(w, o))
		return;
	p = malloc(sizeof(*p) + bytes);
	if (!p)
		return; /* lost */
	w->free_ns = begins_ns + (uint64_t)((double)bytes / bytes_per_ns);
	p->at_ns = w->free_ns + o->delay_ns;
	p->bytes = bytes;
	memcpy(p->data, data, bytes);
	STAILQ_INSERT_TAIL(&w->packets, p, next);
}

static void read_device(struct link_way *w, const struct link_options *o)
{
	uint8_t data[LINK_PACKET_MAX];

	for (int i = 0; i < LINK_TURN_PACKETS; i++) {
		ssize_t n = read(w->from, data, sizeof(data));

		if (n <= 0)
			return;
		take(w, o, data, (size_t)n, clock_now_ns());
	}
}

/* What has arrived goes out; returns when the next one does. */
static uint64_t deliver(struct link_way *w, uint64_t now_ns)
{
	struct link_packet *p;

	while ((p = STAILQ_FIRST(&w->packets)) && p->at_ns <= now_ns) {
		STAILQ_REMOVE_HEAD(&w->packets, next);
		/* The device takes what it can: as on a wire, nobody waits for it. */
		if (write(w->to, p->data, p->bytes) < 0 && errno != EAGAIN && errno != EIO)
			die("write to the device");
		free(p);
	}
	return p ? p->at_ns : CLOCK_NEVER;
}

static void run(struct link_way ways[2], const struct link_options *o)
{
	struct pollfd fds[2] = {{.fd = ways[0].from, .events = POLLIN},
				{.fd = ways[1].from, .events = POLLIN}};

	for (;;) {
		uint64_t now_ns = clock_now_ns(), next_ns = CLOCK_NEVER, wait_ns;
		struct timespec wait;

		for (int i = 0; i < 2; i++)
			next_ns = clock_min(next_ns, deliver(&ways[i], now_ns));
		wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
		wait.tv_sec = (time_t)(wait_ns / CLOCK_NS_PER_S);
		wait.tv_nsec = (long)(wait_ns % CLOCK_NS_PER_S);
		if (ppoll(fds, 2, next_ns == CLOCK_NEVER ? NULL : &wait, NULL) < 0)
			die("ppoll");
		for (int i = 0; i < 2; i++) {
			if (fds[i].revents)
				read_device(&ways[i], o);
		}
	}
}

static double number(const char *text, double min, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= min && value <= max)) {
		fprintf(stderr, "link: %s: not a number from %g to %g\n", text, min, max);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{"mbit", required_argument, NULL, 'm'},	 {"delay-ms", required_argument, NULL, 'd'},
		{"loss", required_argument, NULL, 'l'},	 {"burst", required_argument, NULL, 'b'},
		{"queue", required_argument, NULL, 'q'}, {"seed", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	struct link_options o = {.mbit_s = 100, .burst = 1, .queue_bytes = 1 << 20, .seed = 1};
	struct link_way ways[2];
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (c == 'm')
			o.mbit_s = number(optarg, 0.01, 100000);
		else if (c == 'd')
			o.delay_ns = (uint64_t)(number(optarg, 0, 60000) * 1e6);
		else if (c == 'l')
			o.loss = number(optarg, 0, 90) / 100;
		else if (c == 'b')
			o.burst = number(optarg, 1, 1000);
		else if (c == 'q')
			o.queue_bytes = (uint64_t)number(optarg, LINK_PACKET_MAX, 1e9);
		else if (c == 's')
			o.seed = (uint64_t)number(optarg, 0, 1e9);
		else
			optind = argc + 1;
	}
	if (argc - optind != 2) {
		fputs("Usage: link PID_A PID_B [--mbit N] [--delay-ms ONE_WAY] [--loss PERCENT]\n"
		      "            [--burst PACKETS] [--queue BYTES] [--seed N]\n", stderr);
		return 2;
	}
	for (int i = 0; i < 2; i++) {
		ways[i] = (struct link_way){.from = open_device(argv[optind + i], (unsigned)i + 1),
					    .random = (o.seed + 1) * 2654435761u + (uint64_t)i};
		STAILQ_INIT(&ways[i].packets);
	}
	ways[0].to = ways[1].from;
	ways[1].to = ways[0].from;
	puts("ready");
	fflush(stdout);
	run(ways, &o);
}
