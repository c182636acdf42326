# SPDX-License-Identifier: MIT
"""channel.open: a connection of the control socket that becomes one through a client's tunnel; and
rstunctl connect, which joins standard input and output to one."""
import contextlib
import json
import os
import select
import socket
import subprocess

import pytest

from harness import net
from harness.control import RSTUNCTL, Control, Failure
from harness.daemon import limit, log_password
from test_programs import needs, private_sshd

MIB = 1 << 20


@pytest.fixture
def home(daemon, control):
    """A client within the daemon, and its server when a test starts it."""
    class Home:
        address = f"127.0.0.1:{net.free_port()}"
        password = log_password()

        def add_client(self, name, password=None):
            control.call("client.add", name=name, server_addr=self.address,
                         password=password or self.password)

        def start_server(self, **params):
            control.call("server.add", name="front", addr=self.address, password=self.password,
                         **params)
    home = Home()
    daemon.process.secrets.append(home.password)
    home.add_client("home")
    return home


@pytest.fixture
def server(home):
    home.start_server()
    return home


class Channel:
    """A raw socket that has asked; what comes behind the reply's line is the flow."""

    def __init__(self, path, target, client=None, early=b"", timeout=30, **request):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(limit(timeout))
        self.socket.connect(path)
        params = {"target": target if isinstance(target, str) else net.text(target)}
        if client is not None:
            params["client"] = client
        text = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "channel.open", "params": params,
                           **request})
        self.socket.sendall(text.encode() + b"\n" + early)

    def reply(self):
        """Byte by byte: nothing behind the line is taken."""
        line = b""
        while not line.endswith(b"\n"):
            line += net.read_exactly(self.socket, 1)
        reply = json.loads(line)
        assert reply["id"] == 7, reply
        return reply

    def opened(self):
        reply = self.reply()
        assert "result" in reply, reply
        return self.socket

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@pytest.fixture
def channel(daemon, stack):
    def make(target, client=None, early=b"", **request):
        return stack.enter_context(Channel(daemon.socket, target, client, early, **request))
    return make


def wait_callers(control, count):
    """A connection that was handed over counts until the main thread has heard of it; each call
    makes it look."""
    for _ in range(2000):
        got = control.call("daemon.status")["callers"]
        if got == count:
            return
    raise AssertionError(f"{got} callers, not {count}")


def refused(control, kind, **params):
    """The error, and the connection still takes calls."""
    error = control.error("channel.open", **params)
    assert error.kind == kind, error
    control.call("daemon.ping")
    return error


# ---- bytes ----

@pytest.mark.parametrize("host", [net.V4, net.V6, "localhost"])
def test_reply_then_bytes(server, control, channel, tcp_upstream, host):
    upstream = tcp_upstream(net.echo, net.V4 if host == "localhost" else host)
    target = net.text((host, upstream.address[1]))
    c = channel(target)
    reply = c.reply()
    control.schema.check_result("channel.open", reply["result"])
    assert reply == {"jsonrpc": "2.0", "id": 7, "result": {"client": "c1", "target": target}}
    assert net.round_trip(c.socket, b'{"jsonrpc":"2.0"}\n') == b'{"jsonrpc":"2.0"}\n'
    c.socket.shutdown(socket.SHUT_WR)
    assert net.read_all(c.socket).end == "eof"
    assert upstream.result().end == "eof"


def test_default_target(home, channel, tcp_upstream):
    """ANY is the server's own upstream."""
    upstream = tcp_upstream(net.banner(b"hello\n"))
    home.start_server(tcp_upstream=net.text(upstream.address))
    conn = channel("any").opened()
    assert net.read_exactly(conn, 6) == b"hello\n"


def test_no_default_target(server, channel):
    conn = channel("ANY").opened()
    assert net.read_all(conn).size == 0


def test_ten_megabytes_both_ways(server, channel, tcp_upstream):
    def handler(conn):
        sender = net.in_thread(net.send_and_finish, conn, 2, 10 * MIB)
        got = net.read_all(conn)
        sender.join()
        return got
    upstream = tcp_upstream(handler)
    conn = channel(upstream.address).opened()
    sender = net.in_thread(net.send_and_finish, conn, 1, 10 * MIB)
    got = net.read_all(conn)
    sender.join()
    assert (got.end, got.size, got.hash) == ("eof", 10 * MIB, net.stream_hash(2, 10 * MIB))
    got = upstream.result()
    assert (got.end, got.size, got.hash) == ("eof", 10 * MIB, net.stream_hash(1, 10 * MIB))


@pytest.mark.parametrize("early", [b"x", b"\n", b'{"id":1}\n{"id":2}\n', bytes(7000)],
                         ids=["byte", "newline", "lines", "7000"])
def test_early_bytes(server, channel, tcp_upstream, early):
    """What is behind the request's line is the flow's, whatever it looks like; and the end."""
    upstream = tcp_upstream(net.echo)
    c = channel(upstream.address, early=early)
    c.socket.shutdown(socket.SHUT_WR)
    conn = c.opened()
    assert net.read_exactly(conn, len(early)) == early
    assert net.read_all(conn).end == "eof"


@pytest.mark.tsan
def test_bytes_while_it_waits(home, control, channel, tcp_upstream):
    """They stay where they are until there is a tunnel."""
    upstream = tcp_upstream(net.echo)
    c = channel(upstream.address, early=b"early ")
    wait_callers(control, 2)
    c.socket.sendall(b'{"jsonrpc":"2.0","id":8,"method":"daemon.ping"}\n')
    home.start_server()
    expected = b'early {"jsonrpc":"2.0","id":8,"method":"daemon.ping"}\n'
    assert net.read_exactly(c.opened(), len(expected)) == expected


def test_server_half_closes_first(server, channel, tcp_upstream):
    def handler(conn):
        conn.shutdown(socket.SHUT_WR)
        return net.read_all(conn)
    upstream = tcp_upstream(handler)
    conn = channel(upstream.address).opened()
    assert net.read_all(conn).end == "eof"
    net.send_and_finish(conn, 3, MIB)
    got = upstream.result()
    assert (got.end, got.hash) == ("eof", net.stream_hash(3, MIB))


def test_client_half_closes_first(server, channel, tcp_upstream):
    def handler(conn):
        got = net.read_all(conn)
        net.send_stream(conn, 5, MIB)
        return got
    upstream = tcp_upstream(handler)
    conn = channel(upstream.address).opened()
    net.send_and_finish(conn, 4, 100_000)
    got = net.read_all(conn)
    assert (got.end, got.hash) == ("eof", net.stream_hash(5, MIB))
    assert upstream.result().hash == net.stream_hash(4, 100_000)


def test_refused_target(server, channel):
    """It ends without a byte; writing to it fails."""
    conn = channel(("127.0.0.1", net.free_port())).opened()
    assert net.read_all(conn).size == 0
    with pytest.raises(BrokenPipeError):
        conn.sendall(b"x")


def test_reset_by_the_target(server, channel, tcp_upstream):
    upstream = tcp_upstream(lambda conn: (net.read_exactly(conn, 1), net.reset(conn)))
    conn = channel(upstream.address, early=b"x").opened()
    net.read_all(conn)
    with pytest.raises(BrokenPipeError):
        conn.sendall(b"x")


def test_caller_that_dies(server, channel, tcp_upstream):
    """close() without an end of its side is a UNIX socket's only way to go; the target hears."""
    upstream = tcp_upstream(net.sink)
    c = channel(upstream.address)
    c.opened()
    upstream.wait_accepted(1)
    c.socket.close()
    assert upstream.result().end in ("eof", "rst")


# ---- what the daemon knows of it ----

def test_it_is_no_caller_any_more(server, control, channel, tcp_upstream):
    upstream = tcp_upstream(net.echo)
    conns = [channel(upstream.address).opened() for _ in range(20)]
    wait_callers(control, 1)
    for conn in conns:
        net.round_trip(conn, b"x" * 1000)
    for conn in conns:
        conn.close()
    wait_callers(control, 1)


def test_what_is_shown(server, control, channel, tcp_upstream, daemon):
    """No mapping, but flows of the server's session."""
    upstream = tcp_upstream(net.echo)
    control.subscribe(types=["state", "flow"])
    conn = channel(upstream.address).opened()
    net.round_trip(conn, b"x" * 10)
    assert control.call("mapping.list")["mappings"] == []
    assert control.call("daemon.status")["mappings"]["total"] == 0
    flows = control.call("flow.list")["flows"]
    assert {flow["target"] for flow in flows} == {net.text(upstream.address)}, flows
    for flow in flows:
        assert "mapping" in flow or "session" in flow, flow
    control.call("stats.get")
    control.call("metrics.get")
    daemon.ctl("flows", status=0)
    conn.close()
    control.call("client.get", name="home")
    control.call("client.remove", name="home")
    assert control.call("client.list")["clients"] == []


@pytest.mark.tsan
def test_client_that_is_removed(server, control, channel, tcp_upstream):
    upstream = tcp_upstream(net.sink)
    conn = channel(upstream.address).opened()
    upstream.wait_accepted(1)
    control.call("client.remove", name="home")
    net.read_all(conn)
    assert upstream.result().end in ("eof", "rst")


def test_daemon_that_ends(server, daemon, channel, tcp_upstream):
    """With one that goes on and one that waits."""
    upstream = tcp_upstream(net.sink)
    server.add_client("away", log_password())
    conn = channel(upstream.address, "home").opened()
    upstream.wait_accepted(1)
    with daemon.connect() as other:
        other.call("daemon.shutdown", drain_ms=0)
    net.read_all(conn)
    daemon.process.expect_exit(0)


# ---- errors: the connection stays what it was ----

@pytest.mark.parametrize("target, why", [
    ("", "empty"), ("10.0.0.5", ""), ("10.0.0.5:0", "port 0"), ("a.example:0", "port 0"),
    ("10.0.0.5:70000", "column"), (":22", ""), ("a b:22", "column 2"), ("SOCKS5", ""), ("[::1]", ""), ("x" * 300 + ":1", "")])
def test_bad_target(server, control, target, why):
    error = refused(control, "invalid_params", target=target)
    assert "target" in error.message and why in error.message, error


def test_no_target(server, control):
    refused(control, "invalid_params")
    refused(control, "invalid_params", target=22)


def test_unknown_client(server, control):
    refused(control, "not_found", target="127.0.0.1:9", client="nobody")


def test_which_client(server, control):
    """With two of them one must be named."""
    server.add_client("other")
    error = control.error("channel.open", target="127.0.0.1:9")
    assert "client" in error.message, error
    control.call("daemon.ping")


def test_no_client(control):
    error = control.error("channel.open", target="127.0.0.1:9")
    assert error.kind == "not_found" and "rstunctl client add" in error.hint, error


def test_in_a_batch(server, control, tcp_upstream):
    upstream = tcp_upstream(net.echo)
    replies = control.batch([("daemon.ping", {}),
                             ("channel.open", {"target": net.text(upstream.address)})])
    assert "result" in replies[0] and replies[1]["error"]["data"]["kind"] == "invalid_request"
    assert "of its own" in replies[1]["error"]["message"], replies[1]
    control.call("daemon.ping")
    assert upstream.accepted == 0


def test_with_another_call_in_flight(server, control, tcp_upstream):
    upstream = tcp_upstream(net.echo)
    control.call("mapping.add", spec=f"OUT^{net.free_port()}^ANY", name="web")
    waiting = control.send("mapping.wait", name="web", state="paused", timeout_ms=60000)
    refused(control, "invalid_request", target=net.text(upstream.address))
    control.call("rpc.cancel", id=waiting)
    assert control.reply(waiting)["error"]["data"]["kind"] == "cancelled"
    control.result(control.send("channel.open", target=net.text(upstream.address)))


def test_with_a_subscription(server, control, tcp_upstream):
    upstream = tcp_upstream(net.echo)
    sub = control.subscribe()["sub"]
    refused(control, "invalid_request", target=net.text(upstream.address))
    control.call("events.unsubscribe", sub=sub)
    control.result(control.send("channel.open", target=net.text(upstream.address)))


def test_notification(server, control, tcp_upstream):
    """There is nobody to tell, so nothing happens."""
    upstream = tcp_upstream(net.echo)
    control.line(json.dumps({"jsonrpc": "2.0", "method": "channel.open",
                             "params": {"target": net.text(upstream.address)}}))
    control.call("daemon.ping")
    assert upstream.accepted == 0 and not any(control.replies.values())


def test_bytes_behind_a_refused_request(server, daemon):
    """They are a request again."""
    with Channel(daemon.socket, "nonsense", early=b'{"jsonrpc":"2.0","id":7,'
                 b'"method":"daemon.ping","params":{}}\n') as c:
        assert c.reply()["error"]["data"]["kind"] == "invalid_params"
        assert "uptime_ms" in c.reply()["result"]


def test_too_many_early_bytes(server, daemon):
    """8 KiB behind the request are surely taken; what is more may be refused, and not cut."""
    with Channel(daemon.socket, "nonsense", early=b" " * 12000 + b"\n") as c:
        assert "error" in c.reply()  # now the daemon reads more at once
        request = {"jsonrpc": "2.0", "id": 7, "method": "channel.open",
                   "params": {"target": "127.0.0.1:9"}}
        c.socket.sendall(json.dumps(request).encode() + b"\n" + bytes(15000) + b"\n")
        error = c.reply()["error"]
        assert error["data"]["kind"] == "invalid_request", error
        assert "8192 bytes came behind the request" in error["message"], error


def test_server_that_does_not_run(home, control):
    """The limit is 5 s; a second one waits as long from its own beginning."""
    with Control(control.path, schema=control.schema, timeout=20) as other:
        numbers = [(c, c.send("channel.open", target="127.0.0.1:9")) for c in (control, other)]
        for c, number in numbers:
            error = c.reply(number, 20)["error"]
            assert error["data"]["kind"] == "timeout", error
            assert error["data"]["hint"] == "rstunctl explain c1", error
            c.call("daemon.ping")


def test_wrong_password(server, control):
    """Told at once, and again without another attempt at the server."""
    server.add_client("wrong", log_password())
    for _ in range(3):
        error = refused(control, "auth_failed", target="127.0.0.1:9", client="wrong")
        assert "c2" in error.message and error.hint == "rstunctl explain c2", error
    with pytest.raises(Failure):
        control.error("channel.open", target="127.0.0.1:9", client="home")


def test_password_that_was_mended(server, control, channel, tcp_upstream):
    """A client that is changed is another one: nothing of the failure is kept."""
    upstream = tcp_upstream(net.echo)
    server.add_client("wrong", log_password())
    refused(control, "auth_failed", target=net.text(upstream.address), client="wrong")
    control.call("client.set", name="wrong", password=server.password)
    conn = channel(upstream.address, "wrong").opened()
    net.round_trip(conn, b"x" * 100)


@pytest.mark.long
@pytest.mark.parametrize("server_runs", [True, False])
def test_tunnel_that_nobody_uses(home, control, daemon, channel, tcp_upstream, server_runs):
    """It is closed a minute after the last channel, also when that came to nothing."""
    upstream = tcp_upstream(net.echo)
    if server_runs:
        home.start_server()
        channel(upstream.address).opened().close()
    else:
        refused(control, "timeout", target=net.text(upstream.address))
        home.start_server()
    daemon.process.wait_log("login of channel tcp")
    daemon.process.wait_log("ended: .*the mapping was removed", timeout=90)


# ---- callers that go ----

@pytest.mark.tsan
def test_caller_that_goes_while_it_waits(home, control, daemon, tcp_upstream):
    """It opens nothing but for a moment, and nothing of it is left."""
    upstream = tcp_upstream(net.echo)
    before = daemon.process.descriptors()
    for _ in range(10):
        with Channel(daemon.socket, upstream.address):
            wait_callers(control, 2)
        wait_callers(control, 1)
    home.start_server()
    with Channel(daemon.socket, upstream.address) as c:
        net.round_trip(c.opened(), b"x" * 100)
    wait_callers(control, 1)
    assert daemon.process.descriptors() <= before + 8


# ---- rstunctl connect ----

def connect(daemon, target, *args, data=b"", **options):
    """rstunctl connect to its end; (status, what came, what it said)."""
    done = subprocess.run([RSTUNCTL, "connect", target, *args], input=data, capture_output=True,
                          env=daemon.ctl.environment(), timeout=limit(60), check=False, **options)
    return done.returncode, done.stdout, done.stderr.decode()


def test_connect(server, daemon, tcp_upstream):
    upstream = tcp_upstream(net.echo)
    data = b"".join(net.stream(1, 10 * MIB))
    assert connect(daemon, net.text(upstream.address), data=data) == (0, data, "")
    assert upstream.result().hash == net.stream_hash(1, 10 * MIB)


def test_connect_half_closed_by_the_target(server, daemon, tcp_upstream):
    """Standard output ends; what comes by standard input still goes out."""
    def handler(conn):
        conn.sendall(b"bye")
        conn.shutdown(socket.SHUT_WR)
        return net.read_all(conn)
    upstream = tcp_upstream(handler)
    process = daemon.ctl.start("connect", net.text(upstream.address), stdin=subprocess.PIPE,
                               text=False)
    assert process.stdout.read() == b"bye"
    for block in net.stream(2, MIB):
        process.stdin.write(block)
    process.stdin.close()
    assert process.wait(limit(30)) == 0
    assert upstream.result().hash == net.stream_hash(2, MIB)
    process.stdout.close()
    process.stderr.close()


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("how", ["refused", "reset", "reset amid bytes"])
def test_connect_reset(server, daemon, tcp_upstream, how, ended):
    """Whether standard input is open or has ended."""
    def handler(conn):
        if how == "reset":
            conn.sendall(b"x")
            net.read_exactly(conn, 1)
        else:
            net.send_stream(conn, 1, MIB)
        net.reset(conn)
    target = tcp_upstream(handler).address if how != "refused" else ("127.0.0.1", net.free_port())
    process = daemon.ctl.start("connect", net.text(target), stdin=subprocess.PIPE, text=False)
    if how == "reset":
        assert process.stdout.read(1) == b"x"
        process.stdin.write(b"x")
        process.stdin.flush()
    if ended:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    process.stdout.read()
    assert process.wait(limit(30)) == 1
    why = "connection refused" if how == "refused" else "reset"
    assert process.stderr.read() == f"rstunctl: connect: {net.text(target)}: {why}\n".encode()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.stdout.close()
    process.stderr.close()


def test_connect_reset_amid_an_upload(server, daemon, tcp_upstream):
    """Bytes that were never taken are no success."""
    upstream = tcp_upstream(lambda conn: (net.read_exactly(conn, MIB), net.reset(conn)))
    with open("/dev/zero", "rb") as zero:
        done = subprocess.run([RSTUNCTL, "connect", net.text(upstream.address)], stdin=zero,
                              capture_output=True, env=daemon.ctl.environment(),
                              timeout=limit(60), check=False)
    assert done.returncode == 1, done
    assert done.stderr == f"rstunctl: connect: {net.text(upstream.address)}: reset\n".encode()


def status_of(channel):
    """The descriptor that comes with the reply."""
    data, fds, _, _ = socket.recv_fds(channel.socket, 65536, 4)
    assert data.endswith(b"\n") and len(fds) == 1, (data, fds)
    return fds[0]


def read_status(fd):
    """Its one line; a pipe of the daemon's, which does not block."""
    try:
        assert select.select([fd], [], [], limit(30))[0]
        return os.read(fd, 1000)
    finally:
        os.close(fd)


@pytest.mark.tsan
def test_status(server, channel, tcp_upstream):
    """A UNIX socket knows no reset: how a channel ended is said beside it."""
    with channel(tcp_upstream(net.echo).address) as one:
        status = status_of(one)
        one.socket.sendall(b"x")
        one.socket.shutdown(socket.SHUT_WR)
        assert net.read_all(one.socket).size == 1
        assert read_status(status) == b"0\n"
    with channel(("127.0.0.1", net.free_port())) as one:
        status = status_of(one)
        assert read_status(status) == b"1112 connection refused\n"
    with channel(tcp_upstream(net.reset).address) as one:
        status = status_of(one)
        assert read_status(status).split(b" ", 1)[1] == b"reset\n"


def test_connect_whose_daemon_dies(server, daemon, tcp_upstream):
    upstream = tcp_upstream(net.banner(b"hello", b""))
    process = daemon.ctl.start("connect", net.text(upstream.address), stdin=subprocess.PIPE,
                               text=False)
    assert process.stdout.read(5) == b"hello"
    daemon.process.kill()
    assert process.wait(limit(30)) != 0
    assert b"the daemon went away" in process.stderr.read()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


def test_connect_whose_reader_goes(server, daemon, tcp_upstream):
    """Nobody reads its standard output any more: it ends, and so does the flow."""
    def handler(conn):
        with pytest.raises(OSError):
            while True:
                conn.sendall(bytes(net.BLOCK))
        return "ended"
    upstream = tcp_upstream(handler)
    process = daemon.ctl.start("connect", net.text(upstream.address), stdin=subprocess.PIPE,
                               text=False)
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(limit(30)) == 1
    assert b"Broken pipe" in process.stderr.read()
    assert upstream.result() == "ended"
    process.stdin.close()
    process.stderr.close()


def test_connect_exit_status(server, daemon, control):
    status, out, err = connect(daemon, "nonsense:port:1")
    assert (status, out) in ((1, b""), (2, b"")) and "target" in err, err
    assert connect(daemon, "127.0.0.1:9", "--client", "nobody")[0] == 5
    daemon.ctl("connect", status=2)
    daemon.ctl("connect", "127.0.0.1:9", "x", status=2)
    server.add_client("wrong", log_password())
    status, out, err = connect(daemon, "127.0.0.1:9", "--client", "wrong")
    assert status in (1, 4) and "password" in err and "rstunctl explain c2" in err, (status, err)


def test_connect_without_a_daemon(fleet):
    done = subprocess.run([RSTUNCTL, "--socket", fleet.directory() + "/none", "connect", "a:1"],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=limit(30),
                          check=False)
    assert done.returncode == 3, done


@pytest.mark.tsan
def test_connect_200_at_once(server, daemon, tcp_upstream):
    """More than the daemon takes callers: those that are too many wait for their turn."""
    upstream = tcp_upstream(net.echo)
    processes = [daemon.ctl.start("connect", net.text(upstream.address), stdin=subprocess.PIPE,
                                  text=False) for _ in range(200)]

    def run(number, process):
        data = b"".join(net.stream(number, 20_000))
        out, err = process.communicate(data, timeout=limit(60))
        return process.returncode, out == data, err
    tasks = [net.in_thread(run, *pair) for pair in enumerate(processes)]
    got = net.all_of(tasks)
    assert {row for row in got} == {(0, True, b"")}, [row for row in got if row[0] or not row[1]]


@needs("ssh", "sshd", "ssh-keygen")
def test_ssh_by_proxy_command(server, daemon, tmp_path, stack):
    port, options = private_sshd(tmp_path, stack)
    ssh = ["ssh", *options, "-p", str(port), "-o",
           f"ProxyCommand={RSTUNCTL} connect %h:%p", "127.0.0.1"]
    data = b"".join(net.stream(1, 4 * MIB))
    done = subprocess.run([*ssh, "sha256sum; exit 7"], input=data, capture_output=True,
                          timeout=limit(60), env=daemon.ctl.environment(), check=False)
    assert done.returncode == 7, done.stderr
    assert done.stdout.split()[0].decode() == net.stream_hash(1, 4 * MIB)
