# SPDX-License-Identifier: MIT
"""The man pages as they were built: clean for mandoc, and complete: what the programs' tables have
is in them. What there is, is asked of the programs, or read in the tables' sources, so that a page
that was not made anew is found."""
import glob
import os
import re
import subprocess

import pytest

from test_tree import SRCDIR, text

BUILDDIR = os.environ.get("RSTUND_BUILDDIR") or SRCDIR
PAGES = ["librstun.3", "rstund.8", "rstunctl.1", "rstund.conf.5", "rstund-api.7"]


def page_path(name):
    path = os.path.join(BUILDDIR, "contrib/man", name)
    assert os.path.exists(path), f"{path} was not built (make)"
    return path


def page(name):
    """The page as text, without bold and underlined letters, with blanks for ends of lines."""
    output = subprocess.run(["mandoc", "-T", "ascii", page_path(name)], check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    return re.sub(r"\s+", " ", re.sub(".\b", "", output))


def names_in(path, pattern):
    found = re.findall(pattern, text(path), flags=re.M)
    assert found, f"{path} has nothing like {pattern}"
    return found


@pytest.mark.parametrize("name", PAGES)
def test_lint(name):
    result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page_path(name)],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_left_to_do(name):
    with open(page_path(name), encoding="utf-8") as file:
        source = file.read()
    assert not re.search(r"TODO|FIXME|XXX|@[A-Za-z ]+@", source)
    assert source.isascii()


@pytest.mark.parametrize("name", PAGES)
def test_carets_are_quoted(name):
    """Where a command is shown: a mapping with ^ stands in quotes."""
    source = page_path(name)
    output = subprocess.run(["mandoc", "-T", "ascii", source], check=True, stdout=subprocess.PIPE,
                            text=True).stdout
    wrong = [line for line in re.sub(".\b", "", output).splitlines()
             if re.match(r"\s+(rstunctl|rstund) (?!carries)", line) and "^" in line
             and "'" not in line and '"' not in line]
    assert not wrong


@pytest.mark.parametrize("role", ["server", "client"])
def test_options_of_a_role(fleet, role):
    status, output = fleet.run(role, "--help")
    assert status == 0
    manual = page("rstund.8")
    beside = re.search(r"These of them are options of the roles as well: (.*?) Options of", manual)
    start = manual.index(f"Options of rstund {role}")
    options = re.findall(r"^ +(?:-\w, )?--([\w-]+)", output, flags=re.M)
    assert len(options) > 10
    for option in options:
        assert f"--{option}" in beside.group(1) + manual[start:], option


def rows_of(path, table):
    """Names of the rows of a table in the source."""
    rows = re.search(rf"\b{table}\[\] = {{\n(.*?)\n}};", text(path), flags=re.S).group(1)
    names = re.findall(r'\.name = "([\w-]+)"', rows)
    assert len(names) > 5
    return names


def test_options_of_the_daemon():
    manual = page("rstund.8")
    part = manual[manual.index("Options of the daemon"):manual.index("Options of rstund server")]
    for name in rows_of("rstund/daemon_config.c", "daemon_config_fields"):
        assert f"--{name} " in part, name


@pytest.mark.parametrize("kind, path, table", [
    ("daemon", "rstund/daemon_config.c", "daemon_config_fields"),
    ("client", "lib/config/config_fields.c", "client_config_fields"),
    ("server", "lib/config/config_fields.c", "server_config_fields"),
    ("mapping", "rstund/config_mapping.c", "config_mapping_fields"),
])
def test_keys_of_a_section(kind, path, table):
    manual = page("rstund.conf.5")
    title = {"daemon": "[daemon] How"}.get(kind, f"[{kind} NAME] ")
    part = manual[manual.index(title, manual.index("SECTIONS")):]
    part = part[:part.find(" NAME] ", len(title))]
    for name in rows_of(path, table):
        if name in ("cert-pem", "key-pem"):
            continue  # only of the API
        of_daemon = kind in ("client", "server") and \
            name in rows_of("rstund/daemon_config.c", "daemon_config_fields")
        only_there = kind == "daemon" and name in ("config", "check-config", "ready-fd")
        assert (f" {name} = " in part) == (not of_daemon and not only_there), name


def test_commands():
    """What rstunctl has, by its table, and the options that its own --help shows."""
    manual = page("rstunctl.1")
    commands = names_in("rstunctl/command.c", r'^\t\{"([\w ]+)", "')
    assert len(commands) > 30
    rstunctl = os.path.join(BUILDDIR, "rstunctl/rstunctl")
    for name in commands:
        start = manual.index(f" {name} rstunctl {name} ")
        part = manual[start:manual.index(f" rstunctl {name} ", start + 2 * len(name) + 12) + 200]
        output = subprocess.run([rstunctl, *name.split(), "--help"], check=True,
                                stdout=subprocess.PIPE, text=True).stdout
        output = output[:output.find("General:")] if "General:" in output else output
        for option in re.findall(r"^ +(?:-\w, )?--([\w-]+)", output, flags=re.M):
            assert f"--{option}" in part + manual[manual.index(" OPTIONS They"):], (name, option)


def test_methods():
    manual = page("rstund-api.7")
    for name in names_in("lib/rpc/api_method.c", r'\.name = "([\w.]+)"'):
        assert f" {name} " in manual, name
        assert f"rstunctl call {name}" in manual, name


def test_events():
    manual = page("rstund-api.7")
    for name in names_in("lib/rpc/api_event.c", r'^\t\t\.name = "(\w+)"'):
        assert f'"type":"{name}"' in manual.replace('", "', '","'), name


def test_errors():
    manual = page("rstund-api.7")
    kinds = names_in("lib/rpc/api_error.c", r'^\t\{(?:RPC_\w+|\d+), "(\w+)"')
    assert len(kinds) >= 40
    for kind in kinds:
        assert re.search(rf" {kind} \(-?\d+, exit status \d", manual), kind
    statuses = page("rstunctl.1")
    for kind in kinds:
        assert re.search(rf"[ :]{kind}[,.]", statuses), kind


def test_functions_of_the_library():
    with open(page_path("librstun.3"), encoding="utf-8") as file:
        source = file.read()
    for name in names_in("lib/rstun.h", r"^RSTUN_API [^;{]*?\b(rstun_\w+)\("):
        assert len(re.findall(rf"^\.F[no] {name}\b", source, flags=re.M)) >= 2, name
    for name in names_in("lib/rstun.h", r"^\tvoid \(\*(on_\w+)\)"):
        assert re.search(rf"^\.(It )?Va {name}\b", source, flags=re.M), name


def test_objects_that_are_named_are_described():
    """Each "Object X" and "List of objects X" has a section X."""
    manual = page("rstund-api.7")
    for name in set(re.findall(r"(?:Object|objects) ([A-Z]\w+)", manual)):
        assert name in ("ClientConfig", "ServerConfig", "Stat") or \
            re.search(rf" {name} [a-z]\w* ", manual), name


def test_congestion_events_are_explained():
    assert re.search(r"congestion_events counts round trips in which .* lost packets rose",
                     page("rstund-api.7"))


def test_pages_name_each_other():
    names = {name.rsplit(".", 1)[0]: name for name in PAGES}
    for name in PAGES:
        manual = page(name)
        for other in names.values():
            if other != name:
                stem, section = other.rsplit(".", 1)
                assert f"{stem}({section})" in manual, f"{name} does not name {other}"


def test_every_source_of_a_page_is_built():
    sources = glob.glob(os.path.join(SRCDIR, "contrib/man/*.in"))
    assert sorted(os.path.basename(path)[:-len(".in")] for path in sources) == sorted(PAGES)
