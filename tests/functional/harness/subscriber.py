# SPDX-License-Identifier: MIT
"""A subscriber that checks what it is given, and a model of the mappings made of snapshot and
events.

The rules: the reply comes before any event; `n` counts without holes; `seq` does not fall; a replay
is complete or says that it is not, and brings a snapshot then.
"""


def state_of(mappings):
    """What a model can know: {id: (name, state)}."""
    return {m["id"]: (m["config"].get("name"), m["runtime"]["state"]) for m in mappings}


class Model:
    """The mappings at any event's number: a snapshot, and the events behind it."""

    def __init__(self, seq, mappings):
        self.seq = seq
        self.base = state_of(mappings)
        self.events = []

    def add(self, event):
        if event["type"] in ("mapping", "state"):
            self.events.append(event)

    def at(self, seq):
        """The state as of this number."""
        now = dict(self.base)
        assert seq >= self.seq, (seq, self.seq)
        for event in self.events:
            if event["seq"] > seq:
                break
            key = event["mapping"]
            if event["type"] == "state":
                assert key in now, f"{event} about a mapping that there is not"
                now[key] = (event.get("name"), event["data"])
            elif event["data"] == "added":
                assert key not in now, event
                now[key] = (event.get("name"), "idle")
            elif event["data"] == "removed":
                del now[key]
            else:
                now[key] = (event.get("name"), now[key][1])
        return now


class Subscriber:
    """Subscribes by `connect()`, and after kill() goes on behind the last event it has seen."""

    def __init__(self, connect, **params):
        self._connect = connect
        self.params = params
        self.control = self.model = self.epoch = None
        self.sub = self.seq = self.n = 0
        self.events = []      # all of this epoch, in their order
        self.replays = []     # what each subscription said
        self.dropped = []     # (from_seq, to_seq, count)
        self.overruns = 0
        self.over = False     # the subscription has ended

    def start(self):
        since = {} if self.epoch is None else {"since": {"epoch": self.epoch, "seq": self.seq}}
        self.control = self._connect()
        answer = self.control.subscribe(**self.params, **since)
        assert not self.control.events, "an event before the reply"
        self.replays.append(answer["replay"])
        if answer["replay"] == "complete":
            assert answer["seq"] == self.seq and answer["epoch"] == self.epoch
            assert "snapshot" not in answer
        else:
            assert (answer["epoch"] != self.epoch) == (answer["replay"] != "gap")
            self.model = Model(answer["seq"], answer["snapshot"]["mappings"])
            if answer["epoch"] != self.epoch:
                self.events, self.dropped = [], []
            self.epoch, self.seq = answer["epoch"], answer["seq"]
        self.sub, self.n, self.over = answer["sub"], 0, False
        return answer["replay"]

    def kill(self):
        """As kill -9 does: what it has not read is lost."""
        self.control.close()
        self.control = None

    def take(self, event):
        assert event["sub"] == self.sub and not self.over, event
        self.n += 1
        assert event["n"] == self.n, event
        assert event["seq"] >= self.seq, (event, self.seq)
        if event["type"] in ("dropped", "overrun"):
            data = event["data"]
            assert data["from_seq"] <= data["to_seq"] and data["count"] > 0, event
            self.dropped.append((data["from_seq"], data["to_seq"], data["count"]))
            self.over = event["type"] == "overrun"
            self.overruns += self.over
            if self.over:
                return event  # it goes on where it was: the events may still be kept
        self.seq = event["seq"]
        self.events.append(event)
        self.model.add(event)
        return event

    def next(self):
        """The next event; overrun ends the subscription, and another one goes on."""
        if self.over:
            self.dropped.pop()
            self.kill()
            self.start()
        while not self.control.events:
            assert self.control._take(), "the daemon ended the connection"
        return self.take(self.control.events.popleft())

    def some(self, count):
        """What is there, without waiting for more than has begun to come."""
        for _ in range(count):
            if not self.control.events and not self.control.pending():
                return
            self.next()

    def until(self, **members):
        while True:
            event = self.next()
            if all(event.get(k) == v for k, v in members.items()):
                return event
