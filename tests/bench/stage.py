# SPDX-License-Identifier: MIT
"""One run's programs on one link, and what the system knows about them."""
import glob
import os
import re
import tempfile

from harness.daemon import Daemon

CGROUP_CPU = "/sys/fs/cgroup/cpu"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Stage:
    def __init__(self, link, cipher, tools):
        self.link = link
        self.cipher = cipher
        self.tools = tools
        self.daemons = []
        self.groups = []  # folders of cgroups
        self.held = tempfile.TemporaryDirectory(prefix="rstund-bench-")
        self.directory = self.held.name

    def tool(self, name):
        return os.path.join(self.tools, name)

    def start(self, side, argv, name, **options):
        daemon = Daemon(self.link.command(side, list(map(str, argv))), name, **options)
        self.daemons.append(daemon)
        return daemon

    def file(self, name, text):
        """A file that only we may read; its path."""
        path = os.path.join(self.directory, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        return path

    def slow_down(self, daemon, threads, percent):
        """Each of its threads with such a name gets `percent` of a processor (the cpu controller
        of cgroups, version 1)."""
        for folder in glob.glob(f"/proc/{daemon.pid}/task/*"):
            with open(folder + "/comm", encoding="ascii") as file:
                if not file.read().startswith(threads):
                    continue
            group = f"{CGROUP_CPU}/rstund-bench-{os.getpid()}-{os.path.basename(folder)}"
            os.mkdir(group)
            self.groups.append(group)
            for name, value in (("cpu.cfs_period_us", 5000), ("cpu.cfs_quota_us", 50 * percent),
                                ("tasks", os.path.basename(folder))):
                with open(f"{group}/{name}", "w", encoding="ascii") as file:
                    file.write(str(value))

    def close(self):
        try:
            for daemon in reversed(self.daemons):
                daemon.discard()
        finally:
            for group in self.groups:
                os.rmdir(group)
            self.held.cleanup()


# ---- processes ----

def family(daemons):
    """Process ids of these and of all their descendants (sshd has a process per session)."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(name))
    found, waiting = [], [daemon.pid for daemon in daemons]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def _stat(pid):
    """The fields of /proc/PID/stat behind the name; none when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()
    except OSError:
        return []


def cpu_seconds(daemons):
    """Of these, their descendants, and those that they waited for."""
    ticks = sum(sum(map(int, _stat(pid)[11:15])) for pid in family(daemons))
    return ticks / CLOCK_TICKS


def memory_kib(daemons):
    """Proportional set size: what they share counts once. Needs root: rstund's is nobody else's."""
    total = 0
    for pid in family(daemons):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += int(re.search(r"^Pss:\s+(\d+)", file.read(), flags=re.M).group(1))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
    return total
