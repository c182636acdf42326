# SPDX-License-Identifier: MIT
"""Events: subscriptions, snapshot, replay, filters, statistics, the long poll, and that a
subscriber that is killed or slow misses nothing, or is told exactly what."""
import random

import pytest

from harness import net
from harness.control import Control, Error
from harness.notify import Notify
from harness.subscriber import Subscriber, state_of

RING = 8192  # events that are kept


@pytest.fixture
def home(control):
    """A client whose server is not there: its mappings try and fail."""
    control.call("client.add", name="home", server_addr="127.0.0.1:9", password="no secret 1")


@pytest.fixture
def notified(make_daemon, fleet, stack):
    """A daemon that tells when its socket is there, whatever its mappings do."""
    notify = Notify(fleet.directory())
    stack.callback(notify.close)
    daemon = make_daemon(env={"NOTIFY_SOCKET": notify.address})
    notify.wait(READY="1")
    return daemon, notify


@pytest.fixture
def fast(daemon, stack):
    """A connection without validation, for many calls."""
    return stack.enter_context(Control(daemon.socket, schema=False))


@pytest.fixture
def subscriber(daemon, stack):
    def make(schema=None, **params):
        one = Subscriber(lambda: stack.enter_context(Control(daemon.socket, schema=schema)),
                         **params)
        one.start()
        return one
    return make


def add(control, name, **params):
    return control.call("mapping.add", spec=f"OUT^{net.free_port()}^ANY", name=name,
                        **params)["mapping"]["id"]


def churn(fast, turns, name="web"):
    """At least four events for each turn."""
    for at in range(0, turns, 32):
        replies = fast.batch([call for _ in range(min(32, turns - at)) for call in
                              (("mapping.pause", {"name": name}),
                               ("mapping.resume", {"name": name}))])
        assert all("result" in reply for reply in replies), replies


_marks = iter(range(10 ** 9))


def mark(control, *subscribers):
    """Every subscriber has read all until now."""
    name = f"mark{next(_marks)}"
    control.call("mapping.add", spec="OUT^9^ANY", name=name, paused=True)
    control.call("mapping.remove", name=name)
    for one in subscribers:
        one.until(type="mapping", data="removed", name=name)


def truth(control):
    """(seq, mappings) in one piece."""
    answer = control.subscribe(types=["cert"], snapshot="always")
    control.call("events.unsubscribe", sub=answer["sub"])
    return answer["seq"], state_of(answer["snapshot"]["mappings"])


def check_model(control, *subscribers):
    seq, expected = truth(control)
    mark(control, *subscribers)
    for one in subscribers:
        if one.model.seq <= seq:
            assert one.model.at(seq) == expected


# ---- subscribing ----

@pytest.mark.tsan
def test_snapshot_and_events(daemon, control, home, subscriber):
    """The snapshot is what is there at `seq`, and the events behind it are what changed since."""
    ids = [add(control, f"n{i}", paused=i % 2 == 0) for i in range(6)]
    one = subscriber()
    assert one.replays == ["none"] and one.model.base.keys() == set(ids)
    control.call("mapping.remove", name="n0")
    control.call("mapping.resume", name="n2")
    control.call("mapping.pause", name="n1")
    add(control, "n6")
    check_model(control, one)
    assert one.model.base != one.model.at(one.seq)
    assert daemon.connect().subscribe(snapshot="never").get("snapshot") is None
    assert state_of(control.call("mapping.list")["mappings"]).keys() == \
        one.model.at(one.seq).keys()


def test_reply_comes_first(daemon, control, home, fast):
    """Even under load, and in a batch."""
    add(control, "web", persist=False)
    for _ in range(20):
        with Control(daemon.socket) as other:
            pause = fast.send("mapping.pause", name="web")
            resume = fast.send("mapping.resume", name="web")
            number = other.send("events.subscribe")
            message = other.read()
            assert message.get("id") == number, message
            fast.reply(pause), fast.reply(resume)
    with Control(daemon.socket) as other:
        other.batch([("events.subscribe", {"types": ["mapping"]}), ("mapping.pause",
                    {"name": "web"}), ("events.subscribe", {}), ("daemon.ping", {})])
        assert not other.events or all(e["n"] == 1 for e in other.events)


def test_replay(daemon, control, home, subscriber, fast):
    """complete as long as the events are kept, gap with a snapshot when they are not."""
    add(control, "web", persist=False)
    one = subscriber(schema=False)
    one.kill()
    churn(fast, 100)
    assert one.start() == "complete"
    check_model(control, one)
    assert len([e for e in one.events if e["type"] == "state"]) >= 200
    with Control(daemon.socket) as other:  # behind a number that has not been
        answer = other.subscribe(since={"epoch": one.epoch, "seq": one.seq + 10 ** 6})
        assert answer["replay"] == "gap" and "snapshot" in answer
        answer = other.subscribe(since={"epoch": "another", "seq": 1}, snapshot="never")
        assert answer["replay"] == "epoch_changed" and "snapshot" not in answer
    one.kill()
    before = control.call("daemon.status")["seq"]
    while control.call("daemon.status")["seq"] < before + RING + 100:
        churn(fast, 500)
    assert one.start() == "gap"
    check_model(control, one)


def test_replay_over_restart(notified, stack):
    """Another epoch: never taken for the old one."""
    daemon, notify = notified
    control = daemon.connect()
    control.call("client.add", name="home", server_addr="127.0.0.1:9", password="no secret 1")
    add(control, "web")
    one = Subscriber(lambda: stack.enter_context(Control(daemon.socket)))
    one.start()
    mark(control, one)
    epoch = one.epoch
    one.kill()
    control.close()
    daemon.process.kill()
    notify.drain()
    daemon.start(ready=False)
    notify.wait(READY="1")
    again = daemon.connect()
    assert one.start() == "epoch_changed" and one.epoch != epoch
    check_model(again, one)
    assert {name for name, _ in one.model.at(one.seq).values()} == {"web"}


def test_filters(daemon, control, home, subscriber):
    ids = [add(control, f"n{i}", paused=True) for i in range(3)]
    only = subscriber(types=["state"], mappings=[ids[0], "n1"])
    lines = subscriber(types=["log"])
    warnings = subscriber(types=["log", "mapping"], min_level="warn")
    mappings = subscriber(types=["mapping"])
    for name in ("n2", "n1", "n0"):
        control.call("mapping.resume", name=name)
        assert "mapping.resume" in lines.until(type="log")["data"]
    first = only.next()
    assert (first["mapping"], first["type"], first["tunnel"]["proto"]) == (ids[1], "state", "tcp")
    only.until(mapping=ids[0])
    assert {e["mapping"] for e in only.events} == {ids[0], ids[1]}
    mark(control, mappings, warnings)
    assert {e["detail"]["level"] for e in warnings.events if e["type"] == "log"} <= \
        {"warn", "error"}
    assert [e["data"] for e in mappings.events][-2:] == ["added", "removed"]
    assert {e["type"] for e in mappings.events} == {"mapping"}
    error = control.error("events.subscribe", mappings=["nobody"])
    assert (error.kind, error.field) == ("not_found", "mappings")
    assert control.error("events.subscribe", types=["nonsense"]).kind == "invalid_params"


def test_unsubscribe(daemon, control, home):
    """Nothing comes behind the reply; the number is not known any more; numbers are not reused."""
    other = daemon.connect()
    subs = [other.subscribe(types=["mapping"])["sub"] for _ in range(16)]
    assert len(set(subs)) == 16
    assert other.error("events.subscribe").kind == "limit_reached"
    other.call("events.unsubscribe", sub=subs[3])
    assert other.error("events.unsubscribe", sub=subs[3]).kind == "unknown_subscription"
    again = other.subscribe(types=["mapping"])["sub"]
    assert again not in subs
    add(control, "web", paused=True)
    seen = {other.event(type="mapping", data="added")["sub"] for _ in range(16)}
    assert seen == set(subs) - {subs[3]} | {again}


def test_statistics(daemon, control, tcp_upstream, subscriber):
    """At the subscriber's interval, per mapping; nobody else gets them."""
    mapping, entry = daemon.tunnel(control, tcp_upstream(net.echo).address)
    often = subscriber(types=["stat"], stat_interval_ms=100)
    plain = subscriber(types=["stat", "mapping"])
    with net.connect(entry) as conn:
        net.round_trip(conn, b"x" * 50_000)
        while True:
            event = often.until(mapping=mapping["id"])
            if event["data"]["payload_in_bytes"] >= 50_000:
                break
        assert event["data"]["active_conns"] == 1 and event["name"] == "web"
        assert event["tunnel"] == {"source": "network", "id": int(mapping["id"][1:]),
                                   "proto": "tcp", "mode": "out"}
    while often.until(mapping=mapping["id"])["data"]["active_conns"] != 0:
        pass
    final = often.until(mapping=mapping["id"])["data"]
    assert final["payload_out_bytes"] >= 50_000 and final["total_conns"] == 1
    mark(control, plain)
    assert not [e for e in plain.events if e["type"] == "stat" and "tunnel" in e]


def test_flows_only_when_asked(daemon, control, tcp_upstream, subscriber):
    mapping, entry = daemon.tunnel(control, tcp_upstream(net.echo).address)
    flows = subscriber(types=["flow"])
    plain = subscriber()
    net.echo_flow(entry, 1, 30_000)
    ours = flows.until(type="flow", mapping=mapping["id"])
    assert ours["data"] == "ended" and ours["detail"]["in_bytes"] == 30_000
    assert ours["detail"]["out_bytes"] == 30_000
    mark(control, plain)
    assert not [e for e in plain.events if e["type"] == "flow"]
    seq = flows.seq
    flows.kill()  # they are kept for a while
    net.echo_flow(entry, 2, 10_000)
    assert flows.start() == "complete"
    assert flows.until(type="flow", mapping=mapping["id"])["detail"]["in_bytes"] == 10_000
    assert flows.seq > seq


# ---- long poll ----

@pytest.mark.tsan
def test_next(daemon, control, home):
    """events.next: a cursor first, then what came, or a wait until something comes."""
    other = daemon.connect()
    cursor = other.call("events.next")
    assert cursor["events"] == []
    add(control, "web", paused=True)
    control.call("mapping.remove", name="web")
    answer = other.call("events.next", cursor=cursor["cursor"], types=["mapping"])
    assert [e["data"] for e in answer["events"]] == ["added", "removed"]
    assert all("n" not in e and "sub" not in e for e in answer["events"])
    again = other.call("events.next", cursor=cursor["cursor"], types=["mapping"], count=1)
    assert [e["data"] for e in again["events"]] == ["added"]
    rest = other.call("events.next", cursor=again["cursor"], types=["mapping"])
    assert [e["data"] for e in rest["events"]] == ["removed"]
    number = other.send("events.next", cursor=rest["cursor"], types=["mapping"])
    other.call("daemon.ping")
    assert not other.replies.get(number)  # it waits, and others are answered
    add(control, "wiki", paused=True)
    waited = other.result(number)
    assert [e["name"] for e in waited["events"]] == ["wiki"]
    idle = other.call("events.next", cursor=waited["cursor"], types=["mapping"], timeout_ms=50)
    assert idle["events"] == []
    number = other.send("events.next", cursor=idle["cursor"], types=["cert"])
    assert other.call("rpc.cancel", id=number)["done"]
    with pytest.raises(Error) as error:
        other.result(number)
    assert error.value.kind == "cancelled"
    assert other.error("events.next", cursor="nonsense").kind == "invalid_params"
    assert other.error("events.next", cursor="0:1").kind == "cursor_expired"


def test_next_misses_nothing(daemon, control, home, fast, subscriber):
    """A poller sees the same events as a subscriber; behind the ring it is told so."""
    add(control, "web", persist=False)
    poller = daemon.connect(schema=False)
    start = poller.call("events.next", types=["state", "mapping"])["cursor"]
    one = subscriber(schema=False, types=["state", "mapping"])
    cursor, seen = start, []
    for _ in range(10):
        churn(fast, 20)
        answer = poller.call("events.next", cursor=cursor, types=["state", "mapping"], count=37)
        cursor = answer["cursor"]
        seen += answer["events"]
    control.call("mapping.pause", name="web")
    mark(control, one)
    while not seen or seen[-1]["seq"] < one.seq:
        answer = poller.call("events.next", cursor=cursor, types=["state", "mapping"], count=1000)
        cursor = answer["cursor"]
        seen += answer["events"]
    first = one.events[0]["seq"]
    assert [e["seq"] for e in seen if e["seq"] >= first] == [e["seq"] for e in one.events]
    while control.call("daemon.status")["seq"] < one.seq + RING + 100:
        churn(fast, 500)
    assert poller.error("events.next", cursor=start).kind == "cursor_expired"


# ---- slow ones ----

def all_but_stat(one):
    return {e["seq"]: e for e in one.events if e["type"] not in ("stat", "dropped")}


def test_slow_reader_is_told(daemon, control, home, fast, subscriber):
    """One that stops to read: log lines are dropped and counted exactly, states are all there."""
    add(control, "web", persist=False)
    slow = subscriber(schema=False, min_level="trace")
    quick = subscriber(schema=False, min_level="trace")
    mark(control, slow, quick)
    for _ in range(12):
        churn(fast, 64)
        mark(control, quick)
    assert not quick.dropped
    mark(control, quick, slow)
    assert slow.dropped and slow.overruns == 0, "it was not slow enough"
    everything, got = all_but_stat(quick), all_but_stat(slow)
    missing = {seq: e for seq, e in everything.items() if seq not in got}
    assert {e["type"] for e in missing.values()} == {"log"}
    told = 0
    for first, last, count in slow.dropped:
        inside = [seq for seq in missing if first <= seq <= last]
        assert len(inside) == count, (first, last, count, len(inside))
        told += count
    assert told == len(missing)
    check_model(control, slow, quick)


def test_far_too_slow(daemon, control, home, fast, subscriber):
    """Behind 1 MiB one overrun, then nothing; what is still kept is had again."""
    add(control, "web", persist=False)
    slow = subscriber(schema=False, types=["state", "mapping"])
    quick = subscriber(schema=False, types=["state", "mapping"])
    mark(control, slow, quick)
    for _ in range(16):
        churn(fast, 128)
        mark(control, quick)
    mark(control, quick, slow)
    assert not quick.dropped and not slow.dropped
    assert slow.overruns >= 1, "it was not slow enough"
    assert set(slow.replays[1:]) == {"complete"}
    first = quick.events[0]["seq"]  # it began last
    assert [n for n in all_but_stat(slow) if n >= first] == list(all_but_stat(quick))
    check_model(control, slow, quick)


# ---- the property ----

class Script:
    """Changes mappings at random, by a seed."""

    def __init__(self, rng, daemon, upstream):
        self.rng, self.daemon, self.upstream = rng, daemon, upstream
        self.names = []
        self.count = 0

    def connect(self):
        self.control = self.daemon.connect()
        return self.control

    def step(self):
        rng, call = self.rng, self.control.call
        what = rng.random()
        if len(self.names) < 12 or (what < 0.25 and len(self.names) < 24):
            self.count += 1
            name = f"n{self.count}"
            spec = rng.choice((f"OUT^{net.free_port()}^ANY",
                               f"IN^{self.upstream}^127.0.0.1:{net.free_port()}"))
            call("mapping.add", spec=spec, name=name, proto=rng.choice(("tcp", "udp")),
                 paused=rng.random() < 0.2)
            self.names.append(name)
        elif what < 0.45:
            call("mapping.remove", name=self.names.pop(rng.randrange(len(self.names))))
        elif what < 0.65:
            call("mapping.pause", name=rng.choice(self.names))
        elif what < 0.85:
            call("mapping.resume", name=rng.choice(self.names))
        else:
            try:
                call("mapping.restart", name=rng.choice(self.names))
            except Error as error:
                assert "is paused" in error.message, error


@pytest.mark.tsan
@pytest.mark.parametrize("seed", [1, 2, 3, *(pytest.param(seed, marks=pytest.mark.long)
                                             for seed in range(4, 40))])
def test_snapshot_plus_events_is_the_truth(notified, make_daemon, tcp_upstream, stack, seed):
    """Twenty mappings that come, go, pause and restart, a server that is killed, a daemon that is
    killed once; a subscriber is killed twenty times and reads as it likes. At every look what it
    made of snapshot and events is what the daemon says."""
    rng = random.Random(seed)
    upstream = net.text(tcp_upstream(net.echo).address)
    near, notify = notified
    far = make_daemon()
    far_control = far.connect()
    address, password = f"127.0.0.1:{net.free_port()}", "no secret at all"
    server = dict(name="front", addr=address, password=password, tcp_upstream=upstream,
                  udp_upstream=upstream)
    far_control.call("server.add", **server)
    script = Script(rng, near, upstream)
    control = script.connect()
    control.call("client.add", name="home", server_addr=address, password=password,
                 wait_before_retry_ms=300)

    def connect():
        return stack.enter_context(Control(near.socket))
    fussy = Subscriber(connect, min_level="trace")
    steady = Subscriber(connect, types=["state", "mapping"])
    fussy.start(), steady.start()
    kills = 0
    while kills < 20:
        for _ in range(rng.randrange(1, 12)):
            script.step()
            fussy.some(rng.choice((0, 0, 1, 5, 200)))
        if rng.random() < 0.7:
            fussy.kill()
            for _ in range(rng.randrange(4)):
                script.step()
            fussy.start()
            kills += 1
        if rng.random() < 0.6:
            check_model(control, fussy, steady)
        if kills in (5, 12) and far_control:
            far_control.close()
            far.process.kill()
            far_control = None
        elif far_control is None and kills not in (5, 12):
            far.start()
            far_control = far.connect()
        if kills == 15 and "epoch_changed" not in fussy.replays:
            check_model(control, fussy, steady)
            fussy.kill(), steady.kill(), control.close()
            near.process.kill()
            notify.drain()
            near.start(ready=False)
            notify.wait(READY="1")
            control = script.connect()
            assert fussy.start() == steady.start() == "epoch_changed"
            script.names = [m["config"]["name"] for m in control.call("mapping.list")["mappings"]]
    check_model(control, fussy, steady)
    assert fussy.replays.count("complete") >= 19 and "gap" not in fussy.replays
    assert not fussy.dropped or all(count > 0 for _, _, count in fussy.dropped)
    got = all_but_stat(fussy)
    for seq, event in all_but_stat(steady).items():
        if seq > fussy.model.seq:
            assert seq in got, event
