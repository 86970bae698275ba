"""Listener filters: what they find out, which chain that leads to, what reaches it, what is counted and logged.

Every scenario is a list of pieces that a client sends; each chain leads to a server of its own that says its name and
then repeats what it is sent. So what the client reads tells which chain took it and that not a byte was lost. The same
is played through Envoy and nuncio and compared: what the client read, how it ended, the listener's access log, counters.
"""

import fcntl
import socket
import socketserver
import ssl
import struct
import termios
import threading

import pytest

from harness import config as c
from harness.listener_filters import (alpn_extension, hand_made, hello, http_inspector, original_dst, proxy_protocol, record,
                                      sni_extension, tls_inspector)
from harness.proxy import Proxy, validate
from harness.wait import wait_for

STATS = (r"^(tls_inspector\.|http_inspector\.|proxy_proto\.|downstream_cx_proxy|"
         r"listener\.[^.]*\.(downstream_pre_cx_timeout|no_filter|downstream_cx_total|downstream_listener))")
FORMAT = ("%RESPONSE_FLAGS%|%RESPONSE_CODE_DETAILS%|%REQUESTED_SERVER_NAME%|%DOWNSTREAM_REMOTE_ADDRESS%|"
          "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%|%TLS_JA3_FINGERPRINT%|%TLS_JA4_FINGERPRINT%|"
          "%DYNAMIC_METADATA(envoy.filters.listener.proxy_protocol)%|%DYNAMIC_METADATA(other)%|"
          "%DYNAMIC_METADATA(envoy.filters.listener.tls_inspector:failure_reason)%")
CLOSED = "closed"
SILENT = "silent"


# --- building ---------------------------------------------------------------------------------------------------------

class Namer(socketserver.ThreadingTCPServer):
    """Says its name, then repeats what it is sent."""

    daemon_threads = True
    allow_reuse_address = True

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                self.request.sendall(self.server.name.encode() + b"\n")
                while data := self.request.recv(65536):
                    self.request.sendall(data)
            except OSError:
                pass

    def __init__(self, name):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.name = name
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *exc):
        self.shutdown()
        self.server_close()


def named(name, match=None, **more):
    """A chain that leads to the Namer of that name, and has it for its own."""
    return c.chain(c.tcp_proxy(name, stat_prefix=name), match=match, name=name, **more)


def listener(name, filters, *chains, log=None, **more):
    made = c.listener(name, *chains, listener_filters=list(filters), stat_prefix=name, **more)
    if log is not None:
        made["access_log"] = [c.access_log(log, FORMAT + "\n")]
    return made


# --- a proxy with all its listeners -----------------------------------------------------------------------------------

def sni(*names, **more):
    return {"server_names": list(names), **more}


def port_range(start, end):
    return {"destination_port_range": {"start": start, "end": end}}


ANY = {"any_match": True}
NEVER = {"not_match": ANY}
TLV_RULES = [
    {"tlv_type": 2, "on_tlv_present": {"key": "authority"}},
    {"tlv_type": 0xE0, "on_tlv_present": {"metadata_namespace": "other", "key": "vpc"}},
    {"tlv_type": 0xE1, "on_tlv_present": {"metadata_namespace": "other", "key": "b64", "value_string_encoding": "BASE64"}},
]
TLS_CHAINS = [
    named("exact", sni("a.test")),
    named("long", sni("*.b.test")),
    named("short", sni("*.test")),
    named("deep", sni("*.c.b.test")),
    named("plain", {"transport_protocol": "raw_buffer"}),
    named("anytls", {"transport_protocol": "tls"}),
]


def listeners(log):
    yield listener("sni", [tls_inspector(enable_ja3_fingerprinting=True, enable_ja4_fingerprinting=True)], *TLS_CHAINS, log=log)
    yield listener("alpn", [tls_inspector()],
                   named("h2", {"transport_protocol": "tls", "application_protocols": ["h2"]}),
                   named("h1", {"transport_protocol": "tls", "application_protocols": ["http/1.1", "http/1.0"]}),
                   named("wide", {"application_protocols": ["istio"]}),
                   named("anytls", {"transport_protocol": "tls"}), named("rest"), log=log)
    # The name picks the group, then ALPN must fit in it: no way back to the chain without a name.
    yield listener("trap", [tls_inspector()],
                   named("named", sni("a.test", application_protocols=["istio"])),
                   named("wide", sni("*.test", application_protocols=["h2"])),
                   named("rest", {"transport_protocol": "tls"}), log=log)
    yield listener("small", [tls_inspector(max_client_hello_size=256)], named("plain", {"transport_protocol": "raw_buffer"}),
                   named("anytls", {"transport_protocol": "tls"}), log=log)
    yield listener("strict", [tls_inspector(close_connection_on_client_hello_parsing_errors=True)], named("plain"), log=log)
    yield listener("http", [http_inspector()], named("h2c", {"application_protocols": ["h2c"]}),
                   named("h11", {"application_protocols": ["http/1.1"]}),
                   named("h10", {"application_protocols": ["http/1.0"]}), named("rest"), log=log)
    yield listener("both", [tls_inspector(), http_inspector()], named("h11", {"application_protocols": ["http/1.1"]}),
                   named("h2tls", {"transport_protocol": "tls", "application_protocols": ["h2"]}),
                   named("anytls", {"transport_protocol": "tls"}), named("rest"), log=log)
    yield listener("proxy", [proxy_protocol(rules=TLV_RULES)], named("rest"), log=log)
    yield listener("proxy-any", [proxy_protocol(allow_requests_without_proxy_protocol=True, stat_prefix="any")],
                   named("ten", {"source_prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}),
                   named("port80", {"destination_port": 80}), named("direct", {"source_type": "SAME_IP_OR_LOOPBACK"}),
                   named("rest"), log=log)
    yield listener("proxy-v1", [proxy_protocol(disallowed_versions=["V2"])], named("rest"), log=log)
    yield listener("proxy-v2", [proxy_protocol(disallowed_versions=["V1"], allow_requests_without_proxy_protocol=True)],
                   named("rest"), log=log)
    yield listener("proxy-tls", [proxy_protocol(), tls_inspector()], named("exact", sni("a.test")), named("rest"), log=log)
    yield listener("timeout", [tls_inspector()], named("rest"), log=log, listener_filters_timeout="0.3s")
    yield listener("passes", [tls_inspector(), http_inspector()], named("rest", {"transport_protocol": "raw_buffer"}), log=log,
                   listener_filters_timeout="0.3s", continue_on_listener_filters_timeout=True)
    yield listener("none-fits", [tls_inspector()], named("exact", sni("a.test")), log=log)
    for name, disabled in PREDICATES.items():
        yield listener(name, [tls_inspector(disabled=disabled)], named("tls", {"transport_protocol": "tls"}),
                       named("raw", {"transport_protocol": "raw_buffer"}), log=log)
    yield listener("dst", [original_dst()], named("rest"), log=log)


# Of a filter that would say "tls": where the predicate holds it is not asked.
PREDICATES = {
    "off-any": ANY,
    "off-never": NEVER,
    "off-low": port_range(1, 1024),
    "off-high": port_range(1024, 65536),
    "off-and": {"and_match": {"rules": [ANY, port_range(1024, 65536)]}},
    "off-and-not": {"and_match": {"rules": [ANY, NEVER]}},
    "off-or": {"or_match": {"rules": [port_range(1, 2), ANY]}},
    "off-or-not": {"or_match": {"rules": [NEVER, port_range(1, 2)]}},
    "off-not": {"not_match": port_range(1, 1024)},
}
NAMES = sorted({"exact", "long", "short", "deep", "plain", "anytls", "h2", "h1", "rest", "named", "wide", "h2c", "h11", "h10",
                "h2tls", "ten", "port80", "direct", "tls", "raw"})


class World:
    def __init__(self, flavour, place, namers, make=listeners):
        self.flavour = flavour
        self.log = place / f"{flavour}.log"
        self.log.touch()
        clusters = [c.cluster(n, namers[n].server_address[1]) for n in namers]
        self.proxy = Proxy(flavour, c.static_bootstrap(list(make(self.log)), clusters))

    def lines(self, offset):
        return self.log.read_bytes()[offset:].decode(errors="replace").splitlines()

    def play(self, name, pieces, patience=1.0):
        """Sends the pieces one by one, each in a segment of its own; what came of it."""
        offset = self.log.stat().st_size
        before = self.proxy.stats(f"?filter={STATS}")
        want = b"".join(pieces)
        with socket.create_connection(self.proxy.address(name), timeout=10) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            port = s.getsockname()[1]
            seen = exchange(s, pieces, len(want), patience)
        wait_for(lambda: self.lines(offset), lambda: f"{self.flavour}: a line in the access log")
        line = "\n".join(self.lines(offset)).replace(f":{port}|", ":own|")
        return seen, line, self.moved(before)

    def moved(self, before):
        after = self.proxy.stats(f"?filter={STATS}")
        return {n: v - before.get(n, 0) for n, v in after.items()
                if isinstance(v, int) and v != before.get(n, 0) and not n.startswith("listener.admin.")}


def exchange(s, pieces, total, patience):
    """(the name that was said, what was repeated, how it ended)"""
    got = b""
    try:
        for i, piece in enumerate(pieces):
            if i > 0:
                drain_window(s)
            s.sendall(piece)
    except OSError:
        pass
    s.settimeout(patience)
    end = SILENT
    try:
        while len(got) < total + 64:
            data = s.recv(65536)
            if not data:
                end = CLOSED
                break
            got += data
            name, newline, rest = got.partition(b"\n")
            if newline and len(rest) >= total:
                s.settimeout(0.05)
    except socket.timeout:
        pass
    except OSError:
        end = CLOSED
    name, _, rest = got.partition(b"\n")
    return name.decode(), rest, end


def drain_window(s):
    """Until the kernel on the other side has what was sent: the next piece is another segment."""
    def sent():
        return struct.unpack("I", fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0] == 0

    wait_for(sent, lambda: "the segment to be taken")


@pytest.fixture(scope="module")
def namers():
    made = {n: Namer(n) for n in NAMES}
    yield made
    for n in made.values():
        n.__exit__()


@pytest.fixture(scope="module")
def worlds(flavours, namers, tmp_path_factory):
    made = [World(f, tmp_path_factory.mktemp(f"filters-{f}"), namers) for f in flavours]
    for w in made:
        w.proxy.__enter__()
    yield made
    for w in made:
        w.proxy.__exit__(None, None, None)


def play_all(worlds, name, pieces, expect=None, **options):
    """The same in every proxy: the same outcome. expect: the chain's name, or how it ended without one."""
    outcomes = [(w.flavour, w.play(name, pieces, **options)) for w in worlds]
    for flavour, (seen, _, _) in outcomes:
        if expect is not None:
            assert (seen[0] or seen[2]) == expect, f"{flavour}: {seen}"
    first = outcomes[0][1]
    for flavour, outcome in outcomes[1:]:
        assert outcome == first, f"{flavour} differs from {outcomes[0][0]}"
    return first


def singly(data):
    """The first bytes one by one, for each waits for the last one's delayed acknowledgement, then the rest."""
    return [data[i:i + 1] for i in range(10)] + [data[10:]]


# --- what a client says -----------------------------------------------------------------------------------------------

A_SNI = sni_extension(b"a.test")
GROUPS = (10, struct.pack(">HHHH", 6, 0x1A1A, 29, 23))
FORMATS = (11, b"\x01\x00")
SIGNATURES = (13, struct.pack(">HHH", 4, 0x0403, 0x0804))
VERSIONS = (43, b"\x06\x2a\x2a\x03\x04\x03\x03")
KEY_SHARE = (51, struct.pack(">HHH", 36, 29, 32) + b"\x09" + bytes(31))
FULL = [A_SNI, (0x2A2A, b""), GROUPS, FORMATS, SIGNATURES, alpn_extension(b"h2", b"http/1.1"), VERSIONS, KEY_SHARE]
TLS12 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)


def split_records(message, *sizes):
    """The message in records of these sizes, the rest in a last one."""
    out = b""
    for size in sizes:
        out += record(message[:size])
        message = message[size:]
    return out + record(message)


SNI_CASES = {
    "exact": ([hello("a.test")], "exact"),
    "upper case": ([hello("A.TEST")], "exact"),
    "longest suffix": ([hello("x.c.b.test")], "deep"),
    "a suffix": ([hello("x.y.b.test")], "long"),
    "the suffix itself is no match of its own": ([hello("b.test")], "short"),
    "unknown": ([hello("other.example")], "anytls"),
    "no name": ([hello(None)], "anytls"),
    "tls 1.2": ([hello("a.test", versions=TLS12)], "exact"),
    "plain": ([b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"], "plain"),
    "five bytes": ([b"hello"], "plain"),
    "byte by byte": (singly(hello("a.test")), "exact"),
    "cut in two": ([hello("a.test")[:100], hello("a.test")[100:]], "exact"),
    "hello and more": ([hello("a.test") + b"early data, so to say"], "exact"),
    "in records of 1, 2, 3 and 50": ([split_records(hand_made(FULL), 1, 2, 3, 50)], "exact"),
    "records, each alone": ([record(hand_made(FULL)[:40]), record(hand_made(FULL)[40:])], "exact"),
    "hand made": ([record(hand_made(FULL))], "exact"),
    "hand made, tls 1.2": ([record(hand_made([A_SNI, GROUPS, FORMATS, SIGNATURES]))], "exact"),
    "no extensions": ([record(hand_made(None))], "anytls"),
    "empty extensions": ([record(hand_made([]))], "anytls"),
    "binary alpn": ([record(hand_made([A_SNI, alpn_extension(b"\xab\x01\xcd"), VERSIONS, KEY_SHARE, GROUPS, SIGNATURES]))],
                    "exact"),
    "one-letter alpn": ([record(hand_made([A_SNI, alpn_extension(b"x"), SIGNATURES, GROUPS]))], "exact"),
    "grease first alpn": ([record(hand_made([A_SNI, alpn_extension(b"\x2a\x2a", b"h2"), SIGNATURES, GROUPS]))], "exact"),
    "grease ciphers": ([record(hand_made(FULL, ciphers=(0x2A2A, 0x1302, 0x1301, 0xFAFA)))], "exact"),
    "only grease": ([record(hand_made([(0x4A4A, b"")], ciphers=(0x2A2A, 0xC02F)))], "anytls"),
    "ssl 3.0": ([record(hand_made([A_SNI], version=0x0300))], CLOSED),
    "tls 1.0": ([record(hand_made([A_SNI, GROUPS], version=0x0301))], "exact"),
    "tls 1.3 in the old place": ([record(hand_made([A_SNI, GROUPS], version=0x0304))], "exact"),
    "version of the future": ([record(hand_made([A_SNI, GROUPS], version=0x0305))], CLOSED),
    "version of the future, and known ones": ([record(hand_made(FULL, version=0x0305))], CLOSED),
    "no known version": ([record(hand_made([A_SNI, (43, b"\x02\x05\x05")]))], "exact"),
    "broken versions": ([record(hand_made([A_SNI, (43, b"\x05\x03")]))], "exact"),
    "broken alpn": ([record(hand_made([A_SNI, (16, b"\x00\x05\x02h2")]))], "exact"),
    "broken groups": ([record(hand_made([A_SNI, (10, b"\x00")]))], "exact"),
    "fallback": ([record(hand_made([A_SNI, GROUPS], ciphers=(0xC02F, 0x5600)))], "exact"),
    "an empty record first": ([record(b"") + record(hand_made(FULL))], "exact"),
    "another message behind it": ([record(hand_made(FULL) + b"\x02\0\0\0")], "plain"),
    "a cipher change first": ([record(b"\x01", kind=20) + record(hand_made(FULL))], "plain"),
    "an alert": ([record(b"\x02\x28", kind=21)], "plain"),
    "two names": ([record(hand_made([(0, b"\x00\x12" + b"\0\0\x06a.test" + b"\0\0\x06b.test")]))], "plain"),
    "a record too long": ([b"\x16\x03\x01\x48\x01" + bytes(30)], "plain"),
    "a message too long": ([record(b"\x01\x01\0\0" + bytes(100))], "plain"),
    "larger than allowed": ([record(b"\x01\0\x40\0" + bytes(16380))], CLOSED),
    "no compression list": ([record(hand_made(FULL, compression=b""))], "plain"),
    "only deflate": ([record(hand_made(FULL, compression=b"\x01"))], "exact"),
    "no ciphers": ([record(hand_made(FULL, ciphers=()))], "plain"),
    "session id of 33": ([record(hand_made(FULL, session=bytes(33)))], "plain"),
    "session id of 32": ([record(hand_made(FULL, session=bytes(32)))], "exact"),
    "an extension twice": ([record(hand_made([A_SNI, GROUPS, GROUPS]))], "plain"),
    "name with a NUL": ([record(hand_made([sni_extension(b"a.te\0st")]))], "plain"),
    "empty name": ([record(hand_made([sni_extension(b"")]))], "plain"),
    "name of another kind": ([record(hand_made([sni_extension(b"a.test", kind=1)]))], "plain"),
    "name of 255": ([record(hand_made([sni_extension(b"x" * 250 + b".test"), GROUPS]))], "short"),
    "name of 256": ([record(hand_made([sni_extension(b"x" * 251 + b".test"), GROUPS]))], "plain"),
    "strange name": ([record(hand_made([sni_extension(b"\xff<a>.test"), GROUPS]))], "short"),
    "empty server name extension": ([record(hand_made([(0, b"")]))], "plain"),
    "bytes behind the extensions": ([record(hand_made(FULL)[:1] + (len(hand_made(FULL)) - 3).to_bytes(3, "big") +
                                            hand_made(FULL)[4:] + b"x")], "plain"),
    "another handshake message": ([record(b"\x02" + hand_made(FULL)[1:])], "plain"),
    "a record of 3.9": ([record(hand_made(FULL), version=0x0309)], "exact"),
    "a record of 2.0": ([record(hand_made(FULL), version=0x0200)], "plain"),
}


@pytest.mark.parametrize("case", SNI_CASES, ids=str)
def test_server_names(worlds, case):
    pieces, expect = SNI_CASES[case]
    play_all(worlds, "sni", pieces, expect)


ALPN_CASES = {
    "h2": (("h2",), "h2"),
    "the client's first choice": (("http/1.0", "http/1.1", "h2"), "h1"),
    "the client's other choice": (("h2", "http/1.1"), "h2"),
    "first choice unknown": (("spdy", "h2", "http/1.1"), "h2"),
    # The transport is chosen first: this one is not said of "tls".
    "a protocol of another transport": (("istio", "h2"), "h2"),
    "none known": (("spdy",), "anytls"),
    "none": ((), "anytls"),
}


@pytest.mark.parametrize("case", ALPN_CASES, ids=str)
def test_alpn(worlds, case):
    protocols, expect = ALPN_CASES[case]
    play_all(worlds, "alpn", [hello("a.test", protocols)], expect)


@pytest.mark.parametrize("name, protocols, expect", [
    ("a.test", ("istio",), "named"),
    ("a.test", ("h2",), CLOSED),
    ("a.test", (), CLOSED),
    ("b.test", ("h2",), "wide"),
    ("b.test", ("istio",), CLOSED),
    ("example", ("h2",), "rest"),
])
def test_no_way_back(worlds, name, protocols, expect):
    play_all(worlds, "trap", [hello(name, protocols)], expect)


@pytest.mark.parametrize("pieces, expect", [
    ([hello("a.test")], CLOSED),
    ([hello("a.test")[:200]], SILENT),
    ([record(hand_made([A_SNI, GROUPS]))], "anytls"),
    ([b"GET / HTTP/1.1\r\n" + b"x" * 500], "plain"),
], ids=["too large", "not yet", "small enough", "large but plain"])
def test_max_client_hello_size(worlds, pieces, expect):
    play_all(worlds, "small", pieces, expect, patience=0.3)


@pytest.mark.parametrize("pieces, expect", [
    ([b"GET / HTTP/1.1\r\n\r\n"], CLOSED),
    ([record(hand_made(FULL, compression=b""))], CLOSED),
    ([hello("a.test")], "plain"),
])
def test_close_on_parsing_errors(worlds, pieces, expect):
    play_all(worlds, "strict", pieces, expect)


HTTP_CASES = {
    "1.1": ([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], "h11"),
    "1.0": ([b"GET / HTTP/1.0\r\n\r\n"], "h10"),
    "1.2": ([b"GET / HTTP/1.2\r\n\r\n"], "h10"),
    "0.9": ([b"GET /\r\n"], "h10"),
    "9.9": ([b"GET / HTTP/9.9\r\n\r\n"], None),
    "own method": ([b"FLY /me HTTP/1.1\r\n\r\n"], "h11"),
    "method in lower case": ([b"get / HTTP/1.1\r\n\r\n"], None),
    "line feed alone": ([b"GET / HTTP/1.1\nHost: x\n\n"], "h11"),
    "absolute": ([b"GET http://x/ HTTP/1.1\r\n\r\n"], "h11"),
    "connect": ([b"CONNECT x:1 HTTP/1.1\r\n\r\n"], "h11"),
    "options": ([b"OPTIONS * HTTP/1.1\r\n\r\n"], "h11"),
    "h2c": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)], "h2c"),
    "h2c byte by byte": (singly(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "h2c"),
    "nearly h2c": ([b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"], None),
    "byte by byte": (singly(b"GET /a/b HTTP/1.1\r\n"), "h11"),
    "empty line first": ([b"\r\nGET / HTTP/1.1\r\n\r\n"], "rest"),
    "binary": ([b"\x00\x01\x02\x03"], "rest"),
    "one bad byte": ([b"\x80"], "rest"),
    "a word": ([b"HELLO\r\n"], None),
    "two words and nonsense": ([b"GET / FTP/1.1\r\n"], None),
    "version in lower case": ([b"GET / http/1.1\r\n"], None),
    "spaces": ([b"GET  /  HTTP/1.1\r\n\r\n"], None),
    "tab": ([b"GET\t/\tHTTP/1.1\r\n\r\n"], None),
    "blank at the end": ([b"GET / HTTP/1.1 \r\n\r\n"], None),
    "a fourth word": ([b"GET / x HTTP/1.1\r\n\r\n"], None),
    "blank at the start": ([b" GET / HTTP/1.1\r\n\r\n"], None),
    "braces in method": ([b"G{T / HTTP/1.1\r\n\r\n"], None),
    "strange target": ([b"GET \x7f\xff HTTP/1.1\r\n\r\n"], None),
    "target without slash": ([b"GET x HTTP/1.1\r\n\r\n"], None),
    "user in the target": ([b"GET http://u@h:80/x HTTP/1.1\r\n"], None),
    "two at signs": ([b"GET http://a@@b/ HTTP/1.1\r\n"], None),
    "strange scheme": ([b"GET h+t.p-://x HTTP/1.1\r\n"], None),
    "bad scheme": ([b"GET 1http://x HTTP/1.1\r\n"], None),
    "connect to an address": ([b"CONNECT [::1]:80 HTTP/1.1\r\n"], None),
    "connect to a path": ([b"CONNECT /x HTTP/1.1\r\n"], None),
    "connect in lower case": ([b"connect x:1 HTTP/1.1\r\n"], None),
    "form feed": ([b"GET /a\x0cb HTTP/1.1\r\n"], None),
    "vertical tab": ([b"GET /\x0bHTTP/1.1\r\n"], None),
    "return inside": ([b"GET /\rHTTP/1.1\r\n"], None),
    "two returns": ([b"GET / HTTP/1.1\r\r\n"], None),
    "query only": ([b"GET ?x HTTP/1.1\r\n"], None),
    "braces in the path": ([b"GET /{}|\"<> HTTP/1.1\r\n"], None),
    "braces in the host": ([b"GET http://{x}/ HTTP/1.1\r\n"], None),
    "long version": ([b"GET / HTTP/11.1\r\n"], None),
    "method only": ([b"GET \r\n"], None),
    "tls": ([hello("a.test")], "rest"),
    "not yet": ([b"GET /abc"], SILENT),
    "a long line": ([b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n"], "h11"),
    "a line too long": ([b"GET /" + b"x" * 70000], CLOSED),
    "cut inside the version": ([b"GET / HT", b"TP/1.", b"1\r", b"\n"], "h11"),
}


@pytest.mark.parametrize("case", HTTP_CASES, ids=str)
def test_http_inspector(worlds, case):
    pieces, expect = HTTP_CASES[case]
    if case == "byte by byte":
        # Envoy may look at a line whose last bytes are still to come, and then takes it for none.
        worlds = [w for w in worlds if w.flavour == "nuncio"]
    if worlds:
        play_all(worlds, "http", pieces, expect, patience=0.4)


@pytest.mark.parametrize("pieces, expect", [
    ([b"GET / HTTP/1.1\r\n\r\n"], "h11"),
    ([b"GET / HT", b"TP/1.1\r\n\r\n"], "h11"),
    ([hello("a.test", ("h2",))], "h2tls"),
    ([hello("a.test")], "anytls"),
    ([b"\x00\x00\x00\x00\x00"], "rest"),
])
def test_two_inspectors(worlds, pieces, expect):
    play_all(worlds, "both", pieces, expect)


# --- PROXY protocol ---------------------------------------------------------------------------------------------------

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(body=b"", family=0x11, command=0x21, length=None):
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(body) if length is None else length) + body


def inet(source="10.1.2.3", destination="10.4.5.6", ports=(1111, 80)):
    return socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack(">HH", *ports)


def inet6(source="2001:db8::1", destination="2001:db8::2", ports=(1111, 80)):
    return socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination) + struct.pack(">HH", *ports)


def tlv(kind, value, length=None):
    return bytes([kind]) + struct.pack(">H", len(value) if length is None else length) + value


V1 = b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 80\r\n"
PAYLOAD = b"the bytes behind it"
# header pieces -> with the filter that wants a header
PROXY_CASES = {
    "v1": [V1],
    "v1 ipv6": [b"PROXY TCP6 2001:db8::1 2001:db8::2 1111 80\r\n"],
    "v1 byte by byte": singly(V1),
    "v1 cut before the end": [V1[:-1], V1[-1:]],
    "v1 unknown": [b"PROXY UNKNOWN\r\n"],
    "v1 unknown with more": [b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"],
    "v1 lower case": [b"proxy TCP4 10.1.2.3 10.4.5.6 1111 80\r\n"],
    "v1 udp": [b"PROXY UDP4 10.1.2.3 10.4.5.6 1111 80\r\n"],
    "v1 two blanks": [b"PROXY TCP4  10.1.2.3 10.4.5.6 1111 80\r\n"],
    "v1 blank at the end": [b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 80 \r\n"],
    "v1 tab at the end": [b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 80\t\r\n"],
    "v1 too few": [b"PROXY TCP4 10.1.2.3 10.4.5.6 1111\r\n"],
    "v1 too many": [b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 80 9\r\n"],
    "v1 no line feed": [b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 80" + b" " * 100],
    "v1 line feed alone": [b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 80\n" + b"x" * 100],
    "v1 of 107": [b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"],
    "v1 of 108": [b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n"],
    "v1 of 109": [b"PROXY UNKNOWN " + b"x" * 93 + b"\r\n"],
    "v1 of 110": [b"PROXY UNKNOWN " + b"x" * 94 + b"\r\n"],
    "v1 family mixed": [b"PROXY TCP4 2001:db8::1 2001:db8::2 1111 80\r\n"],
    "v1 family mixed 6": [b"PROXY TCP6 10.1.2.3 10.4.5.6 1111 80\r\n"],
    "v1 port too large": [b"PROXY TCP4 10.1.2.3 10.4.5.6 65536 80\r\n"],
    "v1 port 0": [b"PROXY TCP4 10.1.2.3 10.4.5.6 0 0\r\n"],
    "v1 port negative": [b"PROXY TCP4 10.1.2.3 10.4.5.6 -1 80\r\n"],
    "v1 port no number": [b"PROXY TCP4 10.1.2.3 10.4.5.6 1x 80\r\n"],
    "v1 bad address": [b"PROXY TCP4 10.1.2.300 10.4.5.6 1111 80\r\n"],
    "v1 short address": [b"PROXY TCP4 10.1.2 10.4.5.6 1111 80\r\n"],
    "v1 name": [b"PROXY TCP4 localhost 10.4.5.6 1111 80\r\n"],
    "v1 any": [b"PROXY TCP4 0.0.0.0 10.4.5.6 1111 80\r\n"],
    "v1 broadcast": [b"PROXY TCP4 10.1.2.3 255.255.255.255 1111 80\r\n"],
    "v1 multicast": [b"PROXY TCP4 224.0.0.1 10.4.5.6 1111 80\r\n"],
    "v1 loopback": [b"PROXY TCP4 127.0.0.1 127.0.0.1 1111 80\r\n"],
    "v2": [v2(inet())],
    "v2 udp": [v2(inet(), family=0x12)],
    "v2 ipv6": [v2(inet6(), family=0x21)],
    "v2 ipv6 udp": [v2(inet6(), family=0x22)],
    "v2 byte by byte": singly(v2(inet() + tlv(2, b"h.test"))),
    "v2 local": [v2(b"", family=0, command=0x20)],
    "v2 local with addresses": [v2(inet(), command=0x20)],
    "v2 local with tlvs": [v2(inet() + tlv(2, b"h"), command=0x20)],
    "v2 local with nonsense": [v2(b"\xff" * 50, family=0xFF, command=0x20)],
    "v2 unix": [v2(bytes(216), family=0x31)],
    "v2 unspec": [v2(b"", family=0x00)],
    "v2 inet without transport": [v2(inet(), family=0x10)],
    "v2 transport 3": [v2(inet(), family=0x13)],
    "v2 command 2": [v2(inet(), command=0x22)],
    "v2 version 1": [v2(inet(), command=0x11)],
    "v2 version 3": [v2(inet(), command=0x31)],
    "v2 too short": [v2(inet()[:11])],
    "v2 ipv6 too short": [v2(inet6()[:35], family=0x21)],
    "v2 length 0": [v2(b"")],
    "v2 any": [v2(inet(source="0.0.0.0"))],
    "v2 multicast": [v2(inet(destination="239.1.1.1"))],
    "v2 ipv6 any": [v2(inet6(source="::"), family=0x21)],
    "v2 ipv6 multicast": [v2(inet6(destination="ff02::1"), family=0x21)],
    "v2 tlv": [v2(inet() + tlv(2, b"name.test"))],
    "v2 tlvs": [v2(inet() + tlv(2, b"one") + tlv(0xE0, b"vpc-1") + tlv(0xE1, b"\x00\xff\x10") + tlv(4, b"noop"))],
    "v2 tlv twice": [v2(inet() + tlv(2, b"one") + tlv(2, b"two"))],
    "v2 tlv empty": [v2(inet() + tlv(2, b""))],
    "v2 tlv no utf-8": [v2(inet() + tlv(2, b"a\xff\xfeb\xc3\xa9\xc3"))],
    "v2 tlv too long": [v2(inet() + tlv(2, b"abc", length=4))],
    "v2 tlv without length": [v2(inet() + b"\x02")],
    "v2 tlv with half a length": [v2(inet() + b"\x02\x00")],
    "v2 tlv with length only": [v2(inet() + b"\x02\x00\x00")],
    "v2 large tlv": [v2(inet() + tlv(2, b"x" * 5000))],
    "v2 largest tlv": [v2(inet() + tlv(0x99, b"x" * (65535 - 15)))],
    "v2 large, in pieces": [v2(inet() + tlv(2, b"y" * 3000))[:100], v2(inet() + tlv(2, b"y" * 3000))[100:]],
    "v2 bad signature": [b"\r\n\r\n\0\r\nQUIX\n" + bytes(20)],
    "none": [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"],
    "none, short": [b"GET"],
    "none, a line": [b"hi\r\n"],
    "only a line end": [b"\r\n"],
    "signature cut": [SIGNATURE[:11]],
    "v1 begun": [b"PROX"],
}


@pytest.mark.parametrize("case", PROXY_CASES, ids=str)
def test_proxy_protocol(worlds, case):
    pieces = list(PROXY_CASES[case])
    # Envoy closes with what it has not read still there, which may take its bytes back: none behind it, none lost.
    play_all(worlds, "proxy", pieces, patience=0.3)
    play_all(worlds, "proxy", [*pieces[:-1], pieces[-1] + PAYLOAD], patience=0.3)


@pytest.mark.parametrize("case", PROXY_CASES, ids=str)
@pytest.mark.parametrize("name", ["proxy-any", "proxy-v1", "proxy-v2"])
def test_proxy_protocol_with_rules(worlds, name, case):
    play_all(worlds, name, PROXY_CASES[case], patience=0.3)


@pytest.mark.parametrize("header, expect", [
    (V1, "port80"),
    (b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 81\r\n", "ten"),
    (b"PROXY TCP4 11.1.2.3 10.4.5.6 1111 81\r\n", "rest"),
    (b"PROXY TCP4 11.1.2.3 11.1.2.3 1111 81\r\n", "direct"),
    (b"PROXY UNKNOWN\r\n", "direct"),
    (v2(inet(ports=(5, 6))), "ten"),
    (b"plain\r\n", "direct"),
], ids=["port", "source", "neither", "same address", "unknown", "v2", "none"])
def test_chains_see_the_header(worlds, header, expect):
    play_all(worlds, "proxy-any", [header + PAYLOAD], expect, patience=0.3)


@pytest.mark.parametrize("pieces, expect", [
    ([V1 + hello("a.test")], "exact"),
    ([V1, hello("a.test")], "exact"),
    ([V1 + hello("a.test")[:50], hello("a.test")[50:]], "exact"),
    ([V1 + b"plain text"], "rest"),
    ([v2(inet() + tlv(2, b"z" * 20000)) + hello("a.test")], "exact"),
    ([hello("a.test")], CLOSED),
])
def test_header_before_a_hello(worlds, pieces, expect):
    play_all(worlds, "proxy-tls", pieces, expect)


# --- time, predicates, nothing that fits ------------------------------------------------------------------------------

@pytest.mark.parametrize("pieces", [[], [b"\x16"], [hello("a.test")[:100]]], ids=["silent", "a byte", "half a hello"])
def test_timeout_closes(worlds, pieces):
    play_all(worlds, "timeout", pieces, CLOSED, patience=2)


@pytest.mark.parametrize("pieces", [[], [b"\x16"], [hello("a.test")[:100]], [b"GET /"]],
                         ids=["silent", "a byte", "half a hello", "half a request"])
def test_timeout_is_passed_over(worlds, pieces):
    play_all(worlds, "passes", pieces, "rest", patience=2)


@pytest.mark.parametrize("name", PREDICATES, ids=str)
def test_filter_disabled(worlds, name):
    on = ("off-never", "off-low", "off-and-not", "off-or-not")
    play_all(worlds, name, [hello("a.test")], "tls" if name in on else "raw")


def test_no_chain_fits(worlds):
    play_all(worlds, "none-fits", [hello("b.test")], CLOSED)
    play_all(worlds, "none-fits", [b"plain text"], CLOSED)


def test_what_was_not_redirected_keeps_its_address(worlds):
    play_all(worlds, "dst", [b"hello"], "rest")


def test_client_that_goes_while_it_is_inspected(worlds):
    for w in worlds:
        before = w.proxy.stats(f"?filter={STATS}")
        socket.create_connection(w.proxy.address("timeout"), timeout=5).close()
        wait_for(lambda: w.moved(before).get("listener.timeout.downstream_listener_filter_remote_close") == 1,
                 lambda: f"{w.flavour}: {w.moved(before)}")
        wait_for(lambda: w.proxy.stat("listener.timeout.downstream_pre_cx_active") == 0, lambda: "none is left")


# --- verdicts ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("filters, good", [
    ([tls_inspector(initial_read_buffer_size=255)], False),
    ([tls_inspector(initial_read_buffer_size=256)], True),
    ([tls_inspector(initial_read_buffer_size=65536)], True),
    ([tls_inspector(initial_read_buffer_size=65537)], False),
    ([tls_inspector(max_client_hello_size=255)], False),
    ([tls_inspector(max_client_hello_size=16385)], False),
    ([proxy_protocol(disallowed_versions=["V1", "V2"])], False),
    ([proxy_protocol(disallowed_versions=["V1", "V1"])], True),
    ([proxy_protocol(rules=[{"tlv_type": 256, "on_tlv_present": {"key": "k"}}])], False),
    ([proxy_protocol(rules=[{"tlv_type": 1, "on_tlv_present": {"key": ""}}])], False),
    ([proxy_protocol(rules=[{"tlv_type": 1}])], True),
    ([proxy_protocol(pass_through_tlvs={"match_type": "INCLUDE", "tlv_type": [255]})], True),
    ([proxy_protocol(pass_through_tlvs={"tlv_type": [256]})], False),
    ([tls_inspector(disabled={})], False),
    ([tls_inspector(disabled={"any_match": False})], False),
    ([tls_inspector(disabled={"or_match": {"rules": [ANY]}})], False),
    ([tls_inspector(disabled={"and_match": {"rules": []}})], False),
    ([tls_inspector(disabled=port_range(5, 1))], True),
    ([{"name": "x"}], False),
    ([tls_inspector(), tls_inspector()], True),
])
def test_verdicts(flavour, filters, good):
    code, output = validate(flavour, c.static_bootstrap([c.listener("l", named("x"), listener_filters=filters)],
                                                        [c.cluster("x", 1)]))
    assert (code == 0) == good, output


# --- listeners that take over -----------------------------------------------------------------------------------------

def handing_over(log):
    """Whoever comes with a PROXY header goes where it says that it wanted to go."""
    def bound(name, port, host, *chains, **more):
        return listener(name, (), *chains, port=port, host=host, bind_to_port=False, log=log, **more)

    yield listener("front", [proxy_protocol(allow_requests_without_proxy_protocol=True)], named("rest"), log=log,
                   use_original_dst=True)
    yield listener("keeps", [proxy_protocol()], named("plain"), log=log)
    yield bound("exact", 80, "10.4.5.6", named("exact"))
    yield bound("wide", 80, "0.0.0.0", named("wide"))
    yield bound("second", 8080, "10.4.5.6", named("ten", {"destination_port": 8080}))
    yield bound("six", 80, "::", named("deep"))
    again = bound("again", 9090, "10.4.5.6", named("exact", sni("a.test")), named("rest"))
    again["listener_filters"] = [tls_inspector()]
    yield again


@pytest.fixture(scope="module")
def handing(flavours, namers, tmp_path_factory):
    made = [World(f, tmp_path_factory.mktemp(f"handing-{f}"), namers, handing_over) for f in flavours]
    for w in made:
        w.proxy.__enter__()
    yield made
    for w in made:
        w.proxy.__exit__(None, None, None)


@pytest.mark.parametrize("name, pieces, expect", [
    ("front", [V1 + PAYLOAD], "exact"),
    ("front", [b"PROXY TCP4 10.1.2.3 10.4.5.7 1111 80\r\n" + PAYLOAD], "wide"),
    ("front", [b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 8080\r\n" + PAYLOAD], "ten"),
    ("front", [b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 81\r\n" + PAYLOAD], "rest"),
    ("front", [b"PROXY TCP6 2001:db8::1 2001:db8::2 1111 80\r\n" + PAYLOAD], "deep"),
    ("front", [b"PROXY UNKNOWN\r\n" + PAYLOAD], "rest"),
    ("front", [PAYLOAD], "rest"),
    ("front", [b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 9090\r\n" + hello("a.test")], "exact"),
    ("front", [b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 9090\r\n", hello("a.test")[:9], hello("a.test")[9:]], "exact"),
    ("front", [b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 9090\r\n" + PAYLOAD], "rest"),
    ("keeps", [V1 + PAYLOAD], "plain"),
])
def test_use_original_dst(handing, name, pieces, expect):
    play_all(handing, name, pieces, expect, patience=0.4)
