"""Upgrades and CONNECT over HTTP/1, byte for byte: what is asked, answered, refused, held back and logged, as Envoy does.

The origin records what it gets, and what came before it had answered: of what follows the request, nothing may.
"""

import re
import socket
from dataclasses import dataclass, field

import pytest

from harness import config as c
from harness.client import ConnectionEnded, ProtocolError
from harness.differential import LogFile
from harness.proxy import Proxy
from harness.upstream import RawOrigin
from harness.wait import WaitTimeout, wait_for

ASKS = "Host: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
ANSWERS = {
    "/refuse": b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nx-via: origin\r\n\r\nno",
    "/fail": b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno",
    "/moved": b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
    "/ok200": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-via: origin\r\n\r\nok",
    "/chunked200": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "/empty200": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "/no-content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/early-hints": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
                    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhi",
    "/other101": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\nconnection: upgrade\r\n\r\nhi",
    "/101-with-length": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                        b"content-length: 2\r\n\r\nhi",
}
ANSWERS["/plain"] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nx-via: origin\r\n\r\nhi"
CONNECTED = b"HTTP/1.1 200 OK\r\n\r\nhi"


@dataclass
class Seen:
    """One connection to the origin."""

    head: bytes = b""
    early: bytes = b""  # what came with the head or shortly after, before the answer
    data: bytes = b""
    end: str = "open"


def origin_script(seen):
    def run(sock):
        one = Seen()
        seen.append(one)
        got = b""
        while b"\r\n\r\n" not in got:
            piece = sock.recv(65536)
            if not piece:
                one.head, one.end = got, "fin"
                return
            got += piece
        head, _, one.early = got.partition(b"\r\n\r\n")
        one.head = head
        sock.settimeout(0.1)
        try:
            one.early += sock.recv(65536)
        except TimeoutError:
            pass
        sock.settimeout(10)
        method, target, _ = head.split(b"\r\n")[0].split(b" ")
        if method == b"CONNECT":
            target = b"/" + target.split(b":")[0]
        answer = ANSWERS.get(target.decode(), CONNECTED if method == b"CONNECT" else ACCEPTED)
        if target in (b"/hang", b"/slow"):
            answer = b""
        try:
            sock.sendall(answer)
            if target == b"/flood":
                sock.sendall(b"x" * (1 << 20))
                sock.shutdown(socket.SHUT_WR)
            if target == b"/leave":
                sock.sendall(b" bye")
                sock.shutdown(socket.SHUT_WR)
            if target in (b"/slam", b"/plain"):
                return
            while piece := sock.recv(65536):
                one.data += piece
                if b"101" in answer[:12] or answer is CONNECTED:
                    sock.sendall(b"echo:" + piece)
            one.end = "fin"
        except ConnectionError:
            one.end = "reset"

    return run


@dataclass
class Script:
    """What a client does: bytes are sent; "head" and "response" are read; an int is that many bytes of the tunnel;
    "fin" ends its side; "end" reads to the end; "asked" waits until the origin has the request. Then it closes."""

    name: str
    request: str
    steps: list = field(default_factory=lambda: ["head", 2, b"data", 9])
    listener: str = "l"
    logs: int = 1
    ignore: tuple = ()  # of the log


def get(target, lines=ASKS, method="GET", rest="", version="HTTP/1.1"):
    return f"{method} {target} {version}\r\n{lines}\r\n{rest}"


def connect(lines="Host: h:80\r\n", target="h:80", rest=""):
    return f"CONNECT {target} HTTP/1.1\r\n{lines}\r\n{rest}"


ANSWERED = ["response"]
UNREAD = ("received",)  # nuncio does not take in what is for a tunnel that was refused
SCRIPTS = [
    Script("a tunnel", get("/ws")),
    Script("a query stays", get("/ws?a=b")),
    Script("bytes at once", get("/ws", rest="EARLY"), ["head", 12, b"data", 9]),
    Script("bytes before the answer", get("/ws"), [b"EARLY", "head", 12]),
    Script("the client ends", get("/ws"), ["head", 2, b"data", 9, "fin", "end"]),
    Script("the client ends before the answer", get("/hang"), ["asked", "fin", "end"]),
    Script("the origin ends", get("/leave"), ["head", 6, "end"]),
    Script("the origin ends after a megabyte", get("/flood"), ["head", 2 + (1 << 20), "end"]),
    Script("the origin is gone at once", get("/slam"), ["head", 2, "end"]),
    Script("content-length: 0", get("/ws", ASKS + "Content-Length: 0\r\n")),
    Script("a body of a length", get("/ws", ASKS + "Content-Length: 5\r\n", rest="hello"), ["head", 12, b"data", 9]),
    Script("a chunked body", get("/ws", ASKS + "Transfer-Encoding: chunked\r\n", rest="5\r\nhello\r\n0\r\n\r\n"), ["head", 22]),
    Script("refused", get("/refuse"), ANSWERED),
    Script("refused, to the end", get("/refuse"), ["response", "end"]),
    Script("refused, with a request behind it", get("/refuse", rest="GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"), ["response", "end"],
           ignore=UNREAD),
    Script("failed", get("/fail"), ANSWERED),
    Script("redirected", get("/moved"), ANSWERED),
    Script("200", get("/ok200"), ["response", "end"]),
    Script("200, chunked", get("/chunked200"), ["response", "end"]),
    Script("200, empty", get("/empty200"), ["response", "end"]),
    Script("200 with bytes at once", get("/ok200", rest="EARLY"), ["response", "end"], ignore=UNREAD),
    Script("204", get("/no-content"), ["response", "end"]),
    Script("103 before it", get("/early-hints"), ["head"]),
    Script("101 to something else", get("/other101"), ["head", 2, b"data", 9]),
    Script("101 with a length", get("/101-with-length"), ["head", 2, b"data", 9]),
    Script("POST", get("/ws", method="POST")),
    Script("HEAD", get("/ws", method="HEAD"), ["head"]),
    Script("HTTP/1.0", get("/ws", version="HTTP/1.0"), ["head"]),
    Script("a type that is not configured", get("/ws", "Host: h\r\nConnection: Upgrade\r\nUpgrade: foo\r\n"), ["response", "end"]),
    Script("a type in capitals", get("/ws", "Host: h\r\nConnection: UPGRADE\r\nUpgrade: WebSocket\r\n")),
    Script("two types", get("/ws", "Host: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket, foo\r\n"), ["response", "end"]),
    Script("Connection with more", get("/ws", "Host: h\r\nConnection: keep-alive, Upgrade, x-hop\r\nx-hop: 1\r\nUpgrade: websocket\r\n")),
    Script("no Connection", get("/plain", "Host: h\r\nUpgrade: websocket\r\n"), ANSWERED),
    Script("no Upgrade", get("/plain", "Host: h\r\nConnection: upgrade\r\n"), ANSWERED),
    Script("h2c is ignored", get("/plain", "Host: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                                         "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"), ANSWERED),
    Script("the route says no", get("/off"), ["response", "end"]),
    Script("any type, bytes at once", get("/on", "Host: h\r\nConnection: Upgrade\r\nUpgrade: custom\r\n", rest="EARLY"),
           ["head", 12, b"data", 9]),
    Script("any type, 200", get("/on/ok200", "Host: h\r\nConnection: Upgrade\r\nUpgrade: custom\r\n"), ["response", "end"]),
    Script("any type, refused with bytes at once", get("/on/refuse", "Host: h\r\nConnection: Upgrade\r\nUpgrade: custom\r\n",
                                                       rest="EARLY"), ["response", "end"], ignore=UNREAD),
    Script("any type, unanswered", get("/on/hang", "Host: h\r\nConnection: Upgrade\r\nUpgrade: custom\r\n"), ["silent"]),
    Script("the route alone says yes", get("/on", "Host: h\r\nConnection: Upgrade\r\nUpgrade: custom\r\n")),
    Script("switched off at the manager", get("/ws", "Host: h\r\nConnection: Upgrade\r\nUpgrade: dormant\r\n"), ["response", "end"]),
    Script("switched on by the route", get("/on", "Host: h\r\nConnection: Upgrade\r\nUpgrade: dormant\r\n")),
    Script("a route that answers itself", get("/direct"), ["response"]),
    Script("no route", get("/ws", ASKS.replace("Host: h", "Host: nowhere")), ["response"]),
    Script("a prefix rewritten", get("/rewritten/ws")),
    Script("header rules", get("/rules")),
    Script("the manager takes none", get("/ws"), ["response", "end"], listener="none"),
    Script("the route's timeout, unanswered", get("/brief/hang"), ["response", "end"]),
    Script("the route's timeout is for the answer", get("/brief/ws"), ["head", 2, b"data", 9, "silent", b"more", 9]),
    Script("idle", get("/idle"), ["head", 2, b"data", 9, "end"]),
    Script("idle by the manager", get("/ws"), ["head", 2, b"data", 9, "end"], listener="idle"),
    Script("too long", get("/short"), ["head", 2, b"data", 9, "end"]),
    Script("too long by the manager", get("/ws"), ["head", 2, b"data", 9, "end"], listener="short"),
    Script("too long, unanswered", get("/hang"), ["response", "end"], listener="short"),
    Script("CONNECT", connect(), ["head", 2, b"data", 9]),
    Script("CONNECT with bytes at once", connect(rest="EARLY"), ["head", 12, b"data", 9]),
    Script("CONNECT, the client ends", connect(), ["head", 2, b"data", 9, "fin", "end"]),
    Script("CONNECT, the origin ends", connect(target="leave:80", lines="Host: h\r\n"), ["head", 6, "end"]),
    Script("CONNECT, refused", connect(target="refuse:80", lines="Host: h\r\n", rest="EARLY"), ["response", "end"], ignore=UNREAD),
    Script("CONNECT with a length", connect("Host: h:80\r\nContent-Length: 5\r\n", rest="hello"), ["response", "end"]),
    Script("CONNECT in chunks", connect("Host: h:80\r\nTransfer-Encoding: chunked\r\n", rest="0\r\n\r\n"), ["response", "end"]),
    Script("CONNECT without Host", connect(""), ["head"]),
    Script("CONNECT to a path", connect(target="/ws"), ["response", "end"]),
    Script("CONNECT without a port", connect(target="h"), ["head"]),
]


class Place:
    """Both proxies, and an origin each."""

    def __init__(self, flavours, workdir):
        self.seen = {f: [] for f in flavours}
        self.origins = {f: RawOrigin(origin_script(self.seen[f])) for f in flavours}
        self.proxies, self.logs = {}, {}
        for flavour in flavours:
            log = workdir / f"{flavour}.log"
            log.touch()
            self.logs[flavour] = LogFile(log)
            self.proxies[flavour] = Proxy(flavour, bootstrap(self.origins[flavour].port, log)).start()

    def close(self):
        for proxy in self.proxies.values():
            proxy.stop()
        for origin in self.origins.values():
            origin.close()


@pytest.fixture(scope="module")
def place(flavours, tmp_path_factory):
    made = Place(flavours, tmp_path_factory.mktemp("upgrades"))
    yield made
    made.close()


def bootstrap(port, log):
    def forward(**more):
        return {"cluster": "c", **more}

    table = c.routes("r", c.vhost(
        "v", ["h", "h:80", "leave:80", "refuse:80"],
        c.route({"connect_matcher": {}}, "c"),
        c.route("/off", forward(upgrade_configs=[{"upgrade_type": "websocket", "enabled": False}])),
        c.route("/on/", forward(prefix_rewrite="/", timeout="0.3s", upgrade_configs=[{"upgrade_type": "custom"}])),
        c.route("/on", forward(upgrade_configs=[{"upgrade_type": "custom"}, {"upgrade_type": "dormant"}])),
        c.direct("/direct", 200, "here"),
        c.route("/rewritten/", forward(prefix_rewrite="/")),
        c.route("/rules", "c", request_headers_to_add=[{"header": {"key": "x-added", "value": "%REQ(:path)%"}}],
                response_headers_to_add=[{"header": {"key": "x-back", "value": "%RESPONSE_CODE%"}}],
                response_headers_to_remove=["x-via"]),
        c.route("/brief/", forward(timeout="0.3s", prefix_rewrite="/")),
        c.route("/idle", forward(idle_timeout="0.3s")),
        c.route("/short", forward(max_stream_duration={"max_stream_duration": "0.3s"})),
        c.route("/", "c")))
    upgrades = {"upgrade_configs": [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"},
                                    {"upgrade_type": "dormant", "enabled": False}]}
    return c.static_bootstrap(
        [c.listener("l", c.hcm(table, log=log, **upgrades)),
         c.listener("none", c.hcm(table, log=log)),
         c.listener("idle", c.hcm(table, log=log, stream_idle_timeout="0.3s", **upgrades)),
         c.listener("short", c.hcm(table, log=log, common_http_protocol_options={"max_stream_duration": "0.3s"}, **upgrades))],
        [c.cluster("c", port)])


def show_head(head):
    varies = ("date", "x-envoy-upstream-service-time")
    return head.status, head.reason, head.version, sorted((n, "*" if n in varies else v) for n, v in head.headers)


def follow(client, script, seen):
    """The client's part; what it got."""
    out = []
    for step in script.steps:
        try:
            if step == "head":
                out.append(show_head(client._read_head()))
            elif step == "response":
                response = client.read_response(script.request.split(" ")[0])
                out.append((*show_head(response), [show_head(r) for r in response.interim], response.framing, response.body,
                            response.complete))
            elif step == "asked":
                wait_for(lambda: seen and seen[-1].head, "the origin is asked")
            elif step == "fin":
                client.half_close()
            elif step == "silent":
                out.append(("silent", client.is_silent(0.5)))
            elif step == "end":
                out.append(("end", client.read_to_end()))
            elif isinstance(step, bytes):
                client.send(step)
            else:
                out.append(client._exactly(step, "the tunnel"))
        except (ConnectionEnded, ProtocolError) as problem:
            out.append((type(problem).__name__, client.received))
            break
        except OSError as problem:
            out.append(type(problem).__name__)
            break
    return out


def play(place, flavour, script):
    proxy, log, seen = place.proxies[flavour], place.logs[flavour], place.seen[flavour]
    log.skip()
    seen.clear()
    with proxy.connect(script.listener) as client:
        client.send(script.request.encode())
        got = follow(client, script, seen)
    lines = log.read(script.logs)
    try:
        wait_for(lambda: all(one.end != "open" for one in seen), "the origin's connections end", 0.3)
    except WaitTimeout:
        pass
    origin = [(sorted(line for line in one.head.split(b"\r\n") if not line.startswith(b"x-request-id")), one.early, one.data,
               one.end) for one in seen]
    for line in lines:
        for part in script.ignore:
            line.pop(part, None)
        line["upstream"] = re.sub(r":\d+", ":<port>", line["upstream"])
    # Requests that go on in the same connection to the origin would show here as data.
    return {"client": got, "origin": origin, "log": lines}


@pytest.mark.differential
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.name)
def test_as_envoy(place, script):
    got = {flavour: play(place, flavour, script) for flavour in sorted(place.proxies)}
    for flavour, one in got.items():
        assert not any(early for _, early, *_ in one["origin"]), f"{flavour} sent on what was not accepted: {one['origin']}"
    views = list(got.values())
    problems = [f"{part}:\n    " + "\n    ".join(f"{f}: {g[part]}" for f, g in got.items())
                for part in views[0] if any(v[part] != views[0][part] for v in views)]
    assert not problems, "\n  ".join([script.name, *problems])
