"""The proxies under comparison. A peer starts its process pinned to one CPU with one worker, from a Setup.

To add a peer: a class with name, can(setup) and start(setup, cpu), and a line in PEERS.
"""

import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness import config as c
from harness import paths
from harness.proxy import Proxy, cpu_ns
from harness.tls import attempt
from identity import NAME
from native import H2Load


@dataclass
class Setup:
    """What a proxy has to be: one listener that forwards to one backend, or the bootstrap of a scenario."""

    backend: int = 0
    front_h2: bool = False  # cleartext HTTP/2 with prior knowledge from the client
    back_h2: bool = False  # and to the backend
    windows: tuple = ()  # HTTP/2's, of a stream and of a connection; without: each proxy's own defaults
    tcp: bool = False  # relays bytes, whatever they are
    tls: object = None  # an Identity: TLS from the client
    mutual: bool = False  # with its certificate; and TLS to the backend, with ours
    log: object = None  # a path: an access log of every request, in the proxy's own default format
    bootstrap: object = None  # a function (port) -> bootstrap, for proxies that speak xDS only
    extra: dict = field(default_factory=dict)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def open_files():
    """How many files a process here may open."""
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1 << 20)


def thresholds():
    """Circuit breakers out of the way."""
    return {"circuit_breakers": {"thresholds": [{
        "max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}]}}


def relay(cluster):
    """The tcp_proxy network filter."""
    return {"name": "tcp", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "relay", "cluster": cluster}}


def plain_bootstrap(port, setup):
    if setup.tcp:
        return c.static_bootstrap([c.listener("l", relay("backend"), port=port)],
                                  [c.cluster("backend", setup.backend, **thresholds())])
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "backend")))
    h2 = dict(zip(("initial_stream_window_size", "initial_connection_window_size"), setup.windows))
    front = {"http2_protocol_options": h2} if setup.front_h2 else {}
    back = {"typed_extension_protocol_options": c.http_options(explicit_http_config={"http2_protocol_options": h2})}
    if setup.log:
        front["access_log"] = [c.access_log(setup.log, fmt=None)]
    chain = c.chain(c.hcm(table, **front))
    cluster = c.cluster("backend", setup.backend, **thresholds(), **(back if setup.back_h2 else {}))
    if setup.tls:
        chain["transport_socket"] = setup.tls.downstream(setup.mutual)
    if setup.mutual:
        cluster["transport_socket"] = setup.tls.upstream()
    return c.static_bootstrap([c.listener("l", chain, port=port)], [cluster])


def answers_h1(port):
    """One GET over HTTP/1: is it a 200?"""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
        probe.sendall(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        return probe.recv(4096).startswith(b"HTTP/1.1 200")


def answers_tls(identity, mutual):
    """The same over TLS, for wait_answer()."""
    tls = identity.context(mutual)

    def answers(port):
        return attempt(("127.0.0.1", port), tls=tls, sni=NAME, timeout=5).status == 200

    return answers


def answers_h2(port):
    """The same over cleartext HTTP/2."""
    socket.create_connection(("127.0.0.1", port)).close()
    return not any(H2Load(port, requests=1).result()["failures"].values())


class Running:
    """A proxy that is up: its processes and its port."""

    def __init__(self, name, port, pids, stop):
        self.name = name
        self.port = port
        self._pids = pids
        self.stop = stop

    def pids(self):
        return self._pids()

    def cpu_ns(self):
        """CPU time of all its processes, in nanoseconds."""
        return sum(cpu_ns(pid) for pid in self.pids())

    def memory_kb(self, key="VmRSS"):
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(key + ":"):
                    total += int(line.split()[1])
        return total

    def settled_kb(self, limit=15.0):
        """Resident memory once it stays within half a percent for a second."""
        end = time.monotonic() + limit
        window = []
        while time.monotonic() < end:
            window = [*window[-10:], self.memory_kb()]
            if len(window) == 11 and max(window) - min(window) <= max(window) / 200:
                break
            time.sleep(0.1)
        return window[-1]

    def wait_answer(self, limit=60.0, answers=answers_h1):
        """Poll until the first 200; the time of it (time.monotonic)."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            try:
                if answers(self.port):
                    return time.monotonic()
            except OSError:
                pass
            time.sleep(0.0002)
        raise RuntimeError(f"{self.name} gave no 200 within {limit:g} s")


class EnvoyLike:
    """nuncio or Envoy: the same bootstrap and flags."""

    def __init__(self, name):
        self.name = name
        self.binary = getattr(paths, name)()

    def can(self, setup):
        return self.binary is not None

    def start(self, setup, cpu):
        port = free_port()
        bootstrap = setup.bootstrap(port) if setup.bootstrap else plain_bootstrap(port, setup)
        proxy = PinnedProxy(self.name, bootstrap, cpu)
        proxy.start()
        running = Running(self.name, port, lambda: [proxy.pid], proxy.stop)
        running.proxy = proxy
        return running


class PinnedProxy(Proxy):
    """A Proxy that may only use one CPU, and does not wait to be ready."""

    def __init__(self, flavour, bootstrap, cpu):
        super().__init__(flavour, bootstrap, ready=False, log_level="error")
        self.cpu = cpu

    def command(self, extra=()):
        base = super().command(extra)
        return base if self.cpu is None else ["taskset", "-c", str(self.cpu), *base]


class Classic:
    """nginx or HAProxy: a configuration file, a process tree, no xDS."""

    def can(self, setup):
        return setup.bootstrap is None and shutil.which(self.name) is not None

    def start(self, setup, cpu):
        port = free_port()
        place = tempfile.TemporaryDirectory(prefix=f"bench-{self.name}-")
        path = Path(place.name) / "config"
        path.write_text(self.config(port, setup, place.name))
        command = self.command(path, place.name)
        if cpu is not None:
            command = ["taskset", "-c", str(cpu), *command]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)

        def stop():
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            place.cleanup()

        return Running(self.name, port, lambda: tree(process.pid), stop)


def tree(pid):
    """A process and its children."""
    out = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            out += tree(int(child))
    return out


class Nginx(Classic):
    name = "nginx"

    def command(self, path, place):
        return [shutil.which("nginx"), "-c", str(path), "-p", place, "-e", "stderr"]

    MODULES = Path("/usr/lib/nginx/modules")  # Debian's: stream is one of them

    def can(self, setup):
        return super().can(setup) and (not setup.tcp or (self.MODULES / "ngx_stream_module.so").exists())

    @staticmethod
    def front_tls(setup):
        if not setup.tls:
            return ""
        asks = f"ssl_client_certificate {setup.tls['ca.pem']}; ssl_verify_client on;" if setup.mutual else ""
        return (f"ssl_certificate {setup.tls['server.pem']}; ssl_certificate_key {setup.tls['server.key']}; "
                f"ssl_protocols TLSv1.2 TLSv1.3; {asks}")

    @staticmethod
    def back_tls(setup):
        if not setup.mutual:
            return ""
        return (f"proxy_ssl_certificate {setup.tls['client.pem']}; proxy_ssl_certificate_key {setup.tls['client.key']}; "
                f"proxy_ssl_trusted_certificate {setup.tls['ca.pem']}; proxy_ssl_verify on; proxy_ssl_protocols TLSv1.3; "
                f"proxy_ssl_server_name on; proxy_ssl_name {NAME};")

    def config(self, port, setup, place):
        user = "user root;" if os.getuid() == 0 else ""
        if setup.tcp:
            return f"""
                load_module {self.MODULES}/ngx_stream_module.so;
                {user} worker_processes 1; daemon off; pid {place}/pid; error_log stderr crit;
                worker_rlimit_nofile {open_files()};
                events {{ worker_connections {open_files() - 100}; multi_accept on; use epoll; }}
                stream {{ server {{
                    listen 127.0.0.1:{port} backlog=4096; tcp_nodelay on;
                    proxy_pass 127.0.0.1:{setup.backend}; proxy_connect_timeout 5s; proxy_timeout 3600s;
                }} }}"""
        if setup.back_h2:
            # Its only HTTP/2 to a backend; its windows cannot be set.
            kind, forward = "grpc", "grpc_pass grpc://backend;"
        else:
            kind = "proxy"
            forward = f'''proxy_pass {"https" if setup.mutual else "http"}://backend; proxy_http_version 1.1;
                        proxy_set_header Connection ""; {self.back_tls(setup)}'''
        return f"""
            {user} worker_processes 1; daemon off; pid {place}/pid; error_log stderr crit;
            worker_rlimit_nofile {open_files()};
            events {{ worker_connections {open_files() - 100}; multi_accept on; use epoll; }}
            http {{
                access_log {f"{setup.log} combined buffer=64k flush=1s" if setup.log else "off"}; keepalive_requests 1000000000; keepalive_timeout 3600s; tcp_nodelay on;
                client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f;
                uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
                upstream backend {{
                    server 127.0.0.1:{setup.backend}; keepalive 2048; keepalive_requests 1000000000;
                }}
                server {{
                    listen 127.0.0.1:{port} {"http2" if setup.front_h2 else ""} {"ssl" if setup.tls else ""} backlog=4096;
                    {self.front_tls(setup)}
                    location / {{
                        {forward}
                        {kind}_set_header Host $host; {kind}_set_header X-Forwarded-Proto $scheme;
                        {kind}_set_header X-Request-Id $request_id;
                        {kind}_read_timeout 15s; {kind}_connect_timeout 5s;
                    }}
                }}
            }}"""


class Haproxy(Classic):
    name = "haproxy"

    def can(self, setup):
        return super().can(setup) and not setup.log  # it writes to no file

    def command(self, path, place):
        return [shutil.which("haproxy"), "-q", "-db", "-f", str(path)]

    @staticmethod
    def front_tls(setup):
        asks = f"ca-file {setup.tls['ca.pem']} verify required" if setup.mutual else ""
        return f"ssl crt {setup.tls['server.both']} {asks}" if setup.tls else ""

    @staticmethod
    def back_tls(setup):
        if not setup.mutual:
            return ""
        return (f"ssl crt {setup.tls['client.both']} ca-file {setup.tls['ca.pem']} verify required "
                f"ssl-min-ver TLSv1.3 sni str({NAME}) verifyhost {NAME}")

    def config(self, port, setup, place):
        if setup.tcp:
            return f"""
global
    nbthread 1
    maxconn {(open_files() - 200) // 2}
defaults
    mode tcp
    timeout client 3600s
    timeout server 3600s
    timeout connect 5s
listen l
    bind 127.0.0.1:{port} backlog 4096
    server s 127.0.0.1:{setup.backend}
"""
        # The window is a stream's, on both sides; a connection's is always as large as can be.
        window = f"tune.h2.initial-window-size {setup.windows[0]}" if setup.windows else ""
        return f"""
global
    nbthread 1
    maxconn {(open_files() - 200) // 2}
    tune.idle-pool.shared on
    {window}
defaults
    mode http
    timeout client 3600s
    timeout server 15s
    timeout connect 5s
    timeout http-request 60s
    option http-keep-alive
    http-reuse always
frontend f
    bind 127.0.0.1:{port} backlog 4096 {'proto h2' if setup.front_h2 else ''} {self.front_tls(setup)}
    unique-id-format %[uuid()]
    unique-id-header x-request-id
    http-request set-header x-forwarded-proto {'https' if setup.tls else 'http'}
    default_backend b
backend b
    server s 127.0.0.1:{setup.backend} {'proto h2' if setup.back_h2 else ''} {self.back_tls(setup)} pool-max-conn -1 pool-purge-delay 3600s
"""


PEERS = [EnvoyLike("nuncio"), EnvoyLike("envoy"), Nginx(), Haproxy()]
