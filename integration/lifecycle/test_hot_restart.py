"""Hot restart: a second process takes the listening sockets of the first; nobody who connects notices."""

import os
import re
import socket
import subprocess
import threading

import pytest

from harness import config as c
from harness import paths
from harness.client import Client, ConnectionEnded
from harness.generations import Generation, Generations, answering, run
from harness.wait import wait_for


@pytest.fixture
def generations(flavour):
    with Generations(flavour) as made:
        yield made


@pytest.mark.parametrize("workers", [(1, 1), (1, 3), (3, 1), (2, 3)], ids=str)
def test_sockets_are_handed_over(generations, workers):
    """Under a load of new connections none is refused or cut, whatever the numbers of workers."""
    if generations.flavour == "envoy" and workers != (1, 1):
        pytest.skip("Envoy cuts some where the numbers differ")
    first = generations.start("one", concurrency=workers[0])
    seen, failed = set(), []
    over = threading.Event()

    def ask():
        while not over.is_set():
            try:
                seen.add(generations.answer())
            except (OSError, AssertionError) as error:
                failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: seen == {"one"}, "the first answers")
        second = generations.start("two", concurrency=workers[1])
        assert first.wait_exit(30) == 0
        seen.clear()
        wait_for(lambda: len(seen) > 0, "an answer after the first has ended")
        wait_for(lambda: second.stat("listener_manager.total_listeners_active") == 1, "admin is the second's")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failed == [] or generations.flavour == "envoy"  # who resets one in ten thousand
    assert seen == {"two"}
    assert second.stat("server.hot_restart_epoch") == 1
    assert second.stat("server.hot_restart_generation") == 2


def test_connections_of_the_parent_are_told(generations):
    """An open connection goes on being the first's, and is told to close within the drain time."""
    generations.start("one")
    with Client(generations.address) as kept:
        assert kept.get("/").text == "one"
        generations.start("two", end="20")
        assert generations.answer() == "two"

        def is_told():
            response = kept.get("/")
            assert response.text == "one"
            return response.header("connection") == "close"

        wait_for(is_told, "connection: close")


def test_one_that_dies_changes_nothing(generations):
    """Started with a configuration that is refused, or killed before it is live: the first serves on, admin too."""
    first = generations.start("one")
    bad = generations.bootstrap("two")
    bad["static_resources"]["listeners"].append(answering("x", generations.port, name="other"))
    child = run(generations.flavour, bad, "--base-id", str(generations.base_id), "--restart-epoch", "1")
    assert child.returncode == 1
    if generations.flavour == "envoy":
        return  # its admin port is the new one's for good
    for _ in range(20):
        assert generations.answer() == "one"
    assert first.ready_state() == (200, "LIVE")
    waits = c.ads_bootstrap(1)
    waits["admin"] = {"address": c.address(generations.admin_port)}
    waits["static_resources"]["listeners"] = [answering("two", generations.port)]
    second = generations.start("two", bootstrap=waits, ready=False)
    wait_for(lambda: "takes over" in first.log, "the second has connected")
    wait_for(lambda: second.ready_state()[1] == "PRE_INITIALIZING", "admin is the second's")
    assert generations.answer() == "one"
    second.kill()
    wait_for(lambda: "before it was live" in first.log, "the first notices")
    for _ in range(20):
        assert generations.answer() == "one"
    wait_for(lambda: first.ready_state() == (200, "LIVE"), "admin is the first's again")
    generations.all.pop()
    generations.start("three")
    assert generations.answer() == "three"


def test_several_generations(generations):
    for n in range(4):
        generations.start(str(n))
        # Envoy's parent may still accept what came before it stopped.
        wait_for(lambda: generations.answer() == str(n), "the new one answers")
        if n >= 2:
            assert generations.all[n - 2].wait_exit(20) == 0
    assert generations.all[-1].stat("server.hot_restart_epoch") == 3


def test_unix_listener_is_handed_over(flavour, tmp_path):
    path = str(tmp_path / "s")
    with Generations(flavour) as generations:
        def bootstrap(body):
            out = generations.bootstrap(body)
            out["static_resources"]["listeners"][0]["address"] = {"pipe": {"path": path}}
            return out

        def answer():
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(path)
                client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                return b"".join(iter(lambda: client.recv(4096), b"")).split(b"\r\n\r\n")[1].decode()

        first = generations.start("one", bootstrap=bootstrap("one"))
        assert answer() == "one"
        generations.start("two", bootstrap=bootstrap("two"), concurrency=2)
        assert first.wait_exit(20) == 0
        assert answer() == "two"


def test_shared_socket_is_handed_over(flavour):
    with Generations(flavour, enable_reuse_port=False) as generations:
        first = generations.start("one", concurrency=2)
        generations.start("two", concurrency=3)
        assert first.wait_exit(20) == 0
        assert generations.answer() == "two"


def test_no_parent(generations):
    """Refused with a reason, unless --skip-hot-restart-on-no-parent."""
    done = run(generations.flavour, generations.bootstrap("x"), "--base-id", str(generations.base_id),
               "--restart-epoch", "1")
    assert done.returncode != 0
    if generations.flavour == "nuncio":
        assert "no parent waits" in done.stderr
        with Generation("nuncio", generations.bootstrap("y"), args=[
                "--base-id", str(generations.base_id), "--restart-epoch", "1", "--skip-hot-restart-on-no-parent"]):
            assert generations.answer() == "y"


def test_base_id_is_taken(generations):
    generations.start("one")
    done = run(generations.flavour, generations.bootstrap("x"), "--base-id", str(generations.base_id))
    assert done.returncode != 0
    assert generations.answer() == "one"
    if generations.flavour == "nuncio":
        assert "see --base-id option" in done.stderr


def test_parent_is_an_envoy():
    """It is told apart, and goes on."""
    if paths.envoy() is None or paths.nuncio() is None:
        pytest.skip("needs both")
    with Generations("envoy") as generations:
        generations.start("envoy")
        done = run("nuncio", generations.bootstrap("x"), "--base-id", str(generations.base_id), "--restart-epoch", "1")
        assert done.returncode == 1
        assert "is an Envoy" in done.stderr
        assert generations.answer() == "envoy"


def test_dynamic_base_id(flavour, tmp_path):
    path = tmp_path / "id"
    proxy = Generation(flavour, c.static_bootstrap([]), args=["--use-dynamic-base-id", "--base-id-path", str(path)])
    with proxy:
        assert re.fullmatch(r"\d+", path.read_text())
    done = run(flavour, c.static_bootstrap([]), "--use-dynamic-base-id", "--restart-epoch", "1")
    assert done.returncode == 1
    assert "error: cannot use --restart-epoch=1 with --use-dynamic-base-id" in done.stderr


def test_version(flavour):
    binary = str(paths.nuncio() if flavour == "nuncio" else paths.envoy())

    def said(*flags):
        return subprocess.run([binary, "--hot-restart-version", *flags], capture_output=True, text=True,
                              timeout=20).stderr.strip()

    assert said("--disable-hot-restart") == "disabled"
    version = said()
    assert re.fullmatch(r"[\d.]+", version)
    with Generations(flavour) as generations:
        proxy = generations.start("one")
        assert proxy.admin("/hot_restart_version").text.strip() == version
        assert proxy.admin("/server_info").json()["hot_restart_version"] == version


def test_socket_path(flavour, tmp_path):
    """A name in the file system, with its permissions; it goes with the process."""
    args = ["--socket-path", str(tmp_path / "hr"), "--socket-mode", "600"]
    with Generations(flavour) as generations:
        first = generations.start("one", args=args)
        names = [name for name in os.listdir(tmp_path) if name.startswith("hr_parent_")]
        assert len(names) == 1
        assert (tmp_path / names[0]).stat().st_mode & 0o777 == 0o600
        generations.start("two", args=args)
        assert first.wait_exit(20) == 0
        assert generations.answer() == "two"


def test_clients_that_keep_connections(generations):
    """Kept connections under load over two restarts: every request is answered."""
    if generations.flavour == "envoy":
        pytest.skip("Envoy closes connections on which a request may be under way")
    generations.start("0")
    failed, seen = [], set()
    over = threading.Event()

    def ask():
        while not over.is_set():
            try:
                with Client(generations.address) as client:
                    while not over.is_set():
                        response = client.get("/")
                        seen.add(response.text)
                        if response.header("connection") == "close":
                            break
            except (OSError, ConnectionEnded) as error:
                failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for n in (1, 2):
            generations.start(str(n))
            wait_for(lambda: str(n) in seen, f"generation {n} answers")
            assert generations.all[n - 1].wait_exit(30) == 0
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failed == []
