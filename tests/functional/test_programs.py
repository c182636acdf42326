# SPDX-License-Identifier: MIT
"""Programs that people use, through the tunnel: ssh, curl, dig, iperf3 as Debian has them."""
import hashlib
import http.server
import os
import re
import shutil
import socketserver
import struct
import subprocess
import threading

import pytest

from harness import net
from harness.daemon import limit

MIB = 1 << 20


def needs(*programs):
    missing = [p for p in programs if not find(p)]
    return pytest.mark.skipif(bool(missing), reason="needs " + " ".join(missing))


def find(program):
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def run(*args, timeout=120, **options):
    return subprocess.run(args, capture_output=True, timeout=limit(timeout),
                          stdin=subprocess.DEVNULL, check=False, **options)


def private_sshd(directory, stack):
    """An sshd on a port of its own: the port, and the options with which ssh gets in."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name],
                       check=True)
    shutil.copy(directory / "user.pub", directory / "authorized")
    port = net.free_port()
    config = directory / "sshd_config"
    config.write_text(f"ListenAddress 127.0.0.1:{port}\nHostKey {directory}/host\n"
                      f"AuthorizedKeysFile {directory}/authorized\nStrictModes no\nUsePAM no\n"
                      f"PidFile {directory}/pid\nPasswordAuthentication no\nUseDNS no\n")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    sshd = subprocess.Popen([find("sshd"), "-D", "-e", "-f", config], stderr=subprocess.PIPE)
    stack.callback(sshd.wait)
    stack.callback(sshd.terminate)
    first = sshd.stderr.readline()
    assert b"listening" in first, first + sshd.stderr.read()
    threading.Thread(target=sshd.stderr.read, daemon=True).start()
    return port, ["-F", "none", "-i", f"{directory}/user", "-o", "BatchMode=yes",
                  "-o", f"UserKnownHostsFile={directory}/known", "-o", "StrictHostKeyChecking=no"]


@needs("ssh", "sshd", "ssh-keygen")
@pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
def test_ssh(make_link, tmp_path, stack, route):
    """A private sshd; 4 MiB out of a command, 4 MiB into one."""
    port, options = private_sshd(tmp_path, stack)
    link = make_link()
    entry = link.map("tcp", route, ("127.0.0.1", port))
    link.start()
    ssh = ["ssh", *options, "-p", str(entry[1]), "127.0.0.1"]
    got = run(*ssh, "head -c 4194304 /dev/zero | sha256sum; exit 7")
    assert got.returncode == 7, got.stderr
    assert got.stdout.split()[0].decode() == hashlib.sha256(bytes(4 * MIB)).hexdigest()
    data = b"".join(net.stream(1, 4 * MIB))
    got = subprocess.run([*ssh, "sha256sum"], input=data, capture_output=True, timeout=limit(60),
                         check=False)
    assert got.returncode == 0, got.stderr
    assert got.stdout.split()[0].decode() == net.stream_hash(1, 4 * MIB)


class Download(http.server.BaseHTTPRequestHandler):
    """GET /SIZE gives so many bytes of a stream; PUT takes them."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        size = int(self.path.strip("/"))
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        for block in net.stream(size, size):
            self.wfile.write(block)

    def do_PUT(self):
        digest = hashlib.sha256()
        left = int(self.headers["Content-Length"])
        while left:
            data = self.rfile.read(min(left, MIB))
            digest.update(data)
            left -= len(data)
        answer = digest.hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@needs("curl")
@pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
@pytest.mark.parametrize("size", [256 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.long)])
def test_curl(make_link, tmp_path, stack, route, size):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Download)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    link = make_link()
    entry = link.map("tcp", route, server.server_address)
    link.start()
    curl = subprocess.Popen(["curl", "-sS", "--fail", f"http://127.0.0.1:{entry[1]}/{size}"],
                            stdout=subprocess.PIPE)
    digest, got = hashlib.sha256(), 0
    while True:
        data = curl.stdout.read(MIB)
        if not data:
            break
        digest.update(data)
        got += len(data)
    curl.stdout.close()
    assert curl.wait(limit(60)) == 0
    assert got == size and digest.hexdigest() == net.stream_hash(size, size)
    path = tmp_path / "upload"
    with open(path, "wb") as f:
        for block in net.stream(5, 32 * MIB):
            f.write(block)
    done = run("curl", "-sS", "--fail", "-T", path, f"http://127.0.0.1:{entry[1]}/up")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == net.stream_hash(5, 32 * MIB)


class NameServer(socketserver.BaseRequestHandler):
    """Answers every A question with 192.0.2.1 to .9, every TXT question with 1000 bytes."""

    def handle(self):
        data, sock = self.request
        end = 12
        while data[end]:
            end += 1 + data[end]
        question = data[12:end + 5]
        kind = struct.unpack(">H", data[end + 1:end + 3])[0]
        records = [(1, bytes([192, 0, 2, i])) for i in range(1, 10)]
        if kind == 16:
            records = [(16, b"".join(b"\xc8" + bytes([97 + i]) * 200 for i in range(5)))]
        answer = data[:2] + struct.pack(">HHHHH", 0x8400, 1, len(records), 0, 0) + question
        for kind, value in records:
            answer += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 300, len(value)) + value
        sock.sendto(answer, self.client_address)


@needs("dig")
@pytest.mark.parametrize("route", ["OUT-ANY", "IN"])
def test_dig(make_link, stack, route):
    """The answer section through the tunnel is that of a direct question."""
    server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), NameServer)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    link = make_link()
    entry = link.map("udp", route, server.server_address)
    link.start()
    for kind in ("A", "TXT"):
        answers = []
        for port in (server.server_address[1], entry[1]):
            done = run("dig", "+noall", "+answer", "+tries=1", "+time=5", "+bufsize=4096",
                       "@127.0.0.1", "-p", str(port), "tunnel.example", kind)
            assert done.returncode == 0, done.stdout
            answers.append(done.stdout)
        assert answers[0] == answers[1] and len(answers[0].split(b"\n")) > 1


@needs("iperf3")
@pytest.mark.parametrize("options", [["-R"], []], ids=["down", "up"])
def test_iperf3(make_link, stack, options):
    port = net.free_port()
    server = subprocess.Popen(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", str(port),
                               "--forceflush"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    stack.callback(server.wait)
    stack.callback(server.terminate)
    while b"listening" not in server.stdout.readline():
        assert server.poll() is None
    threading.Thread(target=server.stdout.read, daemon=True).start()
    link = make_link()
    entry = link.map("tcp", "OUT-ANY", ("127.0.0.1", port))
    link.start()
    done = run("iperf3", "-c", "127.0.0.1", "-p", str(entry[1]), "-P", "8", "-t", "2", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rb"\[SUM\].*receiver", done.stdout), done.stdout
