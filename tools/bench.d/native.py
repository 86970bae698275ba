"""The C programs of a bench: compiled on first use, run pinned to the client's CPU."""

import json
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "build" / "bench"


def program(name):
    """The path of a compiled program, compiled again when its source is newer."""
    source, binary = HERE / f"{name}.c", OUT / name
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        OUT.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-std=gnu11", "-O2", "-o", str(binary), str(source)], check=True)
    return str(binary)


def pinned(cpu, command):
    return command if cpu is None else ["taskset", "-c", str(cpu), *command]


class Origins:
    """The C origin: one port per name."""

    def __init__(self, *names, cpu=None, body_bytes=0):
        self.process = subprocess.Popen(
            pinned(cpu, [program("origin"), "-b", str(body_bytes), *names]), stdout=subprocess.PIPE, text=True)
        self.ports = json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __getitem__(self, name):
        return self.ports[name]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Load:
    """A loadgen that runs until stop(), or for the seconds or requests given."""

    def __init__(self, port, connections=16, cpu=None, seconds=None, requests=None, path="/", host="test",
                 headers=(), bodies=False, hold=False):
        command = [program("loadgen"), "--connections", str(connections), "--path", path, "--host", host]
        command += ["--seconds", str(seconds)] if seconds else []
        command += ["--requests", str(requests)] if requests else []
        for header in headers:
            command += ["--header", header]
        command += ["--bodies"] * bodies + ["--hold"] * hold
        self.process = subprocess.Popen(
            pinned(cpu, [*command, str(port)]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def report(self):
        """The totals so far; the latency window starts anew."""
        self.process.stdin.write("report\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        """End it; the totals."""
        self.process.stdin.close()
        return self._result()

    def result(self):
        """Wait until its seconds or requests are over; the totals."""
        result = self._result()
        self.process.stdin.close()
        return result

    def _result(self):
        lines = self.process.stdout.read().splitlines()
        self.process.wait()
        return json.loads(lines[-1])


def failures(totals):
    """The number of failed requests, and which kinds."""
    kinds = {k: n for k, n in totals["failures"].items() if n}
    return sum(kinds.values()), kinds
