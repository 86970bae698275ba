"""A listener's access log: one line for each connection, also for those that end before any filter hears of them."""

import contextlib
import re
import socket
import ssl

import pytest

from harness import config as c
from harness.certs import Authority
from harness.differential import LogFile
from harness.proxy import Proxy
from harness.tls import attempt, context
from harness.wait import wait_for

ROOT, OTHER = Authority("root"), Authority("other")
SERVER = ROOT.leaf("server", dns=["x.example"])
GOOD = ROOT.authority("issuing").leaf("good", uri=["urn:good"])
STRANGER = OTHER.leaf("stranger", uri=["urn:stranger"])

FIELDS = ["CONNECTION_TERMINATION_DETAILS", "RESPONSE_FLAGS", "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
          "DOWNSTREAM_TLS_VERSION", "DOWNSTREAM_TLS_CIPHER", "DOWNSTREAM_TLS_GROUP", "DOWNSTREAM_TLS_SESSION_ID",
          "DOWNSTREAM_PEER_SUBJECT", "DOWNSTREAM_PEER_URI_SAN", "REQUESTED_SERVER_NAME", "RESPONSE_CODE",
          "RESPONSE_CODE_DETAILS", "UPSTREAM_HOST", "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "ROUTE_NAME"]
FORMAT = "\t".join(f"%{name}%" for name in [*FIELDS, "DURATION"]) + "\n"


def listeners(log):
    hcm = c.hcm(c.routes("r", c.vhost("all", ["*"], c.direct("/"))))
    mutual = c.downstream_tls(SERVER, validation=c.trust(ROOT), require_client_certificate=True)
    named = c.downstream_tls(SERVER, validation=c.trust(ROOT, san=[("URI", "urn:else")]), require_client_certificate=True)

    def tls(name, socket_config, match=None, wait="10s", **more):
        made = c.chain(hcm, transport_socket=socket_config, transport_socket_connect_timeout=wait, match=match)
        return c.listener(name, made, access_log=[c.access_log(log, FORMAT)], **more)

    return [
        c.listener("plain", c.chain(hcm), access_log=[c.access_log(log, FORMAT)]),
        tls("tls", c.downstream_tls(SERVER)), tls("mutual", mutual), tls("named", named),
        tls("hasty", mutual, wait="0.2s"),
        tls("chosen", c.downstream_tls(SERVER), {"server_names": ["only.example"]}, listener_filters=[c.tls_inspector()],
            listener_filters_timeout="0.2s"),
    ]


def raw(data=b"", reads=True):
    """Send bytes; read to the end, or close at once."""
    def play(address):
        with socket.create_connection(address, timeout=10) as sock:
            sock.sendall(data)
            with contextlib.suppress(ConnectionError):
                while reads and sock.recv(4096):
                    pass
    return play


def half_hello():
    """The first bytes of a ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context().wrap_bio(incoming, outgoing, server_hostname="x.example")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    data = outgoing.read()
    return data[:len(data) // 2]


def shake(**options):
    return lambda address: attempt(address, **options)


# (what happens, listener, how, what the line must say)
CASES = [
    ("a connection without a byte", "plain", raw(reads=False), {}),
    ("a request", "plain", raw(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"), {}),
    ("TLS without a byte", "tls", raw(reads=False), {"DOWNSTREAM_TRANSPORT_FAILURE_REASON": "-"}),
    ("garbage", "tls", raw(b"garbage" * 9), {"DOWNSTREAM_TRANSPORT_FAILURE_REASON": "WRONG_VERSION_NUMBER"}),
    ("HTTP without TLS", "tls", raw(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
     {"DOWNSTREAM_TRANSPORT_FAILURE_REASON": "HTTP_REQUEST"}),
    ("an old version", "tls", shake(versions="1.1", security=0), {"DOWNSTREAM_TRANSPORT_FAILURE_REASON": "UNSUPPORTED_PROTOCOL"}),
    ("no common cipher", "tls", shake(versions="1.2", ciphers="AES256-GCM-SHA384"), {}),
    ("a client that refuses", "tls", shake(ca=OTHER, versions="1.2"),
     {"DOWNSTREAM_TRANSPORT_FAILURE_REASON": "TLSV1_ALERT_UNKNOWN_CA"}),
    ("no certificate", "mutual", shake(), {"DOWNSTREAM_TRANSPORT_FAILURE_REASON": "PEER_DID_NOT_RETURN_A_CERTIFICATE"}),
    ("no certificate, 1.2", "mutual", shake(versions="1.2"), {"DOWNSTREAM_TLS_VERSION": "TLSv1.2"}),
    ("a stranger", "mutual", shake(certificate=STRANGER), {"DOWNSTREAM_PEER_URI_SAN": "urn:stranger"}),
    ("a stranger, 1.2", "mutual", shake(certificate=STRANGER, versions="1.2"),
     {"DOWNSTREAM_PEER_SUBJECT": "CN=stranger", "DOWNSTREAM_TRANSPORT_FAILURE_REASON": "CERTIFICATE_VERIFY_FAILED"}),
    ("another name", "named", shake(certificate=GOOD), {"DOWNSTREAM_TRANSPORT_FAILURE_REASON": "SAN_matcher"}),
    ("all is well", "mutual", shake(certificate=GOOD), {"DOWNSTREAM_PEER_URI_SAN": "urn:good"}),
    ("a handshake that takes too long", "hasty", raw(half_hello()),
     {"CONNECTION_TERMINATION_DETAILS": "transport socket timeout was reached"}),
    ("a handshake broken off", "hasty", raw(half_hello(), reads=False), {"CONNECTION_TERMINATION_DETAILS": "-"}),
    ("no filter chain", "chosen", shake(),
     {"RESPONSE_FLAGS": "NR", "RESPONSE_CODE_DETAILS": "filter_chain_not_found", "REQUESTED_SERVER_NAME": "test.example"}),
    ("silence while it is inspected", "chosen", raw(), {"RESPONSE_FLAGS": "-"}),
    ("gone while it is inspected", "chosen", raw(reads=False), {}),
]


@pytest.fixture(scope="module")
def proxies(flavours, tmp_path_factory):
    place = tmp_path_factory.mktemp("connections")
    with contextlib.ExitStack() as stack:
        made = {}
        for flavour in sorted(flavours):
            path = place / f"{flavour}.log"
            path.touch()
            proxy = stack.enter_context(Proxy(flavour, c.static_bootstrap(listeners(path))))
            made[flavour] = (proxy, LogFile(path))
        yield made


@pytest.mark.parametrize("listener, how, wanted", [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_line(proxies, listener, how, wanted):
    seen = {}
    for flavour, (proxy, log) in proxies.items():
        log.skip()
        how(proxy.listeners()[listener][0])
        wait_for(log.lines, "a line", 5)
        wait_for(lambda: proxy.stat("listener.127.0.0.1_0.downstream_cx_active") == 0, "the connection is gone")
        [line] = log.lines()
        seen[flavour] = told = dict(zip([*FIELDS, "DURATION"], line.split("\t")))
        for name, value in wanted.items():
            assert value in told[name], (flavour, told)
        assert re.fullmatch(r"\d+", told.pop("DURATION"))
    if len(seen) > 1:
        assert seen["envoy"] == seen["nuncio"]
