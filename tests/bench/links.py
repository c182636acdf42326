# SPDX-License-Identifier: MIT
"""Links between the near side (applications, the tunnel's entry) and the far side (the upstream).

Each side is a network namespace (harness/netns.py). Where we may not make namespaces, there is
loopback of the machine itself.
"""
import os

from harness.daemon import Daemon
from harness.netns import FAR, WITH_US, Namespace, may_make_namespaces, veth


class Link:
    """`address` is the far side's IP as the near side sees it. Runs on it take `stretch` times as
    long as others."""

    address = "127.0.0.1"
    stretch = 1

    def __init__(self, near=None, far=None):
        self.near = near
        self.far = far

    def command(self, side, argv):
        """The command that runs argv on a side ("near", "far")."""
        space = getattr(self, side)
        return space.command(argv) if space else WITH_US + list(argv)

    def close(self):
        for space in {self.near, self.far} - {None}:
            space.close()


class Loopback(Link):
    def __init__(self, namespaces):
        space = Namespace("lo") if namespaces else None
        super().__init__(space, space)


class Veth(Link):
    """MTU 1500, with the offloads that the kernel turns on by itself."""

    address = FAR

    def __init__(self):
        super().__init__(*veth())


class Emulated(Link):
    """A line with a rate, a delay and losses. `rtt_ms` is that of an empty line; the queue before
    it holds what the line carries in that time, or in `queue_ms`."""

    address = "10.89.0.2"
    stretch = 3  # round trips are long here, and figures are made of many

    def __init__(self, program, seed, mbit, rtt_ms, queue_ms=None, loss=0, burst=1):
        super().__init__(Namespace("near"), Namespace("far"))
        queue = int(mbit * 1e6 / 8 * (queue_ms or rtt_ms) / 1e3)
        self.emulator = Daemon(
            WITH_US + [program, str(self.near.pid), str(self.far.pid), "--mbit", str(mbit),
                       "--delay-ms", str(rtt_ms / 2), "--loss", str(loss), "--burst", str(burst),
                       "--queue", str(queue), "--seed", str(seed)], "link")
        self.emulator.wait_log("^ready$")

    def close(self):
        self.emulator.discard()
        super().close()


# The links of the rows, by name.
EMULATED = {
    "200m": {"mbit": 200, "rtt_ms": 40, "loss": 1},
    "50m": {"mbit": 50, "rtt_ms": 160, "loss": 3},
    "50m-clean": {"mbit": 50, "rtt_ms": 40},
    "50m-shallow": {"mbit": 50, "rtt_ms": 40, "queue_ms": 8},
    "20m-bloat": {"mbit": 20, "rtt_ms": 40, "queue_ms": 500},
    "100m-bursts": {"mbit": 100, "rtt_ms": 60, "loss": 2, "burst": 8},
}
TEXTS = {
    "lo": "loopback",
    "1500": "two namespaces, veth, MTU 1500",
    "200m": "200 Mbit/s, 40 ms, 1 % loss",
    "50m": "50 Mbit/s, 160 ms, 3 % loss",
    "50m-clean": "50 Mbit/s, 40 ms",
    "50m-shallow": "50 Mbit/s, 40 ms, a queue of 8 ms",
    "20m-bloat": "20 Mbit/s, 40 ms, a queue of 500 ms",
    "100m-bursts": "100 Mbit/s, 60 ms, 2 % lost in bursts of 8",
}


def make(name, tools, seed):
    """A link by its name. All but "lo" need namespaces."""
    if name == "lo":
        return Loopback(may_make_namespaces())
    if name == "1500":
        return Veth()
    return Emulated(os.path.join(tools, "link"), seed, **EMULATED[name])
