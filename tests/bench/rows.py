# SPDX-License-Identifier: MIT
"""The rows: what is measured, on which link, between whom, and what is wanted of it.

Rows that differ only in the figure they read share their runs. To add one: a Row here.
"""
import dataclasses
import os

import loads
from stage import CGROUP_CPU

AES, CHACHA = "aes-128-gcm", "chacha20-poly1305"
TCP_PEERS = ("rstund", "original", "ssh", "stunnel", "frp", "chisel", "rathole", "hysteria",
             "rusnel", "direct")
UDP_PEERS = ("rstund", "original", "frp", "chisel", "rathole", "hysteria", "rusnel", "direct")
TUNNELS = TCP_PEERS[:-1]


@dataclasses.dataclass(frozen=True)
class Goal:
    """rstund's median is at least (">=") or at most ("<=") `factor` times that of the peer `of`, or
    rstund's own in another row ("row S3.up"), or `factor` itself."""
    sign: str
    factor: float
    of: str = ""

    def text(self):
        return f"{self.sign} {self.factor:g}" + (f" x {self.of}" if self.of else "")


@dataclasses.dataclass(frozen=True)
class Case:
    """Runs with these things in common."""
    link: str
    cipher: str
    load: str                # a function of loads.py
    arguments: tuple = ()    # of it: ((name, value), ...)

    def __str__(self):
        arguments = ", ".join(f"{name} {value}" for name, value in self.arguments)
        return f"{self.load} {arguments}".strip() + f" on {self.link}, {self.cipher}"

    @property
    def needs_root(self):
        """For namespaces, or to read what others' memory is."""
        return self.link != "lo" or self.load in ("hold", "logins", "sessions")

    @property
    def possible(self):
        return self.load != "sessions" or os.path.isdir(CGROUP_CPU)

    def run(self, run):
        return getattr(loads, self.load)(run, **dict(self.arguments))


@dataclasses.dataclass(frozen=True)
class Row:
    id: str
    title: str
    case: Case
    metric: str
    goals: tuple
    peers: tuple = TCP_PEERS


def bulk(link, cipher, flows, way):
    return Case(link, cipher, "bulk", (("flows", flows), ("way", way)))


def both_ways(id, title, link, cipher, goals):
    return [Row(f"{id}.{way}", f"{title}, {way}", bulk(link, cipher, 1, way), "gbit_s", goals)
            for way in ("up", "down")]


def eight_flows():
    rows = []
    for link, alone in (("lo", "S3"), ("1500", "S1")):
        for way in ("up", "down"):
            case = bulk(link, AES, 8, way)
            name = f"S4.{link}.{way}"
            rows.append(Row(name, f"8 TCP flows, {link}, AES, {way}", case, "gbit_s",
                            (Goal(">=", 1.0, f"row {alone}.{way}"),)))
            rows.append(Row(f"{name}.jain", f"fairness of {name}", case, "jain",
                            (Goal(">=", 0.95),)))
    return rows


def percentiles(id, title, case, unit, goals):
    return [Row(f"{id}.{p}", f"{title}, {p}", case, f"{p}_{unit}", (goal,))
            for p, goal in zip(("p50", "p99"), goals)]


def datagrams():
    rows = []
    for mbit, wanted in ((100, 99), (400, 396), (1000, 900)):
        case = Case("lo", CHACHA, "blast", (("mbit", mbit),))
        title = f"UDP echo of 1200 bytes at {mbit} Mbit/s"
        rows.append(Row(f"S9.{mbit}", f"{title}: received", case, "received_mbit_s",
                        (Goal(">=", wanted),), UDP_PEERS))
        rows.append(Row(f"S9.{mbit}.loss", f"{title}: lost", case, "loss_percent",
                        (Goal("<=", 1),), UDP_PEERS))
    return rows


def congestion():
    """What the choice of the congestion control is made of (tests/bench/README.md)."""
    peers = ("rstund", "cubic", "reno", "original", "ssh")
    rows = []
    for link, what in (("1500", "LAN"), ("200m", "random loss"), ("50m", "long, random loss"),
                       ("100m-bursts", "bursts of loss"), ("50m-shallow", "a short queue"),
                       ("20m-bloat", "a long queue")):
        rows.append(Row(f"C1.{link}", f"one flow: {what}", bulk(link, AES, 1, "up"), "mbit_s", (),
                        peers))
    rows.append(Row("C2", "round trip beside a bulk flow, a long queue, p50",
                    Case("20m-bloat", AES, "rtt_beside_bulk"), "p50_ms", (), peers))
    for link, what in (("50m-clean", "a queue of a round trip"), ("50m-shallow", "a short queue"),
                       ("20m-bloat", "a long queue")):
        case = Case(link, AES, "beside_tcp")
        rows.append(Row(f"C3.{link}", f"share beside a TCP flow (CUBIC): {what}", case,
                        "share_percent", (), peers))
        rows.append(Row(f"C3.{link}.sum", "both together", case, "mbit_s", (), peers))
    return rows


def scale():
    """What there is beside must not cost what is used; workers share load."""
    rows = []
    for name, what, counts in (("flows", "idle flows", (1, 100, 1000, 10000)),
                               ("mappings", "mappings", (1, 10, 100, 1000))):
        for count in counts:
            case = Case("lo", AES, "rtt_among", ((name, count),))
            title = f"TCP round trip among {count} {what}"
            rows.append(Row(f"K1.{name}.{count}", f"{title}: CPU", case, "cpu_us", (), ("rstund",)))
            rows.append(Row(f"K1.{name}.{count}.p50", f"{title}, p50", case, "p50_us", (),
                            ("rstund",)))
    for workers in (1, 2):
        rows.append(Row(f"K2.{workers}", f"8 sessions, workers: {workers}, a fifth of a processor "
                        "each", Case("lo", AES, "sessions", (("workers", workers),)), "gbit_s",
                        () if workers == 1 else (Goal(">=", 1.8, "row K2.1"),), ("rstund",)))
    return rows


HOLD = Case("lo", CHACHA, "hold")
LOGINS = Case("lo", CHACHA, "logins")
LOSSY = bulk("200m", AES, 1, "up")

ROWS = [
    *both_ways("S1", "one TCP flow, 1500, AES", "1500", AES,
               (Goal(">=", 2.5, "original"), Goal(">=", 1.0, "ssh"))),
    *both_ways("S2", "one TCP flow, 1500, ChaCha20", "1500", CHACHA,
               (Goal(">=", 2.3, "original"), Goal(">=", 1.0, "ssh"))),
    *both_ways("S3", "one TCP flow, lo, AES", "lo", AES,
               (Goal(">=", 3.5, "original"), Goal(">=", 1.1, "ssh"))),
    *eight_flows(),
    *[Row(f"S5.{way}", f"CPU per GB, 1500, AES, {way}", bulk("1500", AES, 1, way), "cpu_s_per_gb",
          (Goal("<=", 1.0, "ssh"),), TUNNELS) for way in ("up", "down")],
    *percentiles("S6", "64-byte TCP round trip, lo", Case("lo", AES, "rtt"), "us",
                 (Goal("<=", 0.9, "ssh"), Goal("<=", 0.9, "ssh"))),
    *percentiles("S7", "the same beside a bulk flow", Case("lo", AES, "rtt_beside_bulk"), "ms",
                 (Goal("<=", 1), Goal("<=", 5))),
    Row("S8", "short TCP connections, 100 at once", Case("lo", AES, "short"), "per_s",
        (Goal(">=", 1.6, "original"),)),
    *datagrams(),
    Row("S10", "UDP round trip, p50", Case("lo", CHACHA, "rtt", (("udp", True),)), "p50_us",
        (Goal("<=", 130),), UDP_PEERS),
    Row("S11.idle", "memory of both ends, idle", HOLD, "idle_mib", (Goal("<=", 12),), TUNNELS),
    Row("S11.flow", "memory per idle TCP flow, both ends", HOLD, "flow_kib", (Goal("<=", 12),),
        TUNNELS),
    Row("S12.200m", "200 Mbit/s, 40 ms, 1 % loss", LOSSY, "mbit_s",
        (Goal(">=", 1.0, "original"),)),
    Row("S12.50m", "50 Mbit/s, 160 ms, 3 % loss", bulk("50m", AES, 1, "up"), "mbit_s",
        (Goal(">=", 1.0, "original"),)),
    Row("S13", "CPU per GB on the link of S12.200m", LOSSY, "cpu_s_per_gb", (Goal("<=", 10),),
        TUNNELS),
    *percentiles("S14", "TCP round trip beside a bulk flow, 50 Mbit/s, 40 ms",
                 Case("50m-clean", AES, "rtt_beside_bulk"), "ms",
                 (Goal("<=", 60), Goal("<=", 120))),
    Row("S15.logins", "logins per second of the server's CPU", LOGINS, "logins_per_core_s",
        (Goal(">=", 1500),), ("rstund", "original")),
    Row("S15.session", "memory of an idle session, server", LOGINS, "session_kib",
        (Goal("<=", 45),), ("rstund", "original")),
    Row("S16", "S1.up against the raw pump", bulk("1500", AES, 1, "up"), "gbit_s",
        (Goal(">=", 0.6, "raw"),), ("rstund", "raw")),
    *scale(),
    *congestion(),
]


def choose(text):
    """Rows by their ids, the beginnings of them up to a point, or their letter: "S1,S7.p99,C".
    ValueError names what there is not."""
    chosen = []
    for name in text.split(","):
        found = [row for row in ROWS if row.id == name or row.id.startswith(name + ".")
                 or row.id[0] == name]
        if not found:
            raise ValueError(f"no row {name!r}; there are {', '.join(row.id for row in ROWS)}")
        chosen += [row for row in found if row not in chosen]
    return sorted(chosen, key=ROWS.index)
