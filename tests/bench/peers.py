# SPDX-License-Identifier: MIT
"""What is measured: programs that carry a port of the near side to the upstream of the far side.

A peer's start() leaves its programs on the stage and the tunnel's two ends in `server` and
`client`. Whether a flow arrives is asked by a load, so nothing here waits for more than what a
program says. To add a peer: a class, and its name in PEERS.
"""
import os
import shutil
import subprocess

from harness import net


class Peer:
    name = ""
    variable = ""   # of the environment, with the path of its program
    programs = ()   # else: what has to be installed
    package = ""    # Debian's package of it

    def __init__(self, stage, upstream):
        self.stage = stage
        self.upstream = upstream  # port on the far side
        self.address = stage.link.address
        self.port = net.free_port()
        self.entry_host = "127.0.0.1"
        self.entry_port = net.free_port()
        self.server = self.client = None

    @classmethod
    def missing(cls):
        """Why it cannot be measured; nothing when it can."""
        if cls.variable:
            path = os.environ.get(cls.variable)
            if not path:
                return f"{cls.variable}=PATH is not set"
            return "" if os.path.exists(path) else f"{cls.variable}={path}: no such file"
        lost = [name for name in cls.programs if not find(name)]
        return f"{', '.join(lost)} is not installed (package {cls.package})" if lost else ""

    @property
    def program(self):
        return os.path.abspath(os.environ[self.variable])

    @property
    def ends(self):
        return [end for end in (self.server, self.client) if end]

    @property
    def entry(self):
        return f"{self.entry_host}:{self.entry_port}"

    def start(self):
        raise NotImplementedError


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Direct(Peer):
    """No tunnel: the ceiling."""
    name = "direct"

    def start(self):
        self.entry_host, self.entry_port = self.address, self.upstream


class Raw(Peer):
    """The engine's QUIC alone: the limit (tests/bench/pump)."""
    name = "raw"

    def start(self):
        pass


class Rstund(Peer):
    name = "rstund"
    variable = "RSTUND"
    password = "bench-password"
    congestion = "bbr"
    workers = 1

    def mappings(self, count):
        """The entry, or `count` ports of which it is the first."""
        last = self.entry_port + count - 1
        ports = f"{self.entry_port}-{last}" if count > 1 else str(self.entry_port)
        return f"OUT^127.0.0.1:{ports}^ANY"

    def choose_entries(self, count):
        """Many are below the ports that others here may have (net.free_port)."""
        if count > 1:
            self.entry_port = 9000

    def start_server(self):
        secret = self.stage.file("password", self.password + "\n")
        self.server = self.stage.start(
            "far", [self.program, "server", "-a", f"{self.address}:{self.port}", "-t",
                    self.upstream, "-u", self.upstream, "--password-file", secret, "--state-dir",
                    os.path.join(self.stage.directory, "server"), "--congestion",
                    self.congestion, "-w", self.workers], "rstund server", ready=True)
        self.server.wait_ready()

    def start_client(self, mappings=1):
        self.choose_entries(mappings)
        udp = ["-u", self.mappings(1)] if mappings == 1 else []
        self.client = self.stage.start(
            "near", [self.program, "client", "-a", f"{self.address}:{self.port}", "-t",
                     self.mappings(mappings), *udp, "--password-file",
                     os.path.join(self.stage.directory, "password"), "--state-dir",
                     os.path.join(self.stage.directory, "client"), "-e", self.stage.cipher,
                     "--congestion", self.congestion, "-w", self.workers], "rstund client",
            ready=True)
        self.client.wait_ready(60)

    def start(self):
        self.start_server()
        self.start_client()


class Cubic(Rstund):
    """What rstund would do with another congestion control than its own."""
    name = congestion = "cubic"


class Reno(Rstund):
    name = congestion = "reno"


class Original(Rstund):
    name = "original"
    variable = "RSTUN"

    def mappings(self, count):
        return ",".join(f"OUT^127.0.0.1:{self.entry_port + i}^ANY" for i in range(count))

    def start_server(self):
        self.server = self.stage.start(
            "far", [self.program, "server", "-a", f"{self.address}:{self.port}", "-p",
                    self.password, "-t", f"127.0.0.1:{self.upstream}", "-u",
                    f"127.0.0.1:{self.upstream}"], "rstun server")
        self.server.wait_log(r"listening, addr=")

    def start_client(self, mappings=1):
        self.choose_entries(mappings)
        udp = ["-u", self.mappings(1)] if mappings == 1 else []
        self.client = self.stage.start(
            "near", [self.program, "client", "-a", f"{self.address}:{self.port}", "-p",
                     self.password, "-t", self.mappings(mappings), *udp, "-e",
                     self.stage.cipher], "rstun client")
        self.client.wait_log(r"start serving", 60, count=mappings)


class Ssh(Peer):
    """OpenSSH with a server and keys of its own."""
    name = "ssh"
    programs = ("ssh", "sshd", "ssh-keygen")
    package = "openssh-client, openssh-server"

    def key(self, name):
        path = os.path.join(self.stage.directory, name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        return path

    def start(self):
        directory = self.stage.directory
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # sshd insists on it
        key, host_key = self.key("key"), self.key("host_key")
        config = self.stage.file("sshd_config", f"""
Port {self.port}
ListenAddress {self.address}
HostKey {host_key}
AuthorizedKeysFile {key}.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
AllowTcpForwarding yes
LogLevel INFO
""")
        self.server = self.stage.start("far", [find("sshd"), "-D", "-e", "-f", config], "sshd")
        self.server.wait_log("Server listening")
        self.client = self.stage.start("near", [
            "ssh", "-N", "-F", "/dev/null", "-p", self.port, "-i", key,
            "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
            "-o", f"UserKnownHostsFile={directory}/known_hosts", "-o", "LogLevel=ERROR",
            "-o", "ExitOnForwardFailure=yes", "-o", "Compression=no", "-o",
            "Ciphers=" + self.stage.cipher.replace("aes-128-gcm", "aes128-gcm") + "@openssh.com",
            "-L", f"{self.entry}:127.0.0.1:{self.upstream}", self.address], "ssh")


class Stunnel(Peer):
    name = "stunnel"
    programs = ("stunnel", "openssl")
    package = "stunnel4"

    def config(self, name, text):
        suite = {"aes-128-gcm": "TLS_AES_128_GCM_SHA256",
                 "chacha20-poly1305": "TLS_CHACHA20_POLY1305_SHA256"}[self.stage.cipher]
        return self.stage.file(name, f"""
foreground = yes
pid =
debug = warning
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[bench]
sslVersion = TLSv1.3
ciphersuites = {suite}
{text}
""")

    def start(self):
        cert, key = certificate(self.stage)
        server = self.config("server.conf", f"accept = {self.address}:{self.port}\n"
                             f"connect = 127.0.0.1:{self.upstream}\ncert = {cert}\nkey = {key}")
        client = self.config("client.conf", f"client = yes\naccept = {self.entry}\n"
                             f"connect = {self.address}:{self.port}")
        self.server = self.stage.start("far", [find("stunnel"), server], "stunnel server")
        self.client = self.stage.start("near", [find("stunnel"), client], "stunnel client")


def certificate(stage):
    """Paths of a certificate and its key, made now."""
    cert, key = (os.path.join(stage.directory, name) for name in ("cert.pem", "key.pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-keyout", key, "-out", cert], check=True,
                   stderr=subprocess.DEVNULL)
    return cert, key


class Frp(Peer):
    """The listener is the server's, so the server is on the near side. FRP names the folder of
    frps and frpc."""
    name = "frp"
    variable = "FRP"

    def start(self):
        # The near side's own loopback is all that the far side cannot reach.
        near = near_address(self.address)
        server = self.stage.file("frps.toml", f"""
bindAddr = "{near}"
bindPort = {self.port}
proxyBindAddr = "127.0.0.1"
auth.token = "bench"
""")
        client = f'serverAddr = "{near}"\nserverPort = {self.port}\nauth.token = "bench"\n'
        for kind in ("tcp", "udp"):
            client += (f'[[proxies]]\nname = "{kind}"\ntype = "{kind}"\nlocalIP = "127.0.0.1"\n'
                       f"localPort = {self.upstream}\nremotePort = {self.entry_port}\n")
        self.server = self.stage.start("near", [f"{self.program}/frps", "-c", server], "frps")
        self.server.wait_log("started successfully")  # frpc does not try again
        self.client = self.stage.start(
            "far", [f"{self.program}/frpc", "-c", self.stage.file("frpc.toml", client)], "frpc")


def near_address(far):
    return far if far.startswith("127.") else far.rsplit(".", 1)[0] + ".1"


class Chisel(Peer):
    name = "chisel"
    variable = "CHISEL"

    def start(self):
        self.server = self.stage.start(
            "far", [self.program, "server", "--host", self.address, "--port", self.port, "--auth",
                    "bench:bench"], "chisel server")
        remote = f"{self.entry}:127.0.0.1:{self.upstream}"
        self.client = self.stage.start(
            "near", [self.program, "client", "--auth", "bench:bench",
                     f"http://{self.address}:{self.port}", remote, remote + "/udp"],
            "chisel client")


class Rathole(Peer):
    """As frp: the server listens, on the near side. Encrypted by its Noise transport."""
    name = "rathole"
    variable = "RATHOLE"

    def start(self):
        near = near_address(self.address)
        keys = subprocess.run([self.program, "--genkey"], check=True, stdout=subprocess.PIPE,
                              text=True).stdout.split()
        private, public = keys[keys.index("Key:") + 1], keys[-1]
        server = (f'[server]\nbind_addr = "{near}:{self.port}"\ndefault_token = "bench"\n'
                  f'[server.transport]\ntype = "noise"\n[server.transport.noise]\n'
                  f'local_private_key = "{private}"\n')
        client = (f'[client]\nremote_addr = "{near}:{self.port}"\ndefault_token = "bench"\n'
                  f'[client.transport]\ntype = "noise"\n[client.transport.noise]\n'
                  f'remote_public_key = "{public}"\n')
        for kind in ("tcp", "udp"):
            server += f'[server.services.{kind}]\ntype = "{kind}"\nbind_addr = "{self.entry}"\n'
            client += (f'[client.services.{kind}]\ntype = "{kind}"\n'
                       f'local_addr = "127.0.0.1:{self.upstream}"\n')
        self.server = self.stage.start(
            "near", [self.program, "--server", self.stage.file("server.toml", server)],
            "rathole server")
        self.client = self.stage.start(
            "far", [self.program, "--client", self.stage.file("client.toml", client)],
            "rathole client")


class Hysteria(Peer):
    name = "hysteria"
    variable = "HYSTERIA"

    def start(self):
        cert, key = certificate(self.stage)
        server = self.stage.file("server.yaml", f"""
listen: {self.address}:{self.port}
tls: {{cert: {cert}, key: {key}}}
auth: {{type: password, password: bench}}
""")
        client = self.stage.file("client.yaml", f"""
server: {self.address}:{self.port}
auth: bench
tls: {{insecure: true}}
tcpForwarding: [{{listen: "{self.entry}", remote: "127.0.0.1:{self.upstream}"}}]
udpForwarding: [{{listen: "{self.entry}", remote: "127.0.0.1:{self.upstream}", timeout: 60s}}]
""")
        alone = ["--disable-update-check", "-c"]  # it asks nobody outside
        self.server = self.stage.start("far", [self.program, "server", *alone, server],
                                       "hysteria server")
        self.server.wait_log("server up and running")
        self.client = self.stage.start("near", [self.program, "client", *alone, client],
                                       "hysteria client")


class Rusnel(Peer):
    name = "rusnel"
    variable = "RUSNEL"

    def start(self):
        self.server = self.stage.start(
            "far", [self.program, "server", "--host", self.address, "--port", self.port,
                    "--tls-self-signed"], "rusnel server")
        pin = self.server.wait_log(r"sha256:[0-9a-fA-F:]+").group(0)
        remote = f"{self.entry}:127.0.0.1:{self.upstream}"
        self.client = self.stage.start(
            "near", [self.program, "client", "--tls-fingerprint", pin,
                     f"{self.address}:{self.port}", remote, remote + "/udp"], "rusnel client")


PEERS = {peer.name: peer for peer in (Rstund, Cubic, Reno, Original, Ssh, Stunnel, Frp, Chisel,
                                      Rathole, Hysteria, Rusnel, Direct, Raw)}
