# SPDX-License-Identifier: MIT
"""rstunctl explain: the step that fails is named, with a remedy, and nobody is disturbed."""
import re
import socket

import pytest

from harness import net
from harness.daemon import log_password
from test_names import Zone

STEPS = ("dns", "udp", "tls", "login", "bind", "upstream")


class Far:
    """A server in a daemon of its own, and a daemon that holds clients of it."""

    def __init__(self, make_daemon, stack, upstream, **config):
        self.password = log_password()
        self.far, self.near = make_daemon(), make_daemon()
        self.far_control = self.far.connect()
        self.control = self.near.connect()
        self.address = f"127.0.0.1:{net.free_port()}"
        self.upstream = upstream
        added = self.far_control.call("server.add", name="front", addr=self.address,
                                      password=self.password, **config)
        self.pin = self.far_control.call("server.get", id=added["server"]["id"])["runtime"]["pin"]

    def client(self, **config):
        config = {"server_addr": self.address, "password": self.password, **config}
        return self.control.call("client.add", name="home", **config)

    def map(self, spec, **params):
        return self.control.call("mapping.add", spec=spec, name="web", **params)

    def explain(self, *args, status):
        """The result, and the text that people see; both name the same step."""
        result, = self.near.ctl("--json", "explain", *args, status=status).objects()
        self.control.schema.check_result("client.test", result)
        assert [step["step"] for step in result["steps"]] == list(STEPS)
        done = self.near.ctl("explain", *args, status=status)
        return result, done.out

    def expect(self, step, kind, remedy, *args, status=1):
        """This step fails, those before it do not, those behind it are left out."""
        result, text = self.explain(*args, status=status)
        outcomes = {s["step"]: s["outcome"] for s in result["steps"]}
        at = STEPS.index(step)
        assert not result["ok"] and outcomes[step] == "failed", result
        assert all(outcomes[s] in ("ok", "skipped") for s in STEPS[:at]), result
        assert all(outcomes[s] == "skipped" for s in STEPS[at + 1:]), result
        error = result["steps"][at]["error"]
        assert error["kind"] == kind, result
        line, = re.findall(r"^\S+ +failed .*$", text, re.M)
        assert error["message"] in line
        assert re.search(remedy, text), f"no remedy {remedy!r} in:\n{text}"
        return error


@pytest.fixture
def upstream(tcp_upstream):
    return tcp_upstream(net.echo)


@pytest.fixture
def far(make_daemon, stack, upstream):
    def make(**config):
        return Far(make_daemon, stack, upstream, **config)
    return make


def test_all_is_well(far, upstream):
    f = far(tcp_upstream=net.text(upstream.address))
    f.client()
    f.map(f"OUT^{net.free_port()}^ANY", wait_ms=10000)
    result, text = f.explain("web", status=0)
    assert result["ok"] and result["live"] and "all is well" in text
    assert "is up now" in text
    result, _ = f.explain("home", status=0)
    assert result["ok"] and "mapping" not in result


def test_unknown_host(far, stack):
    zone = Zone({})
    stack.callback(zone.close)
    f = far()
    f.client(server_addr="name.invalid:3515", dns=[net.text(zone.server_address)])
    f.map("OUT^9000^ANY")
    error = f.expect("dns", "dns_failed", "check the name|--dns", "web")
    assert "name.invalid" in error["message"]
    f.expect("dns", "dns_failed", "check the name|--dns")


def test_blocked_udp(far, stack):
    """Nobody answers, as behind a firewall that drops; and nothing listens there."""
    f = far()
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stack.callback(silent.close)
    silent.bind(("127.0.0.1", 0))
    f.client(server_addr=net.text(silent.getsockname()))
    f.map("OUT^9000^ANY")
    f.expect("udp", "unreachable", "firewall", "--timeout", "1s", "web")
    silent.close()
    error = f.expect("udp", "unreachable", "does the server run|listens", "web")
    assert "nothing listens" in error["message"]


@pytest.mark.tsan
def test_wrong_password(far):
    f = far()
    f.client(password=log_password())
    f.map("OUT^9000^ANY")
    f.expect("login", "auth_failed", "--password-file", "web")
    f.expect("login", "auth_failed", "rstunctl client set home --password-file FILE", "home")


def test_client_of_the_configuration(far, make_daemon, tmp_path):
    """What the file defines is changed there, and the advice says so."""
    f = far()
    path = tmp_path / "conf"
    path.write_text(f"[client home]\nserver-addr = {f.address}\npassword = {log_password()}\n")
    path.chmod(0o600)
    f.near = make_daemon("--config", path)
    f.control = f.near.connect()
    f.expect("login", "auth_failed",
             r"write password-file = FILE in \[client home\] of the configuration file, then: "
             r"rstunctl reload", "home")


def test_wrong_certificate(far, pki):
    cert, _ = pki.pair("other")
    f = far()
    with open(cert) as file:
        f.client(cert_pem=file.read())
    f.map("OUT^9000^ANY")
    f.expect("tls", "tls_verify_failed", "--cert|--pin", "web")


def test_wrong_pin(far):
    f = far()
    f.client(pin="sha256/" + "A" * 43 + "=")
    f.map("OUT^9000^ANY")
    f.expect("tls", "peer_key_changed", "--pin", "web")
    f.control.call("client.set", name="home", config={"pin": f.pin})
    result, _ = f.explain("home", status=0)
    assert "NOT verified" not in str(result)


def test_no_default_upstream(far):
    f = far()
    f.client()
    f.map("OUT^9000^ANY")
    f.expect("upstream", "no_default_upstream", "--tcp-upstream|target", "web")


def test_busy_in_port(far, upstream, stack, make_daemon):
    """Another program of the server has the port; and another session."""
    f = far()
    f.client()
    holder = socket.create_server(("127.0.0.1", 0))
    stack.callback(holder.close)
    taken = net.text(holder.getsockname())
    f.map(f"IN^{net.text(upstream.address)}^{taken}")
    f.expect("bind", "remote_address_in_use", "another port", "web", status=7)
    f.control.call("mapping.remove", name="web")
    entry = f"127.0.0.1:{net.free_port()}"
    first = f.map(f"IN^{net.text(upstream.address)}^{entry}", wait_ms=10000)["mapping"]
    result, _ = f.explain(first["id"], status=0)
    assert result["live"]
    f.near = make_daemon()
    f.control = f.near.connect()
    f.client()
    f.map(f"IN^{net.text(upstream.address)}^{entry}")
    f.expect("bind", "remote_address_in_use", "another port", "web", status=7)


def test_refused_upstream(far, upstream):
    f = far()
    f.client()
    f.map(f"OUT^9000^127.0.0.1:{net.free_port()}")
    f.expect("upstream", "target_refused", "nothing listens|refused", "web")
    f.control.call("mapping.remove", name="web")
    f.map(f"IN^127.0.0.1:{net.free_port()}^127.0.0.1:{net.free_port()}", wait_ms=10000)
    f.expect("upstream", "target_refused", "nothing listens|refused", "web")


@pytest.mark.tsan
def test_disturbs_nobody(far, upstream):
    """100 explains of a busy IN mapping: its flow goes on, no session comes or goes."""
    f = far()
    f.client()
    entry = (net.V4, net.free_port())
    f.map(f"IN^{net.text(upstream.address)}^{net.text(entry)}", wait_ms=10000)
    before = f.far_control.call("session.list")["sessions"]
    assert len(before) == 1
    f.far_control.subscribe(types=["session", "state"])
    f.control.subscribe(types=["state"])
    with net.connect(entry) as conn:
        for i in range(100):
            number = f.control.send("client.test", mapping="web")
            data = b"%06d" % i * 2000
            assert net.round_trip(conn, data) == data
            result = f.control.result(number)
            assert result["ok"] and result["live"], result
            assert not f.control.events and not f.far_control.events
        after = f.far_control.call("session.list")["sessions"]
        assert [s["id"] for s in after] == [before[0]["id"]]
        assert after[0]["since"] == before[0]["since"] and after[0]["active_flows"] == 1
        f.far_control.call("daemon.ping")
        assert not f.far_control.events
