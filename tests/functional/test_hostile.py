# SPDX-License-Identifier: MIT
"""Peers that mean harm: rubbish in UDP datagrams, and clients that finish TLS and then misbehave
(tests/tools/hostile). Whatever comes, a legitimate flow beside it goes on."""
import json
import os
import random
import re
import socket
import subprocess
import time

import pytest

from harness import net
from harness.daemon import limit, log_password


@pytest.fixture
def victim(make_link, tcp_upstream):
    """A server with an honest client; what must still work at the end."""
    upstream = tcp_upstream(net.echo)
    link = make_link(server_args=["-l", "D", "--udp-timeout-ms", 500])
    link.entry = link.map("tcp", "OUT-ANY", upstream.address)
    link.defaults["udp"] = "127.0.0.1:9"
    link.start()
    with net.connect(link.entry) as conn:
        assert net.round_trip(conn, b"before") == b"before"
        yield link
        assert net.round_trip(conn, b"after") == b"after"
    net.echo_flow(link.entry, 1, 100_000)
    assert len(link.client.find_log(": tunneling")) == 1


# ---- datagrams ----

def long_header(version, dcid, scid, rest=b"", first=0xc0):
    return (bytes([first]) + version.to_bytes(4, "big") + bytes([len(dcid)]) + dcid
            + bytes([len(scid)]) + scid + rest)


@pytest.fixture
def raw(victim):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(victim.address)
    sock.settimeout(limit(0.4))
    yield sock
    sock.close()


def answers(sock):
    """What comes until nothing comes."""
    got = []
    while True:
        try:
            got.append(sock.recv(65536))
        except (TimeoutError, socket.timeout):
            return got


def test_rubbish(victim, raw):
    """Random bytes of every length, none at all, one: dropped, never answered by more than came."""
    chaos = random.Random(1)
    rss = victim.server.rss_kib()
    sent = 0
    raw.send(b"")
    for size in [1, 2, 3, 5, 7, 20, 21, 22, 40, 41, 100, 1199, 1200, 1201, 1500, 9000, 65507]:
        for first in (0x00, 0x40, 0x80, 0xc0, 0xff):
            raw.send(bytes([first]) + chaos.randbytes(size - 1))
            sent += size
    for _ in range(3000):
        data = chaos.randbytes(chaos.randrange(0, 300))
        raw.send(data)
        sent += len(data)
    got = answers(raw)
    assert sum(map(len, got)) <= 3 * sent
    assert victim.server.rss_kib() - rss < 16 * 1024 * limit(1)


def test_version_negotiation(raw):
    """An unknown version in a large enough packet is answered by the list, once, with the CIDs
    swapped (RFC 9000 section 6.1, RFC 8999 section 6); a small one is not."""
    dcid, scid = os.urandom(8), os.urandom(5)
    packet = long_header(0x1a2a3a4a, dcid, scid)
    raw.send(packet + bytes(1200 - len(packet)))
    got = answers(raw)
    assert len(got) == 1, got
    answer = got[0]
    assert answer[0] & 0x80 and answer[1:5] == bytes(4)
    assert answer[5] == 5 and answer[6:11] == scid
    assert answer[11] == 8 and answer[12:20] == dcid
    versions = [answer[i:i + 4] for i in range(20, len(answer), 4)]
    assert bytes([0, 0, 0, 1]) in versions
    raw.send(packet + bytes(100))
    assert answers(raw) == []


def test_version_negotiation_is_not_answered(raw):
    packet = long_header(0, os.urandom(8), os.urandom(8), b"\0\0\0\1")
    raw.send(packet + bytes(1200 - len(packet)))
    assert answers(raw) == []


def test_short_headers(raw):
    """No connection has these IDs: at most a stateless reset, shorter than what came."""
    for size in (20, 30, 42, 43, 60, 200, 1200):
        raw.send(bytes([0x40 | random.randrange(64)]) + os.urandom(size - 1))
        for answer in answers(raw):
            assert len(answer) < size and not answer[0] & 0x80 and answer[0] & 0x40


def test_resets_are_rate_limited(raw):
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sent = 0
    for _ in range(5000):
        raw.send(b"\x40" + os.urandom(59))
        sent += 60
    got = answers(raw)
    assert sum(map(len, got)) < sent / 2, f"{len(got)} resets for 5000 datagrams"


def test_small_initials(raw):
    """An Initial in a datagram below 1200 bytes must be dropped (RFC 9000 section 14.1)."""
    for size in (100, 600, 1199):
        packet = long_header(1, os.urandom(8), os.urandom(8), b"\0\x40\x50")
        raw.send(packet + os.urandom(size - len(packet)))
    assert answers(raw) == []


def test_broken_initials(victim, raw):
    """Right in form, wrong inside: no state is left, at most the three-fold comes back."""
    sent = 0
    for i in range(300):
        packet = long_header(1, os.urandom(8 + i % 13), os.urandom(i % 21), b"\0\x44\x80")
        data = packet + os.urandom(1200 - len(packet))
        raw.send(data)
        sent += len(data)
    got = answers(raw)
    assert sum(map(len, got)) <= 3 * sent


def test_connection_ids_of_every_length(raw):
    """Lengths beyond 20 and beyond the datagram (RFC 9000 section 17.2)."""
    for size in (0, 1, 7, 20, 21, 100, 255):
        for version in (1, 0x6b3343cf, 0xffffffff):
            packet = (b"\xc0" + version.to_bytes(4, "big") + bytes([size])
                      + os.urandom(min(size, 50)))
            raw.send(packet)
            raw.send(packet + bytes(1200 - len(packet)))
    answers(raw)


# ---- peers that finish TLS ----

def attack(tool, link, case, password=None, seconds=1):
    """Runs the case and waits for its end, or so many seconds; returns what the tool saw."""
    args = [tool("hostile"), net.text(link.address), case, password or link.password,
            str(int(limit(seconds)))]
    done = subprocess.run(args, capture_output=True, timeout=limit(40), check=False,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


CLOSED = ["truncated-login", "short-login", "too-long", "huge-length", "long-password",
          "broken-trailer", "huge-string", "not-utf8", "unknown-message", "unknown-tunnel",
          "empty-frame", "heartbeat-first", "answer-first"]


@pytest.mark.parametrize("case", CLOSED)
def test_bad_login_is_closed(victim, tool, case):
    """An error and a close within a second (asserted at three), and the log says what it was."""
    since = victim.server.mark()
    got = attack(tool, victim, case, seconds=6)
    assert got["answer"] != "success", got
    assert got["closed"] and got["kind"] in ("app", "transport"), got
    assert got["ms"] < limit(3000), got
    victim.server.wait_log(r"session refused: \S+.*, from 127\.0\.0\.1:\d+", since=since)


@pytest.mark.parametrize("case", ["login", "long-trailer", "byte-by-byte", "finish-control"])
def test_odd_but_right(victim, tool, case):
    """What a valid peer may do is accepted."""
    got = attack(tool, victim, case)
    assert got["answer"] == "success" and not got["closed"], got


def test_never_logs_in(victim, tool):
    """Gone within 5 s."""
    cases = ["nothing", "silent-stream", "crawl", "early-stream"]
    for got in net.all_of([net.in_thread(attack, tool, victim, case, None, 15)
                           for case in cases]):
        assert got["answer"] != "success" and got["closed"], got
        assert 3000 < got["ms"] < limit(15000) or got["case"] == "early-stream", got
        if got["case"] == "early-stream":
            assert got["flow"] in ("refused", "open", "lost", "reset"), got


def test_second_login(victim, tool):
    """Not obeyed, and said in the log."""
    got = attack(tool, victim, "second-login")
    assert got["answer"] == "success", got
    victim.server.wait_log(r"\[session \d+\] control stream: unexpected message|ended: .*message")


@pytest.mark.parametrize("case", ["unknown-after-login", "too-long-after-login"])
def test_bad_message_after_login(victim, tool, case):
    got = attack(tool, victim, case, seconds=6)
    assert got["answer"] == "success" and got["closed"] and got["ms"] < limit(3000), got
    victim.server.wait_log(r"session \d+: ended: \S+")


@pytest.mark.parametrize("case", ["udp-family", "udp-truncated-target", "udp-truncated-frame",
                                  "channel-family", "channel-empty-name", "channel-odd-name",
                                  "channel-udp-family"])
def test_bad_flow(victim, tool, case):
    """That flow ends, nothing else."""
    got = attack(tool, victim, case)
    assert got["answer"] == "success" and not got["closed"], got
    assert got["flow"] in ("reset", "end"), got


@pytest.mark.parametrize("case", ["reset-flood", "silent-flood"])
def test_flood(victim, tool, case):
    """Flows by the thousand, opened and reset, or opened and left: memory is bounded and a flow of
    another mapping goes on; half of its round trips are as good as ever."""
    rss = victim.server.rss_kib()
    times = []
    args = [tool("hostile"), net.text(victim.address), case, victim.password, "4"]
    with net.connect(victim.entry) as conn:
        flood = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        while flood.poll() is None:
            begin = time.monotonic()
            assert net.round_trip(conn, b"x" * 64) == b"x" * 64
            times.append(time.monotonic() - begin)
        got = json.loads(flood.communicate()[0])
    assert got["answer"] == "success", got
    if limit(1) == 1:  # sanitizers hold back what was freed
        assert victim.server.rss_kib() - rss < 64 * 1024
    assert sorted(times)[len(times) // 2] < limit(0.02)


@pytest.mark.parametrize("case", ["datagrams-before-login", "datagrams-not-agreed",
                                  "datagrams-of-no-flow"])
def test_datagram_frames(victim, tool, case):
    """Ignored (RFC 9221: they may be lost), and what is kept of them is bounded. A flow lives by
    those that are its own, once both have agreed on them, and else ends as an idle one does. Who
    sends them instead of a login is closed as who sends nothing."""
    rss = victim.server.rss_kib()
    got = attack(tool, victim, case, seconds=7 if case == "datagrams-before-login" else 3)
    expected = {"datagrams-before-login": ("none", "none"), "datagrams-not-agreed": ("success", "end"),
                "datagrams-of-no-flow": ("success", "lost")}  # by our own close
    assert (got["answer"], got["flow"]) == expected[case], got
    assert got["closed"] == (case == "datagrams-before-login"), got
    if limit(1) == 1:
        assert victim.server.rss_kib() - rss < 32 * 1024


def test_many_wrong_passwords(victim, tool):
    """A try per connection, each refused; soon that source is refused unheard."""
    reasons = []
    for _ in range(20):
        got = attack(tool, victim, "login", password=log_password(), seconds=5)
        assert got["answer"] != "success" and got["closed"], got
        assert got["ms"] < limit(3000), got
        reasons.append(got["text"] + got["reason"])
    assert re.search(r"(?i)password", reasons[0])
    assert reasons[-1] != reasons[0], "never slowed down"


def test_crowd_that_never_logs_in(victim, tool):
    """Thirty at once: an honest login beside them is not held up."""
    args = [tool("hostile"), net.text(victim.address), "silent-stream", "x", "8"]
    crowd = [subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
             for _ in range(30)]
    try:
        other = victim.fleet.role("client", "-a", net.text(victim.address), "-t",
                                  f"OUT^{net.free_port()}^ANY", password=victim.password)
        other.wait_ready(10)
    finally:
        results = [json.loads(process.communicate()[0] or b"{}") for process in crowd]
    assert all(r.get("closed", True) and r.get("answer") != "success" for r in results), results
