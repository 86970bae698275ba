"""Drives dataplane/client/grpc_client_peer, the program around nuncio's gRPC client."""

import os
import shutil
import subprocess
import threading
from pathlib import Path

from harness.paths import BUILD

TARGET = "client-grpc_client_peer"


def build():
    """The program: NUNCIO_GRPC_PEER, or made in the first build tree there is, sanitizers preferred; None if there is none."""
    override = os.environ.get("NUNCIO_GRPC_PEER")
    if override:
        return Path(override)
    for tree in (BUILD / "asan", BUILD / "release"):
        if (tree / "build.ninja").exists() and shutil.which("ninja"):
            subprocess.run(["ninja", "-C", str(tree), TARGET], check=True, stdout=subprocess.DEVNULL)
            return tree / TARGET
    return None


def text(word):
    return "" if word == "-" else bytes.fromhex(word).decode()


class Peer:
    """One process with one cluster. Events of a call are lists of words without the id: ["head", ...]."""

    def __init__(self, binary, *ports):
        self.process = subprocess.Popen(
            [str(binary)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.changed = threading.Condition()
        self.events = {}
        self.is_closed = False
        self.errors = []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._read_errors, daemon=True).start()
        self.do("cluster", *ports)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        """Also the proof that nothing leaks: under ASan the exit status says so."""
        try:
            self.do("quit")
        except BrokenPipeError:
            pass
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        if kind is None:
            assert status == 0, f"the peer exited {status}:\n" + "".join(self.errors)

    def _read(self):
        for line in self.process.stdout:
            who, *words = line.split()
            with self.changed:
                self.events.setdefault(who, []).append(words)
                self.changed.notify_all()
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()

    def _read_errors(self):
        for line in self.process.stderr:
            self.errors.append(line)

    def do(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()

    def of(self, who):
        with self.changed:
            return list(self.events.get(str(who), []))

    def wait(self, who, word, count=1, timeout=20):
        """The `count`th event of a call that begins with `word`."""
        def found():
            matching = [e for e in self.events.get(str(who), []) if e[0] == word]
            return matching[count - 1] if len(matching) >= count else None

        with self.changed:
            self.changed.wait_for(lambda: self.is_closed or found(), timeout)
            event = found()
        assert event, f"no '{word}' for {who}: {self.of(who)}\n" + "".join(self.errors)
        return event

    def close_of(self, who, timeout=20):
        """(code, message, details, x-trailer) of a call."""
        _, code, message, details, trailer = self.wait(who, "close", timeout=timeout)
        return int(code), text(message), text(details), text(trailer)

    def _ask(self, name, *command):
        have = len([e for e in self.of("stat") if e[0] == name])
        self.do(*command)
        return int(self.wait("stat", name, have + 1)[1])

    def stat(self, name):
        return self._ask(name, "stat", name)

    def blocks(self):
        """Buffer blocks of 16 KiB that are in use."""
        return self._ask("blocks", "blocks")
