"""TLS to the backend: whose certificates are believed, what is sent, and how a failure is told: status, flags, words,
counters. One plain listener; a route by path leads to each cluster."""

import re

import pytest

from harness import config as c
from harness.certs import Authority, self_signed
from harness.client import Client, request
from harness.differential import LogFile
from harness.proxy import Proxy
from harness.tls import context
from harness.upstream import Origin, RawOrigin
from harness.wait import wait_for

ROOT = Authority("root")
ISSUING = ROOT.authority("issuing")
OTHER = Authority("other")
CLIENT = ROOT.leaf("client", uri=["spiffe://test.example/client"])
CLIENT_BELOW = ISSUING.leaf("client below")
STRANGER = OTHER.leaf("stranger")
NAMES = {"dns": ["a.example"], "uri": ["spiffe://test.example/a"], "ip": ["127.0.0.1"]}
SERVERS = {
    "good": {"certificate": ROOT.leaf("good", **NAMES)},
    "rsa": {"certificate": ROOT.leaf("rsa", key="rsa2048", **NAMES)},
    "below": {"certificate": ISSUING.leaf("below", **NAMES)},
    "wrong_ca": {"certificate": OTHER.leaf("wrong CA", **NAMES)},
    "expired": {"certificate": ROOT.expired(**NAMES)},
    "not_yet": {"certificate": ROOT.not_yet(**NAMES)},
    "self_signed": {"certificate": self_signed(**NAMES)},
    "wrong_name": {"certificate": ROOT.leaf("wrong name", dns=["b.example"])},
    "no_name": {"certificate": ROOT.leaf("a.example")},
    "wildcard": {"certificate": ROOT.leaf("wildcard", dns=["*.example"])},
    "client_only": {"certificate": ROOT.leaf("client only", usage=("client",), **NAMES)},
    "nul_name": {"certificate": ROOT.leaf("nul", dns=["a.example\0.evil.example"])},
    "mtls": {"certificate": ROOT.leaf("asks", **NAMES), "ca": ROOT},
    "only13": {"certificate": ROOT.leaf("only13", **NAMES), "versions": "1.3"},
    "only12": {"certificate": ROOT.leaf("only12", **NAMES), "versions": "1.2"},
    "old": {"certificate": ROOT.leaf("old", **NAMES), "versions": ("1.0", "1.1"), "ciphers": "ALL:@SECLEVEL=0"},
    "alpn": {"certificate": ROOT.leaf("alpn", **NAMES), "alpn": ["http/1.1"]},
    "chacha": {"certificate": ROOT.leaf("chacha", **NAMES), "versions": "1.2", "ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"},
    "p384": {"certificate": ROOT.leaf("p384", key="p384", **NAMES), "curve": "secp384r1"},
}
TRUST = c.trust(ROOT)
V13 = {"tls_maximum_protocol_version": "TLSv1_3"}


def believes(server, san=None, certificates=(), **more):
    """A cluster that checks the chain, and the name if given."""
    return server, c.upstream_tls(*certificates, validation=c.trust(ROOT, san=san), **more)


CLUSTERS = {
    **{name: believes(name) for name in SERVERS},
    **{f"named_{name}": believes(name, [("DNS", "a.example")])
       for name in ("good", "wrong_name", "no_name", "wildcard", "nul_name", "below")},
    "uri_named": believes("good", [("URI", "spiffe://test.example/a")]),
    "uri_wrong": believes("good", [("URI", "spiffe://test.example/b")]),
    "ip_named": believes("good", [("IP_ADDRESS", "127.0.0.1")]),
    "trusts_nothing": ("self_signed", c.upstream_tls()),
    "trusts_nothing_expired": ("expired", c.upstream_tls()),
    "accept_untrusted": ("wrong_ca", c.upstream_tls(validation=c.trust(ROOT, trust_chain_verification="ACCEPT_UNTRUSTED"))),
    "expired_ok": ("expired", c.upstream_tls(validation=c.trust(ROOT, allow_expired_certificate=True))),
    "hash": ("good", c.upstream_tls(validation=c.trust(ROOT, verify_certificate_hash=[SERVERS["good"]["certificate"].sha256]))),
    "hash_wrong": ("rsa", c.upstream_tls(validation=c.trust(ROOT, verify_certificate_hash=[SERVERS["good"]["certificate"].sha256]))),
    "revoked": ("good", c.upstream_tls(validation=c.trust(
        ROOT, crl=c.text_source(ROOT.crl(SERVERS["good"]["certificate"]))))),
    "sni": believes("good", sni="a.example"),
    "sni_other": believes("good", sni="anything.example"),
    "auto_san": believes("good", sni="a.example", auto_sni_san_validation=True),
    "auto_san_wrong": believes("wrong_name", sni="a.example", auto_sni_san_validation=True),
    "mtls_with": believes("mtls", certificates=[CLIENT]),
    "mtls_below": believes("mtls", certificates=[CLIENT_BELOW]),
    "mtls_stranger": believes("mtls", certificates=[STRANGER]),
    "mtls_with_13": believes("mtls", certificates=[CLIENT], params=V13),
    "mtls_13_without": believes("mtls", params=V13),
    "mtls_13_stranger": believes("mtls", certificates=[STRANGER], params=V13),
    "unasked": believes("good", certificates=[CLIENT]),
    "only13_at_13": believes("only13", params=V13),
    "good_at_13": believes("good", params=V13),
    "min13_to_12": believes("only12", params={"tls_minimum_protocol_version": "TLSv1_3", **V13}),
    "to_old": believes("old", params={"tls_minimum_protocol_version": "TLSv1_0"}),
    "offers_alpn": believes("alpn", alpn=["h2", "http/1.1"]),
    "alpn_unanswered": believes("good", alpn=["foo"]),
    "gcm_only": believes("chacha", params={"cipher_suites": ["ECDHE-ECDSA-AES128-GCM-SHA256"]}),
    "curve_x25519_only": believes("p384", params={"ecdh_curves": ["X25519"]}),
    "curve_p384": believes("p384", params={"ecdh_curves": ["P-384"]}),
    "plaintext": believes("plaintext"),
    "silent": believes("silent"),
    "closes": believes("closes"),
    "alerts": believes("alerts"),
    "refused": believes("refused"),
}
WORKS = {"good", "rsa", "only12", "alpn", "chacha", "trusts_nothing", "trusts_nothing_expired", "accept_untrusted", "expired_ok",
         "hash", "sni", "sni_other", "auto_san", "mtls_with", "mtls_with_13", "unasked", "only13_at_13", "good_at_13",
         "offers_alpn", "alpn_unanswered", "uri_named", "ip_named", "named_good", "named_wildcard", "below", "named_below",
         "wrong_name", "no_name", "wildcard", "nul_name", "curve_p384", "mtls_below"}
# In TLS 1.3 the client is done before the server has looked at its certificate: the request fails, not the connect.
LATE = {"mtls_13_without", "mtls_13_stranger"}
# What the refusals say, where it is sure.
WORDS = {
    "wrong_ca": ("fail_verify_error", "CERTIFICATE_VERIFY_FAILED"), "expired": ("fail_verify_error", "CERTIFICATE_VERIFY_FAILED"),
    "not_yet": ("fail_verify_error", "CERTIFICATE_VERIFY_FAILED"), "self_signed": ("fail_verify_error", "CERTIFICATE_VERIFY_FAILED"),
    "client_only": ("fail_verify_error", "CERTIFICATE_VERIFY_FAILED"), "named_wrong_name": ("fail_verify_san", "VERIFY_FAILED"),
    "named_nul_name": ("fail_verify_san", "VERIFY_FAILED"), "uri_wrong": ("fail_verify_san", "VERIFY_FAILED"),
    "hash_wrong": ("fail_verify_cert_hash", "VERIFY_FAILED"), "auto_san_wrong": ("fail_verify_san", "VERIFY_FAILED"),
    "revoked": ("fail_verify_error", "CERTIFICATE_VERIFY_FAILED"), "mtls": ("connection_error", "HANDSHAKE_FAILURE|ALERT"),
    "plaintext": ("connection_error", "WRONG_VERSION_NUMBER"), "min13_to_12": ("connection_error", "PROTOCOL_VERSION|UNSUPPORTED"),
}
FORMAT = "\t".join((
    "%RESPONSE_CODE%", "%RESPONSE_FLAGS%", "%RESPONSE_CODE_DETAILS%", "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "%UPSTREAM_TLS_VERSION%", "%UPSTREAM_TLS_CIPHER%", "%UPSTREAM_PEER_SUBJECT%", "%UPSTREAM_PEER_ISSUER%",
    "%UPSTREAM_PEER_URI_SAN%", "%UPSTREAM_PEER_DNS_SAN%", "%UPSTREAM_LOCAL_URI_SAN%",
    "%UPSTREAM_PEER_CERT%")) + "\n"


def says(data):
    def script(sock):
        sock.recv(4096)
        sock.sendall(data)

    return script


def hangs(sock):
    while sock.recv(4096):
        pass


@pytest.fixture(scope="module")
def servers():
    made = {name: Origin(name, tls=context(server=True, **options)) for name, options in SERVERS.items()}
    made["plaintext"] = RawOrigin(says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
    made["silent"] = RawOrigin(hangs)
    made["closes"] = RawOrigin(lambda sock: sock.recv(4096))
    made["alerts"] = RawOrigin(says(b"\x15\x03\x03\x00\x02\x02\x28"))
    yield made
    for server in made.values():
        server.close()


class Side:
    """One proxy with all the clusters."""

    def __init__(self, flavour, servers, place):
        self.path = place / f"upstream-{flavour}.log"
        self.path.touch()
        self.log = LogFile(self.path)
        self.servers = servers
        clusters = []
        table = []
        for name, (server, tls) in CLUSTERS.items():
            port = servers[server].port if server in servers else 1
            wait = "0.3s" if server == "silent" else "5s"
            clusters.append(c.cluster(name, port, transport_socket=tls, connect_timeout=wait))
            table.append(c.route({"path": f"/{name}"}, name))
        hcm = c.hcm(c.routes("r", c.vhost("all", ["*"], *table)))
        hcm["typed_config"]["access_log"] = [c.access_log(self.path, FORMAT)]
        self.proxy = Proxy(flavour, c.static_bootstrap([c.listener("l", hcm)], clusters))

    def counters(self, name):
        pattern = re.compile(r"\.ssl\.|upstream_cx_(total|connect_fail|connect_timeout|destroy)|upstream_rq_(total|503)$")
        return {k.removeprefix(f"cluster.{name}."): v
                for k, v in self.proxy.stats(f"?filter=^cluster\\.{name}\\.").items() if pattern.search(k)}

    def ask(self, name):
        """Everything that came of one request."""
        server = self.servers.get(CLUSTERS[name][0])
        if hasattr(server, "forget"):
            server.forget()
        self.log.skip()
        before = self.counters(name)
        with Client(self.proxy.address()) as client:
            got = client.exchange(request("GET", f"/{name}", "a.example"))
        wait_for(self.log.lines, "a log line", 3)
        line = self.log.lines()[0].replace("\\x00", "\0")  # on purpose: nuncio writes no NUL into a log
        after = self.counters(name)
        out = {"status": got.status, "body": got.text, "log": line.split("\t")}
        out["counters"] = {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)}
        if hasattr(server, "handshakes"):
            out["handshakes"] = list(server.handshakes)
            out["refusals"] = list(server.tls_failures)
        return out


@pytest.fixture(scope="module")
def sides(flavours, servers, tmp_path_factory):
    place = tmp_path_factory.mktemp("upstream")
    made = {}
    try:
        for flavour in flavours:
            made[flavour] = Side(flavour, servers, place)
            made[flavour].proxy.start()
        yield made
    finally:
        for side in made.values():
            side.proxy.stop()


@pytest.mark.differential
@pytest.mark.parametrize("name", CLUSTERS)
def test_backend(sides, name):
    rows = {flavour: side.ask(name) for flavour, side in sorted(sides.items())}
    for flavour, row in rows.items():
        where = f"{flavour}: {row}"
        if name in WORKS:
            assert row["status"] == 200, where
            assert row["counters"]["ssl.handshake"] == 1, where
        else:
            assert row["status"] == 503, where
            assert row["log"][1] == ("UC" if name in LATE else "UF"), where
            assert row["counters"].get("upstream_cx_connect_fail", 0) == (name not in LATE), where
        if name in WORDS:
            counter, words = WORDS[name]
            assert row["counters"][f"ssl.{counter}"] == 1, where
            assert re.search(words, row["log"][3]), where
    if len(rows) > 1:
        differing = {k: (rows["envoy"][k], rows["nuncio"][k]) for k in rows["envoy"]
                     if rows["envoy"][k] != rows["nuncio"][k]}
        assert not differing, "envoy / nuncio\n" + "\n".join(f"  {k}: {v[0]}\n  {' ' * len(k)}  {v[1]}" for k, v in differing.items())


def test_what_the_backend_sees(sides):
    """SNI, version and certificate, as the cluster says."""
    for side in sides.values():
        assert side.ask("sni")["handshakes"] == [] or side.servers["good"].handshakes[0].sni == "a.example"
        side.ask("mtls_with")
        for handshake in side.servers["mtls"].handshakes:
            assert handshake.peer == CLIENT.der and handshake.sni is None
        side.ask("good_at_13")
        assert all(h.version == "TLSv1.3" for h in side.servers["good"].handshakes)
