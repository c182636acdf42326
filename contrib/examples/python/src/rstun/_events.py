# SPDX-License-Identifier: MIT
"""Events: a subscription that goes on where it was, and says so when it cannot."""
import asyncio
import dataclasses
import os
from collections.abc import Iterable
from typing import Any, TypedDict

from ._connection import Connection, RpcError, open_connection, result_of

RETRY_MIN_S = 0.2
RETRY_MAX_S = 5.0


class Cursor(TypedDict):
    """A place in the daemon's events, to go on behind it. `epoch` changes when it restarts."""
    epoch: str
    seq: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Item:
    epoch: str
    seq: int

    @property
    def cursor(self) -> Cursor:
        return {"epoch": self.epoch, "seq": self.seq}


@dataclasses.dataclass(frozen=True, slots=True)
class Event(_Item):
    """What happened. Type "dropped": this reader was too slow, `data` tells which lines of the log
    are missing."""
    type: str
    timestamp: str
    data: Any
    detail: dict[str, Any]
    mapping: str | None  # the id of the one that it is about, if it is about one
    name: str | None     # its name
    raw: dict[str, Any]  # as it came


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot(_Item):
    """Everything as it was at `seq`: later events are exactly what happened since."""
    data: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Gap(Snapshot):
    """Events behind `since` are missing, and what they said is in the snapshot. Reasons: "gap"
    (they are too old to be kept), "epoch_changed" (the daemon was restarted), "overrun" (they were
    not read, and then they were too old)."""
    reason: str
    since: Cursor


class Events:
    """An asynchronous iterator. Cancelling the wait for an event loses nothing: the next one is
    the next one. The connection ends by aclose(), and when nobody holds the object any more."""

    def __init__(self, path: str | os.PathLike[str] | None, again: bool,
                 types: Iterable[str] | None, mappings: Iterable[str] | None,
                 since: Cursor | None, snapshot: bool, params: dict[str, Any]) -> None:
        self._path = path
        self._again = again  # a connection that is lost is made again
        self._params = {"types": None if types is None else list(types),
                        "mappings": None if mappings is None else list(mappings), **params}
        self._cursor = since
        self._snapshot = snapshot
        self._connection: Connection | None = None
        self._overrun = False
        self._retry_s: float | None = None  # to wait for the next connection; None: not begun
        self._end: Exception | None = None

    def __aiter__(self) -> "Events":
        return self

    async def __anext__(self) -> Event | Snapshot:
        while self._end is None:
            try:
                if self._connection is None:
                    start = await self._begin()
                    if start is not None:
                        return start
                    continue
                event = self._take((await self._connection.receive())["params"])
                if event is not None:
                    return event
            except (OSError, RpcError) as error:
                self._disconnect()
                if self._end is not None:
                    break
                if self._retry_s is None or not self._again or _is_final(error):
                    self._end = error
                    raise
                await asyncio.sleep(self._retry_s)
                self._retry_s = min(self._retry_s * 2, RETRY_MAX_S)
        raise self._end

    async def _begin(self) -> Snapshot | None:
        """Connects and subscribes behind the cursor."""
        wanted = self._snapshot or self._cursor is not None
        connection = self._connection = await open_connection(self._path)
        try:
            connection.send("events.subscribe", {
                **self._params, "since": self._cursor,
                "snapshot": "auto" if wanted else "never"}, 1)
            answer = result_of(await connection.receive())
        except BaseException:
            self._disconnect()
            raise
        since, overrun = self._cursor, self._overrun
        self._cursor = {"epoch": answer["epoch"], "seq": answer["seq"]}
        self._overrun = False
        self._retry_s = RETRY_MIN_S
        if "snapshot" not in answer:
            return None
        if since is None:
            return Snapshot(**self._cursor, data=answer["snapshot"])
        return Gap(**self._cursor, data=answer["snapshot"], since=since,
                   reason="overrun" if overrun else answer["replay"])

    def _take(self, raw: dict[str, Any]) -> Event | None:
        assert self._cursor is not None
        if raw["type"] == "overrun":
            # The subscription has ended. What was left out may still be kept, so another one goes
            # on where this one was.
            self._overrun = True
            self._disconnect()
            return None
        self._cursor = {"epoch": self._cursor["epoch"], "seq": raw["seq"]}
        return Event(**self._cursor, type=raw["type"], timestamp=raw["timestamp"],
                     data=raw["data"], detail=raw.get("detail", {}), mapping=raw.get("mapping"),
                     name=raw.get("name"), raw=raw)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def fail(self, error: Exception) -> None:
        """Ends it: who waits for an event, or will, gets this."""
        self._end = self._end or error
        self._disconnect()

    async def aclose(self) -> None:
        """Ends it as if there were no more events."""
        self.fail(StopAsyncIteration())

    def __del__(self) -> None:
        self._disconnect()


def _is_final(error: Exception) -> bool:
    return isinstance(error, RpcError) and not error.retryable and error.kind != "shutting_down"


def follow(path: str | os.PathLike[str] | None = None, *, types: Iterable[str] | None = None,
           mappings: Iterable[str] | None = None, since: Cursor | None = None,
           snapshot: bool = False, **params: Any) -> Events:
    """Events, for ever: a connection that is lost is made again, and goes on where it was; where
    that is not possible, a Gap comes instead of what is missing.

    types, mappings (ids or names): only these; params: others of events.subscribe. since: the
    `cursor` of the last event that is known. snapshot: without since, begin with a Snapshot.
    That the daemon cannot be reached is an error (Unreachable) only at the beginning; that it
    refuses the subscription (RpcError) always."""
    return Events(path, True, types, mappings, since, snapshot, params)
