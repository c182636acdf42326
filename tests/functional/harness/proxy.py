# SPDX-License-Identifier: MIT
"""Clients of a forwarding port, SOCKS5 (RFC 1928) and HTTP CONNECT, and what such a port must do
whoever the server is (test_dynamic.py: rstund, test_interop.py: the original)."""
import base64
import shutil
import socket
import struct
import subprocess

import pytest

from . import net
from .daemon import limit
from .link import Link

KINDS = ("SOCKS5", "HTTP")
GREETING = b"\x05\x01\x00"
SOCKS_OK = b"\x05\x00\x00\x01" + bytes(6)
HTTP_OK = b"HTTP/1.1 200 Connection established\r\n\r\n"
CURL = {"SOCKS5": ["--socks5-hostname"], "HTTP": ["-p", "--proxy"]}
MIB = 1 << 20

kinds = pytest.mark.parametrize("kind", KINDS)


def socks_request(host, port):
    """CONNECT. A name goes as a name."""
    if ":" in host:
        address = b"\x04" + socket.inet_pton(socket.AF_INET6, host)
    elif host.replace(".", "").isdigit():
        address = b"\x01" + socket.inet_pton(socket.AF_INET, host)
    else:
        address = bytes([3, len(host)]) + host.encode()
    return b"\x05\x01\x00" + address + struct.pack(">H", port)


def http_request(host, port, auth=None):
    target = net.text((host, port))
    field = ""
    if auth is not None:
        field = f"Proxy-Authorization: Basic {base64.b64encode(auth.encode()).decode()}\r\n"
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{field}\r\n".encode()


def socks_login(auth):
    """RFC 1929."""
    user, password = (part.encode() for part in auth.split(":", 1))
    return b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password


def dialogue(kind, target):
    """All that a client says who does not wait for answers, and all that it is answered."""
    if kind == "HTTP":
        return http_request(*target), HTTP_OK
    return GREETING + socks_request(*target), b"\x05\x00" + SOCKS_OK


def ask(entry, kind, target, early=b"", auth=None):
    """A connection that has asked for the target and has no answer yet; `early` goes behind the
    request, in one segment with it. `auth` is USER:PASSWORD, which must be right."""
    conn = net.connect(entry)
    try:
        if kind == "HTTP":
            conn.sendall(http_request(*target, auth) + early)
        elif auth is not None:
            conn.sendall(b"\x05\x02\x00\x02")
            assert net.read_exactly(conn, 2) == b"\x05\x02"
            conn.sendall(socks_login(auth))
            assert net.read_exactly(conn, 2) == b"\x01\x00"
            conn.sendall(socks_request(*target) + early)
        else:
            conn.sendall(GREETING)
            assert net.read_exactly(conn, 2) == b"\x05\x00"
            conn.sendall(socks_request(*target) + early)
    except BaseException:
        conn.close()
        raise
    return conn


def answered(kind):
    return HTTP_OK if kind == "HTTP" else SOCKS_OK


def join(entry, kind, target, early=b"", auth=None):
    """A connection to the target."""
    conn = ask(entry, kind, target, early, auth)
    try:
        got = net.read_exactly(conn, len(answered(kind)))
        assert got == answered(kind), got
    except BaseException:
        conn.close()
        raise
    return conn


def echo_flow(entry, kind, target, seed, size, auth=None):
    """net.echo_flow through a forwarding port."""
    with join(entry, kind, target, auth=auth) as conn:
        sender = net.in_thread(net.send_and_finish, conn, seed, size)
        got = net.read_all(conn)
        sender.join()
    assert got.end == "eof" and got.size == size, f"{got} of {size}"
    assert got.hash == net.stream_hash(seed, size)


def curl(kind, entry, url, auth=None):
    """A finished curl that went through a forwarding port."""
    user = ["--proxy-user", auth] if auth is not None else []
    return subprocess.run(
        ["curl", "-sS", "--fail", *CURL[kind], net.text(entry), *user, "--noproxy", "", url],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=limit(60), check=False)


def web(conn):
    """Answers one request of HTTP with 5 MiB."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += conn.recv(net.BLOCK)
    conn.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    net.send_and_finish(conn, 7, 5 * MIB)
    return net.read_all(conn)


class ReverseLink(Link):
    """Its forwarding ports are the server's: what they reach is what the client permits."""

    def __init__(self, fleet, permits="*:*", client_args=(), **options):
        super().__init__(fleet, client_args=[*client_args, "--permit-remote-open", permits],
                         **options)

    def dynamic(self, kind):
        entry = (self.ip, net.free_port())
        self._entries.append(("tcp", "IN", entry))
        self.mappings["tcp"].append(f"IN^{kind}^{net.text(entry)}")
        return entry


needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")


def refusal(entry, kind, target, auth=None):
    """What one is told who is not connected: the code of SOCKS5 or the status of HTTP."""
    with ask(entry, kind, target, auth=auth) as conn:
        got = net.read_all(conn)
    assert got.end == "eof", (got, got.head)
    if kind == "HTTP":
        assert got.head.startswith(b"HTTP/1.1 "), got.head
        return int(got.head.split()[1])
    assert got.head[:1] == b"\x05" and got.size == 10, got.head
    return got.head[1]


class ProxyTable:
    @kinds
    @pytest.mark.parametrize("host", [net.V4, net.V6, "localhost"])
    def test_bytes(self, make_link, tcp_upstream, kind, host):
        """An address, or a name that the server resolves."""
        upstream = tcp_upstream(net.echo, net.V4 if host == "localhost" else host)
        target = (host, upstream.address[1])
        link = make_link()
        entry = link.dynamic(kind)
        link.start()
        echo_flow(entry, kind, target, seed=1, size=1)
        echo_flow(entry, kind, target, seed=2, size=10 * MIB)
        got = [upstream.result() for _ in range(2)]
        assert sorted(g.size for g in got) == [1, 10 * MIB]
        assert {g.end for g in got} == {"eof"}

    @kinds
    def test_server_speaks_first(self, make_link, tcp_upstream, kind):
        upstream = tcp_upstream(net.banner(b"220 welcome\r\n", b"you said: "))
        link = make_link()
        entry = link.dynamic(kind)
        link.start()
        with join(entry, kind, upstream.address) as conn:
            assert net.read_exactly(conn, 13) == b"220 welcome\r\n"
            conn.sendall(b"hello")
            assert net.read_exactly(conn, 15) == b"you said: hello"

    @kinds
    @pytest.mark.parametrize("size", [1, 4000, 300_000])
    def test_a_client_that_does_not_wait(self, make_link, tcp_upstream, kind, size):
        """It says everything at once, bytes of the flow and its end too."""
        upstream = tcp_upstream(net.echo)
        link = make_link()
        entry = link.dynamic(kind)
        link.start()
        question, answer = dialogue(kind, upstream.address)
        data = b"".join(net.stream(3, size))
        with net.connect(entry) as conn:
            sender = net.in_thread(lambda: (conn.sendall(question + data),
                                            conn.shutdown(socket.SHUT_WR)))
            assert net.read_exactly(conn, len(answer)) == answer
            got = net.read_all(conn)
            sender.join()
        assert got.end == "eof" and got.hash == net.stream_hash(3, size), got

    @kinds
    def test_client_half_closes_first(self, make_link, tcp_upstream, kind):
        def handler(conn):
            got = net.read_all(conn)
            net.send_stream(conn, seed=5, size=2 * MIB)
            return got
        upstream = tcp_upstream(handler)
        link = make_link()
        entry = link.dynamic(kind)
        link.start()
        with join(entry, kind, upstream.address) as conn:
            net.send_and_finish(conn, seed=4, size=100_000)
            got = net.read_all(conn)
        assert got.end == "eof" and got.hash == net.stream_hash(5, 2 * MIB), got
        request = upstream.result()
        assert request.end == "eof" and request.hash == net.stream_hash(4, 100_000)

    @kinds
    def test_server_half_closes_first(self, make_link, tcp_upstream, kind):
        def handler(conn):
            conn.shutdown(socket.SHUT_WR)
            return net.read_all(conn)
        upstream = tcp_upstream(handler)
        link = make_link()
        entry = link.dynamic(kind)
        link.start()
        with join(entry, kind, upstream.address) as conn:
            assert net.read_all(conn).end == "eof"
            net.send_and_finish(conn, seed=6, size=2 * MIB)
            got = upstream.result()
        assert got.end == "eof" and got.hash == net.stream_hash(6, 2 * MIB), got

    @kinds
    def test_refused_target(self, make_link, kind):
        """The answer has been given: what is left is a reset, never an end as if all were well."""
        link = make_link()
        entry = link.dynamic(kind)
        link.start()
        for host in (net.V4, net.V6, "localhost"):
            with join(entry, kind, (host, net.free_port())) as conn:
                got = net.expect_rst(conn, exact=not link.original)
                assert got.size == 0, got

    @kinds
    def test_many_at_once(self, make_link, tcp_upstream, kind):
        """300, each to one of three targets."""
        upstreams = [tcp_upstream(net.echo) for _ in range(3)]
        link = make_link()
        entry = link.dynamic(kind)
        link.start()
        conns = [join(entry, kind, upstreams[i % 3].address, b"%07d" % i) for i in range(300)]
        for i, conn in enumerate(conns):
            assert net.read_exactly(conn, 7) == b"%07d" % i
        for conn in conns:
            conn.close()
        assert [upstream.accepted for upstream in upstreams] == [100, 100, 100]

    @needs_curl
    @kinds
    def test_curl(self, make_link, tcp_upstream, kind):
        upstream = tcp_upstream(web)
        link = make_link()
        entry = link.dynamic(kind)
        link.start()
        done = curl(kind, entry, f"http://localhost:{upstream.address[1]}/")
        assert done.returncode == 0, done.stderr
        assert done.stdout == b"".join(net.stream(7, 5 * MIB))


class ReverseTable(ProxyTable):
    """The same through a port of the server's, whoever that is."""
    link_kind = ReverseLink

    @kinds
    def test_refused_target(self, make_link, tcp_upstream, kind):
        """"Connected" is said when it is; otherwise why not."""
        upstream = tcp_upstream(net.echo)
        link = make_link()
        entry = link.dynamic(kind)
        link.start()
        refused, unknown = {"SOCKS5": (5, 4), "HTTP": (502, 502)}[kind]
        for host in (net.V4, net.V6, "localhost"):
            assert refusal(entry, kind, (host, net.free_port())) == refused
        assert refusal(entry, kind, ("nowhere.invalid", 80)) == unknown
        echo_flow(entry, kind, upstream.address, 1, 1000)
