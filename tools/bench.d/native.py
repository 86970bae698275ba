"""The programs of a bench: the C ones compiled on first use, all run pinned to the client's CPU."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "build" / "bench"
SOURCES = {"origin": ["origin.c", "origin_h2.c", "origin.h"], "loadgen": ["loadgen.c"]}


def program(name):
    """The path of a compiled program, compiled again when a source is newer."""
    sources, binary = [HERE / source for source in SOURCES[name]], OUT / name
    if not binary.exists() or binary.stat().st_mtime < max(s.stat().st_mtime for s in sources):
        OUT.mkdir(parents=True, exist_ok=True)
        units = [str(s) for s in sources if s.suffix == ".c"]
        subprocess.run(["cc", "-std=gnu11", "-O2", "-o", str(binary), *units], check=True)
    return str(binary)


def pinned(cpu, command):
    return command if cpu is None else ["taskset", "-c", str(cpu), *command]


class Origins:
    """The C origin: one port per name, HTTP/1 and HTTP/2."""

    def __init__(self, *names, cpu=None, body_bytes=0, grpc=False):
        command = [program("origin"), "-b", str(body_bytes), *["-g"] * grpc, *names]
        self.process = subprocess.Popen(pinned(cpu, command), stdout=subprocess.PIPE, text=True)
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


_H2LOAD = {
    "seconds": (r"finished in ([0-9.]+)(m?s)", {"s": 1, "ms": 1e-3}),
    "mean_us": (r"time for request: +\S+ +\S+ +([0-9.]+)(us|ms|s)", {"us": 1, "ms": 1e3, "s": 1e6}),
}


class H2Load:
    """nghttp2's h2load over cleartext HTTP/2, for the seconds or requests given. body: bytes to POST."""

    def __init__(self, port, connections=1, streams=1, cpu=None, seconds=None, requests=None, path="/", headers=(),
                 body=None):
        command = ["h2load", "--clients", str(connections), "--max-concurrent-streams", str(streams)]
        command += ["--duration", f"{round(seconds * 1000)}ms"] if seconds else ["--requests", str(requests)]
        for header in headers:
            command += ["--header", header]
        self._body = tempfile.NamedTemporaryFile(prefix="bench-body-")
        if body is not None:
            self._body.write(body)
            self._body.flush()
            command += ["--data", self._body.name]
        self.process = subprocess.Popen(pinned(cpu, [*command, f"http://127.0.0.1:{port}{path}"]),
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result(self):
        """Wait for its end; the totals."""
        said = self.process.communicate()[0]
        self._body.close()
        counts = {name: int(n) for n, name in re.findall(
            r"([0-9]+) (succeeded|failed|errored|timeout|3xx|4xx|5xx)\b", said)}
        data = re.search(r"\(([0-9]+)\) data", said)
        if self.process.returncode or "succeeded" not in counts or not data:
            raise RuntimeError(f"h2load ended with {self.process.returncode}: {said[-1000:]}")
        out = {"responses": counts.pop("succeeded"), "failures": counts, "data_bytes": int(data[1])}
        for name, (pattern, units) in _H2LOAD.items():
            if found := re.search(pattern, said):
                out[name] = float(found[1]) * units[found[2]]
        return out


def failures(totals):
    """The number of failed requests, and which kinds."""
    kinds = {k: n for k, n in totals["failures"].items() if n}
    return sum(kinds.values()), kinds
