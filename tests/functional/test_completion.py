# SPDX-License-Identifier: MIT
"""Completion of rstunctl in the real shells: what <TAB> gives, and that what is documented can be
typed, above all the caret in a zsh with extendedglob."""
import os
import re
import shlex
import subprocess

import pytest

from harness.control import RSTUNCTL, Ctl
from harness.daemon import limit
from harness.terminal import Terminal

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder for the shells' own files, and an environment in which rstunctl is the one built."""
    path = tmp_path_factory.mktemp("home")
    return {"HOME": str(path), "XDG_CONFIG_HOME": str(path), "XDG_DATA_HOME": str(path),
            "XDG_RUNTIME_DIR": str(path), "HISTFILE": "", "TERM": "dumb", "LC_ALL": "C.UTF-8",
            "PATH": os.path.dirname(os.path.abspath(RSTUNCTL)) + ":/usr/bin:/bin",
            "RSTUN_SOCKET": str(path / "nobody.sock"),
            **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}


def run_shell(shell, script, env):
    argv = {"bash": ["bash", "--norc", "--noprofile"], "zsh": ["zsh", "-f"],
            "fish": ["fish", "--no-config"]}[shell]
    return subprocess.run([*argv, "-c", script], env=env, text=True, capture_output=True,
                          timeout=limit(30))


class Bash:
    """The script's function, called as bash calls it."""

    def __init__(self, env):
        self.env = env

    def words(self, line):
        words = re.findall(r"=|[^\s=]+|(?<=\s)$", line)  # bash ends words at = too
        script = ('eval "$(rstunctl completion bash)"\n'
                  f"COMP_WORDS=({' '.join(shlex.quote(word) for word in words)})\n"
                  f"COMP_CWORD={len(words) - 1}\n"
                  "compopt() { :; }\n_rstunctl\n"
                  'printf "%s\\n" "${COMPREPLY[@]}"\n')
        done = run_shell("bash", script, self.env)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return set(filter(None, done.stdout.split("\n")))


class Zsh:
    """zsh's line editor on a terminal; compadd says what it was given and found fit."""

    setup = r"""
PROMPT=''; unsetopt beep prompt_sp; setopt extendedglob
autoload -Uz compinit && compinit -u -D
source <(rstunctl completion zsh)
compadd() {
	local -a fit
	builtin compadd -O fit "$@"
	print -rn -- "${(pj:\n:)fit}"$'\n' >>"$HOME/found"
	builtin compadd "$@"
}
show() { print -r -- "LINE<$BUFFER>"; BUFFER=; zle redisplay }
zle -N show
bindkey '^]' show
print -r -- READY
"""

    def __init__(self, env):
        self.env = env
        self.found = os.path.join(env["HOME"], "found")
        self.terminal = Terminal(["zsh", "-f", "-i"], env=env)
        path = os.path.join(env["HOME"], "setup.zsh")
        with open(path, "w") as f:
            f.write(self.setup)
        self.terminal.send(f". {path}\n")
        self.terminal.expect(rb"READY\r?\n")

    def type(self, keys):
        """Types it; returns the line that came of it."""
        self.terminal.send(keys + "\x1d")
        return re.search(r"LINE<(.*)>", self.terminal.expect(rb"LINE<.*>\r?\n")).group(1)

    def words(self, line):
        with open(self.found, "w"):
            pass
        self.type(line + "\t")
        with open(self.found) as f:
            return set(filter(None, f.read().split("\n")))


class Fish:
    def __init__(self, env):
        self.env = env

    def words(self, line):
        done = run_shell("fish", "rstunctl completion fish | source\n"
                         f"complete -C {shlex.quote(line)}", self.env)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        words = {row.split("\t")[0] for row in done.stdout.split("\n") if row}
        return {word.split("=", 1)[-1] for word in words}  # it gives back --color=auto


@pytest.fixture(params=SHELLS)
def shell(request, home, stack):
    kind = {"bash": Bash, "zsh": Zsh, "fish": Fish}[request.param]
    one = kind(dict(home))
    if hasattr(one, "terminal"):
        stack.callback(one.terminal.close)
    return one


def test_words(shell):
    """Sub-commands, options and choices, without a daemon."""
    assert shell.words("rstunctl a") == {"add", "apply"}
    assert shell.words("rstunctl client ") >= {"add", "set", "rm", "list", "show", "test"}
    assert shell.words("rstunctl --color never cl") == {"client"}
    assert shell.words("rstunctl add --n") >= {"--name", "--no-wait", "--no-persist"}
    assert shell.words("rstunctl client add --cip") == {"--cipher"}
    assert shell.words("rstunctl --color ") == {"auto", "always", "never"}
    assert shell.words("rstunctl --color=a") == {"auto", "always"}
    assert shell.words("rstunctl wait m1 --for tu") == {"tunneling"}
    assert shell.words("rstunctl completion ") >= set(SHELLS)
    assert shell.words("rstunctl call mapping.re") == {"mapping.remove", "mapping.resume",
                                                       "mapping.restart"}
    assert shell.words("rstunctl log l") == {"level"}
    assert shell.words("rstunctl log level d") == {"debug"}
    assert shell.words("rstunctl add --name ") == set()


def test_ids(shell, daemon, control):
    """Ids and names of what the running daemon has."""
    control.call("client.add", name="home", server_addr="127.0.0.1:9", password="no secret 1")
    for port, name in ((9001, "web"), (9002, "wiki"), (9003, None)):
        control.call("mapping.add", spec=f"OUT^{port}^ANY", paused=True,
                     **({"name": name} if name else {}))
    line = f"rstunctl --socket {daemon.socket} "
    assert shell.words(line + "rm ") == {"m1", "m2", "m3", "web", "wiki"}
    assert shell.words(line + "pause w") == {"web", "wiki"}
    assert shell.words(line + "events --mapping wi") == {"wiki"}
    assert shell.words(line + "client rm h") == {"home"}
    assert shell.words(line + "add --client ") == {"c1", "home"}
    shell.env["RSTUN_SOCKET"] = daemon.socket
    if not isinstance(shell, Zsh):  # its shell runs already
        assert shell.words("rstunctl show wi") == {"wiki"}


def test_bash_typed(home, stack):
    """<TAB> in an interactive bash."""
    terminal = Terminal(["bash", "--norc", "--noprofile", "-i"], env={**home, "PS1": ""})
    stack.callback(terminal.close)
    terminal.send("bind 'set show-all-if-ambiguous on'; bind 'set enable-bracketed-paste off'\n"
                  'eval "$(rstunctl completion bash)"; echo SET UP\n')
    terminal.expect(rb"\nSET UP\r?\n")
    terminal.send("rstunctl app\t-h\n")
    text = terminal.expect(rb"(?s)Usage: rstunctl apply FILE.*Example:\r\n[^\n]*\r\n")
    assert "rstunctl apply -h" in text
    terminal.send("rstunctl a\t")
    terminal.expect(rb"add +apply")


def test_zsh_typed(home, stack):
    """<TAB> in zsh with extendedglob; the caret stands in quotes, typed or completed around."""
    zsh = Zsh(dict(home))
    stack.callback(zsh.terminal.close)
    assert zsh.type("rstunctl app\t") == "rstunctl apply "
    assert zsh.type("rstunctl add 'OUT^9000^ANY' --no-w\t") == \
        "rstunctl add 'OUT^9000^ANY' --no-wait "
    assert zsh.type("rstunctl add out 9000 any --na\tweb") == "rstunctl add out 9000 any --name web"


def test_caret_in_zsh(home, daemon, control):
    """As documented it reaches the daemon; without quotes zsh itself refuses it."""
    control.call("client.add", name="home", server_addr="127.0.0.1:9", password="no secret 1")
    env = {**home, "RSTUN_SOCKET": daemon.socket}
    glob = "setopt extendedglob\n"
    done = run_shell("zsh", glob + "rstunctl add 'OUT^9000^ANY' --paused --no-wait", env)
    assert done.returncode == 0, done.stderr
    done = run_shell("zsh", glob + "rstunctl add out 9001 any --paused --no-wait", env)
    assert done.returncode == 0, done.stderr
    done = run_shell("zsh", glob + "rstunctl add OUT^9002^ANY --paused --no-wait", env)
    assert done.returncode != 0 and "no matches found" in done.stderr
    specs = [m["spec"] for m in control.call("mapping.list")["mappings"]]
    assert specs == ["OUT^127.0.0.1:9000^ANY", "OUT^127.0.0.1:9001^ANY"]


def example(text):
    return [line.strip() for line in text.split("Example:\n", 1)[-1].split("\n")
            if line.strip().startswith("rstunctl ")]


def test_examples_are_quoted(home):
    """Every caret of an example, and of what a command says of itself, stands in quotes."""
    ctl = Ctl("/nonexistent", env=home)
    commands = re.findall(r"^  ((?:client|server|session|cert|config) \S+|[a-z]+)",
                          ctl("help").out, re.M)
    assert len(commands) > 30
    carets = 0
    for command in commands:
        text = ctl("help", *command.split()).out
        typed = text.split("\nOptions:", 1)[0].split("\n") + example(text)
        for line in [line for line in typed if "^" in line]:
            bare = re.sub(r"'[^']*'", "", line)
            assert "^" not in bare, f"{command}: {line}"
            carets += 1
        for line in example(text):
            words = line.replace(">", " ").split(" ", 1)[1]
            done = run_shell("zsh", f"setopt extendedglob\nprint -r -- {words}", home)
            assert done.returncode == 0, f"{line}: {done.stderr}"
    assert carets >= 2


@pytest.mark.parametrize("name", SHELLS)
def test_script_has_no_errors(home, name):
    """The shell itself reads the script without a complaint."""
    check = {"bash": "bash -n", "zsh": "zsh -f -n", "fish": "fish --no-config -n"}[name]
    done = subprocess.run(["sh", "-c", f"rstunctl completion {name} >$HOME/script && "
                           f"{check} $HOME/script"], env=home, text=True, capture_output=True,
                          timeout=limit(30))
    assert done.returncode == 0 and done.stderr == "", done.stderr
