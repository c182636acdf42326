# SPDX-License-Identifier: MIT
"""Ranges of ports: one text that stands for several mappings, by the API and in configuration
files. Those of the command line are with the command line's tests."""
import socket

import pytest

from harness import net
from harness.control import Error
from harness.daemon import log_password
from test_control_input import SmallDisk


def free_range(count):
    """So many neighbouring ports that nobody has."""
    while True:
        first = net.free_port()
        if all(_is_free(first + i) for i in range(1, count)):
            return first


def _is_free(port):
    with socket.socket() as s:
        try:
            s.bind((net.V4, port))
        except OSError:
            return False
    return True


@pytest.fixture
def tunnel(daemon, control, tcp_upstream):
    """A server and a client, without a mapping."""
    login = {"password": log_password()}
    daemon.process.secrets.append(login["password"])
    address = f"127.0.0.1:{net.free_port()}"
    control.call("server.add", name="front", addr=address,
                 tcp_upstream=net.text(tcp_upstream(net.echo).address), **login)
    control.call("client.add", name="home", server_addr=address, **login)
    return control


def listed(control):
    return {m["config"].get("name") or m["spec"]: m["spec"]
            for m in control.call("mapping.list")["mappings"]}


def state(daemon):
    with open(daemon.state_file) as f:
        return f.read()


def origins(control):
    return [m["runtime"]["origin"] for m in control.call("mapping.list")["mappings"]]


def test_add(tunnel):
    """Each is a mapping of its own, and a name is that of all of them."""
    first = free_range(3)
    added = tunnel.call("mapping.add", spec=f"OUT^{first}-{first + 2}^ANY", name="web")
    assert added["created"] and added["mapping"] == added["mappings"][0]
    assert [m["config"]["name"] for m in added["mappings"]] == [
        f"web-{first + i}" for i in range(3)]
    for i in range(3):
        tunnel.call("mapping.wait", name=f"web-{first + i}")
        net.echo_flow((net.V4, first + i), i, 1000)
    # Again it is no error, and makes nothing; a longer one makes what is new.
    again = tunnel.call("mapping.add", spec=f"OUT^{first}-{first + 2}^ANY", name="web")
    assert not again["created"]
    assert [m["id"] for m in again["mappings"]] == [m["id"] for m in added["mappings"]]
    one = tunnel.call("mapping.add", spec="OUT^0^ANY", name="one")
    assert "mappings" not in one


def test_add_in_parts(daemon, tunnel):
    """mode, local and remote; without a name; both sides have a range. It is there after a
    restart."""
    added = tunnel.call("mapping.add", mode="in", local="127.0.0.1:22-23", remote="7001-7002",
                        proto="udp", paused=True)
    specs = ["IN^127.0.0.1:22^127.0.0.1:7001", "IN^127.0.0.1:23^127.0.0.1:7002"]
    assert [m["spec"] for m in added["mappings"]] == specs
    assert [m["runtime"]["state"] for m in added["mappings"]] == ["paused"] * 2
    daemon.restart()
    with daemon.connect() as control:
        after = control.call("mapping.list")["mappings"]
    assert [(m["spec"], m["runtime"]["state"]) for m in after] == [(s, "paused") for s in specs]


def test_all_or_nothing(daemon, tunnel, stack):
    """One port that somebody else has, at the end of the range, leaves none of them; nor does a
    restart bring any."""
    first = free_range(4)
    foreign = stack.enter_context(socket.create_server((net.V4, first + 3)))
    before = listed(tunnel)
    error = tunnel.error("mapping.add", spec=f"OUT^{first}-{first + 3}^ANY", name="web")
    assert error.kind == "address_in_use" and str(first + 3) in error.message, error
    assert listed(tunnel) == before
    assert all(_is_free(first + i) for i in range(3))
    daemon.restart()
    with daemon.connect() as control:
        assert listed(control) == before
        foreign.close()
        assert len(control.call("mapping.add", spec=f"OUT^{first}-{first + 3}^ANY",
                                name="web")["mappings"]) == 4


def test_kept_or_nothing(daemon, tunnel, stack):
    """One that was not to survive the daemon does after a range that it is part of, but not after
    one that could not be added."""
    first = free_range(3)
    tunnel.call("mapping.add", spec=f"OUT^{first}^ANY", persist=False)
    tunnel.call("mapping.add", spec=f"OUT^{first + 1}^ANY", persist=False)
    foreign = stack.enter_context(socket.create_server((net.V4, first + 2)))
    before, listing = state(daemon), listed(tunnel)
    error = tunnel.error("mapping.add", spec=f"OUT^{first}-{first + 2}^ANY")
    assert error.kind == "address_in_use" and str(first + 2) in error.message, error
    assert state(daemon) == before and listed(tunnel) == listing
    assert origins(tunnel) == ["runtime"] * 2
    # Nothing is new, and something is kept.
    assert not tunnel.call("mapping.add", spec=f"OUT^{first}-{first + 1}^ANY")["created"]
    assert origins(tunnel) == ["state"] * 2
    tunnel.call("mapping.remove", id="m1")
    tunnel.call("mapping.add", spec=f"OUT^{first}^ANY", persist=False)
    foreign.close()
    assert tunnel.call("mapping.add", spec=f"OUT^{first}-{first + 2}^ANY")["created"]
    assert origins(tunnel) == ["state"] * 3
    daemon.restart()
    with daemon.connect() as control:
        assert origins(control) == ["state"] * 3


@pytest.mark.root
def test_full_disk(fleet, stack):
    """What cannot be kept is not, in the state file and beside it."""
    disk = SmallDisk(fleet, stack)
    control = disk.control
    control.call("mapping.add", spec="IN^1^7001", persist=False)
    control.call("mapping.add", spec="IN^1^7002", persist=False)
    before = disk.state()
    disk.fill()
    for last in (7002, 7003):  # without something new, and with it
        error = control.error("mapping.add", spec=f"IN^1^7001-{last}")
        assert error.kind == "state_write_failed", error
        assert origins(control) == ["runtime"] * 2
    assert disk.state() == before
    disk.make_room()
    control.call("mapping.add", spec="IN^1^7001-7003")
    assert origins(control) == ["state"] * 3


def test_one_is_there(tunnel):
    """A mapping that has one of the ports, or one of the names."""
    first = free_range(3)
    tunnel.call("mapping.add", spec=f"OUT^{first + 1}^127.0.0.1:9", name="other")
    before = listed(tunnel)
    error = tunnel.error("mapping.add", spec=f"OUT^{first}-{first + 2}^ANY", name="web")
    assert error.kind == "address_in_use" and "other" in error.message, error
    error = tunnel.error("mapping.add", spec=f"OUT^{first}-{first + 2}^ANY")
    assert error.kind == "address_in_use", error
    tunnel.call("mapping.add", spec="OUT^0^ANY", name=f"web-{first + 2}")
    tunnel.call("mapping.remove", name="other")
    error = tunnel.error("mapping.add", spec=f"OUT^{first}-{first + 2}^ANY", name="web")
    assert error.kind == "already_exists" and f"web-{first + 2}" in error.message, error
    assert set(listed(tunnel)) == set(before) - {"other"} | {f"web-{first + 2}"}


def test_as_many_as_possible(tunnel):
    added = tunnel.call("mapping.add", spec="IN^1^64536-65535", name="n", paused=True)
    assert len(added["mappings"]) == len(listed(tunnel)) == 1000


def test_lifetime_of_a_connection(daemon, tunnel):
    first = free_range(2)
    with daemon.connect() as control:
        control.call("mapping.add", spec=f"OUT^{first}-{first + 1}^ANY", name="mine",
                     lifetime="connection")
        error = tunnel.error("mapping.add", spec=f"OUT^{first}-{first + 1}^ANY", name="mine")
        assert error.kind == "already_exists", error
    for name in (f"mine-{first}", f"mine-{first + 1}"):
        for _ in range(2000):
            if name not in listed(tunnel):
                break
        else:
            raise AssertionError(f"{name} is still there")


@pytest.mark.parametrize("params, field, why", [
    ({"spec": "OUT^9-8^ANY"}, "spec", "write the lower one first"),
    ({"spec": "OUT^1-1001^ANY"}, "spec", "at most 1000"),
    ({"spec": "OUT^1-3^db:5-6"}, "spec", "3 ports listen and 2 are connected to"),
    ({"spec": "IN^1-3^5"}, "spec", "the side that listens needs a range"),
    ({"spec": "OUT^1-2^ANY", "name": 63 * "n"}, "name", "would be named"),
    ({"spec": "OUT^1-2^ANY", "wait_ms": 1}, "wait_ms", "mapping.wait"),
])
def test_wrong(tunnel, params, field, why):
    error = tunnel.error("mapping.add", **params)
    assert why in error.message and error.data["field"] == field, error
    assert listed(tunnel) == {}


def test_set_takes_none(tunnel):
    tunnel.call("mapping.add", spec="OUT^0^ANY", name="web")
    error = tunnel.error("mapping.set", name="web", spec="OUT^9000-9001^ANY")
    assert "this is the place of one" in error.message


def test_apply(tunnel):
    """A list with a range, compared port by port."""
    def apply(*mappings, **params):
        told = tunnel.call("mapping.apply", mappings=list(mappings), prune=True, **params)
        return told["added"], told["changed"], told["removed"], told["unchanged"]

    def many(first, last):
        return {"spec": f"IN^1^{first}-{last}", "name": "many"}
    assert apply(many(7001, 7003), {"spec": "IN^1^7009-7010"}) == (
        ["many-7001", "many-7002", "many-7003", "IN^127.0.0.1:1^127.0.0.1:7009",
         "IN^127.0.0.1:1^127.0.0.1:7010"], [], [], 0)
    assert apply(many(7002, 7004)) == (
        ["many-7004"], [], ["many-7001", "IN^127.0.0.1:1^127.0.0.1:7009",
                            "IN^127.0.0.1:1^127.0.0.1:7010"], 2)
    before = listed(tunnel)
    error = tunnel.error("mapping.apply", mappings=[many(7002, 7004), {"spec": "IN^1^7004-7005"}])
    assert "would both listen on" in error.message, error
    error = tunnel.error("mapping.apply", mappings=[many(7002, 7004), {"spec": "IN^1^8-7"}])
    assert error.message.startswith("mappings[1]: ") and error.data["field"] == "mappings[1].spec"
    assert listed(tunnel) == before


def test_too_many(tunnel):
    error = tunnel.error("mapping.apply",
                         mappings=[{"spec": "IN^1^1-1000", "name": f"n{i}"} for i in range(66)])
    assert "more than 65535" in error.message, error
    assert listed(tunnel) == {}


def test_while_a_change_waits(tunnel):
    tunnel.call("mapping.apply", mappings=[{"spec": "IN^1^7001"}], confirm_within_s=3600)
    error = tunnel.error("mapping.add", spec="IN^1^7002-7003")
    assert error.kind == "limit_reached" and "confirm" in error.message, error
    tunnel.call("mapping.confirm")
    tunnel.call("mapping.add", spec="IN^1^7002-7003")


def test_configuration_file(make_daemon, fleet, tmp_path, tcp_upstream):
    """A section stands for as many; a reload compares them one by one."""
    first, address = free_range(4), f"127.0.0.1:{net.free_port()}"
    password, conf = fleet.password_file("secret"), tmp_path / "conf"

    def write(last, more=""):
        conf.write_text(f"[server front]\naddr = {address}\npassword-file = {password}\n"
                        f"tcp-upstream = {net.text(tcp_upstream(net.echo).address)}\n"
                        f"[client home]\nserver-addr = {address}\npassword-file = {password}\n"
                        f"[mapping web]\nspec = OUT^{first}-{last}^ANY\n" + more)
    write(first + 2)
    daemon = make_daemon("--config", conf)
    control = daemon.connect()
    for port in range(first, first + 3):
        control.call("mapping.wait", name=f"web-{port}")
    with net.connect((net.V4, first)) as conn:
        net.round_trip(conn, b"before")
        conf.write_text(conf.read_text().replace(f"-{first + 2}^", f"-{first + 3}^"))
        assert control.call("daemon.reload")["added"] == [f"mapping web-{first + 3}"]
        net.round_trip(conn, b"after")
    before = listed(control)
    write(first + 3, f"[mapping web-{first}]\nspec = OUT^0^ANY\n")
    with pytest.raises(Error) as refused:
        control.call("daemon.reload")
    assert f"[mapping web-{first}] stands twice" in refused.value.message
    assert listed(control) == before


# ---- rstunctl add ----

def test_rstunctl(daemon, tunnel, stack):
    """All of a range or nothing, as for the call, and each is waited for and told."""
    first = free_range(3)
    done = daemon.ctl("add", f"OUT^{first}-{first + 2}^ANY", "--name", "web", status=0)
    told = done.out.splitlines()
    assert len(told) == 3 and all("tunneling" in line for line in told), done
    assert f"web-{first + 2}" in told[2]
    again = daemon.ctl("add", "--json", f"OUT^{first}-{first + 2}^ANY", "--name", "web", status=0)
    assert again.out.count('"created": false') + again.out.count('"created":false') == 3, again
    other = free_range(2)
    stack.enter_context(socket.create_server((net.V4, other + 1)))
    before = listed(tunnel)
    done = daemon.ctl("add", "out", f"{other}-{other + 1}", "any")
    assert done.status == 7 and str(other + 1) in done.all, done
    assert listed(tunnel) == before
    daemon.ctl("add", "--no-wait", f"OUT^{other}-{other + 1}^ANY", "OUT^0^ANY", "--name", "x",
               status=2)
