# SPDX-License-Identifier: MIT
"""rstunctl's commands that go on: events (with resume), run, wait, log -f."""
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading

import pytest

from harness import net
from harness.control import RSTUNCTL, Control
from harness.daemon import limit, read_until
from harness.terminal import Terminal


class Running:
    """A rstunctl that goes on; its lines are read as they come."""

    def __init__(self, ctl, *args):
        self.process = ctl.start(*args, stderr=subprocess.STDOUT)
        self.rest = b""
        self.lines = []

    def line(self, pattern, timeout=20):
        """The next line that matches; those before are kept in `lines` too."""
        expression = re.compile(pattern)
        while True:
            while b"\n" not in self.rest:
                self.rest += read_until(self.process.stdout.fileno(), rb"\n", timeout)
            line, self.rest = self.rest.split(b"\n", 1)
            self.lines.append(line.decode())
            if expression.search(self.lines[-1]):
                return self.lines[-1]

    def event(self, **members):
        """The next event with these members."""
        while True:
            found = json.loads(self.line(r"^{"))
            if all(found.get(k) == v for k, v in members.items()):
                return found

    def events(self):
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def end(self, number=signal.SIGINT):
        """Ends it; returns the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        status = self.process.wait(limit(20))
        self.process.stdout.close()
        return status


@pytest.fixture
def start(daemon, stack):
    def start(*args):
        running = Running(daemon.ctl, *args)
        stack.callback(discard, running)
        return running
    return start


def discard(running):
    if running.process.poll() is None:
        running.process.kill()
        running.wait()


@pytest.fixture
def upstream(tcp_upstream):
    return tcp_upstream(net.echo)


def check_numbers(events):
    """Rising; `n` counts without holes."""
    numbers = [e["seq"] for e in events if "n" in e]
    assert numbers == sorted(numbers), numbers
    assert [e["n"] for e in events if "n" in e] == list(range(1, len(numbers) + 1))


@pytest.mark.tsan
def test_events_resume(daemon, control, start):
    """Killed with -9 twenty times while mappings come and go, and started again with --since: it
    goes on behind what was read; nothing is missing, nothing comes twice."""
    control.call("client.add", name="home", server_addr="127.0.0.1:9", password="no secret 1")
    epoch = control.call("daemon.info")["epoch"]
    count, ahead = 600, threading.Semaphore(200)  # that far: the daemon does not keep all

    def load():
        with Control(daemon.socket, schema=False) as other:
            for i in range(count):
                assert ahead.acquire(timeout=limit(20))
                other.call("mapping.add", spec=f"OUT^{10000 + i}^ANY", paused=True, name=f"n{i}",
                           persist=False)
                other.call("mapping.remove", name=f"n{i}")

    rng = random.Random(1)
    arguments = ("events", "--json", "--types", "mapping", "--since")
    reader = start(*arguments, "1h")
    loading = net.in_thread(load)
    seen = []
    for _ in range(20):
        for _ in range(rng.randrange(1, 50)):
            reader.event(type="mapping")
            ahead.release()
        seen += reader.events()
        check_numbers(reader.events())
        assert reader.end(signal.SIGKILL) == -signal.SIGKILL
        reader = start(*arguments, f"{epoch}:{seen[-1]['seq']}")
    ahead.release(count)
    loading.join()
    while reader.event(type="mapping")["name"] != f"n{count - 1}":
        pass
    reader.event(type="mapping", data="removed")
    seen += reader.events()
    assert [(e["data"], e["name"]) for e in seen] == \
        [(data, f"n{i}") for i in range(count) for data in ("added", "removed")]
    assert [e["seq"] for e in seen] == sorted({e["seq"] for e in seen})


def test_events_since_age(daemon, control, start):
    """--since 1h gives all that the daemon has kept, from the first event on."""
    control.call("client.add", name="home", server_addr="127.0.0.1:9", password="no secret 1")
    for i in range(40):
        control.call("mapping.add", spec=f"OUT^{9000 + i}^ANY", paused=True, name=f"n{i}")
    reader = start("events", "--json", "--since", "1h")
    assert reader.event(type="client", data="added")["detail"]["name"] == "home"
    for i in range(40):
        reader.event(type="mapping", data="added", name=f"n{i}")
    control.call("mapping.remove", name="n0")
    reader.event(type="mapping", data="removed", name="n0")
    assert reader.end() == 0
    check_numbers(reader.events())


def test_events_over_restart(daemon, control, start):
    """The daemon restarts: it reconnects by itself and says what cannot be known."""
    control.call("client.add", name="home", server_addr="127.0.0.1:9", password="no secret 1")
    reader = start("events", "--json", "--types", "mapping,daemon", "--since", "1h")
    control.call("mapping.add", spec="OUT^9000^ANY", paused=True, name="old")
    last = reader.event(type="mapping", name="old")
    control.close()
    daemon.process.kill()
    reader.line("the daemon is gone, trying to reach it again")
    daemon.start()
    gap = reader.event(type="gap", reason="epoch_changed")
    assert gap["from_seq"] == last["seq"] and gap["epoch"] != gap["from_epoch"]
    reader.line("the daemon is there again")
    again = daemon.connect()
    again.call("mapping.add", spec="OUT^9001^ANY", paused=True, name="new")
    assert reader.event(type="mapping", name="new")["n"] >= 1
    assert reader.end() == 0

    reader = start("events", "--no-retry", "--since", "1h")
    again.call("mapping.resume", name="new")
    reader.line(r"^\d\d:\d\d:\d\d\.\d{3} state +m\d+ new: connecting \(was \w+\)")
    again.close()
    daemon.process.stop()
    assert reader.wait() == 3



def test_events_exec(daemon, control, start, fleet):
    """--exec runs a command per event, in their order, with the event in variables and as input."""
    control.call("client.add", name="home", server_addr="127.0.0.1:9", password="no secret 1")
    out = os.path.join(fleet.directory(), "out")
    os.mkfifo(out)
    fd = os.open(out, os.O_RDWR)
    command = f'echo "$RSTUN_EVENT_TYPE $RSTUN_EVENT_DATA $RSTUN_EVENT_NAME $(cat)" >{out}; exit 3'
    reader = start("events", "--types", "mapping", "--exec", command, "--since", "1h")
    control.call("mapping.add", spec="OUT^9000^ANY", paused=True, name="web")
    control.call("mapping.remove", name="web")
    text = read_until(fd, rb"mapping removed web .*\n").decode().split("\n")
    os.close(fd)
    assert len(text) == 3 and text[0].startswith("mapping added web {"), text
    event = json.loads(text[1].split(" ", 3)[3])
    assert (event["type"], event["data"], event["name"]) == ("mapping", "removed", "web")
    reader.line(r"ended with status 3 for event \d+")
    assert reader.end() == 0


@pytest.mark.tsan
def test_run(daemon, control, start, upstream):
    """run: the mapping carries until SIGINT, and is gone then, however it ended."""
    mapping, _ = daemon.tunnel(control, upstream.address)
    control.subscribe(types=["mapping"])
    for number, expected in ((signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -9)):
        entry = (net.V4, net.free_port())
        runner = start("run", f"OUT^{net.text(entry)}^ANY", "--name", "mine")
        runner.line(r"until Ctrl-C")
        runner.line(r"mine.*: tunneling")
        net.echo_flow(entry, 1, 50_000)
        listed = {m["config"].get("name"): m["runtime"]["origin"]
                  for m in control.call("mapping.list")["mappings"]}
        assert listed["mine"] == "runtime"
        assert runner.end(number) == expected
        control.event(type="mapping", data="removed", name="mine")
        assert [m["id"] for m in control.call("mapping.list")["mappings"]] == [mapping["id"]]


def test_run_ends_with_the_daemon(daemon, control, start, upstream):
    daemon.tunnel(control, upstream.address)
    runner = start("run", "out", str(net.free_port()), "any")
    runner.line(r": tunneling")
    control.close()
    daemon.process.stop()
    runner.line("the daemon is gone, and the mappings with it")
    assert runner.wait() == 3
    daemon.start()
    names = [m["config"].get("name") for m in daemon.connect().call("mapping.list")["mappings"]]
    assert names == ["web"]


def test_wait(daemon, control, start, upstream):
    """wait: at once when it is so, later when it gets so, 6 when it does not, 5 for an unknown."""
    mapping, _ = daemon.tunnel(control, upstream.address)
    done = daemon.ctl("wait", "web", status=0)
    assert "tunneling" in done.out
    waiting = start("wait", "web", "--for", "paused", "--timeout", "20s")
    control.call("mapping.pause", name="web")
    assert waiting.wait() == 0
    done = daemon.ctl("wait", mapping["id"], "--for", "tunneling", "--timeout", "100ms", status=6)
    assert "web" in done.err or mapping["id"] in done.err
    daemon.ctl("wait", "nobody", status=5)
    waiting = start("wait", "web", "--for", "tunneling")
    control.call("mapping.remove", name="web")
    assert waiting.wait() == 5


def test_log_follow(daemon, control, start):
    """log shows the last lines, log -f goes on, with a level of its own; Ctrl-C ends it well."""
    done = daemon.ctl("log", "-n", "1000", status=0)
    assert re.search(r"^\S+Z info +rstund: rstund \S+, ngtcp2", done.out, re.M), done
    follower = start("log", "-f", "-n", "5")
    warner = start("log", "-f", "--json", "--level", "warn", "-n", "5")
    follower.line(r"rstund: rstund \S+, ngtcp2")
    control.call("client.add", name="home", server_addr="127.0.0.1:9", password="no secret 1")
    control.call("mapping.add", spec="OUT^9000^ANY", name="web")
    follower.line(r"audit: uid \d+, pid \d+: mapping\.add .*name=web")
    line = json.loads(warner.line("reconnecting"))
    assert line["level"] in ("warn", "error") and "no secret" not in line["text"]
    assert all(json.loads(text)["level"] in ("warn", "error") for text in warner.lines)
    assert follower.end() in (0, -signal.SIGINT)
    assert warner.end() in (0, -signal.SIGINT)


def test_waiting_is_said(daemon, control, stack):
    """What takes over a second says so on a terminal, and wipes it; elsewhere and with -q nobody
    sees it."""
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stack.callback(silent.close)
    silent.bind((net.V4, 0))
    control.call("client.add", name="home", server_addr=net.text(silent.getsockname()),
                 password="no secret 1")
    terminal = stack.enter_context(Terminal([RSTUNCTL, "explain", "--timeout", "1500ms"],
                                            env=daemon.ctl.environment()))
    text = terminal.expect(rb"upstream .*\n", 10)
    assert "\r\x1b[Kwaiting for the daemon, 1 s\r\x1b[K" in text
    assert text.index("waiting") < text.index("client c1")
    quiet = stack.enter_context(Terminal([RSTUNCTL, "-q", "explain", "--timeout", "1200ms"],
                                         env=daemon.ctl.environment()))
    done = daemon.ctl("explain", "--timeout", "1200ms", status=1)
    assert "waiting" not in done.all and "waiting" not in quiet.expect(rb"upstream .*\n", 10)
    fast = stack.enter_context(Terminal([RSTUNCTL, "ping"], env=daemon.ctl.environment()))
    assert "\r\x1b" not in fast.expect(rb"\n")
