# SPDX-License-Identifier: MIT
"""librstun as other programs get it: installed into a folder, found by pkg-config, linked by cc;
its header in C and C++, its symbols, and the examples: they fetch a page through a tunnel, ask by a
datagram, are a server that answers by itself, tell what happens to a mapping."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from harness import net
from harness.daemon import RSTUN, limit, log_password, read_until
from test_tree import SRCDIR, code, text

BUILDDIR = os.environ.get("RSTUND_BUILDDIR") or SRCDIR
EXAMPLES = os.path.join(SRCDIR, "contrib/examples")
BODY = b"".join(net.stream(7, 3000000))


def run(*argv, **options):
    result = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            timeout=limit(120), **options)
    assert result.returncode == 0, result.stdout
    return result.stdout


def make_variable(name):
    with open(os.path.join(BUILDDIR, "Makefile"), encoding="utf-8") as file:
        return re.search(rf"^{name} = (.*)$", file.read(), flags=re.M).group(1)


def functions_of_header():
    return sorted(re.findall(r"^RSTUN_API [^;{]*?\b(rstun_\w+)\(", code("lib/rstun.h"), flags=re.M))


def functions_of_map():
    return sorted(re.findall(r"^\t(rstun_\w+);", text("lib/librstun.map"), flags=re.M))


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """What "make install" installs of the library: (the prefix there, the environment of who uses
    it)."""
    root = str(tmp_path_factory.mktemp("stage"))
    run("make", "-s", "-C", BUILDDIR, f"DESTDIR={root}", "install-libLTLIBRARIES",
        "install-includeHEADERS", "install-nodist_pkgconfigDATA")
    prefix = root + make_variable("prefix")
    path = os.path.join(prefix, "lib/pkgconfig")
    environ = {**os.environ, "LD_LIBRARY_PATH": os.path.join(prefix, "lib"),
               "PKG_CONFIG_PATH": path}
    return prefix, environ


@pytest.fixture(scope="module")
def build(stage, tmp_path_factory):
    """Builds an example as its head says; with sanitizers where the library has them."""
    prefix, environ = stage
    flags = run("pkg-config", f"--define-variable=prefix={prefix}", "--cflags", "--libs",
                "librstun", env=environ).split()
    sanitizers = re.findall(r"-fsanitize\S+", make_variable("RSTUN_CFLAGS"))
    folder = tmp_path_factory.mktemp("examples")

    def make(source):
        compiler = ["g++", "-std=c++11"] if source.endswith(".cc") else ["cc"]
        if not shutil.which(compiler[0]):
            pytest.skip(f"no {compiler[0]}")
        program = str(folder / os.path.splitext(source)[0])
        run(*compiler, "-Wall", "-Wextra", "-Werror", *sanitizers,
            os.path.join(EXAMPLES, source), *flags, "-o", program)
        return program
    return make


def caller(program, stage):
    """Runs a program to its end."""
    def call(*args):
        result = subprocess.run([program, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=stage[1], timeout=limit(60))
        return result.returncode, result.stdout, result.stderr.decode()
    return call


@pytest.fixture(scope="module", params=["fetch.c", "fetch_bufferevent.c"])
def fetch(stage, build, request):
    return caller(build(request.param), stage)


@pytest.fixture(scope="module")
def ask(stage, build):
    return caller(build("ask.c"), stage)


@pytest.fixture
def serve(stage, build):
    """(address, pin, password) of the example's server."""
    password = log_password()
    with subprocess.Popen([build("serve.c"), "0", password], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=stage[1]) as process:
        try:
            address, pin = process.stdout.readline().split()
            yield address, pin, password
        finally:
            process.kill()
            errors = process.stderr.read()
    assert "Sanitizer" not in errors and "runtime error" not in errors, errors
    assert password not in errors


@pytest.fixture
def server(fleet):
    """(address, password) of a server without default upstreams."""
    password, port = log_password(), net.free_port()
    fleet.role("server", "--addr", f"127.0.0.1:{port}", password=password).wait_ready()
    return f"127.0.0.1:{port}", password


def web(conn):
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += conn.recv(4096)
    conn.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)
    return request


def test_fetch(server, fetch, tcp_upstream):
    upstream = tcp_upstream(web)
    target = net.text(upstream.address)
    status, output, errors = fetch(*server, target, "/page")
    assert (status, errors) == (0, "")
    assert output == b"HTTP/1.0 200 OK\r\n\r\n" + BODY
    assert upstream.result() == f"GET /page HTTP/1.0\r\nHost: {target}\r\n\r\n".encode()


@pytest.mark.parametrize("change, says", [
    ({"target": "127.0.0.1:1"}, "fetch: connection refused (target_refused)\n"),
    ({"password": "another"}, "(auth_failed)\n"),
    ({"password": ""}, "an empty password protects nothing"),
    ({"server": "no such name"}, "--server-addr: "),
    ({"target": ""}, "fetch: malformed input\n"),
])
def test_fetch_fails(server, fetch, change, says):
    address, password = server
    status, output, errors = fetch(change.get("server", address), change.get("password", password),
                                   change.get("target", "127.0.0.1:1"), "/")
    assert (status, output) == (1, b"")
    assert says in errors


def test_ask(server, ask, udp_upstream):
    upstream = udp_upstream()
    assert ask(*server, net.text(upstream.address), "hello") == (0, b"hello", "")


@pytest.mark.parametrize("target, says", [
    ("no-such-name.invalid:9", "ask: name not found (dns_failed)\n"),
    ("", "ask: malformed input (internal)\n"),
])
def test_ask_fails(server, ask, target, says):
    assert ask(*server, target, "hello") == (1, b"", says)


@pytest.mark.parametrize("program", ["rstund"] + (["rstun"] if RSTUN else []))
def test_serve(fleet, serve, fetch, program):
    """A client at a program's server: by a mapping to what it offers itself, and to a target that
    nobody has; beside it the library's client, by a channel."""
    address, pin, password = serve
    ports = net.free_port(), net.free_port()
    client = fleet.role("client", "--server-addr", address, "--tcp-mappings",
                        f"OUT^{ports[0]}^ANY,OUT^{ports[1]}^192.0.2.1:80",
                        *(("--pin", pin) if program == "rstund" else ()), password=password,
                        program=program)
    if program == "rstund":
        client.wait_ready()
    else:
        client.wait_log("start serving", count=2)
    head = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nYou wanted to reach "
    for port, target in zip(ports, (b"this program", b"192.0.2.1:80")):
        for _ in range(2):
            with net.connect(("127.0.0.1", port)) as conn:
                conn.sendall(b"GET / HT")
                conn.sendall(b"TP/1.0\r\n\r\n")
                got = net.read_all(conn)
                assert (got.head, got.end) == (head + target + b".\n", "eof")
    assert fetch(address, password, "10.0.0.5:80", "/") == \
        (0, head + b"10.0.0.5:80.\n", "")


@pytest.mark.parametrize("args, status, says", [
    (["0"], 2, "usage: serve"),
    (["0", ""], 1, "an empty password protects nothing"),
    (["nowhere", "secret"], 1, "--addr: "),
    (["192.0.2.1:0", "secret"], 1, "it must be an address of this machine"),
])
def test_serve_fails(stage, build, args, status, says):
    result = subprocess.run([build("serve.c"), *args], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=stage[1], timeout=limit(60))
    assert (result.returncode, result.stdout) == (status, "")
    assert says in result.stderr


@pytest.fixture
def listener(stage, build, stack):
    """Starts an example that tells what happens to a mapping."""
    def start(source, *args):
        process = subprocess.Popen([build(source), *args], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=stage[1])
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process
    return start


def end(process):
    """What else it says when it is told to end."""
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=limit(30))
    assert (process.returncode, errors) == (0, b"")
    return output.decode()


def talk(port, upstream):
    """A flow of 4 bytes in and 5 out."""
    with socket.create_connection(("127.0.0.1", port), timeout=limit(20)) as s:
        s.sendall(b"ping")
        s.shutdown(socket.SHUT_WR)
        assert s.recv(5, socket.MSG_WAITALL) == b"pong!"
        assert s.recv(1) == b""
    assert upstream.result() == b"ping"


def answer(conn):
    request = conn.recv(4, socket.MSG_WAITALL)
    conn.sendall(b"pong!")
    return request


def events_of(text):
    """All that an event has, and how it is written."""
    for line in text.splitlines():
        event = json.loads(line)
        assert list(event) == ["type", "data", "timestamp"] + ["tunnel"] * ("tunnel" in event)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", event["timestamp"])
        assert line == json.dumps(event, separators=(",", ":"), ensure_ascii=False)
        yield event


def test_events(server, listener, tcp_upstream):
    upstream, port = tcp_upstream(answer), net.free_port()
    process = listener("events.c", *server, f"OUT^{port}^{net.text(upstream.address)}")
    output = read_until(process.stdout.fileno(), b'"Tunneling".*\n').decode()
    talk(port, upstream)
    *events, stat = events_of(output + end(process))
    tunnel = {"source": "network", "id": 1, "proto": "Tcp", "mode": "Out"}
    states = [event["data"] for event in events if event["type"] == "state"]
    assert states == ["Connecting", "Connected", "Tunneling", "Stopped"]
    assert all(event["tunnel"] == tunnel for event in events if event["type"] == "state")
    assert stat["type"] == "stat" and "tunnel" not in stat
    assert list(stat["data"]) == [
        "rx_bytes", "tx_bytes", "tx_dgrams", "rx_dgrams", "sent_packets", "lost_packets",
        "lost_bytes", "congestion_events", "active_conns", "rtt_ms", "cwnd_bytes", "current_mtu"]
    assert stat["data"]["rx_bytes"] > stat["data"]["rx_dgrams"] > 0


def test_events_say_why(server, listener):
    process = listener("events.c", server[0], "another password", f"OUT^{net.free_port()}^ANY")
    output = read_until(process.stdout.fileno(), b'"Reconnecting".*\n').decode()
    *_, log, state = events_of(output)
    assert log["type"] == "log" and "password" in log["data"]
    assert state["tunnel"] == log["tunnel"]
    end(process)


def test_flows(server, listener, tcp_upstream):
    upstream, port = tcp_upstream(answer), net.free_port()
    process = listener("flows.cc", *server, f"OUT^{port}^{net.text(upstream.address)}")
    output = read_until(process.stdout.fileno(), b"tunneling.*\n").decode()
    talk(port, upstream)
    output += read_until(process.stdout.fileno(), b"flow.*\n").decode()
    output += end(process)
    assert re.fullmatch(
        rf"connecting .*\nconnected .*\ntunneling 127\.0\.0\.1:{port}\n"
        r"flow from 127\.0\.0\.1:\d+: 4 bytes in, 5 out, complete\nstopped .*\n", output)


@pytest.mark.parametrize("source", ["events.c", "flows.cc"])
@pytest.mark.parametrize("change, says", [
    ({"mapping": "OUT^x^ANY"}, "OUT^x^ANY"),
    ({"server": "no such name"}, "--server-addr: "),
    ({"password": ""}, "an empty password protects nothing"),
])
def test_listeners_fail(server, listener, source, change, says):
    process = listener(source, change.get("server", server[0]), change.get("password", server[1]),
                       change.get("mapping", "OUT^0^ANY"))
    output, errors = process.communicate(timeout=limit(30))
    assert process.returncode == 1
    assert says in errors.decode()
    assert "tunneling" not in output.decode().lower()


def test_symbols():
    library = os.path.join(BUILDDIR, ".libs/librstun.so")
    shown = run("nm", "-D", "--defined-only", library)
    names = re.findall(r" [A-Z] (\S+)$", shown, flags=re.M)
    wanted = [f"{name}@@LIBRSTUN_0" for name in functions_of_map()] + ["LIBRSTUN_0"]
    # What the sanitizers' instrumentation adds is not ours.
    assert sorted(name for name in names if "asan" not in name) == sorted(wanted)
    assert functions_of_map() == functions_of_header()
    assert "SONAME" in run("readelf", "-d", library)
    assert re.search(r"\(SONAME\).*\[librstun\.so\.0\]", run("readelf", "-d", library))


def test_every_function_is_declared_once_and_documented():
    header = text("lib/rstun.h")
    for name in functions_of_header():
        assert re.search(rf"\*/\nRSTUN_API [^;]*\b{name}\(", header), f"{name}: no comment"


@pytest.mark.parametrize("compiler, standard, suffix", [
    ("cc", "c99", "c"), ("cc", "c11", "c"), ("g++", "c++11", "cc"), ("g++", "c++20", "cc")])
def test_header_alone(compiler, standard, suffix, tmp_path):
    """It needs no other, can be included twice, and what it declares can be used."""
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    source = tmp_path / f"use.{suffix}"
    source.write_text("#include <rstun.h>\n#include <rstun.h>\n"
                      "int use(struct rstun_context *context);\n"
                      "int use(struct rstun_context *context)\n{\n"
                      "\tconst struct rstun_option option = {\"server-addr\", \"1\"};\n"
                      "\tstruct rstun_client *client;\n"
                      "\tint error = rstun_client_new(&client, context, &option, 1, 0, 0, 0, 0);\n"
                      "\trstun_client_free(client);\n"
                      "\treturn error == RSTUN_E_NOMEM;\n}\n")
    run(compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only",
        f"-I{SRCDIR}/lib", str(source))
