# SPDX-License-Identifier: MIT
"""UNIX sockets: a client that listens on a path, a client or a server that connects to one, and
what becomes of the path."""
import os
import socket
import stat

import pytest

from harness import net
from harness.control import Error
from harness.link import Link

MIB = 1 << 20
SIDES = ("OUT-listens", "OUT-upstream", "OUT-both", "IN")


@pytest.fixture
def path(tmp_path):
    """Of a socket that is not there yet."""
    return str(tmp_path / "app.sock")


@pytest.fixture
def tunnel(fleet, stack, tmp_path):
    """One mapping with UNIX sockets on some sides: `tunnel(side, handler)` gives the address to
    connect to and the upstream (None: there is none)."""
    def make(side, handler):
        entry_path, upstream_path = (str(tmp_path / name) for name in ("entry", "upstream"))
        on_path = side != "OUT-listens"
        upstream = None
        if handler is not None:
            upstream = (net.UnixUpstream(handler, upstream_path) if on_path
                        else net.TcpUpstream(handler))
            stack.callback(upstream.close)
        address = upstream_path if on_path else (net.V4, net.free_port())
        link = Link(fleet)
        entry = link.map("tcp", "IN" if side == "IN" else "OUT-ANY",
                         upstream.address if upstream else address,
                         entry_path if side in ("OUT-listens", "OUT-both") else None)
        link.start()
        return entry, upstream
    return make


def is_listening(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        return s.connect_ex(path) == 0


# ---- flows ----

@pytest.mark.tsan
@pytest.mark.parametrize("side", SIDES)
def test_both_ways(tunnel, side):
    """Streams of both directions at a time, whole and unchanged, many of them."""
    def handler(conn):
        sender = net.in_thread(net.send_and_finish, conn, 8, 2 * MIB)
        got = net.read_all(conn)
        sender.join()
        return got

    def flow(seed):
        with net.connect(entry) as conn:
            sender = net.in_thread(net.send_and_finish, conn, seed, MIB)
            got = net.read_all(conn)
            sender.join()
        return got
    entry, upstream = tunnel(side, handler)
    got = net.all_of([net.in_thread(flow, seed) for seed in range(8)])
    assert {g.end for g in got} == {"eof"}
    assert {g.hash for g in got} == {net.stream_hash(8, 2 * MIB)}
    arrived = [upstream.result() for _ in range(8)]
    assert {g.end for g in arrived} == {"eof"}
    assert {g.hash for g in arrived} == {net.stream_hash(seed, MIB) for seed in range(8)}


@pytest.mark.parametrize("side", SIDES)
def test_half_close(tunnel, side):
    """The application ends its side first, then the upstream does, in a second flow."""
    def handler(conn):
        first = net.read_exactly(conn, 1)
        if first == b"u":
            conn.shutdown(socket.SHUT_WR)
            return net.read_all(conn)
        got = net.read_all(conn)
        net.send_stream(conn, seed=4, size=2 * MIB)
        return got
    entry, upstream = tunnel(side, handler)
    with net.connect(entry) as conn:
        conn.sendall(b"a")
        net.send_and_finish(conn, seed=3, size=100_000)
        got = net.read_all(conn)
        assert got.end == "eof" and got.hash == net.stream_hash(4, 2 * MIB), got
    got = upstream.result()
    assert got.end == "eof" and got.hash == net.stream_hash(3, 100_000), got
    with net.connect(entry) as conn:
        conn.sendall(b"u")
        assert net.read_all(conn).end == "eof"
        net.send_and_finish(conn, seed=5, size=2 * MIB)
        got = upstream.result()
    assert got.end == "eof" and got.hash == net.stream_hash(5, 2 * MIB), got


@pytest.mark.parametrize("side", SIDES)
def test_much(tunnel, side):
    """Much, to one who reads it in pieces."""
    def handler(conn):
        net.read_exactly(conn, 1)
        return net.read_all(conn)
    entry, upstream = tunnel(side, handler)
    with net.connect(entry) as conn:
        sender = net.in_thread(net.send_stream, conn, 7, 16 * MIB)
        # The byte that the upstream waits for is the stream's first.
        sender.join()
        conn.shutdown(socket.SHUT_WR)
        got = upstream.result()
    assert got.end == "eof" and got.size == 16 * MIB - 1


@pytest.mark.parametrize("side", SIDES)
def test_reset(tunnel, side):
    """Toward TCP a reset stays one; a UNIX socket is closed."""
    entry, upstream = tunnel(side, lambda conn: (net.read_exactly(conn, 5), net.reset(conn)))
    with net.connect(entry) as conn:
        conn.sendall(b"ready")
        # What an upstream on a path did is an end of file to us as well.
        expected = {"rst"} if side == "OUT-listens" else {"eof"}
        got = net.read_all(conn).end
        assert got in (expected if not isinstance(entry, str) else {"eof", "rst"})


@pytest.mark.parametrize("left_over", [False, True])
@pytest.mark.parametrize("side", SIDES)
def test_nobody_there(tunnel, tmp_path, side, left_over):
    if left_over:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.bind(str(tmp_path / "upstream"))
    entry, _ = tunnel(side, None)
    if isinstance(entry, str):
        with net.connect(entry) as conn:
            got = net.read_all(conn)
            assert got.size == 0 and got.end == "eof"
    else:
        with pytest.raises(ConnectionResetError), net.connect(entry) as conn:
            conn.recv(1)


def test_full_queue(tunnel, stack, tmp_path):
    """An upstream that accepts nothing for a while is waited for."""
    full = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    full.bind(str(tmp_path / "upstream"))
    full.listen(0)
    first = stack.enter_context(net.connect(str(tmp_path / "upstream")))
    entry, _ = tunnel("OUT-upstream", None)
    with net.connect(entry) as conn:
        conn.sendall(b"x")
        net.send_stream(conn, seed=1, size=100)
        full.accept()[0].close()
        assert first.recv(1) == b""
        accepted = full.accept()[0]
        with accepted:
            assert net.read_exactly(accepted, 1) == b"x"


# ---- the path ----

def add(control, path, **params):
    return control.call("mapping.add", spec=f"OUT^unix:{path}^ANY", **params)["mapping"]


@pytest.fixture
def tunnelled(daemon, control, tcp_upstream):
    """A daemon with a server and a client, without mappings that matter."""
    daemon.tunnel(control, tcp_upstream(net.echo).address, name="first")
    return daemon


def check_echo(path):
    net.echo_flow(path, seed=1, size=100_000)


@pytest.mark.tsan
def test_life(tunnelled, control, path):
    """It is there while the mapping is, for our user only; shown, kept and used again."""
    mapping = add(control, path, name="app", wait_ms=10000)
    assert mapping["config"]["local"] == f"unix:{path}"
    assert mapping["runtime"]["state"] == "tunneling"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    check_echo(path)
    assert f"unix:{path}" in tunnelled.ctl("list", status=0).out
    control.call("mapping.pause", name="app")
    assert not os.path.exists(path)
    control.call("mapping.resume", name="app")
    control.call("mapping.wait", name="app")
    check_echo(path)
    control.call("mapping.restart", name="app")
    control.call("mapping.wait", name="app")
    check_echo(path)
    tunnelled.restart()
    control = tunnelled.connect()
    control.call("mapping.wait", name="app")
    check_echo(path)
    control.call("mapping.remove", name="app")
    assert not os.path.exists(path)
    tunnelled.ctl("add", f"OUT^unix:{path}^ANY", "--name", "again", status=0)
    check_echo(path)
    tunnelled.ctl("rm", "again", status=0)
    assert not os.path.exists(path)


def test_gone_with_the_daemon(tunnelled, control, path):
    add(control, path, wait_ms=10000)
    with net.connect(path) as conn:
        net.round_trip(conn, b"x")
        control.call("daemon.shutdown", drain_ms=20000)
        # Not only at the end: another daemon may want it meanwhile.
        assert not os.path.exists(path)
        net.round_trip(conn, b"y")
    assert tunnelled.process.wait() == 0


def test_left_over(tunnelled, control, path):
    """A daemon that was killed leaves the socket behind; the next one replaces it."""
    add(control, path, name="app", wait_ms=10000)
    tunnelled.process.kill()
    assert os.path.exists(path) and not is_listening(path)
    tunnelled.start()
    control = tunnelled.connect()
    control.call("mapping.wait", name="app")
    check_echo(path)


def test_one_mapping_each(tunnelled, control, path):
    add(control, path, name="one", wait_ms=10000)
    error = control.error("mapping.add", name="two", spec=f"OUT^unix:{path}^127.0.0.1:9")
    assert error.kind == "address_in_use" and f"unix:{path}" in error.message, error
    control.call("mapping.pause", name="one")
    other = path + "2"
    add(control, other, name="two", wait_ms=10000)
    control.call("mapping.resume", name="one")
    control.call("mapping.wait", name="one")
    check_echo(path)
    check_echo(other)


def test_swap(tunnelled, control, path):
    """A path is free as soon as its mapping leaves it, also while flows go on."""
    add(control, path, name="one", wait_ms=10000)
    with net.connect(path) as conn:
        net.round_trip(conn, b"x")
        control.call("mapping.remove", name="one", drain_ms=30000)
        assert not os.path.exists(path)
        add(control, path, name="two", wait_ms=10000)
        check_echo(path)
        net.round_trip(conn, b"y")
        assert any(not flow.get("source") for flow in control.call("flow.list")["flows"])
    control.call("mapping.wait", name="two")
    check_echo(path)


def test_in_use(tunnelled, control, stack, path):
    """Of another program: failed, tried again, and nothing of it is touched."""
    upstream = net.UnixUpstream(net.echo, path)
    stack.callback(upstream.close)
    control.subscribe()
    mapping = add(control, path, name="app")
    assert mapping["runtime"]["state"] == "failed"
    assert mapping["runtime"]["last_error"]["kind"] == "address_in_use"
    assert is_listening(path)
    upstream.close()
    control.event(type="state", data="tunneling", name="app", timeout=40)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    check_echo(path)


def test_no_socket(tunnelled, control, path):
    with open(path, "w") as f:
        f.write("precious")
    mapping = add(control, path, name="app")
    assert mapping["runtime"]["state"] == "failed"
    assert "is no socket" in mapping["runtime"]["last_error"]["message"]
    control.call("mapping.remove", name="app")
    assert open(path).read() == "precious"
    error = control.call("mapping.add", spec=f"OUT^unix:{path}/x^ANY")["mapping"]["runtime"]
    assert "the folder is not there" in error["last_error"]["message"]


def test_not_ours_any_more(tunnelled, control, path):
    """Somebody has put another file in its place."""
    add(control, path, name="app", wait_ms=10000)
    os.rename(path, path + ".old")
    with open(path, "w") as f:
        f.write("precious")
    control.call("mapping.remove", name="app")
    assert open(path).read() == "precious"


# ---- what is refused, and what is said about it ----

@pytest.mark.parametrize("spec, options, why", [
    ("OUT^9000^unix:/run/app.sock", [], "make it the server's --tcp-upstream and write ANY"),
    ("IN^3000^unix:/run/app.sock", [], "a server listens on no path"),
    ("OUT^unix:/run/app.sock^ANY", ["--udp"], "for tcp only"),
    ("OUT^unix:app.sock^ANY", [], "absolute path"),
    ("OUT^unix:@app^ANY", [], "abstract sockets are not supported"),
    (f"OUT^unix:/{'x' * 107}^ANY", [], "at most 107 bytes"),
])
def test_refused(tunnelled, spec, options, why):
    done = tunnelled.ctl("add", *options, spec)
    assert done.status != 0 and why in done.err, done


@pytest.mark.parametrize("args", [
    ["server", "-p", "x", "-u", "unix:/run/app.sock"],
    ["server", "-p", "x", "-a", "unix:/run/app.sock"],
    ["client", "-p", "x", "-a", "unix:/run/app.sock", "-t", "OUT^9000^ANY"],
])
def test_no_place_for_a_path(fleet, args):
    status, out = fleet.run(*args)
    assert status == 2 and "is a UNIX socket" in out


def test_client_cannot_listen(fleet, path):
    """A role of the command line: the path is somebody else's."""
    with open(path, "w") as f:
        f.write("precious")
    process = fleet.role("client", "-a", "127.0.0.1:9", "-t", f"OUT^unix:{path}^ANY", ready=False)
    process.expect_exit(1)
    assert process.find_log(f"cannot listen on unix:{path}: something is there that is no socket")


def test_channel_to_a_path(tunnelled, control):
    error = control.error("channel.open", target="unix:/run/app.sock")
    assert "a server connects to no path" in error.message


def test_explain(tunnelled, control, stack, path):
    """The local side of an IN mapping is dialled; a default upstream is, by the server."""
    entry = f"127.0.0.1:{net.free_port()}"
    control.call("mapping.add", name="app", spec=f"IN^unix:{path}^{entry}", wait_ms=10000)
    done = tunnelled.ctl("explain", "app")
    assert done.status != 0 and f"unix:{path} refused the connection" in done.all, done
    upstream = net.UnixUpstream(net.echo, path)
    stack.callback(upstream.close)
    done = tunnelled.ctl("explain", "app", status=0)
    assert f"unix:{path} accepts connections from here" in done.all, done


def test_explain_the_upstream(daemon, control, stack, path):
    """The server dials its own when it is asked about ANY."""
    address = f"127.0.0.1:{net.free_port()}"
    control.call("server.add", name="front", addr=address, password="secret",
                 tcp_upstream=f"unix:{path}")
    control.call("client.add", name="home", server_addr=address, password="secret")
    control.call("mapping.add", name="app", spec="OUT^0^ANY", wait_ms=10000)
    done = daemon.ctl("explain", "app")
    assert done.status != 0 and "is the path right" in done.all, done
    stack.callback(net.UnixUpstream(net.echo, path).close)
    daemon.ctl("explain", "app", status=0)


def test_configuration(make_daemon, fleet, stack, path, tmp_path):
    """Every place of a path in a configuration file, and a reload that takes one away."""
    upstream = net.UnixUpstream(net.echo, str(tmp_path / "upstream"))
    stack.callback(upstream.close)
    address, conf = f"127.0.0.1:{net.free_port()}", tmp_path / "conf"
    entry = ("127.0.0.1", net.free_port())
    password = fleet.password_file("secret")
    text = (f"[server front]\naddr = {address}\npassword-file = {password}\n"
            f"tcp-upstream = {net.text(upstream.address)}\n"
            f"[client home]\nserver-addr = {address}\npassword-file = {password}\n"
            f"[mapping in]\nspec = IN^{net.text(upstream.address)}^{net.text(entry)}\n")
    listens = f"[mapping out]\nmode = out\nlocal = unix:{path}\nremote = ANY\n"
    conf.write_text(text + listens)
    daemon = make_daemon("--config", conf)
    daemon.connect().call("mapping.wait", name="in")
    check_echo(path)
    check_echo(entry)
    conf.write_text(text + listens + listens.replace("out]", "again]"))
    with pytest.raises(Error) as refused:
        daemon.connect().call("daemon.reload")
    assert f"unix:{path}" in str(refused.value.message), refused.value
    conf.write_text(text)
    daemon.connect().call("daemon.reload")
    assert not os.path.exists(path)
    check_echo(entry)
