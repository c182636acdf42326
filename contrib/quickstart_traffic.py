#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Starts rstund server and client on this machine and moves bytes through four mappings.

An echo upstream (TCP and UDP) stands at the far end of each, so every byte goes through the
tunnel twice. What comes back is compared by its SHA-256 with what was sent. Used by
contrib/quickstart; needs nothing but Python's own modules.
"""
import argparse
import hashlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TCP_BYTES = 128 << 20  # each way
UDP_BYTES = 16 << 20   # each way
UDP_PAYLOAD = 1200
UDP_WINDOW = 64        # datagrams under way at once
LIMIT_S = 60           # nothing here takes that long


class Failure(Exception):
    """What is told to the user in one line."""


# ---- the upstream: a process of its own ----------------------------------------------------------

def echo_tcp(conn):
    buffer = memoryview(bytearray(1 << 20))
    with conn:
        try:
            while True:
                count = conn.recv_into(buffer)
                if count == 0:
                    break
                conn.sendall(buffer[:count])
            conn.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def echo_udp(sock):
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(data, peer)


def upstream(ready_fd):
    """Echoes on a free TCP port and a free UDP port; writes both numbers to ready_fd."""
    listener = socket.create_server(("127.0.0.1", 0))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    datagrams.bind(("127.0.0.1", 0))
    os.write(ready_fd, b"%d %d\n" % (listener.getsockname()[1], datagrams.getsockname()[1]))
    os.close(ready_fd)
    threading.Thread(target=echo_udp, args=(datagrams,), daemon=True).start()
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=echo_tcp, args=(conn,), daemon=True).start()


# ---- processes -----------------------------------------------------------------------------------

def free_ports(kinds):
    """Free port numbers on 127.0.0.1, all different, for socket kinds."""
    held = []
    for kind in kinds:
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind(("127.0.0.1", 0))
        held.append(sock)
    ports = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return ports


class Process:
    def __init__(self, name, folder, command):
        """Starts command, in which {fd} stands for the descriptor that it reports ready on."""
        self.name = name
        self.log = os.path.join(folder, name + ".log")
        read_fd, write_fd = os.pipe()
        with open(self.log, "wb") as log:
            self.popen = subprocess.Popen(
                [word.replace("{fd}", str(write_fd)) for word in command], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, pass_fds=(write_fd,), start_new_session=True)
        os.close(write_fd)
        self.said = self.wait_ready(read_fd)

    def wait_ready(self, fd):
        said = b""
        deadline = time.monotonic() + LIMIT_S
        while not said.endswith(b"\n"):
            ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
            data = os.read(fd, 100) if ready else b""
            if not data:
                os.close(fd)
                self.stop()
                raise Failure(f"{self.name} did not become ready. Its log:\n{self.log_tail()}")
            said += data
        os.close(fd)
        return said.decode()

    def log_tail(self):
        with open(self.log, errors="replace") as log:
            return "".join("  | " + line for line in log.readlines()[-20:])

    def stop(self):
        """SIGTERM, then patience, then SIGKILL. Returns the exit status."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(20)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        return self.popen.returncode


# ---- traffic -------------------------------------------------------------------------------------

def move_tcp(port, data):
    """Sends data to an echo behind port and reads it back. Returns bytes both ways, ok, seconds."""
    view = memoryview(data)
    back = bytearray(len(data))
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as conn:
        def send():
            try:
                for offset in range(0, len(view), 1 << 20):
                    conn.sendall(view[offset:offset + (1 << 20)])
                conn.shutdown(socket.SHUT_WR)
            except OSError as error:
                print(f"  sending: {error}", file=sys.stderr)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        got = 0
        try:
            while got < len(back):
                count = conn.recv_into(memoryview(back)[got:])
                if count == 0:
                    break
                got += count
            complete = got == len(back) and conn.recv(1) == b""
        except OSError as error:
            print(f"  receiving: {error}", file=sys.stderr)
            complete = False
        if not complete:
            conn.close()
        sender.join()
    seconds = time.monotonic() - start
    equal = complete and hashlib.sha256(data).digest() == hashlib.sha256(back).digest()
    return 2 * got, equal, seconds, ""


def move_udp(port, data):
    """The same with numbered datagrams; what does not come back in 0.3 s is sent again."""
    view = memoryview(data)
    total = (len(data) + UDP_PAYLOAD - 1) // UDP_PAYLOAD
    back = {}
    waiting = {}
    following = again = 0
    start = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.connect(("127.0.0.1", port))
        sock.settimeout(0.1)

        def send(number):
            waiting[number] = time.monotonic()
            sock.send(number.to_bytes(4, "big") +
                      view[number * UDP_PAYLOAD:(number + 1) * UDP_PAYLOAD])

        while len(back) < total and time.monotonic() - start < LIMIT_S:
            while following < total and len(waiting) < UDP_WINDOW:
                send(following)
                following += 1
            try:
                datagram = sock.recv(65536)
                number = int.from_bytes(datagram[:4], "big")
                back[number] = datagram[4:]
                waiting.pop(number, None)
            except TimeoutError:
                for number, when in list(waiting.items()):
                    if time.monotonic() - when > 0.3:
                        send(number)
                        again += 1
    seconds = time.monotonic() - start
    received = b"".join(back[number] for number in sorted(back))
    equal = hashlib.sha256(data).digest() == hashlib.sha256(received).digest()
    return 2 * len(received), equal, seconds, f"  ({again} datagrams sent again)" if again else ""


def traffic(ports):
    """One line per mapping. Returns whether all hashes were equal."""
    tcp_data = os.urandom(32 << 20) * (TCP_BYTES >> 25)
    udp_data = tcp_data[:UDP_BYTES]
    lines = []
    all_equal = True
    for name, move, data in (("tcp out", move_tcp, tcp_data), ("tcp in", move_tcp, tcp_data),
                             ("udp out", move_udp, udp_data), ("udp in", move_udp, udp_data)):
        count, equal, seconds, note = move(ports[name], data)
        rate = count * 8 / seconds / 1e9
        all_equal = all_equal and equal
        lines.append(f"{name:<8} {count:>10} bytes  sha256 {'equal' if equal else 'DIFFERS'}"
                     f"  {rate:.2f} Gbit/s{note}")
    for line in lines:
        print(line)
    return all_equal


def start_all(program, folder, started):
    """Starts upstream, server and client; appends each to started. Returns the mappings' ports."""
    password = os.path.join(folder, "password")
    with open(password, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(os.urandom(16).hex() + "\n")
    started.append(Process("upstream", folder, [sys.executable, "-B", __file__, "--upstream", "{fd}"]))
    tcp_up, udp_up = (int(word) for word in started[0].said.split())
    tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM
    quic, tcp_out, tcp_in, udp_out, udp_in = free_ports((udp, tcp, tcp, udp, udp))
    common = ["--password-file", password, "--ready-fd", "{fd}"]
    started.append(Process("server", folder, [
        program, "server", "-a", f"127.0.0.1:{quic}", "-t", f"127.0.0.1:{tcp_up}",
        "-u", f"127.0.0.1:{udp_up}", "--state-dir", os.path.join(folder, "server"), *common]))
    started.append(Process("client", folder, [
        program, "client", "-a", f"127.0.0.1:{quic}",
        "-t", f"OUT^{tcp_out}^ANY,IN^127.0.0.1:{tcp_up}^{tcp_in}",
        "-u", f"OUT^{udp_out}^ANY,IN^127.0.0.1:{udp_up}^{udp_in}",
        "--state-dir", os.path.join(folder, "client"), *common]))
    return {"tcp out": tcp_out, "tcp in": tcp_in, "udp out": udp_out, "udp in": udp_in}


def print_kept(ports, started, folder):
    pids = " ".join(str(process.popen.pid) for process in reversed(started))
    print(f"""
Left running, with an echo behind each mapping. A line that you type comes back through the tunnel:
  curl -N telnet://127.0.0.1:{ports['tcp out']}      (OUT: client listens, server dials)
  curl -N telnet://127.0.0.1:{ports['tcp in']}      (IN: server listens, client dials)
UDP: ports {ports['udp out']} (OUT) and {ports['udp in']} (IN). Logs and commands: {folder}/*.log
To stop it:
  kill {pids} && rm -r {folder}""")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--upstream", type=int, metavar="FD")
    parser.add_argument("program", nargs="?")
    args = parser.parse_args()
    if args.upstream is not None:
        upstream(args.upstream)
        return 0

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = tempfile.mkdtemp(prefix="rstund-quickstart-")
    started = []
    kept = good = False
    try:
        ports = start_all(os.path.abspath(args.program), folder, started)
        print("server and client are up, four mappings; each carries its bytes there and back",
              flush=True)
        good = traffic(ports)
        if good and args.keep:
            print_kept(ports, started, folder)
            kept = True
    except Failure as failure:
        print(f"quickstart: {failure}", file=sys.stderr)
    finally:
        if not kept:
            for process in reversed(started):
                status = process.stop()
                if process.name != "upstream" and status != 0:
                    print(f"quickstart: {process.name} ended with status {status}. Its log:\n"
                          f"{process.log_tail()}", file=sys.stderr)
                    good = False
            if good:
                shutil.rmtree(folder)
            else:
                print(f"quickstart: logs are kept in {folder}", file=sys.stderr)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
