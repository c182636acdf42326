# SPDX-License-Identifier: MIT
"""A server and a client with mappings between them, of either program.

    link = Link(fleet, ip="::1")
    entry = link.map("tcp", "OUT", upstream.address)          # the server's default upstream
    entry = link.map("udp", "IN", upstream.address)
    link.start()

`entry` is where the application connects. Programs are "rstund" and "rstun" (the original).
"""
from . import net
from .daemon import log_password

ROUTES = ("OUT-ANY", "OUT", "IN")


class Link:
    def __init__(self, fleet, *, server="rstund", client="rstund", ip=net.V4, server_args=(),
                 client_args=()):
        self.fleet = fleet
        self.programs = {"server": server, "client": client}
        self.ip = ip
        self.password = log_password()
        self.address = (ip, net.free_port())
        self.dial = None  # what the client is told instead of `address`
        self.server_args = list(server_args)
        self.client_args = list(client_args)
        self.defaults = {}
        self.mappings = {"tcp": [], "udp": []}
        self.state = {"server": fleet.directory(), "client": fleet.directory()}
        self.server = self.client = None
        self._entries = []  # (protocol, route, address)
        self._probes = []   # connections that tell whether the original accepts

    @property
    def original(self):
        """Is the original on a side?"""
        return "rstun" in self.programs.values()

    def opener(self, route):
        """The program that opens the streams of a route."""
        return self.programs["client" if route.startswith("OUT") else "server"]

    def acceptor(self, route):
        return self.programs["server" if route.startswith("OUT") else "client"]

    def map(self, proto, route, upstream, entry=None):
        """Adds a mapping; returns the address where its listener will be."""
        entry = entry or (self.ip, net.free_port())
        target = net.text(upstream)
        self._entries.append((proto, route, entry))
        if route == "OUT-ANY":
            assert self.defaults.setdefault(proto, target) == target
            mapping = f"OUT^{net.text(entry)}^ANY"
        elif route == "OUT":
            mapping = f"OUT^{net.text(entry)}^{target}"
        else:
            mapping = f"IN^{target}^{net.text(entry)}"
        self.mappings[proto].append(mapping)
        return entry

    def dynamic(self, kind):
        """A mapping whose connections name their targets: kind is "SOCKS5" or "HTTP"."""
        entry = (self.ip, net.free_port())
        self.mappings["tcp"].append(f"OUT^{net.text(entry)}^{kind}")
        return entry

    def start(self):
        self.start_server()
        self.start_client()
        return self

    def start_server(self, ready=True):
        program = self.programs["server"]
        args = ["-a", net.text(self.address), *self.server_args, *self._loglevel("server")]
        for proto, option in (("tcp", "-t"), ("udp", "-u")):
            if proto in self.defaults:
                args += [option, self.defaults[proto]]
        self.server = self.fleet.role("server", *args, password=self.password, program=program,
                                      state_dir=self.state["server"])
        if ready:
            if program == "rstun":
                self.server.wait_log(r"listening, addr=")
            else:
                self.server.wait_ready()
        return self.server

    def start_client(self, ready=True):
        program = self.programs["client"]
        args = ["-a", self.dial or net.text(self.address), *self.client_args,
                *self._loglevel("client")]
        for proto, option in (("tcp", "-t"), ("udp", "-u")):
            if self.mappings[proto]:
                args += [option, ",".join(self.mappings[proto])]
        self.client = self.fleet.role("client", *args, password=self.password, program=program,
                                      state_dir=self.state["client"])
        if ready:
            self.wait_tunnels()
        return self.client

    def count(self):
        return sum(map(len, self.mappings.values()))

    def wait_tunnels(self, since=0, timeout=20, again=False):
        """Every mapping is tunneling; `again` (with a mark) after a reconnect."""
        if self.programs["client"] == "rstun":
            self.client.wait_log(r"start serving", timeout, since, self.count())
            self._wait_udp(self.client, "OUT", timeout, since)
        elif again:
            self.client.wait_log(r": tunneling, server", timeout, since, self.count())
        else:
            self.client.wait_ready(timeout)
            self.client.wait_log(r": tunneling, server", timeout, since, self.count())
        if self.programs["server"] == "rstun" and not again:
            self._wait_udp(self.server, "IN", timeout)
            self._wait_accepting()

    def _loglevel(self, role):
        """The original says only at debug level that a UDP socket of its is in use."""
        return ["-l", "D"] if self.programs[role] == "rstun" and self.mappings["udp"] else []

    def _wait_udp(self, daemon, mode, timeout, since=0):
        """Until the original has them in use it drops datagrams that come to its UDP listeners."""
        count = sum(m.startswith(mode) for m in self.mappings["udp"])
        if count:
            daemon.wait_log(r"\[udp\] serving loop started", timeout, since, count)

    def _wait_accepting(self):
        """The original's server drops what it accepts in the first moment after a login. It does
        not announce connections without a byte, so a probe that stays open shows nowhere else."""
        for address in [a for proto, route, a in self._entries if (proto, route) == ("tcp", "IN")]:
            for _ in range(100):
                probe = net.connect(address)
                probe.settimeout(0.1)
                try:
                    probe.recv(1)
                except (TimeoutError, OSError) as end:
                    if isinstance(end, TimeoutError):
                        self._probes.append(probe)
                        break
                probe.close()

    def restart_server(self):
        self.server.kill()
        return self.start_server()


class Direct:
    """No tunnel: the entry is the upstream. What the table expects of a tunnel holds here by the
    kernel's word, so this tests the tests."""

    programs = {"server": "none", "client": "none"}
    original = False
    server = client = None

    def __init__(self, fleet, *, ip=net.V4, **_):
        self.ip = ip

    def opener(self, route):
        return "none"

    acceptor = opener

    def map(self, proto, route, upstream, entry=None):
        return upstream

    def start(self):
        return self
