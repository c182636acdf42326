# SPDX-License-Identifier: MIT
"""Programs that need a terminal: a pseudo-terminal of a shell, and a screen that tmux keeps."""
import contextlib
import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import tempfile
import termios
import time

from .daemon import limit, read_until


class Terminal:
    """A program on a pseudo-terminal. What it writes is read as bytes, as they come."""

    def __init__(self, argv, *, env=None, width=100, height=30):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, {**os.environ, **(env or {})})
        self.resize(width, height)
        self.status = None

    def resize(self, width, height):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def send(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, timeout=20):
        """Reads until it matches; returns all that was read."""
        return read_until(self.fd, pattern, timeout).decode("utf-8", "replace")

    def close(self):
        """Hangs up; the program ends by that, or is ended."""
        if self.status is None:
            os.close(self.fd)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.status = os.waitpid(self.pid, 0)[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Screen:
    """A screen of tmux with one program on it; tmux has a server of its own for it. A second client
    of it, in control mode, is told whenever the program writes, so wait() waits for that."""

    def __init__(self, command, *, env=None, width=120, height=30):
        self.directory = tempfile.TemporaryDirectory(prefix="rstund-tmux-")
        self.socket = os.path.join(self.directory.name, "tmux")
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in (env or {}).items())
        environ = {k: v for k, v in os.environ.items() if not k.startswith("TMUX")}
        environ.update(LC_ALL="C.UTF-8", TERM="xterm-256color")
        self.environ = environ
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height),
                   f"exec env {words} {command}")
        self.watcher = subprocess.Popen(
            ["tmux", "-u", "-C", "-S", self.socket, "attach", "-f", "ignore-size"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=self.environ)

    def _tmux(self, *args):
        done = subprocess.run(["tmux", "-u", "-S", self.socket, *args], text=True,
                              capture_output=True, env=self.environ, timeout=limit(20))
        assert done.returncode == 0, f"tmux {args[0]}: {done.stderr}"
        return done.stdout

    def send(self, *keys):
        self._tmux("send-keys", *keys)

    def resize(self, width, height):
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def text(self, colours=False):
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def other(self):
        """Is the second screen on, the one that full-screen programs take?"""
        return self._tmux("display-message", "-p", "#{alternate_on}").strip() == "1"

    def cursor(self):
        return self._tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def wait(self, pattern, timeout=20, colours=False):
        """The screen once it matches."""
        expression = re.compile(pattern, re.M)
        deadline = time.monotonic() + limit(timeout)
        while True:
            text = self.text(colours)
            if expression.search(text):
                return text
            left = max(deadline - time.monotonic(), 0)
            news, _, _ = select.select([self.watcher.stdout], [], [], left)
            assert news, f"{pattern!r} never stood on the screen:\n{text}"
            assert os.read(self.watcher.stdout.fileno(), 65536), f"it ended; the screen:\n{text}"

    def close(self):
        with contextlib.suppress(AssertionError):
            self._tmux("kill-server")
        self.watcher.kill()
        self.watcher.wait(limit(20))
        self.watcher.stdin.close()
        self.watcher.stdout.close()
        self.directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
