"""x-forwarded-client-cert, and headers made of the operators of a TLS connection: what the backend gets, byte for byte."""

import contextlib

import pytest

from harness import config as c
from harness.certs import UPN, Authority, name_of, self_signed
from harness.client import Client
from harness.h2peer import H2Client
from harness.proxy import Proxy
from harness.tls import TlsClient, context, load
from harness.upstream import Origin

ROOT = Authority("root")
ISSUING = ROOT.authority("issuing")
SERVER = ROOT.leaf("server", dns=["test.example"], uri=["spiffe://test.example/server"])
TWO_URIS = ROOT.leaf("server", dns=["test.example"], uri=["spiffe://one.example/a", "urn:second,with;marks"])
NO_URI = ROOT.leaf("server", dns=["test.example"])
EVERY_NAME = dict(dns=["c.example", "d.example"], uri=["spiffe://test.example/client", "urn:two"], ip=["10.0.0.2", "::1"],
                  email=["c@b.example"], other=[(UPN, "upn@x")])

CLIENTS = {
    "none": None,
    "plain leaf": ROOT.leaf("client", uri=["spiffe://test.example/client"]),
    "chain": ISSUING.leaf("by issuing", **EVERY_NAME),
    "no names": ROOT.leaf("nameless"),
    "empty subject": ROOT.leaf(None, dns=["only.example"]),
    "marks in subject": ROOT.leaf(subject=name_of('a"b,c=d;e\\f+g<h>#i', organization=' O;p="q" ', unit="x/y"),
                                  uri=['urn:a;b="c",d']),
    "letters": ROOT.leaf(subject=name_of("grüße, 世界", organization="Ünit")),
    "many": ROOT.leaf("many", dns=[f"n{i}.example" for i in range(20)], uri=[f"urn:{i}" for i in range(20)]),
    "untrusted": self_signed("stranger", uri=["spiffe://evil.example/x"]),
}
DETAILS = {"subject": True, "cert": True, "chain": True, "dns": True, "uri": True, "issuer": True}

# The operators that say something about this connection and not about this run of the test.
OPERATORS = [f"DOWNSTREAM_{name}" for name in (
    "TLS_VERSION", "TLS_CIPHER", "TLS_GROUP", "PEER_SUBJECT", "PEER_ISSUER", "PEER_SERIAL", "PEER_FINGERPRINT_256",
    "PEER_FINGERPRINT_1", "PEER_CERT", "PEER_CERT_V_START", "PEER_CERT_V_END", "PEER_CERT_V_START(%s %d%m%Y)",
    "PEER_CERT_V_END(%b %e %H:%M:%S %Y %Z)", "PEER_CHAIN_FINGERPRINTS_256", "PEER_CHAIN_FINGERPRINTS_1",
    "PEER_CHAIN_SERIALS", "PEER_ISSUER_SERIAL", "PEER_ISSUER_FINGERPRINT_256", "PEER_URI_SAN", "PEER_DNS_SAN",
    "PEER_IP_SAN", "PEER_EMAIL_SAN", "PEER_OTHERNAME_SAN", "LOCAL_SUBJECT", "LOCAL_URI_SAN", "LOCAL_DNS_SAN",
    "LOCAL_IP_SAN", "LOCAL_EMAIL_SAN", "LOCAL_OTHERNAME_SAN")]
NAME_HEADERS = [{"header": {"key": "x-op-uri", "value": "<%DOWNSTREAM_PEER_URI_SAN%>"}}]
OPERATOR_HEADERS = [{"header": {"key": f"x-op-{i}", "value": f"<%{name}%>"}} for i, name in enumerate(OPERATORS)]

SENT = {
    "nothing": [],
    "one": [("x-forwarded-client-cert", "By=spoofed;Hash=aa")],
    "two": [("x-forwarded-client-cert", "By=first"), ("X-Forwarded-Client-Cert", "By=second;URI=x")],
    "empty": [("x-forwarded-client-cert", "")],
}


def variants():
    """Name -> (mode, details, the server's certificate; None: no TLS)."""
    out = {}
    for mode in ("SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"):
        out[mode] = (mode, DETAILS, SERVER)
        out[f"plain {mode}"] = (mode, DETAILS, None)
    for name, value in DETAILS.items():
        out[f"only {name}"] = ("SANITIZE_SET", {name: value}, SERVER)
    out["bare set"] = ("SANITIZE_SET", {}, SERVER)
    out["bare append"] = ("APPEND_FORWARD", None, SERVER)
    out["json"] = ("SANITIZE_SET", {**DETAILS, "format": "JSON"}, TWO_URIS)
    out["json append"] = ("APPEND_FORWARD", {"subject": True, "format": "JSON"}, SERVER)
    out["bare json"] = ("SANITIZE_SET", {"format": "JSON"}, NO_URI)
    out["two uris"] = ("SANITIZE_SET", {"uri": True}, TWO_URIS)
    out["no uri"] = ("APPEND_FORWARD", {"subject": True}, NO_URI)
    return out


VARIANTS = variants()


def listener(name):
    mode, details, server = VARIANTS[name]
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a"), request_headers_to_add=OPERATOR_HEADERS))
    more = {} if details is None else {"set_current_client_cert_details": details}
    hcm = c.hcm(table, forward_client_cert_details=mode, **more)
    if server is None:
        return c.listener(name, c.chain(hcm))
    tls = c.downstream_tls(server, alpn=["h2", "http/1.1"],
                           validation=c.trust(ROOT, trust_chain_verification="ACCEPT_UNTRUSTED"))
    return c.listener(name, c.chain(hcm, transport_socket=tls))


class Peers:
    """One proxy with all listeners, and its origin."""

    def __init__(self, flavour):
        self.origin = Origin("a")
        self.proxy = Proxy(flavour, c.static_bootstrap([listener(name) for name in VARIANTS],
                                                       [c.cluster("a", self.origin.port)]))

    def __enter__(self):
        self.proxy.start()
        return self

    def __exit__(self, *exc):
        self.proxy.stop()
        self.origin.close()

    def ask(self, name, client, headers, http):
        """Lists of (name, value): x-forwarded-client-cert and the operators' headers as they reached the origin."""
        self.origin.forget()
        address = self.proxy.listeners()[name][0]
        if VARIANTS[name][2] is None:
            with Client(address) as made:
                assert made.get("/", headers=headers).status == 200
        elif http == 1:
            with TlsClient(address, tls=tls_of(client)) as made:
                assert made.get("/", headers=headers).status == 200
        else:
            pairs = [(":method", "GET"), (":scheme", "https"), (":authority", "test"), (":path", "/")]
            with H2Client(address, tls=tls_of(client, ["h2"])) as made:
                stream = made.start(pairs + [(n.lower(), v) for n, v in headers], end=True)
                assert made.finish(stream).status == 200
        [request] = self.origin.take()
        return [(n.lower(), v) for n, v in request.headers
                if n.lower() == "x-forwarded-client-cert" or n.lower().startswith("x-op-")]


def tls_of(client, alpn=()):
    made = context(alpn=alpn)
    if CLIENTS[client] is not None:
        load(made, CLIENTS[client])
    return made


@pytest.fixture(scope="module")
def peers(flavours):
    """Every proxy under test, by flavour."""
    with contextlib.ExitStack() as stack:
        yield {flavour: stack.enter_context(Peers(flavour)) for flavour in sorted(flavours)}


def same(peers, name, client, headers, http=1):
    """What reaches the origin, the same through all proxies."""
    seen = {flavour: p.ask(name, client, headers, http) for flavour, p in peers.items()}
    first, *others = seen.values()
    for other in others:
        assert first == other
    return first


def forwarded(headers):
    return [v for n, v in headers if n == "x-forwarded-client-cert"]


@pytest.mark.parametrize("http", [1, 2])
@pytest.mark.parametrize("client", CLIENTS)
def test_clients(peers, client, http):
    """Each mode and each detail, with what that client shows."""
    for name, (_, _, server) in VARIANTS.items():
        if server is not None:
            same(peers, name, client, [], http)


@pytest.mark.parametrize("http", [1, 2])
@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("name", VARIANTS)
def test_what_a_client_sends(peers, name, sent, http):
    """The header that comes from the client: gone, passed on, or added to."""
    for client in ("none", "plain leaf"):
        same(peers, name, client, SENT[sent], http)


# What a URI of a certificate may hold that no header may; JSON escapes all but the last.
MARKS = {"CR": "\r", "LF": "\n", "CR LF": "\r\n", "a request": "\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x", "NUL": "\0",
         "control": "\x01", "DEL": "\x7f", "tab": "\t", "space": " "}
MARKED = {name: ROOT.leaf("marked", uri=[f"urn:a{mark}b"]) for name, mark in MARKS.items()}


@pytest.fixture(scope="module")
def injected(flavours):
    """Proxies with one origin each, and listeners that tell of the client's URI in each way there is."""
    def listeners():
        plain = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")))
        told = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")), request_headers_to_add=NAME_HEADERS)
        answered = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")), response_headers_to_add=NAME_HEADERS)
        details = {"forward_client_cert_details": "SANITIZE_SET", "set_current_client_cert_details": {"uri": True}}
        as_json = {**details, "set_current_client_cert_details": {"uri": True, "format": "JSON"}}
        made = {"request": c.hcm(told), "response": c.hcm(answered), "xfcc": c.hcm(plain, **details),
                "json": c.hcm(plain, **as_json)}
        tls = c.downstream_tls(SERVER, alpn=["http/1.1"], validation=c.trust(ROOT))
        return [c.listener(name, c.chain(hcm, transport_socket=tls)) for name, hcm in made.items()]

    with contextlib.ExitStack() as stack:
        made = {}
        for flavour in sorted(flavours):
            origin = stack.enter_context(Origin("a"))
            boot = c.static_bootstrap(listeners(), [c.cluster("a", origin.port)])
            made[flavour] = (stack.enter_context(Proxy(flavour, boot)), origin)
        yield made


@pytest.mark.parametrize("where", ["request", "xfcc", "json", "response"])
@pytest.mark.parametrize("mark", MARKS)
def test_names_that_no_header_may_hold(injected, mark, where):
    """Such a request is refused, before anything of it is sent. (Envoy sends such a response as it is.)"""
    seen = {}
    for flavour, (proxy, origin) in injected.items():
        if where == "response" and flavour == "envoy":
            continue
        origin.forget()
        with TlsClient(proxy.listeners()[where][0], tls=context(certificate=MARKED[mark])) as client:
            answer = client.get("/")
        told = [[v for n, v in r.headers if n.startswith("x-op-") or n == "x-forwarded-client-cert"] for r in origin.take()]
        seen[flavour] = (answer.status, answer.body if answer.status != 200 else b"", told)
        assert not origin.malformed
        if where == "response":
            assert answer.status == 200
            assert answer.header("x-op-uri") == (f"<urn:a{MARKS[mark]}b>" if mark in ("tab", "space") else None)
    first, *others = seen.values()
    assert all(other == first for other in others)
    if where != "response" and mark not in ("tab", "space") and (where, mark) not in {("json", m) for m in MARKS if m != "DEL"}:
        assert first[0] == 503 and first[1].startswith(b"invalid header value for: x-") and not first[2]


COMMON_NAMES = {"client": ROOT.leaf("client"), 'a, "b"=c': ROOT.leaf('a, "b"=c'), "grüße": ROOT.leaf("grüße"),
                None: ROOT.leaf(None, dns=["only.example"])}


@pytest.fixture(scope="module")
def common_name():
    """nuncio with one line of configuration for a client's CN: Envoy has no such operator."""
    header = {"header": {"key": "x-client-cert-cn", "value": "%DOWNSTREAM_PEER_CN%"},
              "append_action": "OVERWRITE_IF_EXISTS_OR_ADD", "keep_empty_value": True}
    table = c.routes("r", c.vhost("all", ["*"], c.route("/", "a")), request_headers_to_add=[header])
    tls = c.downstream_tls(SERVER, validation=c.trust(ROOT))
    with Origin("a") as origin:
        boot = c.static_bootstrap([c.listener("l", c.chain(c.hcm(table), transport_socket=tls))],
                                  [c.cluster("a", origin.port)])
        with Proxy("nuncio", boot) as proxy:
            yield proxy, origin


@pytest.mark.parametrize("name", [*COMMON_NAMES, "nobody"])
def test_common_name(common_name, name):
    proxy, origin = common_name
    origin.forget()
    with TlsClient(proxy.listeners()["l"][0], tls=context(certificate=COMMON_NAMES.get(name))) as client:
        assert client.get("/", headers=[("x-client-cert-cn", "spoofed")]).status == 200
    [request] = origin.take()
    wanted = name if name in COMMON_NAMES and name else ""
    assert [v.encode("latin-1").decode() for v in request.all("x-client-cert-cn")] == [wanted]
