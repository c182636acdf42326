# SPDX-License-Identifier: MIT
"""The benchmark runs, and its table says what the runs said. Nothing here asks how fast anything
is."""
import json
import os
import shutil
import subprocess
import sys

import pytest

from test_tree import SRCDIR

BUILDDIR = os.environ.get("RSTUND_BUILDDIR") or SRCDIR
BENCH = os.path.join(SRCDIR, "tests/bench")

if BENCH not in sys.path:
    sys.path.append(BENCH)
import links  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402


def bench(*args, **options):
    return subprocess.run([sys.executable, "-B", f"{BENCH}/bench.py", "--build", BUILDDIR, *args],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300,
                          check=False, **options)


def measure(folder, chosen, peers):
    """Runs these rows for a moment; the table's cells by row id, and the runs."""
    done = bench("--quick", "--seconds", "0.1", "--rows", chosen, "--peers", peers, "--output",
                 str(folder))
    assert done.returncode == 0, done.stderr + done.stdout
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")]
             for line in (folder / "table.md").read_text().splitlines() if line.startswith("|")]
    cells = {line[0]: dict(zip(lines[0], line)) for line in lines[2:]}
    runs = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    assert not [run for run in runs if "error" in run]
    return cells, runs


def test_loopback(tmp_path):
    """Each kind of load, through rstund and without."""
    chosen = ["S3.up", "S4.lo.down", "S6.p50", "S7.p99", "S8", "S9.100", "S10"]
    cells, runs = measure(tmp_path, ",".join(chosen), "direct")
    shown = set(chosen) | {"S4.lo.down.jain", "S9.100.loss"}
    assert set(cells) == shown
    for row in shown - {"S9.100.loss"}:
        assert float(cells[row]["rstund"]) > 0, row
        assert float(cells[row]["direct"]) > 0, row
    assert len(runs) == 2 * len(chosen)


@pytest.mark.root
def test_memory(tmp_path):
    cells, _ = measure(tmp_path, "S11,S15,K1.flows.100,K1.mappings.10", "rstund")
    for row in ("S11.idle", "S15.logins", "S15.session", "K1.flows.100.p50", "K1.mappings.10.p50"):
        assert float(cells[row]["rstund"]) > 0, row


@pytest.mark.root
def test_between_namespaces(tmp_path):
    chosen = ["S1.down", "S16"]
    if os.path.exists("/dev/net/tun"):
        chosen.append("S12.50m")
    cells, _ = measure(tmp_path, ",".join(chosen), "raw")
    assert set(cells) == set(chosen)
    assert float(cells["S16"]["raw"]) > 0 and float(cells["S1.down"]["rstund"]) > 0


def test_ssh(tmp_path):
    assert shutil.which("ssh")
    cells, _ = measure(tmp_path, "S8", "ssh")
    assert float(cells["S8"]["/ ssh"]) > 0


def test_medians_and_goals():
    row = next(row for row in rows.ROWS if row.id == "S1.up")
    figures = report.Figures()
    for speed in (3, 9, 2):
        figures.add(row.case, "rstund", {"gbit_s": speed})
    figures.add(row.case, "original", {"gbit_s": 1})
    assert figures.median(row.case, "rstund", "gbit_s") == 3
    assert figures.ratio(row, "original") == 3
    assert [figures.met(row, goal, rows.ROWS) for goal in row.goals] == [True, None]
    eight = next(row for row in rows.ROWS if row.id == "S4.1500.up")
    figures.add(eight.case, "rstund", {"gbit_s": 2.9, "jain": 1})
    assert figures.met(eight, eight.goals[0], rows.ROWS) is False
    figures.fail(row.case, "ssh", "no route")
    lines = report.table([row], figures, ["rstund", "original", "ssh", "frp"])
    assert lines[0].startswith("| row | what | unit | rstund | original | ssh | / ssh ")
    assert "| 3.00 | 1.00 | (failed) |  | 3.00 |" in lines[2]


def test_rows():
    ids = [row.id for row in rows.ROWS]
    assert len(set(ids)) == len(ids)
    assert {name.split(".")[0] for name in ids} == {f"S{n}" for n in range(1, 17)} | {
        "K1", "K2", "C1", "C2", "C3"}
    for row in rows.ROWS:
        assert row.case.link in links.TEXTS, row.id
        for goal in row.goals:
            assert not goal.of or goal.of in row.peers or goal.of[len("row "):] in ids, row.id
    assert [row.id for row in rows.choose("S7,S1.up")] == ["S1.up", "S7.p50", "S7.p99"]
    assert {row.id[0] for row in rows.choose("C,K")} == {"C", "K"}


@pytest.mark.parametrize("args, said", [
    (["--rows", "S1,S99"], "no row 'S99'; there are S1.up"),
    (["--peers", "openvpn"], "no peer 'openvpn'; there are rstund"),
    (["--peers", "frp"], "frp: FRP=PATH is not set"),
    (["--seconds", "0"], "--seconds from 0.05"),
    (["--repetitions", "-1"], "--repetitions is at least 1"),
])
def test_wrong_arguments(tmp_path, args, said):
    environ = {name: value for name, value in os.environ.items() if name != "FRP"}
    done = bench(*args, "--output", str(tmp_path / "out"), env=environ)
    assert done.returncode == 2 and said in done.stderr
    assert not (tmp_path / "out").exists()


def test_not_built(tmp_path):
    done = subprocess.run([sys.executable, "-B", f"{BENCH}/bench.py", "--build", str(tmp_path)],
                          stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and "was not built (make bench-programs)" in done.stderr


@pytest.mark.parametrize("program, args, said", [
    ("load", ["bulk", "localhost:1"], "not an address of the form IP:PORT"),
    ("load", ["pull", "127.0.0.1:1"], "no such verb: pull"),
    ("load", ["bulk", "127.0.0.1:1", "--flows", "0"], "--flows 0: not a number from 1 to 10000"),
    ("load", ["bulk"], "Usage: load VERB IP:PORT"),
    ("link", ["1"], "Usage: link PID_A PID_B"),
    ("link", ["1", "2", "--loss", "100"], "100: not a number from 0 to 90"),
    ("pump", ["serve", "127.0.0.1:1", "rot13", "0", "1"], "Usage: pump serve|send IP:PORT CIPHER"),
])
def test_wrong_arguments_of_programs(program, args, said):
    done = subprocess.run([f"{BUILDDIR}/tests/bench/{program}", *args], stderr=subprocess.PIPE,
                          text=True, check=False)
    assert done.returncode == 2 and said in done.stderr
