# SPDX-License-Identifier: MIT
"""Several workers on each side, hops, and both under load."""
import os
import re
import time

import pytest

from harness import net
from harness.link import ROUTES

MIB = 1 << 20


def udp_ports(daemon):
    """Local ports of the UDP sockets that a program has open."""
    inodes = set()
    for fd in os.listdir(f"/proc/{daemon.pid}/fd"):
        try:
            match = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{daemon.pid}/fd/{fd}"))
        except OSError:
            continue
        if match:
            inodes.add(match.group(1))
    ports = set()
    for table in ("udp", "udp6"):
        with open(f"/proc/{daemon.pid}/net/{table}") as f:
            for line in f.readlines()[1:]:
                fields = line.split()
                if fields[9] in inodes:
                    ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


@pytest.mark.tsan
@pytest.mark.parametrize("server_workers,client_workers", [(1, 1), (4, 1), (1, 4), (4, 4)])
def test_workers(make_link, tcp_upstream, udp_upstream, server_workers, client_workers):
    tcp, udp = tcp_upstream(net.echo), udp_upstream()
    link = make_link(server_args=["-w", server_workers], client_args=["-w", client_workers])
    tcp_entries = [link.map("tcp", route, tcp.address) for route in ROUTES * 3]
    udp_entries = [link.map("udp", route, udp.address) for route in ROUTES]
    link.start()
    link.server.wait_log(rf"listening on .*\(udp, {server_workers} worker")
    flows = [net.in_thread(net.echo_flow, entry, i, 200_000)
             for i, entry in enumerate(tcp_entries * 4)]
    apps = [net.UdpApplication(entry) for entry in udp_entries * 4]
    for i, app in enumerate(apps):
        app.send(b"%d" % i)
    for i, app in enumerate(apps):
        assert app.receive() == b"%d" % i
        app.close()
    net.all_of(flows)


@pytest.mark.tsan
def test_workers_reconnect(make_link, tcp_upstream):
    """All mappings of all workers come back after the server was killed."""
    upstream = tcp_upstream(net.echo)
    link = make_link(server_args=["-w", 4], client_args=["-w", 4, "-r", 300])
    entries = [link.map("tcp", route, upstream.address) for route in ("OUT-ANY", "IN") * 4]
    link.start()
    since = link.client.mark()
    link.restart_server()
    link.wait_tunnels(since=since, again=True, timeout=40)
    net.all_of([net.in_thread(net.echo_flow, entry, i, 50_000)
                for i, entry in enumerate(entries)])


@pytest.mark.tsan
@pytest.mark.parametrize("workers", [1, 4])
def test_many_mappings_leave_and_come(make_link, fleet, tcp_upstream, workers):
    """Clients that come and go while others work."""
    upstream = tcp_upstream(net.echo)
    link = make_link(server_args=["-w", workers], client_args=["-w", 2])
    entry = link.map("tcp", "IN", upstream.address)
    link.start()
    steady = net.in_thread(net.echo_flow, entry, 99, 16 * MIB)
    for _ in range(5):
        mappings = ",".join(f"IN^{net.text(upstream.address)}^{net.free_port()}" for _ in range(4))
        other = fleet.role("client", "-a", net.text(link.address), "-w", 2, "-t", mappings,
                           password=link.password)
        other.wait_ready()
        other.stop()
    steady.join()
    link.server.wait_log(r"session \d+: ended", count=20)


def paced_flow(entry, seed, seconds, piece=4096):
    """Echoes pieces with a pause between, for so long; returns how many bytes were right."""
    pause = net.threading.Event()
    end = time.monotonic() + seconds
    sent = 0
    with net.connect(entry) as conn:
        for block in net.stream(seed, 1 << 40):
            data = block[:piece]
            assert net.round_trip(conn, data) == data
            sent += len(data)
            if time.monotonic() >= end:
                break
            pause.wait(0.01)  # the rate is the point: the transfer must outlast the hops
        conn.shutdown(net.socket.SHUT_WR)
        assert net.read_all(conn).end == "eof"
    return sent


def hop(make_link, tcp_upstream, udp_upstream, server_workers, client_workers, seconds, hops):
    tcp, udp = tcp_upstream(net.echo), udp_upstream()
    link = make_link(server_args=["-w", server_workers],
                     client_args=["-w", client_workers, "--hop-interval-ms", 5000])
    entries = [link.map("tcp", route, tcp.address) for route in ("OUT-ANY", "IN")]
    udp_entry = link.map("udp", "OUT", udp.address)
    link.start()
    seen = [udp_ports(link.client)]
    flows = [net.in_thread(paced_flow, entry, i, seconds) for i, entry in enumerate(entries * 2)]
    flows += [net.in_thread(repeated_transfers, entry, i, seconds)
              for i, entry in enumerate(entries)]
    lost = 0
    with net.UdpApplication(udp_entry, timeout=0.25) as app:
        while not all(flow.done() for flow in flows):
            try:
                assert app.ask(b"ping") == b"ping"
            except (TimeoutError, net.socket.timeout):
                lost += 1
            ports = udp_ports(link.client)
            if ports != seen[-1]:
                seen.append(ports)
    for flow in flows:
        flow.join(10)
    net.echo_flow(entries[0], 1, 100_000)
    assert len(link.client.find_log(": tunneling")) == link.count(), "a hop is no reconnect"
    new = set.union(*seen[1:]) - seen[0] if len(seen) > 1 else set()
    assert len(new) >= hops, f"{hops} hops expected, ports were {seen}"
    assert lost < 20


def repeated_transfers(entry, seed, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        net.echo_flow(entry, seed, MIB)


@pytest.mark.tsan
@pytest.mark.parametrize("server_workers,client_workers", [(1, 1), (4, 4)])
def test_hop_under_load(make_link, tcp_upstream, udp_upstream, server_workers, client_workers):
    hop(make_link, tcp_upstream, udp_upstream, server_workers, client_workers, 7, 1)


@pytest.mark.long
@pytest.mark.parametrize("server_workers,client_workers", [(1, 1), (4, 4)])
def test_hops_under_load(make_link, tcp_upstream, udp_upstream, server_workers, client_workers):
    """More than two hops, A -> B -> C -> D."""
    hop(make_link, tcp_upstream, udp_upstream, server_workers, client_workers, 17, 3)


@pytest.mark.tsan
def test_stop_amid_everything(make_link, tcp_upstream):
    """Both sides are stopped twice while flows run and clients connect: no report, no hang."""
    upstream = tcp_upstream(net.echo)
    link = make_link(server_args=["-w", 4], client_args=["-w", 4])
    entries = [link.map("tcp", route, upstream.address) for route in ("OUT-ANY", "IN") * 2]
    link.start()
    flows = [net.in_thread(endless, entry, i) for i, entry in enumerate(entries * 5)]
    upstream.wait_accepted(len(flows))
    for daemon in (link.client, link.server):
        for _ in range(2):
            since = daemon.mark()
            daemon.signal(15)
            if daemon.alive():
                try:
                    daemon.wait_log(r".", since=since, timeout=5)
                except AssertionError:
                    pass
        daemon.expected = {0, 1, -15}
        daemon.wait(20)
    for flow in flows:
        flow.join(30)


def endless(entry, seed):
    """Sends until the flow breaks."""
    try:
        with net.connect(entry) as conn:
            reader = net.in_thread(net.read_all, conn)
            try:
                net.send_stream(conn, seed, 1 << 40)
            except OSError:
                pass
            return reader.join()
    except OSError:
        return None
