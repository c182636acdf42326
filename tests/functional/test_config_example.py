# SPDX-License-Identifier: MIT
"""contrib/rstund.conf.example: right as it is, and with every setting in it switched on."""
import os
import re
import subprocess

from harness.daemon import RSTUND
from test_tree import SRCDIR

EXAMPLE = os.path.join(SRCDIR, "contrib/rstund.conf.example")


def check(path):
    result = subprocess.run([RSTUND, "--check-config", "--config", path], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return result.returncode, result.stdout


def switched_on(folder, pki):
    """The example with the settings behind `#` (those behind `# ` are remarks), and with files that
    there are."""
    with open(EXAMPLE, encoding="utf-8") as file:
        text = re.sub(r"(?m)^#(?=[\w\[])", "", file.read())
    for name in ("front.password", "home.password"):
        secret = folder / name
        secret.write_text("example\n")
        secret.chmod(0o600)
        text = text.replace(f"/etc/rstund/{name}", str(secret))
    cert, key = pki.pair("front")
    text = text.replace("/etc/rstund/cert.pem", cert).replace("/etc/rstund/key.pem", key)
    (folder / "conf.d").mkdir()
    path = folder / "rstund.conf"
    path.write_text(text)
    return str(path)


def test_example_is_right():
    assert check(EXAMPLE)[0] == 0, check(EXAMPLE)


def test_example_is_right_with_everything(tmp_path, pki):
    status, output = check(switched_on(tmp_path, pki))
    assert status == 0, output


def test_a_slip_in_it_is_found(tmp_path, pki):
    path = switched_on(tmp_path, pki)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("server-addr", "server-adr"))
    status, output = check(path)
    assert status != 0
    assert re.search(r"rstund\.conf:\d+.*server-adr.*did you mean server-addr", output), output
