"""Options and fixtures that all integration tests share."""

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from harness import paths  # noqa: E402
from harness.ads import AdsServer  # noqa: E402
from harness.differential import Duel  # noqa: E402


def pytest_addoption(parser):
    group = parser.getgroup("nuncio")
    group.addoption("--oracle-only", action="store_true", help="run against Envoy alone: checks the tests themselves")
    group.addoption("--nuncio-only", action="store_true", help="no oracle: expectations alone decide")
    group.addoption("--full", action="store_true", help="full-size churn instead of the short one")


def flavours_of(config):
    if config.getoption("--oracle-only"):
        return ["envoy"]
    if config.getoption("--nuncio-only"):
        return ["nuncio"]
    return ["envoy", "nuncio"]


def pytest_configure(config):
    for flavour in flavours_of(config):
        if getattr(paths, flavour)() is None:
            raise pytest.UsageError(f"no {flavour} binary; see integration/README.md, or use --oracle-only/--nuncio-only")
    if paths.adsserver() is None:
        raise pytest.UsageError("no adsserver: run integration/build.sh")


def pytest_generate_tests(metafunc):
    """A test with a `flavour` argument runs once against each proxy; `delta` once for each protocol."""
    if "flavour" in metafunc.fixturenames:
        metafunc.parametrize("flavour", flavours_of(metafunc.config), scope="module")
    if "delta" in metafunc.fixturenames:
        metafunc.parametrize("delta", [False, True], ids=["sotw", "delta"], scope="module")


@pytest.fixture(scope="session")
def flavours(pytestconfig):
    return flavours_of(pytestconfig)


@pytest.fixture(scope="module")
def duel(request, flavours, tmp_path_factory):
    """The module's Duel: the module defines bootstrap(origins, log) and, if it likes, ORIGINS and ARGS."""
    module = request.module
    with Duel(
        flavours, module.bootstrap, getattr(module, "ORIGINS", ("a",)), args=getattr(module, "ARGS", ()),
        workdir=tmp_path_factory.mktemp("duel"),
    ) as made:
        yield made


@pytest.fixture(scope="session")
def ads_process():
    """One management server process for the whole run; each test gets it reset."""
    with AdsServer() as server:
        yield server


@pytest.fixture
def ads(ads_process):
    ads_process.reset()
    yield ads_process
    ads_process.reset()


@pytest.fixture(autouse=True)
def quiet_proxies():
    """Requests to loopback never go through an http_proxy of the environment."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        os.environ.pop(name, None)
    return None
