# SPDX-License-Identifier: MIT
"""channel.open for udp: a connection of the control socket that carries datagrams, each behind its
length, and rstunctl connect --udp, which makes a read of standard input one and a write of each."""
import socket
import subprocess

import pytest

from harness import net
from harness.control import RSTUNCTL
from harness.daemon import limit, log_password
from test_channel import (Channel, channel, home, read_status, refused,  # noqa: F401
                          server, status_of, wait_callers)

SIZES = [4, 0, 1, 1472, 1501, 9000, 65507]


def frame(data):
    return len(data).to_bytes(2, "big") + data


def receive(conn):
    return net.read_exactly(conn, int.from_bytes(net.read_exactly(conn, 2), "big"))


def ask(conn, data):
    conn.sendall(frame(data))
    return receive(conn)


@pytest.fixture
def udp(channel):
    def make(target, client=None, early=b""):
        target = target if isinstance(target, str) else net.text(target)
        return channel(target, None, early, params={
            "target": target, "proto": "udp", **({"client": client} if client else {})})
    return make


@pytest.fixture
def quick(control, server):
    """A client whose flows do not stay long; the server's would."""
    control.call("client.add", name="quick", server_addr=server.address, password=server.password,
                 udp_timeout_ms=300)
    return "quick"


def test_sizes(server, udp, udp_upstream):
    upstream = udp_upstream()
    conn = udp(upstream.address).opened()
    for size in SIZES:
        data = b"".join(net.stream(size, size))
        assert ask(conn, data) == data
    assert [data for data, _ in upstream.received] == [
        b"".join(net.stream(size, size)) for size in SIZES]
    assert len(set(upstream.sources())) == 1


def test_early_and_pieces(server, udp, udp_upstream):
    """What comes behind the request, and frames that come byte by byte."""
    upstream = udp_upstream()
    conn = udp(upstream.address, early=frame(b"one") + frame(b"two")[:3]).opened()
    assert receive(conn) == b"one"
    for byte in frame(b"two")[3:] + frame(b"") + frame(b"three"):
        conn.sendall(bytes([byte]))
    assert [receive(conn) for _ in range(3)] == [b"two", b"", b"three"]


@pytest.mark.tsan
def test_while_it_waits(home, control, udp, udp_upstream):
    upstream = udp_upstream()
    c = udp(upstream.address, early=frame(b"early"))
    wait_callers(control, 2)
    c.socket.sendall(frame(b"later"))
    home.start_server()
    conn = c.opened()
    assert [receive(conn), receive(conn)] == [b"early", b"later"]
    wait_callers(control, 1)


def test_default_target(home, udp, udp_upstream):
    upstream = udp_upstream()
    home.start_server(udp_upstream=net.text(upstream.address))
    assert ask(udp("any").opened(), b"hello") == b"hello"


@pytest.mark.parametrize("target, status", [
    ("no-such-name.invalid:9", b"1100 name not found\n"), ("ANY", b"1106 denied by a rule\n")])
def test_target_that_is_none(server, udp, target, status):
    with udp(target) as c:
        fd = status_of(c)
        c.socket.sendall(frame(b"x"))
        assert net.read_all(c.socket).size == 0
        assert read_status(fd) == status


def test_port_that_nobody_listens_on(server, udp, udp_upstream):
    """No error, as UDP has it: who listens later gets what is sent then."""
    port = net.free_port()
    conn = udp((net.V4, port)).opened()
    conn.sendall(frame(b"x") * 3)
    udp_upstream(port=port)
    conn.sendall(frame(b"y"))
    while receive(conn) != b"y":
        pass


def test_half_closed(quick, udp, udp_upstream):
    """Answers still come, until the flow has been idle; then it ends as a whole."""
    upstream = udp_upstream(answer=lambda data: [data, data])
    with udp(upstream.address, quick) as c:
        fd = status_of(c)
        c.socket.sendall(frame(b"ping"))
        c.socket.shutdown(socket.SHUT_WR)
        assert [receive(c.socket), receive(c.socket)] == [b"ping", b"ping"]
        assert net.read_all(c.socket).size == 0
        assert read_status(fd) == b"0\n"


def test_nothing_and_half_closed(server, udp):
    with udp("127.0.0.1:9") as c:
        fd = status_of(c)
        c.socket.shutdown(socket.SHUT_WR)
        assert net.read_all(c.socket).size == 0
        assert read_status(fd) == b"0\n"


def ask_and_close(c, upstream):
    """Twenty datagrams that all arrive, and the caller's end of file; what the socket takes."""
    for i in range(20):
        c.socket.sendall(frame(bytes([i])))
    c.socket.shutdown(socket.SHUT_WR)
    with upstream.changed:
        assert upstream.changed.wait_for(lambda: len(upstream.received) == 20, limit(30))
    return c.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def test_half_closed_and_not_read(server, control, daemon, udp, udp_upstream):
    """More answers than the caller's socket takes: until the flow has been idle, nothing turns.
    What there was room for is whole."""
    control.call("client.add", name="slow", server_addr=server.address, password=server.password,
                 udp_timeout_ms=round(2000 * limit(1)))
    upstream = udp_upstream(answer=lambda data: [data + bytes(9000)] * 100)
    with udp(upstream.address, "slow") as c:
        fd = status_of(c)
        room = ask_and_close(c, upstream)
        for _ in range(2000):
            if control.call("flow.list")["flows"][0]["in_bytes"] > 2 * room:
                break
        else:
            raise AssertionError("the socket has not been full")
        before = daemon.process.cpu_seconds()
        assert read_status(fd) == b"0\n"
        assert daemon.process.cpu_seconds() - before < 0.5 * limit(1)
        data = receive(c.socket)
        assert data[1:] == bytes(9000)


def test_half_closed_and_read_later(server, udp, udp_upstream):
    """What waits for the caller goes on when there is room again."""
    upstream = udp_upstream(answer=lambda data: [data + bytes(9000)] * 100)
    with udp(upstream.address) as c:
        c.opened()
        room = ask_and_close(c, upstream)
        got = 0
        while got <= room:
            data = receive(c.socket)
            assert data[1:] == bytes(9000), data[:20]
            got += len(data)


def test_idle(quick, udp, udp_upstream):
    """A flow that was idle ends, the channel does not."""
    upstream = udp_upstream()
    conn = udp(upstream.address, quick).opened()
    conn.settimeout(limit(1))
    assert ask(conn, b"one") == b"one"
    while len(set(upstream.sources())) == 1:
        with pytest.raises(TimeoutError):
            conn.recv(1)
        assert ask(conn, b"two") == b"two"


@pytest.mark.tsan
@pytest.mark.parametrize("ended", [False, True])
def test_caller_that_dies(server, control, daemon, udp, udp_upstream, ended):
    upstream = udp_upstream()
    before = daemon.process.descriptors()
    for _ in range(10):
        c = udp(upstream.address)
        assert ask(c.opened(), b"x") == b"x"
        if ended:
            c.socket.shutdown(socket.SHUT_WR)
        c.socket.close()
    for _ in range(2000):
        if not control.call("flow.list")["flows"]:
            break
    else:
        raise AssertionError(control.call("flow.list"))
    assert daemon.process.descriptors() <= before + 8


def test_caller_that_does_not_read(server, udp, udp_upstream):
    """What waits for it is bounded, the rest is dropped, and nothing is torn."""
    upstream = udp_upstream(answer=lambda data: [data + bytes(9000)] * 100)
    conn = udp(upstream.address).opened()
    for i in range(20):
        conn.sendall(frame(bytes([i])))
    with upstream.changed:
        assert upstream.changed.wait_for(lambda: len(upstream.received) == 20, limit(30))
    upstream.answer = lambda data: [data]
    conn.sendall(frame(b"last"))
    count = 0
    while True:
        data = receive(conn)
        if data == b"last":
            break
        assert data[1:] == bytes(9000) and data[0] < 20, data[:20]
        count += 1
        if count % 50 == 0:  # the one before may have been dropped, too
            conn.sendall(frame(b"last"))
    assert 0 < count <= 2000


@pytest.mark.tsan
def test_client_that_is_removed(server, control, udp, udp_upstream):
    upstream = udp_upstream()
    with udp(upstream.address) as c:
        fd = status_of(c)
        assert ask(c.socket, b"x") == b"x"
        control.call("client.remove", name="home")
        assert net.read_all(c.socket).size == 0
        assert read_status(fd).startswith(b"1008 ")


def test_daemon_that_ends(server, daemon, udp, udp_upstream):
    """With one that goes on and one that waits."""
    upstream = udp_upstream()
    server.add_client("away", log_password())
    conn = udp(upstream.address, "home").opened()
    assert ask(conn, b"x") == b"x"
    udp(upstream.address, "away")
    with daemon.connect() as other:
        other.call("daemon.shutdown", drain_ms=0)
    net.read_all(conn)
    daemon.process.expect_exit(0)


def test_bad_params(server, control):
    for params, why in [({"proto": "sctp"}, "sctp"), ({"proto": 1}, "proto"),
                        ({"target": "unix:/x"}, "UNIX"), ({"target": "127.0.0.1:0"}, "port 0")]:
        error = refused(control, "invalid_params",
                        **{"target": "127.0.0.1:9", "proto": "udp", **params})
        assert why in error.message, error


def test_wrong_password(server, control):
    server.add_client("wrong", log_password())
    for _ in range(3):
        error = refused(control, "auth_failed", target="127.0.0.1:9", client="wrong", proto="udp")
        assert "c2" in error.message and error.hint == "rstunctl explain c2", error


def test_server_that_does_not_run(home, control):
    error = control.error("channel.open", target="127.0.0.1:9", proto="udp")
    assert error.kind == "timeout", error
    control.call("daemon.ping")


# ---- rstunctl connect --udp ----

def test_connect(server, daemon, udp_upstream):
    upstream = udp_upstream()
    process = daemon.ctl.start("connect", "--udp", net.text(upstream.address),
                               stdin=subprocess.PIPE, text=False, bufsize=0)
    for size in (4, 1, 1501, 30000):
        data = b"".join(net.stream(size, size))
        process.stdin.write(data)
        got = b""
        while len(got) < size:
            got += process.stdout.read(size - len(got))
        assert got == data
    assert [len(data) for data, _ in upstream.received] == [4, 1, 1501, 30000]
    daemon.process.kill()
    assert process.wait(limit(30)) != 0
    assert b"the daemon went away" in process.stderr.read()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


def test_connect_to_its_end(quick, daemon, udp_upstream):
    """Standard input ends: the answer is waited for."""
    upstream = udp_upstream()
    done = subprocess.run([RSTUNCTL, "connect", "-u", net.text(upstream.address), "--client",
                           quick], input=b"ping", capture_output=True, timeout=limit(60),
                          env=daemon.ctl.environment(), check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ping", b"")


def test_connect_refused(server, daemon):
    target = "no-such-name.invalid:9"
    done = subprocess.run([RSTUNCTL, "connect", "--udp", target], input=b"ping",
                          capture_output=True, timeout=limit(60),
                          env=daemon.ctl.environment(), check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == f"rstunctl: connect: {target}: name not found\n".encode()
