# SPDX-License-Identifier: MIT
"""rstunctl top, looked at through tmux."""
import os
import re
import shlex

import pytest

from harness import net
from harness.control import RSTUNCTL, Ctl
from harness.terminal import Screen

BARS = "▁▂▃▄▅▆▇█"


@pytest.fixture
def tunnel(daemon, control, tcp_upstream):
    upstream = tcp_upstream(net.echo)
    mapping, entry = daemon.tunnel(control, upstream.address, name="web")
    return mapping, entry


@pytest.fixture
def screen(stack, daemon):
    def make(*args, width=120, **env):
        env = {"RSTUN_SOCKET": daemon.socket,
               **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}, **env}
        # A shell below, so that what was there before is there again behind it.
        line = shlex.join([RSTUNCTL, "top", "--interval", "200ms", *args])
        script = f"trap : INT; echo BEFORE; {line}; echo BEHIND $?; exec cat"
        return stack.enter_context(Screen(f"sh -c {shlex.quote(script)}", env=env, width=width))
    return make


def test_top(screen, tunnel):
    """The mapping's row, traffic in it, another size of the window, and the way out."""
    _, entry = tunnel
    top = screen()
    text = top.wait(r"^ID +MAPPING +STATE +IN/s +OUT/s +RTT +LOSS +CWND +FLOWS\n"
                    r"m1 +web +tunneling .* 0$")
    assert "1 up" in text and "BEFORE" not in text and top.other() and not top.cursor()
    with net.connect(entry) as conn:
        net.round_trip(conn, b"x" * 200_000)
        top.wait(r"^m1 +web .* 1$")
        top.wait(r"^m1 +web .*[▂▃▄▅▆▇█].*[▂▃▄▅▆▇█]")
    top.wait(r"^m1 +web .* 0$")
    top.resize(140, 40)
    top.wait(r"^ID +MAPPING .*CWND")
    top.send("q")
    text = top.wait(r"^BEHIND 0$")
    assert text.startswith("BEFORE\nBEHIND 0\n") and not top.other() and top.cursor()


@pytest.mark.parametrize("width, columns, bars", [
    (40, "MAP STATE IN/s OUT/s", False),
    (50, "ID MAPPING STATE IN/s OUT/s", False),
    (60, "ID MAPPING STATE IN/s OUT/s RTT", False),
    (66, "ID MAPPING STATE IN/s OUT/s RTT FLOWS", False),
    (80, "ID MAPPING STATE IN/s OUT/s RTT LOSS FLOWS", True),
    (100, "ID MAPPING STATE IN/s OUT/s RTT LOSS CWND FLOWS", True),
    (140, "ID MAPPING STATE IN/s OUT/s RTT LOSS CWND FLOWS", True)])
def test_columns(screen, tunnel, width, columns, bars):
    """Columns come and go as a whole: headings apart from each other, a value under each, none of
    them cut."""
    top = screen(width=width)
    end = " 0$" if "FLOWS" in columns else "$"
    text = top.wait(rf"^{' +'.join(columns.split())}\n(m1  )?web +tunneling +[\d.]+ \w+.*{end}")
    lines = text.split("\n")
    at = next(i for i, line in enumerate(lines) if "STATE" in line)
    assert all(len(line) < width for line in lines), text
    values = [v for v in re.split("  +| ?[▁-█]+ ?", lines[at + 1]) if v]
    assert len(values) == len(columns.split()), values
    assert bars == bool(set(BARS) & set(text)), text
    assert re.search(r" 1 session(,|$)", text, re.M) or width < 50, text


def test_ends(screen, tunnel):
    """Ctrl-C is as good as q, and a daemon that goes does not end it."""
    top = screen()
    top.wait(r"^m1 +web +tunneling")
    top.send("C-c")
    text = top.wait(r"^BEHIND")
    assert text.startswith("BEFORE\nBEHIND") and not top.other()


def test_restart(screen, tunnel, daemon):
    """The daemon restarts below it; stop and continue by Ctrl-Z's signal keep the screen."""
    top = screen()
    top.wait(r"^m1 +web +tunneling")
    daemon.process.stop()
    top.wait(r"no daemon, trying again")
    daemon.start()
    top.wait(r"^m1 +web +tunneling")
    top.send("q")
    top.wait(r"^BEHIND 0$")


def test_many(screen, daemon, control):
    """More mappings than lines: it scrolls."""
    control.call("client.add", name="home", server_addr="127.0.0.1:9", password="no secret 1")
    for i in range(60):
        control.call("mapping.add", spec=f"OUT^{10000 + i}^ANY", name=f"n{i:02}", paused=True)
    top = screen()
    text = top.wait(r"^1 to \d+ of 60; up and down show others")
    assert re.search(r"^m1 +n00 +paused", text, re.M)
    assert len(text.rstrip("\n").split("\n")) <= 30
    top.send("Down")
    assert "n00" not in top.wait(r"^2 to \d+ of 60")
    top.send("Up")
    top.wait(r"^1 to \d+ of 60")
    top.send("Space")
    top.wait(r"^11 to \d+ of 60")


def test_no_color(screen, tunnel):
    """Colours only where they are wanted; a word says the same."""
    top = screen()
    text = top.wait(r"web.*tunneling", colours=True)
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", text), text
    plain = screen(NO_COLOR="1")
    text = plain.wait(r"web.*tunneling", colours=True)
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]", text), text
    ascii_only = screen(LC_ALL="C")
    text = ascii_only.wait(r"^m1 +web +tunneling")
    assert not set(BARS) & set(text)


def test_once(daemon, tunnel):
    """Without a terminal: once, plain, nothing cut."""
    ctl = Ctl(daemon.socket)
    for args in (("top", "--once"), ("top",)):
        done = ctl(*args, status=0)
        assert "\x1b" not in done.out and done.err == ""
        assert re.search(r"^m1 +web +tunneling .* 0$", done.out, re.M), done
        assert re.search(r"^s1\.\d+ +127\.0\.0\.1:\d+ +out tcp", done.out, re.M), done
    assert ctl("--json", "top", status=2).err
    assert Ctl("/nonexistent")("top", "--once", status=3).err
