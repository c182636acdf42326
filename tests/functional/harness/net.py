# SPDX-License-Identifier: MIT
"""Sockets of the tests: free ports, upstreams with a behaviour, the application's end of a flow.

Oracle: a TCP flow carries a keyed pseudo-random stream of numbered blocks, compared by length and
SHA-256. Ends are told apart exactly: EOF is a recv() of nothing, RST is ECONNRESET.
"""
import contextlib
import hashlib
import os
import queue
import random
import socket
import struct
import threading
import time

from .daemon import limit

V4, V6 = "127.0.0.1", "::1"
BLOCK = 65536
LINGER_RST = struct.pack("ii", 1, 0)


# ---- addresses and ports ----

def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def text(address):
    """("::1", 80) -> "[::1]:80"; the path of a UNIX socket -> "unix:/path"."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_ports = random.Random(os.getpid() ^ time.monotonic_ns())
_ports_lock = threading.Lock()
_ports_used = set()


def free_port():
    """A port that nobody has, TCP and UDP, both families. Below the range that the system hands out
    by itself, so that no outgoing connection takes it in the meantime."""
    with _ports_lock:
        for _ in range(2000):
            port = _ports.randrange(11000, 31000)
            if port in _ports_used:
                continue
            try:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    for host in ("0.0.0.0", "::"):
                        with socket.socket(family(host), kind) as s:
                            if host == "::":
                                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                            if kind == socket.SOCK_STREAM:
                                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                            s.bind((host, port))
            except OSError:
                continue
            _ports_used.add(port)
            return port
    raise RuntimeError("no free port")


# ---- the stream that flows carry ----

def stream(seed, size):
    """Pseudo-random blocks, numbered, `size` bytes in all."""
    body = random.Random(seed).randbytes(BLOCK)
    sent, number = 0, 0
    while sent < size:
        block = struct.pack(">QQ", seed & 0xffffffffffffffff, number) + body[16:]
        block = block[:size - sent]
        yield block
        sent += len(block)
        number += 1


def stream_hash(seed, size):
    digest = hashlib.sha256()
    for block in stream(seed, size):
        digest.update(block)
    return digest.hexdigest()


class Received:
    """What came on a TCP connection, and how it ended: "eof", "rst" or "timeout"."""

    def __init__(self):
        self.size = 0
        self.end = None
        self._digest = hashlib.sha256()
        self.head = b""

    def add(self, data):
        self.size += len(data)
        self._digest.update(data)
        if len(self.head) < 256:
            self.head += data[:256 - len(self.head)]

    @property
    def hash(self):
        return self._digest.hexdigest()

    def __repr__(self):
        return f"<{self.size} bytes, then {self.end}>"


def read_exactly(conn, size):
    data = b""
    while len(data) < size:
        piece = conn.recv(size - len(data))
        if not piece:
            raise EOFError(f"end after {len(data)} of {size} bytes")
        data += piece
    return data


def read_all(conn):
    """Reads to the end, whichever it is."""
    got = Received()
    try:
        while True:
            data = conn.recv(4 * BLOCK)
            if not data:
                got.end = "eof"
                return got
            got.add(data)
    except ConnectionResetError:
        got.end = "rst"
    except (TimeoutError, socket.timeout):
        got.end = "timeout"
    return got


def send_stream(conn, seed, size):
    for block in stream(seed, size):
        conn.sendall(block)


def reset(conn):
    """Closes with RST."""
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
    conn.close()


def in_thread(function, *args):
    """Runs it in a thread; join() returns its result or raises what it raised."""
    return Task(function, args)


class Task:
    def __init__(self, function, args):
        self._done = threading.Event()
        self._result = self._error = None
        self._thread = threading.Thread(target=self._run, args=(function, args), daemon=True)
        self._thread.start()

    def _run(self, function, args):
        try:
            self._result = function(*args)
        except BaseException as error:  # raised again in join()
            self._error = error
        self._done.set()

    def done(self):
        return self._done.is_set()

    def join(self, timeout=60):
        if not self._done.wait(limit(timeout)):
            raise AssertionError(f"not done after {limit(timeout):g} s")
        if self._error is not None:
            raise self._error
        return self._result


def all_of(tasks, timeout=120):
    return [task.join(timeout) for task in tasks]


# ---- the application's end ----

def connect(address, timeout=30):
    is_path = isinstance(address, str)
    conn = socket.socket(socket.AF_UNIX if is_path else family(address[0]), socket.SOCK_STREAM)
    conn.settimeout(limit(timeout))
    try:
        conn.connect(address if is_path else address[:2])
        if not is_path:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        conn.close()
        raise
    return conn


def echo_flow(address, seed, size, timeout=60):
    """A whole flow: sends, half-closes, reads all of it back. Raises unless every byte is right."""
    with connect(address, timeout) as conn:
        sender = in_thread(send_and_finish, conn, seed, size)
        got = read_all(conn)
        sender.join(timeout)
    assert got.end == "eof" and got.size == size, f"{got} of {size}"
    assert got.hash == stream_hash(seed, size)
    return got


def send_and_finish(conn, seed, size):
    send_stream(conn, seed, size)
    conn.shutdown(socket.SHUT_WR)


def wait_refused(address, timeout=20):
    """Until nobody listens there any more. What is accepted until then must end."""
    deadline = time.monotonic() + limit(timeout)
    while time.monotonic() < deadline:
        try:
            with connect(address, timeout) as conn:
                conn.recv(1)
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass
    raise AssertionError(f"{address} still takes connections")


def round_trip(conn, data):
    """Sends and reads back as much as was sent."""
    conn.sendall(data)
    return read_exactly(conn, len(data))


def expect_rst(conn, exact=True):
    """The flow must end with RST. With `exact` false (the original is on a side) any end will do,
    and bytes are sent until it is noticed: the original sees a reset only when it writes."""
    if exact:
        got = read_all(conn)
        assert got.end == "rst", f"expected a reset, got {got}"
        return got
    deadline = time.monotonic() + limit(20)
    conn.settimeout(0.3)
    while time.monotonic() < deadline:
        got = read_all(conn)
        if got.end in ("eof", "rst"):
            return got
        try:
            conn.sendall(b"still there?")
        except OSError:
            return got
    raise AssertionError("the flow did not end")


# ---- upstreams ----

class TcpUpstream:
    """A TCP server; `handler(conn)` runs in a thread per connection, which is closed after it.
    What the handler returns goes to result(); what it raises, too."""

    def __init__(self, handler, host=V4, port=0, backlog=512):
        self.socket = self._listen(host, port, backlog)
        self.handler = handler
        self.accepted = 0
        self.peers = []
        self.connections = []
        self._results = queue.Queue()
        self._changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _listen(self, host, port, backlog):
        listener = socket.create_server((host, port), family=family(host), backlog=backlog)
        self.address = listener.getsockname()[:2]
        return listener

    def _accept(self):
        while True:
            try:
                conn, peer = self.socket.accept()
            except OSError:
                return
            conn.settimeout(limit(60))
            if conn.family != socket.AF_UNIX:
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self.accepted += 1
                self.peers.append(peer)
                self.connections.append(conn)
                self._changed.notify_all()
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        try:
            self._results.put(self.handler(conn))
        except BaseException as error:
            self._results.put(error)
        finally:
            with contextlib.suppress(OSError):
                conn.close()

    def result(self, timeout=30):
        """The next handler's result."""
        try:
            return self._results.get(timeout=limit(timeout))
        except queue.Empty:
            raise AssertionError(f"no connection of {self.accepted} was finished in time") from None

    def wait_accepted(self, count, timeout=20):
        with self._changed:
            done = self._changed.wait_for(lambda: self.accepted >= count, limit(timeout))
        assert done, f"{self.accepted} of {count} connections arrived"

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for conn in self.connections:
            with contextlib.suppress(OSError):
                conn.close()


class UnixUpstream(TcpUpstream):
    """The same at a path, which is `host`."""

    def _listen(self, host, port, backlog):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(host)
        listener.listen(backlog)
        self.address = host
        return listener


def echo(conn):
    """Sends back what comes, then the end, as it came."""
    got = Received()
    while True:
        data = conn.recv(4 * BLOCK)
        if not data:
            conn.shutdown(socket.SHUT_WR)
            got.end = "eof"
            return got
        got.add(data)
        conn.sendall(data)


def sink(conn):
    """Reads to the end."""
    return read_all(conn)


def source(seed, size):
    """Sends a stream and closes its side, then reads to the end."""
    def handler(conn):
        send_and_finish(conn, seed, size)
        return read_all(conn)
    return handler


def banner(greeting, answer=b""):
    """Speaks first; echoes one message after it."""
    def handler(conn):
        conn.sendall(greeting)
        data = conn.recv(BLOCK)
        conn.sendall(answer + data)
        conn.shutdown(socket.SHUT_WR)
        return read_all(conn)
    return handler


def silent(conn):
    """Says nothing and waits for the end."""
    return read_all(conn)


class FullListener:
    """Accepts nothing and its queue is full: who connects waits in vain."""

    def __init__(self, host=V4):
        self.socket = socket.socket(family(host), socket.SOCK_STREAM)
        self.socket.bind((host, 0))
        self.socket.listen(0)
        self.address = self.socket.getsockname()[:2]
        self._waiting = []
        for _ in range(4):
            conn = socket.socket(family(host), socket.SOCK_STREAM)
            conn.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                conn.connect(self.address)
            self._waiting.append(conn)

    def close(self):
        for conn in self._waiting:
            conn.close()
        self.socket.close()


class UdpUpstream:
    """A UDP server: `answer(data)` gives the datagrams to send back (default: the same one)."""

    def __init__(self, host=V4, port=0, answer=None):
        self.socket = socket.socket(family(host), socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((host, port))
        self.address = self.socket.getsockname()[:2]
        self.answer = answer or (lambda data: [data])
        self.received = []  # (data, source)
        self.changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(70000)
            except ConnectionRefusedError:
                continue
            except OSError:
                return
            if data == b"\0stop" and peer[1] == self.address[1]:
                return
            with self.changed:
                self.received.append((data, peer))
                self.changed.notify_all()
            for reply in self.answer(data):
                with contextlib.suppress(OSError):
                    self.socket.sendto(reply, peer)

    def sources(self):
        with self.changed:
            return [peer for _, peer in self.received]

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.sendto(b"\0stop", self.address)
        self._thread.join(5)
        self.socket.close()


class UdpApplication:
    """A connected UDP socket of an application."""

    def __init__(self, address, timeout=20, bind=None):
        self.socket = socket.socket(family(address[0]), socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        if bind:
            self.socket.bind(bind)
        self.socket.connect(address[:2])
        self.socket.settimeout(limit(timeout))

    def send(self, data):
        self.socket.send(data)

    def receive(self):
        return self.socket.recv(70000)

    def ask(self, data):
        self.socket.send(data)
        return self.receive()

    def expect_nothing(self, seconds):
        """Nothing may come for so long. A wait of a fixed time, where time is what is tested."""
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(70000)
        except (TimeoutError, socket.timeout):
            return
        finally:
            self.socket.settimeout(limit(20))
        raise AssertionError(f"{len(data)} bytes came")

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def datagram(seed, size):
    return random.Random(seed * 70001 + size).randbytes(size)
