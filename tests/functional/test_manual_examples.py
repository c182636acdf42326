# SPDX-License-Identifier: MIT
"""What the manual and README show works as it stands there: each example is taken from the page and
run by a shell (or Python) against a daemon of the test's own."""
import json
import os
import re
import signal
import subprocess
import textwrap
import time

import pytest

from harness import net
from harness.daemon import limit, log_password, read_until
from test_man import BUILDDIR, page_path
from test_tree import text

PROGRAMS = [os.path.join(BUILDDIR, folder) for folder in ("rstund", "rstunctl")]


class Tour:
    """A server, and a daemon without a role that examples are run against."""

    def __init__(self, fleet, tcp_upstream):
        self.port = net.free_port()
        self.fleet = fleet
        self.password = log_password()
        self.password_path = fleet.password_file(self.password)
        folder = fleet.directory()
        self.socket = os.path.join(folder, "rstund.sock")
        upstream = tcp_upstream(net.echo)
        self.upstream = upstream.address[1]
        fleet.role("server", "-a", f"127.0.0.1:{self.port}", "--socket",
                   os.path.join(folder, "server.sock"), "-t", net.text(upstream.address),
                   password=self.password).wait_ready()
        self.daemon = fleet.rstund("--socket", self.socket, "--state-dir", fleet.directory(),
                                   name="rstund", ready=True)
        self.daemon.secrets = [self.password]
        self.daemon.wait_ready()
        self.environment = dict(os.environ, RSTUN_SOCKET=self.socket, NO_COLOR="1",
                                PATH=":".join(PROGRAMS + [os.environ["PATH"]]))

    def here(self, command):
        """The command with the test's own addresses, and nothing but loopback."""
        command = command.replace("0.0.0.0", "127.0.0.1")
        command = command.replace("/run/rstund/rstund.sock", self.socket)
        command = re.sub(r"--password-file \w+", f"--password-file {self.password_path}", command)
        return command.replace("127.0.0.1:3515", f"127.0.0.1:{self.port}")

    def run(self, command, timeout=30, cwd=None, as_it_is=False):
        return subprocess.run(["sh", "-c", command if as_it_is else self.here(command)], cwd=cwd,
                              env=self.environment, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=limit(timeout), check=False)

    def start(self, *argv):
        """Runs on until it is stopped, with all that it started."""
        return subprocess.Popen(argv, env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                start_new_session=True)

    def add_client(self):
        done = self.run("rstunctl client add home 127.0.0.1:3515 --password-file pw")
        assert done.returncode == 0, done.stderr

    def wait_for_subscriber(self):
        deadline = time.monotonic() + limit(20)
        while time.monotonic() < deadline:
            status = json.loads(self.run("rstunctl --json call daemon.status").stdout)
            if status["subscriptions"] > 0:
                return
        raise AssertionError("nobody subscribed")


@pytest.fixture
def tour(fleet, tcp_upstream):
    return Tour(fleet, tcp_upstream)


@pytest.fixture
def stop(stack):
    """Ends a program with all that it started, at the end of the test."""
    def end(process):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()

    def later(process):
        stack.callback(end, process)
        return process
    return later


def displays(name, before):
    """What is displayed as an example behind a line of the page that ends with `before`."""
    output = subprocess.run(["mandoc", "-T", "ascii", "-O", "width=100", page_path(name)],
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    plain = re.sub(".\b", "", output)
    found = re.findall(rf"{re.escape(before)}\n\n((?: +.*\n|\n(?= {{7}}))+)", plain)
    assert found, f"{name} has nothing behind {before!r}"
    return [textwrap.dedent(block).strip() for block in found]


def test_every_method_takes_its_example(tour):
    """Nothing that is shown is refused as wrong, whatever there is or is not."""
    tour.add_client()
    commands = displays("rstund-api.7", "Example:")
    assert len(commands) > 40
    # What takes away is last.
    commands.sort(key=lambda command: ("shutdown" in command, ".remove" in command))
    for command in commands:
        done = tour.run(command)
        assert done.returncode not in (2, 3), (command, done.stderr)
    tour.daemon.expect_exit(0)


def test_tour_of_the_readme(tour, stop):
    """All of it as it stands, but for the ports and where the daemon's socket is: both ends."""
    block = re.search(r"```sh\nrstund &\n(.*?)```", text("README.md"), flags=re.S).group(1)
    commands = [re.sub(r" {2,}#.*", "", line) for line in block.splitlines()]
    port, listen, folder = net.free_port(), net.free_port(), tour.fleet.directory()
    for there, here in (("9000", port), ("3515", listen), ("8080", tour.upstream)):
        commands = [re.sub(rf"\b{there}\b", str(here), command) for command in commands]
    assert len(commands) == 6 and commands[-1] == "rstunctl events"
    outputs = []
    for command in commands[:-1]:
        done = tour.run(command, cwd=folder, as_it_is=True)
        assert done.returncode == 0, (command, done.stderr)
        outputs.append(done.stdout)
    assert "listening on 127.0.0.1" in outputs[1], outputs[1]
    assert re.search(r"tunneling after \d", outputs[3]), outputs[3]
    assert re.search(rf"OUT\^127\.0\.0\.1:{port}\^ANY.*home.*tunneling", outputs[4]), outputs[4]
    with net.connect(("127.0.0.1", port)) as conn:
        assert net.round_trip(conn, b"through both ends") == b"through both ends"
    events = stop(tour.start("sh", "-c", commands[-1]))
    tour.wait_for_subscriber()
    assert tour.run("rstunctl pause m1").returncode == 0
    read_until(events.stdout.fileno(), rb"paused")


def test_examples_for_socat(tour, stop):
    tour.add_client()
    port = net.free_port()
    add, = displays("rstund-api.7", "A mapping, from a shell:")
    watch, = displays("rstund-api.7", "The states of all mappings, from a shell, until Ctrl-C:")
    watcher = stop(tour.start("sh", "-c", tour.here(watch)))
    tour.wait_for_subscriber()
    done = tour.run(add.replace("9000", str(port)))
    reply = json.loads(done.stdout)
    assert reply["result"]["created"] is True
    assert reply["result"]["mapping"]["runtime"]["state"] == "tunneling"
    seen = read_until(watcher.stdout.fileno(), rb'"data":"tunneling"')
    assert json.loads(seen.splitlines()[0])["result"]["sub"] == 1


def test_example_in_python(tour, stop):
    tour.add_client()
    script, = displays("rstund-api.7", "The same in Python, with resume:")
    python = os.environ.get("PYTHON3", "/usr/bin/python3")
    watcher = stop(tour.start(python, "-u", "-c", tour.here(script)))
    tour.wait_for_subscriber()
    assert tour.run(f"rstunctl add 'OUT^{net.free_port()}^ANY' --name web").returncode == 0
    read_until(watcher.stdout.fileno(), rb"Z web tunneling")


@pytest.mark.parametrize("page", ["rstunctl.1", "rstund.8"])
def test_commands_of_rstunctl_are_known(tour, page):
    """Every rstunctl command in the displays of these pages parses."""
    source = subprocess.run(["mandoc", "-T", "ascii", "-O", "width=100", page_path(page)],
                            check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = re.findall(r"^ {7,}(rstunctl [a-z].*)$", re.sub(".\b", "", source), flags=re.M)
    commands = [re.split(r" [|<>&]", line)[0] for line in lines]
    assert commands
    wrong = [(command, done.stderr) for command in commands
             for done in [tour.run(command + " --help")] if done.returncode != 0]
    assert not wrong
