"""CONNECT: ended at the proxy, its bytes going on as TCP, or passed on to another proxy; routed by connect_matcher."""

import re
import socket

import pytest

from harness import config as c
from harness.differential import LogFile
from harness.proxy import Proxy
from harness.upstream import RawOrigin, Refused

PLACES = {}
CONNECT = {"upgrade_type": "CONNECT"}
ENDED = {"upgrade_type": "CONNECT", "connect_config": {}}
POSTED = {"upgrade_type": "CONNECT", "connect_config": {"allow_post": True}}


def echo(sock):
    """Says hello, returns every byte, and ends when the other side has."""
    sock.sendall(b"hello ")
    while piece := sock.recv(65536):
        sock.sendall(piece)
    sock.sendall(b" bye")


def goodbye(sock):
    """Speaks and ends without being asked."""
    sock.sendall(b"goodbye")
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass


def next_proxy(sock):
    """Another proxy: what it does stands in the name it is asked to connect to."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(65536)
        if not piece:
            return
        head += piece
    head, rest = head.split(b"\r\n\r\n", 1)
    target = head.split(b" ")[1]
    PLACES["heads"].append((head, rest))
    if target.startswith(b"accepts"):
        sock.sendall(b"HTTP/1.1 200 Connection established\r\nx-via: next\r\n\r\n")
        sock.sendall(rest)
        echo(sock)
    elif target.startswith(b"refuses"):
        sock.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
        PLACES["after"].append(sock.recv(65536))
    elif target.startswith(b"created"):
        sock.sendall(b"HTTP/1.1 201 Created\r\n\r\n")
        echo(sock)
    elif target.startswith(b"closes"):
        return
    elif target.startswith(b"hangs"):
        while sock.recv(65536):
            pass


@pytest.fixture(scope="module")
def proxies(flavours, tmp_path_factory):
    with RawOrigin(echo) as echoing, RawOrigin(goodbye) as leaving, RawOrigin(next_proxy) as proxy, Refused() as refused:
        PLACES.update(echo=echoing.port, leaving=leaving.port, proxy=proxy.port, refused=refused.port, heads=[], after=[])
        made = {}
        try:
            for flavour in flavours:
                log = tmp_path_factory.mktemp(flavour) / "log"
                log.touch()
                made[flavour] = Proxy(flavour, bootstrap(log))
                made[flavour].access_log = LogFile(log)
                made[flavour].start()
            yield made
        finally:
            for one in made.values():
                one.stop()


def bootstrap(log):
    anything = {"connect_matcher": {}}

    def host(name, *routes):
        return c.vhost(name, [f"{name}:443", name], *routes)

    table = c.routes(
        "r",
        host("echo", c.route(anything, {"cluster": "echo", "upgrade_configs": [ENDED]})),
        host("leaving", c.route(anything, {"cluster": "leaving", "upgrade_configs": [ENDED]})),
        host("refused", c.route(anything, {"cluster": "refused", "upgrade_configs": [ENDED]})),
        host("empty", c.route(anything, {"cluster": "empty", "upgrade_configs": [ENDED]})),
        host("posted", c.route("/", {"cluster": "echo", "upgrade_configs": [POSTED]})),
        host("ended", c.route("/", {"cluster": "echo", "upgrade_configs": [ENDED]})),
        host("paths", c.route("/", {"cluster": "echo", "upgrade_configs": [ENDED]})),
        host("second", c.route("/", "echo"),
             c.route(anything, {"cluster": "echo", "upgrade_configs": [ENDED]}, name="second")),
        host("headers", c.route({**anything, "headers": [{"name": "x-go", "present_match": True}]},
                                {"cluster": "echo", "upgrade_configs": [ENDED]})),
        host("off", c.route(anything, {"cluster": "echo", "upgrade_configs": [{**CONNECT, "enabled": False}]})),
        host("direct", c.direct(anything, 200, "here")),
        host("moved", c.route(anything, redirect={"host_redirect": "elsewhere"})),
        host("brief", c.route(anything, {"cluster": "echo", "timeout": "0.3s", "upgrade_configs": [ENDED]})),
        host("idle", c.route(anything, {"cluster": "echo", "idle_timeout": "0.3s", "upgrade_configs": [ENDED]})),
        host("short", c.route(anything, {"cluster": "echo", "max_stream_duration": {"max_stream_duration": "0.3s"},
                                         "upgrade_configs": [ENDED]})),
        c.vhost("rest", ["*"], c.route(anything, {"cluster": "proxy", "timeout": "0.3s"}), c.route("/", "echo")))
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table, log=log, upgrade_configs=[CONNECT])),
         c.listener("closed", c.hcm({**table, "name": "s"}, log=log))],
        [c.cluster(name, PLACES[name]) for name in ("echo", "leaving", "proxy", "refused")] + [c.cluster("empty")])


def connect(target, *lines, method="CONNECT"):
    host = target if method == "CONNECT" else "posted"
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"host: {host}", *lines, "", ""]).encode()


# What a client does: bytes are sent, an int is how many bytes to wait for, "head" waits for a head,
# "end" reads to the end, "silent" is that nothing comes for longer than any timeout here. Then it closes.
SCRIPTS = {
    "a tunnel": ("echo:443", ["head", b"ping", len("hello ping")]),
    "sent with the head": ("echo:443", [b"early", "head", len("hello early")]),
    "a megabyte": ("echo:443", ["head", b"x" * (1 << 20), len("hello ") + (1 << 20)]),
    "the origin ends first": ("leaving:443", ["head", len("goodbye"), "end"]),
    "refused": ("refused:443", ["head", "end"]),
    "no host": ("empty:443", ["head", "end"]),
    "a path's route takes none": ("paths:443", ["head", "end"]),
    "behind a path's route": ("second:443", ["head", b"ping", len("hello ping")]),
    "conditions hold": ("headers:443", ["x-go: 1", "head", b"ping", len("hello ping")]),
    "conditions do not": ("headers:443", ["head", "end"]),
    "switched off": ("off:443", ["head", "end"]),
    "answered by the route": ("direct:443", ["head"]),
    "moved": ("moved:443", ["head"]),
    "a timeout is for answers": ("brief:443", ["head", b"ping", len("hello ping")]),
    "idle": ("idle:443", ["head", b"ping", len("hello ping"), "end"]),
    "too long": ("short:443", ["head", b"ping", len("hello ping"), "end"]),
    "passed on": ("accepts.example:80", ["head", b"ping", len("hello ping")]),
    "passed on with bytes": ("accepts.example:80", [b"early", "head", len("earlyhello "), b"ping", 4]),
    "refused by the next": ("refuses.example:80", [b"secret", "head", "end"]),
    "the next closes": ("closes.example:80", ["head", "end"]),
    "the next hangs": ("hangs.example:80", ["silent"]),
}
POSTS = {
    "POST as CONNECT": ("/", ["content-length: 4", b"ping", "response"], "POST"),
    "POST in chunks": ("/", ["transfer-encoding: chunked", b"4\r\nping\r\n0\r\n\r\n", "response"], "POST"),
}


def play(proxy, listener, target, steps, method):
    log = proxy.access_log
    log.skip()
    lines = [s for s in steps if isinstance(s, str) and ": " in s]
    out = []
    with proxy.connect(listener) as client:
        client.send(connect(target, *lines, method=method) + b"".join(
            s for s in steps[:1] + steps[1:2] * bool(lines) if isinstance(s, bytes)))
        sent = [s for s in steps if isinstance(s, bytes)]
        first = sent and isinstance(steps[len(lines)], bytes)
        for step in steps[len(lines) + bool(first):]:
            if step == "head":
                head = client._read_head()
                out.append((head.status, head.reason, sorted(
                    (n.lower(), v) for n, v in head.headers if n.lower() not in ("date", "server"))))
            elif step == "response":
                whole = client.read_response("POST")
                out.append((whole.status, whole.framing, whole.body))
            elif step == "silent":
                out.append(client.is_silent(0.6))
            elif step == "end":
                out.append(client.read_to_end())
            elif isinstance(step, bytes):
                client.send(step)
            else:
                while len(client.pending) < step:
                    client._fill("the tunnel")
                out.append(client.pending[:step])
                client.pending = client.pending[step:]
    lines = log.read(1)
    for line in lines:
        if line["code"] == "403":
            del line["received"]  # nuncio does not take in what is for a tunnel that was refused
    out.append([{k: re.sub(r":\d+", ":<port>", v) for k, v in line.items()} for line in lines])
    return out


@pytest.mark.differential
@pytest.mark.parametrize("target", ["echo:443", "accepts.example:80", "off:443", "direct:443", "unknown"])
def test_where_the_connection_manager_allows_none(proxies, target):
    """What the route alone allows, and what nobody does."""
    steps = ["head", len("hello ")] if target.startswith("echo") else ["head"]
    got = {flavour: play(proxy, "closed", target, steps, "CONNECT") for flavour, proxy in proxies.items()}
    assert len({repr(g) for g in got.values()}) == 1, "\n".join(f"{f}: {g}" for f, g in got.items())


def test_any_2xx_is_acceptance(proxies):
    """RFC 9110, 9.3.6. Envoy tunnels too, but says "connection: close" where the status is not 200."""
    for flavour, proxy in proxies.items():
        seen = play(proxy, "l", "created.example:80", ["head", b"ping", len("hello ping")], "CONNECT")
        assert (seen[0][0], seen[1]) == (201, b"hello ping"), flavour


@pytest.mark.differential
@pytest.mark.parametrize("name", [*SCRIPTS, *POSTS])
def test_connect(proxies, name):
    target, steps, *method = {**SCRIPTS, **POSTS}[name]
    got = {}
    for flavour, proxy in sorted(proxies.items()):
        PLACES["heads"].clear()
        PLACES["after"].clear()
        got[flavour] = play(proxy, "l", target, steps, *(method or ["CONNECT"]))
        got[flavour] += [sorted(x for x in h.lower().split(b"\r\n") if b"-id:" not in x) + [rest] for h, rest in PLACES["heads"]] + PLACES["after"]
    assert len({repr(g) for g in got.values()}) == 1, "\n".join(f"{f}: {g}" for f, g in got.items())
