# SPDX-License-Identifier: MIT
"""The same table with the original ($RSTUN) on each side in turn.

Rows that it cannot do are left out where the table says so (original_cannot); the ends of flows are
asserted loosely there, because it turns resets into ends of file and back.
"""
import socket
import subprocess

import pytest

from harness import net
from harness.control import RSTUNCTL
from harness.daemon import RSTUN, RSTUND, limit, log_password
from harness.link import Link
from harness.proxy import ProxyTable, ReverseTable
from harness.table import TcpTable, UdpTable
from test_cli import quick_start
from test_dynamic import Association

pytestmark = pytest.mark.skipif(not RSTUN, reason="needs RSTUN=")


class TestOriginalServerTcp(TcpTable):
    sides = {"server": "rstun", "client": "rstund"}


class TestOriginalServerUdp(UdpTable):
    sides = {"server": "rstun", "client": "rstund"}


class TestOriginalServerDynamic(ProxyTable):
    sides = {"server": "rstun", "client": "rstund"}

    def test_udp_associate_is_refused(self, make_link):
        """The original could lead its datagrams elsewhere."""
        link = make_link()
        entry = link.dynamic("SOCKS5")
        link.start()
        with Association(entry) as association:
            assert association.reply[1] != 0


class TestOriginalServerReverse(ReverseTable):
    sides = {"server": "rstun", "client": "rstund"}


class TestOriginalClientTcp(TcpTable):
    sides = {"server": "rstund", "client": "rstun"}


class TestOriginalClientUdp(UdpTable):
    sides = {"server": "rstund", "client": "rstun"}


class TestOriginalBothTcp(TcpTable):
    """Between two originals: what the table asks there is what the original can do."""

    sides = {"server": "rstun", "client": "rstun"}
    only_with_option = "--original-both"


class TestOriginalBothUdp(UdpTable):
    sides = {"server": "rstun", "client": "rstun"}
    only_with_option = "--original-both"


# ---- faults, refusals and the quick start with the original ----


@pytest.mark.parametrize("side", ["server", "client"])
def test_quick_start_with_the_original(fleet, stack, monkeypatch, side):
    monkeypatch.setenv("STATE_DIRECTORY", fleet.directory())
    quick_start(fleet, stack, RSTUN if side == "server" else RSTUND,
                RSTUN if side == "client" else RSTUND)


@pytest.mark.parametrize("what", ["password", "upstream"])
def test_refused_by_the_original(fleet, what):
    """It closes without a word: taken as a refusal, tried again slowly."""
    link = Link(fleet, server="rstun")
    link.start_server()
    password = link.password if what == "upstream" else log_password()
    client = fleet.role("client", "-a", net.text(link.address), "-t",
                        f"OUT^{net.free_port()}^ANY", password=password)
    line = client.wait_log(r"failed, next try in (\d+) s: (.*)")
    assert int(line.group(1)) >= 30


def test_address_in_use_at_the_original(fleet, stack):
    taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    link = Link(fleet, server="rstun")
    link.map("tcp", "IN", ("127.0.0.1", 9), entry=taken.getsockname())
    link.start_server()
    link.start_client(ready=False)
    line = link.client.wait_log(r"(?:failed|reconnecting).* in [\d.]+ s: (.*)")
    assert "in use" in line.group(1) or "failed to bind" in line.group(1)


@pytest.mark.parametrize("side", ["server", "client"])
def test_original_comes_back(fleet, tcp_upstream, side):
    """Killed and started again on either side, the tunnel is back."""
    upstream = tcp_upstream(net.echo)
    link = Link(fleet, client_args=["--quic-timeout-ms", 3000], **{side: "rstun"})
    entry = link.map("tcp", "OUT-ANY", upstream.address)
    link.start()
    net.echo_flow(entry, 1, 1000)
    since = link.client.mark()
    if side == "server":
        link.restart_server()
        link.wait_tunnels(since=since, timeout=40, again=True)
    else:
        link.client.kill()
        link.start_client()
    net.echo_flow(entry, 2, 1000)


def test_connect_through_the_original(fleet, make_daemon, tcp_upstream):
    """rstunctl connect, by address and by a name that the original resolves."""
    upstream = tcp_upstream(net.echo)
    link = Link(fleet, server="rstun")
    link.start_server()
    daemon = make_daemon(secrets=[link.password])
    with daemon.connect() as control:
        control.call("client.add", name="home", server_addr=net.text(link.address),
                     password=link.password)
    data = b"".join(net.stream(1, 1 << 20))
    for target in (net.text(upstream.address), f"localhost:{upstream.address[1]}"):
        done = subprocess.run([RSTUNCTL, "connect", target], input=data, capture_output=True,
                              env=daemon.ctl.environment(), timeout=limit(60), check=False)
        assert (done.returncode, done.stderr, done.stdout == data) == (0, b"", True), target


def test_original_client_after_our_restart(fleet, tcp_upstream):
    """Our server, killed and started again with its state, resets the original's connection."""
    upstream = tcp_upstream(net.echo)
    link = Link(fleet, client="rstun")
    entry = link.map("tcp", "OUT-ANY", upstream.address)
    link.start()
    since = link.client.mark()
    link.restart_server()
    link.server.wait_log(r"session \d+: login of OUT tcp", timeout=60)
    link.client.wait_log(r"login succeeded", since=since)
    net.echo_flow(entry, 2, 1000)
