"""Access log files that do not take what is written: a full disk, a pipe that nobody reads; counters; rotation."""

import os
import threading
import time

import pytest

from harness import config as c
from harness.proxy import Proxy
from harness.upstream import Origin
from harness.wait import wait_for

FORMAT = "%RESPONSE_CODE% " + "x" * 980 + "\n"


def start(flavour, origin, *paths, args=(), concurrency=1):
    hcm = c.hcm(c.simple_routes("r", "a"), access_log=[c.access_log(p, FORMAT) for p in paths])
    return Proxy(flavour, c.static_bootstrap([c.listener("l", hcm)], [c.cluster("a", origin.port)]), args=args,
                 concurrency=concurrency)


def requests(proxy, count):
    with proxy.connect() as client:
        for _ in range(count):
            assert client.get("/").status == 200


def filesystem(proxy):
    return {k.removeprefix("filesystem."): v for k, v in proxy.stats("?filter=^filesystem").items()}


def test_counters(flavour, tmp_path):
    with Origin("a") as origin, start(flavour, origin, tmp_path / "log") as proxy:
        requests(proxy, 30)
        wait_for(lambda: (tmp_path / "log").read_text().count("\n") == 30, "thirty lines", 5)
        found = wait_for(lambda: (s := filesystem(proxy))["write_total_buffered"] == 0 and s, "nothing buffered", 5)
        assert found["write_buffered"] == 30
        assert 1 <= found["flushed_by_timer"] <= 30
        assert 1 <= found["write_completed"] <= 30
        assert found["write_failed"] == found["reopen_failed"] == 0
        if flavour == "nuncio":
            assert found["write_dropped"] == 0


def test_full_disk(flavour):
    """Requests go on; each entry that is lost is counted, and another log is none the worse."""
    with Origin("a") as origin, start(flavour, origin, "/dev/full") as proxy:
        requests(proxy, 100)
        wait_for(lambda: filesystem(proxy)["write_failed"] > 0, "a failed write", 5)
        if flavour == "nuncio":
            wait_for(lambda: filesystem(proxy)["write_dropped"] == 100, "every entry counted", 5)
            assert filesystem(proxy)["write_completed"] == 0
        requests(proxy, 10)
        assert proxy.is_running()


def test_pipe_that_nobody_reads(flavour, tmp_path):
    """Memory stays bounded, requests do not wait, another log goes on, the process ends when it is told to."""
    if flavour == "envoy":
        pytest.skip("Envoy waits for a reader when it opens the pipe")
    os.mkfifo(tmp_path / "pipe")
    with Origin("a") as origin, start(flavour, origin, tmp_path / "pipe", tmp_path / "log") as proxy:
        requests(proxy, 6000)  # six times a million bytes
        wait_for(lambda: (tmp_path / "log").read_text().count("\n") == 6000, "the other log", 20)
        found = filesystem(proxy)
        assert found["write_dropped"] > 1000
        assert found["write_total_buffered"] <= 4 << 20
        # A reader comes: what was kept arrives whole, and nothing is missing but what was counted.
        lines = []

        def read():
            with open(tmp_path / "pipe", "rb") as pipe:
                while len(lines) < 6000 - found["write_dropped"]:
                    lines.append(pipe.readline())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        reader.join(20)
        assert len(lines) == 6000 - found["write_dropped"]
        assert set(lines) == {FORMAT.replace("%RESPONSE_CODE%", "200").encode()}
        began = time.monotonic()
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("how", ["signal", "admin"])
def test_rotation(flavour, tmp_path, how):
    log, old = tmp_path / "log", tmp_path / "old"
    with Origin("a") as origin, start(flavour, origin, log, concurrency=2) as proxy:
        requests(proxy, 5)
        wait_for(lambda: log.read_text().count("\n") == 5, "five lines", 5)
        log.rename(old)
        if how == "signal":
            proxy.signal(10)
        else:
            assert proxy.admin("/reopen_logs", "POST").status == 200
        wait_for(lambda: requests(proxy, 1) or log.exists(), "the new file", 5)
        wait_for(lambda: "200" in log.read_text(), "a line in it", 5)
        assert old.read_text().count("\n") >= 5
        log.unlink()
        tmp_path.chmod(0o555)
        tmp_path.chmod(0o755)


def test_flush_by_size(flavour, tmp_path):
    """With a long interval, what is written is written because there is enough of it."""
    with Origin("a") as origin:
        proxy = start(flavour, origin, tmp_path / "log", args=["--file-flush-min-size-kb", "4"])
        proxy.flush_interval_ms = 100000
        with proxy:
            requests(proxy, 3)
            time.sleep(0.1)
            early = (tmp_path / "log").read_text().count("\n")
            requests(proxy, 20)
            wait_for(lambda: (tmp_path / "log").read_text().count("\n") >= 8, "some lines", 5)
            if flavour == "nuncio":  # Envoy's thread may also find less, right after the start
                assert early == 0
                assert (tmp_path / "log").read_text().count("\n") < 23
