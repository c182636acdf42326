# SPDX-License-Identifier: MIT
"""What systemd sees of the daemon: the notify socket, the watchdog, sockets that it hands over. The
test plays systemd."""
import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

from harness import net, stop_thread
from harness.control import Control
from harness.daemon import RSTUND, limit, log_password
from harness.notify import Notify


@pytest.fixture(params=[False, True], ids=["path", "abstract"])
def notify(request, fleet, stack):
    notify = Notify(fleet.directory(), request.param)
    stack.callback(notify.close)
    return notify


def config_file(fleet, text):
    path = os.path.join(fleet.directory(), "rstund.conf")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(text)
    return path


def test_life(notify, make_daemon, fleet):
    """READY=1 when the sockets are bound, not before; RELOADING=1 and READY=1 around a reload;
    STOPPING=1 at the end; a status that people can read."""
    address = (net.V4, net.free_port())
    path = config_file(fleet, f"[server front]\naddr = {net.text(address)}\n"
                              f"password-file = {fleet.password_file(log_password())}\n")
    daemon = make_daemon("--config", path, env={"NOTIFY_SOCKET": notify.address}, start=False)
    daemon.start(ready=False)
    ready = notify.wait(READY="1")
    assert not any("READY" in said or "STOPPING" in said for said in notify.seen[:-1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, pytest.raises(OSError):
        s.bind(address)
    with Control(daemon.socket) as control:  # it answers, at once
        assert control.call("server.list")["servers"][0]["runtime"]["state"] == "listening"
    assert "STATUS" in ready or notify.wait(STATUS=None)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    daemon.reload()
    reloading = notify.wait(RELOADING="1")
    assert before <= int(reloading["MONOTONIC_USEC"]) <= \
        time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify.wait(READY="1")
    with open(path, "a", encoding="utf-8") as f:
        f.write("nonsense = 1\n")
    daemon.reload()
    notify.wait(RELOADING="1")
    notify.wait(READY="1")  # the old one stays, and it runs
    daemon.process.signal(signal.SIGTERM)
    stopping = notify.wait(STOPPING="1")
    assert "SIGTERM" in stopping.get("STATUS", "SIGTERM")
    daemon.process.stop()
    assert not any("WATCHDOG" in said for said in notify.seen)


def test_not_ready(fleet, stack, make_daemon):
    """A listener of the command line that cannot be bound: never READY=1, and an error."""
    notify = Notify(fleet.directory())
    stack.callback(notify.close)
    holder = net.UdpUpstream()
    stack.callback(holder.close)
    status, log = fleet.run("server", "-a", net.text(holder.address), "--password-file",
                            fleet.password_file(log_password()), "--state-dir", fleet.directory(),
                            "--socket", os.path.join(fleet.directory(), "s"),
                            env={"NOTIFY_SOCKET": notify.address})
    assert status != 0 and net.text(holder.address) in log
    notify.drain()
    assert not any(b"READY" in said for said in notify.seen)


def wait_stopped(pid):
    """SIGSTOP has been taken: the parent is told so."""
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


@pytest.mark.tsan
def test_watchdog(fleet, stack, make_daemon):
    """WATCHDOG=1 comes at least twice in the interval while it lives; not while it stands still."""
    notify = Notify(fleet.directory())
    stack.callback(notify.close)
    interval = limit(0.4)
    daemon = make_daemon(env={"NOTIFY_SOCKET": notify.address,
                              "WATCHDOG_USEC": str(int(interval * 1e6))})
    notify.wait(WATCHDOG="1")
    began = time.monotonic()
    for _ in range(4):
        notify.wait(WATCHDOG="1")
    assert time.monotonic() - began < 4 * interval
    daemon.process.signal(signal.SIGSTOP)
    wait_stopped(daemon.process.pid)
    notify.drain()
    notify.quiet(1.5 * interval)
    daemon.process.signal(signal.SIGCONT)
    notify.wait(WATCHDOG="1")


@pytest.mark.root
def test_watchdog_hung_worker(fleet, stack, make_daemon):
    """One worker hangs, and the main loop goes on: that is a hung tunnel, so WATCHDOG=1 stops. It
    comes again when the worker does."""
    notify = Notify(fleet.directory())
    stack.callback(notify.close)
    interval = limit(0.4)
    daemon = make_daemon("--workers", "3", env={"NOTIFY_SOCKET": notify.address,
                                                "WATCHDOG_USEC": str(int(interval * 1e6))})
    notify.wait(WATCHDOG="1")
    workers = sorted(stop_thread.threads(daemon.process.pid))[-3:]  # they are started last
    control = daemon.connect()
    for worker in workers[1:]:
        try:
            stop = stack.enter_context(contextlib.ExitStack())
            stop.enter_context(stop_thread.stopped(worker))
        except PermissionError:
            pytest.skip("ptrace of another process is not permitted here")
        notify.drain()
        with contextlib.suppress(TimeoutError):  # one that was on its way
            notify.next(interval / limit(1))
        notify.quiet(1.5 * interval)
        control.call("daemon.ping")  # the main loop is well
        stop.close()
        notify.wait(WATCHDOG="1")


def test_watchdog_of_another(fleet, stack, make_daemon):
    """WATCHDOG_PID of another process: it is not meant for us."""
    notify = Notify(fleet.directory())
    stack.callback(notify.close)
    make_daemon(env={"NOTIFY_SOCKET": notify.address, "WATCHDOG_USEC": "20000",
                     "WATCHDOG_PID": "1"})
    notify.drain()
    notify.quiet(0.2)
    assert not any(b"WATCHDOG" in said for said in notify.seen)


LAUNCHER = """
import os, sys
os.dup2(0, 3)
os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
os.set_inheritable(0, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="control")
os.execv(sys.argv[1], sys.argv[1:])
"""


class Activated:
    """systemd's part: it holds the socket and starts the program with it as descriptor 3."""

    def __init__(self, fleet, stack):
        self.fleet = fleet
        self.path = os.path.join(fleet.directory(), "control.sock")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stack.callback(self.listener.close)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.state = fleet.directory()

    def start(self, *args, **options):
        return self.fleet.start([sys.executable, "-c", LAUNCHER, RSTUND, "--state-dir", self.state,
                                 *args], "activated", stdin=self.listener, **options)


def test_activation(fleet, stack):
    """A caller that came before the daemon is served; the socket stays when the daemon ends, and
    the next one serves it again."""
    passed = Activated(fleet, stack)
    inode = os.stat(passed.path).st_ino
    early = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stack.callback(early.close)
    early.connect(passed.path)
    early.sendall(b'{"jsonrpc":"2.0","id":1,"method":"daemon.ping"}\n')
    for _ in range(2):
        daemon = passed.start()
        early.settimeout(limit(20))
        assert b'"result"' in early.recv(4096)
        with Control(passed.path) as control:
            assert control.call("daemon.info")["pid"] == daemon.pid
            assert control.call("mapping.list")["mappings"] == []
        daemon.stop()
        early.close()
        assert os.stat(passed.path).st_ino == inode and stat.S_ISSOCK(os.stat(passed.path).st_mode)
        early = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stack.callback(early.close)
        early.connect(passed.path)
        early.sendall(b'{"jsonrpc":"2.0","id":1,"method":"daemon.ping"}\n')


def test_activation_of_another(fleet, stack):
    """LISTEN_PID of another process: the variables are not ours, and it makes its own socket."""
    own = os.path.join(fleet.directory(), "s")
    daemon = fleet.rstund("--state-dir", fleet.directory(), "--socket", own, ready=True,
                          env={"LISTEN_PID": "1", "LISTEN_FDS": "1"}).wait_ready()
    with Control(own) as control:
        assert control.call("daemon.info")["pid"] == daemon.pid


def test_activation_refused(fleet):
    """Descriptors that are no listening UNIX socket: an error that says so."""
    done = subprocess.run([sys.executable, "-c", LAUNCHER, RSTUND, "--state-dir",
                           fleet.directory()], capture_output=True, text=True, timeout=limit(20),
                          stdin=subprocess.DEVNULL, check=False)
    assert done.returncode > 0 and "socket activation" in done.stderr, done
