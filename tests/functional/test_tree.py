# SPDX-License-Identifier: MIT
"""Rules of the source tree that a machine can check: layers, who may include which library, where
the clock is read, what every file begins with, and that make knows every file."""
import glob
import os
import re

import pytest

SRCDIR = os.environ.get("RSTUND_SRCDIR") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "../.."))

# Who may include whom: a folder may include itself and what is named here.
LAYERS = {
    "lib": {"lib/base", "lib/config", "lib/tls", "lib/relay", "lib/tunnel"},  # librstun
    "lib/base": set(),
    "lib/rpc": {"lib/base"},
    "lib/config": {"lib/base"},
    "lib/tls": {"lib/base"},
    "lib/quic": {"lib/base", "lib/tls"},
    "lib/dns": {"lib/base", "lib/config", "lib/tls"},
    "lib/relay": {"lib/base", "lib/quic"},
    "lib/tunnel": {"lib/base", "lib/config", "lib/tls", "lib/quic", "lib/dns", "lib/relay"},
    "rstund": {"lib/base", "lib/config", "lib/rpc", "lib/tls", "lib/quic", "lib/dns", "lib/relay",
               "lib/tunnel", "rstund/control"},
    "rstund/control": {"lib/base", "lib/config", "lib/rpc", "lib/tls", "lib/tunnel", "rstund"},
    "rstunctl": {"lib/base", "lib/config", "lib/rpc"},
}


def sources(*folders):
    found = []
    for folder in folders:
        for pattern in ("*.c", "*.h"):
            found += glob.glob(os.path.join(SRCDIR, folder, "**", pattern), recursive=True)
    return sorted(os.path.relpath(path, SRCDIR) for path in found)


def text(path):
    with open(os.path.join(SRCDIR, path), encoding="utf-8") as file:
        return file.read()


def code(path):
    """The text without comments and without what stands in quotes."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"'
    return re.sub(pattern, lambda match: "\n" * match.group().count("\n"), text(path), flags=re.S)


def includes(path):
    """Folder and name of each file included with quotes."""
    for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text(path), flags=re.M):
        for root in (os.path.dirname(path), "lib", ""):
            if os.path.exists(os.path.join(SRCDIR, root, name)):
                yield os.path.dirname(os.path.normpath(os.path.join(root, name))), name
                break
        else:
            yield None, name


def test_layers():
    wrong = []
    for path in sources("lib", "rstund", "rstunctl"):
        folder = os.path.dirname(path)
        allowed = LAYERS[folder] | {folder}
        for where, name in includes(path):
            # rstun.h: declarations, the errors of the whole project among them.
            if where not in allowed and name not in ("config.h", "rstun.h"):
                wrong.append(f"{path} includes {name}")
            if where == "lib/quic" and folder == "lib/relay":
                if os.path.basename(path) not in ("quic_end.c", "quic_end.h"):
                    wrong.append(f"{path} includes {name}, which only quic_end may")
    assert not wrong


@pytest.mark.parametrize("library, folders", [
    ("gnutls/", ("lib/tls", "lib/quic")),
    ("gcrypt", ("lib/tls",)),
    ("intel-ipsec-mb", ("lib/tls",)),
    ("jansson", ("lib/rpc", "rstund/control", "rstunctl")),
    ("ngtcp2/", ("lib/quic",)),
    ("ares", ("lib/dns",)),
])
def test_libraries_stay_in_their_folders(library, folders):
    wrong = [path for path in sources("lib", "rstund", "rstunctl")
             if re.search(r"#\s*include\s+<" + library, text(path))
             and os.path.dirname(path) not in folders]
    assert not wrong


def test_the_clock_is_read_in_one_place():
    wrong = [path for path in sources("lib", "rstund", "rstunctl")
             if path != "lib/base/clock.c"
             and re.search(r"\b(clock_gettime|gettimeofday|time)\s*\(", code(path))]
    assert not wrong


def test_no_unbounded_string_functions():
    pattern = r"\b(strcpy|strcat|sprintf|vsprintf|gets|alloca|strtok)\s*\("
    wrong = [path for path in sources("lib", "rstund", "tests", "contrib")
             if re.search(pattern, code(path))]
    assert not wrong


def test_every_file_opens_with_licence_and_comment():
    wrong = [path for path in sources("lib", "rstund", "tests", "contrib")
             if not re.match(r"/\* SPDX-License-Identifier: MIT \*/\n/\*\n \* ", text(path))]
    assert not wrong


def test_headers_guard_themselves():
    wrong = [path for path in sources("lib", "rstund", "tests", "contrib")
             if path.endswith(".h") and "#pragma once" not in text(path)]
    assert not wrong


def test_make_knows_every_file():
    lists = "\n".join(text(os.path.relpath(path, SRCDIR)) for path in
                      glob.glob(os.path.join(SRCDIR, "**", "Makefile.inc"), recursive=True))
    named = set(re.findall(r"[\w./-]+", lists))
    wrong = [path for path in sources("lib", "rstund", "tests", "contrib")
             if path not in named and path[:-len(".c")] not in named]
    assert not wrong


def test_skips_have_reasons():
    for line in text("tests/expected-skips").splitlines():
        if line.strip() and not line.startswith("#"):
            assert len(line.split(None, 1)) == 2, f"no reason: {line}"
