"""Runs a proxy (nuncio or the Envoy oracle: same bootstrap, same flags) and talks to its admin port."""

import functools
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

import yaml

from . import paths
from .client import Client
from .wait import WaitTimeout, wait_for

SANITIZER = re.compile(
    r"ERROR: (Address|Leak|Memory|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:|"
    r"Assertion .* failed|assert failure|LeakSanitizer: detected"
)


class AdminReply:
    """An answer of the admin port."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)


class Proxy:
    """One proxy process. Start it with start(), or use it as a context manager.

    flavour is 'nuncio' or 'envoy'. bootstrap is a dict; the admin section is added (port 0) unless it has one.
    """

    def __init__(self, flavour, bootstrap, *, concurrency=1, args=(), env=None, ready=True, name=None,
                 log_level="info", config_name="bootstrap.yaml", start_in=None):
        self.flavour = flavour
        self.binary = paths.nuncio() if flavour == "nuncio" else paths.envoy()
        if self.binary is None:
            raise FileNotFoundError(f"no {flavour} binary: see integration/README.md")
        self.bootstrap = dict(bootstrap)
        self.bootstrap.setdefault(
            "admin", {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
        )
        self.concurrency = concurrency
        self.args = list(args)
        self.env = env or {}
        self.log_level = log_level
        self.config_name = config_name
        self.start_in = start_in  # called in the new process before the proxy: its limits, its cgroup
        self.wait_for_ready = ready
        self.name = name or flavour
        self.flush_interval_ms = 20
        self.process = None
        self._dir = None
        self._admin = None
        self._log = b""
        self._log_lock = threading.Lock()
        self._ports = {}

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    # Life.

    def command(self, extra=()):
        return [
            str(self.binary), "-c", str(self.config_path), "--concurrency", str(self.concurrency),
            "--disable-hot-restart", "--admin-address-path", str(self.dir / "admin"),
            "--file-flush-interval-msec", str(self.flush_interval_ms), "--log-level", self.log_level, *self.args, *extra,
        ]

    @property
    def dir(self):
        if self._dir is None:
            self._dir = tempfile.TemporaryDirectory(prefix=f"nuncio-{self.flavour}-")
        return Path(self._dir.name)

    @property
    def config_path(self):
        path = self.dir / self.config_name
        if not path.exists():
            path.write_text(json.dumps(self.bootstrap))
        return path

    def start(self):
        """Start it; unless ready=False, wait until /ready says LIVE."""
        env = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
               **os.environ, **self.env}
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=env, cwd=self.dir, preexec_fn=self.start_in,
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            if self.wait_for_ready:
                self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def _read_log(self):
        while True:
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                return
            with self._log_lock:
                self._log += piece

    @property
    def log(self):
        """Everything it printed so far (stdout and stderr)."""
        with self._log_lock:
            return self._log.decode("utf-8", "replace")

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout=30.0):
        """Wait for it to end; its exit code."""
        code = self.process.wait(timeout)
        self._reader.join(5)
        return code

    def kill(self):
        if self.is_running():
            self.process.kill()
            self.process.wait()

    def stop(self):
        """Ask it to go at once, and check that it left no sanitizer report and did not crash."""
        if self.process is None:
            return
        crashed = None
        if self.is_running():
            try:
                self.admin("/quitquitquit", "POST")
            except (OSError, AssertionError, http.client.HTTPException):
                self.signal(signal.SIGKILL)
            try:
                self.wait_exit(20)
            except subprocess.TimeoutExpired:
                self.kill()
                crashed = "did not end within 20 s of /quitquitquit"
        code = self.process.returncode
        self._reader.join(5)
        if code not in (0, -signal.SIGKILL, -signal.SIGTERM):
            crashed = f"ended with {code}"
        try:
            self.check_clean()
            if crashed:
                raise AssertionError(f"{self.name} {crashed}; its log ends:\n{self.log[-4000:]}")
        finally:
            self.process.stdout.close()
            self.process = None
            if self._dir is not None:
                self._dir.cleanup()

    def check_clean(self):
        """No sanitizer report, no failed assertion in the log so far."""
        found = SANITIZER.search(self.log)
        if found:
            raise AssertionError(f"{self.name}: {self.log[max(found.start() - 200, 0):found.start() + 5000]}")

    # Admin.

    @property
    def admin_address(self):
        if self._admin is None:
            path = self.dir / "admin"

            def read():
                if not self.is_running():
                    raise AssertionError(
                        f"{self.name} ended with {self.process.returncode}:\n{self.log[-4000:]}")
                return path.exists() and path.read_text().strip()

            host, _, port = wait_for(read, f"{self.name} writes its admin address", 20).rpartition(":")
            self._admin = (host.strip("[]"), int(port))
        return self._admin

    def admin(self, path, method="GET", body=None, timeout=20.0):
        connection = http.client.HTTPConnection(*self.admin_address, timeout=timeout)
        try:
            connection.request(method, path, body=body)
            reply = connection.getresponse()
            return AdminReply(reply.status, reply.getheaders(), reply.read())
        finally:
            connection.close()

    def ready_state(self):
        """(status, text) of /ready; (None, "") while the admin port is not up."""
        try:
            reply = self.admin("/ready")
        except OSError:
            return None, ""
        return reply.status, reply.text.strip()

    def wait_ready(self, timeout=20.0):
        def live():
            if not self.is_running():
                raise AssertionError(
                    f"{self.name} ended with {self.process.returncode}:\n{self.log[-4000:]}")
            return self.ready_state()[0] == 200

        try:
            wait_for(live, f"{self.name} is ready", timeout)
        except WaitTimeout as error:
            raise WaitTimeout(f"{error}\n{self.log[-4000:]}") from None
        return self

    def stats(self, query=""):
        """Counters and gauges as {name: int}; text readouts as {name: str}."""
        out = {}
        for line in self.admin(f"/stats{query}").text.splitlines():
            name, _, value = line.partition(": ")
            if value.lstrip("-").isdigit():
                out[name] = int(value)
            elif value.startswith('"'):
                out[name] = value.strip('"')
        return out

    def stat(self, name):
        """One counter or gauge; 0 when absent."""
        return self.stats("?filter=^" + re.escape(name).replace("\\", "%5C") + "$").get(name, 0)

    def wait_stat(self, name, test, timeout=10.0):
        """Wait until the stat equals a value, or test(value) holds; returns it."""
        check = test if callable(test) else lambda value: value == test
        seen = []

        def probe():
            seen[:] = [self.stat(name)]
            return check(seen[0])

        wait_for(probe, lambda: f"{self.name}: {name} is {seen[0]}", timeout)
        return seen[0]

    def listeners(self):
        """{name: [(host, port), ...]} of the listeners that are bound."""
        out = {}
        for status in self.admin("/listeners?format=json").json().get("listener_statuses", []):
            addresses = [status["local_address"], *status.get("additional_local_addresses", [])]
            out[status["name"]] = [
                (a["socket_address"]["address"], a["socket_address"].get("port_value", 0))
                for a in addresses if "socket_address" in a
            ]
        return out

    def wait_listener(self, name, timeout=10.0):
        """Wait until that listener is bound; its first (host, port)."""
        def found():
            addresses = self.listeners().get(name)
            return addresses and addresses[0][1] and addresses

        return wait_for(found, f"{self.name} has listener {name}", timeout)[0]

    def address(self, listener=None):
        """Where to connect: the named listener, or the only one."""
        if listener is None:
            names = list(self.listeners())
            assert len(names) == 1, f"name one of {names}"
            listener = names[0]
        if listener not in self._ports:
            host, port = self.wait_listener(listener)
            self._ports[listener] = ("127.0.0.1" if host == "0.0.0.0" else host, port)
        return self._ports[listener]

    def forget_addresses(self):
        """After a listener has moved."""
        self._ports = {}

    def connect(self, listener=None, **kwargs):
        return Client(self.address(listener), **kwargs)

    def config_dump(self):
        return self.admin("/config_dump").json()

    # Process.

    @property
    def is_sanitized(self):
        """Built with AddressSanitizer: its memory says nothing about the proxy's."""
        return self.flavour == "nuncio" and _is_sanitized(self.binary)

    def rss_kb(self):
        return self._status("VmRSS")

    def peak_kb(self):
        return self._status("VmHWM")

    def _status(self, key):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
        return 0

    def cpu_ns(self):
        """CPU time of all its threads, in nanoseconds."""
        return cpu_ns(self.pid)

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@functools.lru_cache
def _is_sanitized(binary):
    return b"__asan_init" in Path(binary).read_bytes()


def cpu_ns(pid):
    """CPU time of all living threads of a process, in nanoseconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (OSError, IndexError):
            continue
    return total


def validate(flavour, bootstrap, args=(), timeout=60):
    """Run `--mode validate`; (exit code, output)."""
    proxy = Proxy(flavour, bootstrap if isinstance(bootstrap, dict) else {})
    if isinstance(bootstrap, str):
        proxy.config_path.write_text(bootstrap)
    try:
        done = subprocess.run(
            proxy.command(["--mode", "validate", *args]), capture_output=True, text=True,
            timeout=timeout, cwd=proxy.dir, errors="replace",
        )
        return done.returncode, done.stdout + done.stderr
    finally:
        proxy._dir.cleanup()


def dump_yaml(value):
    return yaml.safe_dump(value, sort_keys=False)
