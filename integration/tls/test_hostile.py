"""Peers that do not behave, before and inside TLS: each moves a counter, ends as with Envoy, and harms nobody else."""

import re
import socket
import threading
import time
from contextlib import suppress
from itertools import pairwise

import pytest

from harness import config as c
from harness.certs import Authority
from harness.client import request
from harness.tls import TlsClient, TlsEnded, attempt, plain_alerts, plain_exchange, records, s_client
from harness.tls_table import FORMAT, row_listener
from harness.upstream import Reply
from harness.wait import wait_for

ROOT = Authority("root")
SERVER = ROOT.leaf("server", dns=["a.example"])
TLS = c.downstream_tls(SERVER)


def slow_chain(name, log):
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
    made = c.chain(c.hcm(table, stat_prefix=name), transport_socket=TLS, transport_socket_connect_timeout="0.4s")
    return c.listener(name, made, stat_prefix=name, access_log=[c.access_log(log, FORMAT)])


def inspected(name, log):
    made = row_listener(name, TLS, log)
    made["listener_filters"] = [c.tls_inspector()]
    return made


LISTENERS = {
    "plain_tls": TLS,
    "slow": slow_chain,
    "inspected": inspected,
    "only12": c.downstream_tls(SERVER, params={"tls_maximum_protocol_version": "TLSv1_2"}),
    "renegotiates": c.downstream_tls(SERVER, params={"tls_maximum_protocol_version": "TLSv1_2"}),
}


def good(table, listener="plain_tls"):
    return attempt(table.address(listener), sni="a.example").status


AFTERTHOUGHT = "|268435650:SSL_routines:OPENSSL_internal:PROTOCOL_IS_SHUTDOWN:TLS_error_end"


def compared(tables, listener, action):
    """action(table) with each; what came of it, counters and log line, must agree. The first of them. That there was an
    error of a connection counts, not how often: Envoy counts one more when it closes after it."""
    rows = {}
    for flavour, table in sorted(tables.tables.items()):
        result, counters, line = table.around(listener, lambda t=table: action(t))
        counters["ssl.connection_error"] = min(counters.get("ssl.connection_error", 0), 1)
        line["failure"] = line.get("failure", "no log line").replace(AFTERTHOUGHT, "")
        rows[flavour] = result, counters, line
        assert table.observe(listener, sni="a.example").seen.status == 200
    if len(rows) > 1:
        assert rows["envoy"] == rows["nuncio"]
    return next(iter(rows.values()))


def hello(**options):
    """A ClientHello of OpenSSL, as bytes."""
    with socket.create_server(("127.0.0.1", 0)) as sink:
        with TlsClient(sink.getsockname(), handshake=False, sni="a.example", **options) as client:
            return client.hello()


def fragmented(size):
    """The ClientHello in records of that many bytes each."""
    whole = hello()
    body, out = whole[5:], b""
    for at in range(0, len(body), size):
        piece = body[at:at + size]
        out += whole[:3] + len(piece).to_bytes(2, "big") + piece
    return out


def padded_hello(total):
    """A ClientHello with an unknown extension that makes it that long."""
    whole = hello(versions="1.2")
    body = bytearray(whole[5:])
    # handshake header 4, version 2, random 32, session id, ciphers, compression, extensions.
    at = 4 + 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at:at + 2], "big")
    at += 1 + body[at]
    extensions = bytes(body[at + 2:])
    fill = min(total, 65000) - len(body) - 4
    extensions += b"\xab\xcd" + fill.to_bytes(2, "big") + bytes(fill)
    body = bytes(body[:at]) + len(extensions).to_bytes(2, "big") + extensions
    body = body[:1] + (len(body) - 4).to_bytes(3, "big") + body[4:]
    out = b""
    for start in range(0, len(body), 16384):
        piece = body[start:start + 16384]
        out += b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece
    return out


def with_sni(name):
    """A ClientHello whose server_name is those bytes."""
    whole = hello(versions="1.2")
    found = whole.index(b"a.example")
    assert len(name) == len(b"a.example")
    return whole[:found] + name + whole[found + len(name):]


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "zeros": bytes(100),
    "text": b"hello, is there anybody?\r\n" * 10,
    "proxy protocol": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "ssl2": bytes.fromhex("802e0100020015000000100100800200800300800400800500800600400700c0") + bytes(16),
    "record too long": b"\x16\x03\x01\xff\xff" + bytes(200),
    "empty record": b"\x16\x03\x01\x00\x00",
    "application data first": b"\x17\x03\x03\x00\x05hello",
    "alert first": b"\x15\x03\x01\x00\x02\x02\x28",
    "close_notify first": b"\x15\x03\x01\x00\x02\x01\x00",
    "ccs first": b"\x14\x03\x03\x00\x01\x01" * 40,
    "huge handshake message": b"\x16\x03\x01\x00\x04\x01\xff\xff\xff" + b"\x16\x03\x01\x40\x00" + bytes(16384),
    "server hello": b"\x16\x03\x03\x00\x04\x02\x00\x00\x00",
    "hello, then garbage": lambda: hello() + b"garbage garbage garbage",
    "two hellos": lambda: hello() * 2,
    "sni with NUL": lambda: with_sni(b"a\0example"),
    "sni with spaces": lambda: with_sni(b"a  exampl"),
    "sni not utf-8": lambda: with_sni(b"\xff\xfe.exampl"),
    "one byte records": lambda: fragmented(1),
    "records of 50": lambda: fragmented(50),
    "hello of 15000": lambda: padded_hello(15000),
    "hello of 16k and more": lambda: padded_hello(17000),
    "hello of 60000": lambda: padded_hello(60000),
}


# Envoy's inspector drops what says goodbye first, uncounted; to nuncio's it is not TLS, and TLS itself refuses it.
DIFFERS = {("inspected", "close_notify first")}


def garbage(name):
    made = GARBAGE[name]
    return made() if callable(made) else made


@pytest.mark.differential
@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("listener", ["plain_tls", "inspected", "only12"])
def test_garbage(tables, listener, name):
    """The bytes, and the end of them: what comes back, up to where it is encrypted."""
    data = garbage(name)

    def send(table):
        with socket.create_connection(table.address(listener), timeout=5) as sock:
            out = b""
            # Whether the end is a reset depends on what was left unread; what came before it stays readable.
            with suppress(OSError):
                sock.sendall(data)
            # The end of the client's side comes only when the proxy waits for more: Envoy's inspector looks at an end first.
            for patience in (0.15, 5):
                sock.settimeout(patience)
                with suppress(OSError):
                    while piece := sock.recv(65536):
                        out += piece
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
            return plain_alerts(out), out[:1] == b"\x16"

    if (listener, name) in DIFFERS:
        for table in tables.tables.values():
            assert table.around(listener, lambda t=table: send(t))[0] == ([], False)
        return
    (alerts, _), counters, line = compared(tables, listener, send)
    if listener == "plain_tls" and name == "http":
        assert counters["ssl.connection_error"] == 1
        assert "HTTP_REQUEST" in line["failure"]
    if name in ("zeros", "text", "ssh") and listener != "inspected":
        assert counters["ssl.connection_error"] == 1
        assert re.search("WRONG_VERSION_NUMBER|TLS_error", line["failure"])
        assert alerts


def test_plaintext_gets_no_http_answer(tables):
    for table in tables.tables.values():
        said, end = table.around("plain_tls", lambda t=table: plain_exchange(t.address("plain_tls"), request()))[0]
        assert b"HTTP/1.1" not in said and end in ("FIN", "RST")


@pytest.mark.differential
@pytest.mark.parametrize("sends", ["nothing", "half a hello", "all but the end"])
def test_slow_handshake(tables, sends):
    """transport_socket_connect_timeout: the connection is closed, and a counter says so."""
    data = hello()
    data = {"nothing": b"", "half a hello": data[:len(data) // 2], "all but the end": data}[sends]

    def wait(table):
        started = time.monotonic()
        with socket.create_connection(table.address("slow"), timeout=5) as sock:
            sock.sendall(data)
            try:
                while sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
        return 0.3 < time.monotonic() - started < 2

    in_time, counters, _ = compared(tables, "slow", wait)
    assert in_time
    assert counters["downstream_cx_transport_socket_connect_timeout"] == 1


def test_no_handshake_waits_for_ever_by_default(tables):
    """Envoy has no limit unless told; nuncio may not be laxer than silent peers need: it is told the same."""
    for table in tables.tables.values():
        def wait(table=table):
            with socket.create_connection(table.address("plain_tls"), timeout=0.5) as sock:
                with pytest.raises(TimeoutError):
                    sock.recv(1)

        table.around("plain_tls", wait)


@pytest.mark.differential
def test_renegotiation_is_refused(tables):
    """openssl s_client's R: the connection ends, the request after it is not answered."""

    def renegotiate(table):
        process_input = b"R\n"
        said = s_client(table.address("renegotiates"), "-tls1_2", "-servername", "a.example", send=process_input, timeout=20)
        return said["alert"], "RENEGOTIATING" in said.text

    (alert, tried), counters, line = compared(tables, "renegotiates", renegotiate)
    assert tried
    assert alert == "no renegotiation"
    assert counters["ssl.connection_error"] == 1


@pytest.mark.differential
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_close_notify_of_the_client(tables, version):
    """After the client's close_notify the proxy answers with its own, then FIN."""

    def close(table):
        with TlsClient(table.address("plain_tls"), versions=version, sni="a.example") as client:
            assert client.get().status == 200
            had = len(records(client.wire))
            client.notify()
            return client.wait_end(), [kind for kind, _, _ in records(client.wire)[had:]]

    compared(tables, "plain_tls", close)


@pytest.mark.differential
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_fin_without_close_notify(tables, version):
    """A client that just goes: no error counted."""

    def close(table):
        with TlsClient(table.address("plain_tls"), versions=version, sni="a.example") as client:
            assert client.get().status == 200
            client.sock.shutdown(socket.SHUT_WR)
            return client.wait_end()

    _, counters, _ = compared(tables, "plain_tls", close)
    assert counters["ssl.connection_error"] == 0


@pytest.mark.differential
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_reset_by_the_client(tables, version):
    def reset(table):
        with TlsClient(table.address("plain_tls"), versions=version, sni="a.example") as client:
            assert client.get().status == 200
            client.reset()

    # Envoy tells the reset as if TLS had failed; to nuncio it is the connection that did.
    for table in tables.tables.values():
        _, counters, line = table.around("plain_tls", lambda t=table: reset(t))
        assert counters["downstream_cx_destroy"] == 1 and "ssl.connection_error" not in counters
        assert line["failure"] == "-" or "Connection_reset_by_peer" in line["failure"]


@pytest.mark.differential
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_close_notify_of_the_proxy(tables, version):
    """`connection: close` in the request: the proxy says close_notify before FIN."""

    def close(table):
        with TlsClient(table.address("plain_tls"), versions=version, sni="a.example") as client:
            client.get(headers=[("connection", "close")])
            client.read_to_end()
            return client.was_notified, client.wait_end()

    (notified, _), _, _ = compared(tables, "plain_tls", close)
    assert notified


@pytest.mark.differential
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("at", ["type", "length", "body", "last byte"])
def test_tampered_record(tables, version, at):
    """A bit turned on the way in: bad_record_mac, and no request reaches the origin."""

    def tamper(table):
        with TlsClient(table.address("plain_tls"), versions=version, sni="a.example") as client:
            client.object.write(request())
            data = bytearray(client.outgoing.read())
            data[{"type": 0, "length": 4, "body": 12, "last byte": -1}[at]] ^= 1
            client.send_raw(bytes(data) + bytes(400) * (at == "length"))
            try:
                client.read_response()
                return "answered"
            except TlsEnded as ended:
                return ended.how if at != "length" else "ended"
            except AssertionError:
                return "ended"

    how, counters, _ = compared(tables, "plain_tls", tamper)
    assert how != "answered"
    assert counters["ssl.connection_error"] == 1


@pytest.mark.differential
def test_large_records_both_ways(tables):
    """A megabyte each way, in requests of one connection: whole, over small and large records."""
    body = bytes(range(256)) * 4096
    for table in tables.tables.values():
        table.origin.forget()
        table.origin.on("/big", Reply(body=body))
        with TlsClient(table.address("plain_tls"), sni="a.example") as client:
            for _ in range(3):
                got = client.get("/big", method="POST", body=body)
                assert got.status == 200 and got.body == body
        assert all(r.body == body for r in table.origin.take())


# faults.md 28: floods, with the common pass rule.


class Bystander:
    """A well-behaved client beside a flood: its failures and slowest answers."""

    def __init__(self, table, listener="plain_tls"):
        self.table, self.listener = table, listener
        self.times, self.problems = [], []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join(20)

    def _run(self):
        kept = TlsClient(self.table.address(self.listener), sni="a.example")
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                assert kept.get().status == 200
                seen = attempt(self.table.address(self.listener), sni="a.example")
                assert seen.status == 200, seen
            except (AssertionError, OSError) as error:
                self.problems.append(error)
            self.times.append(time.monotonic() - started)
        kept.close()


def half_open(table, count):
    """Connections that said half a hello, or all of it and then nothing."""
    data = hello()
    made = []
    for number in range(count):
        sock = socket.create_connection(table.address("slow"), timeout=10)
        sock.sendall(data if number % 2 else data[:40])
        made.append(sock)
    return made


def start_flood(table, kind, count=1000):
    """So many connections to the listener that gives them 0.4 s."""
    if kind == "half open":
        return half_open(table, count)
    data = fragmented(3) if kind == "fragments" else b"\x16\x03\x01\x00\xff" + b"x" * 255
    made = []
    for _ in range(count):
        sock = socket.create_connection(table.address("slow"), timeout=10)
        with suppress(ConnectionError):
            sock.sendall(data)
        made.append(sock)
    return made


@pytest.mark.parametrize("kind", ["half open", "garbage", "fragments"])
def test_flood(tables, kind):
    """A thousand at once, thrice: bounded memory that does not grow, all gone in time, a bystander sees nothing of it."""
    for flavour, table in tables.tables.items():
        proxy = table.proxy
        assert good(table, "slow") == 200
        first, files, memory = table.counters("slow"), proxy.open_files(), [proxy.rss_kb()]
        with Bystander(table) as bystander:
            wait_for(lambda: len(bystander.times) > 3, "the bystander is at work")
            for _ in range(3):
                flood = start_flood(table, kind)
                held = proxy.rss_kb()
                wait_for(lambda: proxy.stat("listener.slow.downstream_cx_active") == 0, "the flood is over", 20)
                for sock in flood:
                    sock.close()
                wait_for(lambda: proxy.open_files() <= files + 8, "its files are closed")
                memory.append(proxy.rss_kb())
        assert not bystander.problems, bystander.problems[:3]
        if flavour == "nuncio" and not proxy.is_sanitized:
            assert held - memory[0] < 64 << 10, f"{held - memory[0]} KB for 1,000 handshakes"
            # How many are there at the same moment differs; a leak would show both times.
            assert any(after < before * 1.05 + 1024 for before, after in pairwise(memory[1:])), f"it grows: {memory} KB"
        counters = table.moved("slow", first)
        if kind == "half open":
            assert counters["downstream_cx_transport_socket_connect_timeout"] >= 3000
        elif kind == "garbage":
            assert counters["ssl.connection_error"] >= 3000
        assert good(table, "slow") == 200
