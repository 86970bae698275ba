"""What a process says that breaks down, and that it says it only then."""

import re
import signal
import subprocess

import pytest

from harness import config as c
from harness import paths
from harness.proxy import Proxy, validate


@pytest.mark.parametrize("number, words", [
    (signal.SIGSEGV, "Caught Segmentation fault, suspect faulting address"),
    (signal.SIGABRT, "Caught Aborted, suspect faulting address"),
    (signal.SIGBUS, "Caught Bus error, suspect faulting address"),
], ids=lambda v: v.name if isinstance(v, signal.Signals) else None)
def test_a_crash_is_told(flavour, number, words):
    """Envoy's first line; version and stack; then the signal ends the process as it does without a handler."""
    proxy = Proxy(flavour, c.static_bootstrap([], []))
    proxy.start()
    sanitized = proxy.is_sanitized
    proxy.signal(number)
    code = proxy.wait_exit()
    log = proxy.log
    proxy.process.stdout.close()
    proxy.process = None
    if sanitized:
        pytest.skip("the sanitizer has handlers of its own")
    assert code == -number
    assert log.count(words) == 1, log
    if flavour == "nuncio":
        version = subprocess.run([paths.nuncio(), "--version"], capture_output=True, text=True, check=True).stdout
        told = re.search(r"nuncio version: (\S+)", log)
        assert told and told[1] in version
        assert re.search(r"^#0: nuncio\+0x[0-9a-f]+ \[0x[0-9a-f]+\]$", log, re.M), log


@pytest.mark.differential
def test_watchdog_series(flavours):
    """One for each thread, and one for each kind, from the start."""
    series = {}
    for flavour in flavours:
        with Proxy(flavour, c.static_bootstrap([], []), concurrency=2) as proxy:
            found = proxy.stats("?filter=watchdog")
            series[flavour] = sorted(found)
            assert not any(found.values()), f"{flavour}: {found}"
    for found in series.values():
        assert found == [f"{whose}.watchdog_{what}" for whose in
                         ("main_thread", "server.main_thread", "server.worker_0", "server.worker_1", "workers")
                         for what in ("mega_miss", "miss")]


@pytest.mark.differential
@pytest.mark.parametrize("field, reason", [
    ({"watchdogs": {"main_thread_watchdog": {"miss_timeout": "0.5s", "kill_timeout": "30s"},
                    "worker_watchdog": {"multikill_timeout": "30s", "multikill_threshold": {"value": 50}}}}, None),
    ({"watchdog": {"megamiss_timeout": "2s", "max_kill_timeout_jitter": "1s"}}, None),
    ({"watchdog": {"multikill_threshold": {"value": 101}}}, "[0, 100]"),
    ({"watchdogs": {"worker_watchdog": {"miss_timeout": "-1s"}}}, "miss_timeout"),
    ({"watchdog": {}, "watchdogs": {}}, "Only one of watchdog or watchdogs should be set!"),
], ids=str)
def test_watchdog_configuration(flavours, field, reason):
    for flavour in flavours:
        code, said = validate(flavour, {**c.static_bootstrap([], []), **field})
        assert code == (0 if reason is None else 1), f"{flavour}: {said}"
        if reason is not None and flavour == "nuncio":
            assert reason in said
