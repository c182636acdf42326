# SPDX-License-Identifier: MIT
"""The table between two rstunds, and without a tunnel (where it tests itself)."""
from harness.link import Direct
from harness.table import TcpTable, UdpTable


class TestTcp(TcpTable):
    pass


class TestUdp(UdpTable):
    pass


class TestDirectTcp(TcpTable):
    """Expectations of the table against the kernel alone."""

    link_kind = Direct
    sides = {"server": "none", "client": "none"}
    only_with_option = "--direct"
    test_refused = test_unreachable = test_slow_reader = None


class TestDirectUdp(UdpTable):
    link_kind = Direct
    sides = {"server": "none", "client": "none"}
    only_with_option = "--direct"
    test_flow_after_its_expiry = test_refused_upstream = None
