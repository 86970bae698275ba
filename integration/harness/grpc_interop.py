"""gRPC's own interop peers (google.golang.org/grpc/interop), which integration/build.sh compiles."""

import os
import re
import subprocess
import threading

from . import paths

# Those of grpc's doc/interop-test-descriptions.md that need no credentials and that both Go peers know.
CASES = (
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
    "timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response", "status_code_and_message",
    "special_status_message", "custom_metadata", "unimplemented_method", "unimplemented_service",
)
_LISTENING = re.compile(r"interop server listening on .*:([0-9]+)\s*$")
_SUM = re.compile(r"soak test successes: ([0-9]+) / ([0-9]+) iterations. Total failures: ([0-9]+)")


def _program(name):
    binary = paths.BUILD / "integration" / name
    if not binary.is_file():
        raise FileNotFoundError(f"no {binary}: run integration/build.sh")
    return str(binary)


class InteropServer:
    """One server process on a free port. files: (certificate, key) for TLS."""

    def __init__(self, files=None):
        more = ["--use_tls", "--tls_cert_file", str(files[0]), "--tls_key_file", str(files[1])] if files else []
        self.process = subprocess.Popen(
            [_program("interop_server"), "--port", "0", *more], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, env={**os.environ, "GRPC_GO_LOG_SEVERITY_LEVEL": "info"})
        self.port = 0
        for line in self.process.stderr:
            if found := _LISTENING.search(line):
                self.port = int(found[1])
                break
        if not self.port:
            raise RuntimeError("the interop server did not say where it listens")
        self._drain = threading.Thread(target=self.process.stderr.read, daemon=True)
        self._drain.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self._drain.join()
        self.process.stderr.close()


def _client(port, case, *more):
    return [_program("interop_client"), "--server_host", "127.0.0.1", "--server_port", str(port), "--test_case", case, *more]


def over_tls(ca_file, name):
    """Arguments of run_case() for TLS to a server of that name."""
    return ["--use_tls", "--use_test_ca", "--ca_file", str(ca_file), "--server_host_override", name]


def run_case(port, case, *more, timeout=60):
    """Run one case against that port: (exit code, what the client said)."""
    done = subprocess.run(_client(port, case, *more), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    return done.returncode, done.stdout + done.stderr


class Soak:
    """A running rpc_soak (one channel for all calls) or channel_soak (a new one each): large unary calls for that many seconds."""

    def __init__(self, port, case, seconds, *, calls_a_second=20, threads=4, metadata=""):
        self.case = case
        calls = max(int(seconds * calls_a_second), 1)
        self.calls = calls * threads
        command = _client(
            port, case, "--soak_iterations", str(self.calls), "--soak_num_threads", str(threads),
            "--soak_min_time_ms_between_rpcs", str(1000 // calls_a_second),
            # Lost calls are what it looks for: a slow machine may be slow.
            "--soak_per_iteration_max_acceptable_latency_ms", "20000",
            "--soak_overall_timeout_seconds", str(int(seconds * 4 + 60)))
        if metadata:
            command += ["--additional_metadata", metadata]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        self.failed = []  # its lines about calls that failed
        self.succeeded = self.failures = None
        self._said = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            if found := _SUM.search(line):
                self.succeeded, _, self.failures = map(int, found.groups())
            elif " failed: " in line or " exceeds " in line:
                self.failed.append(line.strip())
            elif "FATAL" in line or "ERROR" in line or "panic" in line:
                self._said.append(line.strip())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()

    @property
    def is_running(self):
        return self.process.poll() is None

    def result(self):
        """Wait for its end: what it did, as a dict."""
        code = self.process.wait()
        self._reader.join()
        return {"case": self.case, "exit": code, "calls": self.calls, "succeeded": self.succeeded,
                "failures": self.failures, "examples": self.failed[:5], "said": self._said[:5]}
