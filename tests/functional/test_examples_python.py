# SPDX-License-Identifier: MIT
"""The Python module rstun (contrib/examples/python) and its example: calls, several at once,
cancelled ones; events that go on over lost connections and restarted daemons, and say what is
missing; what is said when no daemon is there."""
import asyncio
import contextlib
import os
import socket
import subprocess
import sys

import pytest

from harness import net
from harness.control import Control, Ctl
from harness.daemon import limit, log_password
from test_control_events import add, churn
from test_tree import SRCDIR

EXAMPLES = os.path.join(SRCDIR, "contrib/examples")
MODULE = os.path.join(EXAMPLES, "python/src")
sys.path.insert(0, MODULE)
import rstun  # noqa: E402  (from the source tree)


def run(coroutine):
    async def limited():
        async with asyncio.timeout(limit(60)):
            return await coroutine
    return asyncio.run(limited())


async def until(events, kind=rstun.Event, **members):
    """The items up to the one of this kind with these members."""
    items = []
    async for item in events:
        items.append(item)
        if isinstance(item, kind) and all(
                getattr(item, name) == value for name, value in members.items()):
            return items
    raise AssertionError(f"the end came before {members}")


@pytest.fixture
def home(control):
    """A client whose server is not there: its mappings try and fail."""
    control.call("client.add", name="home", server_addr="127.0.0.1:9", password="no secret 1")


@pytest.fixture
def web(control, home):
    """A mapping that does nothing."""
    return add(control, "web", paused=True)


class Cable:
    """A socket that leads to the daemon's and can be cut."""

    def __init__(self, directory, target):
        self.path = os.path.join(directory, "cable")
        self._target = target
        self._writers = []
        self.seen = b""  # what the daemon sent

    async def __aenter__(self):
        self._server = await asyncio.start_unix_server(self._on_caller, self.path)
        return self

    async def __aexit__(self, *_):
        self._server.close()
        self.cut()

    def cut(self):
        while self._writers:
            self._writers.pop().transport.abort()

    async def _on_caller(self, reader, writer):
        far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        self._writers += [writer, far_writer]
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._pump(reader, far_writer, False),
                                 self._pump(far_reader, writer, True))

    async def _pump(self, reader, writer, keep):
        while data := await reader.read(1 << 16):
            if keep:
                self.seen += data
            writer.write(data)
            await writer.drain()
        writer.close()


# ---- calls ----

def test_calls_and_errors(daemon, web):
    async def test():
        async with rstun.connect(daemon.socket) as client:
            assert client.path == daemon.socket
            mapping, = (await client.call("mapping.list"))["mappings"]
            assert (mapping["id"], mapping["runtime"]["state"]) == (web, "paused")
            with pytest.raises(rstun.RpcError) as caught:
                await client.call("mapping.get", id="m99")
            error = caught.value
            assert (error.code, error.kind, error.retryable) == (1001, "not_found", False)
            assert "m99" in error.message and str(error) == error.message
            with pytest.raises(rstun.RpcError) as caught:
                await client.call("mapping.get", nmae="web")
            error = caught.value
            assert (error.kind, error.field) == ("invalid_params", "nmae") and error.data["kind"]
            assert "name" in error.message + (error.hint or "")
            with pytest.raises(ValueError):
                await client.call("config.check", text="x" * 300_000)
            assert len((await client.call("rpc.discover"))["methods"]) > 40
    run(test())


def test_several_calls_at_once(daemon, web):
    """Answers come in another order than requests."""
    async def test():
        async with rstun.connect(daemon.socket) as client:
            waiting = asyncio.create_task(
                client.call("mapping.wait", id=web, state="reconnecting", timeout_ms=60000))
            names = await asyncio.gather(
                *(client.call("mapping.get", name=name) for name in ["web", web] * 50))
            assert {answer["id"] for answer in names} == {web} and not waiting.done()
            await client.call("mapping.resume", id=web)
            assert (await waiting)["mapping"]["id"] == web
    run(test())


def test_cancelled_calls(daemon, web):
    """They end in the daemon, too: more than it lets wait at once, and others are still answered.
    """
    async def test():
        async with rstun.connect(daemon.socket) as client:
            for _ in range(3):
                waiting = [asyncio.create_task(client.wait_up("web")) for _ in range(40)]
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await client.wait_up(web)
                await asyncio.sleep(0)
                for task in waiting:
                    task.cancel()
                ended = await asyncio.gather(*waiting, return_exceptions=True)
                assert all(isinstance(one, asyncio.CancelledError) for one in ended)
                await client.call("daemon.ping")
    run(test())


def test_wait_up(daemon, control, tcp_upstream, web):
    async def test():
        async with rstun.connect(daemon.socket) as client:
            for mapping in ("web", web):
                with pytest.raises(rstun.RpcError) as caught:
                    await client.wait_up(mapping, timeout=0.001)
                assert caught.value.kind == "timeout"
            control.call("mapping.remove", id=web)
            control.call("client.remove", name="home")
            mapping, _ = daemon.tunnel(control, tcp_upstream(net.echo).address)
            assert (await client.wait_up("web"))["id"] == mapping["id"]
            assert (await client.wait_up(mapping["id"], 10))["runtime"]["state"] == "tunneling"
    run(test())


@pytest.mark.parametrize("end", ["daemon", "client"])
def test_end_reaches_all_who_wait(daemon, web, end):
    async def test():
        async with rstun.connect(daemon.socket) as client:
            events = client.events(types=["cert"])
            waiting = [asyncio.create_task(client.wait_up(web)),
                       asyncio.create_task(client.wait_up(web)),
                       asyncio.create_task(anext(events))]
            while (await client.call("daemon.status"))["subscriptions"] == 0:
                pass
            if end == "daemon":
                daemon.process.kill()
            else:
                await client.close()
            for one in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(one, ConnectionError), one
            with pytest.raises(ConnectionError):
                await client.call("daemon.ping")
    run(test())


def test_sent_away(daemon, stack):
    """The daemon takes no more callers of this user, and its reason arrives."""
    for _ in range(16):
        stack.enter_context(Control(daemon.socket, schema=False)).call("daemon.ping")

    async def test():
        async with rstun.connect(daemon.socket) as client:
            with pytest.raises(rstun.RpcError, match="16 connections") as caught:
                await client.call("daemon.ping")
            assert caught.value.kind == "limit_reached"
    run(test())


# ---- events ----

def test_events(daemon, control, web):
    async def test():
        async with rstun.connect(daemon.socket) as client:
            events = client.events(types=["state", "mapping"], mappings=["web"], snapshot=True)
            async with contextlib.aclosing(events):
                start = await anext(events)
                assert type(start) is rstun.Snapshot
                assert [m["id"] for m in start.data["mappings"]] == [web]
                await client.call("mapping.resume", name="web")
                first, *_ = await until(events, type="state", data="reconnecting")
                assert (first.mapping, first.name, first.epoch) == (web, "web", start.epoch)
                assert first.seq > start.seq and first.raw["n"] == 1
                await client.call("mapping.remove", name="web")
                await until(events, type="mapping", data="removed")
            async with contextlib.aclosing(client.events(
                    types=["mapping"], since=start.cursor)) as events:
                *_, last = await until(events, data="removed", name="web")
                assert last.cursor == {"epoch": start.epoch, "seq": last.seq}
            with pytest.raises(rstun.RpcError) as caught:
                await anext(client.events(types=["nonsense"]))
            assert caught.value.kind == "invalid_params"
            async for event in client.events(types=["mapping"], since=start.cursor):
                break
            while (await client.call("daemon.status"))["subscriptions"] > 0:
                pass  # those that were closed or left are gone
    run(test())


def test_cancelled_waits_lose_no_event(daemon, control, web):
    async def test():
        async with contextlib.aclosing(rstun.follow(daemon.socket, types=["mapping"],
                                                    snapshot=True)) as events:
            await anext(events)
            seen, names = [], [f"n{i}" for i in range(50)]
            for name in names:
                waiting = asyncio.create_task(anext(events))
                await asyncio.sleep(0)
                add(control, name, paused=True)
                for _ in range(int(name[1:]) % 4):
                    await asyncio.sleep(0)
                waiting.cancel()
                done, = await asyncio.gather(waiting, return_exceptions=True)
                if not isinstance(done, asyncio.CancelledError):
                    seen.append(done)
            while len(seen) < len(names):
                seen.append(await anext(events))
            assert [event.name for event in seen] == names
            waiting = asyncio.create_task(anext(events))
            await asyncio.sleep(0)
            await events.aclose()
            with pytest.raises(StopAsyncIteration):
                await asyncio.gather(waiting)
    run(test())


def test_events_that_are_not_kept(daemon, web):
    async def test():
        async with rstun.connect(daemon.socket) as client:
            seq = (await client.call("daemon.status"))["seq"]
            epoch = (await client.call("daemon.info"))["epoch"]
            for since, reason in (({"epoch": epoch, "seq": seq + 10 ** 6}, "gap"),
                                  ({"epoch": "another", "seq": 1}, "epoch_changed")):
                async with contextlib.aclosing(client.events(since=since)) as events:
                    gap = await anext(events)
                assert isinstance(gap, rstun.Gap) and isinstance(gap, rstun.Snapshot)
                assert (gap.reason, gap.since, gap.epoch) == (reason, since, epoch)
                assert [m["id"] for m in gap.data["mappings"]] == [web]
    run(test())


def test_follow_over_lost_connections(daemon, control, web, fleet):
    """Nothing is missing and nothing comes twice, whatever happens while it is away."""
    async def test():
        async with Cable(fleet.directory(), daemon.socket) as cable, \
                contextlib.aclosing(rstun.follow(cable.path, types=["mapping"],
                                                 snapshot=True)) as events:
            start = await anext(events)
            expected, items = [], []
            for turn in range(3):
                for name in (f"a{turn}", f"b{turn}"):
                    add(control, name, paused=True)
                    control.call("mapping.remove", name=name)
                    expected += [("added", name), ("removed", name)]
                    cable.cut()
                items += await until(events, data="removed", name=f"b{turn}")
            assert [(item.data, item.name) for item in items] == expected
            assert {item.epoch for item in items} == {start.epoch}
    run(test())


def test_follow_over_restarts(daemon, control, web, monkeypatch):
    """The daemon is killed, away for a while, and started again: a gap, with what there is now."""
    failed = asyncio.Event()

    async def open_connection(path):
        try:
            return await rstun._connection.open_connection(path)
        except rstun.Unreachable:
            failed.set()
            raise
    monkeypatch.setattr(rstun._events, "open_connection", open_connection)

    async def test():
        async with contextlib.aclosing(rstun.follow(daemon.socket, types=["mapping"])) as events:
            waiting = asyncio.create_task(anext(events))
            while control.call("daemon.status")["subscriptions"] == 0:
                await asyncio.sleep(0)
            add(control, "wiki", paused=True)
            last = await waiting
            assert (last.data, last.name) == ("added", "wiki")
            for _ in range(2):
                daemon.process.kill()
                waiting = asyncio.create_task(anext(events))
                failed.clear()
                await failed.wait()
                daemon.start()
                gap = await waiting
                assert isinstance(gap, rstun.Gap) and gap.reason == "epoch_changed"
                assert gap.since == last.cursor and gap.epoch != last.epoch
                assert {m["config"]["name"] for m in gap.data["mappings"]} == {"web", "wiki"}
                last = gap
            daemon.connect().call("mapping.remove", name="wiki")
            last = await anext(events)
            assert (last.data, last.name, last.epoch) == ("removed", "wiki", gap.epoch)
    run(test())


@pytest.mark.parametrize("turns, reasons", [(16, set()), (40, {"overrun"})])
def test_slow_reader(daemon, control, home, fleet, stack, turns, reasons):
    """Behind an overrun it goes on where it was, or says that it cannot."""
    add(control, "web", persist=False)
    fast = stack.enter_context(Control(daemon.socket, schema=False))
    quick = stack.enter_context(Control(daemon.socket, schema=False))
    wanted = {"types": ["state", "mapping"]}

    async def test():
        async with Cable(fleet.directory(), daemon.socket) as cable, \
                contextlib.aclosing(rstun.follow(cable.path, snapshot=True, **wanted)) as events:
            start = await anext(events)
            quick.subscribe(since=start.cursor, **wanted)
            for _ in range(turns):
                churn(fast, 128)
                while quick.pending():
                    quick._take()
            items = await until(events, rstun.Gap) if reasons else []
            control.call("mapping.remove", name="web")
            items += await until(events, type="mapping", data="removed")
            assert b'"overrun"' in cable.seen, "it was not slow enough"
            while quick.events[-1]["data"] != "removed":
                quick._take()
            gaps = [item for item in items if isinstance(item, rstun.Gap)]
            assert {gap.reason for gap in gaps} == reasons
            assert [item.seq for item in items if isinstance(item, rstun.Event)] == \
                [event["seq"] for event in quick.events
                 if not any(gap.since["seq"] < event["seq"] <= gap.seq for gap in gaps)]
    run(test())


# ---- who looks for a daemon ----

def test_where_the_socket_is(daemon, monkeypatch, tmp_path):
    """By the rule of rstunctl: path, $RSTUN_SOCKET, $XDG_RUNTIME_DIR (not root), /run/rstund."""
    async def where(path=None):
        async with rstun.connect(path) as client:
            await client.call("daemon.ping")
            return client.path
    os.mkdir(tmp_path / "rstund")
    link = str(tmp_path / "rstund/rstund.sock")
    os.symlink(daemon.socket, link)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("RSTUN_SOCKET", daemon.socket)
    assert run(where(link)) == link and run(where()) == daemon.socket
    monkeypatch.delenv("RSTUN_SOCKET")
    assert run(where()) == link
    os.unlink(link)
    with pytest.raises(rstun.Unreachable) as caught:
        run(where())
    assert str(caught.value).startswith(
        f"no rstund can be reached: {link} ($XDG_RUNTIME_DIR): there is no such socket; "
        "/run/rstund/rstund.sock (the system's): ")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(rstun.Unreachable) as caught:
        run(where())
    assert str(tmp_path) not in str(caught.value)


def test_why_it_cannot_be_reached(tmp_path):
    """In the words of rstunctl."""
    left, plain = str(tmp_path / "left"), str(tmp_path / "plain")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(left)
    open(plain, "w").close()
    for path in (left, plain, str(tmp_path / "nothing"), plain + "/s", "/" + "x" * 107):
        done = Ctl(path)("list", status=3)
        with pytest.raises(rstun.Unreachable) as caught:
            run(anext(rstun.follow(path)))
        assert str(caught.value).replace("(path)", "($RSTUN_SOCKET)") in done.err
        script = _wait_for_tunnel(path, "web")
        output, _ = script.communicate(timeout=limit(30))
        assert script.returncode == 3 and path in output, output


def _wait_for_tunnel(path, *args):
    environment = dict(os.environ, RSTUN_SOCKET=path, PYTHONPATH=MODULE)
    return subprocess.Popen([sys.executable, os.path.join(EXAMPLES, "wait_for_tunnel.py"), *args],
                            env=environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


def test_wait_for_tunnel(daemon, control, tcp_upstream):
    """It waits while the server is not there, and ends when the tunnel is up."""
    password, address = log_password(), f"127.0.0.1:{net.free_port()}"
    control.call("client.add", name="home", server_addr=address, password=password)
    mapping = add(control, "web", paused=True)
    waiting = _wait_for_tunnel(daemon.socket, "web")
    while control.call("daemon.status")["callers"] < 2:
        pass
    control.call("mapping.resume", id=mapping)
    control.call("server.add", name="front", addr=address, password=password,
                 tcp_upstream=net.text(tcp_upstream(net.echo).address))
    output, _ = waiting.communicate(timeout=limit(30))
    assert waiting.returncode == 0 and output.startswith(f"{mapping} is up: "), output
    for args, status, says in (("nobody",), 1, "nobody"), (("web", "0.001"), 0, "is up"), \
            ((), 1, "MAPPING"):
        done = _wait_for_tunnel(daemon.socket, *args)
        output, _ = done.communicate(timeout=limit(30))
        assert done.returncode == status and says in output, output
