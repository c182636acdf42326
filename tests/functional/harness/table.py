# SPDX-License-Identifier: MIT
"""The table: what each kind of mapping must do, whoever is on its sides.

Subclasses name the sides (test_table.py: rstund on both; test_interop.py: the original in turn).
A row that the original cannot do carries original_cannot with the reason, WIRE.md's "not possible
with a Rust far side". Where the original is on a side, an end of a flow may come as EOF or RST:
it turns one into the other, so there only the end itself is asserted.
"""
import socket

import pytest

from . import net
from .daemon import limit
from .link import ROUTES

routes = pytest.mark.parametrize("route", ROUTES)
ips = pytest.mark.parametrize("ip", [net.V4, net.V6])
MIB = 1 << 20


def opener(sides, params):
    return sides["client" if params["route"].startswith("OUT") else "server"]


def acceptor(sides, params):
    return sides["server" if params["route"].startswith("OUT") else "client"]


def original_cannot(where, why):
    return pytest.mark.original_cannot(where=where, why=why)


server_first = original_cannot(
    lambda sides, params: opener(sides, params) == "rstun",
    "it announces a stream with its first byte: a far side that speaks first is never dialled")


class TcpTable:
    @routes
    @ips
    def test_echo(self, make_link, tcp_upstream, route, ip):
        upstream = tcp_upstream(net.echo, ip)
        link = make_link(ip=ip)
        entry = link.map("tcp", route, upstream.address)
        link.start()
        net.echo_flow(entry, seed=1, size=1)
        net.echo_flow(entry, seed=2, size=300_000)
        got = [upstream.result() for _ in range(2)]
        assert sorted(g.size for g in got) == [1, 300_000]
        assert {g.end for g in got} == {"eof"}

    @routes
    @server_first
    def test_server_speaks_first(self, make_link, tcp_upstream, route):
        upstream = tcp_upstream(net.banner(b"220 welcome\r\n", b"you said: "))
        link = make_link()
        entry = link.map("tcp", route, upstream.address)
        link.start()
        with net.connect(entry) as conn:
            assert net.read_exactly(conn, 13) == b"220 welcome\r\n"
            conn.sendall(b"hello")
            assert net.read_exactly(conn, 15) == b"you said: hello"

    @routes
    def test_client_half_closes_first(self, make_link, tcp_upstream, route):
        """The application ends its side, then the answer comes: a request and a long reply."""
        def handler(conn):
            got = net.read_all(conn)
            net.send_stream(conn, seed=4, size=2 * MIB)
            return got
        upstream = tcp_upstream(handler)
        link = make_link()
        entry = link.map("tcp", route, upstream.address)
        link.start()
        with net.connect(entry) as conn:
            net.send_and_finish(conn, seed=3, size=100_000)
            got = net.read_all(conn)
        assert got.end == "eof" and got.hash == net.stream_hash(4, 2 * MIB), got
        request = upstream.result()
        assert request.end == "eof" and request.hash == net.stream_hash(3, 100_000)

    @routes
    def test_server_half_closes_first(self, make_link, tcp_upstream, route):
        """The upstream ends its side after one byte; the application goes on sending."""
        def handler(conn):
            net.read_exactly(conn, 1)
            conn.shutdown(socket.SHUT_WR)
            return net.read_all(conn)
        upstream = tcp_upstream(handler)
        link = make_link()
        entry = link.map("tcp", route, upstream.address)
        link.start()
        with net.connect(entry) as conn:
            conn.sendall(b"x")
            assert net.read_all(conn).end == "eof"
            net.send_and_finish(conn, seed=5, size=2 * MIB)
            got = upstream.result()
        assert got.end == "eof" and got.hash == net.stream_hash(5, 2 * MIB), got

    @routes
    def test_reset_by_the_application(self, make_link, tcp_upstream, route):
        def handler(conn):
            conn.sendall(net.read_exactly(conn, 5))
            return net.expect_rst(conn, exact=not link.original)
        upstream = tcp_upstream(handler)
        link = make_link()
        entry = link.map("tcp", route, upstream.address)
        link.start()
        conn = net.connect(entry)
        assert net.round_trip(conn, b"ready") == b"ready"
        net.reset(conn)
        result = upstream.result()
        assert not isinstance(result, BaseException), result

    @routes
    def test_reset_by_the_upstream(self, make_link, tcp_upstream, route):
        upstream = tcp_upstream(lambda conn: (net.read_exactly(conn, 5), net.reset(conn)))
        link = make_link()
        entry = link.map("tcp", route, upstream.address)
        link.start()
        with net.connect(entry) as conn:
            conn.sendall(b"ready")
            net.expect_rst(conn, exact=not link.original)

    @routes
    def test_reset_amid_a_transfer(self, make_link, tcp_upstream, route):
        """What was sent before the reset may or may not arrive; the end must be a reset."""
        def handler(conn):
            net.send_stream(conn, seed=6, size=200_000)
            net.read_exactly(conn, 1)
            net.reset(conn)
        upstream = tcp_upstream(handler)
        link = make_link()
        entry = link.map("tcp", route, upstream.address)
        link.start()
        with net.connect(entry) as conn:
            conn.sendall(b"x" if link.original else b"")
            conn.sendall(b"y")
            got = net.expect_rst(conn, exact=not link.original)
            assert got.size <= 200_000

    @routes
    def test_refused(self, make_link, route):
        link = make_link()
        entry = link.map("tcp", route, (net.V4, net.free_port()))
        link.start()
        try:
            conn = net.connect(entry)
        except ConnectionResetError:
            return  # the reset came before connect() had returned
        with conn:
            try:
                conn.sendall(b"anybody?")
            except (BrokenPipeError, ConnectionResetError):
                return  # the reset came before the first byte left
            net.expect_rst(conn, exact=not link.original)

    @routes
    @pytest.mark.long
    def test_unreachable(self, make_link, stack, route):
        """An upstream that does not answer: reset at the connect limit of 5 s."""
        full = net.FullListener()
        stack.callback(full.close)
        link = make_link()
        entry = link.map("tcp", route, full.address)
        link.start()
        with net.connect(entry) as conn:
            conn.sendall(b"anybody?")
            net.expect_rst(conn, exact=not link.original)

    @pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
    def test_large_transfer_up(self, make_link, tcp_upstream, route):
        upstream = tcp_upstream(net.sink)
        link = make_link()
        entry = link.map("tcp", route, upstream.address)
        link.start()
        with net.connect(entry) as conn:
            net.send_and_finish(conn, seed=7, size=64 * MIB)
            got = upstream.result(timeout=120)
            assert got.end == "eof" and got.hash == net.stream_hash(7, 64 * MIB), got
            assert net.read_all(conn).end == "eof"

    @pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
    def test_large_transfer_down(self, make_link, tcp_upstream, route):
        def handler(conn):
            net.read_exactly(conn, 1)
            return net.source(8, 64 * MIB)(conn)
        upstream = tcp_upstream(handler)
        link = make_link()
        entry = link.map("tcp", route, upstream.address)
        link.start()
        with net.connect(entry, timeout=120) as conn:
            conn.sendall(b"x")
            got = net.read_all(conn)
        assert got.end == "eof" and got.hash == net.stream_hash(8, 64 * MIB), got

    @pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
    def test_parallel_flows(self, make_link, tcp_upstream, route):
        upstream = tcp_upstream(net.echo)
        link = make_link()
        entry = link.map("tcp", route, upstream.address)
        link.start()
        net.all_of([net.in_thread(net.echo_flow, entry, 1000 + i, 40_000 + 997 * i)
                    for i in range(100)])

    @pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
    def test_slow_reader(self, make_link, tcp_upstream, route):
        """An upstream that does not read stops its sender; others run on; nothing is lost."""
        size = 96 * MIB
        upstream_may_read = net.threading.Event()

        def handler(conn):
            if net.read_exactly(conn, 1) == b"f":
                return net.echo(conn)
            assert upstream_may_read.wait(limit(60))
            return net.read_all(conn)
        upstream = tcp_upstream(handler)
        link = make_link()
        entry = link.map("tcp", route, upstream.address)
        link.start()
        daemons = [d for d in (link.server, link.client) if d and not d.original]
        before = [d.rss_kib() for d in daemons]
        with net.connect(entry, timeout=120) as slow, net.connect(entry) as fast:
            slow.sendall(b"s")
            blocks = net.stream(9, size)
            left = memoryview(b"")
            sent = 0
            slow.settimeout(limit(0.7))
            try:  # until nothing more is taken
                for block in blocks:
                    left = memoryview(block)
                    while left:
                        n = slow.send(left)
                        sent += n
                        left = left[n:]
            except (TimeoutError, socket.timeout):
                pass
            assert sent < size, "the sender was never stopped"
            fast.sendall(b"f")
            sender = net.in_thread(net.send_and_finish, fast, 10, 8 * MIB)
            got = net.read_all(fast)
            sender.join()
            assert got.hash == net.stream_hash(10, 8 * MIB)
            for daemon, was in zip(daemons, before):
                assert daemon.rss_kib() - was < 2 * 16 * 1024 * (3 if limit(1) > 1 else 1), \
                    f"{daemon.name} grew from {was} to {daemon.rss_kib()} KiB"
            upstream_may_read.set()
            slow.settimeout(limit(60))
            slow.sendall(left)
            for block in blocks:
                slow.sendall(block)
            slow.shutdown(socket.SHUT_WR)
            results = [upstream.result(60) for _ in range(2)]
        assert net.stream_hash(9, size) in [r.hash for r in results]

    @pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
    def test_tiny_messages(self, make_link, tcp_upstream, route):
        """Many small exchanges on one flow: each arrives by itself, none waits for more."""
        upstream = tcp_upstream(net.echo)
        link = make_link()
        entry = link.map("tcp", route, upstream.address)
        link.start()
        with net.connect(entry) as conn:
            for i in range(300):
                message = b"%06d" % i
                assert net.round_trip(conn, message) == message

    def test_all_mappings_at_once(self, make_link, tcp_upstream, udp_upstream):
        tcp, udp = tcp_upstream(net.echo), udp_upstream()
        link = make_link()
        tcp_entries = [link.map("tcp", route, tcp.address) for route in ROUTES]
        udp_entries = [link.map("udp", route, udp.address) for route in ROUTES]
        link.start()
        flows = [net.in_thread(net.echo_flow, entry, i, 100_000)
                 for i, entry in enumerate(tcp_entries * 3)]
        for entry in udp_entries:
            with net.UdpApplication(entry) as app:
                assert app.ask(b"question") == b"question"
        net.all_of(flows)


SIZES = [0, 1, 1200, 1472, 1500, 1501, 9000, 65507]


class UdpTable:
    @routes
    @ips
    def test_echo(self, make_link, udp_upstream, route, ip):
        upstream = udp_upstream(ip)
        link = make_link(ip=ip)
        entry = link.map("udp", route, upstream.address)
        link.start()
        with net.UdpApplication(entry) as app:
            for i in range(20):
                data = net.datagram(i, 100 + i)
                assert app.ask(data) == data
        assert len(set(upstream.sources())) == 1

    @routes
    @pytest.mark.parametrize("size", SIZES)
    @original_cannot(lambda sides, params: params["size"] > 1500
                     and "rstun" == opener(sides, params),
                     "it cuts what it reads from its own socket at 1500 bytes")
    def test_sizes_up(self, make_link, udp_upstream, route, size):
        """From the application to the upstream; the answer is a short hash."""
        upstream = udp_upstream(answer=lambda data: [b"%d " % len(data)
                                                     + net.hashlib.sha256(data).digest()])
        link = make_link()
        entry = link.map("udp", route, upstream.address)
        link.start()
        data = net.datagram(11, size)
        with net.UdpApplication(entry) as app:
            if link.original and size > 1500:
                app.send(data)  # dropped and counted, and the flow lives on
                assert app.ask(b"next").startswith(b"4 ")
                assert [len(d) for d, _ in upstream.received] == [4]
            else:
                assert app.ask(data) == b"%d " % size + net.hashlib.sha256(data).digest()

    @routes
    @pytest.mark.parametrize("size", SIZES)
    @original_cannot(lambda sides, params: params["size"] > 1500
                     and "rstun" == acceptor(sides, params),
                     "it cuts what it reads from its own socket at 1500 bytes")
    def test_sizes_down(self, make_link, udp_upstream, route, size):
        """From the upstream to the application."""
        reply = net.datagram(12, size)
        upstream = udp_upstream(answer=lambda data: [reply] if data == b"long" else [data])
        link = make_link()
        entry = link.map("udp", route, upstream.address)
        link.start()
        with net.UdpApplication(entry) as app:
            assert app.ask(b"one") == b"one"
            if link.original and size > 1500:
                app.send(b"long")
                assert app.ask(b"next") == b"next"
            else:
                assert app.ask(b"long") == reply

    @pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
    def test_many_sources(self, make_link, udp_upstream, stack, route):
        """50 applications at once: each gets its own answers, each has a source port of its own."""
        upstream = udp_upstream()
        link = make_link()
        entry = link.map("udp", route, upstream.address)
        link.start()
        apps = [stack.enter_context(net.UdpApplication(entry)) for _ in range(50)]
        # Right after the login few flows fit (the peer's allowance is on its way): not the point.
        assert apps[0].ask(b"0 from 0") == b"0 from 0"
        for turn in range(3):
            for i, app in enumerate(apps):
                app.send(b"%d from %d" % (turn, i))
            for i, app in enumerate(apps):
                assert app.receive() == b"%d from %d" % (turn, i)
        by_source = {}
        for data, source in upstream.received:
            by_source.setdefault(source, set()).add(data.split()[2])
        assert len(by_source) == 50
        assert all(len(v) == 1 for v in by_source.values())

    @pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
    @original_cannot(lambda sides, params: "rstun" in sides.values(),
                     "it drops what its channels of 4 packets do not hold")
    def test_several_answers(self, make_link, udp_upstream, route):
        """Boundaries are kept: one question, thirty answers of different sizes, in order."""
        answers = [net.datagram(i, 37 * i) for i in range(30)]
        upstream = udp_upstream(answer=lambda data: answers)
        link = make_link()
        entry = link.map("udp", route, upstream.address)
        link.start()
        with net.UdpApplication(entry) as app:
            app.send(b"all")
            assert [app.receive() for _ in answers] == answers

    @pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
    @original_cannot(lambda sides, params: "rstun" in sides.values(),
                     "each direction expires alone there: F6 in full holds between two rstunds")
    def test_source_port_is_stable(self, make_link, udp_upstream, route):
        """Traffic in one direction only, longer than the timeout: the flow keeps its port."""
        upstream = udp_upstream(answer=lambda data: [] if data.startswith(b"mute") else [data])
        timeout = 600
        link = make_link(server_args=["--udp-timeout-ms", timeout],
                         client_args=["--udp-timeout-ms", timeout])
        entry = link.map("udp", route, upstream.address)
        link.start()
        with net.UdpApplication(entry) as app:
            assert app.ask(b"one") == b"one"
            for i in range(5):
                app.expect_nothing(0.2)
                app.send(b"mute %d" % i)
            assert app.ask(b"two") == b"two"
        assert len(set(upstream.sources())) == 1

    @pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
    def test_flow_after_its_expiry(self, make_link, udp_upstream, route):
        """After the timeout the flow is gone; the next datagram begins another one."""
        upstream = udp_upstream()
        link = make_link(server_args=["--udp-timeout-ms", 300],
                         client_args=["--udp-timeout-ms", 300])
        entry = link.map("udp", route, upstream.address)
        link.start()
        with net.UdpApplication(entry) as app:
            assert app.ask(b"one") == b"one"
            app.expect_nothing(limit(1.2))
            assert app.ask(b"two") == b"two"
        if not link.original and link.server:
            assert len(set(upstream.sources())) == 2

    @pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
    def test_refused_upstream(self, make_link, udp_upstream, route):
        """Nobody listens at first: datagrams vanish, nothing breaks, later ones arrive."""
        port = net.free_port()
        link = make_link(server_args=["--udp-timeout-ms", 500],
                         client_args=["--udp-timeout-ms", 500])
        entry = link.map("udp", route, (net.V4, port))
        link.start()
        with net.UdpApplication(entry) as app:
            app.send(b"lost")
            app.expect_nothing(limit(0.3))
            udp_upstream(port=port)
            app.socket.settimeout(limit(0.7))
            for _ in range(20):
                try:
                    assert app.ask(b"found") == b"found"
                    break
                except (TimeoutError, socket.timeout):
                    continue
            else:
                raise AssertionError("no answer after the upstream came up")
