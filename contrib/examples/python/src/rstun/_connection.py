# SPDX-License-Identifier: MIT
"""A connection to a control socket: where the socket is, and messages as lines.

The socket is read only while somebody waits for a message, so what is not wanted yet waits in the
daemon, which knows how to deal with slow readers. It is no asyncio stream, because that would drop
what the daemon said last (why it sends a caller away) when a write fails.
"""
import asyncio
import errno
import json
import os
import pathlib
import socket
from typing import Any

PATH_MAX = 107  # bytes: sun_path and its NUL
BUSY_S = 5.0    # so long a daemon may take no more callers
LINE_MAX = 256 * 1024  # bytes of a request
READ_BYTES = 1 << 18

_WHY = {
    errno.ENOENT: "there is no such socket",
    errno.ENOTDIR: "there is no such socket",
    errno.ECONNREFUSED: "nobody listens there any more",
    errno.EACCES: "you may not use it",
    errno.EPERM: "you may not use it",
    errno.ENAMETOOLONG: f"a path has at most {PATH_MAX} bytes",
    errno.EAGAIN: "it takes no more callers right now",
    errno.ENOTSOCK: "it is no socket",
}


class Unreachable(ConnectionError):
    """There is no daemon; the message names every path that was tried, and why not."""


class RpcError(Exception):
    """The daemon said no. Programs match `kind`, people read `message` and `hint`."""

    def __init__(self, error: dict[str, Any]) -> None:
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: dict[str, Any] = error["data"]
        self.kind: str = self.data["kind"]
        self.field: str | None = self.data.get("field")
        self.value: Any = self.data.get("value")
        self.hint: str | None = self.data.get("hint")
        self.retryable: bool = self.data["retryable"]
        super().__init__(error)

    def __str__(self) -> str:
        return self.message


class Connection:
    """One object sends and receives; cancelling receive() loses nothing."""

    def __init__(self, connected: socket.socket, path: str) -> None:
        self.path = path
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._input = bytearray()
        self._searched = 0  # bytes of it that hold no newline
        self._output = bytearray()
        self._ready: asyncio.Future[None] | None = None  # of who waits in receive()

    def send(self, method: str, params: dict[str, Any], number: int | None = None) -> None:
        """Without a number it is a notification. What the socket does not take at once follows."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
        if number is not None:
            message["id"] = number
        line = json.dumps(message, separators=(",", ":")).encode()
        if len(line) > LINE_MAX:
            raise ValueError(f"a request of {len(line)} bytes: it may have {LINE_MAX}")
        self._output += line + b"\n"
        self._flush()

    def _flush(self) -> None:
        if self._closed():
            return
        try:
            del self._output[:self._socket.send(self._output)]
        except BlockingIOError:
            pass
        except OSError:
            self._output.clear()  # receive() finds the end, and before it what the daemon said
        if self._output:
            self._loop.add_writer(self._socket, self._flush)
        else:
            self._loop.remove_writer(self._socket)

    async def receive(self) -> dict[str, Any]:
        """The next message. ConnectionError at the end, RpcError when the daemon sends us away."""
        while (end := self._input.find(b"\n", self._searched)) < 0:
            self._searched = len(self._input)
            if self._closed():
                raise ConnectionAbortedError("the connection was closed")
            try:
                data = self._socket.recv(READ_BYTES)
            except BlockingIOError:
                await self._readable()
                continue
            if not data:
                raise ConnectionResetError(f"the daemon closed the connection ({self.path})")
            self._input += data
        message: dict[str, Any] = json.loads(self._input[:end])
        del self._input[:end + 1]
        self._searched = 0
        if "error" in message and message["id"] is None:
            raise RpcError(message["error"])
        return message

    async def _readable(self) -> None:
        self._ready = self._loop.create_future()
        self._loop.add_reader(self._socket, self._wake)
        try:
            await self._ready
        finally:
            self._ready = None
            if not self._closed():
                self._loop.remove_reader(self._socket)

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def _closed(self) -> bool:
        return self._socket.fileno() < 0

    def close(self) -> None:
        """Who waits in receive() gets ConnectionError."""
        if not self._closed():
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._wake()


def result_of(reply: dict[str, Any]) -> Any:
    if "error" in reply:
        raise RpcError(reply["error"])
    return reply["result"]


# ---- where it is ----

async def _dial(path: str) -> socket.socket:
    if len(os.fsencode(path)) > PATH_MAX:
        raise OSError(errno.ENAMETOOLONG, "")
    deadline = asyncio.get_running_loop().time() + BUSY_S
    while True:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.setblocking(False)
        try:
            connected.connect(path)  # a UNIX socket's answer comes at once
            return connected
        except BlockingIOError:
            connected.close()
            if asyncio.get_running_loop().time() >= deadline:
                raise
        except OSError:
            connected.close()
            raise
        await asyncio.sleep(0.05)


def _why(path: str, error: OSError) -> str:
    number = error.errno or 0
    # The kernel says the same of a file of another kind.
    if number == errno.ECONNREFUSED and pathlib.Path(path).exists() \
            and not pathlib.Path(path).is_socket():
        number = errno.ENOTSOCK
    return _WHY.get(number) or os.strerror(number)


def _places(path: str | None) -> list[tuple[str, list[str]]]:
    """Where to look, as rstunctl does: how the place was found, and its sockets. In a folder of
    a daemon, who may not use the first one may be allowed to look through the other."""
    if path:
        return [("path", [path])]
    if variable := os.environ.get("RSTUN_SOCKET"):
        return [("$RSTUN_SOCKET", [variable])]
    folders = [("the system's", "/run/rstund")]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.geteuid() != 0 and runtime.startswith("/"):
        folders.insert(0, ("$XDG_RUNTIME_DIR", runtime + "/rstund"))
    return [(origin, [f"{folder}/rstund.sock", f"{folder}/rstund-ro.sock"])
            for origin, folder in folders]


async def open_connection(path: str | os.PathLike[str] | None) -> Connection:
    tried = []
    for origin, candidates in _places(None if path is None else os.fspath(path)):
        for candidate in candidates:
            try:
                return Connection(await _dial(candidate), candidate)
            except OSError as error:
                tried.append(f"{candidate} ({origin}): {_why(candidate, error)}")
                if not isinstance(error, PermissionError):
                    break
    raise Unreachable("no rstund can be reached: " + "; ".join(tried))
