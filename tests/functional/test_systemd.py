# SPDX-License-Identifier: MIT
"""The units of contrib/systemd, staged as make install would put them, with the built program:
systemd-analyze has nothing to say, the system's unit is locked in, the user's asks for nothing that
needs privilege. systemd need not be running."""
import os
import re
import shutil
import subprocess

import pytest

from harness.daemon import RSTUND

BUILDDIR = os.environ.get("RSTUND_BUILDDIR") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "../.."))
FOLDER = os.path.join(BUILDDIR, "contrib/systemd")

# What only the system's manager may do, or a user only by way of a user namespace.
PRIVILEGED = """
    User Group SupplementaryGroups DynamicUser PAMName CapabilityBoundingSet AmbientCapabilities
    SecureBits RootDirectory RootImage PrivateDevices PrivateTmp PrivateUsers PrivateNetwork
    PrivateMounts PrivateIPC NetworkNamespacePath ProtectSystem ProtectHome ProtectClock
    ProtectControlGroups ProtectHostname ProtectKernelLogs ProtectKernelModules
    ProtectKernelTunables ProtectProc ProcSubset ReadOnlyPaths ReadWritePaths InaccessiblePaths
    BindPaths TemporaryFileSystem DeviceAllow DevicePolicy IPAddressAllow IPAddressDeny
    LimitNOFILE RemoveIPC Nice CPUSchedulingPolicy OOMScoreAdjust""".split()


def unit_text(name):
    path = os.path.join(FOLDER, name)
    assert os.path.exists(path), f"{path} was not built (make)"
    with open(path, encoding="utf-8") as file:
        return file.read()


def directives(name):
    return re.findall(r"^(\w+)=(.*)$", unit_text(name), flags=re.M)


@pytest.fixture
def stage(tmp_path):
    """Copies of units that start the built program, and the manual that they refer to. Returns
    where they are and the environment to look at them in."""
    manual = tmp_path / "man"
    for name in ("rstund.8", "rstund.conf.5", "rstunctl.1", "rstund-api.7"):
        folder = manual / f"man{name[-1]}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.join(BUILDDIR, "contrib/man", name), folder)
    for folder in ("system", "user"):
        (tmp_path / folder).mkdir()
    for name, to in (("rstund.service", "system"), ("rstund.socket", "system"),
                     ("user/rstund.service", "user")):
        text = unit_text(name)
        staged = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={os.path.abspath(RSTUND)}", text)
        assert name.endswith(".socket") or staged != text
        (tmp_path / to / os.path.basename(name)).write_text(staged)
    environment = dict(os.environ, MANPATH=str(manual), HOME=str(tmp_path),
                       XDG_RUNTIME_DIR=str(tmp_path))
    return tmp_path, environment


def analyze(environment, *arguments):
    result = subprocess.run(["systemd-analyze", *arguments], env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return result.returncode, result.stderr, result.stdout


def verify(environment, *arguments):
    # Without man-db nobody could look the pages up.
    manual = "--man=yes" if shutil.which("man") else "--man=no"
    return analyze(environment, "verify", "--recursive-errors=no", manual, *arguments)[:2]


@pytest.mark.parametrize("unit", ["rstund.service", "rstund.socket"])
def test_system_units_are_right(stage, unit):
    folder, environment = stage
    assert verify(environment, str(folder / "system" / unit)) == (0, "")


def test_user_unit_is_right(stage):
    folder, environment = stage
    assert verify(environment, "--user", str(folder / "user/rstund.service")) == (0, "")


def test_a_wrong_unit_is_found(stage):
    """systemd-analyze does look."""
    folder, environment = stage
    unit = folder / "system/rstund.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in verify(environment, str(unit))[1]


def test_exposure(stage):
    folder, environment = stage
    status, _, output = analyze(environment, "security", "--offline=yes", "--threshold=20",
                                str(folder / "system/rstund.service"))
    assert status == 0, output
    assert re.search(r"exposure level for rstund\.service: [01]\.\d", output), output


def test_the_user_unit_needs_no_privilege():
    used = [name for name, _ in directives("user/rstund.service")]
    assert used and not set(used) & set(PRIVILEGED)


@pytest.mark.parametrize("unit", ["rstund.service", "user/rstund.service"])
def test_what_the_daemon_speaks_is_asked_for(unit):
    values = dict(directives(unit))
    assert values["Type"] == "notify"
    assert values["NotifyAccess"] == "main"
    assert "HUP" in values["ExecReload"]
    assert re.fullmatch(r"\d+s", values["WatchdogSec"])


def test_socket_is_for_the_group():
    values = dict(directives("rstund.socket"))
    assert values["ListenStream"] == "/run/rstund/rstund.sock"
    assert values["SocketMode"] == "0660"
    assert values["SocketGroup"] == "rstund"
    assert values["FileDescriptorName"] == "control"
    # Or stopping the service would take the socket away.
    assert dict(directives("rstund.service"))["RuntimeDirectoryPreserve"] == "yes"


def test_landlock_and_seccomp_are_allowed():
    filters = " ".join(value for name, value in directives("rstund.service")
                       if name == "SystemCallFilter")
    for call in ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
                 "seccomp"):
        assert call in filters.split()


def test_sysusers(tmp_path):
    folder = tmp_path / "usr/lib/sysusers.d"
    folder.mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (folder / "rstund.conf").write_text(unit_text("sysusers.d/rstund.conf"))
    result = subprocess.run(["systemd-sysusers", f"--root={tmp_path}"], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 0, result.stdout
    assert re.search(r"^rstund:", (tmp_path / "etc/passwd").read_text(), flags=re.M)
    assert re.search(r"^rstund:", (tmp_path / "etc/group").read_text(), flags=re.M)


def test_tmpfiles(tmp_path):
    """With the tests' own user in place of those that this machine may not have."""
    text = unit_text("tmpfiles.d/rstund.conf")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert [line[1] for line in lines][1:] == ["/run/rstund"]
    for line in lines:
        line[3], line[4] = str(os.getuid()), str(os.getgid())
    file = tmp_path / "rstund.conf"
    file.write_text("".join(" ".join(line) + "\n" for line in lines))
    root = tmp_path / "root"
    root.mkdir()
    result = subprocess.run(["systemd-tmpfiles", f"--root={root}", "--create", str(file)],
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (result.returncode, result.stdout) == (0, "")
    for line in lines:
        assert os.stat(f"{root}{line[1]}").st_mode & 0o7777 == int(line[2], 8)
