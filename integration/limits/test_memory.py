"""Memory under clients that cost some: bounded each, given back soon, and never more than the control group allows."""

import pytest

from harness import paths
from harness.cgroup import NoControlGroups
from harness.proxy import _is_sanitized
from load import slow_readers


@pytest.fixture(autouse=True)
def nuncio_only(pytestconfig):
    if pytestconfig.getoption("--oracle-only"):
        pytest.skip("nuncio's own")


def is_sanitized():
    return _is_sanitized(paths.nuncio())


def test_slow_readers():
    """A small one of load/slow_readers.py."""
    seen = slow_readers.run("nuncio", clients=300)
    assert seen["is_alive"]
    assert seen["answers"].get("200") == 300
    assert seen["well_again_s"] >= 0
    if not is_sanitized():
        assert seen["kb_each"] <= 64
        assert seen["after_2s_kb"] <= seen["idle_kb"] + 4096
    assert set(seen["well_client"]["statuses"]) == {200}


def test_a_control_group_of_half_as_much_again_as_it_needs_idle():
    """Faults 40. The kernel kills nothing, some are refused, and all is well when the load has gone."""
    if is_sanitized():
        pytest.skip("the sanitizer's memory is not the proxy's")
    try:
        seen = slow_readers.run("nuncio", clients=600, cap_factor=1.5)
    except NoControlGroups as error:
        pytest.skip(str(error))
    assert seen["is_alive"] and seen["oom_kills"] == 0, seen
    assert 0 <= seen["well_again_s"] <= 2, seen
    shed = seen["stats"].get("http.ingress.downstream_rq_overload_close", 0) + \
        seen["stats"].get("listener.127.0.0.1_0.downstream_cx_overload_reject", 0) + \
        seen["stats"].get("http.ingress.downstream_cx_overload_disable_keepalive", 0)
    assert shed > 0, seen
