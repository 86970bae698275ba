"""Signals and restarts while requests come: what may be lost, and what may not (faults.md, 41;
load/hot_restart.py at full size)."""

import signal
import sys
import threading
from pathlib import Path

import pytest

from harness import config as c
from harness.client import Client, ConnectionEnded
from harness.generations import Generations, run
from harness.wait import wait_for

sys.path.append(str(Path(__file__).parents[1] / "load"))

from hot_restart import restarts  # noqa: E402


@pytest.fixture
def generations(flavour):
    if flavour == "envoy":
        pytest.skip("Envoy ends at once on SIGTERM")
    with Generations(flavour) as made:
        yield made


class Asking:
    """Threads that ask without a pause: what they saw, and what failed."""

    def __init__(self, generations, kept=False):
        self.generations, self.kept = generations, kept
        self.over = threading.Event()
        self.seen, self.failed = [], []
        self.threads = [threading.Thread(target=self._run) for _ in range(3)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _run(self):
        while not self.over.is_set():
            try:
                with Client(self.generations.address) as client:
                    while not self.over.is_set():
                        response = client.get("/")
                        self.seen.append(response.text)
                        if response.header("connection") == "close" or not self.kept:
                            break
            except (OSError, ConnectionEnded) as error:
                self.failed.append(error)


def test_restarts_and_sigterm_lose_nothing(flavour):
    """Two restarts at a steady rate; then SIGTERM, where Envoy ends at once."""
    if flavour == "envoy":
        pytest.skip("the pace of a test that waits for Envoy's drains is too slow")
    result = restarts(flavour, seconds=5, rate=300, every=2)
    assert result["failed"] == []
    assert result["refused"] == 0
    assert result["generations"] >= 2
    assert result["answered"] > 300
    assert set(result["exit_codes"]) == {0}


def test_sighup_under_load(generations):
    proxy = generations.start("one")
    with Asking(generations, kept=True) as asking:
        for count in range(1, 4):
            proxy.signal(signal.SIGHUP)
            wait_for(lambda: proxy.log.count("SIGHUP") == count, "it is told")
        before = len(asking.seen)
        wait_for(lambda: len(asking.seen) > before + 20, "answers go on")
    assert asking.failed == []


def test_sigkill_and_start_under_load(generations):
    """A new process with the same address and base id starts at once, and everybody is served again."""
    proxy = generations.start("one")
    with Asking(generations) as asking:
        wait_for(lambda: "one" in asking.seen, "answers")
        proxy.kill()
        wait_for(lambda: asking.failed, "clients notice")
        generations.all.clear()
        generations.start("two")
        wait_for(lambda: asking.seen[-30:] == ["two"] * 30, "answers of the second, for everybody")
        del asking.failed[:]
        before = len(asking.seen)
        wait_for(lambda: len(asking.seen) > before + 50, "answers go on")
        assert asking.failed == []


def test_sigkill_of_the_new_one_under_load(generations):
    """The old one has stopped accepting for it only once it was live: killed before that, nobody notices."""
    first = generations.start("one")
    waits = c.ads_bootstrap(1)
    waits["admin"] = {"address": c.address(generations.admin_port)}
    waits["static_resources"]["listeners"] = generations.bootstrap("two")["static_resources"]["listeners"]
    with Asking(generations) as asking:
        for _ in range(3):
            generations.start("two", bootstrap=waits, ready=False)
            wait_for(lambda: generations.all[-1].ready_state()[0] == 503, "the second answers on the admin port")
            generations.all.pop().kill()
            before = len(asking.seen)
            wait_for(lambda: len(asking.seen) > before + 20, "answers go on")
        wait_for(lambda: first.ready_state() == (200, "LIVE"), "admin is the first's again")
    assert asking.failed == []
    assert set(asking.seen) == {"one"}


def test_parent_that_drains_takes_no_second_child(generations):
    first = generations.start("one", end="30")
    generations.start("two", end="30")
    done = run("nuncio", generations.bootstrap("x"), "--base-id", str(generations.base_id), "--restart-epoch", "1")
    assert done.returncode == 1
    assert first.is_running()
    assert generations.answer() == "two"


def test_sigterm_of_a_parent_while_a_child_starts(generations):
    """The child has the sockets already: clients wait for it, and are not refused."""
    first = generations.start("one")
    waits = c.ads_bootstrap(1)
    waits["admin"] = {"address": c.address(generations.admin_port)}
    waits["static_resources"]["listeners"] = generations.bootstrap("two")["static_resources"]["listeners"]
    generations.start("two", bootstrap=waits, ready=False)
    wait_for(lambda: "takes over" in first.log, "the second has connected")
    wait_for(lambda: generations.all[1].ready_state()[0] == 503, "admin is the second's")
    first.signal(signal.SIGTERM)
    assert first.wait_exit(20) == 0
    Client(generations.address).close()  # queued until the second is live
