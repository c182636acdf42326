# SPDX-License-Identifier: MIT
"""Names instead of addresses: of the server (--dns, --dot, Happy Eyeballs) and of targets."""
import socket
import socketserver
import ssl
import struct
import threading

import pytest

from harness import net
from harness.link import Link


class Zone(socketserver.ThreadingUDPServer):
    """A DNS server on loopback that knows `names` (A and AAAA) and counts its questions."""

    daemon_threads = True

    def __init__(self, names):
        self.names = names
        self.asked = []
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            data, sock = self.request
            labels, at = [], 12
            while data[at]:
                labels.append(data[at + 1:at + 1 + data[at]].decode())
                at += 1 + data[at]
            kind = struct.unpack(">H", data[at + 1:at + 3])[0]
            name = ".".join(labels).lower()
            self.server.asked.append((name, kind))
            known = self.server.names.get(name)
            records = b"".join(
                b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 5, len(packed)) + packed
                for packed in (socket.inet_pton(net.family(ip), ip) for ip in known or ()
                               if (":" in ip) == (kind == 28) and kind in (1, 28)))
            count = records.count(b"\xc0\x0c")
            flags = 0x8180 if known is not None else 0x8183
            sock.sendto(data[:2] + struct.pack(">HHHHH", flags, 1, count, 0, 0)
                        + data[12:at + 5] + records, self.client_address)


@pytest.fixture
def zone(stack):
    def make(**names):
        zone = Zone({name.replace("_", "."): ips for name, ips in names.items()})
        stack.callback(zone.close)
        return zone
    return make


@pytest.fixture
def named_link(fleet, tcp_upstream):
    """A client that is told a name; its certificate is for that name."""
    upstream = tcp_upstream(net.echo)

    def make(name, server_ip, *client_args, server_args=()):
        link = Link(fleet, ip=server_ip, server_args=server_args, client_args=client_args)
        link.entry = link.map("tcp", "OUT-ANY", upstream.address)
        link.dial = f"{name}:{link.address[1]}"
        link.start_server()
        return link
    return make


@pytest.fixture
def pair(pki):
    return pki.pair("tunnel", names="DNS:tunnel.example")


def test_dns_server(named_link, zone, pair):
    dns = zone(tunnel_example=["127.0.0.1"])
    link = named_link("tunnel.example", net.V4, "-c", pair[0], "--dns",
                      net.text(dns.server_address), server_args=["-c", pair[0], "-k", pair[1]])
    link.start_client()
    net.echo_flow(link.entry, 1, 1000)
    assert {name for name, _ in dns.asked} == {"tunnel.example"}


@pytest.mark.parametrize("server_ip", [net.V4, net.V6])
def test_both_families(named_link, zone, pair, server_ip):
    """The server listens on one of two; the other costs no more than a moment."""
    dns = zone(tunnel_example=["::1", "127.0.0.1"])
    link = named_link("tunnel.example", server_ip, "-c", pair[0], "--dns",
                      net.text(dns.server_address), server_args=["-c", pair[0], "-k", pair[1]])
    link.start_client()
    took = int(link.client.wait_log(r": tunneling, server \S+, took (\d+) ms").group(1))
    assert took < 3000 * net.limit(1)
    net.echo_flow(link.entry, 1, 1000)


def test_unknown_name(named_link, zone, pair):
    """An error that is said, and the system is not asked instead."""
    dns = zone()
    link = named_link("localhost.example", net.V4, "-c", pair[0], "--dns",
                      net.text(dns.server_address))
    link.start_client(ready=False)
    line = link.client.wait_log(r"(?:reconnecting|failed, next try) in [\d.]+ s: (.*)")
    assert "localhost.example" in line.group(1)


def test_resolved_anew_at_each_attempt(named_link, zone, pair):
    """The address changes while the client tries: it finds the new one."""
    dns = zone(tunnel_example=["127.0.0.9"])
    link = named_link("tunnel.example", net.V4, "-c", pair[0], "-r", 300, "--dns",
                      net.text(dns.server_address), server_args=["-c", pair[0], "-k", pair[1]])
    link.start_client(ready=False)
    link.client.wait_log(r"reconnecting in ", timeout=40)
    dns.names["tunnel.example"] = ["127.0.0.1"]
    link.client.wait_ready(40)
    net.echo_flow(link.entry, 1, 1000)


def test_dns_over_tls_is_checked(named_link, zone, pair, pki, stack):
    """A DoT server whose certificate nobody vouches for: an error, and no packet to plain DNS."""
    dns = zone(tunnel_example=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pki.pair("dot", names="DNS:dot.example"))
    connected = threading.Event()

    def handler(conn):
        connected.set()
        with context.wrap_socket(conn, server_side=True) as tls:
            return tls.recv(1000)
    dot = net.TcpUpstream(handler)
    stack.callback(dot.close)
    link = named_link("tunnel.example", net.V4, "-c", pair[0], "--dns",
                      net.text(dns.server_address),
                      "--dot", f"127.0.0.1#dot.example:{dot.address[1]}")
    link.start_client(ready=False)
    line = link.client.wait_log(r"(?:reconnecting|failed, next try) in [\d.]+ s: (.*)", timeout=40)
    assert "tunnel.example" in line.string or "dot" in line.string.lower(), line.string
    assert connected.is_set()
    assert isinstance(dot.result(), Exception), "the question was asked all the same"
    assert dns.asked == []


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("mode", ["OUT", "IN"])
def test_target_by_name(fleet, tcp_upstream, udp_upstream, proto, mode):
    """The side that dials resolves it."""
    upstream = tcp_upstream(net.echo) if proto == "tcp" else udp_upstream()
    link = Link(fleet)
    entry = ("127.0.0.1", net.free_port())
    target = f"localhost:{upstream.address[1]}"
    link.mappings[proto].append(f"OUT^{entry[1]}^{target}" if mode == "OUT"
                                else f"IN^{target}^{entry[1]}")
    link.start()
    if proto == "tcp":
        net.echo_flow(entry, 1, 1000)
    else:
        with net.UdpApplication(entry, timeout=2) as app:
            for _ in range(10):  # a datagram to ::1, where nobody is, is lost
                try:
                    assert app.ask(b"hello") == b"hello"
                    break
                except (TimeoutError, socket.timeout):
                    continue
            else:
                raise AssertionError("no answer")


def test_target_that_does_not_exist(fleet):
    link = Link(fleet)
    entry = ("127.0.0.1", net.free_port())
    link.mappings["tcp"].append(f"OUT^{entry[1]}^no-such-host.invalid:80")
    link.start()
    with net.connect(entry) as conn:
        net.expect_rst(conn)


def test_several_addresses_of_one_server(named_link, pair):
    """Nobody is at the first: the second takes over."""
    link = named_link("unused", net.V4)
    link.dial = f"127.0.0.9:{net.free_port()},{net.text(link.address)}"
    link.start_client()
    net.echo_flow(link.entry, 1, 1000)
