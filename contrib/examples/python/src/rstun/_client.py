# SPDX-License-Identifier: MIT
"""Calls: several at once on one connection, matched by their ids."""
import asyncio
import contextlib
import math
import os
import re
import weakref
from collections.abc import AsyncIterator, Iterable
from typing import Any

from ._connection import Connection, RpcError, open_connection, result_of
from ._events import Cursor, Events

# The daemon reads nothing more while 32 calls of a connection wait; rpc.cancel has to get through.
CALLS_MAX = 31
DAY_MS = 86_400_000  # the longest time that a call takes


class Client:
    """A connection to the daemon; see connect()."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._calls: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: weakref.WeakSet[Events] = weakref.WeakSet()
        self._last_id = 0
        self._room = asyncio.Semaphore(CALLS_MAX)
        self._end: Exception | None = None
        self._reader = asyncio.create_task(self._read(), name="rstun.Client")

    @property
    def path(self) -> str:
        """Of the socket."""
        return self._connection.path

    async def _read(self) -> None:
        try:
            while True:
                reply = await self._connection.receive()
                call = self._calls.get(reply.get("id", 0))
                if call is not None and not call.done():
                    call.set_result(reply)
        except Exception as error:  # whatever it was: nobody may wait for ever
            self._end = error
            self._connection.close()
            for call in self._calls.values():
                if not call.done():
                    call.set_exception(error)

    async def call(self, method: str, /, **params: Any) -> Any:
        """The result of a method. RpcError: the daemon said no; ConnectionError: it is gone, and
        nothing is known about the call. Cancelled, the call is cancelled in the daemon, too."""
        async with self._room:
            if self._end is not None:
                raise self._end
            self._last_id = number = self._last_id + 1
            reply = self._calls[number] = asyncio.get_running_loop().create_future()
            try:
                self._connection.send(method, params, number)
                return result_of(await reply)
            except asyncio.CancelledError:
                self._connection.send("rpc.cancel", {"id": number})
                raise
            finally:
                del self._calls[number]

    async def wait_up(self, mapping: str, timeout: float | None = None) -> dict[str, Any]:
        """Waits until a mapping (id or name) is up, and returns it. RpcError of kind "timeout"
        after so many seconds; another one when it failed for good."""
        which = {"id" if re.fullmatch(r"m\d+", mapping) else "name": mapping}
        timeout_ms = DAY_MS if timeout is None else math.ceil(timeout * 1000)
        while True:
            try:
                result = await self.call("mapping.wait", timeout_ms=timeout_ms, **which)
            except RpcError as error:
                if timeout is not None or error.kind != "timeout":
                    raise
            else:
                return dict(result["mapping"])

    def events(self, *, types: Iterable[str] | None = None, mappings: Iterable[str] | None = None,
               since: Cursor | None = None, snapshot: bool = False, **params: Any) -> Events:
        """Events, as follow() gives them, until the connection is lost (ConnectionError).
        They come on a connection of their own: who reads them slowly holds up no call."""
        events = Events(self.path, False, types, mappings, since, snapshot, params)
        self._events.add(events)
        return events

    async def close(self) -> None:
        """What still waits, for an answer or an event, gets ConnectionError."""
        self._connection.close()
        for events in self._events:
            events.fail(ConnectionAbortedError("the connection was closed"))
        await asyncio.wait([self._reader])


@contextlib.asynccontextmanager
async def connect(path: str | os.PathLike[str] | None = None) -> AsyncIterator[Client]:
    """`async with rstun.connect() as client:`. Without a path the socket is where rstunctl looks:
    $RSTUN_SOCKET, $XDG_RUNTIME_DIR/rstund (not for root), /run/rstund. Unreachable: no daemon."""
    client = Client(await open_connection(path))
    try:
        yield client
    finally:
        await client.close()
