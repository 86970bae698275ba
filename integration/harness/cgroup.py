"""A memory control group of a test's own: version 1 or 2, whichever the machine has and lets be made."""

import contextlib
import os
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


class NoControlGroups(Exception):
    """The machine has none, or this process may make none."""


def _own(version):
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if (version == 1 and "memory" in controllers.split(",")) or (version == 2 and number == "0"):
            return path
    return "/"


class MemoryGroup:
    """Make it, let a process enter() it before it starts, set its limit(); close() when all have left."""

    def __init__(self):
        self.version = 1 if (ROOT / "memory" / "memory.limit_in_bytes").exists() else 2
        mount = ROOT / "memory" if self.version == 1 else ROOT
        name = f"nuncio-test-{os.getpid()}-{time.monotonic_ns()}"
        parents = [mount / _own(self.version).lstrip("/"), mount]
        self.path = None
        for parent in parents:
            with contextlib.suppress(OSError):
                path = parent / name
                path.mkdir()
                self.path = path
                break
        if self.path is None or not (self.path / self._file("limit")).exists():
            if self.path is not None:
                self.path.rmdir()
            raise NoControlGroups("no memory control group can be made here")

    def _file(self, what):
        return {
            "limit": ("memory.limit_in_bytes", "memory.max"), "usage": ("memory.usage_in_bytes", "memory.current"),
            "events": ("memory.oom_control", "memory.events"),
        }[what][self.version - 1]

    def enter(self):
        """The calling process and its children are in it from now on."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def limit(self, limit_bytes):
        (self.path / self._file("limit")).write_text(str(limit_bytes))
        return limit_bytes

    def used(self):
        """Without page cache."""
        stat = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        cache = int(stat.get("inactive_file", 0)) + int(stat.get("active_file", 0))
        return int((self.path / self._file("usage")).read_text()) - cache

    def oom_kills(self):
        for line in (self.path / self._file("events")).read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    def close(self):
        for _ in range(100):
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.05)
