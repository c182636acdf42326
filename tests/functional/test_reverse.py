# SPDX-License-Identifier: MIT
"""Dynamic forwarding the other way round: the server listens, each connection says by SOCKS5 or HTTP
CONNECT what it wants to reach, and the client dials what its --permit-remote-open allows."""
import json
import socket
import time

import pytest

from harness import net
from harness.control import Error
from harness.daemon import limit, log_password
from harness.proxy import (GREETING, ReverseLink, ReverseTable, ask, curl, dialogue, echo_flow,
                           http_request, join, kinds, needs_curl, refusal, socks_login, web)
from test_dynamic import HTTP_BAD, SOCKS_BAD


class TestReverse(ReverseTable):
    pass


@pytest.fixture
def reverse(daemon, control):
    """Server and client within the daemon, and forwarding ports of the server."""
    class Reverse:
        password = log_password()
        auth = f"user:{log_password()}"

        def permit(self, *permits):
            control.call("client.set", name="home", permit_remote_open=list(permits))

        def port(self, kind, name="rev"):
            entry = ("127.0.0.1", net.free_port())
            control.call("mapping.add", spec=f"IN^{kind}^{net.text(entry)}", name=name,
                         wait_ms=10000)
            return entry
    made = Reverse()
    daemon.process.secrets += [made.password, made.auth.split(":")[1]]
    address = f"127.0.0.1:{net.free_port()}"
    control.call("server.add", name="front", addr=address, password=made.password)
    control.call("client.add", name="home", server_addr=address, password=made.password)
    return made


def until(test):
    """Asks until it is so; each question is a round trip through the workers."""
    deadline = time.monotonic() + limit(20)
    while not test():
        assert time.monotonic() < deadline


NOT_ALLOWED = {"SOCKS5": 2, "HTTP": 403}


# ---- what is permitted ----

@kinds
def test_nothing_is_permitted_at_first(reverse, daemon, tcp_upstream, kind):
    upstream = tcp_upstream(net.echo)
    entry = reverse.port(kind)
    daemon.process.wait_log(r"warn.*reaches nothing: --permit-remote-open")
    for target in (upstream.address, ("localhost", upstream.address[1])):
        assert refusal(entry, kind, target) == NOT_ALLOWED[kind]
    assert upstream.accepted == 0


@kinds
def test_permits(reverse, control, tcp_upstream, kind):
    upstream = tcp_upstream(net.echo)
    port = upstream.address[1]
    entry = reverse.port(kind)
    for permit, allowed, refused in [
            (f"127.0.0.1:{port}", ["127.0.0.1", "0.0.0.0"], ["localhost", "127.0.0.2", "::1"]),
            ("127.0.0.0/8:*", ["127.0.0.1"], ["localhost", "::1", "10.0.0.1"]),
            (f"localhost:{port}", ["localhost", "LocalHost"], ["127.0.0.1", "::1", "x.localhost"]),
            (f"*:{port + 1 if port < 65535 else 1}", [], ["localhost", "127.0.0.1"]),
            ("*:*", ["localhost", "127.0.0.1"], []),
            ("[::1]:*", [], ["127.0.0.1", "localhost", "::2"])]:
        reverse.permit("192.0.2.1:1", permit)
        control.call("mapping.wait", name="rev", timeout_ms=10000)
        for host in allowed:
            echo_flow(entry, kind, (host, port), 1, 1000)
        for host in refused:
            assert refusal(entry, kind, (host, port)) == NOT_ALLOWED[kind], (permit, host)


@pytest.mark.parametrize("bad", ["x", "x:", "x:0", "x:65536", ":80", "::1:80", "10.0.0.1/8:80",
                                 "10.0.0.0/33:1", "[10.0.0.1]:80", "a b:80", "127.1:80", "x:80-90"])
def test_permits_that_are_none(reverse, control, daemon, fleet, bad):
    with pytest.raises(Error) as refused:
        reverse.permit(bad)
    assert refused.value.kind == "invalid_params" and bad in refused.value.message, refused.value
    assert daemon.ctl("client", "set", "home", "--permit-remote-open", bad, status=2).err
    status, text = fleet.run("client", "-a", "127.0.0.1:9", "-p", "x", "-t", "IN^SOCKS5^1080",
                             "--permit-remote-open", bad, "--state-dir", fleet.directory())
    assert status == 2 and "--permit-remote-open" in text, text


# ---- how it is answered ----

@pytest.mark.parametrize("kind, said, answer", [
    pytest.param(kind, *row, id=f"{kind}-{name}")
    for kind, rows in (("SOCKS5", SOCKS_BAD), ("HTTP", HTTP_BAD)) for name, row in rows.items()])
def test_bad_requests(reverse, kind, said, answer):
    reverse.permit("*:*")
    with net.connect(reverse.port(kind)) as conn:
        conn.sendall(said)
        got = net.read_all(conn)
    assert got.end in ("eof", "rst") and got.head.startswith(answer), (got, got.head)
    assert answer or got.size == 0, got.head


def test_udp_associate_is_refused(reverse):
    reverse.permit("*:*")
    with net.connect(reverse.port("SOCKS5")) as conn:
        conn.sendall(GREETING + b"\x05\x03\x00\x01" + bytes(6))
        got = net.read_all(conn)
    assert got.end == "eof" and got.head == b"\x05\x00\x05\x07\x00\x01" + bytes(6), got.head


@kinds
def test_a_request_byte_by_byte(reverse, tcp_upstream, kind):
    reverse.permit("localhost:*")
    said, answer = dialogue(kind, ("localhost", tcp_upstream(net.echo).address[1]))
    with net.connect(reverse.port(kind)) as conn:
        for byte in said:
            conn.sendall(bytes([byte]))
        assert net.read_exactly(conn, len(answer)) == answer
        assert net.round_trip(conn, b"x" * 1000) == b"x" * 1000


@kinds
@pytest.mark.parametrize("leave", ["finish", "close", "reset"])
def test_truncated(reverse, control, tcp_upstream, kind, leave):
    """Those that go away amid the dialogue: nothing is left of them, and others are served."""
    upstream = tcp_upstream(net.echo)
    reverse.permit("*:*")
    entry = reverse.port(kind)
    said = dialogue(kind, upstream.address)[0]
    for bytes_ in (0, 1, 4, len(said) - 1):
        with net.connect(entry) as conn:
            conn.sendall(said[:bytes_])
            if leave == "finish":
                conn.shutdown(socket.SHUT_WR)
                net.expect_rst(conn)
            elif leave == "reset":
                net.reset(conn)
    echo_flow(entry, kind, upstream.address, 1, 1000)
    assert upstream.accepted == 1
    until(lambda: not control.call("flow.list", mapping="rev")["flows"])


# ---- user and password ----

@needs_curl
@kinds
def test_auth(reverse, control, tcp_upstream, kind):
    upstream = tcp_upstream(web)
    control.call("client.set", name="home", proxy_auth=reverse.auth,
                 permit_remote_open=["localhost:*"])
    entry = reverse.port(kind)
    url = f"http://localhost:{upstream.address[1]}/"
    assert curl(kind, entry, url, reverse.auth).stdout == b"".join(net.stream(7, 5 << 20))
    assert curl(kind, entry, f"http://127.0.0.1:{upstream.address[1]}/",
                reverse.auth).returncode != 0
    for auth in (None, "user:wrong"):
        assert curl(kind, entry, url, auth).returncode in (22, 56, 97)
    said, answer = {
        "SOCKS5": (b"\x05\x01\x02" + socks_login("user:wrong"), b"\x05\x02\x01\x01"),
        "HTTP": (http_request("localhost", 80), b"HTTP/1.1 407 "),
    }[kind]
    with net.connect(entry) as conn:
        conn.sendall(said)
        got = net.read_all(conn)
    assert got.end == "eof" and got.head.startswith(answer), (got, got.head)
    assert upstream.accepted == 1


# ---- names ----

@kinds
def test_the_client_resolves(fleet, tcp_upstream, kind):
    """And the server does not: a name is of the client's world."""
    upstream = tcp_upstream(net.echo)
    link = ReverseLink(fleet, permits="localhost:*,nowhere.invalid:*")
    entry = link.dynamic(kind)
    link.start()
    echo_flow(entry, kind, ("localhost", upstream.address[1]), 1, 1000)
    assert refusal(entry, kind, ("nowhere.invalid", 80)) == {"SOCKS5": 4, "HTTP": 502}[kind]


# ---- flows and tunnels ----

@kinds
def test_flows_name_their_targets(reverse, control, tcp_upstream, kind):
    upstreams = [tcp_upstream(net.echo) for _ in range(2)]
    reverse.permit("*:*")
    entry = reverse.port(kind)
    targets = [("localhost", upstreams[0].address[1]), upstreams[1].address]
    conns = [join(entry, kind, target, b"early") for target in targets]
    for conn in conns:
        net.read_exactly(conn, 5)
        net.round_trip(conn, b"x" * 100)
    flows = control.call("flow.list", mapping="rev")["flows"]
    assert {flow["target"] for flow in flows} == set(map(net.text, targets))
    # The dialogue is not counted: neither is it the flow's.
    assert {(flow["in_bytes"], flow["out_bytes"]) for flow in flows} == {(105, 105)}
    for conn in conns:
        conn.close()


@kinds
def test_a_refusal_is_told_as_a_flow(reverse, control, kind):
    reverse.permit("192.0.2.1:1")
    entry = reverse.port(kind)
    control.subscribe(types=["flow"])
    assert refusal(entry, kind, ("localhost", 80)) == NOT_ALLOWED[kind]
    while True:
        told = json.dumps(control.event(timeout=limit(10)))
        if "localhost:80" in told:
            break
    assert "denied" in told, told


@kinds
@pytest.mark.parametrize("method", ["mapping.pause", "mapping.remove", "mapping.restart"])
def test_those_that_are_asked_end_with_the_tunnel(reverse, control, kind, method):
    reverse.permit("*:*")
    with net.connect(reverse.port(kind)) as conn:
        conn.sendall(dialogue(kind, ("localhost", 80))[0][:5])
        until(lambda: control.call("flow.list", mapping="rev")["flows"])
        control.call(method, name="rev")
        net.expect_rst(conn)


@kinds
def test_one_that_is_asked_can_be_killed(reverse, control, kind):
    with net.connect(reverse.port(kind)) as conn:
        conn.sendall(b"\x05" if kind == "SOCKS5" else b"CONN")
        until(lambda: control.call("flow.list", mapping="rev")["flows"])
        flow, = control.call("flow.list", mapping="rev")["flows"]
        assert flow["target"] == kind, flow
        control.call("flow.kill", id=flow["id"])
        net.expect_rst(conn)


# ---- where it is said ----

@kinds
def test_words_and_shows(reverse, daemon, control, tcp_upstream, kind):
    """rstunctl add in socks5 PORT, what it shows, what is kept."""
    upstream = tcp_upstream(net.echo)
    port = net.free_port()
    daemon.ctl("add", "--name", "words", "in", kind.lower(), port, status=0)
    done = daemon.ctl("explain", "words")
    assert done.status != 0 and "permits nothing" in done.out, done
    daemon.ctl("client", "set", "home", "--permit-remote-open", "localhost:*,10.0.0.0/8:443",
               status=0)
    daemon.ctl("wait", "words", status=0)
    echo_flow(("127.0.0.1", port), kind, ("localhost", upstream.address[1]), 1, 1000)
    done = daemon.ctl("explain", "words", status=0)
    assert f"by {kind} what it wants to reach; permitted is localhost:*,10.0.0.0/8:443" in done.out
    for words in ("list", "show words", "export"):
        assert kind in daemon.ctl(*words.split(), status=0).out
    assert "10.0.0.0/8:443" in daemon.ctl("client", "show", "home", status=0).out
    config = control.call("mapping.get", name="words")["config"]
    assert config["local"] == kind and config["mode"] == "in", config
    daemon.restart(ready=r"\[home\].*tunneling")
    echo_flow(("127.0.0.1", port), kind, ("localhost", upstream.address[1]), 1, 1000)


@kinds
def test_configuration_file(make_daemon, fleet, tmp_path, tcp_upstream, kind):
    upstream = tcp_upstream(net.echo)
    password = log_password()
    server, entry = f"127.0.0.1:{net.free_port()}", ("127.0.0.1", net.free_port())
    path = tmp_path / "conf"
    path.write_text(
        f"[server front]\naddr = {server}\npassword-file = {fleet.password_file(password)}\n"
        f"[client home]\nserver-addr = {server}\n"
        f"password-file = {fleet.password_file(password)}\n"
        "permit-remote-open = 10.0.0.0/8:443, localhost:*\npermit-remote-open = [::1]:*\n"
        f"[mapping rev]\nmode = in\nlocal = {kind.lower()}\nremote = {net.text(entry)}\n")
    daemon = make_daemon("--config", path, secrets=[password])
    daemon.ctl("wait", "rev", status=0)
    echo_flow(entry, kind, ("localhost", upstream.address[1]), 1, 1000)
    assert refusal(entry, kind, upstream.address) == NOT_ALLOWED[kind]
    with daemon.connect() as control:
        bad = control.call("config.check", text=path.read_text().replace("[::1]:*", "[::1]"))
    assert not bad["ok"] and "permit-remote-open" in json.dumps(bad), bad


@pytest.mark.parametrize("spec, proto, says", [
    ("IN^1080^HTTP", "tcp", "or the local of IN"), ("OUT^SOCKS5^1080", "tcp", "or the local of IN"),
    ("IN^ANY^1080", "tcp", "only as the remote of OUT:"), ("IN^SOCKS5^1080", "udp", "tcp only")])
def test_where_it_cannot_stand(reverse, control, spec, proto, says):
    with pytest.raises(Error) as refused:
        control.call("mapping.add", spec=spec, proto=proto)
    assert says in refused.value.message, refused.value
