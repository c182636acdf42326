# SPDX-License-Identifier: MIT
"""What is put on a tunnel, and what is read off it. A load is a function of a run; it returns its
figures by name (METRICS says what they are)."""
import contextlib
import json
import subprocess

from harness.daemon import limit
from stage import cpu_seconds, memory_kib

# name: unit, whether more is better, digits behind the point
METRICS = {
    "gbit_s": ("Gbit/s", True, 2),
    "mbit_s": ("Mbit/s", True, 1),
    "jain": ("Jain", True, 3),
    "share_percent": ("% of both", True, 0),
    "cpu_s_per_gb": ("CPU s/GB", False, 2),
    "p50_us": ("us", False, 0),
    "p99_us": ("us", False, 0),
    "cpu_us": ("CPU us", False, 0),
    "p50_ms": ("ms", False, 2),
    "p99_ms": ("ms", False, 2),
    "per_s": ("1/s", True, 0),
    "received_mbit_s": ("Mbit/s", True, 1),
    "loss_percent": ("% lost", False, 2),
    "idle_mib": ("MiB", False, 1),
    "flow_kib": ("KiB", False, 1),
    "logins_per_core_s": ("1/s", True, 0),
    "session_kib": ("KiB", False, 1),
}


class LoadFailed(Exception):
    pass


class Run:
    """One load on one peer: the peer, started or about to be, and how long is measured."""

    def __init__(self, peer, seconds, warm, quick):
        self.peer = peer
        self.stage = peer.stage
        self.seconds = seconds
        self.warm = warm
        self.quick = quick
        self.limit = limit(20 + 4 * (seconds + warm))

    def command(self, verb, *args, entry=None, seconds=None, warm=None):
        return self.stage.link.command("near", [
            self.stage.tool("load"), verb, entry or self.peer.entry, *map(str, args),
            "--seconds", str(seconds or self.seconds),
            "--warm", str(self.warm if warm is None else warm), "--limit", str(self.limit)])

    def load(self, verb, *args, **times):
        """Runs tests/bench/load on the near side, against the entry; returns its result."""
        return result(verb, self.command(verb, *args, **times), self.limit + 5)

    def start_peer(self, udp=False, mappings=1):
        if mappings > 1:
            self.peer.start_server()
            self.peer.start_client(mappings)
        else:
            self.peer.start()
        try:
            self.load("wait", *(["--udp"] if udp else []))
        except LoadFailed as failure:
            logs = "\n".join(end.dump() for end in self.peer.ends)
            raise LoadFailed(f"nothing comes back through it: {failure}\n{logs}") from None


def result(name, command, limit_s):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"{name}: took longer than {limit_s:g} s") from None
    if done.returncode != 0:
        raise LoadFailed(f"{name}: {done.stderr.strip() or done.returncode}")
    return json.loads(done.stdout)


def bulk(run, flows=1, way="up"):
    if run.peer.name == "raw":
        return pump(run)
    run.start_peer()
    before = cpu_seconds(run.peer.ends)
    got = run.load("bulk", "--flows", flows, *(["--down"] if way == "down" else []))
    spent = cpu_seconds(run.peer.ends) - before
    figures = rates(got["mbit_s"])
    figures["jain"] = got["jain"]
    if run.peer.ends:
        figures["cpu_s_per_gb"] = spent / (got["bytes"] / 1e9)
    return figures


def rates(mbit_s):
    return {"mbit_s": mbit_s, "gbit_s": mbit_s / 1000}


def pump(run):
    """The far side of tests/bench/pump counts and prints."""
    stage = run.stage
    common = [f"{stage.link.address}:{run.peer.port}", stage.cipher, str(run.warm),
              str(run.seconds)]
    server = stage.start("far", [stage.tool("pump"), "serve", *common], "pump serve")
    server.wait_log("^ready$")
    client = stage.start("near", [stage.tool("pump"), "send", *common], "pump send")
    line = server.wait_log(r"^{.*}$", timeout=run.limit).group(0)
    client.wait(run.limit)
    return rates(json.loads(line)["mbit_s"])


def rtt(run, udp=False, bytes=64):
    run.start_peer(udp)
    return round_trips(run.load("rtt", "--bytes", bytes, *(["--udp"] if udp else [])))


def round_trips(got):
    return {"p50_us": got["p50_us"], "p99_us": got["p99_us"],
            "p50_ms": got["p50_us"] / 1000, "p99_ms": got["p99_us"] / 1000}


def rtt_beside_bulk(run):
    """Round trips while one flow of the same mapping carries what it can, upward."""
    run.start_peer()
    with beside(run, run.peer.entry, seconds=run.limit) as flow:
        figures = round_trips(run.load("rtt", warm=run.warm + 1))
        if flow.poll() is not None:
            raise LoadFailed("the bulk flow beside it ended early")
    return figures


def beside_tcp(run):
    """One flow through the tunnel while one of TCP with CUBIC takes what it can of the same line,
    past the tunnel."""
    run.start_peer()
    with beside(run, f"{run.stage.link.address}:{run.peer.upstream}", "--cubic") as flow:
        ours = run.load("bulk")["mbit_s"]
        theirs = other_rate(run, flow)
    if not ours + theirs:
        raise LoadFailed("nothing came through")
    return {"share_percent": 100 * ours / (ours + theirs), "mbit_s": ours + theirs}


@contextlib.contextmanager
def beside(run, entry, *args, seconds=None):
    """A bulk load as a process of its own, gone at the end of the block."""
    process = subprocess.Popen(run.command("bulk", *args, entry=entry, seconds=seconds),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def other_rate(run, process):
    """Of a load beside, at its end, in Mbit/s."""
    out, err = process.communicate(timeout=run.limit)
    if process.returncode != 0:
        raise LoadFailed(f"the flow beside it: {err.strip()}")
    return json.loads(out)["mbit_s"]


def short(run, at_once=100):
    run.start_peer()
    got = run.load("short", "--flows", at_once)
    if got["failed"]:
        raise LoadFailed(f"{got['failed']} of {got['failed'] + got['count']} connections failed")
    return {"per_s": got["per_s"]}


def blast(run, mbit, bytes=1200):
    run.start_peer(udp=True)
    got = run.load("blast", "--mbit", mbit, "--bytes", bytes)
    return {"received_mbit_s": got["received_mbit_s"], "loss_percent": got["loss_percent"]}


def hold(run, flows=1000):
    flows = flows // 5 if run.quick else flows
    run.start_peer()
    idle = memory_kib(run.peer.ends)
    holder = hold_flows(run, flows)
    held = memory_kib(run.peer.ends)
    holder.process.stdin.close()
    return {"idle_mib": idle / 1024, "flow_kib": (held - idle) / flows}


def hold_flows(run, flows):
    """That many idle flows, for as long as its standard input is open."""
    holder = run.stage.start("near", [run.stage.tool("load"), "hold", run.peer.entry, "--flows",
                                      flows, "--limit", run.limit], "load hold",
                             stdin=subprocess.PIPE)
    holder.wait_log("held", timeout=run.limit)
    return holder


def rtt_among(run, flows=0, mappings=1):
    """Round trips of one flow among idle ones and idle mappings (a session each): if what there is
    costs what is used nothing, the curve is flat."""
    run.start_peer(mappings=mappings)
    if flows:
        hold_flows(run, flows)
    before = cpu_seconds(run.peer.ends)
    got = run.load("rtt", "--bytes", 64)
    trips = got["count"] * (1 + run.warm / run.seconds)
    return {"cpu_us": (cpu_seconds(run.peer.ends) - before) / trips * 1e6, **round_trips(got)}


def sessions(run, workers, count=8):
    """A flow in each of some sessions, upward. The server's worker threads get a fifth of a
    processor each, so that they are what limits, wherever all this runs: two should do twice as
    much as one."""
    peer = run.peer
    peer.workers = workers
    peer.start_server()
    run.stage.slow_down(peer.server, "worker-", 20)
    if len(run.stage.groups) != workers:
        raise LoadFailed(f"{len(run.stage.groups)} worker threads, not {workers}")
    peer.start_client(mappings=count)
    with contextlib.ExitStack() as stack:
        flows = [stack.enter_context(beside(run, f"{peer.entry_host}:{peer.entry_port + i}"))
                 for i in range(count)]
        return rates(sum(other_rate(run, flow) for flow in flows))


def logins(run, count=1000):
    """A client with many mappings, each a session of its own: what they cost the server."""
    count = count // 5 if run.quick else count
    peer = run.peer
    peer.start_server()
    before = memory_kib([peer.server])
    spent = cpu_seconds([peer.server])
    peer.start_client(mappings=count)
    spent = cpu_seconds([peer.server]) - spent
    return {"logins_per_core_s": count / spent if spent else 0,
            "session_kib": (memory_kib([peer.server]) - before) / count}
