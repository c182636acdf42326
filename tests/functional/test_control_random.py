# SPDX-License-Identifier: MIT
"""Random calls, many at once and on connections that end in the middle: whatever comes, the daemon
answers each, never with `internal`, and goes on. What is drawn depends on the seed alone."""
import json
import random

import pytest

from harness import net
from harness.control import Control
from harness.daemon import log_password

LEFT_OUT = ("daemon.shutdown", "rpc.discover", "log.set_level")  # long, or the end
THINGS = {"id": ["m1", "m2", "m3", "c1", "c2", "s1", "s2", "s1.1", "m1.1"],
          "session": ["s1.1", "s1.2"]}
NAMES = ["web", "home", "front", "m1", "c1", "s1"]
ODD = ["", "x" * 70, 0, 1, -1, 1 << 62, None, True, False, [], {}, [[]], {"config": {}}, "paused"]


class Calls:
    def __init__(self, seed, methods, ports):
        self.random = random.Random(seed)
        self.ports = ports
        self.methods = [m for name, m in methods.items() if name not in LEFT_OUT]
        self.weights = [4 if m["name"].split(".")[0] in ("mapping", "client", "server") else 1
                        for m in self.methods]

    def spec(self):
        local, remote = self.random.choices(self.ports, k=2)
        return self.random.choice([f"OUT^127.0.0.1:{local}^ANY",
                                   f"IN^127.0.0.1:{local}^127.0.0.1:{remote}"])

    def value(self, name):
        """One that makes sense, mostly."""
        draw = self.random
        if name == "spec":
            return self.spec()
        if name in ("addr", "server_addr"):
            return f"127.0.0.1:{self.ports[0]}"
        if name in ("timeout_ms", "wait_ms", "drain_ms", "confirm_within_s"):
            return draw.choice([0, 1, 20, 100])
        if name == "mappings":
            return [{"spec": self.spec(), "name": draw.choice(["web", "a", "b"]), "client": "home"}
                    for _ in range(draw.randint(0, 3))]
        return draw.choice(THINGS.get(name, NAMES))

    def params(self, method):
        draw = self.random
        params = dict(method["x-example"])
        for name in params:
            if name in ("id", "name", "mapping", "session", "client", "server", "spec", "addr",
                        "server_addr", "timeout_ms", "wait_ms", "drain_ms", "mappings"):
                params[name] = self.value(name)
        names = [p["name"] for p in method["params"]]
        if draw.random() < 0.4 and names:
            for name in draw.sample(names, draw.randint(1, min(3, len(names)))):
                params[name] = draw.choice(ODD) if draw.random() < 0.6 else self.value(name)
        return params

    def requests(self, control):
        drawn = self.random.choices(self.methods, self.weights, k=self.random.randint(1, 40))
        return [control.request(m["name"], self.params(m)) for m in drawn]


@pytest.mark.tsan
@pytest.mark.parametrize("seed", [1, 2, 3, *(pytest.param(n, marks=pytest.mark.long)
                                             for n in range(4, 100))])
def test_random_calls(daemon, control, tcp_upstream, seed):
    upstream, ports = tcp_upstream(net.echo), [net.free_port() for _ in range(6)]
    address, password = f"127.0.0.1:{ports[0]}", log_password()
    control.call("server.add", name="front", addr=address, password=password,
                 tcp_upstream=net.text(upstream.address))
    control.call("client.add", name="home", server_addr=address, password=password,
                 wait_before_retry_ms=100)
    control.call("mapping.add", name="web", spec=f"OUT^127.0.0.1:{ports[1]}^ANY", wait_ms=10000)
    calls = Calls(seed, control.schema.methods, ports)
    watcher = daemon.connect()
    watcher.subscribe(stat_interval_ms=100)
    for _ in range(12):
        with Control(daemon.socket, timeout=20) as other:
            requests = calls.requests(other)
            lines = [requests] if calls.random.random() < 0.4 else requests
            other.raw("".join(json.dumps(line) + "\n" for line in lines).encode())
            if calls.random.random() < 0.3:
                continue  # gone before the answers
            for request in requests:
                reply = other.reply(request["id"])
                assert "result" in reply or reply["error"]["data"]["kind"] != "internal", \
                    (request, reply)
    control.call("daemon.ping")
    snapshot = control.subscribe(snapshot="always")["snapshot"]
    # The mappings that the daemon holds are those that its events told of.
    number = watcher.send("daemon.ping")
    watcher.reply(number)
    held = {"m1"}
    for event in watcher.events:
        if event["type"] == "mapping" and event["data"] in ("added", "removed"):
            (held.add if event["data"] == "added" else held.discard)(event["mapping"])
    assert held == {m["id"] for m in snapshot["mappings"]}
