# SPDX-License-Identifier: MIT
"""Options and fixtures of the functional tests. The program under test is $RSTUND, the original (if
there is one) $RSTUN; waiting limits are stretched by $RSTUND_TEST_SLOW."""
import contextlib
import os
import shutil
import signal
import tempfile

import pytest

from harness import net
from harness.control import RSTUNCTL, Rstund
from harness.daemon import RSTUND, Fleet
from harness.link import Link
from harness.pki import Pki


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the long tests too")
    parser.addoption("--original-both", action="store_true",
                     help="run the table between two originals, too (a test of the tests)")
    parser.addoption("--direct", action="store_true",
                     help="run the table without a tunnel, too (a test of the tests)")


def pytest_configure():
    """Programs under test are ended by Ctrl-C even where a shell began the tests behind an "&",
    which makes them ignore SIGINT: one with a handler is the default again in a child."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    """Leaves out long tests without --long, what only root can do where we are not, and rows of
    the table that the original cannot do."""
    kept, left = [], []
    for item in items:
        drop = item.get_closest_marker("long") and not config.getoption("--long")
        drop = drop or (item.get_closest_marker("root") and os.geteuid() != 0)
        sides = getattr(item.cls, "sides", None)
        if sides and "rstun" in sides.values():
            for mark in item.iter_markers("original_cannot"):
                params = getattr(getattr(item, "callspec", None), "params", {})
                drop = drop or mark.kwargs["where"](sides, params)
        if getattr(item.cls, "only_with_option", None):
            drop = drop or not config.getoption(item.cls.only_with_option)
        (left if drop else kept).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.call_failed = report.failed


@pytest.fixture
def fleet(request):
    """Starts programs; at the end all of them are stopped and checked."""
    fleet = Fleet()
    yield fleet
    failed = getattr(request.node, "call_failed", True)
    problems = fleet.finish(failed)
    if problems and failed:
        print("\n".join(problems))
    elif problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def make_daemon(fleet):
    """Starts daemons with a control socket; `make_daemon("--config", path)`."""
    daemons = []

    def make(*args, **options):
        daemons.append(Rstund(fleet, *args, **options))
        return daemons[-1]
    yield make
    for daemon in daemons:
        daemon.close()


@pytest.fixture
def daemon(make_daemon):
    """An empty daemon: `rstund --socket PATH --state-dir DIR`."""
    return make_daemon()


@pytest.fixture
def control(daemon):
    return daemon.connect()


@pytest.fixture
def stack():
    """Closes what a test opened."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def tcp_upstream(stack):
    def make(handler, host=net.V4, **options):
        upstream = net.TcpUpstream(handler, host, **options)
        stack.callback(upstream.close)
        return upstream
    return make


@pytest.fixture
def udp_upstream(stack):
    def make(host=net.V4, **options):
        upstream = net.UdpUpstream(host, **options)
        stack.callback(upstream.close)
        return upstream
    return make


@pytest.fixture
def make_link(request, fleet):
    """A link between the programs that the test's class names (default: rstund on both sides)."""
    sides = getattr(request.cls, "sides", {"server": "rstund", "client": "rstund"})
    kind = getattr(request.cls, "link_kind", Link)

    def make(**options):
        return kind(fleet, **{**sides, **options})
    return make


@pytest.fixture(scope="session")
def programs():
    """Copies of the programs where every user may run them."""
    with tempfile.TemporaryDirectory(prefix="rstund-test-") as directory:
        os.chmod(directory, 0o755)
        for program in (RSTUND, RSTUNCTL):
            shutil.copy(program, directory)
        yield directory


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return Pki(str(tmp_path_factory.mktemp("pki")))


@pytest.fixture(scope="session")
def tool():
    """Path of a test tool that was built (tests/tools/NAME)."""
    def find(name):
        build = os.environ.get("RSTUND_BUILDDIR", "")
        path = os.environ.get("RSTUND_TOOLS", os.path.join(build, "tests/tools"))
        path = os.path.join(path, name)
        assert os.access(path, os.X_OK), f"{path} was not built (make check-programs)"
        return path
    return find
