# SPDX-License-Identifier: MIT
"""Bad input on the control socket and on rstunctl's command line: each has its own error kind, a
message and hint that help, and an exit status. The connection goes on behind every bad line."""
import collections
import contextlib
import json
import os
import re
import socket
import stat
import threading

import pytest

from harness import net
from harness.control import RSTUNCTL, Control, Ctl, Error, as_user
from harness.daemon import RSTUND, log_password
from harness.terminal import Terminal

LINE_MAX = 256 * 1024
PING = {"jsonrpc": "2.0", "id": 1, "method": "daemon.ping"}



def request(method="daemon.ping", **members):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, **members})


def nested(depth):
    """A request of so many arrays and objects within each other."""
    return request(id=None, params=json.loads("[" * (depth - 1) + "]" * (depth - 1)))


# ---- lines ----

BAD_LINES = [
    ("not JSON", "hello", "parse_error", "not JSON"),
    ("half", '{"jsonrpc":"2.0"', "parse_error", "ends too early"),
    ("two", json.dumps(PING) + json.dumps(PING), "parse_error", "follows the end"),
    ("no UTF-8", b'{"jsonrpc":"2.0","id":"\xff"}', "parse_error", "UTF-8"),
    ("depth 33", nested(33), "parse_error", "32"),
    ("duplicate keys", '{"jsonrpc":"2.0","id":1,"id":2,"method":"daemon.ping"}', "parse_error",
     "twice"),
    ("NUL in a method", request(method="daemon.ping\0x"), "invalid_request", "NUL"),
    ("NUL in a name", '{"jsonrpc":"2.0","id\\u0000":1,"method":"daemon.ping"}', "parse_error",
     "NUL"),
    ("NUL byte", b'{"jsonrpc":"2.0",\0"id":1}', "parse_error", ""),
    ("a word", '"hello"', "invalid_request", "object"),
    ("null", "null", "invalid_request", "object"),
    ("another version", '{"jsonrpc":"1.0","id":null,"method":"daemon.ping"}', "invalid_request",
     '"2.0"'),
    ("no method", '{"jsonrpc":"2.0","id":null}', "invalid_request", "method"),
    ("an object as id", '{"jsonrpc":"2.0","id":{},"method":"daemon.ping"}', "invalid_request",
     "id"),
    ("batch of none", "[]", "invalid_request", "1 to 64"),
    ("batch of 65", json.dumps([PING] * 65), "invalid_request", "65.*1 to 64"),
    ("too long", request(pad="x" * LINE_MAX), "parse_error", "262144"),
]


@pytest.mark.parametrize("line, kind, message", [row[1:] for row in BAD_LINES],
                         ids=[row[0] for row in BAD_LINES])
def test_bad_line(control, line, kind, message):
    """One error, and the next line is served."""
    control.line(line)
    reply = control.read()
    assert "result" not in reply, reply
    error = Error(reply["error"])
    assert error.kind == kind, error
    assert_in(message, error.message)
    control.call("daemon.ping")


def assert_in(pattern, text):
    assert re.search(pattern, text), f"{pattern!r} is not in {text!r}"


def test_line_of_the_greatest_length(control):
    """256 KiB are taken, one byte more is not, and what is read is the next line."""
    line = request(id=7, pad="")
    line = line.replace('"pad": ""', '"pad": "' + "x" * (LINE_MAX - len(line)) + '"')
    assert len(line) == LINE_MAX
    control.line(line)
    assert control.read()["id"] == 7
    error = control.bad(line + " ")
    assert error.kind == "parse_error" and "262144" in error.message
    control.line("x" * (3 * LINE_MAX))
    control.line("")
    control.line("   ")
    assert control.read()["error"]["data"]["kind"] == "parse_error"
    control.call("daemon.ping")


def test_password_is_never_quoted(daemon, control):
    """Nor logged: a line that cannot be read may hold one."""
    secret = log_password()
    daemon.process.secrets.append(secret)
    for line in (f'{{"method":"client.add","password":"{secret}"',
                 request("client.add", params={"password": secret, "name": "x", "name2": secret}),
                 request("client.add", params={"name": "x", "server_addr": "1",
                                               "password": secret, "cipher": "rot13"})):
        control.line(line)
        assert secret not in json.dumps(control.read())


def test_depth(control):
    """32 are fine as JSON."""
    control.line(nested(32))
    assert control.read()["error"]["data"]["kind"] != "parse_error"


def test_batch(control):
    replies = control.batch([("daemon.ping", {})] * 63 + [("daemon.pnig", {})])
    assert all("result" in r for r in replies[:63])
    assert replies[63]["error"]["data"]["kind"] == "method_not_found"
    control.line(json.dumps([1, PING, {"jsonrpc": "2.0", "method": "daemon.ping"}]))
    replies = control.read()
    assert sorted(("result" in r) for r in replies) == [False, True], replies


def test_notification_is_not_answered(control):
    control.line('{"jsonrpc":"2.0","method":"daemon.ping"}')
    control.line('{"jsonrpc":"2.0","method":"no.such"}')
    number = control.send("daemon.ping")
    assert control.read()["id"] == number


# ---- params ----

# The field as the socket names it, and as rstunctl does, which reads the JSON itself.
Through = collections.namedtuple("Through", ["socket", "rstunctl"])

BAD_PARAMS = [
    # method, params, kind, field, in the message or hint
    ("mapping.lst", {}, "method_not_found", None, r"did you mean mapping\.list\?"),
    ("no.such.thing", {}, "method_not_found", None, r"rpc\.discover"),
    ("mapping.list", {"stat": "failed"}, "invalid_params", "stat", "did you mean.*state"),
    ("mapping.list", {"state": "tunelling"}, "invalid_params", "state", "tunneling"),
    ("mapping.list", {"state": 7}, "invalid_params", "state", ""),
    ("mapping.list", [], "invalid_params", None, "object"),
    ("mapping.get", {}, "invalid_params", None, "id.*name"),
    ("mapping.get", {"id": "m1", "name": "web"}, "invalid_params", None, "only one"),
    ("mapping.get", {"id": 1}, "invalid_params", "id", "text|string"),
    ("mapping.get", {"id": "m99"}, "not_found", None, "m99"),
    ("mapping.get", {"name": "wbe"}, "not_found", None, "did you mean web?"),
    ("mapping.get", {"name": "x\0y"}, "invalid_params", "name", "NUL"),
    ("mapping.add", {"spec": "OUT^1^2^3"}, "invalid_params", None, "column|three"),
    ("mapping.add", {}, "invalid_params", None, "spec"),
    ("mapping.add", {"spec": "OUT^1^2", "mode": "out"}, "invalid_params", None, "spec"),
    ("mapping.add", {"spec": "OUT^9000^ANY", "proto": "sctp"}, "invalid_params", "proto", "udp"),
    ("mapping.add", {"spec": "OUT^9000^ANY", "name": "m7"}, "invalid_params", "name", "id"),
    ("mapping.add", {"spec": "OUT^9000^ANY", "name": "a b"}, "invalid_params", "name", "letters"),
    ("mapping.add", {"spec": "OUT^9000^ANY", "wait_ms": -1}, "invalid_params", "wait_ms", ""),
    ("mapping.add", {"spec": "OUT^9000^ANY", "wait_ms": 1.5}, "invalid_params", "wait_ms", ""),
    ("mapping.add", {"spec": "OUT^9000^ANY", "wait_ms": 1 << 64}, "invalid_params",
     Through("wait_ms", None), "9223372036854775807|too big"),
    ("mapping.add", {"spec": "OUT^9000^ANY", "persist": "yes"}, "invalid_params", "persist",
     "true"),
    ("mapping.add", {"spec": "OUT^9000^ANY", "client": "hom"}, "not_found", None,
     "did you mean home"),
    ("mapping.add", {"spec": "OUT^9001^ANY", "name": "web"}, "already_exists", None, "rstunctl"),
    ("mapping.wait", {"name": "web", "timeout_ms": 1 << 63}, "invalid_params",
     Through("timeout_ms", None), "9223372036854775807|too big"),
    ("client.add", {"name": "n", "server_addr": "1.2.3.4:5", "password": "x", "chiper": "no"},
     "invalid_params", "chiper", "did you mean.*cipher"),
    ("client.set", {"name": "home", "config": ""}, "invalid_params", "config", "object"),
    ("client.set", {"name": "home", "config": [], "cipher": "aes-128-gcm"}, "invalid_params",
     "config", "object"),
    ("mapping.add", {"config": 7, "spec": "OUT^9000^ANY"}, "invalid_params", "config",
     "object"),
    ("client.add", {"name": "n"}, "invalid_params", "server_addr", ""),
    ("client.add", {"name": "home", "server_addr": "192.0.2.9:1", "password": "x"},
     "already_exists", None, "rstunctl client set home"),
    ("client.get", {"id": "c9"}, "not_found", None, "client list"),
    ("server.get", {"name": "x"}, "not_found", None, "server list"),
    ("session.get", {"id": "s1.9"}, "not_found", None, "session list"),
    ("flow.kill", {"id": "m1.9999"}, "not_found", None, ""),
    ("flow.kill", {}, "invalid_params", None, "exactly one"),
    ("log.set_level", {"level": "loud"}, "invalid_params", "level", "debug"),
    ("events.subscribe", {"types": ["stte"]}, "invalid_params", "types[0]", "state"),
    ("client.add", {"name": "n", "server_addr": "1.2.3.4:5", "password": "a\0b"},
     "invalid_params", "password", "NUL"),
    ("client.set", {"name": "home", "password": "a\0b"}, "invalid_params", "password", "NUL"),
    ("server.add", {"name": "n", "addr": "127.0.0.1:1", "password": "x", "cert_pem": "nonsense",
                    "key_pem": "y"}, "cert_invalid", None, "BEGIN CERTIFICATE"),
    ("server.add", {"name": "n", "addr": "127.0.0.1:1", "password": "x", "key_pem_set": True},
     "invalid_params", "key_pem", "give key_pem, or leave key_pem_set out"),
    ("server.add", {"name": "n", "addr": "127.0.0.1:1", "password_set": True},
     "invalid_params", "password", "a password is needed"),
    ("events.subscribe", {"since": {"seq": 1}}, "invalid_params", "since.epoch", ""),
    ("events.subscribe", {"mappings": ["nobody"]}, "not_found", None, "nobody"),
    ("events.unsubscribe", {"sub": 4}, "unknown_subscription", None, "4"),
    ("rpc.cancel", {"id": {}}, "invalid_params", "id", ""),
]


@pytest.fixture
def filled(daemon, control):
    """A client `home` without a server behind it, and a mapping `web`."""
    port = net.free_port()
    control.call("client.add", name="home", server_addr=f"127.0.0.1:{port}", password="secret")
    control.call("mapping.add", name="web", spec=f"OUT^127.0.0.1:{net.free_port()}^ANY")
    return control


@pytest.mark.tsan
def test_bad_params(daemon, filled):
    """Through the socket and through rstunctl, whose exit status is that of the kind."""
    ctl = daemon.ctl
    calls = {"socket": lambda m, p: filled.result(filled.send_params(m, p)),
             "rstunctl": lambda m, p: ctl.call(m, **p)}
    problems = []
    for method, params, kind, field, text in BAD_PARAMS:
        for way, call in calls.items():
            if way == "rstunctl" and not isinstance(params, dict):
                continue
            wanted = getattr(field, way) if isinstance(field, Through) else field
            try:
                problems.append(f"{way} {method} {params} was taken: {call(method, params)}")
            except Error as error:
                if error.kind != kind or (wanted and error.field != wanted) or \
                        not re.search(text, f"{error.message} {error.hint}"):
                    problems.append(f"{way} {method} {params}: {error}, field {error.field}; "
                                    f"expected {kind}, {wanted}, {text!r}")
            except (AssertionError, ValueError) as error:
                problems.append(f"{way} {method} {params}: {error}")
        filled.call("daemon.ping")
    assert not problems, "\n".join(problems)
    assert len(filled.call("mapping.list")["mappings"]) == 1


def test_exit_statuses(daemon, filled):
    """What people type: the exit status, and a sentence."""
    ctl = daemon.ctl
    taken = filled.call("mapping.get", name="web")["config"]["local"].split(":")[1]
    for args, status, text in [
            (["ping"], 0, ""),
            (["list"], 0, "web"),
            (["rm", "nothing"], 5, "there is no mapping nothing"),
            (["rm", "nothing", "--missing-ok"], 0, ""),
            (["show", "m99"], 5, "m99"),
            (["lst"], 2, "did you mean.*list"),
            (["list", "--stae", "failed"], 2, "did you mean.*--state"),
            (["add"], 2, "rstunctl help add"),
            (["add", "OUT^1^2^3"], 2, "column|parts"),
            (["add", f"OUT^127.0.0.1:{taken}^127.0.0.1:1"], 7, "listens on|exists"),
            (["add", "--name", "web", "OUT^9099^127.0.0.1:1"], 7, "exists"),
            (["add", "--client", "nobody", "OUT^9099^ANY"], 5, "nobody"),
            (["wait", "web", "--timeout", "10ms"], 6, "web|m1"),
            (["restart", "nothing"], 5, "nothing"),
            (["pause"], 2, ""),
            (["client", "rm", "home"], 1, "has 1 mapping"),
            (["call", "no.such"], 2, "no.such"),
            (["call", "mapping.lst"], 2, "mapping.list"),
            (["call", "daemon.ping", "{"], 2, "JSON"),
            (["call", "mapping.list", "sate=failed"], 2, "state"),
            (["config", "check", "/nonexistent"], 2, "/nonexistent"),
            (["--timeout", "soon", "ping"], 2, "timeout"),
            (["completion", "tcsh"], 2, "bash"),
            (["help", "nothing"], 2, "nothing")]:
        done = ctl(*args)
        assert done.status == status, f"{args}: {done}, expected {status}"
        assert_in(text, done.all)
        if status:
            assert done.err.startswith("rstunctl: "), (args, done)
            assert done.out == "", (args, done)


def test_add_that_is_not_up_in_time(daemon, filled):
    done = daemon.ctl("add", "--wait", "20ms", f"OUT^{net.free_port()}^ANY", status=6)
    assert "it stays" in done.err and "rstunctl explain" in done.err
    assert len(filled.call("mapping.list")["mappings"]) == 2


def test_server_that_cannot_listen(daemon, filled, tmp_path):
    """It is there all the same; rstunctl says so, ends with the error's status, and a health check
    finds it. What is no file of a certificate is told by the name of rstunctl's option."""
    ctl = daemon.ctl
    (tmp_path / "pw").write_text("secret\n")
    (tmp_path / "pw").chmod(0o600)
    filled.call("mapping.pause", name="web")
    assert "ok: 1 mapping: 1 paused" in ctl("status", "--check", status=0).out
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        busy = net.text(holder.getsockname())
        done = ctl("server", "add", "front", busy, "--password-file", "pw", cwd=tmp_path, status=7)
        assert "is in use" in done.err and "it stays and is tried again" in done.err, done
        assert "rstunctl server rm s1" in done.err and done.out == "", done
        done = ctl("status", "--check", status=1)
        assert done.out == "not all up: 1 mapping: 1 paused; 1 server: 1 failed\n", done
    ctl("server", "rm", "s1", status=0)
    address = f"127.0.0.1:{net.free_port()}"
    ctl("server", "add", "front", address, "--password-file", "pw", cwd=tmp_path, status=0)
    assert "; 1 server: 1 listening" in ctl("status", "--check", status=0).out
    assert re.search(rf"front +{address} +{address} +listening", ctl("server", "list").out)
    done = ctl("client", "add", "x", "127.0.0.1:1", "--password-file", "pw", "--cert", "pw",
               cwd=tmp_path)
    assert done.status != 0 and "--cert" in done.err and "cert_pem" not in done.err, done
    done = ctl("client", "add", "x", "127.0.0.1:1", status=2)
    assert "--password-file FILE or --password-stdin" in done.err, done
    assert not re.search(r"--password(?!-)", done.err), done


def test_empty_lists(daemon, control):
    """Nothing on standard output, a line beside it."""
    for words, text in ((["list"], "no mappings"), (["client", "list"], "no clients"),
                        (["server", "list"], "no servers"), (["session", "list"], "no sessions"),
                        (["flows"], "no flows"), (["cert", "list"], "no certificates")):
        done = daemon.ctl(*words, status=0)
        assert done.out == "" and text in done.err, done
        assert daemon.ctl("-q", *words, status=0).all == ""
        assert daemon.ctl("-o", "tsv", *words, status=0).all == ""


def test_narrow_terminal(daemon, filled, stack):
    """A mapping's spec and addresses are whole whatever the terminal; only errors are shortened."""
    spec = "OUT^127.0.0.1:40001^a-rather-long-name.example.com:443"
    filled.call("mapping.add", spec=spec, paused=True)
    for words in (["list"], ["-o", "wide", "list"]):
        terminal = stack.enter_context(Terminal(
            [RSTUNCTL, *words], env={"RSTUN_SOCKET": daemon.socket, "NO_COLOR": "1"}, width=60))
        assert spec in terminal.expect(rb"paused[^\n]*\n")


# ---- what the configuration owns ----

def test_defined_in_config(make_daemon, fleet, tmp_path):
    path = tmp_path / "rstund.conf"
    path.write_text(f"[client home]\nserver-addr = 127.0.0.1:{net.free_port()}\n"
                    f"password-file = {fleet.password_file('secret')}\n"
                    f"[mapping web]\nspec = OUT^127.0.0.1:{net.free_port()}^ANY\npaused = yes\n")
    daemon = make_daemon("--config", path)
    control = daemon.connect()
    mapping, = control.call("mapping.list")["mappings"]
    assert mapping["runtime"]["origin"] == "config"
    for method, params in [("mapping.remove", {"name": "web"}),
                           ("mapping.set", {"name": "web", "remote": "127.0.0.1:1"}),
                           ("mapping.add", {"name": "web", "spec": "OUT^9099^ANY"}),
                           ("client.set", {"name": "home", "cipher": "aes-128-gcm"}),
                           ("client.remove", {"name": "home", "mappings": True})]:
        error = control.error(method, **params)
        assert error.kind == "defined_in_config", (method, error)
        assert "configuration file" in error.message and "rstunctl" in error.hint, error
    assert daemon.ctl("rm", "web").status == 7
    assert not control.call("mapping.add", **mapping["config"])["created"]
    assert control.call("mapping.resume", name="web")["runtime"]["origin"] == "config"


# ---- the state file ----

class SmallDisk:
    """A daemon with a client, whose state directory is on a file system that can be filled. It is
    mounted in a namespace that ends with the daemon."""

    def __init__(self, fleet, stack):
        self.directory, self.socket = fleet.directory(), os.path.join(fleet.directory(), "s")
        program = ("import os,sys; d=sys.argv[1]\n"
                   "os.system(f'mount -t tmpfs -o size=64k,mode=700 tmpfs {d}') and sys.exit(77)\n"
                   "os.execv(sys.argv[2], sys.argv[2:])")
        process = fleet.start(["unshare", "-m", "/usr/bin/python3", "-c", program, self.directory,
                               RSTUND, "--socket", self.socket, "--state-dir", self.directory],
                              "daemon", ready=True)
        process.wait_ready()
        self.inside = f"/proc/{process.pid}/root{self.directory}"
        self.control = stack.enter_context(Control(self.socket))
        self.control.call("client.add", name="home", server_addr="127.0.0.1:1", password="secret")

    def state(self):
        with open(self.inside + "/state.json") as f:
            return f.read()

    def fill(self):
        with open(self.inside + "/filler", "wb", buffering=0) as filler:
            with contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(4096))

    def make_room(self):
        os.unlink(self.inside + "/filler")


@pytest.mark.root
def test_full_disk(fleet, stack):
    """Nothing is changed, and the state file stays what it was."""
    disk = SmallDisk(fleet, stack)
    control, before = disk.control, disk.state()
    disk.fill()
    error = control.error("mapping.add", name="web", spec=f"OUT^{net.free_port()}^ANY")
    assert error.kind == "state_write_failed" and error.retryable, error
    assert disk.directory in error.message and "No space" in error.message, error
    assert "nothing was changed" in error.message and "--no-persist" in error.hint
    assert not control.call("mapping.list")["mappings"]
    assert disk.state() == before
    ctl = Ctl(disk.socket)
    done = ctl("add", "--no-wait", f"OUT^{net.free_port()}^ANY")
    assert done.status == 1 and "No space" in done.err and "--no-persist" in done.err, done
    assert ctl("add", "--no-wait", "--no-persist", f"OUT^{net.free_port()}^ANY").status == 0
    disk.make_room()
    assert control.call("mapping.add", name="web", spec=f"OUT^{net.free_port()}^ANY")["created"]
    assert "web" in disk.state()
    assert not [n for n in os.listdir(disk.inside) if "tmp" in n]


# ---- sockets ----

def test_two_daemons_on_one_path(daemon, fleet):
    status, output = fleet.run("--socket", daemon.socket, "--state-dir", fleet.directory())
    assert status == 1 and daemon.socket in output and str(daemon.process.pid) in output, output
    daemon.connect().call("daemon.ping")


def test_two_daemons_on_one_state_directory(daemon, fleet):
    """The second one goes on without, and says so."""
    path = os.path.join(fleet.directory(), "s")
    process = fleet.rstund("--socket", path, "--state-dir", daemon.state_dir, ready=True)
    process.wait_ready()
    process.wait_log(r"lost when it ends.*in use by another rstund")
    with Control(path) as control:
        kinds = [w["kind"] for w in control.call("daemon.status")["warnings"]]
    assert kinds == ["no_state"]


def test_no_socket_at_path(fleet, tmp_path):
    """A file that is no socket is not removed."""
    (tmp_path / "file").write_text("mine")
    status, output = fleet.run("--socket", tmp_path / "file", "--state-dir", fleet.directory())
    assert status == 1 and "is no socket" in output
    assert (tmp_path / "file").read_text() == "mine"
    status, output = fleet.run("--socket", tmp_path / ("x" * 108), "--state-dir",
                               fleet.directory())
    assert status == 2 and "at most 107" in output


def test_stale_socket(fleet, make_daemon):
    """What a killed daemon leaves behind is taken over."""
    daemon = make_daemon()
    daemon.process.kill()
    assert stat.S_ISSOCK(os.stat(daemon.socket).st_mode)
    done = daemon.ctl("ping")
    assert done.status == 3 and "nobody listens" in done.err, done
    daemon.start()
    daemon.connect().call("daemon.ping")
    assert stat.S_IMODE(os.stat(daemon.socket).st_mode) == 0o660


def test_no_daemon(tmp_path):
    """Every path that was tried, and why."""
    done = Ctl(str(tmp_path / "none"))("list")
    assert done.status == 3 and str(tmp_path / "none") in done.err
    assert "$RSTUN_SOCKET" in done.err and "no such socket" in done.err
    done = Ctl(None)("--socket", tmp_path / "none", "list")
    assert done.status == 3 and "--socket" in done.err
    done = Ctl(str(tmp_path / "none"))("--json", "list")
    error, = done.objects(done.err)
    assert done.status == 3 and error["data"]["kind"] == "no_daemon"
    assert Ctl(str(tmp_path / "none"))("status", "--check").status == 3


@pytest.mark.root
def test_no_permission(daemon, programs):
    """Somebody else: the file's mode keeps him out, and says so."""
    os.chmod(os.path.dirname(daemon.socket), 0o755)
    somebody = Ctl(daemon.socket, prefix=as_user(65534, 65534), program=programs + "/rstunctl")
    done = somebody("list")
    assert done.status == 4 and daemon.socket in done.err and "may not" in done.err, done
    assert "hint: " in done.err
    error, = somebody("--json", "list").objects(somebody("--json", "list").err)
    assert error["data"]["kind"] == "permission_denied"
    # Who gets in all the same (somebody opened the file up) is told by the daemon.
    os.chmod(daemon.socket, 0o666)
    done = somebody("list")
    assert done.status == 4 and "hint: " in done.err, done
    daemon.connect().call("daemon.ping")


# ---- another version ----

class OtherDaemon:
    """Speaks API 2: has daemon.info, daemon.ping, and no other method."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(path)
        self.socket.listen()
        self.methods = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            with conn, conn.makefile("rw") as file:
                for line in file:
                    file.write(json.dumps(self.answer(json.loads(line))) + "\n")
                    file.flush()

    def answer(self, message):
        self.methods.append(message["method"])
        reply = {"jsonrpc": "2.0", "id": message["id"], "x-new": 1}
        if message["method"] == "daemon.info":
            reply["result"] = {"software": "rstund", "version": "9.9.9", "api_version": 2,
                               "pid": 1, "quantum": True}
        elif message["method"] == "daemon.ping":
            reply["result"] = {"timestamp": "2030-01-01T00:00:00Z", "uptime_ms": 1, "mood": "good"}
        elif message["method"] == "mapping.remove":
            reply["error"] = {"code": 2000, "message": "the moon is wrong",
                              "data": {"kind": "moon_phase", "retryable": True, "moon": 1}}
        else:
            reply["error"] = {"code": -32601, "message": "there is no method " + message["method"],
                              "data": {"kind": "method_not_found", "retryable": False}}
        return reply

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(5)


def test_another_api_version(tmp_path, stack):
    path = str(tmp_path / "s")
    stack.callback(OtherDaemon(path).close)
    ctl = Ctl(path)
    done = ctl("pause", "web")
    assert done.status == 2 and "API 2" in done.err and "rstunctl version" in done.err, done
    assert "mapping.pause" in done.err
    done = ctl("list")
    assert done.status == 2 and "hint: " in done.err and "version" in done.err, done
    assert ctl("ping").status == 0     # unknown members are nobody's business
    done = ctl("version")
    assert done.status == 0 and "9.9.9" in done.out, done
    done = ctl("rm", "web")            # a kind that is not known here
    assert done.status == 1 and "the moon is wrong" in done.err, done
    error, = [o for o in ctl("--json", "-q", "rm", "web").objects(
        ctl("--json", "-q", "rm", "web").err)]
    assert error["data"]["kind"] == "moon_phase"


def test_a_daemon_that_does_not_answer(tmp_path, stack):
    """Time runs out on this side."""
    path = str(tmp_path / "s")
    listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    listener.bind(path)
    listener.listen()
    done = Ctl(path)("--timeout", "50ms", "list")
    assert done.status == 6 and "in time" in done.err, done


# ---- limits of the socket ----

def test_connections(daemon):
    """16 of a user; the next one is told why not."""
    connections = [daemon.connect(schema=False) for _ in range(16)]
    for control in connections:
        control.call("daemon.ping")
    more = daemon.connect(schema=False)
    reply = more.read()
    assert reply["id"] is None and reply["error"]["data"]["kind"] == "limit_reached", reply
    assert more.read() is None
    done = daemon.ctl("ping")
    assert done.status == 1 and "16" in done.err, done
    connections[0].close()
    connections[1].call("daemon.ping")
    assert daemon.ctl("ping").status == 0
