"""WebSocket with a real client and a real server library, through HTTP/1 and HTTP/2 on either side.

Over HTTP/1 both ends are the library's own; over HTTP/2 (RFC 8441) its protocol machine runs on a stream of hyper-h2.
What is said, how it ends and what the access log tells of it is the same through nuncio and Envoy.
"""

import contextlib
import socket
import threading

import pytest
import websockets.sync.client
import websockets.sync.server
from h2.exceptions import ProtocolError as H2Error
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.protocol import CLIENT, SERVER, Protocol
from websockets.utils import accept_key

from harness import config as c
from harness.client import Client
from harness.differential import LogFile
from harness.h2peer import H2Client, H2Origin
from harness.proxy import Proxy

MEGABYTE = bytes(range(256)) * 4096
PUSHES = 50
QUIET = {"compression": None, "max_size": None, "ping_interval": None}
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


# The servers: what they do stands in the path.


def serve_h1(connection):
    """One WebSocket of the library's server."""
    target = connection.request.path
    if target.startswith("/push"):
        for number in range(PUSHES):
            connection.send(f"push {number}")
    if target.startswith("/close/"):
        connection.close(int(target.rpartition("/")[2]), "as asked")
        return
    with contextlib.suppress(ConnectionClosed):
        for message in connection:
            connection.send(message)


def reply(protocol, event):
    """Echoes what a frame of the other side holds."""
    if event.opcode in (Opcode.TEXT, Opcode.BINARY):
        (protocol.send_text if event.opcode == Opcode.TEXT else protocol.send_binary)(event.data)


class ServeH2:
    """The same on a stream of HTTP/2."""

    early = True

    def run_h2(self, stream, request):
        answer = [(":status", "200")]
        if request.target.startswith("/refuse"):
            stream.head([(":status", "403"), ("content-length", "2")])
            stream.data(b"no", end=True)
            return
        key = request.header("sec-websocket-key")
        if key:
            answer.append(("sec-websocket-accept", accept_key(key)))
        stream.head(answer)
        protocol = Protocol(SERVER, max_size=None)
        if request.target.startswith("/push"):
            for number in range(PUSHES):
                protocol.send_text(b"push %d" % number)
        if request.target.startswith("/close/"):
            protocol.send_close(int(request.target.rpartition("/")[2]), "as asked")
        taken = 0
        while True:
            for piece in protocol.data_to_send():
                stream.data(piece, end=not piece)
                if not piece:
                    return
            with stream.served.changed:
                stream.served.changed.wait_for(
                    lambda: len(request.body) > taken or request.complete or request.reset or stream.served.ended, 10)
                piece = request.body[taken:]
            if not piece:
                return
            taken += len(piece)
            protocol.receive_data(piece)
            for event in protocol.events_received():
                reply(protocol, event)


# The clients, with what they have in common.


class OverH1:
    """The library's client."""

    def __init__(self, address, target):
        self.ws = websockets.sync.client.connect(
            f"ws://h{target}", sock=socket.create_connection(address), proxy=None, legacy=True, **QUIET)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.ws.close()

    def send(self, message):
        self.ws.send(message)

    def recv(self):
        return self.ws.recv(timeout=10)

    def ping(self):
        return self.ws.ping(b"are you there").wait(10)

    def close(self, code=1000, reason=""):
        self.ws.close(code, reason)
        return self.ended()

    def ended(self):
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.ws.recv(timeout=10)
        return self.ws.close_code, self.ws.close_reason

    def cut_off(self):
        """How the proxy ends what nobody else does."""
        return self.ended()


class OverH2:
    """The library's protocol machine on an extended CONNECT."""

    def __init__(self, address, target, http=None):
        self.http = http or H2Client(address)
        self.protocol = Protocol(CLIENT, max_size=None)
        self.messages, self.parts, self.pongs, self.taken = [], [], [], 0
        self.stream = self.http.start([
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", target),
            (":authority", "h"), ("sec-websocket-version", "13"), ("sec-websocket-key", KEY)])
        self.response = self.http.wait(self.stream, lambda r: r.status, "answer")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.http.sock.close()

    def send(self, message):
        if isinstance(message, str):
            self.protocol.send_text(message.encode())
        else:
            self.protocol.send_binary(message)
        self._flush()

    def recv(self):
        self._until(lambda: self.messages, "a message")
        return self.messages.pop(0)

    def ping(self):
        self.protocol.send_ping(b"are you there")
        self._flush()
        self._until(lambda: self.pongs, "a pong")
        return self.pongs == [b"are you there"]

    def close(self, code=1000, reason=""):
        self.protocol.send_close(code, reason)
        self._flush()
        return self.ended()

    def ended(self):
        self._until(lambda: self.protocol.close_rcvd, "a close frame")
        self.http.wait(self.stream, lambda r: r.complete, "end")
        return self.protocol.close_rcvd.code, self.protocol.close_rcvd.reason

    def cut_off(self):
        """How the proxy ends what nobody else does."""
        self.http.wait(self.stream, lambda r: r.complete, "end")
        return self.response.complete, self.response.reset

    def _flush(self):
        for piece in self.protocol.data_to_send():
            if piece:
                self.http.data(self.stream, piece)

    def _until(self, test, what):
        while not test():
            self.http.wait(self.stream, lambda r: len(r.body) > self.taken or r.complete, what)
            piece = self.response.body[self.taken:]
            assert piece, f"the stream ended without {what}: {self.response}"
            self.taken += len(piece)
            self.protocol.receive_data(piece)
            for event in self.protocol.events_received():
                self._take(event)
            self._flush()

    def _take(self, event):
        if event.opcode == Opcode.PONG:
            self.pongs.append(event.data)
        elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self.parts.append(event)
            if event.fin:
                whole = b"".join(part.data for part in self.parts)
                self.messages.append(whole.decode() if self.parts[0].opcode == Opcode.TEXT else whole)
                self.parts = []


FRONTS = {"h1": OverH1, "h2": OverH2}
BACKS = ("h1", "h2")


class Place:
    """Both proxies, with a server of each kind behind them."""

    def __init__(self, flavours, workdir):
        self.server = websockets.sync.server.serve(serve_h1, "127.0.0.1", 0, process_request=self._decide, **QUIET)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.h2 = H2Origin("h2", ServeH2(), settings={8: 1})  # SETTINGS_ENABLE_CONNECT_PROTOCOL
        self.proxies, self.logs = {}, {}
        for flavour in sorted(flavours):
            log = workdir / f"{flavour}.log"
            log.touch()
            self.logs[flavour] = LogFile(log)
            ports = {"h1": self.server.socket.getsockname()[1], "h2": self.h2.port}
            self.proxies[flavour] = Proxy(flavour, bootstrap(ports, log)).start()

    @staticmethod
    def _decide(connection, request):
        return connection.respond(403, "no") if request.path.startswith("/refuse") else None

    def close(self):
        for proxy in self.proxies.values():
            proxy.stop()
        self.h2.close()
        self.server.shutdown()

    def compare(self, listener, play, logs=1):
        """play(address) through both; what it returns and the log's lines are the same."""
        seen = {}
        for flavour, proxy in self.proxies.items():
            log = self.logs[flavour]
            log.skip()
            result = play(proxy.address(listener))
            seen[flavour] = result, log.read(logs)
            assert len(seen[flavour][1]) == logs, f"{flavour} logged {seen[flavour][1]}"
        assert len({repr(one) for one in seen.values()}) == 1, "\n".join(f"{f}: {s}" for f, s in seen.items())
        return result, seen[flavour][1][0]


@pytest.fixture(scope="module")
def place(flavours, tmp_path_factory):
    made = Place(flavours, tmp_path_factory.mktemp("websocket"))
    yield made
    made.close()


def bootstrap(ports, log):
    options = {"h1": {"http_protocol_options": {}}, "h2": {"http2_protocol_options": {"allow_connect": True}}}
    listeners, clusters = [], []
    for back in BACKS:
        clusters.append(c.cluster(back, ports[back], typed_extension_protocol_options=c.http_options(
            explicit_http_config=options[back])))
        table = c.routes(back, c.vhost(
            "v", ["*"],
            c.route("/idle", {"cluster": back, "idle_timeout": "0.3s"}),
            c.route("/short", {"cluster": back, "max_stream_duration": {"max_stream_duration": "0.3s"}}),
            c.route("/off", {"cluster": back, "upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}]}),
            c.route("/", back)))
        connect = {"http2_protocol_options": {"allow_connect": True}}
        listeners += [
            c.listener(back, c.hcm(table, log=log, upgrade_configs=[{"upgrade_type": "websocket"}], **connect)),
            c.listener(f"{back}-none", c.hcm(table, log=log, **connect))]
    return c.static_bootstrap(listeners, clusters)


def echo(ws):
    for message in ("hello", "grüße", b"\x00\xff", "", "x" * 70000):
        ws.send(message)
        assert ws.recv() == message
    return ws.close(1000, "done")


def megabytes(ws):
    for _ in range(3):
        ws.send(MEGABYTE)
        assert ws.recv() == MEGABYTE
    return ws.close()


def pings(ws):
    assert all(ws.ping() for _ in range(3 if isinstance(ws, OverH1) else 1))
    return ws.close()


def pushed(ws):
    assert [ws.recv() for _ in range(PUSHES)] == [f"push {n}" for n in range(PUSHES)]
    return ws.close()


def closed_by_client(code):
    return lambda ws: ws.close(code, "because")


# Name -> the path, the client's part, and the close frame that it must get.
TALKS = {
    "echo": ("/echo", echo, (1000, "done")),
    "a megabyte a frame": ("/echo", megabytes, (1000, "")),
    "ping": ("/echo", pings, (1000, "")),
    "pushed by the server": ("/push", pushed, (1000, "")),
    "closed with 1001": ("/echo", closed_by_client(1001), (1001, "because")),
    "closed with 4000": ("/echo", closed_by_client(4000), (4000, "because")),
    "closed by the server with 1011": ("/close/1011", lambda ws: ws.ended(), (1011, "as asked")),
    "closed by the server with 4999": ("/close/4999", lambda ws: ws.ended(), (4999, "as asked")),
}


@pytest.mark.differential
@pytest.mark.parametrize("back", BACKS)
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("name", TALKS)
def test_talk(place, front, back, name):
    target, talk, wanted = TALKS[name]

    def play(address):
        with FRONTS[front](address, target) as ws:
            return talk(ws)

    got, log = place.compare(back, play)
    assert got == wanted
    assert (log["code"], log["cluster"]) == ("101", back)


def asked(front, address, target):
    """An upgrade that is not accepted: its answer."""
    if front == "h2":
        try:
            with OverH2(address, target) as ws:
                response = ws.http.finish(ws.stream)
        except H2Error:  # hyper-h2 hears nothing behind the GOAWAY that both proxies send first
            return "GOAWAY"
    else:
        with Client(address) as client:
            response = client.get(target, "h", {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                                                "Sec-WebSocket-Key": KEY})
            assert client.is_closed()
    return response.status, response.body


# Name -> the path and the status.
REFUSALS = {
    "by the server": ("/refuse", 403),
    "by the route": ("/off", 403),
    "by the manager": ("/echo", 403),
}


@pytest.mark.differential
@pytest.mark.parametrize("back", BACKS)
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(place, front, back, name):
    target, status = REFUSALS[name]
    listener = f"{back}-none" if name == "by the manager" else back
    got, log = place.compare(listener, lambda address: asked(front, address, target))
    assert log["code"] == str(status)
    assert got == "GOAWAY" if front == "h2" and name != "by the server" else got[0] == status


# Where time ends a tunnel, whichever side could speak.
@pytest.mark.differential
@pytest.mark.parametrize("back", BACKS)
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("target", ["/idle", "/short"])
def test_time_is_up(place, front, back, target):
    def play(address):
        with FRONTS[front](address, target) as ws:
            ws.send("hello")
            assert ws.recv() == "hello"
            return ws.cut_off()

    _, log = place.compare(back, play)
    assert log["details"] == ("stream_idle_timeout" if target == "/idle" else "max_duration_timeout")


@pytest.mark.differential
@pytest.mark.parametrize("back", BACKS)
def test_many_on_one_connection(place, back):
    """Tunnels of one HTTP/2 connection do not stand in each other's way."""
    def play(address):
        with H2Client(address) as http:
            tunnels = [OverH2(address, "/echo", http=http) for _ in range(20)]
            for number, ws in enumerate(tunnels):
                ws.send(f"hello {number}")
            for number, ws in reversed(list(enumerate(tunnels))):
                assert ws.recv() == f"hello {number}"
            return [ws.close() for ws in tunnels]

    got, _ = place.compare(back, play, logs=20)
    assert got == [(1000, "")] * 20
