# SPDX-License-Identifier: MIT
"""UDP in DATAGRAM frames between two rstunds: what goes that way, what goes on a stream, and what
the statistics say about it. That nothing is changed on the way is the table's business."""

import os

import pytest

from harness import net
from harness.control import Control

SMALL = [0, 1, 1200, 9000]
LARGE = [20000, 65507]


@pytest.fixture
def link_with_sockets(make_link, fleet, udp_upstream):
    """A UDP mapping of either route with an echo behind it; a control connection to each side."""
    def make(route):
        paths = {side: os.path.join(fleet.directory(), "s") for side in ("server", "client")}
        link = make_link(server_args=["--socket", paths["server"]],
                         client_args=["--socket", paths["client"]])
        link.upstream = udp_upstream()
        link.entry = link.map("udp", route, link.upstream.address)
        link.start()
        controls = {side: Control(path) for side, path in paths.items()}
        opened.extend(controls.values())
        return link, lambda side: controls[side].call("stats.get")["stat"]

    opened = []
    yield make
    for control in opened:
        control.close()


def ask_until_it_fits(app, stat, size):
    """Path MTU discovery goes on with the traffic."""
    for i in range(2000):
        data = net.datagram(i, 100)
        assert app.ask(data) == data
        if stat("client")["max_datagram"] >= size and stat("server")["max_datagram"] >= size:
            return
    raise AssertionError(stat("client"))


@pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
def test_frames_and_streams(link_with_sockets, route):
    link, stat = link_with_sockets(route)
    with net.UdpApplication(link.entry) as app:
        ask_until_it_fits(app, stat, max(SMALL))
        assert stat("client")["max_datagram"] < min(LARGE)
        before = {side: stat(side) for side in ("client", "server")}
        for i, size in enumerate(SMALL + LARGE):
            data = net.datagram(i, size)
            assert app.ask(data) == data
        for side in ("client", "server"):
            after = stat(side)
            for member in ("rx_datagram_frames", "tx_datagram_frames"):
                assert after[member] - before[side][member] == len(SMALL), (side, member)
            assert after["udp_dropped"] == 0
            assert after["active_conns"] == 1
    assert len(set(link.upstream.sources())) == 1


def test_tcp_has_none(make_link, fleet, tcp_upstream):
    """Nothing on a TCP mapping says that UDP would fit."""
    path = os.path.join(fleet.directory(), "s")
    upstream = tcp_upstream(net.echo)
    link = make_link(client_args=["--socket", path])
    entry = link.map("tcp", "OUT-ANY", upstream.address)
    link.start()
    net.echo_flow(entry, 1, 100_000)
    with Control(path) as control:
        assert control.call("stats.get")["stat"]["max_datagram"] == 0
