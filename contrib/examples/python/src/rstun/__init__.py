# SPDX-License-Identifier: MIT
"""Client of rstund's control socket, for asyncio: calls (connect), and events that survive a lost
connection (follow). Names of methods, params and results are those of the API: rstund-api(7), or
`await client.call("rpc.discover")`."""
from ._client import Client, connect
from ._connection import RpcError, Unreachable
from ._events import Cursor, Event, Events, Gap, Snapshot, follow

__all__ = ["Client", "Cursor", "Event", "Events", "Gap", "RpcError", "Snapshot", "Unreachable",
           "connect", "follow"]
