# SPDX-License-Identifier: MIT
"""Certificates, pins and names: who is trusted, what is said when somebody is not."""
import base64
import os
import platform
import re
import subprocess

import pytest

from harness import net, quic_initial
from harness.control import Ctl
from harness.link import Link


@pytest.fixture
def tls_link(fleet, tcp_upstream):
    """A link with these arguments and one mapping; connects to `host`."""
    upstream = tcp_upstream(net.echo)

    def make(server_args=(), client_args=(), host=None, start=True, **options):
        link = Link(fleet, server_args=server_args, client_args=client_args, **options)
        link.entry = link.map("tcp", "OUT-ANY", upstream.address)
        link.start_server()
        if host:
            link.dial = f"{host}:{link.address[1]}"
        link.start_client(ready=start)
        return link
    return make


def no_warning(link):
    assert not link.client.find_log(r"(?i)not verified")


def test_address_without_certificate_warns(tls_link):
    link = tls_link()
    warning = link.client.wait_log(r"warn .*NOT verified").string
    assert "--cert" in warning and "--pin" in warning
    assert len(link.client.find_log(r"(?i)not verified")) == 1
    since = link.client.mark()
    link.restart_server()
    link.client.wait_log(r"NOT verified", since=since, timeout=30)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_certificate(tls_link, pki, kind, host):
    cert, key = pki.pair(f"good-{kind}", kind=kind)
    link = tls_link(["-c", cert, "-k", key], ["-c", cert], host=host)
    net.echo_flow(link.entry, 1, 1000)
    no_warning(link)


def test_certificate_over_ipv6(tls_link, pki):
    cert, key = pki.pair("good-ec")
    link = tls_link(["-c", cert, "-k", key], ["-c", cert], ip=net.V6)
    net.echo_flow(link.entry, 1, 1000)
    no_warning(link)


def test_certificate_marked_as_ca(tls_link, pki):
    """The original's peers refuse it; an existing pair must go on working here."""
    cert, key = pki.pair("ca", ca=True)
    link = tls_link(["-c", cert, "-k", key], ["-c", cert])
    no_warning(link)


def fast_cipher():
    """What "auto" comes to here, where both ends are this machine."""
    with open("/proc/cpuinfo") as f:
        flags = set(f.read().split())
    has_aes = platform.machine() in ("x86_64", "i686", "aarch64") and \
        flags >= {"aes"} and flags & {"pclmulqdq", "pmull"}
    return "aes-128-gcm" if has_aes else "chacha20-poly1305"


@pytest.mark.parametrize("cipher", [None, "chacha20-poly1305", "aes-256-gcm", "aes-128-gcm",
                                    "auto"])
def test_ciphers(tls_link, fleet, cipher):
    """The cipher that was asked for, or the default, or the fast one; both sides show it."""
    sockets = [os.path.join(fleet.directory(), "s") for _ in range(2)]
    link = tls_link(["--socket", sockets[0]],
                    ["--socket", sockets[1], *(["-e", cipher] if cipher else [])])
    net.echo_flow(link.entry, 1, 1 << 20)
    expected = fast_cipher() if cipher == "auto" else cipher or "chacha20-poly1305"
    server, client = map(Ctl, sockets)
    assert client.call("mapping.list")["mappings"][0]["runtime"]["cipher"] == expected
    assert server.call("session.list")["sessions"][0]["cipher"] == expected
    assert expected in client("list", "-o", "wide", status=0).out


# ---- the certificate that a server makes for itself ----

def test_own_certificate_verifies_for_localhost(tls_link, fleet):
    link = tls_link()
    found = [os.path.join(d, f) for d, _, files in os.walk(link.state["server"]) for f in files]
    cert = [f for f in found if os.path.basename(f) == "cert.pem"]
    assert len(cert) == 1, found
    key = cert[0].replace("cert.pem", "key.pem")
    assert os.stat(key).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(key)).st_mode & 0o777 == 0o700
    for host in ("localhost", "127.0.0.1"):
        other = fleet.role("client", "-a", f"{host}:{link.address[1]}", "-c", cert[0], "-t",
                           f"OUT^{net.free_port()}^ANY", password=link.password)
        other.wait_ready()
        assert not other.find_log(r"(?i)not verified")


def test_pin_stays_over_a_restart(tls_link):
    link = tls_link()
    pin = link.server.wait_log(r"pin (sha256/\S+)").group(1)
    server = link.restart_server()
    assert server.wait_log(r"pin (sha256/\S+)").group(1) == pin


# ---- pins ----

def test_pin(tls_link, pki):
    cert, key = pki.pair("good-ec")
    link = tls_link(["-c", cert, "-k", key], ["--pin", pki.pin(cert)])
    net.echo_flow(link.entry, 1, 1000)
    no_warning(link)
    assert link.server.wait_log(r"pin (sha256/\S+)").group(1) == pki.pin(cert)


def test_pin_printed_by_the_server(fleet, tcp_upstream):
    upstream = tcp_upstream(net.echo)
    link = Link(fleet)
    entry = link.map("tcp", "OUT-ANY", upstream.address)
    link.start_server()
    link.client_args += ["--pin", link.server.wait_log(r"pin (sha256/\S+)").group(1)]
    link.start_client()
    net.echo_flow(entry, 1, 1000)
    no_warning(link)


def test_wrong_pin(tls_link, pki):
    cert, key = pki.pair("good-ec")
    other, _ = pki.pair("other")
    link = tls_link(["-c", cert, "-k", key], ["--pin", pki.pin(other)], start=False)
    line = link.client.wait_log(r"failed, next try in \d+ s: (.*)").string
    assert pki.pin(cert) in line and pki.pin(other) in line
    assert not link.server.find_log(r"login")


def test_pin_and_wrong_certificate(tls_link, pki):
    """With both given, both must fit."""
    cert, key = pki.pair("good-ec")
    other, _ = pki.pair("other")
    link = tls_link(["-c", cert, "-k", key], ["--pin", pki.pin(cert), "-c", other], start=False)
    link.client.wait_log(r"failed, next try in \d+ s: ")


# ---- what is not accepted, and what is said then ----

def refused(link, pattern):
    line = link.client.wait_log(r"failed, next try in (\d+) s: (.*)")
    assert int(line.group(1)) >= 30, line.string
    assert re.search(pattern, line.group(2)), line.string
    assert not link.server.find_log(r"login of")


def test_certificate_of_another_name(tls_link, pki):
    cert, key = pki.pair("elsewhere", names="DNS:elsewhere.example")
    refused(tls_link(["-c", cert, "-k", key], ["-c", cert], host="localhost", start=False),
            r"elsewhere\.example.*localhost")


def test_certificate_of_another_address(tls_link, pki):
    cert, key = pki.pair("elsewhere-ip", names="IP:192.0.2.7")
    refused(tls_link(["-c", cert, "-k", key], ["-c", cert], start=False),
            r"192\.0\.2\.7.*127\.0\.0\.1")


def test_unknown_issuer(tls_link, pki):
    cert, key = pki.pair("good-ec")
    other, _ = pki.pair("other")
    refused(tls_link(["-c", cert, "-k", key], ["-c", other], start=False), re.escape(other))


def test_name_without_certificate_needs_system_trust(tls_link, pki):
    cert, key = pki.pair("good-ec")
    refused(tls_link(["-c", cert, "-k", key], host="localhost", start=False),
            r"not trust|trusted")


def test_expired_certificate(tls_link, pki):
    cert, key = pki.expired("expired")
    link = tls_link(["-c", cert, "-k", key], ["-c", cert], start=False)
    refused(link, r"expired.*2020-01-02")
    assert link.server.find_log(r"warn .*expired")


# ---- files that cannot be used: the server does not start ----

def test_unusable_files(fleet, pki, tmp_path):
    cert, key = pki.pair("good-ec")
    _, other_key = pki.pair("other")
    with open(cert, "rb") as f:
        whole = f.read()
    half = tmp_path / "half.pem"
    half.write_bytes(whole[:len(whole) // 2])
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")
    half_key = tmp_path / "half.key.pem"
    with open(key, "rb") as f:
        half_key.write_bytes(f.read()[:80])
    half_key.chmod(0o600)
    missing = str(tmp_path / "missing.pem")
    for files, named in (((missing, key), [missing, "No such file"]),
                         ((cert, missing), [missing, "No such file"]),
                         ((str(tmp_path), key), [str(tmp_path)]),
                         ((str(half), key), [str(half)]),
                         ((str(empty), key), [str(empty)]),
                         ((cert, str(half_key)), [str(half_key)]),
                         ((key, key), [key]),
                         ((cert, other_key), [cert, other_key, "does not belong"])):
        server = fleet.role("server", "-a", "127.0.0.1:0", "-c", files[0], "-k", files[1])
        server.expect_exit(1)
        for text in named:
            assert text in server.log(), server.log()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_unreadable_files_of_another_user(fleet, pki, tmp_path):
    """Permission denied is said as such; needs root to drop rights."""
    cert, key = pki.pair("good-ec")
    closed = tmp_path / "closed.pem"
    with open(key, "rb") as f:
        closed.write_bytes(f.read())
    closed.chmod(0)

    def drop():
        # without CAP_DAC_OVERRIDE root is held to the mode of the file
        import ctypes
        libc = ctypes.CDLL(None)
        for capability in (1, 2):
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    server = fleet.role("server", "-a", "127.0.0.1:0", "-c", cert, "-k", closed, preexec=drop)
    server.expect_exit(1)
    assert str(closed) in server.log() and "ermission denied" in server.log()


def test_unusable_trust_file(fleet, pki, tmp_path):
    for content in (None, b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        path = tmp_path / "roots.pem"
        if content is not None:
            path.write_bytes(content)
        client = fleet.role("client", "-a", "127.0.0.1:9", "-c", path, "-t",
                            f"OUT^{net.free_port()}^ANY")
        client.expect_exit(1)
        assert str(path) in client.log()


# ---- SNI ----

def client_hello(fleet, stack, *args, name=None):
    """Starts a client toward a socket that never answers; yields the SNI of what it sends."""
    peer = stack.enter_context(net.socket.socket(net.socket.AF_INET, net.socket.SOCK_DGRAM))
    peer.bind(("127.0.0.1", 0))
    peer.settimeout(20)
    host = name or "127.0.0.1"
    client = fleet.role("client", "-a", f"{host}:{peer.getsockname()[1]}", "-t",
                        f"OUT^{net.free_port()}^ANY", *args)
    return quic_initial.server_names(peer), client


def test_sni_of_the_wire(fleet, stack):
    names, _ = client_hello(fleet, stack, name="localhost")
    assert next(names) == "localhost"
    names, _ = client_hello(fleet, stack)
    assert next(names) is None, "an address is not a name (RFC 6066 section 3)"


def test_sni_names_take_turns(fleet, stack):
    names, _ = client_hello(fleet, stack, "--sni-names", "a.example,b.example", "-w", 1,
                            "-t", f"OUT^{net.free_port()}^ANY,OUT^{net.free_port()}^ANY")
    assert {next(names), next(names)} == {"a.example", "b.example"}


def test_sni_names_still_check_the_real_name(tls_link, pki):
    cert, key = pki.pair("good-ec")
    link = tls_link(["-c", cert, "-k", key], ["-c", cert, "--sni-names", "cover.example"],
                    host="localhost")
    net.echo_flow(link.entry, 1, 1000)
    cert, key = pki.pair("cover", names="DNS:cover.example")
    refused(tls_link(["-c", cert, "-k", key], ["-c", cert, "--sni-names", "cover.example"],
                     host="localhost", start=False), r"cover\.example.*localhost")


def test_certificates_script(tmp_path):
    """Its EC keys have the 32 bytes that rustls wants, not the 33 that certtool writes now and
    then (half of them: RFC 5915 section 3)."""
    script = os.path.join(os.path.dirname(__file__), "../../contrib/certificates")
    for i in range(8):
        out = str(tmp_path / str(i))
        subprocess.run(["bash", script, "--out", out, "localhost", "127.0.0.1"], check=True,
                       capture_output=True, timeout=30)
        with open(out + ".key.pem") as f:
            der = base64.b64decode("".join(f.read().split("\n")[1:-2]))
        assert der[:7] == bytes.fromhex("30770201010420")
