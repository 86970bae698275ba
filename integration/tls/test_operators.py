"""Operators about connections in access logs, of streams and of connections, and in headers: the same values."""

import contextlib
import re

import pytest

from harness import config as c
from harness.certs import UPN, Authority
from harness.client import Client
from harness.differential import LogFile
from harness.h2peer import H2Client
from harness.proxy import Proxy
from harness.tls import TlsClient, context, load
from harness.upstream import Origin
from harness.wait import wait_for

ROOT = Authority("root")
ISSUING = ROOT.authority("issuing")
NAMES = dict(dns=["a.example", "b.example"], uri=["spiffe://a/b", "urn:c"], ip=["10.0.0.1", "::1"], email=["e@x.example"],
             other=[(UPN, "u@x"), ("1.2.3.4", "v")])
SERVER = ROOT.leaf("server", **NAMES)
CLIENT = ISSUING.leaf('clie,nt "x"', **NAMES)

_NAMES = ("DNS_SAN", "EMAIL_SAN", "IP_SAN", "OTHERNAME_SAN", "URI_SAN", "SUBJECT")
OPERATORS = [
    *(f"DOWNSTREAM_{side}_{name}" for side in ("PEER", "LOCAL") for name in _NAMES),
    *(f"DOWNSTREAM_PEER_{name}" for name in (
        "CERT", "CERT_V_START", "CERT_V_END", "CHAIN_FINGERPRINTS_1", "CHAIN_FINGERPRINTS_256", "CHAIN_SERIALS",
        "FINGERPRINT_1", "FINGERPRINT_256", "ISSUER", "ISSUER_FINGERPRINT_256", "ISSUER_SERIAL", "SERIAL")),
    *(f"{side}_TLS_{name}" for side in ("DOWNSTREAM", "UPSTREAM") for name in ("CIPHER", "GROUP", "VERSION")),
    *(f"UPSTREAM_{side}_{name}" for side in ("PEER", "LOCAL") for name in ("DNS_SAN", "IP_SAN", "URI_SAN")),
    *(f"UPSTREAM_PEER_{name}" for name in ("CERT", "CERT_V_START", "CERT_V_END", "ISSUER", "SUBJECT")),
    "DOWNSTREAM_TLS_SESSION_ID", "TLS_JA3_FINGERPRINT", "TLS_JA4_FINGERPRINT", "REQUESTED_SERVER_NAME",
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON", "UPSTREAM_TRANSPORT_FAILURE_REASON",
    *(f"{side}_HEADER_BYTES_{way}" for side in ("DOWNSTREAM", "UPSTREAM") for way in ("SENT", "RECEIVED")),
    *(f"DOWNSTREAM_{name}_WITHOUT_PORT" for name in ("DIRECT_LOCAL_ADDRESS", "DIRECT_REMOTE_ADDRESS", "LOCAL_ADDRESS")),
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
]
# Not of a connection's own log, where Envoy shows what the HTTP filter has counted.
DURATIONS = ["DOWNSTREAM_HANDSHAKE_DURATION", "REQUEST_TX_DURATION", "COMMON_DURATION(DS_RX_BEG:DS_TX_END)",
             "COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)", "COMMON_DURATION(NOBODY:DS_TX_END)"]
FORMAT = "\t".join(f"%{name}%" for name in OPERATORS + DURATIONS) + "\n"

TLS = {
    "chain": dict(certificate=CLIENT), "none": {}, "TLS 1.2": dict(versions="1.2", certificate=CLIENT), "leaf only": {},
}


class Peers:
    """A proxy that logs everything, between TLS on both sides."""

    def __init__(self, flavour, place):
        self.origin = Origin("a", tls=context(server=True, certificate=SERVER, ca=ROOT))
        self.logs = {}
        for name in ("stream", "connection"):
            path = place / f"{name}-{flavour}.log"
            path.touch()
            self.logs[name] = LogFile(path)
        table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
        hcm = c.hcm(table, access_log=[c.access_log(self.logs["stream"].path, FORMAT)])
        tls = c.downstream_tls(SERVER, alpn=["h2", "http/1.1"],
                               validation=c.trust(ROOT, trust_chain_verification="ACCEPT_UNTRUSTED"))
        options = dict(access_log=[c.access_log(self.logs["connection"].path, FORMAT)])
        inspector = c.tls_inspector(enable_ja3_fingerprinting=True, enable_ja4_fingerprinting=True)
        cluster = c.cluster("a", c.endpoint(self.origin.port), transport_socket=c.upstream_tls(CLIENT, sni="up.example"))
        self.proxy = Proxy(flavour, c.static_bootstrap([
            c.listener("tls", c.chain(hcm, transport_socket=tls), listener_filters=[inspector], **options),
            c.listener("plain", c.chain(hcm), **options)], [cluster]))

    def __enter__(self):
        self.proxy.start()
        return self

    def __exit__(self, *exc):
        self.proxy.stop()
        self.origin.close()

    def ask(self, client, http):
        """One exchange on a connection of its own: the log lines, {operator: value} for stream and connection."""
        for log in self.logs.values():
            log.skip()
        listener = "plain" if client == "plain" else "tls"
        address = self.proxy.listeners()[listener][0]
        headers = [("x-some", "thing"), ("x-empty", "")]
        if client == "plain":
            with Client(address) as made:
                assert made.get("/", headers=headers).status == 200
        elif http == 1:
            with TlsClient(address, tls=tls_of(client, http)) as made:
                assert made.get("/", headers=headers).status == 200
        else:
            pairs = [(":method", "GET"), (":scheme", "https"), (":authority", "test"), (":path", "/"), *headers]
            with H2Client(address, tls=tls_of(client, http)) as made:
                assert made.finish(made.start(pairs, end=True)).status == 200
        out = {}
        for name, log in self.logs.items():
            wait_for(log.lines, "a log line", 5)
            [line] = log.lines()
            out[name] = dict(zip(OPERATORS + DURATIONS, line.split("\t")))
        return out


def tls_of(client, http):
    made = context(alpn=["h2"] if http == 2 else ["http/1.1"], **TLS[client])
    if client == "leaf only":
        load(made, CLIENT, chain=False)
    return made


@pytest.fixture(scope="module")
def peers(flavours, tmp_path_factory):
    with contextlib.ExitStack() as stack:
        place = tmp_path_factory.mktemp("operators")
        yield {flavour: stack.enter_context(Peers(flavour, place)) for flavour in sorted(flavours)}


def check_durations(line):
    """They are nobody's but this run's: only their form."""
    assert re.fullmatch(r"\d+", line["REQUEST_TX_DURATION"])
    assert re.fullmatch(r"\d+", line["COMMON_DURATION(DS_RX_BEG:DS_TX_END)"])
    assert int(line["COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)"]) > 0
    assert line["COMMON_DURATION(NOBODY:DS_TX_END)"] == "-"


@pytest.mark.parametrize("client, http", [*((name, http) for name in TLS for http in (1, 2)), ("plain", 1)])
def test_operators(peers, client, http):
    seen = {flavour: p.ask(client, http) for flavour, p in peers.items()}
    for lines in seen.values():
        check_durations(lines["stream"])
        is_number = re.fullmatch(r"-?\d+", lines["connection"]["DOWNSTREAM_HANDSHAKE_DURATION"])
        assert bool(is_number) == (client != "plain")
    if "envoy" not in seen:
        return
    for log in ("stream", "connection"):
        one, other = seen["envoy"][log], seen["nuncio"][log]
        differ = {name: (one[name], other[name]) for name in OPERATORS if one[name] != other[name]}
        # x-envoy-upstream-service-time may have a digit more.
        sent = differ.pop("DOWNSTREAM_HEADER_BYTES_SENT", (0, 0))
        assert abs(int(sent[0]) - int(sent[1])) <= 2
        assert not differ, log
