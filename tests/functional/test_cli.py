# SPDX-License-Identifier: MIT
"""The command line: help, version, usage errors, where passwords come from, start-up failures."""
import fcntl
import os
import pty
import re
import subprocess

import pytest

from harness import net
from harness.daemon import RSTUND, limit, log_password, read_until

DAEMON = {"socket": None, "admin-group": None, "monitor-group": None, "drain-ms": None,
          "log-format": None, "flow-log": None}
OPTIONS = {
    "server": {
        "addr": "a", "password": "p", "password-file": None, "tcp-upstream": "t",
        "udp-upstream": "u", "cert": "c", "key": "k", "workers": "w", "quic-timeout-ms": None,
        "tcp-timeout-ms": None, "udp-timeout-ms": None, "loglevel": "l", "state-dir": None,
        "ready-fd": None, "exit-on-failure": None, "max-idle-ms": None, "proxy-protocol": None,
        "proxy-protocol-in": None, **DAEMON,
    },
    "client": {
        "server-addr": "a", "password": "p", "password-file": None, "tcp-mappings": "t",
        "udp-mappings": "u", "cert": "c", "pin": None, "cipher": "e", "workers": "w",
        "wait-before-retry-ms": "r", "quic-timeout-ms": None, "tcp-timeout-ms": None,
        "udp-timeout-ms": None, "heartbeat-interval-ms": None, "heartbeat-timeout-ms": None,
        "hop-interval-ms": None, "proxy-auth": None, "proxy-auth-file": None,
        "permit-remote-open": None, "dot": None,
        "dns": None, "sni-names": None, "loglevel": "l",
        "state-dir": None, "ready-fd": None, "exit-on-failure": None, **DAEMON,
    },
}


# ---- help and version ----

def test_help(fleet):
    status, output = fleet.run("--help")
    assert status == 0
    for word in ("server", "client", "--help", "--version", "--config", "--check-config",
                 *(f"--{name}" for name in DAEMON)):
        assert word in output


@pytest.mark.parametrize("role", ["server", "client"])
def test_help_of_a_role(fleet, role):
    status, output = fleet.run(role, "--help")
    assert status == 0
    for name, short in OPTIONS[role].items():
        assert re.search((rf"-{short}, " if short else "") + rf"--{name}\b", output), name
    assert all(len(line) <= 100 for line in output.split("\n"))
    for alias in ([role[0], "--help"], [role, "-h"]):
        assert fleet.run(*alias) == (0, output), alias


def test_version(fleet):
    for option in ("--version", "-V"):
        status, output = fleet.run(option)
        assert status == 0
        assert re.search(r"rstund \d+\.\d+\.\d+", output)
        assert re.search(r"ngtcp2 1\.\d+\.\d+.*(static|shared)", output)


# ---- usage errors: status 2 and a sentence that helps ----

USAGE = [
    (["sever"], r"sever.*server"),
    (["--check-config"], r"--check-config.*--config FILE"),
    (["--cofnig", "x"], r"--cofnig.*did you mean.*--config"),
    (["-a", "1", "server"], r"-a.*role.*first"),
    (["server", "--config", "x"], r"--config"),
    (["server", "--passwrod", "x"], r"--passwrod.*did you mean.*--password"),
    (["client", "--tcp-maping", "x"], r"--tcp-maping\b.*did you mean.*--tcp-mappings"),
    (["server", "-x"], r"-x"),
    (["server", "-a"], r"-a|--addr"),
    (["server", "-p", "x", "stray"], r"stray"),
    (["server", "-p", "x", "-a", "127.0.0.1:99999"], r"--addr.*column 11"),
    (["server", "-p", "x", "-a", "example.org:1"], r"--addr.*host name"),
    (["server", "-p", "x", "-t", "127.0.0.1:0"], r"--tcp-upstream.*0.*1\.\.65535"),
    (["server", "-p", "x", "-w", "many"], r"--workers.*many.*0 to"),
    (["server", "-p", "x", "-l", "loud"], r"--loglevel.*loud.*T.*D.*I.*W.*E"),
    (["server", "-p", "x", "--quic-timeout-ms", "soon"],
     r"--quic-timeout-ms.*soon.*milliseconds.*0 to \d+"),
    (["server", "-p", "x", "--udp-timeout-ms", "-1"], r"--udp-timeout-ms.*-1"),
    (["server", "-p", "x", "--tcp-timeout-ms", "99999999999999999999"], r"--tcp-timeout-ms"),
    (["server", "-p", "x", "-c", "cert.pem"], r"--cert.*--key|--key.*--cert"),
    (["server", "-p", "x", "-k", "key.pem"], r"--cert.*--key|--key.*--cert"),
    (["server", "-p", ""], r"empty password"),
    (["server", "-a", "0"], r"--password-file"),
    (["client", "-a", "1", "-t", "OUT^0^ANY"], r"--password-file"),
    (["client", "-p", "x", "-t", "OUT^1^ANY"], r"--server-addr|-a\b"),
    (["client", "-a", "1", "-p", "x"], r"--tcp-mappings|mapping"),
    (["client", "-a", "1", "-p", "x", "-t", ""], r"mapping"),
    (["client", "-a", "1", "-p", "x", "-e", "rot13", "-t", "OUT^1^ANY"],
     r"--cipher.*rot13.*chacha20-poly1305.*aes-256-gcm.*aes-128-gcm.*auto"),
    (["client", "-a", "1", "-p", "x", "--pin", "sha256/short", "-t", "OUT^1^ANY"], r"--pin"),
    (["client", "-a", "1", "-p", "x", "--sni-names", "1.2.3.4", "-t", "OUT^1^ANY"],
     r"--sni-names.*1\.2\.3\.4"),
    (["client", "-a", "no spaces:1", "-p", "x", "-t", "OUT^1^ANY"], r"--server-addr.*column"),
    (["client", "-a", "1", "-p", "x", "-t", "OUT^90000^ANY"],
     r"--tcp-mappings.*OUT\^90000\^ANY.*90000.*column 5.*65535"),
    (["client", "-a", "1", "-p", "x", "-u", "OUT^1^ANY,BOTH^1^2"],
     r"--udp-mappings.*BOTH.*column \d+.*OUT.*IN|--udp-mappings.*BOTH.*neither OUT nor IN"),
    (["client", "-a", "1", "-p", "x", "-t", "IN^1^ANY"], r"ANY.*column 6"),
    (["client", "-a", "1", "-p", "x", "-t", "OUT^1"], r"column \d+"),
    (["client", "-a", "1", "-p", "x", "-t", "OUT^1^2^3"], r"column \d+"),
    (["client", "-a", "1", "-p", "x", "-t", "IN^1^192.0.2.1:80"], r"192\.0\.2\.1:80.*column 6"),
    (["client", "-a", "1", "-p", "x", "-t", "OUT^1^,OUT^2^ANY"], r"column \d+"),
    (["client", "-a", "1", "-p", "x", "-t", "OUT^example.org:1^ANY"], r"example\.org.*column 5"),
]


@pytest.mark.parametrize("args,pattern", USAGE, ids=[" ".join(a) or "nothing" for a, _ in USAGE])
def test_usage_error(fleet, args, pattern):
    status, output = fleet.run(*args)
    assert status == 2, output
    assert re.search(pattern, output.replace("\n", " ")), output


def test_values_with_units(fleet):
    port = net.free_port()
    password = log_password()
    server = fleet.role("server", "-a", port, "--quic-timeout-ms", "45s", "--udp-timeout-ms=1m",
                        password=password)
    server.wait_ready()


# ---- passwords ----

def test_literal_password_is_wiped(fleet):
    password = log_password()
    port = net.free_port()
    server = fleet.rstund("server", "-a", port, "-p", password, "--state-dir", fleet.directory(),
                          ready=True, secrets=[password])
    server.wait_ready()
    assert password.encode() not in server.proc("cmdline")
    assert server.find_log(r"(?i)warn.*password")
    client = fleet.rstund("client", "-a", f"127.0.0.1:{port}", f"--password={password}", "-t",
                          f"OUT^{net.free_port()}^127.0.0.1:9", "--state-dir", fleet.directory(),
                          ready=True, secrets=[password])
    client.wait_ready()
    assert password.encode() not in client.proc("cmdline")
    other = fleet.rstund("client", "-a", f"127.0.0.1:{port}", f"-p{password}", "-t",
                         f"OUT^{net.free_port()}^127.0.0.1:9", "--state-dir", fleet.directory(),
                         ready=True, secrets=[password])
    other.wait_ready()
    assert password.encode() not in other.proc("cmdline")


def test_password_of_the_environment(fleet):
    password = log_password()
    port = net.free_port()
    server = fleet.rstund("server", "-a", port, "--state-dir", fleet.directory(), ready=True,
                          secrets=[password], env={"RSTUN_PASSWORD": password})
    server.wait_ready()
    assert password.encode() not in server.proc("environ")
    fleet.role("client", "-a", f"127.0.0.1:{port}", "-t", f"OUT^{net.free_port()}^127.0.0.1:9",
               password=password).wait_ready()


def test_password_of_systemd(fleet):
    password = log_password()
    directory = fleet.directory()
    with open(os.path.join(directory, "password"), "w") as f:
        f.write(password + "\n")
    port = net.free_port()
    fleet.rstund("server", "-a", port, "--state-dir", fleet.directory(), ready=True,
                 secrets=[password], env={"CREDENTIALS_DIRECTORY": directory}).wait_ready()
    fleet.role("client", "-a", f"127.0.0.1:{port}", "-t", f"OUT^{net.free_port()}^127.0.0.1:9",
               password=password).wait_ready()


def test_password_of_the_terminal(fleet):
    """Asked for, without echo."""
    password = log_password()
    port = net.free_port()
    master, slave = pty.openpty()

    def own_terminal():
        os.setsid()
        fcntl.ioctl(0, 0x540e, 0)  # TIOCSCTTY
    server = fleet.rstund("server", "-a", port, "--state-dir", fleet.directory(), ready=True,
                          secrets=[password], stdin=slave, preexec=own_terminal)
    os.close(slave)
    shown = read_until(master, rb"(?i)password.*:")
    os.write(master, password.encode() + b"\n")
    server.wait_ready()
    fleet.role("client", "-a", f"127.0.0.1:{port}", "-t", f"OUT^{net.free_port()}^127.0.0.1:9",
               password=password).wait_ready()
    os.set_blocking(master, False)
    try:
        shown += os.read(master, 1000)
    except (BlockingIOError, OSError):
        pass
    assert password.encode() not in shown
    server.stop()
    os.close(master)


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_password_file_open_to_others(fleet, mode):
    path = fleet.password_file("secret")
    os.chmod(path, mode)
    status, output = fleet.run("server", "-a", "0", "--password-file", path)
    assert status in (1, 2)
    assert f"chmod 600 {path}" in output


def test_password_file_missing(fleet):
    status, output = fleet.run("server", "-a", "0", "--password-file", "/nonexistent/password")
    assert status in (1, 2)
    assert "/nonexistent/password" in output and "No such file" in output


def test_password_twice(fleet):
    status, output = fleet.run("server", "-a", "0", "-p", "x", "--password-file",
                               fleet.password_file("y"))
    assert status == 2 and "--password-file" in output


# ---- the configuration file ----

def test_check_config(fleet):
    path = os.path.join(fleet.directory(), "rstund.conf")
    with open(path, "w") as f:
        f.write("[server edge]\naddr = 127.0.0.1:0\npassword = x\n\n"
                "[client home]\nserver-addr = 127.0.0.1:9\npassword = x\n\n"
                "[mapping web]\nspec = OUT^0^ANY\n")
    status, output = fleet.run("--config", path, "--check-config")
    assert status == 1 and f"run: chmod 600 {path}" in output
    os.chmod(path, 0o600)
    assert fleet.run("--config", path, "--check-config") == (
        0, f"{path}: 1 client, 1 server, 1 mapping: ok")
    with open(path, "a") as f:
        f.write("clinet = home\nproto = icmp\n[sever x]\n")
    status, output = fleet.run("--config", path, "--check-config")
    assert status == 1
    for line, text in ((11, "clinet.*did you mean client"), (12, "proto.*icmp.*tcp, udp"),
                       (13, "sever x.*did you mean .server NAME.")):
        assert re.search(rf"(?m)^{path}:{line}: .*{text}", output), output


# ---- start ----

def test_address_of_the_server_in_use(fleet, stack):
    taken = stack.enter_context(net.socket.socket(net.socket.AF_INET, net.socket.SOCK_DGRAM))
    taken.bind(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    server = fleet.role("server", "-a", f"127.0.0.1:{port}")
    server.expect_exit(1)
    assert re.search(rf"127\.0\.0\.1:{port}.*in use", server.log())


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_address_of_a_mapping_in_use(fleet, stack, proto):
    kind = net.socket.SOCK_STREAM if proto == "tcp" else net.socket.SOCK_DGRAM
    taken = stack.enter_context(net.socket.socket(net.socket.AF_INET, kind))
    taken.bind(("127.0.0.1", 0))
    if proto == "tcp":
        taken.listen()
    port = taken.getsockname()[1]
    client = fleet.role("client", "-a", "127.0.0.1:9", f"-{proto[0]}", f"OUT^{port}^ANY")
    client.expect_exit(1)
    assert re.search(rf"127\.0\.0\.1:{port}.*in use", client.log())


def test_second_server_on_the_same_address(fleet):
    """SO_REUSEPORT is for our own threads: another process must not share the address."""
    port = net.free_port()
    fleet.role("server", "-a", port, "-w", 2).wait_ready()
    second = fleet.role("server", "-a", port, "-w", 2)
    second.expect_exit(1)
    assert re.search(rf"127\.0\.0\.1:{port}.*in use", second.log())


def test_ready_only_when_tunneling(fleet):
    password = log_password()
    port = net.free_port()
    client = fleet.role("client", "-a", f"127.0.0.1:{port}", "-r", 300, "-t",
                        f"OUT^{net.free_port()}^127.0.0.1:9", password=password)
    client.wait_log(r"reconnecting in [\d.]+ s: ")
    assert not client.is_ready()
    fleet.role("server", "-a", port, password=password).wait_ready()
    client.wait_ready()


def test_exit_on_failure(fleet):
    port = net.free_port()
    fleet.role("server", "-a", port).wait_ready()
    client = fleet.role("client", "-a", port, "--exit-on-failure", "-t",
                        f"OUT^{net.free_port()}^ANY")
    client.expect_exit(1)
    assert re.search(r"(?i)password", client.log())


def test_log_levels(fleet):
    port = net.free_port()
    quiet = fleet.role("server", "-a", port, "-l", "E")
    quiet.wait_ready()
    quiet.stop()
    assert quiet.log() == ""
    talks = fleet.role("server", "-a", port, "-l", "D")
    talks.wait_ready()
    line = talks.wait_log(r"listening on")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info  \[.+\] listening on "
                    rf"127\.0\.0\.1:{port} \(udp, \d+ workers?\), pin sha256/[A-Za-z0-9+/]{{43}}=",
                    line.string)


def test_journal_prefixes(fleet):
    """Under systemd the level is a prefix and journald has the time."""
    read_end, write_end = os.pipe()
    stat = os.fstat(write_end)
    password = log_password()
    process = subprocess.Popen(
        [RSTUND, "server", "-a", "0", "--password-file", fleet.password_file(password),
         "--state-dir", fleet.directory()], stdin=subprocess.DEVNULL, stderr=write_end,
        env={**os.environ, "JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"})
    os.close(write_end)
    text = read_until(read_end, rb"listening")
    process.terminate()
    assert process.wait(limit(20)) == 0
    os.close(read_end)
    assert re.search(rb"(?m)^<6>.*listening on", text), text


def test_output_nobody_reads(fleet, tcp_upstream):
    """The reader of its log is gone: forwarding goes on (and SIGPIPE does not end it)."""
    upstream = tcp_upstream(net.echo)
    password = log_password()
    port, entry = net.free_port(), net.free_port()
    processes = []
    for args in (["server", "-a", str(port), "-t", net.text(upstream.address)],
                 ["client", "-a", str(port), "-l", "T", "-t", f"OUT^{entry}^ANY"]):
        log_read, log_write = os.pipe()
        ready_read, ready_write = os.pipe()
        os.close(log_read)
        processes.append(subprocess.Popen(
            [RSTUND, *args, "--password-file", fleet.password_file(password), "--state-dir",
             fleet.directory(), "--ready-fd", str(ready_write)], stdin=subprocess.DEVNULL,
            stdout=log_write, stderr=log_write, pass_fds=[ready_write]))
        os.close(log_write)
        os.close(ready_write)
        assert read_until(ready_read, rb"\n") == b"READY=1\n"
        os.close(ready_read)
    net.echo_flow(("127.0.0.1", entry), 1, 1 << 20)
    for process in reversed(processes):
        process.terminate()
        assert process.wait(limit(30)) == 0


# ---- the quick start, typed as it stands ----

def quick_start(fleet, stack, server_program, client_program):
    lock = stack.enter_context(open("/tmp/rstund-quickstart.lock", "w"))
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        upstream = net.TcpUpstream(net.echo, port=8080)
    except OSError:
        pytest.skip("port 8080 of the quick start is in use")
    stack.callback(upstream.close)
    server = fleet.start([server_program, "server", "-a", "3515", "-p", "1234", "-t", "8080"],
                         "server", original=server_program != RSTUND)
    server.wait_log(r"listening")
    client = fleet.start([client_program, "client", "-a", "127.0.0.1:3515", "-p", "1234", "-t",
                          "OUT^9000^ANY"], "client", original=client_program != RSTUND)
    client.wait_log(r": tunneling|start serving")
    net.echo_flow(("127.0.0.1", 9000), 1, 1 << 20)
    client.stop()
    server.stop()


def test_quick_start(fleet, stack, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", fleet.directory())
    monkeypatch.setenv("STATE_DIRECTORY", fleet.directory())
    quick_start(fleet, stack, RSTUND, RSTUND)


# ---- port 0: the listening side picks one ----

def test_server_on_any_port(fleet):
    server = fleet.role("server", "-a", "127.0.0.1:0", password="canary-any")
    port = int(server.wait_log(r"listening on 127\.0\.0\.1:(\d+) ").group(1))
    assert port != 0
    fleet.role("client", "-a", port, "-t", f"OUT^{net.free_port()}^127.0.0.1:9",
               password="canary-any").wait_ready()


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("mode", ["OUT", "IN"])
def test_mapping_on_any_port(make_link, tcp_upstream, udp_upstream, proto, mode):
    upstream = tcp_upstream(net.echo) if proto == "tcp" else udp_upstream()
    link = make_link()
    link.map(proto, mode, upstream.address, entry=("127.0.0.1", 0))
    link.start()
    found = link.client.wait_log(rf"{mode}\^\S+ {proto}: .*listen\w* on 127\.0\.0\.1:(\d+)")
    entry = ("127.0.0.1", int(found.group(1)))
    assert entry[1] != 0
    if mode == "IN":
        link.server.wait_log(rf"login of IN {proto} .*listens on 127\.0\.0\.1:{entry[1]}\b")
    if proto == "tcp":
        net.echo_flow(entry, 1, 1000)
    else:
        with net.UdpApplication(entry) as app:
            assert app.ask(b"hello") == b"hello"
