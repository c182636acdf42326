# SPDX-License-Identifier: MIT
"""What outlives what: mappings and restarts, connections and what hangs on them, configuration
files and reloads, sockets and who may use them."""
import glob
import json
import os
import re
import signal
import stat

import pytest

from harness import net
from harness.control import Control, Ctl, as_user
from harness.daemon import RSTUND, limit, log_password, read_until

NOBODY = 65534
TRYING = r"\[home\] OUT"  # a mapping that was restored or configured is on its way


def spec():
    return f"OUT^127.0.0.1:{net.free_port()}^ANY"


def names(control, **filters):
    return sorted(m["config"].get("name", m["id"])
                  for m in control.call("mapping.list", **filters)["mappings"])


@pytest.fixture
def home(control):
    """A client without a server behind it."""
    control.call("client.add", name="home", server_addr=f"127.0.0.1:{net.free_port()}",
                 password="secret")
    return control


# ---- the state file ----

@pytest.mark.tsan
def test_restart(daemon, control, tcp_upstream):
    """Clients, servers and mappings come back; ids may be others, names and options stay."""
    upstream = tcp_upstream(net.echo)
    mapping, entry = daemon.tunnel(control, upstream.address)
    control.call("mapping.add", name="udp", proto="udp", spec=spec().replace("ANY", "127.0.0.1:9"),
                 expires_ms=3600000)
    control.call("mapping.add", name="off", spec=spec(), paused=True)
    control.call("mapping.add", name="temporary", spec=spec(), persist=False)
    before = {m["config"]["name"]: m for m in control.call("mapping.list")["mappings"]}
    roles = [control.call(f"{role}.list") for role in ("client", "server")]
    epoch = control.call("daemon.info")["epoch"]
    assert stat.S_IMODE(os.stat(daemon.state_file).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(daemon.state_dir).st_mode) == 0o700
    daemon.restart()
    control = daemon.connect()
    assert control.call("daemon.info")["epoch"] != epoch
    after = {m["config"]["name"]: m for m in control.call("mapping.list")["mappings"]}
    assert set(after) == {"web", "udp", "off"}
    for name, m in after.items():
        assert m["config"] == before[name]["config"]
        assert m["runtime"]["origin"] == "state"
    assert after["off"]["runtime"]["state"] == "paused"
    assert after["udp"]["runtime"]["expires"] == before["udp"]["runtime"]["expires"]
    for role, old in zip(("client", "server"), roles):
        new = control.call(f"{role}.list")
        assert [t["config"] for t in new[role + "s"]] == [t["config"] for t in old[role + "s"]]
    control.call("mapping.wait", name="web")
    with net.connect(entry) as conn:
        net.round_trip(conn, b"x")
    control.call("mapping.remove", name="web")
    control.call("client.remove", name="home", mappings=True)
    daemon.restart()
    control = daemon.connect()
    assert names(control) == [] and not control.call("client.list")["clients"]
    assert len(control.call("server.list")["servers"]) == 1


def test_kill_loses_nothing(daemon, home):
    """What was answered is on the disk."""
    for i in range(5):
        home.call("mapping.add", name=f"n{i}", spec=spec())
    daemon.process.kill()
    daemon.start(TRYING)
    assert names(daemon.connect()) == [f"n{i}" for i in range(5)]


def test_pause_survives_a_restart(make_daemon, fleet, tmp_path):
    """Also that of a mapping of the configuration file, which is not written to."""
    path = tmp_path / "conf"
    path.write_text(f"[client home]\nserver-addr = 127.0.0.1:{net.free_port()}\n"
                    f"password-file = {fleet.password_file('secret')}\n"
                    f"[mapping web]\nspec = {spec()}\n[mapping off]\nspec = {spec()}\n"
                    "paused = yes\n")
    text = path.read_text()
    daemon = make_daemon("--config", path, wait=TRYING)
    control = daemon.connect()
    control.call("mapping.pause", name="web")
    assert names(control, state="paused") == ["off", "web"]
    daemon.restart()
    control = daemon.connect()
    assert names(control, state="paused") == ["off", "web"]
    control.call("mapping.resume", name="web")
    daemon.restart(TRYING)
    assert names(daemon.connect(), state="paused") == ["off"]
    assert path.read_text() == text


def test_corrupt_state_file(make_daemon):
    """Is moved aside and told, not overwritten."""
    daemon = make_daemon(start=False)
    with open(os.open(daemon.state_file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
        f.write('{"schema_version":1,"clients":[')
    daemon.start()
    match = daemon.process.wait_log(r"state\.json is damaged \(.*\): it is now (\S+),")
    aside = os.path.join(daemon.state_dir, match.group(1))
    assert open(aside).read() == '{"schema_version":1,"clients":['
    control = daemon.connect()
    control.call("client.add", name="home", server_addr="127.0.0.1:1", password="secret")
    assert json.load(open(daemon.state_file))["clients"][0]["name"] == "home"


def test_state_file_of_a_newer_version(make_daemon):
    daemon = make_daemon(start=False)
    with open(os.open(daemon.state_file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
        f.write('{"schema_version":99}')
    daemon.start(ready=False)
    daemon.process.wait_log(r"newer rstund \(schema version 99")
    daemon.process.expect_exit(1)
    assert open(daemon.state_file).read() == '{"schema_version":99}'
    assert os.listdir(daemon.state_dir) == ["state.json"] or \
        not glob.glob(daemon.state_file + ".corrupt*")


def test_state_file_that_others_can_read(daemon, home):
    """Is refused with the command that mends it."""
    home.call("mapping.add", name="web", spec=spec())
    daemon.process.stop()
    os.chmod(daemon.state_file, 0o644)
    daemon.start(ready=False)
    match = daemon.process.wait_log(r"others can read it: run (chmod 600 '[^']+')")
    daemon.process.expect_exit(1)
    assert os.system(match.group(1)) == 0
    daemon.start(TRYING)
    assert names(daemon.connect()) == ["web"]


def test_state_directory_that_cannot_be(fleet, tmp_path):
    """A warning that names what is lost; the daemon runs."""
    (tmp_path / "file").write_text("")
    path = os.path.join(fleet.directory(), "s")
    process = fleet.rstund("--socket", path, "--state-dir", tmp_path / "file/state", ready=True)
    process.wait_ready()
    process.wait_log(r"warn .*lost when it ends.*--state-dir")
    with Control(path) as control:
        control.call("client.add", name="home", server_addr="127.0.0.1:1", password="secret")
        client, = control.call("client.list")["clients"]
        assert client["runtime"]["origin"] == "runtime"
        assert [w["kind"] for w in control.call("daemon.status")["warnings"]] == ["no_state"]


# ---- lifetimes ----

def test_lifetime_connection(daemon, home):
    """A mapping that hangs on a connection goes with it, and is not in the state file."""
    home.subscribe(types=["mapping"], snapshot="never")
    with daemon.connect() as other:
        other.call("mapping.add", name="mine", spec=spec(), lifetime="connection")
        other.call("mapping.add", name="stays", spec=spec())
        home.event(type="mapping", data="added", name="mine")
        assert "mine" not in open(daemon.state_file).read()
    home.event(type="mapping", data="removed", name="mine")
    assert names(home) == ["stays"]


def test_run(daemon, home):
    """rstunctl run: until Ctrl-C, or until it is killed."""
    home.subscribe(types=["mapping"], snapshot="never")
    for number, status in ((signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -9)):
        process = daemon.ctl.start("run", "--name", "mine", spec())
        home.event(type="mapping", data="added", name="mine")
        read_until(process.stdout.fileno(), rb"connecting")
        process.send_signal(number)
        home.event(type="mapping", data="removed", name="mine")
        _, err = process.communicate(timeout=limit(20))
        assert process.returncode == status, (number, err)


def test_expires(home):
    home.subscribe(types=["mapping"], snapshot="never")
    added = home.call("mapping.add", name="short", spec=spec(), expires_ms=50)
    assert added["mapping"]["runtime"]["expires"]
    event = home.event(type="mapping", data="removed", name="short")
    assert "time" in json.dumps(event), event
    assert names(home) == []


def test_expires_while_the_daemon_is_down(daemon, home):
    home.call("mapping.add", name="short", spec=spec(), expires_ms=60000)
    daemon.process.stop()
    state = json.load(open(daemon.state_file))
    text = json.dumps(state)
    year = re.search(r'"expires[^"]*": "(20\d\d)-', text)
    if year:
        text = text.replace(f'"{year.group(1)}-', '"2001-')
    else:
        text = re.sub(r'("expires[a-z_]*": )(\d{13,})', r"\g<1>1000000000000000", text)
    with open(daemon.state_file, "w") as f:
        f.write(text)
    daemon.start()
    control = daemon.connect()
    control.subscribe(types=["mapping"], snapshot="never")
    if names(control):
        control.event(type="mapping", data="removed", name="short")


# ---- the configuration file ----

def write_config(path, fleet, **mappings):
    path.write_text(f"[client home]\nserver-addr = 127.0.0.1:1\n"
                    f"password-file = {fleet.password_file('secret')}\n" +
                    "".join(f"[mapping {name}]\nspec = {text}\npaused = yes\n"
                            for name, text in mappings.items()))


def test_hup(make_daemon, fleet, tmp_path):
    """Reads the file anew; what was added at run time is left alone. A wrong file is told."""
    path = tmp_path / "conf"
    one, two = spec(), spec()
    write_config(path, fleet, one=one)
    daemon = make_daemon("--config", path)
    control = daemon.connect()
    control.call("mapping.add", name="mine", spec=spec(), paused=True)
    first = control.call("mapping.get", name="one")["id"]
    control.subscribe(snapshot="never")
    write_config(path, fleet, one=one, two=two)
    daemon.reload()
    control.event(type="mapping", data="added", name="two")
    assert names(control) == ["mine", "one", "two"]
    assert control.call("mapping.get", name="one")["id"] == first
    path.write_text("[client home]\nnonsense = 1\n")
    mark = daemon.process.mark()
    daemon.reload()
    daemon.process.wait_log(re.escape(str(path)) + r":2: .*nonsense", since=mark)
    assert names(control) == ["mine", "one", "two"]
    write_config(path, fleet, two=two)
    daemon.reload()
    control.event(type="mapping", data="removed", name="one")
    assert names(control) == ["mine", "two"]


def test_reload_keeps_flows(make_daemon, fleet, tmp_path, tcp_upstream):
    upstream = tcp_upstream(net.echo)
    path = tmp_path / "conf"
    port, entry = net.free_port(), ("127.0.0.1", net.free_port())
    password = fleet.password_file(log_password())
    text = (f"[server front]\naddr = 127.0.0.1:{port}\npassword-file = {password}\n"
            f"tcp-upstream = {net.text(upstream.address)}\n"
            f"[client home]\nserver-addr = 127.0.0.1:{port}\npassword-file = {password}\n"
            f"[mapping web]\nspec = OUT^{net.text(entry)}^ANY\n")
    path.write_text(text)
    daemon = make_daemon("--config", path)
    control = daemon.connect()
    with net.connect(entry) as conn:
        net.round_trip(conn, b"before")
        path.write_text(text + f"[mapping two]\nspec = {spec()}\npaused = yes\n")
        done = control.call("daemon.reload")
        assert done["added"] == ["mapping two"] and done["unchanged"] == 3, done
        net.round_trip(conn, b"after")


def test_check_config(fleet, tmp_path):
    path = tmp_path / "conf"
    write_config(path, fleet, one=spec())
    assert fleet.run("--config", path, "--check-config")[0] == 0
    path.write_text("[client home]\nserver-adr = 127.0.0.1:1\n[mapping x]\nspec = OUT^1^2^3\n"
                    "[sever y]\n")
    status, output = fleet.run("--config", path, "--check-config")
    assert status == 1, output
    assert re.search(re.escape(str(path)) + r":2: .*did you mean server-addr", output), output
    assert f"{path}:4: " in output and f"{path}:5: " in output, output
    status, output = fleet.run("--config", tmp_path / "none", "--check-config")
    assert status == 1 and str(tmp_path / "none") in output
    status, output = fleet.run("--config", path, "--socket", fleet.directory() + "/s",
                               "--state-dir", fleet.directory())
    assert status == 1 and f"{path}:2: " in output


# ---- the end ----

def test_shutdown_drains(daemon, control, tcp_upstream):
    """What is open may end; then the daemon does."""
    upstream = tcp_upstream(net.echo)
    _, entry = daemon.tunnel(control, upstream.address)
    control.subscribe(types=["daemon"], snapshot="never")
    other = daemon.connect()
    with net.connect(entry) as conn:
        net.round_trip(conn, b"x")
        result = other.call("daemon.shutdown", drain_ms=60000)
        assert result["flows"] == 2 and result["drain_ms"] == 60000
        control.event(type="daemon", data="draining")
        net.round_trip(conn, b"still there")
        net.wait_refused(entry)
        assert control.error("mapping.add", spec=spec()).kind == "shutting_down"
    daemon.process.expect_exit(0)
    control.wait_end()
    assert not os.path.exists(daemon.socket)
    daemon.start()
    assert names(daemon.connect()) == ["web"]


def test_second_term_ends_at_once(daemon, control, tcp_upstream):
    upstream = tcp_upstream(net.echo)
    _, entry = daemon.tunnel(control, upstream.address)
    with net.connect(entry) as conn:
        net.round_trip(conn, b"x")
        control.call("daemon.shutdown", drain_ms=3600000)
        daemon.process.signal(signal.SIGTERM)
        daemon.process.signal(signal.SIGTERM)
        daemon.process.expect_exit(0)


def test_stop(daemon, home):
    done = daemon.ctl("stop", status=0)
    assert "ends" in done.out
    daemon.process.expect_exit(0)
    assert daemon.ctl("list").status == 3


# ---- default sockets ----

# A mount namespace in which /run is empty, so that no daemon of the machine is seen.
EMPTY_RUN = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o mode=755 tmpfs /run && exec "$@"',
             "sh"]


class Runtime:
    """An $XDG_RUNTIME_DIR of a user who is not root, and programs run by him."""

    def __init__(self, fleet, programs):
        self.fleet = fleet
        self.directory = fleet.directory()
        self.programs = programs
        self.prefix = []
        if os.geteuid() == 0:
            os.chown(self.directory, NOBODY, NOBODY)
            self.prefix = [*EMPTY_RUN, *as_user(NOBODY, NOBODY)]
        self.env = {"XDG_RUNTIME_DIR": self.directory, "XDG_STATE_HOME": self.directory + "/state"}
        self.socket = self.directory + "/rstund/rstund.sock"

    def start(self, *args, ready=True):
        process = self.fleet.start([*self.prefix, self.programs + "/rstund", *map(str, args)],
                                   "daemon", ready=True, env=self.env)
        return process.wait_ready() if ready else process

    def server(self, *args):
        return self.start("server", "-a", f"127.0.0.1:{net.free_port()}", "-p", "secret", *args)

    def ctl(self, *args, env=None, **options):
        return Ctl(None, env={**self.env, **(env or {})}, prefix=self.prefix,
                   program=self.programs + "/rstunctl")(*args, **options)


@pytest.fixture
def runtime(fleet, programs):
    return Runtime(fleet, programs)


def test_default_sockets(runtime):
    """The first role has the default path, the next ones names beside it; an explicit path that
    is taken is an error. rstunctl sees them all, and changes nothing until it is told which."""
    done = runtime.ctl("list")
    assert runtime.socket in done.err and "/run/rstund/rstund.sock" in done.err
    assert done.status == 3 or os.geteuid() != 0, done
    first = runtime.server()
    assert os.path.exists(runtime.socket)
    done = runtime.ctl("--json", "info", status=0)
    assert done.objects()[0]["pid"] == first.pid
    assert runtime.ctl("log", "level", "debug").status == 0
    second = runtime.server()
    beside = f"{runtime.directory}/rstund/rstund-{second.pid}.sock"
    second.wait_log(re.escape(f"another rstund serves {runtime.socket}; control socket: {beside}"))
    done = runtime.ctl("--json", "-q", "--socket", beside, "info", status=0)
    assert done.objects()[0]["pid"] == second.pid
    for change in (["stop"], ["add", "OUT^9099^ANY"], ["call", "daemon.shutdown"]):
        done = runtime.ctl(*change)
        assert done.status == 2 and runtime.socket in done.err and beside in done.err, done
        assert "--socket" in done.err
    done = runtime.ctl("server", "list", status=0)      # looking is about one, and says so
    assert f"this is about {runtime.socket}" in done.err and beside in done.err, done
    third = runtime.start("server", "-a", f"127.0.0.1:{net.free_port()}", "-p", "secret",
                          "--socket", beside, ready=False)
    third.expect_exit(1)
    assert beside in third.log()
    assert runtime.ctl("stop", env={"RSTUN_SOCKET": beside}).status == 0
    second.expect_exit(0)
    assert not os.path.exists(beside)
    assert runtime.ctl("stop").status == 0
    first.expect_exit(0)
    assert os.listdir(runtime.directory + "/rstund") == []


def test_role_without_a_place_for_its_socket(fleet, runtime):
    """Runs all the same, and says so in one line."""
    runtime.env["XDG_RUNTIME_DIR"] = "/proc/nowhere"
    process = runtime.server()
    process.wait_log(r"info .*no control socket: ")


@pytest.mark.root
def test_default_socket_of_root(fleet):
    """Root has one place, whatever $XDG_RUNTIME_DIR says."""
    env = {"XDG_RUNTIME_DIR": fleet.directory(), "RSTUN_SOCKET": ""}
    process = fleet.start([*EMPTY_RUN, RSTUND, "--state-dir", fleet.directory()], "daemon",
                          ready=True, env=env)
    process.wait_ready()
    info = os.stat(f"/proc/{process.pid}/root/run/rstund/rstund.sock")
    assert stat.S_ISSOCK(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o660
    ctl = Ctl(None, env=env, prefix=["nsenter", "-t", process.pid, "-m", "--"])
    assert ctl("--json", "info", status=0).objects()[0]["pid"] == process.pid
    status, _ = fleet.run("--state-dir", fleet.directory(), env={"RSTUN_SOCKET": "/proc/x"})
    assert status == 1


# ---- who may ----

@pytest.mark.root
def test_admin_group(fleet, programs):
    directory = fleet.directory()
    os.chmod(directory, 0o755)
    path = directory + "/s"
    process = fleet.rstund("--socket", path, "--state-dir", fleet.directory(), "--admin-group",
                           "4242", ready=True)
    process.wait_ready()
    info = os.stat(path)
    assert info.st_gid == 4242 and stat.S_IMODE(info.st_mode) == 0o660
    for gid, groups, status in ((4242, "", 0), (NOBODY, "4242", 0), (NOBODY, "", 4)):
        ctl = Ctl(path, prefix=as_user(NOBODY, gid, groups), program=programs + "/rstunctl")
        assert ctl("log", "level", "info").status == status, (gid, groups)
    process.wait_log(rf"audit\] uid {NOBODY}, pid \d+: log.set_level level=info", count=2)


@pytest.mark.root
def test_monitor_group(fleet, programs):
    """A second socket for those who may look and not touch."""
    directory = fleet.directory()
    os.chmod(directory, 0o755)
    path = directory + "/rstund.sock"
    process = fleet.rstund("--socket", path, "--state-dir", fleet.directory(), "--monitor-group",
                           "4243", ready=True)
    process.wait_ready()
    read_only = directory + "/rstund-ro.sock"
    info = os.stat(read_only)
    assert info.st_gid == 4243 and stat.S_IMODE(info.st_mode) == 0o660
    with Control(read_only) as control:     # even root
        assert control.call("daemon.info")["right"] == "read"
        for method in control.schema.methods.values():
            if method["x-change"]:
                error = control.error(method["name"], **method["x-example"])
                assert error.kind == "permission_denied" and error.hint, method["name"]
        control.call("events.subscribe")
        schema = control.schema
    monitor = Ctl(read_only, schema, prefix=as_user(NOBODY, 4243), program=programs + "/rstunctl")
    monitor.json("daemon.info", "info")
    assert monitor("list").status == 0
    done = monitor("stop")
    assert done.status == 4 and "for reading only" in done.err and "hint: " in done.err, done
    assert Ctl(path, prefix=as_user(NOBODY, 4243),
               program=programs + "/rstunctl")("list").status == 4
    stranger = Ctl(read_only, prefix=as_user(NOBODY, NOBODY), program=programs + "/rstunctl")
    assert stranger("list").status == 4


# ---- the log ----

def test_audit(daemon, home):
    """Who changed what, and never a secret."""
    secret = log_password()
    daemon.process.secrets.append(secret)
    home.call("client.set", name="home", password=secret)
    home.call("mapping.add", name="web", spec=spec())
    assert home.error("mapping.add", name="web", spec=spec()).kind == "already_exists"
    home.call("mapping.list")
    uid, pid = os.geteuid(), os.getpid()
    daemon.process.wait_log(rf"info +\[audit\] uid {uid}, pid {pid}: client\.set name=home: done$")
    daemon.process.wait_log(rf"info +\[audit\] uid {uid}, pid {pid}: mapping\.add .*name=web: done$")
    daemon.process.wait_log(r"mapping\.add .*name=web: refused \(already_exists\)$")
    assert not daemon.process.find_log("mapping.list")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_flow_log(make_daemon, tcp_upstream, log_format):
    """A line for each flow that ended: who, where to, how much, how long."""
    upstream = tcp_upstream(net.echo)
    daemon = make_daemon("--flow-log", "--log-format", log_format)
    control = daemon.connect()
    _, entry = daemon.tunnel(control, upstream.address)
    with net.connect(entry) as conn:
        peer = net.text(conn.getsockname())
        net.round_trip(conn, b"x" * 1000)
    target = net.text(upstream.address)
    client = daemon.process.wait_log(rf"flow from {peer} to (ANY|{target}) ended .*1000 bytes in, 1000 out.*")
    server = daemon.process.wait_log(rf"flow to {target} ended .*1000 bytes in.*")
    for match in (client, server):
        if log_format == "json":
            assert json.loads(match.string)["level"] == "info"
        else:
            assert re.match(r"\S+Z info +\[(home|front)\] ", match.string)
