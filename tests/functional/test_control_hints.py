# SPDX-License-Identifier: MIT
"""Every command that a message suggests is run. SUGGESTED has each text of the sources that names
one; a new one without an entry fails, and so does what a daemon really says when it is none of
these."""
import glob
import os
import re
import shlex
import subprocess

import pytest

from harness import net
from harness.control import RSTUNCTL, Ctl
from harness.daemon import RSTUND, limit

SRCDIR = os.environ.get("RSTUND_SRCDIR") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "../.."))
COMMAND = re.compile(r"\brstunctl (?:[a-z-]|%s)|\brstund (?:--|server |client )")
ADD = "rstunctl add 'OUT^9000^ANY'"

# The text: the commands in it. {0}, {1}, ... is what stands for the first, second %s of the text;
# capitals are replaced as PLACES says. [] where it is a sentence about the program, not a command.
SUGGESTED = {
    # ---- the daemon ----
    "keep it: rstunctl confirm; or undo it: rstunctl confirm --revert":
        ["rstunctl confirm", "rstunctl confirm --revert"],
    "rstunctl %s shows what there is": ["rstunctl {0}"],
    "rstunctl client add NAME HOST:PORT --password-file FILE adds one":
        ["rstunctl client add fresh HOST:PORT --password-file FILE"],
    "change it there, then: rstunctl reload; or stop it for now: rstunctl pause %s":
        ["rstunctl reload", "rstunctl pause {0}"],
    "another name, or change it there, then: rstunctl reload": ["rstunctl reload"],
    "another name, or change that one: rstunctl set %s '%s' --proto %s":
        ["rstunctl set {0} '{1}' --proto {2}"],
    "change it there, then: rstunctl reload": ["rstunctl reload"],
    "rstunctl client set %s changes it, rstunctl client show %s shows it":
        ["rstunctl client set {0} --cipher aes-128-gcm", "rstunctl client show {1}"],
    "rstunctl client rm %s --mappings removes them, too": ["rstunctl client rm {0} --mappings"],
    "rstunctl server set %s changes it, rstunctl server show %s shows it":
        ["rstunctl server set {0} --tcp-upstream 1", "rstunctl server show {1}"],
    "rstunctl explain %s finds out why": ["rstunctl explain {0}"],
    "rstunctl explain %s": ["rstunctl explain {0}"],
    "rstunctl explain %s says more; it is tried again": ["rstunctl explain {0}"],
    "rstunctl explain %s says more; it is tried again, rstunctl rm %s gives it up":
        ["rstunctl explain {0}", "rstunctl rm {1}"],
    "choose another path, or remove it: rstunctl rm %s": ["rstunctl rm {0}"],
    "choose another port, or remove it: rstunctl rm %s": ["rstunctl rm {0}"],
    "choose another port or path, or remove that one: rstunctl rm %s": ["rstunctl rm {0}"],
    "rstunctl resume %s": ["rstunctl resume {0}"],
    "rstunctl flows shows those that are open": ["rstunctl flows"],
    "rstunctl flows shows them": ["rstunctl flows"],
    "rstunctl list shows ids and names": ["rstunctl list"],
    "nothing was changed; mend the file, then: rstunctl reload": ["rstunctl reload"],
    "remove it first: rstunctl %s %s; or give this one another name": ["rstunctl {0} {1}"],
    "remove that first: rstunctl rm %s; or give it another client: rstunctl set %s --client NAME":
        ["rstunctl set {1} --client NAME", "rstunctl rm {0}"],
    "Run the clients, servers and mappings of this file. Without it the daemon starts empty, and "
    "rstunctl fills it.": [],
    'rstund: "%s" is neither server nor client (did you mean %s?); try \'rstund --help\'':
        ["rstund --help"],
    'rstund: "%s" is neither server nor client; try \'rstund --help\'': ["rstund --help"],
    # ---- rstunctl ----
    "'rstunctl explain %s' looks closer, 'rstunctl rm %s' gives it up":
        ["rstunctl explain {0}", "rstunctl rm {1}"],
    "'rstunctl server show %s' shows how it is, 'rstunctl server rm %s' gives it up":
        ["rstunctl server show {0}", "rstunctl server rm {1}"],
    "%s: rstunctl client set %s --%s %s": ["rstunctl client set {1} --{2} {3}"],
    "%s: write %s = %s in [client %s] of the configuration file, then: rstunctl reload":
        ["rstunctl reload"],
    "Undo all of it after so long, unless 'rstunctl confirm' comes before.": ["rstunctl confirm"],
    "all of it is undone in %s unless you say: rstunctl confirm": ["rstunctl confirm"],
    "; try 'rstunctl help %s'": ["rstunctl help {0}"],
    "; try 'rstunctl --help'": ["rstunctl --help"],
    '"%s" is no sub-command; a mapping is added with: rstunctl add \'%s\'':
        ["rstunctl add '{1}' --no-wait"],
    "%s needs %s: rstunctl %s %s; try 'rstunctl help %s'": ["rstunctl help {4}"],
    'unexpected "%s": rstunctl %s%s%s': ["rstunctl help {1}"],
    "rstunctl %s (API %d)": [],
    "'rstunctl discover' shows all methods": ["rstunctl discover"],
    "%s has no parameter %s; 'rstunctl help %s' shows them all": ["rstunctl help {2}"],
    "The file (- is standard input) is a JSON array of mappings, what export writes, or lines with "
    "[NAME] SPEC [udp]. With --confirm all of it is undone unless 'rstunctl confirm' comes in "
    "time.": ["rstunctl confirm"],
    "KEY=@FILE is a file's content, KEY:=JSON a value as it is; @FILE or - instead of JSON is "
    "read. 'rstunctl help METHOD' shows a method's parameters.": ["rstunctl help METHOD"],
    "Usage: rstunctl %s%s%s [OPTION...]": ["rstunctl help {0}"],
    "Example:\n  rstunctl %s": [],             # test_examples
    "Exit status: 0 done, 1 the daemon said no, 2 usage, 3 no daemon, 4 not allowed,\n"
    "5 not found, 6 timeout, 7 conflict.\n\nExamples:\n"
    "  rstunctl client add home 192.0.2.7:3515 --password-file pw\n  rstunctl add 'OUT^9000^ANY'\n"
    "  rstunctl list":
        ["rstunctl client add new 192.0.2.7:3515 --password-file pw",
         ADD + " --no-wait --client new", "rstunctl list"],
    "Usage: rstunctl %s COMMAND [ARGUMENT...]\n\nCommands:": ["rstunctl help {0}"],
    "Beside them: the options that 'rstunctl help %s add' shows, with _ for -.":
        ["rstunctl help {0} add"],
    "Example:\n  rstunctl call %s '%s'": [],   # test_examples
    'there is no sub-command or method "%s"; try \'rstunctl help\'': ["rstunctl help"],
    "hint: the daemon is older than this rstunctl: 'rstunctl version' shows both":
        ["rstunctl version"],
    "warning: the daemon speaks API %ju and this rstunctl API %d: some things may not work "
    "('rstunctl version' shows both)": ["rstunctl version"],
    "no mappings; one is added with: rstunctl add 'OUT^9000^ANY'": [ADD + " --no-wait"],
    "no clients; one is added with: rstunctl client add NAME ADDR --password-file FILE":
        ["rstunctl client add fresh HOST:PORT --password-file FILE"],
    "%s needs an argument: rstunctl %s %s": ["rstunctl help {1}"],
    "set changes one mapping to one: rstunctl set ID [SPEC]": ["rstunctl set ID SPEC"],
    "set: nothing to change is given; try 'rstunctl help set'": ["rstunctl help set"],
    "%s: nothing to change is given; try 'rstunctl help %s'": ["rstunctl help {1}"],
    "--kill-all needs a mapping or a session: rstunctl flows ID --kill-all":
        ["rstunctl flows ID --kill-all"],
    "confirm    a change is undone in %s, unless 'rstunctl confirm' comes before":
        ["rstunctl confirm"],
    "--for needs a level: rstunctl log level debug --for 10m":
        ["rstunctl log level debug --for 10m"],
    "top is for people: 'rstunctl events --json --types stat --stats 1s' has the same for programs":
        ["rstunctl events --json --types stat --stats 1s"],
    # test_channel.test_ssh_by_proxy_command
    "Made for ssh: -o ProxyCommand='rstunctl connect %h:%p'. The target is [ip:]port, name:port "
    "(resolved by the server) or ANY, its default.": [],
    # ---- help of rstund: test_examples_of_rstund ----
    "Usage: rstund client -a HOST[:PORT] [-t MAPPINGS] [-u MAPPINGS] [OPTION...]": [],
    "Examples:\n  rstund client -a example.com --password-file pw -t 'OUT^9000^ANY'\n"
    "  rstund client -a 192.0.2.7:3515 --password-file pw \\\n"
    "                -t 'IN^3000^0.0.0.0:18080' -u 'OUT^1053^10.0.0.53:53'": [],
    "Usage: rstund server -a [IP:]PORT [OPTION...]": [],
    "Example:\n  rstund server -a 0.0.0.0:3515 --password-file pw -t 8080 \\\n"
    "                -c cert.pem -k key.pem": [],
    "Usage: rstund [--config FILE] [OPTION...]   run what a file says, or start empty\n"
    "       rstund server [OPTION...]      accept tunnels, forward traffic (short: s)\n"
    "       rstund client [OPTION...]      connect, set mappings up (short: c)\n"
    "       rstund server|client --help": ["rstund server --help", "rstund client --help"],
    "To try it on one machine, with something that listens on port 8080:\n"
    "  rstund server -a 3515 -p 1234 -t 8080\n"
    "  rstund client -a 127.0.0.1:3515 -p 1234 -t 'OUT^9000^ANY'": [],
    # ---- completion: its scripts run in real shells, in tests of their own ----
    "# Completion of rstunctl for bash: eval \"$(rstunctl completion bash)\"":
        ["rstunctl completion bash"],
}
# Of a text with %s, what may stand there.
VALUES = {
    "rstunctl %s shows what there is": [["list"], ["client list"], ["server list"],
                                        ["session list"]],
    "another name, or change that one: rstunctl set %s '%s' --proto %s":
        [["mine", "OUT^9001^ANY", "udp"]],
    "rstunctl client set %s changes it, rstunctl client show %s shows it": [["home", "home"]],
    "rstunctl client rm %s --mappings removes them, too": [["home"]],
    "rstunctl server set %s changes it, rstunctl server show %s shows it": [["front", "front"]],
    "remove it first: rstunctl %s %s; or give this one another name":
        [["rm", "mine"], ["server rm", "front"], ["client rm", "idle"]],
    "'rstunctl server show %s' shows how it is, 'rstunctl server rm %s' gives it up":
        [["front", "front"]],
    "rstunctl explain %s": [["c1"]],
    "%s: rstunctl client set %s --%s %s": [["", "home", "password-file", "FILE"]],
    "; try 'rstunctl help %s'": [["add"], ["client add"]],
    '"%s" is no sub-command; a mapping is added with: rstunctl add \'%s\'':
        [["", "OUT^9000^ANY"]],
    "%s needs %s: rstunctl %s %s; try 'rstunctl help %s'": [["", "", "", "", "rm"]],
    'unexpected "%s": rstunctl %s%s%s': [["", "client list"]],
    "%s has no parameter %s; 'rstunctl help %s' shows them all": [["", "", "mapping.list"]],
    "Usage: rstunctl %s%s%s [OPTION...]": [["add"]],
    "Usage: rstunctl %s COMMAND [ARGUMENT...]\n\nCommands:": [["client"]],
    "Beside them: the options that 'rstunctl help %s add' shows, with _ for -.":
        [["client"], ["server"]],
    "%s needs an argument: rstunctl %s %s": [["", "pause"]],
    "%s: nothing to change is given; try 'rstunctl help %s'": [["", "client set"],
                                                               ["", "server set"]],
}
PLACES = {"HOST:PORT": "192.0.2.1:3515", "NAME": "idle", "FILE": "pw", "METHOD": "mapping.list",
          "SPEC": "'OUT^9002^ANY'", "ID": "mine"}
ELSEWHERE = ("rstunctl/completion_",)


def literals(text):
    """Strings of a C source, those side by side as one."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"^\s*#\s*include[^\n]*", "", text, flags=re.M)
    one = r'"(?:\\.|[^"\\\n])*"'
    for match in re.finditer(rf"{one}(?:\s*{one})*", text):
        raw = "".join(piece[1:-1] for piece in re.findall(one, match.group()))
        yield re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m.group(1), m.group(1)),
                     raw).strip("\n")


def suggestions_of_sources():
    found = {}
    for folder in ("lib", "rstund", "rstunctl"):
        for path in glob.glob(f"{SRCDIR}/{folder}/**/*.c", recursive=True):
            name = os.path.relpath(path, SRCDIR)
            with open(path, encoding="utf-8") as file:
                for text in literals(file.read()):
                    if COMMAND.search(text) and not name.startswith(ELSEWHERE):
                        found[text] = name
    return found


def test_no_suggestion_is_forgotten():
    found = suggestions_of_sources()
    about_the_program = ("by rstunctl itself",)
    new = {t: f for t, f in found.items()
           if t not in SUGGESTED and not any(a in t for a in about_the_program)}
    assert not new, f"no entry in SUGGESTED: {new}"
    gone = [t for t in SUGGESTED if t not in found and "completion" not in t]
    assert not gone, f"not in the sources any more: {gone}"


# ---- running them ----

@pytest.fixture
def world(make_daemon, fleet, tmp_path, tcp_upstream):
    """A daemon with a configuration and more, in a directory with the files that are named."""
    (tmp_path / "pw").write_text("secret\n")
    os.chmod(tmp_path / "pw", 0o600)
    upstream = tcp_upstream(net.echo)
    port = net.free_port()
    (tmp_path / "conf").write_text(
        f"[client conf]\nserver-addr = 127.0.0.1:{port}\npassword-file = {tmp_path}/pw\n"
        f"[mapping web]\nspec = OUT^127.0.0.1:{net.free_port()}^ANY\n")
    os.chmod(tmp_path / "conf", 0o600)
    daemon = make_daemon("--config", tmp_path / "conf", wait=r"\[conf\]")
    control = daemon.connect()
    control.call("server.add", name="front", addr=f"127.0.0.1:{port}", password="secret",
                 tcp_upstream=net.text(upstream.address))
    for name in ("home", "idle"):
        control.call("client.add", name=name, server_addr=f"127.0.0.1:{port}", password="secret")
    control.call("mapping.add", client="home", name="mine", wait_ms=10000,
                 spec=f"OUT^127.0.0.1:{net.free_port()}^ANY")
    daemon.cwd = tmp_path
    return daemon


def run(world, command):
    """Runs it as it stands. Those that go on are ended when they have begun."""
    words = shlex.split(command)
    assert words[0] in ("rstunctl", "rstund"), command
    program = {"rstunctl": RSTUNCTL, "rstund": RSTUND}[words[0]]
    if words[1] in ("add", "run") and "--client" not in words:
        words += ["--client", "home"]     # there are several here
    if words[1] in ("events", "top", "run") or (words[1] == "log" and "-f" in words):
        environ = Ctl(world.socket).environment()
        process = subprocess.Popen([program, *words[1:]], cwd=world.cwd, env=environ, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        first = process.stdout.readline()
        process.terminate()
        rest, _ = process.communicate(timeout=limit(20))
        assert process.returncode != 2, (command, first, rest)
        return
    done = Ctl(world.socket, program=program)(*words[1:], cwd=world.cwd)
    # What explain finds is what it is for.
    assert done.status == 0 or (words[1] == "explain" and done.status == 1), f"{command}: {done}"


def fill(text, values):
    for at, value in enumerate(values):
        text = text.replace(f"{{{at}}}", value)
    for place, value in PLACES.items():
        text = re.sub(rf"(?<![\w'-]){place}(?![\w'])", value, text)
    return text


@pytest.mark.parametrize("text", [t for t, commands in SUGGESTED.items() if commands],
                         ids=lambda t: re.sub(r"\W+", "-", t)[:60])
def test_suggestion(world, text):
    """With what is there, each of them works."""
    default = [["mine"] * text.count("%s")]
    control = world.connect()
    if "resume" in text:
        control.call("mapping.pause", name="mine")
    for values in VALUES.get(text, default):
        for command in SUGGESTED[text]:
            if "confirm" in command:
                control.call("mapping.apply", mappings=[], confirm_within_s=600)
            run(world, fill(command, values))


# ---- what is really said ----

# Command lines that are refused, in the world above.
REFUSED = [
    "rm nothing", "client show nothing", "server show nothing", "session show s1.99",
    "add --name web OUT^9100^ANY --client home", "add --name mine OUT^9100^ANY --client home",
    "rm web", "set web OUT^9100^ANY", "client set conf --cipher aes-128-gcm", "client rm conf",
    "client add home 192.0.2.1:1 --password-file pw", "client rm home",
    "server add front 127.0.0.1:1 --password-file pw", "add OUT^9100^ANY", "lst",
    "OUT^9100^ANY", "rm", "pause", "client list x", "list --stae x", "help nothing", "set mine",
    "client set home", "call mapping.list sate=1", "call mapping.lst", "call no.such.thing",
    "wait web --for paused --timeout 10ms", "log level --for 10m", "flows --kill-all", "top --json",
    "add --client idle --wait 5s IN^9^0.0.0.0:99999", "add --client home udp",
    "add --client home -u --wait 5s OUT^9100^ANY", "set mine home a b",
    "server add other 192.0.2.1:1 --password-file pw", "connect 127.0.0.1:9",
    "connect 127.0.0.1:9 --client nothing", "connect 127.0.0.1:0 --client home",
]


@pytest.mark.parametrize("line", REFUSED, ids=lambda line: re.sub(r"\W+", "-", line))
def test_what_is_said(world, line):
    """Whatever a refusal suggests is in the table, and works when it is done as it says."""
    done = Ctl(world.socket)(*shlex.split(line), cwd=world.cwd)
    assert done.status != 0, done
    text = done.all
    for known, commands in sorted(SUGGESTED.items(), key=lambda item: -len(item[0])):
        pattern = "(.*?)".join(map(re.escape, re.split(r"%s|%ju|%d", known)))
        match = re.search(pattern + r'(?=\n|$|;|")', text) if COMMAND.search(text) else None
        if match is None:
            continue
        text = text.replace(match.group(0), "")
        for command in commands:
            run(world, fill(command, match.groups()))
    assert not COMMAND.search(text), f"suggested, and in no entry: {text}"


# ---- examples of the help texts ----

def test_examples(daemon, control, tmp_path, tcp_upstream):
    """The example of each sub-command and of each method is no usage error."""
    world, ctl = daemon, daemon.ctl
    world.cwd = tmp_path
    (tmp_path / "pw").write_text("secret\n")
    os.chmod(tmp_path / "pw", 0o600)
    daemon.tunnel(control, tcp_upstream(net.echo).address)
    names = re.findall(r"^  ([a-z]+(?: [a-z]+)?)(?= |$)", ctl("help").out.split("Options:")[0],
                       re.M)
    names += list(ctl.schema().methods)
    (tmp_path / "mappings.json").write_text("[]")
    (tmp_path / "rstund.conf").write_text("# nothing\n")
    seen = 0
    problems = []
    for name in names:
        text = ctl("help", *name.split(), status=0).out
        match = re.search(r"^Example:\n  (.*)$", text, re.M)
        if not match:
            problems.append(f"{name} has no example: {text}")
            continue
        command = match.group(1)
        seen += 1
        if name in ("stop", "daemon.shutdown"):
            continue
        for there, here in (("> mappings.json", ""), ("/var/lib/node_exporter/", ""),
                            ("30000", "300"), ("30s", "300ms")):
            command = command.replace(there, here)
        words = shlex.split(command)
        if words[1] in ("events", "run") or "-f" in words:
            run(world, shlex.join(words))
            continue
        done = ctl(*words[1:], *(["--timeout", "300ms"] if words[1] == "explain" else []),
                   cwd=tmp_path)
        if done.status == 2:
            problems.append(f"{command}: {done}")
    assert not problems, "\n".join(problems)
    assert seen > 80


def test_examples_of_rstund(fleet, tmp_path, pki):
    (tmp_path / "pw").write_text("secret\n")
    os.chmod(tmp_path / "pw", 0o600)
    seen = 0
    for role in ([], ["server"], ["client"]):
        text = fleet.run(*role, "--help")[1].replace("\\\n", " ")
        for line in re.findall(r"^  rstund (.*)$", text, re.M):
            if "cert.pem" in line:
                continue
            seen += 1
            process = fleet.rstund(*shlex.split(line), "--state-dir", fleet.directory(),
                                   "--socket", fleet.directory() + "/s", cwd=tmp_path)
            process.wait_log(r"\[(server|client)\]")
            process.stop()
    assert seen >= 4
