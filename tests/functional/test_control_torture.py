# SPDX-License-Identifier: MIT
"""The control plane under torture: a seeded random run of everything that changes something, on a
daemon with servers, clients, a configuration file and real tunnels, beside another daemon that is
killed and started again. After each round the daemon must be consistent and its tunnels must come
up; at the end nothing is left but what was there at the beginning.

The seed is printed; RSTUND_TORTURE_SEED and RSTUND_TORTURE_S (seconds) choose another run.
"""
import collections
import contextlib
import os
import random
import socket
import time

import pytest

from harness import net
from harness.control import Error
from harness.daemon import Failure, limit, log_password

STATES = ("idle", "connecting", "connected", "tunneling", "reconnecting", "failed", "stopped",
          "paused")
NAMES = ("a", "b", "c", "d", "web", "x-1")
CLIENTS = ("home", "far", "other")
SERVERS = ("front", "side", "back")
SETTLE_S = 20


class Torture:
    def __init__(self, make_daemon, fleet, tmp_path, upstreams, seed):
        self.random = random.Random(seed)
        self.fleet, self.tcp, self.udp = fleet, upstreams[0], upstreams[1]
        self.password = log_password()
        self.password_file = fleet.password_file(self.password)
        self.conf = tmp_path / "conf"
        self.ports = [net.free_port() for _ in range(8)]
        self.server_ports = dict(zip(SERVERS, (net.free_port() for _ in SERVERS)))
        self.far_port = net.free_port()
        self.counts = collections.Counter()
        self.write_config(False)
        self.near = make_daemon("--config", self.conf, "--workers", "2", secrets=[self.password])
        self.far = make_daemon("--workers", "2", secrets=[self.password])
        with self.far.connect(schema=False) as control:
            control.call("server.add", name="far", **self.server_options(self.far_port))
        self.main = self.near.connect(timeout=30)
        self.callers = []   # other connections
        self.pending = []   # (connection, id, method)
        self.known = ["m1"]   # ids of mappings

    # ---- what things are made of ----

    def server_options(self, port):
        return {"addr": f"127.0.0.1:{port}", "password": self.password,
                "tcp_upstream": net.text(self.tcp.address),
                "udp_upstream": net.text(self.udp.address)}

    def client_options(self, port):
        return {"server_addr": f"127.0.0.1:{port}", "password": self.password,
                "wait_before_retry_ms": 300, "heartbeat_interval_ms": 500,
                "heartbeat_timeout_ms": 1500}

    def write_config(self, full):
        text = f"# {self.random.random()}\n"
        if full:
            text += (f"[client conf]\nserver-addr = 127.0.0.1:{self.far_port}\n"
                     f"password-file = {self.password_file}\nheartbeat-interval-ms = 500\n"
                     f"heartbeat-timeout-ms = 1500\nwait-before-retry-ms = 300\n")
            for i, port in enumerate(self.random.sample(self.ports, self.random.randrange(3))):
                text += f"[mapping conf{i}]\nclient = conf\nspec = OUT^127.0.0.1:{port}^ANY\n"
                text += self.random.choice(["", "paused = yes\n"])
        self.conf.write_text(text)

    def pick(self, *values):
        return self.random.choice(values)

    def spec(self):
        proto = self.pick("tcp", "tcp", "udp")
        port = self.random.choice(self.ports)
        target = net.text((self.tcp if proto == "tcp" else self.udp).address)
        spec = self.pick(f"OUT^127.0.0.1:{port}^ANY", f"OUT^127.0.0.1:{port}^{target}",
                         f"IN^{target}^127.0.0.1:{port}")
        return {"spec": spec, "proto": proto}

    def mapping(self):
        """Some mapping, perhaps one that is gone."""
        return {"name": self.random.choice(NAMES)} if self.random.random() < 0.4 else \
            {"id": self.random.choice(self.known)}

    # ---- calls ----

    def caller(self):
        if not self.callers or (len(self.callers) < 8 and self.random.random() < 0.3):
            self.callers.append(self.near.connect(schema=False, timeout=30))
        return self.random.choice(self.callers)

    def drop(self, caller):
        self.callers.remove(caller)
        self.pending = [p for p in self.pending if p[0] is not caller]
        caller.close()

    def call(self, method, /, **params):
        """Says it, now and then without waiting for the answer."""
        caller = self.caller() if self.random.random() < 0.5 else self.main
        number = caller.send(method, **params)
        self.counts[method] += 1
        if self.random.random() < 0.3 and caller is not self.main and len(self.pending) < 100:
            self.pending.append((caller, number, method))
            return None
        return self.answer(caller, number, method)

    def answer(self, caller, number, method):
        try:
            return caller.result(number)
        except Error as error:
            self.counts[f"{method}: {error.kind}"] += 1
            assert error.kind not in ("internal", "invalid_params", "method_not_found",
                                      "parse_error", "invalid_request"), f"{method}: {error}"
            return None

    def finish_pending(self):
        for caller, number, method in self.pending:
            self.answer(caller, number, method)
        self.pending = []

    # ---- operations: each is a method op_NAME, WEIGHT times as likely ----

    WEIGHTS = {"add": 8, "remove": 4, "set": 3, "server_add": 3, "client_add": 3, "wait": 3,
               "pause": 2, "traffic": 3}

    def op_add(self):
        name = {"name": self.random.choice(NAMES)} if self.random.random() < 0.7 else {}
        more = self.pick({}, {}, {"wait_ms": self.pick(1, 300)}, {"paused": True},
                         {"persist": False}, {"lifetime": "connection"},
                         {"expires_ms": self.pick(1, 50, 500)})
        added = self.call("mapping.add", client=self.random.choice(CLIENTS), **name,
                          **self.spec(), **more)
        if added is not None:
            self.known = [*self.known[-8:], added["mapping"]["id"]]

    def op_set(self):
        what = self.pick(self.spec(), {"client": self.random.choice(CLIENTS)},
                         {"expires_ms": self.pick(0, 100, 60000)})
        self.call("mapping.set", **self.mapping(), **what)

    def op_remove(self):
        self.call("mapping.remove", **self.mapping(), missing_ok=self.pick(True, False),
                  drain_ms=self.pick(0, 0, 200, 2000))

    def op_pause(self):
        self.call(self.pick("mapping.pause", "mapping.resume", "mapping.resume"),
                  **self.mapping())

    def op_pause_twice(self):
        which, caller = self.mapping(), self.caller()
        for method in ("pause", self.pick("pause", "drain"), self.pick("resume", "remove")):
            self.pending.append((caller, caller.send("mapping." + method, **which),
                                 "mapping." + method))

    def op_drain(self):
        self.call("mapping.drain", **self.mapping(), drain_ms=self.pick(0, 200, 2000))

    def op_restart(self):
        self.call("mapping.restart", **self.mapping())

    def op_wait(self):
        self.call("mapping.wait", **self.mapping(), state=self.random.choice(STATES),
                  timeout_ms=self.pick(1, 100, 1000))

    def op_apply(self):
        entries = [{**self.spec(), "client": self.random.choice(CLIENTS), "name": name}
                   for name in self.random.sample(NAMES, self.random.randrange(4))]
        more = {"confirm_within_s": 1} if self.random.random() < 0.3 else {}
        caller = self.caller()
        number = caller.send("mapping.apply", mappings=entries, prune=self.pick(True, False),
                             dry_run=self.random.random() < 0.2, **more)
        try:
            caller.result(number)
        except Error as error:   # two of them want the same address, or there is no such client
            assert error.kind != "internal", error
        if self.random.random() < 0.7:
            self.call("mapping.confirm", revert=self.pick(True, False))

    def op_client_add(self):
        name = self.random.choice(CLIENTS)
        port = self.far_port if name == "far" else self.server_ports[self.pick("front", "side")]
        self.call("client.add", name=name, persist=self.pick(True, False),
                  **self.client_options(port))

    def op_client_set(self):
        for _ in range(self.pick(1, 1, 2, 3)):
            self.call("client.set", name=self.random.choice(CLIENTS),
                      cipher=self.pick("aes-128-gcm", "aes-256-gcm", None))

    def op_client_remove(self):
        self.call("client.remove", name=self.random.choice(CLIENTS), missing_ok=True,
                  mappings=self.pick(True, False), drain_ms=self.pick(0, 300))

    def op_client_test(self):
        self.call("client.test", timeout_ms=self.pick(100, 1000),
                  **self.pick({"client": self.random.choice(CLIENTS)},
                              {"mapping": self.random.choice(NAMES)}))

    def op_server_add(self):
        name = self.random.choice(SERVERS)
        port = self.server_ports[name if self.random.random() < 0.9 else "front"]
        self.call("server.add", name=name, persist=self.pick(True, False),
                  **self.server_options(port))

    def op_server_set(self):
        for _ in range(self.pick(1, 1, 2, 3)):
            self.call("server.set", name=self.random.choice(SERVERS),
                      udp_timeout_ms=self.pick(5000, 6000, 7000))

    def op_server_remove(self):
        self.call("server.remove", name=self.random.choice(SERVERS), missing_ok=True,
                  drain_ms=self.pick(0, 0, 500))

    def op_server_drain(self):
        name = self.random.choice(SERVERS)
        self.call("server.drain", name=name, drain_ms=self.pick(0, 300))
        follow = self.pick(None, "set", "remove", "remove_add")
        if follow == "set":
            self.call("server.set", name=name, udp_timeout_ms=self.pick(5000, 8000))
        elif follow is not None:
            self.call("server.remove", name=name, missing_ok=True)
        if follow == "remove_add":
            self.call("server.add", name=name, **self.server_options(self.server_ports[name]))

    def op_flow(self):
        self.call("flow.list", **self.pick({}, {"mapping": self.random.choice(NAMES)}))
        self.call("flow.kill", mapping=self.random.choice(NAMES))

    def op_session(self):
        listed = self.call("session.list")
        if listed and listed["sessions"]:
            self.call(self.pick("session.kick", "session.get"),
                      id=self.random.choice(listed["sessions"])["id"])

    def op_look(self):
        method, params = self.pick(
            ("stats.get", {}), ("stats.get", {"mapping": self.random.choice(NAMES)}),
            ("stats.get", {"server": self.random.choice(SERVERS)}), ("metrics.get", {}),
            ("daemon.status", {}), ("mapping.list", {}), ("client.list", {}),
            ("server.list", {}), ("server.get", {"name": self.random.choice(SERVERS)}),
            ("mapping.get", {"name": self.random.choice(NAMES)}), ("config.get", {}),
            ("log.tail", {"count": 5}), ("cert.list", {}), ("rpc.discover", {}))
        self.call(method, **params)

    def op_level(self):
        self.call("log.set_level", level=self.pick("info", "debug", "trace", "warn"),
                  revert_after_ms=self.pick(10, 300))

    def op_subscribe(self):
        more = self.pick({}, {"stat_interval_ms": 100}, {"types": ["flow", "state"]},
                         {"mappings": ["m1", "web"]}, {"snapshot": "always"})
        caller = self.caller()
        self.pending.append((caller, caller.send("events.subscribe", **more),
                             "events.subscribe"))

    def op_unsubscribe(self):
        caller = self.caller()
        number = caller.send("events.unsubscribe", sub=self.pick(1, 2))
        self.answer(caller, number, "events.unsubscribe")

    def op_next(self):
        caller = self.caller()
        self.pending.append((caller, caller.send("events.next", timeout_ms=self.pick(0, 500)),
                             "events.next"))

    def op_cancel(self):
        if self.pending:
            caller, number, _ = self.random.choice(self.pending)
            self.answer(caller, caller.send("rpc.cancel", id=number), "rpc.cancel")

    def op_close(self):
        """With calls and subscriptions that wait, read or not."""
        if self.callers:
            caller = self.random.choice(self.callers)
            for _ in range(self.pick(0, 3, 40)):
                caller.send("mapping.wait", id="m1", state="stopped", timeout_ms=5000)
            self.drop(caller)

    def op_reload(self):
        self.write_config(self.random.random() < 0.7)
        if self.random.random() < 0.5:
            self.near.reload()
        else:
            self.call("daemon.reload", dry_run=self.random.random() < 0.2)

    def op_far(self):
        if self.random.random() < 0.3:
            self.far.process.kill()
            self.far.start()

    def op_traffic(self):
        """Bytes through whatever is there."""
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.random.choice(self.ports)), 1) as s:
                s.setblocking(False)
                s.send(b"x" * self.pick(1, 1000, 50000))
                if self.random.random() < 0.5:
                    self.held.append(s.dup())
        with contextlib.suppress(OSError), \
                net.UdpApplication(("127.0.0.1", self.random.choice(self.ports))) as app:
            app.send(b"x" * 100)

    # ---- rounds ----

    def round(self, count):
        self.held = []
        operations = [name[3:] for name in dir(self) if name.startswith("op_")]
        weights = [self.WEIGHTS.get(name, 1) for name in operations]
        for name in self.random.choices(operations, weights, k=count):
            getattr(self, "op_" + name)()
        self.finish_pending()
        for conn in self.held:
            conn.close()
        start = time.monotonic()
        self.main.call("daemon.ping")
        assert time.monotonic() - start < limit(2), "ping took too long"
        self.call_main("mapping.confirm")
        self.check_tunnels()

    def call_main(self, method, /, **params):
        return self.answer(self.main, self.main.send(method, **params), method)

    def check_counts(self, mappings, status):
        assert len({m["id"] for m in mappings}) == len(mappings), mappings
        names = [m["config"]["name"] for m in mappings if "name" in m["config"]]
        assert len(set(names)) == len(names), names
        counts = status["mappings"]
        assert counts["total"] == sum(counts[state] for state in STATES), counts
        assert all(counts[state] >= 0 for state in STATES)

    def wanted(self, mappings):
        """Those that must come up: nobody stands in their way."""
        servers = {s["config"]["addr"] for s in self.main.call("server.list")["servers"]
                   if s["runtime"]["state"] == "listening"}
        servers.add(f"127.0.0.1:{self.far_port}")
        clients = {c["name"]: c["config"]["server_addr"]
                   for c in self.main.call("client.list")["clients"]}
        listens = collections.Counter()
        for m in mappings:
            config = m["config"]
            listens[config["proto"], config["local" if config["mode"] == "out" else "remote"]] += 1
        for m in mappings:
            config = m["config"]
            at = config["local" if config["mode"] == "out" else "remote"]
            if m["runtime"]["state"] != "paused" and listens[config["proto"], at] == 1 and \
                    clients[config["client"]] in servers:
                yield m

    def check_tunnels(self):
        """Everything that can be up comes up, and carries bytes. (A client notices by its timeouts
        that the far side was killed: until then it has a tunnel that carries nothing.)"""
        deadline = time.monotonic() + limit(SETTLE_S)
        while True:
            mappings = self.main.call("mapping.list")["mappings"]
            self.check_counts(mappings, self.main.call("daemon.status"))
            wanted = list(self.wanted(mappings))
            waiting = [m for m in wanted if m["runtime"]["state"] != "tunneling"]
            dead = [] if waiting else [m for m in wanted[:2] if not self.carries(m)]
            if not waiting and not dead:
                return
            assert time.monotonic() < deadline, f"not up: {waiting}, carrying nothing: {dead}"
            for m in waiting:
                state = m["runtime"]["state"]
                if state in ("failed", "reconnecting"):
                    self.call_main("mapping.restart", id=m["id"])
                self.call_main("mapping.wait", id=m["id"], timeout_ms=200,
                               state="idle" if state == "failed" else "tunneling")

    def carries(self, m):
        config = m["config"]
        at = config["local" if config["mode"] == "out" else "remote"]
        address = ("127.0.0.1", int(at.rsplit(":", 1)[1]))
        with contextlib.suppress(OSError, AssertionError):
            if config["proto"] == "tcp":
                net.echo_flow(address, 1, 20000, 10)
                return True
            with net.UdpApplication(address, 1) as app:
                return app.ask(b"datagram") == b"datagram"
        return False

    # ---- the end ----

    def remove_everything(self):
        for caller in list(self.callers):
            self.drop(caller)
        self.call_main("mapping.confirm")
        self.write_config(False)
        self.main.call("daemon.reload")
        for m in self.main.call("mapping.list")["mappings"]:
            self.call_main("mapping.remove", id=m["id"], missing_ok=True)
        for name in CLIENTS:
            self.call_main("client.remove", name=name, mappings=True, missing_ok=True)
        for name in SERVERS:
            self.call_main("server.remove", name=name, missing_ok=True)

    def until(self, what, check):
        deadline = time.monotonic() + limit(10)
        while not (value := check()) is True:
            assert time.monotonic() < deadline, f"{what}: {value}"
            self.call_main("log.tail", timeout_ms=50, min_level="error",
                           after=self.main.call("log.tail", count=1)["last"])

    def nothing_left(self):
        status = self.main.call("daemon.status")
        left = {k: status[k] for k in ("clients", "servers", "sessions", "callers",
                                       "subscriptions")}
        left["total"] = status["mappings"]["total"]
        return left == {"clients": 0, "servers": 0, "sessions": 0, "callers": 1,
                        "subscriptions": 0, "total": 0} or left

    def ports_free(self):
        for port in [*self.ports, *self.server_ports.values()]:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as s:
                    if kind == socket.SOCK_STREAM:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    try:
                        s.bind(("127.0.0.1", port))
                    except OSError as error:
                        return f"{port}: {error}"
        return True


def torture(make_daemon, fleet, tmp_path, upstreams, seed, seconds, rounds=None):
    print(f"seed {seed}", flush=True)
    end = time.monotonic() + seconds
    t = Torture(make_daemon, fleet, tmp_path, upstreams, seed)
    t.main.call("log.get_level")
    baseline = t.near.process.descriptors()
    done = 0
    while time.monotonic() < end and done != rounds:
        try:
            t.round(40)
        except (AssertionError, Failure) as error:
            raise AssertionError(f"seed {seed}, round {done}: {error}") from error
        done += 1
    print(f"seed {seed}: {done} rounds, {sum(t.counts.values())} calls; {dict(t.counts)}")
    t.remove_everything()
    t.until("what is left", t.nothing_left)
    t.until("ports", t.ports_free)
    t.until("descriptors", lambda: t.near.process.descriptors() <= baseline or
            f"{t.near.process.descriptors()}, {baseline} at the beginning")
    t.near.process.stop()
    t.far.process.stop()


@pytest.fixture
def upstreams(tcp_upstream, udp_upstream):
    return tcp_upstream(net.echo), udp_upstream()


@pytest.mark.tsan
def test_torture(make_daemon, fleet, tmp_path, upstreams):
    seed = int(os.environ.get("RSTUND_TORTURE_SEED", "4"))
    torture(make_daemon, fleet, tmp_path, upstreams, seed,
            float(os.environ.get("RSTUND_TORTURE_S", "10")))


@pytest.mark.long
@pytest.mark.parametrize("_", range(10))
def test_torture_at_random(make_daemon, fleet, tmp_path, upstreams, _):
    torture(make_daemon, fleet, tmp_path, upstreams, random.SystemRandom().randrange(1 << 32), 60)


# ---- what it has found ----

def test_waiting_for_one_that_was_there(daemon, control, tcp_upstream):
    """created is false although it comes up only now."""
    password, port = log_password(), net.free_port()
    daemon.process.secrets.append(password)
    control.call("client.add", name="home", server_addr=f"127.0.0.1:{port}", password=password)
    mapping = {"spec": f"OUT^127.0.0.1:{net.free_port()}^ANY", "name": "web"}
    assert control.call("mapping.add", **mapping)["created"]
    waiting = control.send("mapping.add", **mapping, wait_ms=20000)
    control.call("server.add", name="front", addr=f"127.0.0.1:{port}", password=password,
                 tcp_upstream=net.text(tcp_upstream(net.echo).address))
    result = control.result(waiting)
    assert not result["created"] and result["mapping"]["runtime"]["state"] == "tunneling"


def test_server_ends_amid_logins(daemon, control, tcp_upstream):
    """An address that a session asked for while its server was ending is given back."""
    password, port, entry = log_password(), net.free_port(), ("127.0.0.1", net.free_port())
    daemon.process.secrets.append(password)
    server = {"name": "front", "addr": f"127.0.0.1:{port}", "password": password}
    control.call("client.add", name="home", server_addr=f"127.0.0.1:{port}", password=password)
    target = net.text(tcp_upstream(net.echo).address)
    for _ in range(30):
        control.call("server.add", **server)
        control.call("mapping.add", spec=f"IN^{target}^{net.text(entry)}", name="web",
                     wait_ms=5000)
        control.batch([("mapping.restart", {"name": "web"}), ("daemon.ping", {})])
        control.batch([("daemon.ping", {})] * random.randrange(6) +
                      [("server.remove", {"name": "front"}), ("mapping.remove", {"name": "web"})])
    control.call("server.add", **server)   # when it listens the one before has ended
    control.call("mapping.add", spec=f"IN^{target}^{net.free_port()}", wait_ms=5000)
    control.call("mapping.add", spec=f"OUT^{net.text(entry)}^{target}", wait_ms=5000)


def test_stops_while_something_leaves(make_daemon, tcp_upstream):
    """Roles that lose their last mapping while the daemon ends are not waited for in vain."""
    upstream = tcp_upstream(net.echo).address
    for change in ("client.set", "client.remove", "server.set", "server.remove") * 3:
        daemon = make_daemon("--workers", "4")
        with daemon.connect() as control:
            daemon.tunnel(control, upstream)
            name = "home" if change.startswith("client") else "front"
            params = {"client.set": {"cipher": "aes-128-gcm"}, "client.remove": {"mappings": True},
                      "server.set": {"udp_timeout_ms": 6000}, "server.remove": {}}[change]
            control.call(change, name=name, **params)
            start = time.monotonic()
            daemon.process.stop()
        assert time.monotonic() - start < limit(4), change


def test_told_twice_to_leave(daemon, control, tcp_upstream):
    """The second message to the worker finds nothing any more; its answer comes when the mapping
    is on the worker again."""
    mapping, entry = daemon.tunnel(control, tcp_upstream(net.echo).address)
    which = {"id": mapping["id"]}
    for _ in range(20):
        control.batch([("mapping.pause", which), ("mapping.pause", which),
                       ("mapping.drain", {**which, "drain_ms": 0}), ("mapping.resume", which)])
        control.call("mapping.wait", **which, timeout_ms=5000)
        net.echo_flow(entry, 1, 1000)
