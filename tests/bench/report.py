# SPDX-License-Identifier: MIT
"""What the runs say: medians, ratios, whether goals are met; as a Markdown table and as plots."""
import os
import statistics

from loads import METRICS

RATIOS = ("ssh", "original")


class Figures:
    """Of all runs so far, by case and peer."""

    def __init__(self):
        self.runs = {}    # (case, peer): [figures of a run, ...]
        self.failed = {}  # (case, peer): what the last failure said

    def add(self, case, peer, figures):
        self.runs.setdefault((case, peer), []).append(figures)

    def fail(self, case, peer, text):
        self.failed[case, peer] = text

    def median(self, case, peer, metric):
        """None where there is none."""
        values = [run[metric] for run in self.runs.get((case, peer), []) if metric in run]
        return statistics.median(values) if values else None

    def ratio(self, row, peer):
        """rstund's median by that of the peer."""
        ours, theirs = (self.median(row.case, name, row.metric) for name in ("rstund", peer))
        return None if ours is None or not theirs else ours / theirs

    def met(self, row, goal, rows):
        """None where something that it takes was not measured."""
        ours = self.median(row.case, "rstund", row.metric)
        wanted = self._reference(row, goal, rows)
        if ours is None or wanted is None:
            return None
        return ours >= wanted if goal.sign == ">=" else ours <= wanted

    def _reference(self, row, goal, rows):
        if not goal.of:
            return goal.factor
        if goal.of.startswith("row "):
            others = [other for other in rows if other.id == goal.of[len("row "):]]
            value = others and self.median(others[0].case, "rstund", others[0].metric)
        else:
            value = self.median(row.case, goal.of, row.metric)
        return goal.factor * value if value else None


def number(value, metric):
    return "" if value is None else f"{value:.{METRICS[metric][2]}f}"


def table(rows, figures, peers):
    """Lines of Markdown: a line per row, a column per peer that was measured."""
    shown = [name for name in peers if any(peer == name for _, peer in
                                           [*figures.runs, *figures.failed])]
    head = ["row", "what", "unit", *shown, *(f"/ {name}" for name in RATIOS), "goal", "met"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = [row.id, row.title, METRICS[row.metric][0]]
        for peer in shown:
            value = number(figures.median(row.case, peer, row.metric), row.metric)
            if peer in row.peers and (row.case, peer) in figures.failed:
                value = f"{value} (failed)".strip()
            cells.append(value if peer in row.peers else "")
        for peer in RATIOS:
            ratio = figures.ratio(row, peer) if peer in row.peers else None
            cells.append("" if ratio is None else f"{ratio:.2f}")
        verdicts = [figures.met(row, goal, rows) for goal in row.goals]
        cells.append("; ".join(goal.text() for goal in row.goals))
        cells.append("; ".join({None: "?", True: "yes", False: "no"}[met] for met in verdicts))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def plots(rows, figures, peers, directory):
    """A bar chart per row, where matplotlib is installed; the number of files made."""
    try:
        import matplotlib
    except ImportError:
        return 0
    matplotlib.use("svg")
    from matplotlib import pyplot
    made = 0
    for row in rows:
        bars = [(peer, figures.median(row.case, peer, row.metric)) for peer in peers
                if peer in row.peers]
        bars = [(peer, value) for peer, value in bars if value is not None]
        if not bars:
            continue
        figure, axes = pyplot.subplots(figsize=(7, 1.2 + 0.3 * len(bars)), layout="constrained")
        axes.barh([peer for peer, _ in bars], [value for _, value in bars])
        axes.invert_yaxis()
        axes.set_title(f"{row.id}: {row.title}")
        axes.set_xlabel(METRICS[row.metric][0])
        figure.savefig(os.path.join(directory, f"{row.id}.svg"))
        pyplot.close(figure)
        made += 1
    return made
