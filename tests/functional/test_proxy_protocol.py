# SPDX-License-Identifier: MIT
"""The header of the PROXY protocol v2: before what a server sends to its --tcp-upstream it names
the client, before what an IN mapping accepts it names who connected."""
import socket
import struct

import pytest

from harness import net
from harness.daemon import log_password
from test_dynamic import join

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def read_header(conn):
    """("192.0.2.1", 1234), ("198.51.100.1", 80): source and destination."""
    head = net.read_exactly(conn, 16)
    assert head[:12] == SIGNATURE
    command, family, size = struct.unpack(">BBH", head[12:])
    assert command == 0x21
    body = net.read_exactly(conn, size)
    width, kind = {0x11: (4, socket.AF_INET), 0x21: (16, socket.AF_INET6)}[family]
    assert size == 2 * width + 4
    ports = struct.unpack(">HH", body[2 * width:])
    return tuple((socket.inet_ntop(kind, body[i * width:(i + 1) * width]), ports[i])
                 for i in range(2))


def proxied(handler):
    """For an upstream: the header, then whatever the handler returns."""
    return lambda conn: (read_header(conn), handler(conn))


class Server:
    """A server and a client within one daemon."""

    def __init__(self, daemon, control, ip=net.V4):
        self.control, self.ip = control, ip
        self.address = (ip, net.free_port())
        self.login = {"password": log_password()}
        daemon.process.secrets.append(self.login["password"])

    def start(self, **params):
        self.control.call("server.add", name="front", addr=net.text(self.address), **self.login,
                          **params)
        self.control.call("client.add", name="home", server_addr=net.text(self.address),
                          **self.login)
        return self

    def map(self, spec, **params):
        """`spec` with {} where it listens; returns the address."""
        entry = (self.ip, net.free_port())
        self.control.call("mapping.add", spec=spec.format(net.text(entry)), wait_ms=10000,
                          **params)
        return entry

    def peer(self):
        """The client of the one session, as the server sees it."""
        session, = self.control.call("session.list")["sessions"]
        host, port = session["remote"].rsplit(":", 1)
        return host.strip("[]"), int(port)


@pytest.fixture
def server(daemon, control):
    return Server(daemon, control)


def start_out(server, upstream, **params):
    return server.start(tcp_upstream=net.text(upstream.address), proxy_protocol="v2", **params)


# ---- toward the server's upstream ----

@pytest.mark.parametrize("ip", [net.V4, net.V6])
def test_upstream(daemon, control, tcp_upstream, ip):
    upstream = tcp_upstream(proxied(net.echo), ip)
    server = start_out(Server(daemon, control, ip), upstream)
    entry = server.map("OUT^{}^ANY")
    for seed in range(3):
        net.echo_flow(entry, seed, 300000)
        header, got = upstream.result()
        assert header == (server.peer(), server.address)
        assert got.size == 300000
    # The header is no payload.
    session, = control.call("session.list")["sessions"]
    assert session["payload_in_bytes"] == session["payload_out_bytes"] == 900000


def test_server_speaks_first(server, tcp_upstream):
    """It does so when it has read the header, and the application has sent nothing yet."""
    upstream = tcp_upstream(proxied(net.banner(b"220 welcome\r\n", b"you said: ")))
    with net.connect(start_out(server, upstream).map("OUT^{}^ANY")) as conn:
        assert net.read_exactly(conn, 13) == b"220 welcome\r\n"
        conn.sendall(b"helo")
        assert net.read_exactly(conn, 14) == b"you said: helo"


def test_half_close(server, tcp_upstream):
    """An application that only listens."""
    upstream = tcp_upstream(proxied(lambda conn: (conn.recv(1), conn.sendall(b"bye"))))
    with net.connect(start_out(server, upstream).map("OUT^{}^ANY")) as conn:
        conn.shutdown(socket.SHUT_WR)
        assert conn.recv(10) == b"bye"
        assert conn.recv(10) == b""
    assert upstream.result()[1][0] == b""


def test_unix_upstream(server, stack, tmp_path):
    upstream = net.UnixUpstream(proxied(net.echo), str(tmp_path / "upstream"))
    stack.callback(upstream.close)
    net.echo_flow(start_out(server, upstream).map("OUT^{}^ANY"), 1, 100000)
    assert upstream.result()[0] == (server.peer(), server.address)


def test_targets_of_a_client(server, tcp_upstream):
    """Only the upstream that the server names expects a header, however a client names it."""
    upstream, other = tcp_upstream(proxied(net.echo)), tcp_upstream(net.echo)
    start_out(server, upstream)
    net.echo_flow(server.map(f"OUT^{{}}^{net.text(other.address)}"), 1, 1000)
    for seed, host in enumerate(("127.0.0.1", "0.0.0.0", "localhost")):
        net.echo_flow(server.map(f"OUT^{{}}^{host}:{upstream.address[1]}"), seed, 1000)
        assert upstream.result()[0][1] == server.address
    with join(server.map("OUT^{}^SOCKS5"), "SOCKS5", other.address) as conn:
        conn.sendall(b"x")
        assert conn.recv(1) == b"x"


def test_udp_has_none(server, tcp_upstream, udp_upstream):
    udp = udp_upstream()
    start_out(server, tcp_upstream(net.sink), udp_upstream=net.text(udp.address))
    entry = server.map("OUT^{}^ANY", proto="udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as conn:
        conn.settimeout(30)
        conn.sendto(b"datagram", entry)
        assert conn.recv(100) == b"datagram"
    assert [data for data, _ in udp.received] == [b"datagram"]


def test_explain(daemon, server, tcp_upstream):
    """The server dials it only to see whether that is possible: nobody is behind this one."""
    upstream = tcp_upstream(lambda conn: (net.read_exactly(conn, 16), conn.recv(1)))
    start_out(server, upstream).map("OUT^{}^ANY", name="web")
    daemon.ctl("explain", "web", status=0)
    assert upstream.result() == (SIGNATURE + b"\x20\0\0\0", b"")


def test_changed_while_it_runs(server, control, tcp_upstream):
    upstream = tcp_upstream(lambda conn: (net.read_exactly(conn, 8), net.read_all(conn))[0])
    start_out(server, upstream)
    assert control.call("server.get", name="front")["config"]["proxy_protocol"] == "v2"
    for option, head in (("off", b"payload!"), ("v2", SIGNATURE[:8])):
        control.call("server.set", name="front", proxy_protocol=option)
        for _ in range(2000):
            if control.call("server.get", name="front")["runtime"]["state"] == "listening":
                break
        with net.connect(server.map("OUT^{}^ANY")) as conn:
            conn.sendall(b"payload!")
            conn.shutdown(socket.SHUT_WR)
            assert upstream.result() == head


# ---- toward the client's target ----

@pytest.mark.parametrize("ip", [net.V4, net.V6])
def test_in(daemon, control, tcp_upstream, ip):
    """The target of a listed port is told who connected; any other is not."""
    server, plain = Server(daemon, control, ip), tcp_upstream(net.echo, ip)
    entry = (ip, net.free_port())
    upstream = tcp_upstream(proxied(net.echo), ip)
    server.start(proxy_protocol_in=["1", str(entry[1])])
    control.call("mapping.add", spec=f"IN^{net.text(upstream.address)}^{net.text(entry)}",
                 wait_ms=10000)
    net.echo_flow(server.map(f"IN^{net.text(plain.address)}^{{}}"), 1, 100000)
    for seed in range(3):
        with net.connect(entry) as conn:
            source = conn.getsockname()[:2]
            net.send_and_finish(conn, seed, 100000)
            assert net.read_all(conn).hash == net.stream_hash(seed, 100000)
        assert upstream.result()[0] == (source, entry)


def test_in_server_speaks_first(server, control, tcp_upstream):
    upstream = tcp_upstream(proxied(net.banner(b"220 welcome\r\n", b"you said: ")))
    entry = (net.V4, net.free_port())
    server.start(proxy_protocol_in=[str(entry[1])])
    control.call("mapping.add", spec=f"IN^{net.text(upstream.address)}^{net.text(entry)}",
                 wait_ms=10000)
    with net.connect(entry) as conn:
        assert net.read_exactly(conn, 13) == b"220 welcome\r\n"


def test_in_udp_has_none(server, control, udp_upstream):
    udp, entry = udp_upstream(), (net.V4, net.free_port())
    server.start(proxy_protocol_in=[str(entry[1])])
    control.call("mapping.add", spec=f"IN^{net.text(udp.address)}^{net.text(entry)}", proto="udp",
                 wait_ms=10000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as conn:
        conn.settimeout(30)
        conn.sendto(b"datagram", entry)
        assert conn.recv(100) == b"datagram"
    assert [data for data, _ in udp.received] == [b"datagram"]


# ---- where it is said ----

def test_command_line(make_link, tcp_upstream):
    """A role of its own, and an IN mapping beside OUT."""
    upstream = tcp_upstream(proxied(net.echo))
    entry = (net.V4, net.free_port())
    link = make_link(server_args=["--proxy-protocol", "v2",
                                  "--proxy-protocol-in", f"1,{entry[1]}"])
    out = link.map("tcp", "OUT-ANY", upstream.address)
    link.map("tcp", "IN", upstream.address, entry)
    link.start()
    for address in (out, entry):
        net.echo_flow(address, 1, 100000)


def test_configuration_file(make_daemon, fleet, tmp_path, tcp_upstream):
    upstream = tcp_upstream(proxied(net.echo))
    address, entry = (f"127.0.0.1:{net.free_port()}" for _ in range(2))
    password, conf = fleet.password_file("secret"), tmp_path / "conf"
    conf.write_text(f"[server front]\naddr = {address}\npassword-file = {password}\n"
                    f"tcp-upstream = {net.text(upstream.address)}\nproxy-protocol = v2\n"
                    "proxy-protocol-in = 80\nproxy-protocol-in = 443\n"
                    f"[client home]\nserver-addr = {address}\npassword-file = {password}\n"
                    f"[mapping web]\nspec = OUT^{entry}^ANY\n")
    control = make_daemon("--config", conf).connect()
    control.call("mapping.wait", name="web")
    net.echo_flow(("127.0.0.1", int(entry.rsplit(":", 1)[1])), 1, 1000)
    config = control.call("server.get", name="front")["config"]
    assert config["proxy_protocol_in"] == ["80", "443"]


@pytest.mark.parametrize("options, why", [
    ({"proxy_protocol": "v2"}, "there is none: give both or neither"),
    ({"proxy_protocol_in": ["http"]}, '"http" is not a port in 1..65535'),
])
def test_wrong(control, options, why):
    error = control.error("server.add", name="front", addr="127.0.0.1:0", password="secret",
                          **options)
    assert why in error.message, error
    assert control.call("server.list")["servers"] == []


def test_wrong_on_the_command_line(fleet):
    status, output = fleet.run("server", "-p", "x", "--proxy-protocol", "v1")
    assert status == 2 and "--proxy-protocol" in output and "v1" in output, output
