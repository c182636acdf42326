# SPDX-License-Identifier: MIT
"""Events: a subscription that goes on where it was, and says so when it cannot."""
import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncGenerator, Iterable
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


class Stream:
    """What outlives a connection."""

    def __init__(self, types: Iterable[str] | None, mappings: Iterable[str] | None,
                 since: Cursor | None, snapshot: bool, params: dict[str, Any]) -> None:
        self.retry_s: float | None = None  # to wait for the next connection; None: has not begun
        self._cursor = since
        self._snapshot = snapshot
        self._overrun = False
        self._params = {"types": None if types is None else list(types),
                        "mappings": None if mappings is None else list(mappings), **params}

    async def read(self, connection: Connection) -> AsyncGenerator[Event | Snapshot, None]:
        """Until the connection ends, by an exception."""
        while True:
            start = await self._subscribe(connection)
            if start is not None:
                yield start
            while not self._overrun:
                event = self._take((await connection.receive())["params"])
                if event is not None:
                    yield event

    async def _subscribe(self, connection: Connection) -> Snapshot | None:
        wanted = self._snapshot or self._cursor is not None
        connection.send("events.subscribe", {
            **self._params, "since": self._cursor, "snapshot": "auto" if wanted else "never"}, 1)
        answer = result_of(await connection.receive())
        since, overrun = self._cursor, self._overrun
        self._cursor = {"epoch": answer["epoch"], "seq": answer["seq"]}
        self._overrun = False
        self.retry_s = RETRY_MIN_S
        if "snapshot" not in answer:
            return None
        if since is None:
            return Snapshot(**self._cursor, data=answer["snapshot"])
        return Gap(**self._cursor, data=answer["snapshot"], since=since,
                   reason="overrun" if overrun else answer["replay"])

    def _take(self, raw: dict[str, Any]) -> Event | None:
        assert self._cursor is not None
        if raw["type"] == "overrun":
            self._overrun = True  # what was left out may still be kept: it goes on where it was
            return None
        self._cursor = {"epoch": self._cursor["epoch"], "seq": raw["seq"]}
        return Event(**self._cursor, type=raw["type"], timestamp=raw["timestamp"],
                     data=raw["data"], detail=raw.get("detail", {}), mapping=raw.get("mapping"),
                     name=raw.get("name"), raw=raw)


async def follow(path: str | os.PathLike[str] | None = None, *,
                 types: Iterable[str] | None = None, mappings: Iterable[str] | None = None,
                 since: Cursor | None = None, snapshot: bool = False, **params: Any
                 ) -> AsyncGenerator[Event | Snapshot, None]:
    """Events, for ever: a connection that is lost is made again, and goes on where it was; where
    that is not possible, a Gap comes instead of what is missing.

    types, mappings (ids or names): only these; params: others of events.subscribe. since: the
    `cursor` of the last event that is known. snapshot: without since, begin with a Snapshot.
    That the daemon cannot be reached is an error (Unreachable) only at the beginning; that it
    refuses the subscription (RpcError) always."""
    stream = Stream(types, mappings, since, snapshot, params)
    while True:
        try:
            connection = await open_connection(path)
            with contextlib.closing(connection):
                async with contextlib.aclosing(stream.read(connection)) as events:
                    async for event in events:
                        yield event
        except (OSError, RpcError) as error:
            refused = isinstance(error, RpcError) and not (
                error.retryable or error.kind == "shutting_down")
            if stream.retry_s is None or refused:
                raise
            await asyncio.sleep(stream.retry_s)
            stream.retry_s = min(stream.retry_s * 2, RETRY_MAX_S)
