# SPDX-License-Identifier: MIT
"""systemd's notify socket."""
import os
import socket
import time

from .daemon import limit


class Notify:
    """A notify socket: what the daemon says, a dict per datagram."""

    def __init__(self, directory, abstract=False):
        name = os.path.join(directory, "notify")
        self.address = "@" + name if abstract else name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name if abstract else name)
        self.seen = []

    def next(self, timeout=10):
        self.socket.settimeout(limit(timeout))
        text = self.socket.recv(8192).decode()
        assert not text.endswith("\n\n")
        said = dict(line.split("=", 1) for line in text.split("\n") if line)
        self.seen.append(said)
        return said

    def wait(self, timeout=10, **members):
        """Until one says so (None: whatever the value); those before are in `seen`."""
        deadline = time.monotonic() + limit(timeout)
        while True:
            left = max(deadline - time.monotonic(), 0.01) / limit(1)
            said = self.next(left)
            if all(k in said and v in (None, said[k]) for k, v in members.items()):
                return said

    def quiet(self, seconds):
        """So long nothing comes; a time, because time is what is tested."""
        self.socket.settimeout(seconds)
        try:
            said = self.socket.recv(8192)
        except TimeoutError:
            return
        raise AssertionError(f"{said!r} came")

    def drain(self):
        self.socket.setblocking(False)
        try:
            while True:
                self.seen.append(self.socket.recv(8192))
        except BlockingIOError:
            pass

    def close(self):
        self.socket.close()
