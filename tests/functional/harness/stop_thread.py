# SPDX-License-Identifier: MIT
"""Stops one thread of another process, as if it hung: by ptrace, which takes root."""
import contextlib
import ctypes
import os

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000


def threads(pid):
    """{id: name}"""
    found = {}
    for tid in map(int, os.listdir(f"/proc/{pid}/task")):
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="utf-8") as f:
            found[tid] = f.read().strip()
    return found


@contextlib.contextmanager
def stopped(tid):
    """The thread stands still inside of this."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long] * 4

    def ptrace(request):
        if libc.ptrace(request, tid, 0, 0) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
    ptrace(SEIZE)
    try:
        ptrace(INTERRUPT)
        os.waitpid(tid, WALL)
        yield
    finally:
        ptrace(DETACH)
