"""The programs of a bench: the C ones compiled on first use, all run pinned to the client's CPU."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "build" / "bench"
SOURCES = {"origin": ["origin.c", "origin_h2.c", "origin.h"], "loadgen": ["loadgen.c", "loadgen_clear.c", "loadgen_tls.h"],
           "loadgen_tls": ["loadgen.c", "loadgen_tls.c", "loadgen_tls.h"]}
LIBRARIES = {"loadgen_tls": ["-lssl", "-lcrypto"]}


def program(name):
    """The path of a compiled program, compiled again when a source is newer."""
    sources, binary = [HERE / source for source in SOURCES[name]], OUT / name
    if not binary.exists() or binary.stat().st_mtime < max(s.stat().st_mtime for s in sources):
        OUT.mkdir(parents=True, exist_ok=True)
        units = [str(s) for s in sources if s.suffix == ".c"]
        subprocess.run(["cc", "-std=gnu11", "-O2", "-o", str(binary), *units, *LIBRARIES.get(name, ())], check=True)
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


class TlsOrigin:
    """nginx with TLS 1.3 that asks for certificates and answers everything with two bytes."""

    def __init__(self, identity, port, cpu=None):
        self.port = port
        self._place = tempfile.TemporaryDirectory(prefix="bench-origin-")
        path = Path(self._place.name) / "config"
        path.write_text(f"""
            {"user root;" if os.getuid() == 0 else ""} worker_processes 1; daemon off; pid {path}.pid; error_log stderr crit;
            worker_rlimit_nofile 65536; events {{ worker_connections 20000; multi_accept on; }}
            http {{
                access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; tcp_nodelay on;
                client_body_temp_path {path}.b; proxy_temp_path {path}.p; fastcgi_temp_path {path}.f;
                uwsgi_temp_path {path}.u; scgi_temp_path {path}.s;
                server {{
                    listen 127.0.0.1:{port} ssl backlog=4096; ssl_protocols TLSv1.3;
                    ssl_certificate {identity["server.pem"]}; ssl_certificate_key {identity["server.key"]};
                    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ssl_ecdh_curve X25519;
                    ssl_client_certificate {identity["ca.pem"]}; ssl_verify_client on;
                    location / {{ return 200 "ok"; }}
                }}
            }}""")
        command = [shutil.which("nginx"), "-c", str(path), "-p", self._place.name, "-e", "stderr"]
        self.process = subprocess.Popen(pinned(cpu, command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(20)
        self._place.cleanup()


class Load:
    """A loadgen that runs until stop(), or for the seconds or requests given."""

    def __init__(self, port, connections=16, cpu=None, seconds=None, requests=None, path="/", host="test",
                 headers=(), bodies=False, hold=False, tls=None, mutual=False, reconnect=False, resume=False):
        """tls: an Identity; mutual: its client's certificate is shown. reconnect: a connection a request; resume: in the
        session of the one before."""
        command = [program("loadgen_tls" if tls else "loadgen"), "--connections", str(connections), "--path", path, "--host", host]
        command += ["--seconds", str(seconds)] if seconds else []
        command += ["--requests", str(requests)] if requests else []
        for header in headers:
            command += ["--header", header]
        command += ["--bodies"] * bodies + ["--hold"] * hold + ["--reconnect"] * reconnect
        if tls:
            command += ["--tls"] + ["--resume"] * resume
            command += ["--certificate", str(tls["client.pem"]), "--key", str(tls["client.key"])] if mutual else []
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
