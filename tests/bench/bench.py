#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Measures rstund beside other tunnels. contrib/bench builds what this needs and runs it; without
--build it does so in build/plain, and with --install it installs the peers that Debian has.

Each case is run several times, its peers taking turns, everything started anew each time; the
table has the medians. In --output: runs.jsonl (a line per run), table.md, and SVG plots where
matplotlib is installed. Exit status: 0; 1 if a run of rstund failed; 130 when interrupted (what was
measured until then is reported). A goal that is not met is no failure.
"""
import argparse
import datetime
import json
import os
import platform
import random
import signal
import subprocess
import sys
import time

SRCDIR = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(SRCDIR + "/tests/functional")

import links  # noqa: E402
import loads  # noqa: E402
import report  # noqa: E402
from harness import net  # noqa: E402
from harness.daemon import Failure  # noqa: E402
from peers import PEERS  # noqa: E402
from rows import ROWS, choose  # noqa: E402
from stage import Stage  # noqa: E402

PROGRAMS = ("rstund/rstund", "tests/bench/load", "tests/bench/link", "tests/bench/pump")


def arguments():
    """The parser, for messages, and what it understood."""
    parser = argparse.ArgumentParser(prog="contrib/bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=SRCDIR + "/build/plain", help="the build tree")
    parser.add_argument("--rows", help="rows to measure: S1,S7.p99,C (all)")
    parser.add_argument("--peers", help="peers beside rstund: ssh,direct (all there are)")
    parser.add_argument("--quick", action="store_true", help="one short repetition")
    parser.add_argument("--repetitions", type=int, help="of each run (5; quick: 1)")
    parser.add_argument("--seconds", type=float, help="measured in a run (4; quick: 1)")
    parser.add_argument("--seed", type=int, default=1, help="order of peers, losses of links (1)")
    parser.add_argument("--output", help="folder of the results (BUILD/bench)")
    parser.add_argument("--list", action="store_true", help="show rows and peers, measure nothing")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    args.output = os.path.abspath(args.output or args.build + "/bench")
    if args.repetitions is None:
        args.repetitions = 1 if args.quick else 5
    if args.seconds is None:
        args.seconds = 1.0 if args.quick else 4.0
    if args.repetitions < 1 or not 0.05 <= args.seconds <= 600:
        parser.error("--repetitions is at least 1, --seconds from 0.05 to 600")
    return parser, args


class Progress:
    """A line per run on stderr, with what is left of the time."""

    def __init__(self, total):
        self.total = total
        self.done = 0
        self.start = time.monotonic()

    def say(self, text):
        self.done += 1
        took = time.monotonic() - self.start
        left = took / self.done * (self.total - self.done)
        print(f"[{self.done}/{self.total}, {left / 60:.1f} min left] {text}", file=sys.stderr,
              flush=True)


class Bench:
    def __init__(self, args, rows, peers):
        self.args = args
        self.commit = commit()
        self.load_before = os.getloadavg()[0]
        self.tools = args.build + "/tests/bench"
        self.rows = rows
        self.peers = peers
        self.figures = report.Figures()
        self.links = {}
        self.random = random.Random(args.seed)
        self.cases = {}  # case: names of its peers
        for row in rows:
            names = self.cases.setdefault(row.case, [])
            names += [name for name in row.peers if name in peers and name not in names]
        self.log = open(args.output + "/runs.jsonl", "w", encoding="utf-8")
        self.progress = Progress(args.repetitions * sum(map(len, self.cases.values())))

    def run_all(self):
        for case, names in self.cases.items():
            for repetition in range(self.args.repetitions):
                self.random.shuffle(names)
                for name in names:
                    self.run_one(case, name, repetition)

    def link(self, name):
        if name not in self.links:
            self.links[name] = links.make(name, self.tools, self.args.seed)
        return self.links[name]

    def run_one(self, case, name, repetition):
        record = {"case": str(case), "rows": [row.id for row in self.rows if row.case == case],
                  "peer": name, "repetition": repetition, "seconds": self.args.seconds,
                  "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                  "load_average": os.getloadavg()[0]}
        try:
            record["figures"] = self.measure(case, name)
            self.figures.add(case, name, record["figures"])
            text = ", ".join(f"{report.number(value, metric)} {loads.METRICS[metric][0]}"
                             for metric, value in record["figures"].items()
                             if any(row.case == case and row.metric == metric for row in self.rows))
        except (loads.LoadFailed, Failure, OSError, subprocess.SubprocessError) as error:
            record["error"] = str(error)
            self.figures.fail(case, name, str(error))
            text = "FAILED: " + (str(error).splitlines() or [repr(error)])[0]
        print(json.dumps(record), file=self.log, flush=True)
        self.progress.say(f"{case}: {name}: {text}")

    def measure(self, case, name):
        """One run: everything is started, and gone at the end."""
        link = self.link(case.link)
        stage = Stage(link, case.cipher, self.tools)
        upstream = net.free_port()
        try:
            stage.start("far", [stage.tool("load"), "serve", f"0.0.0.0:{upstream}"],
                        "load serve").wait_log("^ready$")
            warm = 0.2 if self.args.quick else 1.0
            peer = PEERS[name](stage, upstream)
            return case.run(loads.Run(peer, self.args.seconds * link.stretch, warm * link.stretch,
                                      self.args.quick))
        finally:
            stage.close()

    def close(self):
        self.log.close()
        for link in self.links.values():
            link.close()


def choose_peers(parser, args):
    """Names of the peers to measure; says what is missing."""
    wanted = args.peers.split(",") if args.peers else list(PEERS)
    for name in wanted:
        if name not in PEERS:
            parser.error(f"no peer {name!r}; there are {', '.join(PEERS)}")
    missing = {name: PEERS[name].missing() for name in wanted if name != "rstund"}
    missing = {name: why for name, why in missing.items() if why}
    if args.peers and missing:
        parser.error("; ".join(f"{name}: {why}" for name, why in missing.items()))
    wanted = [name for name in PEERS if name in wanted or name == "rstund"]
    return [name for name in wanted if name not in missing], missing


def choose_rows(parser, args):
    """The rows to measure, and those that this user cannot."""
    try:
        rows = choose(args.rows) if args.rows else list(ROWS)
    except ValueError as error:
        parser.error(str(error))
    root = links.may_make_namespaces()
    possible = [row for row in rows if row.case.possible and (root or not row.case.needs_root)]
    if not possible:
        parser.error("these rows need root" + (" and cgroups of version 1" if root else ""))
    return possible, [row.id for row in rows if row not in possible]


def commit():
    done = subprocess.run(["git", "-C", SRCDIR, "describe", "--always", "--dirty"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.strip() or "not a checkout"


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return (f"{os.cpu_count()} x {names[0] if names else platform.machine()}, "
            f"Linux {platform.release()}")


def write_report(bench, missing, left):
    args = bench.args
    lines = [f"{datetime.date.today()}, commit {bench.commit}, {machine()}; load average "
             f"{bench.load_before:.1f} before, {os.getloadavg()[0]:.1f} after; "
             f"{args.repetitions} x {args.seconds:g} s, seed {args.seed}.", ""]
    lines += report.table(bench.rows, bench.figures, bench.peers)
    lines += [""] + [f"Not measured: {name}: {why}." for name, why in missing.items()]
    if left:
        lines.append(f"Not measured without root, or cgroups of version 1: {', '.join(left)}.")
    for (case, peer), why in bench.figures.failed.items():
        lines.append(f"Failed: {peer}, {case}: {(why.splitlines() or ['?'])[0]}")
    text = "\n".join(lines).rstrip() + "\n"
    with open(args.output + "/table.md", "w", encoding="utf-8") as file:
        file.write(text)
    print(text, end="")
    made = report.plots(bench.rows, bench.figures, bench.peers, args.output)
    print(f"{args.output}: runs.jsonl, table.md" + (f", {made} plots" if made else ""),
          file=sys.stderr)


def show_list(peers, missing):
    for row in ROWS:
        print(f"{row.id:15} {row.title} [{links.TEXTS[row.case.link]}]")
    for name in PEERS:
        print(f"{name:15} {missing.get(name, 'there' if name in peers else '')}")


def main():
    parser, args = arguments()
    os.environ["RSTUND"] = args.build + "/rstund/rstund"
    rows, left = choose_rows(parser, args)
    peers, missing = choose_peers(parser, args)
    if args.list:
        show_list(peers, missing)
        return 0
    for name in PROGRAMS:
        if not os.access(f"{args.build}/{name}", os.X_OK):
            parser.error(f"{args.build}/{name} was not built (make bench-programs)")
    os.makedirs(args.output, exist_ok=True)
    for name, why in missing.items():
        print(f"not measured: {name}: {why}", file=sys.stderr)
    # Also where a shell began us behind an "&", which makes us ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    bench = Bench(args, rows, peers)
    status = 0
    try:
        bench.run_all()
    except KeyboardInterrupt:
        status = 130
    finally:
        bench.close()
    write_report(bench, missing, left)
    if any(peer == "rstund" for _, peer in bench.figures.failed):
        status = status or 1
    return status


if __name__ == "__main__":
    sys.exit(main())
