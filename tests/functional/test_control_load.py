# SPDX-License-Identifier: MIT
"""The control socket under load: subscribers that stand still, a million events, a thousand
mappings, a script that hammers it. What it holds stays bounded, and tunnels go on."""
import contextlib
import json
import socket
import time

import pytest

from harness import net
from harness.control import Control
from harness.daemon import SLOW, limit

GROWTH_KIB = 64 * 1024  # that the daemon may grow by, whatever subscribers do
MEASURABLE = SLOW == 1  # a sanitizer keeps what was freed; what is lost it tells by itself
SLOW_FACTOR = 3         # of figures that a busy machine may miss


@pytest.fixture
def fast(daemon, stack):
    """A connection without validation, for many calls."""
    return stack.enter_context(Control(daemon.socket, schema=False))


@pytest.fixture
def home(control):
    control.call("client.add", name="home", server_addr="127.0.0.1:9", password="no secret 1")


def churn(fast, turns, name="web"):
    """About four events for each turn; the answers are counted, not read."""
    line = json.dumps([{"jsonrpc": "2.0", "id": i, "method": f"mapping.{verb}",
                        "params": {"name": name}}
                       for i, verb in enumerate(("pause", "resume") * 32)]).encode() + b"\n"
    for _ in range(turns // 32):
        fast.raw(line)
        replies = fast.read()
        assert len(replies) == 64 and all("result" in r for r in replies), replies


def events_so_far(fast):
    return fast.call("daemon.status")["seq"]


def stopped_subscriber(path, subscriptions):
    """A connection that subscribes so often and never reads again."""
    held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    held.settimeout(limit(20))
    held.connect(path)
    for i in range(subscriptions):
        held.sendall(json.dumps({"jsonrpc": "2.0", "id": i, "method": "events.subscribe",
                                 "params": {"min_level": "trace", "snapshot": "never",
                                            "stat_interval_ms": 100}}).encode() + b"\n")
    got = b""
    while got.count(b'"result"') < subscriptions:
        got += held.recv(65536)
    return held


def ping_ms(control, count=50):
    """The longest of so many."""
    worst = 0
    for _ in range(count):
        began = time.monotonic()
        control.call("daemon.ping")
        worst = max(worst, time.monotonic() - began)
    return worst * 1000


def stopped_subscribers(daemon, control, fast, stack, events):
    control.call("mapping.add", spec=f"OUT^{net.free_port()}^ANY", name="web", persist=False)
    churn(fast, 3200)  # the ring of events is full, which is part of the baseline
    control.call("mapping.pause", name="web")
    descriptors, before_kib = daemon.process.descriptors(), daemon.process.rss_kib()
    stopped = [stopped_subscriber(daemon.socket, 10) for _ in range(10)]
    for one in stopped:
        stack.callback(one.close)
    assert control.call("daemon.status")["subscriptions"] == 100
    before, began, peak_kib = events_so_far(fast), time.monotonic(), before_kib
    while (now := events_so_far(fast)) < before + events:
        churn(fast, 3200)
        peak_kib = max(peak_kib, daemon.process.rss_kib())
    took, ping = time.monotonic() - began, ping_ms(control)
    print(f"{now - before} events in {took:.1f} s, ping at most {ping:.1f} ms, memory "
          f"{before_kib} KiB before, {peak_kib} KiB at most")
    assert peak_kib < before_kib + GROWTH_KIB or not MEASURABLE, "memory is not flat"
    assert ping < 1000 * SLOW
    for one in stopped:
        one.close()
    control.call("mapping.pause", name="web")
    wait_for(lambda: daemon.process.descriptors() == descriptors, control)
    assert daemon.process.rss_kib() < before_kib + GROWTH_KIB or not MEASURABLE
    status = control.call("daemon.status")
    assert (status["subscriptions"], status["callers"]) == (0, 2)


@pytest.mark.tsan
def test_stopped_subscribers(daemon, control, home, fast, stack):
    """100 of them, on ten connections; a uid may have 16, all together 64."""
    stopped_subscribers(daemon, control, fast, stack, 20_000 if SLOW > 1 else 100_000)


@pytest.mark.long
def test_a_million_events(daemon, control, home, fast, stack):
    stopped_subscribers(daemon, control, fast, stack, 1_000_000)


def test_one_who_never_reads(daemon, control, home, fast, stack):
    """It sends requests and reads no answer: its own queue fills, and nobody else notices."""
    for i in range(200):
        control.call("mapping.add", spec=f"OUT^{12000 + i}^ANY", name=f"n{i}", paused=True,
                     persist=False)
    base = daemon.process.rss_kib()
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stack.callback(deaf.close)
    deaf.connect(daemon.socket)
    deaf.setblocking(False)
    request = b'{"jsonrpc":"2.0","id":1,"method":"mapping.list"}\n' * 100
    sent = 0
    while True:  # until the daemon reads no more
        try:
            sent += deaf.send(request)
        except BlockingIOError:
            answered = events_so_far(fast)  # it had a turn
            try:
                sent += deaf.send(request)
            except BlockingIOError:
                break
    assert answered and sent < 4 << 20
    assert ping_ms(control) < 1000 * SLOW
    assert daemon.process.rss_kib() < base + 8 * 1024 or not MEASURABLE
    seq = events_so_far(fast)
    control.call("mapping.resume", name="n1")
    assert events_so_far(fast) > seq


# ---- a thousand mappings ----

def check_list(control, count):
    listed = control.call("mapping.list")["mappings"]
    assert len(listed) == count and len({m["id"] for m in listed}) == count
    return listed


def test_thousand_mappings(daemon, home, fast):
    """Added and removed through one connection, and again without the state file; what they cost
    comes back. (How much of it the C library keeps differs by megabytes from turn to turn; what is
    left behind adds up.)"""
    ports = range(12000, 13000)
    descriptors, memory = set(), []
    for turn in range(4):
        began = time.monotonic()
        ids = [fast.call("mapping.add", spec=f"OUT^{port}^ANY", persist=turn == 0)["mapping"]["id"]
               for port in ports]
        added = time.monotonic() - began
        assert len(set(ids)) == 1000
        listing = min(timed(fast.call, "mapping.list")[1] for _ in range(5))
        check_list(fast, 1000)
        assert daemon.process.descriptors() >= 1000
        began = time.monotonic()
        for number in ids:
            fast.call("mapping.remove", id=number)
        removed = time.monotonic() - began
        check_list(fast, 0)
        print(f"1000 mappings: added in {added:.2f} s, removed in {removed:.2f} s, mapping.list "
              f"{listing * 1000:.1f} ms")
        assert added < 10 * SLOW_FACTOR * SLOW and listing < 0.05 * SLOW_FACTOR * SLOW
        wait_for(lambda: daemon.process.descriptors() < 100, fast)
        descriptors.add(daemon.process.descriptors())
        memory.append(daemon.process.rss_kib())
    print("memory after each turn:", memory)
    assert len(descriptors) == 1
    assert min(memory[2:]) < max(memory[:2]) + 4 * 1024 or not MEASURABLE, "each turn leaves some"


def test_many_callers(daemon, control, home):
    """The same as a script would: a rstunctl for each change."""
    for i in range(20):
        daemon.ctl("add", "out", 12000 + i, "any", "--no-wait", "--name", f"n{i}", status=0)
    check_list(control, 20)
    daemon.ctl("rm", *(f"n{i}" for i in range(20)), status=0)
    check_list(control, 0)


def timed(function, *args):
    began = time.monotonic()
    result = function(*args)
    return result, time.monotonic() - began


def wait_for(condition, control):
    """Until it is so; each look is behind an answer of the daemon."""
    deadline = time.monotonic() + limit(10)
    while not condition():
        assert time.monotonic() < deadline
        control.call("daemon.ping")


# ---- tunnels beside it ----

def p99(values):
    return sorted(values)[int(len(values) * 0.99)]


@pytest.mark.tsan
def test_hammered(make_daemon, tcp_upstream, stack):
    """A script hammers the socket; a tunnel of the same daemon echoes on, nothing is reset."""
    daemon = make_daemon()
    control = daemon.connect()
    _, entry = daemon.tunnel(control, tcp_upstream(net.echo).address)
    count = 300 if SLOW > 1 else 1500

    def echoes():
        times = []
        with net.connect(entry) as conn:
            for i in range(count):
                data = b"%08d" % i
                took = timed(net.round_trip, conn, data)
                assert took[0] == data
                times.append(took[1])
        return times

    quiet = echoes()
    stop = []
    calls = json.dumps([{"jsonrpc": "2.0", "id": i, "method": method, "params": {}}
                        for i, method in enumerate(("mapping.list", "daemon.status", "stats.get",
                                                    "daemon.ping") * 4)]).encode() + b"\n"

    def hammer():
        done = 0
        with Control(daemon.socket, schema=False) as one:
            while not stop:
                one.raw(calls)
                done += len(one.read())
        return done

    hammering = net.in_thread(hammer)
    busy = echoes()
    stop.append(True)
    done = hammering.join()
    print(f"round trip p99 {p99(quiet) * 1000:.2f} ms in quiet, {p99(busy) * 1000:.2f} ms beside "
          f"{done} calls: {p99(busy) / p99(quiet):.2f} times")
    assert done > 0
    net.echo_flow(entry, 1, 1_000_000)
    assert len(control.call("mapping.list")["mappings"]) == 1
