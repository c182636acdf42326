# SPDX-License-Identifier: MIT
"""Network namespaces, and two of them joined by a veth pair, which has the MTU of an Ethernet.

A process of ours holds a namespace, which goes when that process goes, and the process goes when we
do, however we end.
"""
import contextlib
import ctypes
import os
import subprocess

from .daemon import Daemon

CLONE_NEWNET = 0x40000000
# End with us, even when we are killed.
WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"]
NEAR, FAR = "10.88.0.1", "10.88.0.2"  # of a veth pair

_libc = ctypes.CDLL(None, use_errno=True)


def may_make_namespaces():
    return os.geteuid() == 0 and subprocess.run(
        ["unshare", "-n", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def _enter(path):
    fd = os.open(path, os.O_RDONLY)
    failed = _libc.setns(fd, CLONE_NEWNET) != 0
    error = ctypes.get_errno()
    os.close(fd)
    if failed:
        raise OSError(error, os.strerror(error))


class Namespace:
    def __init__(self, name):
        self.holder = Daemon(WITH_US + ["unshare", "-n", "sh", "-c", "ip link set lo up && "
                                        "echo ready && exec sleep infinity"], f"namespace {name}")
        self.holder.wait_log("^ready$")

    @property
    def pid(self):
        return self.holder.pid

    def command(self, argv):
        return WITH_US + ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *argv]

    def run(self, *argv):
        subprocess.run(self.command(argv), check=True, stdin=subprocess.DEVNULL)

    def enter(self):
        """For good, with the calling thread and what it starts: for preexec of a program."""
        _enter(f"/proc/{self.pid}/ns/net")

    @contextlib.contextmanager
    def inside(self):
        """Sockets made meanwhile, by this thread or those that it begins, are of there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.enter()
        try:
            yield
        finally:
            _enter(f"/proc/self/fd/{home}")
            os.close(home)

    def close(self):
        self.holder.discard()


def veth():
    """Two namespaces, near and far, with these addresses on a veth pair of MTU 1500 between them."""
    near, far = Namespace("near"), Namespace("far")
    subprocess.run(["ip", "link", "add", "veth1", "netns", str(near.pid), "type", "veth",
                    "peer", "name", "veth2", "netns", str(far.pid)], check=True)
    for space, number, address in ((near, 1, NEAR), (far, 2, FAR)):
        space.run("ip", "address", "add", f"{address}/24", "dev", f"veth{number}")
        space.run("ip", "link", "set", f"veth{number}", "up")
    return near, far
