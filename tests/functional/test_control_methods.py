# SPDX-License-Identifier: MIT
"""Every method of the control API, called through socat and through rstunctl: what comes back is
what is so. On both roles of the command line, too."""
import json
import re
import subprocess

import pytest

from harness import net
from harness.control import Control, Ctl, Error, find, socat
from harness.daemon import limit, log_password

pytestmark = pytest.mark.skipif(not find("socat"), reason="needs socat")


class Socat:
    """Each call is a connection of its own."""

    def __init__(self, daemon):
        self.path = daemon.socket
        with Control(self.path) as control:
            self.schema = control.schema
        self.called = set()

    def __call__(self, method, /, **params):
        self.called.add(method)
        return socat(self.path, method, params, self.schema)

    def several(self, *calls):
        """Calls on one connection; their replies."""
        self.called.update(method for method, _ in calls)
        lines = [json.dumps({"jsonrpc": "2.0", "id": i, "method": method, "params": params})
                 for i, (method, params) in enumerate(calls)]
        done = subprocess.run(["socat", "-t5", "-", f"UNIX:{self.path}"], text=True, check=True,
                              input="\n".join(lines) + "\n", capture_output=True,
                              timeout=limit(30))
        replies = {}
        for reply in map(json.loads, done.stdout.splitlines()):
            if "method" not in reply:
                self.schema.check_reply(reply, calls[reply["id"]][0])
                replies[reply["id"]] = reply
        return [replies[i] for i in range(len(calls))]


class Rstunctl:
    """rstunctl call."""

    def __init__(self, daemon):
        self.ctl = Ctl(daemon.socket)
        self.schema = self.ctl.schema()
        self.called = set()

    def __call__(self, method, /, **params):
        self.called.add(method)
        return self.ctl.call(method, **params)

    def several(self, *calls):
        return None


COVERED = {}  # method: tests


def covers(*methods):
    """The methods that a test of `call` is about; it fails when it leaves one out."""
    def mark(function):
        for method in methods:
            COVERED.setdefault(method, []).append(function.__name__)
        function.methods = methods
        return function
    return mark


@pytest.fixture(params=[Socat, Rstunctl], ids=["socat", "rstunctl"])
def call(request, daemon):
    call = request.param(daemon)
    yield call
    missing = set(request.function.methods) - call.called
    if not getattr(request.node, "call_failed", True):
        assert not missing, f"never called: {sorted(missing)}"


@pytest.fixture
def tunnel(daemon, tcp_upstream):
    """A mapping that is up, within one daemon, to an echo."""
    with daemon.connect() as control:
        upstream = tcp_upstream(net.echo)
        mapping, entry = daemon.tunnel(control, upstream.address)
    return mapping, entry, upstream


def refused(call, kind, method, /, **params):
    with pytest.raises(Error) as error:
        call(method, **params)
    assert error.value.kind == kind, error.value
    return error.value


def test_every_method_is_covered(control):
    """Whoever adds a method adds it to this file."""
    assert set(COVERED) == set(control.schema.methods)


def test_every_method_has_a_valid_example(control):
    for method in control.schema.methods.values():
        if method["name"] not in ("client.add", "server.add", "client.set", "server.set"):
            control.schema.check_params(method["name"], method["x-example"])


@pytest.mark.tsan
@covers("rpc.discover", "daemon.info", "daemon.ping", "daemon.status", "metrics.get")
def test_daemon(daemon, call, tunnel):
    document = call("rpc.discover")
    assert document["info"]["x-api-version"] == 1
    assert len(document["methods"]) == len({m["name"] for m in document["methods"]})
    info = call("daemon.info")
    assert info["pid"] == daemon.process.pid and info["right"] == "change"
    assert info["api_version"] == 1 and info["software"] == "rstund"
    assert re.fullmatch(r"(intel-ipsec-mb|libgcrypt|GnuTLS) \d+\.\S+",
                        info["libraries"]["packet_protection"])
    assert call("daemon.ping")["uptime_ms"] <= call("daemon.ping")["uptime_ms"]
    status = call("daemon.status")
    assert status["state"] == "running"
    assert status["mappings"]["total"] == status["mappings"]["tunneling"] == 1
    assert (status["clients"], status["servers"], status["sessions"]) == (1, 1, 1)
    assert status["callers"] == 1
    assert [w["kind"] for w in status["warnings"]] == ["tls_unverified"]
    text = call("metrics.get")["text"]
    assert 'rstund_mappings{state="tunneling"} 1\n' in text
    names = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[0] != "#"}
    assert all(f"# TYPE {name} " in text for name in names)


@covers("daemon.shutdown")
def test_shutdown(daemon, call, tunnel):
    with net.connect(tunnel[1]) as conn:
        net.round_trip(conn, b"x")
        result = call("daemon.shutdown", drain_ms=0)
        assert result["drain_ms"] == 0
    daemon.process.expect_exit(0)


@covers("config.get", "config.check", "daemon.reload")
def test_config(make_daemon, fleet, tmp_path):
    """A daemon with a configuration file; `call` would be about the empty one."""
    password = log_password()
    path = tmp_path / "conf"
    listen = net.free_port()
    text = (f"[client home]\nserver-addr = 127.0.0.1:{net.free_port()}\n"
            f"password-file = {fleet.password_file(password)}\n"
            f"[mapping web]\nspec = OUT^127.0.0.1:{listen}^ANY\npaused = yes\n")
    path.write_text(text)
    daemon = make_daemon("--config", path, secrets=[password])
    for call in (Socat(daemon), Rstunctl(daemon)):
        config = call("config.get")["config"]
        assert password not in json.dumps(config)
        assert "home" in json.dumps(config) and "web" in json.dumps(config)
        good = call("config.check", text=text)
        assert good["ok"] and not good["diagnostics"], good
        assert (good["clients"], good["mappings"]) == (1, 1)
        bad = call("config.check", text="[client home]\nserver-adr = 1\n")
        assert not bad["ok"] and bad["diagnostics"][0]["line"] == 2
        assert "server-addr" in json.dumps(bad)
        path.write_text(text)
        assert call("daemon.reload") == {
            "dry_run": False, "added": [], "changed": [], "removed": [], "unchanged": 2,
            "warnings": []}
        path.write_text(text + f"[mapping two]\nspec = OUT^127.0.0.1:{net.free_port()}^ANY\n")
        dry = call("daemon.reload", dry_run=True)
        assert dry["dry_run"] and dry["added"] == ["mapping two"] and dry["unchanged"] == 2
        assert len(call("mapping.list")["mappings"]) == 1
        assert call("daemon.reload")["added"] == ["mapping two"]
        assert len(call("mapping.list")["mappings"]) == 2
        path.write_text(text + "[mapping two]\nmpa = 1\n")
        error = refused(call, "config_invalid", "daemon.reload")
        assert f"{path}:8: mpa" in error.message and "rstunctl reload" in error.hint, error
        path.write_text(text)
        assert call("daemon.reload")["removed"] == ["mapping two"]


@covers("log.get_level", "log.set_level", "log.tail")
def test_log(daemon, call):
    assert call("log.get_level") == {"level": "info"}
    assert call("log.set_level", level="debug") == {"level": "debug", "previous": "info"}
    assert call("log.get_level") == {"level": "debug"}
    for_a_while = call("log.set_level", level="trace", revert_after_ms=600000)
    assert 0 < for_a_while["revert_in_ms"] <= 600000
    assert call("log.set_level", level="info")["level"] == "info"
    lines = call("log.tail", count=1000)
    assert "rstund" in lines["lines"][0]["text"] and lines["lines"][0]["number"] == 1
    assert lines["lines"][-1]["number"] == lines["last"] and lines["lost"] == 0
    assert lines["lines"][-1]["text"].endswith("log.set_level level=info: done")
    assert not call("log.tail", after=lines["last"], timeout_ms=0)["lines"]
    assert all(line["level"] in ("warn", "error")
               for line in call("log.tail", min_level="warn")["lines"])
    assert len(call("log.tail", count=2)["lines"]) == 2


@covers("client.add", "client.set", "client.list", "client.get", "client.remove")
def test_client(daemon, call):
    password = log_password()
    daemon.process.secrets.append(password)
    options = {"server_addr": f"127.0.0.1:{net.free_port()}", "password": password}
    added = call("client.add", name="home", **options)
    assert added["created"] and added["client"]["name"] == "home"
    client = added["client"]
    assert client["config"]["password_set"] and "password" not in client["config"]
    again = call("client.add", name="home", **options)
    assert not again["created"] and again["client"]["id"] == client["id"]
    assert not call("client.add", name="home", config=client["config"])["created"]
    refused(call, "already_exists", "client.add", name="home", **{**options, "cipher":
                                                                  "aes-128-gcm"})
    assert call("client.set", name="home", cipher="aes-256-gcm")["config"]["cipher"] == \
        "aes-256-gcm"
    assert call("client.set", id=client["id"], config={"cipher": None})["config"] == \
        client["config"]
    assert [c["id"] for c in call("client.list")["clients"]] == [client["id"]]
    assert call("client.get", id=client["id"]) == call("client.get", name="home")
    call("mapping.add", spec=f"OUT^127.0.0.1:{net.free_port()}^ANY")
    assert refused(call, "failed", "client.remove", name="home").hint
    assert call("client.remove", name="home", mappings=True) == {"done": True}
    assert call("client.remove", name="home", missing_ok=True) == {"done": False}
    refused(call, "not_found", "client.remove", name="home")
    refused(call, "not_found", "client.get", name="home")
    assert not call("mapping.list")["mappings"]


@covers("client.test")
def test_client_test(daemon, call, tunnel):
    mapping = tunnel[0]
    result = call("client.test", client="home")
    assert result["ok"] and result["client"] == "c1" and "mapping" not in result
    assert [s["step"] for s in result["steps"]][:4] == ["dns", "udp", "tls", "login"]
    live = call("client.test", mapping="web")
    assert live["ok"] and live["live"] and live["mapping"] == mapping["id"]
    call("client.set", name="home", password="wrong")
    failed = call("client.test", client="home")
    assert not failed["ok"]
    step, = [s for s in failed["steps"] if s["outcome"] == "failed"]
    assert step["step"] == "login" and step["error"]["kind"] == "auth_failed"


@covers("server.add", "server.set", "server.list", "server.get", "server.remove", "server.drain")
def test_server(daemon, call):
    password = log_password()
    daemon.process.secrets.append(password)
    port = net.free_port()
    options = {"addr": f"127.0.0.1:{port}", "password": password}
    added = call("server.add", name="front", **options)
    assert added["created"]
    server = added["server"]
    assert not call("server.add", name="front", **options)["created"]
    refused(call, "already_exists", "server.add", name="front",
            **{**options, "tcp_upstream": "127.0.0.1:1"})
    with daemon.connect() as control:
        until(control, lambda: control.call("server.get", id=server["id"])["runtime"]["state"] ==
              "listening")
    got = call("server.get", name="front")
    assert got["runtime"]["bound"] == f"127.0.0.1:{port}" and got["id"] == server["id"]
    assert got["runtime"]["pin"].startswith("sha256/")
    assert call("server.list")["servers"] == [got]
    changed = call("server.set", name="front", tcp_upstream="127.0.0.1:1")
    assert changed["config"]["tcp_upstream"] == "127.0.0.1:1"
    assert "tcp_upstream" not in call("server.set", name="front",
                                      config={"tcp_upstream": None})["config"]
    drained = call("server.drain", name="front", drain_ms=0)
    assert drained["runtime"]["state"] in ("draining", "stopped")
    assert call("server.remove", name="front") == {"done": True}
    assert call("server.remove", name="front", missing_ok=True) == {"done": False}
    refused(call, "not_found", "server.get", name="front")
    with daemon.connect() as control:   # the port is free again
        control.call("server.add", name="next", **options)
        until(control, lambda: control.call("server.get", name="next")["runtime"]["state"] ==
              "listening")


def until(control, check):
    """Waits, from event to event, until it is so. (Server states are told as events.)"""
    sub = control.subscribe(snapshot="never")["sub"]
    while not check():
        control.event()
    control.call("events.unsubscribe", sub=sub)


@covers("mapping.add", "mapping.get", "mapping.list", "mapping.set", "mapping.wait",
        "mapping.remove")
def test_mapping(call, tunnel):
    mapping, entry, upstream = tunnel
    spec = mapping["spec"]
    again = call("mapping.add", spec=spec, name="web")
    assert not again["created"] and again["mapping"]["id"] == mapping["id"]
    assert not call("mapping.add", **mapping["config"])["created"]
    got = call("mapping.get", name="web")
    assert got["id"] == mapping["id"] and got["runtime"]["state"] == "tunneling"
    assert got["runtime"]["bound"] == net.text(entry)
    assert got["config"] == mapping["config"]
    with net.connect(entry) as conn:
        net.round_trip(conn, b"x" * 1000)
        got = call("mapping.get", id=mapping["id"])
        assert got["runtime"]["active_flows"] == 1
    assert [m["id"] for m in call("mapping.list")["mappings"]] == [mapping["id"]]
    assert not call("mapping.list", state="failed")["mappings"]
    assert len(call("mapping.list", client="home", state="tunneling")["mappings"]) == 1
    refused(call, "not_found", "mapping.list", client="nobody")
    waited = call("mapping.wait", name="web", state="tunneling")
    assert waited["mapping"]["id"] == mapping["id"]
    assert refused(call, "timeout", "mapping.wait", name="web", state="failed",
                   timeout_ms=1).retryable
    moved = ("127.0.0.1", net.free_port())
    changed = call("mapping.set", name="web", local=net.text(moved))
    assert changed["id"] == mapping["id"] and changed["config"]["local"] == net.text(moved)
    call("mapping.wait", name="web")
    with net.connect(moved) as conn:
        net.round_trip(conn, b"y")
    net.wait_refused(entry)
    udp = call("mapping.add", mode="out", local=f"127.0.0.1:{net.free_port()}",
               remote=net.text(upstream.address), proto="udp", expires_ms=3600000)
    assert udp["created"] and udp["mapping"]["config"]["proto"] == "udp"
    assert udp["mapping"]["config"]["expires_ms"] == 3600000
    assert udp["mapping"]["runtime"]["expires"]
    assert call("mapping.remove", id=udp["mapping"]["id"]) == {"done": True}
    assert call("mapping.remove", name="web") == {"done": True}
    assert call("mapping.remove", name="web", missing_ok=True) == {"done": False}
    refused(call, "not_found", "mapping.get", id=mapping["id"])


def test_add_again_and_wait(daemon, control, tcp_upstream):
    """What was there already is not created, also where it comes up only now."""
    port, password = net.free_port(), log_password()
    daemon.process.secrets.append(password)
    control.call("client.add", name="home", server_addr=f"127.0.0.1:{port}", password=password,
                 wait_before_retry_ms=100)
    spec = f"OUT^127.0.0.1:{net.free_port()}^ANY"
    assert control.call("mapping.add", spec=spec)["created"]
    error = control.error("mapping.add", spec=spec, wait_ms=20)
    assert error.kind == "timeout" and "it stays" in error.message
    assert error.data["mapping"]["spec"] == spec
    number = control.send("mapping.add", spec=spec, wait_ms=20000)
    upstream = tcp_upstream(net.echo)
    control.call("server.add", name="front", addr=f"127.0.0.1:{port}", password=password,
                 tcp_upstream=net.text(upstream.address))
    result = control.result(number, 20)
    assert not result["created"] and result["mapping"]["runtime"]["state"] == "tunneling"


@covers("mapping.pause", "mapping.resume", "mapping.restart", "mapping.drain")
def test_mapping_states(daemon, call, tunnel):
    mapping, entry, _ = tunnel
    with daemon.connect() as control:
        control.subscribe(types=["state"], snapshot="never")
        assert call("mapping.restart", id=mapping["id"])["id"] == mapping["id"]
        control.event(type="state", data="tunneling", mapping=mapping["id"])
        assert call("mapping.pause", name="web")["runtime"]["state"] == "paused"
        control.event(type="state", data="paused", name="web")
        net.wait_refused(entry)
        error = refused(call, "failed", "mapping.restart", name="web")
        assert error.hint == f"rstunctl resume {mapping['id']}"
        assert call("mapping.resume", name="web")["runtime"]["state"] != "paused"
        control.event(type="state", data="tunneling", name="web")
        with net.connect(entry) as conn:
            net.round_trip(conn, b"x")
            drained = call("mapping.drain", id=mapping["id"], drain_ms=60000)
            assert drained["runtime"]["state"] == "paused"
            net.round_trip(conn, b"still open")
            call("mapping.drain", id=mapping["id"], drain_ms=0)
            net.expect_rst(conn, exact=False)


@covers("mapping.apply", "mapping.confirm")
def test_mapping_apply(daemon, call, tunnel):
    mapping, entry, _ = tunnel
    new = {"spec": f"OUT^127.0.0.1:{net.free_port()}^ANY", "name": "new"}
    dry = call("mapping.apply", mappings=[mapping["config"], new], dry_run=True)
    assert dry["dry_run"] and len(dry["added"]) == 1 and dry["unchanged"] == 1
    assert len(call("mapping.list")["mappings"]) == 1
    with net.connect(entry) as conn:
        net.round_trip(conn, b"x")
        done = call("mapping.apply", mappings=[mapping["config"], new], prune=True)
        assert not done["dry_run"] and len(done["added"]) == 1 and not done["removed"]
        net.round_trip(conn, b"what did not change keeps its connections")
    assert call("mapping.apply", mappings=[mapping["config"]])["removed"] == []
    result = call("mapping.apply", mappings=[mapping["config"]], prune=True, confirm_within_s=600)
    assert len(result["removed"]) == 1 and 0 < result["revert_in_ms"] <= 600000
    assert 0 < call("daemon.status")["confirm_in_ms"] <= 600000
    assert len(call("mapping.list")["mappings"]) == 1
    assert call("mapping.confirm", revert=True) == {"done": True}
    assert {m["config"]["name"] for m in call("mapping.list")["mappings"]} == {"web", "new"}
    call("mapping.apply", mappings=[mapping["config"]], prune=True, confirm_within_s=600)
    assert call("mapping.confirm") == {"done": True}
    assert call("mapping.confirm") == {"done": False}
    assert "confirm_in_ms" not in call("daemon.status")
    assert [m["id"] for m in call("mapping.list")["mappings"]] == [mapping["id"]]
    error = refused(call, "invalid_params", "mapping.apply",
                    mappings=[mapping["config"], {"spec": "OUT^1^2^3"}])
    assert "mappings" in error.field, error


@covers("channel.open")
def test_channel(call, tunnel):
    """What there is beyond a reply: test_channel.py."""
    _, _, upstream = tunnel
    assert call("channel.open", target=net.text(upstream.address)) == {
        "client": "c1", "target": net.text(upstream.address)}
    refused(call, "invalid_params", "channel.open", target="127.0.0.1")
    refused(call, "not_found", "channel.open", target="127.0.0.1:9", client="nobody")


@covers("flow.list", "flow.kill")
def test_flow(call, tunnel):
    mapping, entry, upstream = tunnel
    with net.connect(entry) as conn:
        net.round_trip(conn, b"x" * 1000)
        both = call("flow.list")
        assert both["total"] == 2  # seen from the client and from the server
        listed = call("flow.list", mapping="web")
        flow, = listed["flows"]
        assert listed["total"] == 1 and flow["mapping"] == mapping["id"]
        assert flow["peer"] == net.text(conn.getsockname())
        assert flow["in_bytes"] == flow["out_bytes"] == 1000
        session = call("session.list")["sessions"][0]["id"]
        other, = call("flow.list", session=session)["flows"]
        assert other["session"] == session and other["target"] == net.text(upstream.address)
        assert call("flow.list", count=1)["total"] == 2
        assert len(call("flow.list", count=1)["flows"]) == 1
        assert call("flow.kill", id=flow["id"]) == {"killed": 1}
        net.expect_rst(conn, exact=False)
    refused(call, "not_found", "flow.kill", id=flow["id"])
    with net.connect(entry) as one, net.connect(entry) as two:
        net.round_trip(one, b"x")
        net.round_trip(two, b"x")
        assert call("flow.kill", mapping="web") == {"killed": 2}
        net.expect_rst(one, exact=False)
        net.expect_rst(two, exact=False)
    with net.connect(entry) as conn:
        net.round_trip(conn, b"x")
        assert call("flow.kill", session=session) == {"killed": 1}
        net.expect_rst(conn, exact=False)
    refused(call, "invalid_params", "flow.kill")
    refused(call, "not_found", "flow.kill", mapping="nobody")


@covers("session.list", "session.get", "session.kick")
def test_session(daemon, call, tunnel):
    session, = call("session.list")["sessions"]
    assert session["server"] == "s1" and session["mapping"] == tunnel[0]["spec"]
    assert session["mode"] == "out" and session["software"].startswith("rstund ")
    with net.connect(tunnel[1]) as conn:
        net.round_trip(conn, b"x" * 1000)
        got = call("session.get", id=session["id"])
        assert got["active_flows"] == 1
        assert got["payload_in_bytes"] == got["payload_out_bytes"] == 1000
    assert call("session.list", server="front")["sessions"]
    refused(call, "not_found", "session.list", server="nobody")
    with daemon.connect() as control:
        control.subscribe(types=["session"], snapshot="never")
        assert call("session.kick", id=session["id"]) == {"done": True}
        control.event(type="session", detail={"id": session["id"]})
        control.event(type="session", data="login", timeout=20)   # it comes back
    refused(call, "not_found", "session.get", id=session["id"])
    refused(call, "not_found", "session.kick", id=session["id"])


@covers("stats.get")
def test_stats(call, tunnel):
    with net.connect(tunnel[1]) as conn:
        net.round_trip(conn, b"x" * 5000)
        session = call("session.list")["sessions"][0]["id"]
        for params in ({"mapping": "web"}, {"client": "home"}, {"server": "front"},
                       {"session": session}):
            stats = call("stats.get", **params)
            assert stats["stat"]["payload_in_bytes"] == 5000, params
            assert stats["stat"]["active_conns"] == 1
            assert stats["stat"]["rx_bytes"] > 5000 and stats["stat"]["cwnd_bytes"] > 0
        total = call("stats.get")
        assert total["of"] == "total" and total["stat"]["active_conns"] == 2
    refused(call, "invalid_params", "stats.get", mapping="web", client="home")
    refused(call, "not_found", "stats.get", server="nobody")


@covers("cert.list", "cert.reload")
def test_cert(call, tunnel, pki):
    cert, = call("cert.list")["certs"]
    assert cert["self_signed"] and not cert["expired"] and cert["server"] == "s1"
    assert cert["pin"] == call("server.get", name="front")["runtime"]["pin"]
    same, = call("cert.reload", server="s1")["servers"]
    assert not same["changed"] and same["pin"] == cert["pin"] and "error" not in same
    refused(call, "not_found", "cert.reload", server="nobody")


@covers("events.subscribe", "events.unsubscribe", "events.next", "rpc.cancel")
def test_events(daemon, call, tunnel):
    epoch = call("daemon.info")["epoch"]
    got = call("events.subscribe", snapshot="always")
    assert got["epoch"] == epoch and got["replay"] == "none"
    assert [m["id"] for m in got["snapshot"]["mappings"]] == [tunnel[0]["id"]]
    assert len(got["snapshot"]["sessions"]) == 1
    assert "snapshot" not in call("events.subscribe", snapshot="never")
    back = call("events.subscribe", since={"epoch": epoch, "seq": got["seq"]})
    assert back["replay"] == "complete" and "snapshot" not in back
    assert call("events.subscribe", since={"epoch": "0", "seq": 0})["replay"] == "epoch_changed"
    refused(call, "unknown_subscription", "events.unsubscribe", sub=1)
    first = call("events.next", timeout_ms=0)
    call("mapping.pause", name="web")
    then = call("events.next", cursor=first["cursor"], types=["state"], timeout_ms=5000)
    assert {e["data"] for e in then["events"]} == {"paused"}
    assert all("sub" not in e and "n" not in e for e in then["events"])
    refused(call, "invalid_params", "events.next", cursor="nonsense")
    assert call("rpc.cancel", id=7) == {"done": False}
    replies = call.several(
        ("events.subscribe", {"types": ["state"]}),
        ("events.unsubscribe", {"sub": 1}),
        ("mapping.wait", {"name": "web", "timeout_ms": 60000}),
        ("rpc.cancel", {"id": 2}))
    if replies is not None:
        assert replies[1]["result"] == {"done": True}
        assert replies[2]["error"]["data"]["kind"] == "cancelled"
        assert replies[3]["result"] == {"done": True}


def test_why_it_is_not_up(daemon, control, tunnel):
    """A server that goes is no internal error of ours."""
    control.subscribe(types=["state"], snapshot="never")
    control.call("server.remove", name="front")
    event = control.event(type="state", data="reconnecting")
    assert event["detail"]["error"]["kind"] == "unreachable", event
    failure = control.call("mapping.get", name="web")["runtime"]["last_error"]
    assert failure["kind"] == "unreachable", failure


# ---- sub-commands ----

# With --json each shows the result of its method as it is.
SUB_COMMANDS = [
    ("rpc.discover", "discover"), ("daemon.info", "info"), ("daemon.ping", "ping"),
    ("daemon.status", "status"), ("daemon.status", "status --check"),
    ("config.get", "config get"),
    ("config.check", "config check conf"), ("log.get_level", "log level"),
    ("log.set_level", "log level debug"), ("log.tail", "log --lines 3"),
    ("metrics.get", "metrics"), ("stats.get", "stats"), ("stats.get", "stats web"),
    ("stats.get", "stats s1"), ("flow.list", "flows"), ("flow.list", "flows web"),
    ("flow.kill", "flows web --kill-all"), ("cert.list", "cert list"),
    ("cert.reload", "cert reload"), ("client.test", "explain web"),
    ("client.test", "client test home"), ("client.list", "client list"),
    ("client.get", "client show home c1"), ("client.set", "client set home --cipher aes-128-gcm"),
    ("client.add", "client add new 127.0.0.1:1 --password-file pw"),
    ("client.remove", "client rm new"), ("server.list", "server list"),
    ("server.get", "server show front"), ("server.set", "server set front --udp-upstream 1"),
    ("server.add", "server add new 127.0.0.1:0 --password-file pw"),
    ("server.drain", "server drain new --drain 0"), ("server.remove", "server rm new"),
    ("session.list", "session list"), ("mapping.list", "list"), ("mapping.get", "show web m1"),
    ("mapping.wait", "wait web"), ("mapping.restart", "restart web"),
    ("mapping.add", "add --no-wait --name two in 9 0.0.0.0:9100"),
    ("mapping.set", "set two --local 10"), ("mapping.pause", "pause two web"),
    ("mapping.resume", "resume two"), ("mapping.drain", "drain two --drain 0"),
    ("mapping.remove", "rm two"), ("mapping.apply", "apply mappings.json --dry-run"),
    ("mapping.confirm", "confirm"), ("daemon.shutdown", "stop --drain 0"),
]


def test_sub_commands(daemon, tunnel, tmp_path):
    (tmp_path / "pw").write_text("secret\n")
    (tmp_path / "conf").write_text("[client home]\nserver-addr = 127.0.0.1:1\n")
    (tmp_path / "mappings.json").write_text("[]")
    for name in ("pw", "conf"):
        (tmp_path / name).chmod(0o600)
    ctl = daemon.ctl
    ctl.schema()
    for method, words in SUB_COMMANDS:
        done = ctl("--json", *words.split(), cwd=tmp_path)
        assert done.status == 0 or (method == "config.check" and done.status == 1), (words, done)
        assert done.objects(), words
        for result in done.objects():
            ctl.schema().check_result(method, result)
    missing = set(ctl.schema().methods) - {method for method, _ in SUB_COMMANDS} - {
        "rpc.cancel", "events.subscribe", "events.unsubscribe", "events.next",
        "session.get", "session.kick", "daemon.reload",  # below
        "channel.open"}                                  # test_channel.py; the others go on
    assert not missing, f"no sub-command: {missing}"
    daemon.process.expect_exit(0)


def test_reload_command(make_daemon, tmp_path):
    (tmp_path / "conf").write_text("# nothing\n")
    ctl = make_daemon("--config", tmp_path / "conf").ctl
    assert ctl.json("daemon.reload", "reload", "--dry-run")[0]["dry_run"]
    assert ctl.json("daemon.reload", "reload")[0]["added"] == []


def test_session_commands(daemon, tunnel):
    ctl = daemon.ctl
    session = ctl.json("session.list", "session", "list")[0]["sessions"][0]["id"]
    assert ctl.json("session.get", "session", "show", session)[0]["id"] == session
    assert ctl.json("session.get", "show", session)[0]["id"] == session
    assert ctl.json("session.kick", "session", "kick", session) == [{"done": True}]


# ---- the roles of the command line ----

# Methods whose example names what is not there, on either role; all others just work.
NOT_FOUND = {
    "client.test", "server.drain", "mapping.set", "mapping.remove", "mapping.get",
    "mapping.wait", "mapping.pause", "mapping.resume", "mapping.restart", "mapping.drain",
    "flow.list", "flow.kill", "session.get", "session.kick", "stats.get"}
NOT_FOUND_ON = {"server": {"client.get", "mapping.add", "mapping.apply", "channel.open"},  # they have no client
                "client": {"server.get", "cert.reload"}}


@pytest.mark.parametrize("role", ["server", "client"])
def test_roles(fleet, tcp_upstream, role):
    """Every method on a role of the command line: its own things are shown, and not changed."""
    upstream = tcp_upstream(net.echo)
    port, entry = net.free_port(), ("127.0.0.1", net.free_port())
    path = fleet.directory() + "/s"
    password = log_password()
    sockets = {"server": [], "client": []}
    sockets[role] = ["--socket", path]
    server = fleet.role("server", "-a", f"127.0.0.1:{port}", "-t", net.text(upstream.address),
                        *(sockets["server"] or ["--socket", fleet.directory() + "/s"]),
                        password=password)
    server.wait_ready()
    client = fleet.role("client", "-a", f"127.0.0.1:{port}", "-t", f"OUT^{net.text(entry)}^ANY",
                        *(sockets["client"] or ["--socket", fleet.directory() + "/s"]),
                        password=password)
    client.wait_ready()
    ctl = Ctl(path)
    schema = ctl.schema()
    assert set(socat(path, "rpc.discover", None, schema)) >= {"openrpc", "info", "methods"}
    status = socat(path, "daemon.status", None, schema)
    assert (status["servers"], status["clients"]) == ((1, 0) if role == "server" else (0, 1))
    assert status["mappings"]["tunneling"] == (role == "client")
    assert status["sessions"] == (role == "server")
    gone = NOT_FOUND | NOT_FOUND_ON[role]
    for name, method in schema.methods.items():
        params = dict(method["x-example"])
        if name in ("events.next", "client.test", "mapping.wait"):
            params["timeout_ms"] = 100
        for way, call in (("socat", lambda n, p: socat(path, n, p, schema)),
                          ("rstunctl", lambda n, p: ctl.call(n, **p))):
            outcome = "ok"
            if name == "daemon.shutdown":
                continue
            try:
                call(name, params)
            except Error as error:
                outcome = error.kind
            removed = name in ("client.remove", "server.remove") and way == "rstunctl"
            wanted = "not_found" if name in gone or removed else \
                "unknown_subscription" if name == "events.unsubscribe" else "ok"
            assert outcome == wanted, (way, name, params)
    with net.connect(entry) as conn:
        net.round_trip(conn, b"x" * 1000)
        if role == "client":
            mapping, = [m for m in ctl.call("mapping.list", client="client")["mappings"]
                        if m["config"]["local"] == net.text(entry)]
            assert mapping["runtime"]["origin"] == "command_line"
            assert mapping["runtime"]["active_flows"] == 1
            refused(ctl.call, "defined_in_config", "client.set", name="client",
                    cipher="aes-128-gcm")
            refused(ctl.call, "defined_in_config", "client.remove", name="client", mappings=True)
            for method in ("mapping.pause", "mapping.resume"):
                ctl.call(method, id=mapping["id"])
        else:
            assert ctl.call("server.get", name="server")["runtime"]["origin"] == "command_line"
            assert ctl.call("session.list")["sessions"][0]["active_flows"] == 1
            refused(ctl.call, "defined_in_config", "server.set", name="server",
                    tcp_upstream="127.0.0.1:1")
            refused(ctl.call, "defined_in_config", "server.remove", name="server")
    ctl.call("daemon.shutdown", drain_ms=0)
    (server if role == "server" else client).expect_exit(0)


