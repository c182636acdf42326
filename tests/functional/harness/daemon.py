# SPDX-License-Identifier: MIT
"""Programs under test as objects: started, watched through their log, stopped, checked.

A thread per program reads its output; whoever waits for a line waits on a condition. Nothing here
sleeps. Every wait has a limit, stretched by RSTUND_TEST_SLOW (sanitizer builds set it). At the end
of a test each program must have stopped cleanly, without a sanitizer's report, and its log must not
hold the password.
"""
import os
import re
import select
import signal
import subprocess
import tempfile
import threading
import time

SLOW = float(os.environ.get("RSTUND_TEST_SLOW", "1"))
RSTUND = os.path.abspath(os.environ.get("RSTUND", "rstund/rstund"))
RSTUN = os.environ.get("RSTUN", "")

SANITIZER = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer"
    r"|MemorySanitizer|runtime error: |detected memory leaks|Assertion .* failed|\*\*\* .* \*\*\*"
    r"|ngtcp2_.*: Assertion")


def limit(seconds):
    """A waiting limit, stretched for slow builds."""
    return seconds * SLOW


def log_password():
    """A password that no log may ever show."""
    return "canary-" + os.urandom(9).hex()


def read_until(fd, pattern, timeout=20):
    """Reads a pipe or terminal until what came matches; returns all of it."""
    deadline = time.monotonic() + limit(timeout)
    text = b""
    while not re.search(pattern, text):
        readable, _, _ = select.select([fd], [], [], max(deadline - time.monotonic(), 0))
        assert readable, f"{pattern!r} did not come in time, but {text!r}"
        piece = os.read(fd, 4096)
        assert piece, f"the end came before {pattern!r}, after {text!r}"
        text += piece
    return text


class Failure(AssertionError):
    """A program did something else than the test waited for; carries its log."""


class Daemon:
    """One running program. `role` is "server" or "client"; `original` tells which program it is."""

    def __init__(self, argv, name, *, secrets=(), ready=False, env=None, original=False,
                 preexec=None, stdin=subprocess.DEVNULL, cwd=None):
        self.name = name
        self.argv = argv
        self.original = original
        self.secrets = [s for s in secrets if s]
        self.lines = []
        self.status = None
        self.expected = {0}
        self.expect_sanitizer = False
        self._changed = threading.Condition()
        self._eof = False
        pass_fds = []
        self._ready_read = -1
        if ready:
            self._ready_read, ready_write = os.pipe()
            pass_fds.append(ready_write)
            argv = argv + ["--ready-fd", str(ready_write)]
        environ = dict(os.environ)
        environ.pop("RSTUN_PASSWORD", None)
        environ.pop("CREDENTIALS_DIRECTORY", None)
        environ.pop("JOURNAL_STREAM", None)
        environ.update(env or {})
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            pass_fds=pass_fds, env=environ, preexec_fn=preexec, cwd=cwd)
        for fd in pass_fds:
            os.close(fd)
        self.pid = self.process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._reader = threading.Thread(target=self._read, name=f"log {name}", daemon=True)
        self._reader.start()

    # ---- output ----

    def _read(self):
        for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._eof = True
            self._changed.notify_all()

    def log(self, tail=None):
        with self._changed:
            lines = self.lines[-tail:] if tail else list(self.lines)
        return "\n".join(lines)

    def mark(self):
        """Where the log is now; wait_log(since=mark) looks only behind it."""
        with self._changed:
            return len(self.lines)

    def find_log(self, pattern, since=0):
        expression = re.compile(pattern)
        with self._changed:
            return [m for m in (expression.search(line) for line in self.lines[since:]) if m]

    def wait_log(self, pattern, timeout=20, since=0, count=1):
        """Waits until `count` lines match; returns the last of these matches."""
        expression = re.compile(pattern)
        deadline = time.monotonic() + limit(timeout)
        seen, matches = since, []
        with self._changed:
            while True:
                while seen < len(self.lines):
                    match = expression.search(self.lines[seen])
                    seen += 1
                    if match:
                        matches.append(match)
                        if len(matches) == count:
                            return match
                left = deadline - time.monotonic()
                if self._eof:
                    raise Failure(f"{self.name} ended and never said {pattern!r}:\n{self.dump()}")
                if left <= 0:
                    raise Failure(f"{self.name} did not say {pattern!r} in {limit(timeout):g} s:\n"
                                  f"{self.dump()}")
                self._changed.wait(left)

    def dump(self):
        return f"---- {self.name}: {' '.join(self.argv)}\n" + "\n".join(self.lines[-80:])

    # ---- life ----

    def wait_ready(self, timeout=20):
        """Listeners bound and, in a client, every mapping tunneling (--ready-fd)."""
        if self._ready_read < 0:
            raise ValueError("started without --ready-fd")
        text = b""
        deadline = time.monotonic() + limit(timeout)
        while b"\n" not in text:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self._ready_read], [], [], max(left, 0))
            if not readable:
                raise Failure(f"{self.name} is not ready after {limit(timeout):g} s:\n"
                              f"{self.dump()}")
            piece = os.read(self._ready_read, 64)
            if not piece:
                self._reader.join(limit(5))
                raise Failure(f"{self.name} ended before it was ready:\n{self.dump()}")
            text += piece
        assert text == b"READY=1\n", text
        return self

    def is_ready(self):
        readable, _, _ = select.select([self._ready_read], [], [], 0)
        return bool(readable)

    def alive(self):
        return self.status is None and not self._wait_exit(0)

    def _wait_exit(self, timeout):
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(max(0, timeout) * 1000))

    def wait(self, timeout=20):
        """Waits for the end; returns the exit status (negative: a signal)."""
        if self.status is None:
            if not self._wait_exit(limit(timeout)):
                raise Failure(f"{self.name} still runs after {limit(timeout):g} s:\n{self.dump()}")
            self.status = self.process.wait()
            self._reader.join(limit(10))
            self.process.stdout.close()
            os.close(self._pidfd)
            if self._ready_read >= 0:
                os.close(self._ready_read)
                self._ready_read = -1
        return self.status

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, timeout=30):
        """SIGTERM, then the checks of every end. The original stops by SIGINT or not at all."""
        if self.status is None and self.alive():
            if self.original:
                self.expected = {0, -signal.SIGINT, -signal.SIGKILL}
                self.signal(signal.SIGINT)
                if not self._wait_exit(limit(1)):
                    self.signal(signal.SIGKILL)
            else:
                self.signal(signal.SIGTERM)
        self.wait(timeout)
        self.check()

    def kill(self):
        """kill -9."""
        self.expected = {-signal.SIGKILL}
        self.signal(signal.SIGKILL)
        self.wait()

    def expect_exit(self, status, timeout=20):
        self.expected = {status}
        got = self.wait(timeout)
        if got != status:
            raise Failure(f"{self.name} ended with {got}, not {status}:\n{self.dump()}")

    def check(self):
        text = self.log()
        if not self.original:
            text += self.sanitizer_report()
            found = SANITIZER.search(text)
            if found and not self.expect_sanitizer:
                raise Failure(f"{self.name}: {found.group(0)}\n" + text[-20000:])
            for secret in self.secrets:
                if secret in text:
                    raise Failure(f"{self.name} wrote its password into the log:\n{self.dump()}")
        if self.status not in self.expected:
            raise Failure(f"{self.name} ended with {self.status}, expected "
                          f"{sorted(self.expected)}:\n{self.dump()}")

    def discard(self):
        """Makes sure that it is gone; for teardown after a failure."""
        if self.status is None:
            if not self._wait_exit(0):
                self.process.kill()
            self.wait(60)

    def sanitizer_report(self):
        """tests/run-all sends reports to files named by process."""
        path = f"{os.environ.get('RSTUND_SANITIZER_REPORTS', '')}.{self.pid}"
        try:
            with open(path, errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    # ---- what the system knows about it ----

    def proc(self, name):
        with open(f"/proc/{self.pid}/{name}", "rb") as f:
            return f.read()

    def rss_kib(self):
        return int(re.search(rb"VmRSS:\s+(\d+)", self.proc("status")).group(1))

    def cpu_seconds(self):
        fields = self.proc("stat").rsplit(b")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Fleet:
    """The programs of one test. Stops them in reverse order and checks each."""

    def __init__(self):
        self.daemons = []
        self._directories = []

    def directory(self):
        held = tempfile.TemporaryDirectory(prefix="rstund-test-")
        self._directories.append(held)
        return held.name

    def password_file(self, password):
        path = os.path.join(self.directory(), "password")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(password + "\n")
        return path

    def start(self, argv, name, **options):
        daemon = Daemon(argv, name, **options)
        self.daemons.append(daemon)
        return daemon

    def rstund(self, *args, name=None, ready=False, **options):
        """rstund with these arguments as they stand."""
        return self.start([RSTUND, *map(str, args)], name or f"rstund {args[0] if args else ''}",
                          ready=ready, **options)

    def role(self, role, *args, password=None, state_dir=None, program="rstund", ready=True,
             name=None, **options):
        """A server or client with a password and a state directory of its own."""
        args = [str(a) for a in args]
        name = name or f"{role} ({program})"
        password = password or log_password()
        if program == "rstun":
            return self.start([RSTUN, role, "-p", password, *args], name, original=True, **options)
        argv = [RSTUND, role, "--password-file", self.password_file(password),
                "--state-dir", state_dir or self.directory(), *args]
        return self.start(argv, name, secrets=[password], ready=ready, **options)

    def run(self, *args, timeout=20, **options):
        """rstund to its end: (status, output)."""
        daemon = self.rstund(*args, **options)
        status = daemon.wait(timeout)
        daemon.expected = {status}
        return status, daemon.log()

    def finish(self, failed=False):
        """Stops all. After a failed test only the output is collected."""
        problems = []
        for daemon in reversed(self.daemons):
            try:
                if failed:
                    problems.append(daemon.dump())
                    daemon.discard()
                elif daemon.status is None:
                    daemon.stop()
                else:
                    daemon.check()
            except Failure as failure:
                problems.append(str(failure))
                daemon.discard()
        for held in self._directories:
            held.cleanup()
        return problems
