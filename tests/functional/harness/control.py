# SPDX-License-Identifier: MIT
"""The control socket as a test sees it: a connection (Control), rstunctl (Ctl), and a daemon that
has both (Rstund). Whatever comes back is validated against the schema that this very daemon's
rpc.discover gives, and more strictly than a caller may: members that no schema names are errors.

Nothing here sleeps: it waits for bytes, and each wait has a limit (harness.daemon.limit).
"""
import collections
import contextlib
import copy
import hashlib
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import time

import jsonschema

from . import net
from .daemon import RSTUND, Failure, limit, log_password

RSTUNCTL = os.path.abspath(os.environ.get(
    "RSTUNCTL", os.path.join(os.path.dirname(RSTUND), "../rstunctl/rstunctl")))
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

_schemas = {}  # by digest of the document
_formats = jsonschema.FormatChecker(formats=())


@_formats.checks("date-time")
def _is_timestamp(value):
    return not isinstance(value, str) or TIMESTAMP.fullmatch(value) is not None


class Error(Exception):
    """The daemon said no."""

    def __init__(self, error):
        data = error["data"]
        self.code, self.message, self.data = error["code"], error["message"], data
        self.kind, self.retryable = data["kind"], data["retryable"]
        self.hint, self.field, self.value = (data.get(k) for k in ("hint", "field", "value"))
        super().__init__(f"{self.kind} ({self.code}): {self.message}; hint: {self.hint}")


# ---- what rpc.discover says ----

def _strict(node):
    """Structs take no members but their own."""
    if isinstance(node, list):
        for item in node:
            _strict(item)
    elif isinstance(node, dict):
        if isinstance(node.get("properties"), dict) and node.get("type") == "object":
            node.setdefault("additionalProperties", False)
        for item in node.values():
            _strict(item)


class Schema:
    def __init__(self, document):
        self.document = document
        self.methods = {m["name"]: m for m in document["methods"]}
        self.errors = document["components"]["errors"]
        strict = copy.deepcopy(document)
        _strict(strict["components"])
        self._resolver = jsonschema.RefResolver("", strict)
        self._compiled = {}

    @classmethod
    def of(cls, document):
        text = json.dumps(document, sort_keys=True).encode()
        digest = hashlib.sha256(text).digest()
        if digest not in _schemas:
            _schemas[digest] = cls(document)
        return _schemas[digest]

    def check(self, value, schema, what):
        key = json.dumps(schema, sort_keys=True)
        if key not in self._compiled:
            jsonschema.Draft7Validator.check_schema(schema)
            self._compiled[key] = jsonschema.Draft7Validator(
                schema, resolver=self._resolver, format_checker=_formats)
        wrong = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}"
                 for e in self._compiled[key].iter_errors(value)]
        assert not wrong, f"{what} is not as rpc.discover says: {wrong}\n{value}"

    def check_named(self, value, name, what):
        self.check(value, {"$ref": f"#/components/schemas/{name}"}, what)

    def check_result(self, method, result):
        self.check(result, self.methods[method]["result"]["schema"], f"the result of {method}")

    def check_params(self, method, params):
        self.check(params, self.methods[method]["x-params"], f"the params of {method}")

    def check_error(self, error):
        self.check_named(error, "Error", "an error")
        row = self.errors[error["data"]["kind"]]
        assert row["code"] == error["code"], error

    def check_event(self, params):
        self.check_named(params, "Event" + params["type"].capitalize(), "an event")

    def check_notification(self, message):
        assert set(message) == {"jsonrpc", "method", "params"}, message
        assert (message["jsonrpc"], message["method"]) == ("2.0", "event"), message
        self.check_event(message["params"])

    def check_reply(self, message, method=None):
        assert message.get("jsonrpc") == "2.0" and "id" in message, message
        assert set(message) in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"}), message
        if "error" in message:
            self.check_error(message["error"])
        elif method in self.methods:
            self.check_result(method, message["result"])
            if method == "events.next":
                for event in message["result"]["events"]:
                    self.check_event(event)


# ---- a connection ----

class Control:
    """A connection to a control socket. `schema`: None asks the daemon, False validates nothing
    (something that is no rstund)."""

    def __init__(self, path, timeout=10, schema=None):
        self.path = path
        self.timeout = timeout
        self.events = collections.deque()   # params of notifications, not taken yet
        self.replies = {}                   # by id
        self._methods = {}                  # of ids that were sent
        self._numbers = {}                  # n and seq of each subscription's last event
        self._next_id = 1
        self._input = b""
        self.ended = False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.settimeout(limit(timeout))
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.socket.setblocking(False)
        self.schema = self._discover() if schema is None else schema

    def _discover(self):
        with Control(self.path, self.timeout, schema=False) as other:
            return Schema.of(other.call("rpc.discover"))

    # ---- bytes ----

    def _wait(self, deadline, what, write=False):
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket,
                              selectors.EVENT_WRITE if write else selectors.EVENT_READ)
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise Failure(f"{what} did not come in time from {self.path}; "
                              f"events: {list(self.events)}, replies: {self.replies}")

    def raw(self, data):
        """Sends bytes as they are; what comes in meanwhile is kept."""
        deadline = time.monotonic() + limit(self.timeout)
        view = memoryview(data)
        while view:
            try:
                view = view[self.socket.send(view):]
            except BlockingIOError:
                self._wait(deadline, "room to write", write=True)

    def line(self, text):
        self.raw((text if isinstance(text, bytes) else text.encode()) + b"\n")

    def read(self, timeout=None):
        """The next message as it came, or None at the end."""
        deadline = time.monotonic() + limit(timeout or self.timeout)
        while b"\n" not in self._input:
            try:
                data = self.socket.recv(1 << 18)
            except BlockingIOError:
                self._wait(deadline, "a message")
                continue
            except ConnectionResetError:
                data = b""
            if not data:
                assert not self._input, f"half a line at the end: {self._input!r}"
                self.ended = True
                return None
            self._input += data
        line, _, self._input = self._input.partition(b"\n")
        message = json.loads(line)
        self._validate(message)
        return message

    def pending(self):
        """Is there something to be read now?"""
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            return b"\n" in self._input or bool(selector.select(0))

    def _validate(self, message):
        if self.schema is False:
            return
        for one in message if isinstance(message, list) else [message]:
            if "method" in one:
                self.schema.check_notification(one)
                self._count(one["params"])
            else:
                self.schema.check_reply(one, self._methods.get(one.get("id")))

    def _count(self, event):
        """Within a subscription, n has no holes and seq does not fall."""
        n, seq = self._numbers.get(event["sub"], (0, 0))
        assert event["n"] == n + 1 and event["seq"] >= seq, (self._numbers, event)
        self._numbers[event["sub"]] = (event["n"], event["seq"])

    def _take(self, timeout=None):
        """Reads one message and puts it where it belongs; False at the end."""
        message = self.read(timeout)
        if message is None:
            return False
        for one in message if isinstance(message, list) else [message]:
            if "method" in one:
                self.events.append(one["params"])
            else:
                self.replies.setdefault(one["id"], []).append(one)
        return True

    # ---- calls ----

    def new_id(self, method):
        number = self._next_id
        self._next_id += 1
        self._methods[number] = method
        return number

    def request(self, method, params):
        number = self.new_id(method)
        return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}

    def send(self, method, /, **params):
        """Sends a request; returns its id."""
        return self.send_params(method, params)

    def send_params(self, method, params):
        """The same with params that may be anything."""
        request = self.request(method, params)
        self.line(json.dumps(request))
        return request["id"]

    def reply(self, number, timeout=None):
        """The whole reply to a request (None: to a line that could not be read)."""
        while not self.replies.get(number):
            if not self._take(timeout):
                raise Failure(f"{self.path} ended before it answered {number}")
        return self.replies[number].pop(0)

    def result(self, number, timeout=None):
        reply = self.reply(number, timeout)
        if "error" in reply:
            raise Error(reply["error"])
        return reply["result"]

    def call(self, method, /, **params):
        """The result; raises Error."""
        wait = max(params.get("timeout_ms") or 0, params.get("wait_ms") or 0) / 1000
        return self.result(self.send(method, **params), self.timeout + wait)

    def error(self, method, /, **params):
        """The error; that there is none is a failure."""
        try:
            result = self.call(method, **params)
        except Error as error:
            return error
        raise Failure(f"{method} {params} was not refused: {result}")

    def bad(self, text):
        """The error that answers a line which is no request, and a ping behind it."""
        self.line(text)
        reply = self.reply(None)
        assert "error" in reply, reply
        self.call("daemon.ping")
        return Error(reply["error"])

    def batch(self, calls):
        """Replies in the order of `calls`, (method, params) each."""
        requests = [self.request(method, params) for method, params in calls]
        self.line(json.dumps(requests))
        return [self.reply(request["id"]) for request in requests]

    # ---- events ----

    def subscribe(self, **params):
        return self.call("events.subscribe", **params)

    def event(self, timeout=None, **members):
        """The next event with these members; those before it are dropped. A member `detail`,
        `tunnel` or `data` that is a dict is compared member by member."""
        deadline = time.monotonic() + limit(timeout or self.timeout)
        while True:
            while self.events:
                event = self.events.popleft()
                if _has(event, members):
                    return event
            left = (deadline - time.monotonic()) / limit(1)
            if left <= 0 or not self._take(left):
                raise Failure(f"no event {members} came from {self.path}")

    # ---- end ----

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def wait_end(self, timeout=None):
        """Reads until the daemon closes; what comes before is kept."""
        while self._take(timeout):
            pass

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _has(value, members):
    return all(_has(value[k], v) if isinstance(v, dict) and isinstance(value.get(k), dict)
               else k in value and value[k] == v for k, v in members.items())


# ---- rstunctl ----

class Done:
    """What a program said, and its exit status."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def all(self):
        return self.out + self.err

    def objects(self, text=None):
        """All JSON objects of the output."""
        text, found, at = self.out if text is None else text, [], 0
        decoder = json.JSONDecoder()
        while text[at:].strip():
            at += len(text[at:]) - len(text[at:].lstrip())
            value, at = decoder.raw_decode(text, at)
            found.append(value)
        return found

    def __repr__(self):
        return f"exit status {self.status}\n{self.out}{self.err}"


class Ctl:
    """rstunctl for one socket (None: it looks for one itself)."""

    def __init__(self, path, schema=None, env=None, prefix=(), program=RSTUNCTL):
        self.path = path
        self._schema = schema
        self.env = env or {}
        self.prefix = [str(p) for p in prefix]
        self.program = program

    def schema(self):
        if self._schema is None:
            with Control(self.path) as control:
                self._schema = control.schema
        return self._schema

    def environment(self):
        environ = {k: v for k, v in os.environ.items()
                   if k not in ("RSTUN_SOCKET", "XDG_RUNTIME_DIR", "NO_COLOR")}
        if self.path is not None:
            environ["RSTUN_SOCKET"] = self.path
        environ.update(self.env)
        return environ

    def start(self, *args, **options):
        """As a process, for those that go on."""
        return subprocess.Popen([*self.prefix, self.program, *map(str, args)],
                                **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                                   "stderr": subprocess.PIPE, "env": self.environment(),
                                   "text": True, **options})

    def __call__(self, *args, status=None, stdin="", timeout=30, cwd=None):
        """Runs it to its end. `status`: the exit status that it must have."""
        done = subprocess.run([*self.prefix, self.program, *map(str, args)], input=stdin,
                              capture_output=True, text=True, timeout=limit(timeout), cwd=cwd,
                              env=self.environment(), check=False)
        done = Done(done.returncode, done.stdout, done.stderr)
        assert done.status >= 0, done
        assert status is None or done.status == status, f"{args}: {done}, expected {status}"
        return done

    def json(self, method, *args, **options):
        """With --json: the validated results of `method`, one for each time that it was called."""
        done = self("--json", *args, status=0, **options)
        for result in done.objects():
            self.schema().check_result(method, result)
        return done.objects()

    def call(self, method, /, **params):
        """rstunctl call: as Control.call."""
        done = self("--json", "call", method, json.dumps(params))
        if done.status == 0:
            result, = done.objects()
            self.schema().check_result(method, result)
            return result
        error, = done.objects(done.err)
        self.schema().check_error(error)
        assert done.status == self.schema().errors[error["data"]["kind"]]["x-exit"], done
        raise Error(error)


def socat(path, method, params=None, schema=None, timeout=30):
    """The reply's result as `socat -t5 - UNIX:PATH` brings it."""
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}})
    done = subprocess.run(["socat", "-t5", "-", f"UNIX:{path}"], input=request + "\n",
                          capture_output=True, text=True, timeout=limit(timeout), check=False)
    assert done.returncode == 0 and done.stderr == "", done
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    reply = next(r for r in replies if r.get("id") == 1)
    if schema is not None:
        schema.check_reply(reply, method)
    if "error" in reply:
        raise Error(reply["error"])
    return reply["result"]


# ---- a daemon ----

class Rstund:
    """`rstund --socket PATH --state-dir DIR ARGS`, watched by the fleet."""

    def __init__(self, fleet, *args, socket_path=None, state_dir=None, start=True, wait=True,
                 **options):
        self.fleet = fleet
        self.args = list(args)
        self.options = options
        self.socket = socket_path or os.path.join(fleet.directory(), "s")
        self.state_dir = state_dir or fleet.directory()
        self.stack = contextlib.ExitStack()
        self.process = None
        if start:
            self.start(wait)

    def start(self, ready=True):
        """`ready`: True, or what its log says when that is enough, or False."""
        self.process = self.fleet.rstund("--socket", self.socket, "--state-dir", self.state_dir,
                                         *self.args, name="daemon", ready=True, **self.options)
        if ready is True:
            self.process.wait_ready()
        elif ready:
            self.process.wait_log(ready)
        return self

    def restart(self, ready=True):
        self.process.stop()
        return self.start(ready)

    def reload(self):
        self.process.signal(signal.SIGHUP)

    def connect(self, **options):
        """A connection that is closed at the end of the test at the latest."""
        return self.stack.enter_context(Control(self.socket, **options))

    @property
    def ctl(self):
        return Ctl(self.socket)

    @property
    def state_file(self):
        return os.path.join(self.state_dir, "state.json")

    def close(self):
        self.stack.close()

    def tunnel(self, control, upstream, password=None, **mapping):
        """A server and a client within the daemon and a mapping between them, up. Returns the
        mapping and the address where it listens."""
        password = password or log_password()
        self.process.secrets.append(password)
        address = f"127.0.0.1:{net.free_port()}"
        control.call("server.add", name="front", addr=address, password=password,
                     tcp_upstream=net.text(upstream))
        control.call("client.add", name="home", server_addr=address, password=password)
        entry = ("127.0.0.1", net.free_port())
        added = control.call("mapping.add", spec=f"OUT^{net.text(entry)}^ANY", wait_ms=10000,
                             **{"name": "web", **mapping})
        return added["mapping"], entry


def as_user(uid, gid, groups=""):
    """What to put before a command line so that it runs as somebody else (root only)."""
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}",
            f"--groups={groups}" if groups else "--clear-groups", "--"]


def find(program):
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
