# SPDX-License-Identifier: MIT
"""The kernel sends and receives one packet at a time: all works, and the log says so once."""
import os

import pytest

from harness import net, netns
from harness.daemon import log_password

SIZE = 8 << 20
RECEIVE = r"info .*the kernel refuses UDP receive offload"
SEGMENT = r"info .*the kernel refuses UDP segmentation offload"


@pytest.fixture
def veth(stack):
    if not netns.may_make_namespaces():
        pytest.skip("network namespaces are not permitted here")
    ends = netns.veth()
    for end in ends:
        stack.callback(end.close)
    return ends


@pytest.fixture
def refusing(tool):
    """Environment of a program that is to find a kernel without offload. ASan wants its run-time
    library to come first; that this one does is no harm, as it replaces nothing that ASan needs."""
    options = os.environ.get("ASAN_OPTIONS", "")
    return {"LD_PRELOAD": tool(".libs/refuse_offload.so"),
            "ASAN_OPTIONS": f"{options}:verify_asan_link_order=0"}


@pytest.mark.root
def test_refused(veth, fleet, tcp_upstream, refusing):
    """Several workers and sessions on both sides, bulk data in both directions."""
    near, far = veth
    password = log_password()
    with far.inside():
        upstream, address = tcp_upstream(net.echo), (netns.FAR, net.free_port())
    with near.inside():
        entries = [(net.V4, net.free_port()) for _ in range(4)]
    server = fleet.role("server", "-a", net.text(address), "-w", 2, "-t", net.text(upstream.address),
                        password=password, preexec=far.enter, env=refusing)
    server.wait_ready()
    client = fleet.role("client", "-a", net.text(address), "-w", 2, "-t",
                        ",".join(f"OUT^{net.text(e)}^ANY" for e in entries),
                        password=password, preexec=near.enter, env=refusing)
    client.wait_ready()
    with near.inside():
        net.all_of([net.in_thread(net.echo_flow, entry, seed, SIZE)
                    for seed, entry in enumerate(entries)])
    for daemon in (client, server):
        daemon.stop()
        assert len(daemon.find_log(RECEIVE)) == 1
        assert len(daemon.find_log(SEGMENT)) == 1
