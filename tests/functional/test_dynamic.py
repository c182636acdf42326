# SPDX-License-Identifier: MIT
"""Dynamic forwarding: mappings whose connections say what they want to reach, by SOCKS5 or HTTP
CONNECT. What they do whoever the server is: harness/proxy.py."""
import json
import socket

import pytest

from harness import net
from harness.control import Error
from harness.daemon import limit, log_password
from harness.link import Link
from harness.proxy import (GREETING, KINDS, ProxyTable, answered, ask, curl, dialogue, echo_flow,
                           http_request, join, kinds, needs_curl, socks_login, socks_request, web)
from test_names import Zone


class TestDynamic(ProxyTable):
    pass


@pytest.fixture
def forward(daemon, control):
    """A client within the daemon, its server when a test starts it, and forwarding ports."""
    class Forward:
        address = f"127.0.0.1:{net.free_port()}"
        password = log_password()
        auth = f"user:{log_password()}"

        def start_server(self):
            control.call("server.add", name="front", addr=self.address, password=self.password)

        def port(self, kind, name="dyn", **params):
            entry = ("127.0.0.1", net.free_port())
            control.call("mapping.add", spec=f"OUT^{net.text(entry)}^{kind}", name=name, **params)
            return entry
    forward = Forward()
    daemon.process.secrets += [forward.password, forward.auth.split(":")[1]]
    control.call("client.add", name="home", server_addr=forward.address,
                 password=forward.password)
    return forward


# ---- names ----

@kinds
def test_the_client_does_not_resolve(fleet, stack, kind):
    """Whatever its own DNS knows: the name goes to the server, which knows no such host."""
    zone = Zone({"somewhere.invalid": ["127.0.0.1"]})
    stack.callback(zone.close)
    link = Link(fleet, client_args=["--dns", f"127.0.0.1:{zone.server_address[1]}"])
    entry = link.dynamic(kind)
    link.start()
    with join(entry, kind, ("somewhere.invalid", 80)) as conn:
        net.expect_rst(conn)
    assert zone.asked == []


# ---- requests ----

SOCKS_BAD = {
    "socks4": (b"\x04\x01\x00\x50\x7f\0\0\1\0", b"\x00\x5b" + bytes(6)),
    "http": (b"GET http://x/ HTTP/1.1\r\n", b"HTTP/1.1 400 "),
    "junk": (b"\xff", b""),
    "password only": (b"\x05\x01\x02", b"\x05\xff"),
    "bind": (GREETING + b"\x05\x02\x00\x01\x7f\0\0\1\0\x50", b"\x05\x00\x05\x07"),
    "bind": (GREETING + b"\x05\x02\x00\x01\x7f\0\0\1\0\x50", b"\x05\x00\x05\x07"),
    "family": (GREETING + b"\x05\x01\x00\x09\x7f\0\0\1\0\x50", b"\x05\x00\x05\x08"),
    "port 0": (GREETING + socks_request("127.0.0.1", 0), b"\x05\x00\x05\x01"),
}
HTTP_BAD = {
    "socks": (GREETING, b"HTTP/1.1 400 "),
    "get": (b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 405 "),
    "no host": (b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 "),
    "no port": (b"CONNECT 127.0.0.1 HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 "),
    "version": (b"CONNECT 127.0.0.1:80 HTTP/3.0\r\nHost: x\r\n\r\n", b"HTTP/1.1 505 "),
    "too long": (http_request("127.0.0.1", 80)[:-2] + b"X: " + b"y" * 20000, b"HTTP/1.1 431 "),
}


@pytest.mark.parametrize("kind, said, answer", [
    pytest.param(kind, *row, id=f"{kind}-{name}")
    for kind, rows in (("SOCKS5", SOCKS_BAD), ("HTTP", HTTP_BAD)) for name, row in rows.items()])
def test_bad_requests(forward, kind, said, answer):
    """They are answered, and then it is over, whether or not there is a tunnel."""
    entry = forward.port(kind)
    with net.connect(entry) as conn:
        conn.sendall(said)
        got = net.read_all(conn)
    assert got.end in ("eof", "rst") and got.head.startswith(answer), (got, got.head)
    assert answer or got.size == 0, got.head


@kinds
def test_a_request_byte_by_byte(forward, tcp_upstream, kind):
    upstream = tcp_upstream(net.echo)
    forward.start_server()
    said, answer = dialogue(kind, ("localhost", upstream.address[1]))
    with net.connect(forward.port(kind, wait_ms=10000)) as conn:
        for byte in said:
            conn.sendall(bytes([byte]))
        assert net.read_exactly(conn, len(answer)) == answer
        assert net.round_trip(conn, b"x" * 1000) == b"x" * 1000


def test_one_that_goes_away_amid_its_request(forward, tcp_upstream):
    """Nothing is left of it, and the port serves others."""
    upstream = tcp_upstream(net.echo)
    forward.start_server()
    entry = forward.port("SOCKS5", wait_ms=10000)
    for said in (b"", b"\x05", GREETING, GREETING + b"\x05\x01"):
        for leave in (socket.socket.close, net.reset):
            conn = net.connect(entry)
            conn.sendall(said)
            leave(conn)
    echo_flow(entry, "SOCKS5", upstream.address, 1, 1000)
    assert upstream.accepted == 1


# ---- user and password ----

@kinds
def test_auth(forward, control, tcp_upstream, kind):
    """Who has the password is served; who has not gets the answer of his protocol."""
    upstream = tcp_upstream(net.echo)
    forward.start_server()
    control.call("client.set", name="home", proxy_auth=forward.auth)
    entry = forward.port(kind, wait_ms=10000)
    echo_flow(entry, kind, upstream.address, 1, 100_000, forward.auth)
    port = upstream.address[1]
    if kind == "SOCKS5":
        talks = [(GREETING, b"\x05\xff"), (b"\x05\x02\x00\x01", b"\x05\xff")]
        talks += [(b"\x05\x01\x02" + socks_login(wrong), b"\x05\x02\x01\x01")
                  for wrong in ("user:wrong", "other:" + forward.auth.split(":")[1], "u:p")]
    else:
        talks = [(http_request("127.0.0.1", port, auth), b"HTTP/1.1 407 ")
                 for auth in (None, "user:wrong", "", forward.auth + "x")]
    for said, answer in talks:
        with net.connect(entry) as conn:
            conn.sendall(said)
            got = net.read_all(conn)
        assert got.end == "eof" and got.head.startswith(answer), (said, got, got.head)
        if kind == "HTTP":
            assert b"\r\nProxy-Authenticate: Basic realm=" in got.head, got.head
    assert upstream.accepted == 1


@needs_curl
@kinds
def test_auth_with_curl(forward, control, tcp_upstream, kind):
    upstream = tcp_upstream(web)
    forward.start_server()
    control.call("client.set", name="home", proxy_auth=forward.auth)
    entry = forward.port(kind, wait_ms=10000)
    url = f"http://localhost:{upstream.address[1]}/"
    assert curl(kind, entry, url, forward.auth).stdout == b"".join(net.stream(7, 5 << 20))
    for auth in (None, "user:wrong"):
        done = curl(kind, entry, url, auth)
        assert done.returncode in (22, 56, 97), done
    assert upstream.accepted == 1


@kinds
def test_auth_is_kept_and_hidden(forward, daemon, control, kind, tmp_path):
    """It is in the state file and shown nowhere; what is shown can be given again."""
    path = tmp_path / "auth"
    path.write_text(forward.auth + "\n")
    path.chmod(0o644)
    assert "chmod 600" in daemon.ctl("client", "set", "home", "--proxy-auth-file", path).err
    path.chmod(0o600)
    daemon.ctl("client", "set", "home", "--proxy-auth-file", path, status=0)
    shown = [daemon.ctl(*words.split(), status=0).all for words in (
        "client show home", "client list", "-o json client show home", "export --all", "log")]
    config = control.call("client.get", name="home")["config"]
    assert config["proxy_auth_set"] is True and "proxy_auth" not in config
    secret = forward.auth.split(":")[1]
    assert not [text for text in [*shown, json.dumps(config)] if secret in text]
    assert not control.call("client.add", name="home", **config)["created"]
    entry = forward.port(kind)
    daemon.restart(ready=r"\[home\]")
    with net.connect(entry) as conn:
        conn.sendall(GREETING if kind == "SOCKS5" else http_request("127.0.0.1", 80))
        assert net.read_all(conn).head[:2] in (b"\x05\xff", b"HT")
    # Nobody is asked any more.
    daemon.ctl("client", "set", "home", "--proxy-auth-file", "", status=0)
    with daemon.connect() as again:
        assert again.call("client.get", name="home")["config"]["proxy_auth_set"] is False
    with net.connect(entry) as conn:
        conn.sendall(GREETING)
        assert net.read_exactly(conn, 2) == (b"\x05\x00" if kind == "SOCKS5" else b"HT")


def test_auth_that_is_not_kept(forward, daemon, control):
    """A configuration passed back where there is nothing to keep makes no proxy that serves all."""
    control.call("client.set", name="home", proxy_auth=forward.auth)
    config = control.call("client.get", name="home")["config"]
    assert control.call("client.set", name="home", **config)["config"] == config
    exported = json.loads(daemon.ctl("export", "--all", status=0).out)["clients"]
    assert [c["proxy_auth_set"] for c in exported if c["name"] == "home"] == [True]
    for again in (config, *[c for c in exported if c["name"] == "home"]):
        for more in ({}, {"proxy_auth": None}):
            error = control.error("client.add", **{**again, "name": "new", "password": "x", **more})
            assert error.kind == "invalid_params", error
            assert error.data["field"] == "proxy_auth", error
            assert "give proxy_auth, or leave proxy_auth_set out" in error.message, error
    assert [c["name"] for c in control.call("client.list")["clients"]] == ["home"]
    given = {**config, "name": "new", "password": "x", "proxy_auth": forward.auth}
    assert control.call("client.add", **given)["client"]["config"]["proxy_auth_set"]
    # Nor does one that is changed, or is there without.
    control.call("client.set", name="home", proxy_auth=None)
    for method in ("client.set", "client.add"):
        error = control.error(method, **{**config, "name": "home"})
        assert error.data["field"] == "proxy_auth", error


def test_auth_refused(forward, control):
    """What cannot be one, without a word of it in the answer."""
    for bad in ("canary", ":canary", "canary:", "canary\n:x", "canary:" + "x" * 256):
        with pytest.raises(Error) as refused:
            control.call("client.set", name="home", proxy_auth=bad)
        assert refused.value.kind == "invalid_params", refused.value
        assert "canary" not in refused.value.message, refused.value
    assert control.call("client.get", name="home")["config"]["proxy_auth_set"] is False


@kinds
@pytest.mark.parametrize("given", ["proxy-auth", "proxy-auth-file"])
def test_auth_of_the_command_line(fleet, tcp_upstream, kind, given):
    upstream = tcp_upstream(net.echo)
    secret = log_password()
    value = f"u:{secret}" if given == "proxy-auth" else fleet.password_file(f"u:{secret}")
    link = Link(fleet, client_args=[f"--{given}", value])
    entry = link.dynamic(kind)
    link.start()
    link.client.secrets.append(secret)
    assert secret.encode() not in link.client.proc("cmdline")
    echo_flow(entry, kind, upstream.address, 1, 1000, f"u:{secret}")


# ---- without a tunnel ----

def is_silent(conn):
    """Nothing has come, not even an end."""
    conn.setblocking(False)
    try:
        return conn.recv(1) is None
    except BlockingIOError:
        return True
    finally:
        conn.settimeout(limit(30))


@kinds
def test_it_waits_for_the_tunnel(forward, control, tcp_upstream, kind):
    """What it has sent in the meantime arrives, too."""
    upstream = tcp_upstream(net.echo)
    entry = forward.port(kind)
    with ask(entry, kind, upstream.address, b"early ") as conn, \
            ask(entry, kind, upstream.address) as other:
        conn.sendall(b"and late")
        forward.start_server()
        assert is_silent(conn) or not upstream.accepted
        control.call("mapping.restart", name="dyn")
        for one, data in ((conn, b"early and late"), (other, b"")):
            assert net.read_exactly(one, len(answered(kind))) == answered(kind)
            assert net.read_exactly(one, len(data)) == data
        for one in (conn, other):
            assert net.round_trip(one, b"x" * 1000) == b"x" * 1000


def test_it_waits_too_long(forward):
    """The answers say so, in the words of either protocol."""
    entries = {kind: forward.port(kind, name=kind) for kind in KINDS}
    conns = {kind: ask(entries[kind], kind, ("127.0.0.1", 9)) for kind in KINDS}
    heads = {kind: net.read_all(conn) for kind, conn in conns.items()}
    for conn in conns.values():
        conn.close()
    assert heads["SOCKS5"].head == b"\x05\x03\x00\x01" + bytes(6)
    assert heads["HTTP"].head.startswith(b"HTTP/1.1 503 "), heads["HTTP"].head
    assert {got.end for got in heads.values()} == {"eof"}


@kinds
@pytest.mark.parametrize("method", ["mapping.pause", "mapping.remove"])
def test_those_that_wait_are_reset(forward, control, kind, method):
    """One that waits for the tunnel, one that has said nothing."""
    entry = forward.port(kind)
    with ask(entry, kind, ("127.0.0.1", 9)) as conn, net.connect(entry) as quiet:
        control.call("mapping.get", name="dyn")
        control.call(method, name="dyn")
        assert net.expect_rst(conn).size == 0
        assert net.expect_rst(quiet).size == 0


@kinds
def test_flows_end_with_the_tunnel(forward, control, tcp_upstream, kind):
    upstream = tcp_upstream(net.sink)
    forward.start_server()
    entry = forward.port(kind, wait_ms=10000)
    with join(entry, kind, upstream.address) as conn:
        upstream.wait_accepted(1)
        control.call("mapping.remove", name="dyn", drain_ms=0)
        net.expect_rst(conn)
    assert upstream.result().end == "rst"


# ---- what is shown, what is accepted ----

@kinds
def test_flows_name_their_targets(forward, control, tcp_upstream, kind):
    upstreams = [tcp_upstream(net.echo) for _ in range(2)]
    forward.start_server()
    entry = forward.port(kind, wait_ms=10000)
    targets = [("localhost", upstreams[0].address[1]), upstreams[1].address]
    control.subscribe(types=["flow"])
    conns = [join(entry, kind, target, b"early") for target in targets]
    for conn in conns:
        net.read_exactly(conn, 5)
        net.round_trip(conn, b"x" * 100)
    flows = control.call("flow.list", mapping="dyn")["flows"]
    assert {flow["target"] for flow in flows} == set(map(net.text, targets))
    assert {flow["peer"] for flow in flows} == {net.text(c.getsockname()) for c in conns}
    # The dialogue is not counted: neither is it the flow's.
    assert {(flow["in_bytes"], flow["out_bytes"]) for flow in flows} == {(105, 105)}
    seen = {flow["target"] for flow in control.call("flow.list")["flows"] if "session" in flow}
    assert seen == set(map(net.text, targets)), seen
    for conn in conns:
        conn.close()


@kinds
def test_mapping_shows(forward, daemon, control, kind):
    entry = forward.port(kind)
    config = control.call("mapping.get", name="dyn")["config"]
    spec = f"OUT^{net.text(entry)}^{kind}"
    assert config["spec"] == spec if "spec" in config else config["remote"] == kind, config
    assert kind in daemon.ctl("list", status=0).out
    # What export writes can be applied again.
    assert kind in daemon.ctl("export", status=0).out
    daemon.restart(ready=r"\[home\]")
    assert daemon.connect().call("mapping.get", name="dyn")["config"] == config


@kinds
def test_words_of_rstunctl(forward, daemon, tcp_upstream, kind):
    """rstunctl add socks5 PORT."""
    upstream = tcp_upstream(net.echo)
    forward.start_server()
    port = net.free_port()
    daemon.ctl("add", "--name", "words", kind.lower(), port, status=0)
    echo_flow(("127.0.0.1", port), kind, upstream.address, 1, 1000)
    assert kind in daemon.ctl("show", "words", status=0).out


# ---- UDP ASSOCIATE ----

class Association:
    """A client of RFC 1928 section 7."""

    def __init__(self, entry):
        self.control = net.connect(entry)
        self.control.sendall(GREETING)
        assert net.read_exactly(self.control, 2) == b"\x05\x00"
        self.control.sendall(b"\x05\x03\x00\x01" + bytes(6))
        self.reply = net.read_exactly(self.control, 10)
        self.entry = (socket.inet_ntoa(self.reply[4:8]), int.from_bytes(self.reply[8:], "big"))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(limit(10))
        self.socket.connect(self.entry if self.reply[1] == 0 else entry)

    @staticmethod
    def head(target):
        return b"\0\0\0" + socks_request(*target)[3:]

    def send(self, target, data):
        self.socket.send(self.head(target) + data)

    def expect(self, target, data):
        assert self.socket.recv(70000) == self.head(target) + data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.control.close()
        self.socket.close()


@pytest.mark.tsan
def test_udp_associate(forward, control, udp_upstream, stack):
    """Each datagram to its own target; answers say whose they are; nothing is cut or mixed up."""
    forward.start_server()
    entry = forward.port("SOCKS5")
    one, two = udp_upstream().address, udp_upstream(answer=lambda data: [data[::-1]]).address
    by_name = ("localhost", one[1])
    with Association(entry) as a, Association(entry) as b:
        assert a.reply[:4] == b"\x05\x00\x00\x01" and a.entry != b.entry
        for size in (0, 1, 1472, 9000, 65000):
            data = b"".join(net.stream(size, size))
            a.send(one, data)
            a.expect(one, data)
        a.send(two, b"abc")
        a.expect(two, b"cba")
        a.send(by_name, b"name")
        a.expect(by_name, b"name")
        b.send(two, b"xyz")
        b.expect(two, b"zyx")
        # Fragments and what names no target are dropped, and the next one arrives.
        a.socket.send(b"\0\0\x01" + a.head(one)[3:] + b"x")
        a.socket.send(b"\0\0\0\x09")
        a.send(one, b"still here")
        a.expect(one, b"still here")
        stranger = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        stranger.bind(("127.0.0.2", 0))
        stranger.sendto(a.head(one) + b"stranger", a.entry)
        a.send(one, b"mine")
        a.expect(one, b"mine")
    # It ends with the connection that asked for it.
    with Association(entry) as c:
        c.control.shutdown(socket.SHUT_WR)
        assert net.read_all(c.control).size == 0
        with pytest.raises(ConnectionRefusedError):
            while True:
                c.send(one, b"gone")
                c.socket.recv(100)


def test_udp_associate_waits_for_the_server(forward, udp_upstream):
    entry = forward.port("SOCKS5")
    target = udp_upstream().address
    asking = net.in_thread(Association, entry)
    forward.start_server()
    with asking.join() as a:
        a.send(target, b"late")
        a.expect(target, b"late")


@pytest.mark.tsan
def test_udp_associate_survives_the_tunnel(forward, control, udp_upstream):
    """Its flows are of the tunnel before; the socket stays."""
    forward.start_server()
    entry = forward.port("SOCKS5")
    target = udp_upstream().address
    with Association(entry) as a:
        a.send(target, b"one")
        a.expect(target, b"one")
        sessions = [s for s in control.call("session.list")["sessions"] if s["proto"] == "udp"]
        assert len(sessions) == 1, sessions
        control.call("session.kick", id=sessions[0]["id"])
        a.socket.settimeout(0.2)
        for _ in range(int(limit(30) / 0.2)):
            a.send(target, b"two")
            try:
                a.expect(target, b"two")
                break
            except TimeoutError:
                pass
        else:
            raise AssertionError("nothing came through the next tunnel")


@kinds
def test_udp_is_refused(forward, control, daemon, kind):
    with pytest.raises(Error) as refused:
        control.call("mapping.add", spec=f"OUT^1080^{kind}", proto="udp")
    assert refused.value.kind == "invalid_params", refused.value
    assert f"{kind} at column 10 is for tcp only" in refused.value.message, refused.value
    done = daemon.ctl("add", "-u", f"OUT^1080^{kind}", status=2)
    assert "tcp only" in done.err, done


@kinds
def test_configuration_file(make_daemon, fleet, tmp_path, tcp_upstream, kind):
    upstream = tcp_upstream(net.echo)
    password, secret = log_password(), log_password()
    server, entry = f"127.0.0.1:{net.free_port()}", ("127.0.0.1", net.free_port())
    path = tmp_path / "conf"
    path.write_text(
        f"[server front]\naddr = {server}\npassword-file = {fleet.password_file(password)}\n"
        f"[client home]\nserver-addr = {server}\n"
        f"password-file = {fleet.password_file(password)}\n"
        f"proxy-auth-file = {fleet.password_file('user:' + secret)}\n"
        f"[mapping dyn]\nspec = OUT^{net.text(entry)}^{kind.lower()}\n")
    daemon = make_daemon("--config", path, secrets=[password, secret])
    echo_flow(entry, kind, upstream.address, 1, 1000, f"user:{secret}")
    with daemon.connect() as control:
        text = path.read_text() + "proto = udp\n"
        bad = control.call("config.check", text=text)
    assert not bad["ok"] and "tcp only" in json.dumps(bad), bad


@kinds
def test_command_line_refuses_udp(fleet, kind):
    status, text = fleet.run("client", "-a", "127.0.0.1:9", "-p", "x", "-u", f"OUT^1080^{kind}",
                             "--state-dir", fleet.directory())
    assert status == 2 and "tcp only" in text, text
