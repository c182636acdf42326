# SPDX-License-Identifier: MIT
"""Session life: peers that die, come back, drain, refuse, run out of descriptors (R5 to R7, R14,
R20 and F5 to F9 of the goals). Times are asserted at three times their figure."""
import re
import resource
import signal
import socket
import time

import pytest

from harness import net
from harness.daemon import limit, log_password
from harness.link import Link

PROTOS = ["tcp", "udp"]


def talk(entry):
    """An open flow that has exchanged something."""
    conn = net.connect(entry)
    assert net.round_trip(conn, b"hello") == b"hello"
    return conn


@pytest.fixture
def echo_link(make_link, tcp_upstream):
    """A link with one TCP mapping to an echo."""
    def make(route="OUT-ANY", start=True, handler=net.echo, **options):
        link = make_link(**options)
        link.upstream = tcp_upstream(handler)
        link.entry = link.map("tcp", route, link.upstream.address)
        if start:
            link.start()
        return link
    return make


# ---- the server is not there, dies, comes back ----

def test_server_comes_later(echo_link):
    link = echo_link(start=False, client_args=["-r", 300])
    link.start_client(ready=False)
    link.client.wait_log(r"OUT\^\S+ tcp: reconnecting in \d+(\.\d)? s: \S+", count=2, timeout=40)
    link.start_server()
    link.wait_tunnels(timeout=40)
    net.echo_flow(link.entry, 1, 1000)


def test_attempts_are_spaced(echo_link):
    """Nothing loops hot: waits grow from 0.3 s to the cap of -r."""
    link = echo_link(start=False, client_args=["-r", 1200])
    link.start_client(ready=False)
    since, waits = 0, []
    for _ in range(4):
        match = link.client.wait_log(r"reconnecting in ([\d.]+) s", since=since, timeout=60)
        since = link.client.mark()
        waits.append(float(match.group(1)))
    assert all(0.05 <= wait <= 1.5 for wait in waits), waits


@pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
def test_server_killed(echo_link, route):
    """Flows get RST, never EOF, on both sides; the restarted server is noticed by its reset."""
    link = echo_link(route=route)
    with talk(link.entry) as conn:
        since = link.client.mark()
        link.server.kill()
        if route == "IN":
            net.expect_rst(conn)  # the kernel's, the application was connected to the server
        link.start_server()
        listening = time.monotonic()
        if route != "IN":
            net.expect_rst(conn)
        link.wait_tunnels(since=since, timeout=40, again=True)
        took = time.monotonic() - listening
    assert took < limit(3 * 6), f"the tunnel was back after {took:.1f} s"
    got = link.upstream.result()
    assert isinstance(got, ConnectionResetError), got
    net.echo_flow(link.entry, 1, 100_000)


def test_server_killed_with_its_state(echo_link):
    """Reset tokens of another state directory are worthless: the idle timeout finds out."""
    link = echo_link(client_args=["--quic-timeout-ms", 3000, "--heartbeat-interval-ms", 0])
    with talk(link.entry) as conn:
        since = link.client.mark()
        link.state["server"] = link.fleet.directory()
        link.restart_server()
        net.expect_rst(conn)
        link.wait_tunnels(since=since, timeout=40, again=True)
    net.echo_flow(link.entry, 1, 1000)


def test_silent_server_is_noticed(echo_link):
    """A stopped server (SIGSTOP) answers no heartbeat; back when it runs again."""
    link = echo_link(client_args=["--heartbeat-interval-ms", 300, "--heartbeat-timeout-ms", 900,
                                  "-r", 300])
    with talk(link.entry) as conn:
        since = link.client.mark()
        link.server.signal(signal.SIGSTOP)
        try:
            line = link.client.wait_log(r"reconnecting in [\d.]+ s: (.*)", since=since)
            assert re.search(r"(?i)heartbeat", line.group(1)), line.string
            net.expect_rst(conn)
        finally:
            link.server.signal(signal.SIGCONT)
        link.wait_tunnels(since=since, timeout=40, again=True)
    net.echo_flow(link.entry, 1, 1000)


@pytest.mark.parametrize("option", ["--heartbeat-interval-ms", "--heartbeat-timeout-ms"])
def test_without_heartbeats(echo_link, option):
    """Either value 0 turns them off; keep-alives keep the connection beyond its idle timeout."""
    link = echo_link(client_args=[option, 0, "--quic-timeout-ms", 1500])
    with talk(link.entry) as conn:
        conn.settimeout(3.5)
        with pytest.raises((TimeoutError, socket.timeout)):
            conn.recv(1)
        conn.settimeout(limit(20))
        assert net.round_trip(conn, b"still here") == b"still here"
    assert len(link.client.find_log(": tunneling")) == 1


# ---- the client dies, comes back ----

@pytest.mark.parametrize("proto", PROTOS)
def test_client_killed(make_link, tcp_upstream, udp_upstream, proto):
    """Its IN port is taken back by the next login, without waiting for the old session."""
    upstream = tcp_upstream(net.echo) if proto == "tcp" else udp_upstream()
    link = make_link()
    entry = link.map(proto, "IN", upstream.address)
    link.start()
    if proto == "tcp":
        conn = talk(entry)
    link.client.kill()
    begin = time.monotonic()
    link.start_client()
    took = time.monotonic() - begin
    assert took < limit(3 * 4), f"the port was back after {took:.1f} s"
    if proto == "tcp":
        net.expect_rst(conn)
        conn.close()
        net.echo_flow(entry, 1, 1000)
    else:
        with net.UdpApplication(entry) as app:
            assert app.ask(b"hello") == b"hello"


@pytest.mark.parametrize("proto", PROTOS)
def test_two_clients_want_one_address(fleet, make_link, tcp_upstream, udp_upstream, proto):
    """The second gets an error that names it; the holder's flow is untouched."""
    upstream = tcp_upstream(net.echo) if proto == "tcp" else udp_upstream()
    link = make_link()
    entry = link.map(proto, "IN", upstream.address)
    link.start()
    conn = talk(entry) if proto == "tcp" else net.UdpApplication(entry)
    second = fleet.role("client", "-a", net.text(link.address), "-" + proto[0],
                        link.mappings[proto][0], password=link.password)
    line = second.wait_log(r"IN\^\S+ \w+: (?:failed|reconnecting).* in [\d.]+ s: (.*)", count=5)
    assert net.text(entry) in line.group(1) and "in use" in line.group(1), line.string
    link.server.wait_log(r"session refused: .*in use")
    if proto == "tcp":
        assert net.round_trip(conn, b"untouched") == b"untouched"
    else:
        assert conn.ask(b"untouched") == b"untouched"
    conn.close()
    second.stop()
    assert len(link.client.find_log(": tunneling")) == 1


@pytest.mark.parametrize("proto", PROTOS)
def test_address_held_by_another_program(fleet, make_link, stack, proto):
    taken = stack.enter_context(socket.socket(
        socket.AF_INET, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM))
    taken.bind(("127.0.0.1", 0))
    if proto == "tcp":
        taken.listen()
    link = make_link()
    link.map(proto, "IN", ("127.0.0.1", 9), entry=taken.getsockname())
    link.start_server()
    link.start_client(ready=False)
    line = link.client.wait_log(r"(?:failed|reconnecting).* in [\d.]+ s: (.*)")
    assert net.text(taken.getsockname()) in line.group(1) and "in use" in line.group(1)


# ---- stopping ----

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("role", ["server", "client"])
def test_stop_when_idle(echo_link, role, number):
    """At once, with status 0, and the other side is told."""
    link = echo_link()
    net.echo_flow(link.entry, 1, 1000)
    daemon = getattr(link, role)
    daemon.signal(number)
    daemon.expect_exit(0, timeout=4)
    if role == "server":
        link.client.wait_log(r"reconnecting in [\d.]+ s: \S+", timeout=4)
    else:
        link.server.wait_log(r"session \d+: ended: \S+", timeout=4)


@pytest.mark.tsan
@pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
@pytest.mark.parametrize("role", ["server", "client"])
def test_drain(echo_link, role, route):
    """SIGTERM lets the flows end that there are; no new ones."""
    link = echo_link(route=route)
    daemon = getattr(link, role)
    with talk(link.entry) as conn:
        since = daemon.mark()
        daemon.signal(signal.SIGTERM)
        daemon.wait_log(r"(?i)drain|stopping|finish", since=since)
        for i in range(20):
            assert net.round_trip(conn, b"%d" % i) == b"%d" % i
        net.send_and_finish(conn, 1, 200_000)
        got = net.read_all(conn)
        assert got.end == "eof" and got.hash == net.stream_hash(1, 200_000)
    daemon.expect_exit(0, timeout=5)


@pytest.mark.parametrize("role", ["server", "client"])
def test_second_signal_stops_at_once(echo_link, role):
    link = echo_link()
    daemon = getattr(link, role)
    with talk(link.entry) as conn:
        daemon.signal(signal.SIGTERM)
        daemon.wait_log(r"(?i)drain|stopping|finish")
        assert daemon.alive()
        daemon.signal(signal.SIGTERM)
        daemon.wait(5)
        daemon.expected = {0, 1, -signal.SIGTERM}
        net.expect_rst(conn)


def test_server_restarted_politely(make_link, tcp_upstream):
    """R5: drained, closed, the client is back < 1 s after it listens, IN ports are free at once."""
    upstream = tcp_upstream(net.echo)
    link = make_link(client_args=["-r", 300])
    entries = [link.map("tcp", route, upstream.address) for route in ("OUT-ANY", "IN")]
    link.start()
    since = link.client.mark()
    link.server.stop()
    link.client.wait_log(r"reconnecting in ", since=since, count=2)
    link.start_server()
    begin = time.monotonic()
    link.wait_tunnels(since=since, again=True, timeout=20)
    assert time.monotonic() - begin < limit(3)
    for entry in entries:
        net.echo_flow(entry, 1, 1000)


# ---- connections accepted while the tunnel is down ----

def test_connection_waits_for_the_tunnel(echo_link):
    """Accepted during an outage, served when the server comes within 5 s."""
    link = echo_link(client_args=["-r", 300])
    link.server.stop()
    link.client.wait_log(r"reconnecting in ")
    with net.connect(link.entry) as conn:
        conn.sendall(b"patience")
        link.start_server()
        assert net.read_exactly(conn, 8) == b"patience"


@pytest.mark.long
def test_connection_does_not_wait_for_ever(echo_link):
    link = echo_link(start=False)
    link.start_client(ready=False)
    link.client.wait_log(r"reconnecting in ")
    begin = time.monotonic()
    with net.connect(link.entry) as conn:
        net.expect_rst(conn)
    assert 2 < time.monotonic() - begin < limit(15)


def test_wildcard_address_of_the_server(fleet, make_link, tcp_upstream, udp_upstream):
    """A server on 0.0.0.0 and listeners on 0.0.0.0 answer from the address that was written to."""
    tcp, udp = tcp_upstream(net.echo), udp_upstream()
    link = make_link(ip="0.0.0.0")
    entries = {}
    for route in ("OUT", "IN"):
        entries["tcp", route] = link.map("tcp", route, tcp.address)
        entries["udp", route] = link.map("udp", route, udp.address)
    link.start_server()
    link.dial = f"127.0.0.2:{link.address[1]}"
    link.start_client()
    assert link.client.wait_log(r"tunneling, server (127\.0\.0\.2:\d+)|\(server (127\.0\.0\.2:\d+)")
    for (proto, _), (_, port) in entries.items():
        for host in ("127.0.0.1", "127.0.0.3"):
            if proto == "tcp":
                net.echo_flow((host, port), 1, 1000)
            else:
                with net.UdpApplication((host, port)) as app:  # connected: hears only this host
                    assert app.ask(b"who?") == b"who?"


def test_ipv6_wildcard(make_link, udp_upstream):
    udp = udp_upstream(net.V6)
    link = make_link(ip="::")
    entry = link.map("udp", "IN", udp.address)
    link.start_server()
    link.dial = f"[::1]:{link.address[1]}"
    link.start_client()
    with net.UdpApplication(("::1", entry[1])) as app:
        assert app.ask(b"who?") == b"who?"


# ---- refusals ----

def test_wrong_password(fleet, tcp_upstream):
    """One try, the reason by name, then slowly; the right password elsewhere is not hindered."""
    upstream = tcp_upstream(net.echo)
    link = Link(fleet)
    entry = link.map("tcp", "OUT-ANY", upstream.address)
    link.start()
    wrong = log_password()
    mappings = ",".join(f"OUT^{net.free_port()}^ANY" for _ in range(5))
    client = fleet.role("client", "-a", net.text(link.address), "-w", 2, "-t", mappings,
                        password=wrong)
    line = client.wait_log(r"failed, next try in (\d+) s: (.*)")
    assert 30 <= int(line.group(1)) <= 120
    assert re.search(r"(?i)password", line.group(2))
    link.server.wait_log(r"session refused: .*(?i:password)")
    client.stop()
    # one per thread of the client at most, and not one per mapping
    assert 1 <= len(link.server.find_log(r"session refused")) <= 2
    assert wrong not in link.server.log()
    net.echo_flow(entry, 1, 1000)


@pytest.mark.parametrize("proto", PROTOS)
def test_no_default_upstream(fleet, proto):
    link = Link(fleet)
    link.start_server()
    client = fleet.role("client", "-a", net.text(link.address), "-" + proto[0],
                        f"OUT^{net.free_port()}^ANY", password=link.password)
    line = client.wait_log(r"failed, next try in (\d+) s: (.*)")
    assert int(line.group(1)) >= 30 and "upstream" in line.group(2)
    link.server.wait_log(r"session refused: .*upstream")


def test_one_bad_mapping_harms_no_other(make_link, fleet, tcp_upstream, stack):
    upstream = tcp_upstream(net.echo)
    taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    link = make_link()
    entry = link.map("tcp", "IN", upstream.address)
    link.map("tcp", "IN", upstream.address, entry=taken.getsockname())
    other = link.map("tcp", "OUT", upstream.address)
    link.start_server()
    link.start_client(ready=False)
    link.client.wait_log(r": tunneling", count=2)
    link.client.wait_log(r" in [\d.]+ s: .*in use")
    net.echo_flow(entry, 1, 1000)
    net.echo_flow(other, 1, 1000)


# ---- descriptors run out ----

@pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
def test_descriptors_exhausted(fleet, make_link, tcp_upstream, route):
    """Accepting pauses without a hot loop, flows that there are go on, then it recovers."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    upstream = tcp_upstream(net.echo)
    link = make_link()
    entry = link.map("tcp", route, upstream.address)
    plain_role = fleet.role
    limited = "client" if route == "OUT-ANY" else "server"

    def role(name, *args, **options):
        return plain_role(name, *args, **options, preexec=few if name == limited else None)
    fleet.role = role
    link.start()
    daemon = getattr(link, limited)
    assert resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[0] <= 64
    with talk(entry) as old:
        waiting = []
        try:
            for _ in range(100):
                conn = net.connect(entry)
                conn.sendall(b"x")
                waiting.append(conn)
            daemon.wait_log(r"(?i)descriptor|too many open files|accept")
            since, before = daemon.mark(), daemon.cpu_seconds()
            begin = time.monotonic()
            old.settimeout(limit(5))
            turns = 0
            while time.monotonic() - begin < 2:  # what is tested is its rest
                assert net.round_trip(old, b"x" * 100) == b"x" * 100
                turns += 1
                with pytest.raises((TimeoutError, socket.timeout)):
                    old.settimeout(0.25)
                    old.recv(1)
                old.settimeout(limit(5))
            assert daemon.cpu_seconds() - before < 0.5 * limit(1)
            assert len(daemon.lines) - since < 20, "the log must stay quiet"
        finally:
            for conn in waiting:
                conn.close()
        deadline = time.monotonic() + limit(20)
        while True:
            try:
                net.echo_flow(entry, 3, 1000, timeout=5)
                break
            except (OSError, AssertionError):
                assert time.monotonic() < deadline, "it does not accept again"
        assert net.round_trip(old, b"alive") == b"alive"


def test_nothing_is_left_behind(echo_link):
    """After many flows of every kind the descriptors are where they were."""
    def handler(conn):
        first = net.read_exactly(conn, 1)
        if first == b"r":
            net.reset(conn)
        elif first == b"e":
            net.echo(conn)
        else:
            net.read_all(conn)
    link = echo_link(handler=handler)
    net.connect(link.entry).close()
    before = {}
    for turn in range(2):
        for kind in (b"r", b"e", b"c") * 20:
            with net.connect(link.entry) as conn:
                conn.sendall(kind)
                if kind == b"r":
                    net.expect_rst(conn)
                elif kind == b"e":
                    conn.shutdown(socket.SHUT_WR)
                    assert net.read_all(conn).end == "eof"
        with talk_e(link.entry) as conn:  # behind all others
            for daemon in (link.server, link.client):
                deadline = time.monotonic() + limit(10)
                while True:
                    count = daemon.descriptors()
                    if turn == 0:
                        before.setdefault(daemon, count)
                    if count <= before[daemon] + 2:
                        break
                    assert time.monotonic() < deadline, (before[daemon], count)
                    assert net.round_trip(conn, b"y") == b"y"
                    before[daemon] = min(before[daemon], count) if turn == 0 else before[daemon]


def talk_e(entry):
    conn = net.connect(entry)
    conn.sendall(b"e")
    assert net.round_trip(conn, b"x") == b"x"
    return conn


# ---- timeouts of flows ----

def test_idle_flow_is_never_cut_by_default(echo_link):
    """The original cuts after its --tcp-timeout-ms; 0, the default here, is never."""
    link = echo_link(client_args=["--quic-timeout-ms", 1000])
    with talk(link.entry) as conn:
        conn.settimeout(2.5)
        with pytest.raises((TimeoutError, socket.timeout)):
            conn.recv(1)
        conn.settimeout(limit(10))
        assert net.round_trip(conn, b"x") == b"x"


@pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
def test_tcp_timeout(echo_link, route):
    """Asked for, an idle flow is reset; traffic in one direction alone keeps it."""
    link = echo_link(route=route, client_args=["--tcp-timeout-ms", 900],
                     server_args=["--tcp-timeout-ms", 900])
    with talk(link.entry) as conn, talk(link.entry) as idle:
        conn.settimeout(0.3)
        for _ in range(6):
            with pytest.raises((TimeoutError, socket.timeout)):
                conn.recv(1)
            conn.sendall(b"x")
            conn.settimeout(limit(5))
            assert conn.recv(1) == b"x"
            conn.settimeout(0.3)
        idle.settimeout(limit(10))
        assert net.read_all(idle).end == "rst"


def test_half_closed_flow_lives(echo_link):
    """Half-closed and silent for longer than every timeout of the connection."""
    def handler(conn):
        assert net.read_all(conn).size == 4
        conn.settimeout(2.5)
        assert conn.recv(1) == b""
        net.threading.Event().wait(2.5)
        conn.sendall(b"late answer")
    link = echo_link(handler=handler, client_args=["--quic-timeout-ms", 1000])
    with net.connect(link.entry) as conn:
        conn.sendall(b"ask!")
        conn.shutdown(socket.SHUT_WR)
        got = net.read_all(conn)
    assert got.end == "eof" and got.head == b"late answer"
