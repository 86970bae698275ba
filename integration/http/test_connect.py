"""CONNECT: ended at the proxy, its bytes going on as TCP, or passed on to another proxy; routed by connect_matcher."""

import re
import socket
import threading

import pytest

from harness import config as c
from harness.differential import LogFile
from harness.h2peer import H2Client, H2Origin
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


def breaking(sock):
    """Says hello and resets."""
    sock.sendall(b"hello ")
    PLACES["heard"].wait(10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def mute(sock):
    """Takes everything and says nothing, not even at the end."""
    while sock.recv(65536):
        pass
    PLACES["ended"].wait(10)


class NextH2Proxy:
    """The same in HTTP/2, as an action of an H2Origin."""

    early = True

    def run_h2(self, stream, request):
        if request.pseudo[":authority"].startswith("h2-refuses"):
            stream.head([(":status", "403")], end=True)
            return
        stream.head([(":status", "200")])
        stream.data(b"hello ")
        told = 0
        while not (request.complete and told == len(request.body)) and not request.reset and not stream.served.ended:
            with stream.served.changed:
                stream.served.changed.wait_for(
                    lambda: len(request.body) > told or request.complete or request.reset or stream.served.ended, 10)
                piece, told = request.body[told:], len(request.body)
            stream.data(piece)
        stream.data(b" bye", end=True)


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
    with RawOrigin(echo) as echoing, RawOrigin(goodbye) as leaving, RawOrigin(next_proxy) as proxy, \
            RawOrigin(mute) as silent, RawOrigin(breaking) as breaks, Refused() as refused:
        speaking = H2Origin("h2", NextH2Proxy())
        PLACES.update(echo=echoing.port, leaving=leaving.port, proxy=proxy.port, mute=silent.port, refused=refused.port,
                      h2=speaking.port, breaking=breaks.port, heard=threading.Event(), ended=threading.Event(), heads=[], after=[])
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
            speaking.close()
            PLACES["ended"].set()


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
        host("mute", c.route(anything, {"cluster": "mute", "timeout": "0.3s", "upgrade_configs": [ENDED]})),
        c.vhost("h2", ["h2.example:80", "h2-refuses.example:80"], c.route(anything, "h2")),
        host("breaking", c.route(anything, {"cluster": "breaking", "upgrade_configs": [ENDED]})),
        host("direct", c.direct(anything, 200, "here")),
        host("moved", c.route(anything, redirect={"host_redirect": "elsewhere"})),
        host("brief", c.route(anything, {"cluster": "echo", "timeout": "0.3s", "upgrade_configs": [ENDED]})),
        host("idle", c.route(anything, {"cluster": "echo", "idle_timeout": "0.3s", "upgrade_configs": [ENDED]})),
        host("short", c.route(anything, {"cluster": "echo", "max_stream_duration": {"max_stream_duration": "0.3s"},
                                         "upgrade_configs": [ENDED]})),
        c.vhost("rest", ["*"], c.route(anything, {"cluster": "proxy", "timeout": "0.3s"}), c.route("/", "echo")))
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table, log=log, upgrade_configs=[CONNECT])),
         c.listener("h2", c.hcm({**table, "name": "h2"}, log=log, upgrade_configs=[CONNECT],
                                http2_protocol_options={"allow_connect": True})),
         c.listener("closed", c.hcm({**table, "name": "s"}, log=log))],
        [c.cluster(name, PLACES[name]) for name in ("breaking", "echo", "leaving", "mute", "proxy", "refused")] +
        [c.cluster("empty"), c.cluster("h2", PLACES["h2"], typed_extension_protocol_options=c.http_options())])


def connect(target, *lines, method="CONNECT"):
    host = target if method == "CONNECT" else "posted"
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"host: {host}", *lines, "", ""]).encode()


# What a client does: bytes are sent, an int is how many bytes to wait for, "head" waits for a head,
# "end" reads to the end, "silent" is that nothing comes for longer than any timeout here,
# "fin" ends its own way. Then it closes.
SCRIPTS = {
    "a tunnel": ("echo:443", ["head", b"ping", len("hello ping")]),
    "sent with the head": ("echo:443", [b"early", "head", len("hello early")]),
    "a megabyte": ("echo:443", ["head", b"x" * (1 << 20), len("hello ") + (1 << 20)]),
    "the origin ends first": ("leaving:443", ["head", len("goodbye"), "end"]),
    # An HTTP/1 connection ends as a whole: what the origin would still say is for nobody.
    "the client half-closes": ("echo:443", ["head", len("hello "), "fin", "end"]),
    "the client half-closes behind its last bytes": ("mute:443", ["head", b"ping", "fin", "end"]),
    "a client of the next half-closes": ("accepts.example:80", ["head", len("hello "), "fin", "end"]),
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
            elif step == "fin":
                client.half_close()
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


# The same from HTTP/2, whose streams end one way at a time. What a client does: bytes are sent, an int is how much of the
# body to wait for, "fin" ends the request, "over" waits for the stream's end, "reset" resets it.
STREAMS = {
    "a tunnel": ("echo:443", [6, b"ping", 10, "fin", "over"]),
    "sent with the head": ("echo:443", [b"early", 11, "fin", "over"]),
    "the client ends first": ("echo:443", [b"ping", "fin", "over"]),
    "the client ends first and the route has a timeout": ("brief:443", [b"ping", "fin", "over"]),
    "nothing but an end": ("echo:443", ["fin", "over"]),
    "the origin ends first": ("leaving:443", [7, "over"]),
    "the client resets": ("echo:443", [6, "reset"]),
    "refused": ("refused:443", ["over"]),
    "no host": ("empty:443", ["over"]),
    "idle": ("idle:443", [6, "over"]),
    "too long": ("short:443", [6, "over"]),
    "half closed, silent and with a timeout": ("mute:443", [b"ping", "fin", "over"]),
    "answered by the route": ("direct:443", ["over"]),
    "the origin breaks": ("breaking:443", [6, "over"]),
    "refused by the next": ("refuses.example:80", [b"secret", "over"]),
    "the next closes": ("closes.example:80", ["over"]),
    "passed on in HTTP/2": ("h2.example:80", [6, b"ping", 10, "fin", "over"]),
    "refused in HTTP/2": ("h2-refuses.example:80", ["over"]),
}


def play_h2(proxy, target, steps):
    log = proxy.access_log
    log.skip()
    PLACES["heard"].clear()
    with H2Client(proxy.address("h2")) as client:
        stream = client.start([(":method", "CONNECT"), (":authority", target)])
        response = None
        for step in steps:
            if step == "fin":
                client.data(stream, b"", end=True)
            elif step == "over":
                response = client.finish(stream)
            elif step == "reset":
                client.reset(stream)
            elif isinstance(step, bytes):
                client.data(stream, step)
            else:
                response = client.wait(stream, lambda r, n=step: len(r.body) >= n, "the tunnel")
                PLACES["heard"].set()
        # Envoy resets with CONNECT_ERROR also behind a whole answer that tells of the error.
        reset = None if response is None or response.complete else response.reset
        out = [] if response is None else [response.status, response.body, reset, response.complete]
    lines = log.read(1)
    for line in lines:
        if line["code"] == "403":
            del line["received"]
    return out + [{k: re.sub(r":\d+", ":<port>", v) for k, v in line.items()} for line in lines]


@pytest.mark.differential
@pytest.mark.parametrize("name", STREAMS)
def test_connect_over_http2(proxies, name):
    target, steps = STREAMS[name]
    got = {flavour: play_h2(proxy, target, steps) for flavour, proxy in sorted(proxies.items())}
    assert len({repr(g) for g in got.values()}) == 1, "\n".join(f"{f}: {g}" for f, g in got.items())


@pytest.mark.parametrize("steps", [[6, b"ping", 10, "fin", "over"], [6, "fin", "over"], ["fin", "over"]])
def test_each_way_of_a_tunnel_ends_by_itself(proxies, steps):
    """Towards an HTTP/1 proxy Envoy gives up all of a tunnel when the client has no more to say."""
    if "nuncio" not in proxies:
        pytest.skip("nuncio's own")
    seen = play_h2(proxies["nuncio"], "accepts.example:80", steps)
    assert seen[0] == 200 and seen[1].startswith(b"hello ") and seen[1].endswith(b" bye") and seen[2:4] == [None, True]
