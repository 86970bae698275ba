"""/certs and the gauges of certificates, as Envoy's; what no page and no log may show."""

import base64
import json
import re

import pytest

from harness import config as c
from harness.certs import UPN, Authority, inline
from harness.proxy import Proxy
from harness.tls import TlsClient, context
from harness.wait import wait_for

ROOT = Authority("root ca")
SOON = Authority("ends soon", days=(-5, 20))
SERVER = SOON.leaf("server", dns=["x.example", "y.example"], uri=["spiffe://a/b"], ip=["10.0.0.1", "::1"],
                   email=["e@x.example"], other=[(UPN, "u@x.example")])
RSA = ROOT.leaf("rsa", key="rsa2048", dns=["r.example"], days=(-1, 40))
NAMELESS = ROOT.leaf("nameless")
EXPIRED = ROOT.expired(dns=["old.example"])
STAPLED = ROOT.leaf("stapled", dns=["o.example"])
IN_SECRET = ROOT.leaf("of a secret", dns=["s.example"], days=(-2, 70))
TICKET_KEY = bytes(range(7, 87))


def listener(name, tls):
    hcm = c.hcm(c.routes("r", c.vhost("all", ["*"], c.direct("/"))))
    return c.listener(name, c.chain(hcm, transport_socket=tls), stat_prefix=name)


def bootstrap(place):
    SERVER.files(place, "server")
    (place / "ca.pem").write_text(ROOT.ca_pem + SOON.ca_pem)
    files = {"certificate_chain": {"filename": str(place / "server.pem")},
             "private_key": {"filename": str(place / "server.key")}}
    spiffe = {"@type": c.SPIFFE, "trust_domains": [
        {"name": "a.example", "trust_bundle": inline(ROOT.ca_pem + SOON.ca_pem)},
        {"name": "b.example", "trust_bundle": inline(SOON.ca_pem)}]}
    validator = {"custom_validator_config": {"name": "envoy.tls.cert_validator.spiffe", "typed_config": spiffe}}
    contexts = {
        "two": c.downstream_tls(SERVER, RSA, validation=c.trust(ROOT.ca_pem + SOON.ca_pem)),
        "two turned": c.downstream_tls(RSA, SERVER, validation=c.trust(SOON.ca_pem + ROOT.ca_pem)),
        "files": c.downstream_tls(files, validation=c.trust({"filename": str(place / "ca.pem")}),
                                  require_client_certificate=True),
        "credulous": c.downstream_tls(SERVER, require_client_certificate=True),
        "careless": c.downstream_tls(SERVER, validation=c.trust(ROOT, trust_chain_verification="ACCEPT_UNTRUSTED")),
        "expired": c.downstream_tls(EXPIRED),
        "stapled": c.downstream_tls(STAPLED.tls_certificate(ocsp_staple=inline(ROOT.ocsp(STAPLED, days=(-1, 5))))),
        "spiffe": c.downstream_tls(RSA, validation=validator, require_client_certificate=True),
        "secrets": c.downstream_tls(common={
            "tls_certificate_sds_secret_configs": [c.sds("cert.name/with:marks")],
            "validation_context_sds_secret_config": c.sds("trust")}),
        "combined": c.downstream_tls(SERVER, common={"combined_validation_context": {
            "default_validation_context": c.trust(san=[("DNS", "q.example")]),
            "validation_context_sds_secret_config": c.sds("trust")}}),
        "tickets": c.downstream_tls(SERVER, session_ticket_keys={"keys": [inline(TICKET_KEY)]}),
    }
    made = c.static_bootstrap(
        [listener(name, tls) for name, tls in contexts.items()],
        [c.cluster("checks", c.endpoint(1), transport_socket=c.upstream_tls(NAMELESS, validation=c.trust(SOON))),
         c.cluster("believes", c.endpoint(1), transport_socket=c.upstream_tls())])
    made["static_resources"]["secrets"] = [
        c.tls_secret("cert.name/with:marks", IN_SECRET), c.trust_secret("trust", c.trust(ROOT)),
        {"name": "generic", "generic_secret": {"secret": {"inline_string": "a generic secret's text"}}}]
    return made


@pytest.fixture(scope="module")
def proxies(flavours, tmp_path_factory):
    made = bootstrap(tmp_path_factory.mktemp("certs"))
    running = {flavour: Proxy(flavour, made, log_level="trace") for flavour in flavours}
    for proxy in running.values():
        proxy.start()
    yield running
    for proxy in running.values():
        proxy.stop()


def certificates(proxy):
    """In an order of their own (Envoy's is that of a hash table), without what is nuncio's own. Envoy names all bundles
    of a SPIFFE validator after the last trust domain."""
    return sorted(re.sub("[ab].example: ", "", json.dumps({k: v for k, v in one.items() if k != "unverified"}))
                  for one in proxy.admin("/certs").json()["certificates"])


def test_certs(proxies):
    shown = {flavour: certificates(proxy) for flavour, proxy in proxies.items()}
    assert all(len(one) == 13 for one in shown.values())
    assert shown.get("envoy", shown["nuncio"]) == shown["nuncio"]


def expiry(text):
    """The lines about expiration, and apart the number that ticks."""
    lines = [line for line in text.splitlines() if re.search("certificate.*expiration|until_first", line)]
    [ticking] = [line for line in lines if re.search(r"seconds_until_first\w+\W+\d", line)]
    return sorted(line for line in lines if line != ticking), int(ticking.split()[-1])


@pytest.mark.parametrize("path", ["/stats", "/stats?format=prometheus"])
def test_gauges(proxies, path):
    shown = {flavour: expiry(proxy.admin(path).text) for flavour, proxy in proxies.items()}
    lines, seconds = shown["nuncio"]
    assert len(lines) > 20
    assert 5 * 86400 - 60 < seconds <= 5 * 86400
    if "envoy" in shown:
        assert shown["envoy"][0] == lines
        assert abs(shown["envoy"][1] - seconds) <= 2


def test_without_certificates(flavour):
    with Proxy(flavour, c.static_bootstrap([])) as proxy:
        assert proxy.admin("/certs").json() == {"certificates": []}
        assert proxy.stat("server.days_until_first_cert_expiring") == 4294967295
        assert proxy.stat("server.seconds_until_first_ocsp_response_expiring") == 0


def test_a_context_that_believes_anybody(proxies):
    """Ours: a line in /certs, and one warning."""
    proxy = proxies["nuncio"]
    lines = [one["unverified"] for one in proxy.admin("/certs").json()["certificates"] if "unverified" in one]
    assert sorted(line.split(":")[0] for line in lines) == ["cluster.believes", "listener.careless", "listener.credulous"]
    for line in lines:
        assert proxy.log.count(f"TLS context of {line}") == 1


def test_a_rotated_secret(flavour, tmp_path):
    """/certs and the gauge follow a secret that comes anew."""
    def write(issued):
        secret = {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                  **c.tls_secret("rotating", issued)}
        (tmp_path / "new").write_text(json.dumps({"resources": [secret]}))
        (tmp_path / "new").rename(tmp_path / "secret.yaml")

    def shown():
        return [one["cert_chain"][0]["serial_number"].lstrip("0") for one in proxy.admin("/certs").json()["certificates"]]

    # Half a day more: a second that passes meanwhile is not to make a day less of it.
    first, second = ROOT.leaf("first", dns=["a"], days=(-1, 10.5)), ROOT.leaf("second", dns=["a"], days=(-1, 30.5))
    write(first)
    source = c.sds("rotating", {"path_config_source": {"path": str(tmp_path / "secret.yaml")},
                                "resource_api_version": "V3"})
    tls = c.downstream_tls(common={"tls_certificate_sds_secret_configs": [source]})
    with Proxy(flavour, c.static_bootstrap([listener("l", tls)])) as proxy:
        wait_for(lambda: shown() == [first.serial], "the first certificate")
        proxy.wait_stat("server.days_until_first_cert_expiring", 10)
        write(second)
        wait_for(lambda: shown() == [second.serial], "the second certificate")
        if flavour == "nuncio":  # Envoy shows the former number, for longer than a test waits
            assert proxy.stat("server.days_until_first_cert_expiring") == 30
        until = int(second.certificate.not_valid_after_utc.timestamp())
        assert proxy.stat("listener.l.ssl.certificate.rotating.expiration_unix_time_seconds") == until


def key_material():
    """What must not appear: keys' bodies, line by line, in PEM and in what a dump would make of bytes."""
    out = {"a generic secret's text", base64.b64encode(b"a generic secret's text").decode(),
           base64.b64encode(TICKET_KEY).decode(), TICKET_KEY.hex()}
    for issued in (SERVER, RSA, NAMELESS, EXPIRED, STAPLED, IN_SECRET):
        body = issued.key_pem.splitlines()[1:-1]
        out.update(line for line in body if len(line) > 16)
        out.add(base64.b64encode(issued.key_pem.encode()).decode()[60:120])
    return out


def test_secrets_are_not_shown(proxies):
    """Neither pages nor the log, at its finest, with handshakes going on."""
    for flavour, proxy in proxies.items():
        for name in ("two", "secrets", "stapled", "tickets"):
            with TlsClient(proxy.listeners()[name][0], tls=context()) as client:
                assert client.get("/").status == 200
        pages = {path: proxy.admin(path).text for path in (
            "/config_dump", "/config_dump?include_eds", "/certs", "/stats", "/listeners?format=json",
            "/clusters?format=json", "/server_info")}
        if flavour == "nuncio":
            pages["/xds"] = proxy.admin("/xds").text
        wait_for(lambda: "PRIVATE KEY" in proxy.log or len(proxy.log) > 1000, "a log")
        pages["the log"] = proxy.log
        for where, text in pages.items():
            assert "PRIVATE KEY" not in text, (flavour, where)
            for secret in key_material():
                assert secret not in text, (flavour, where)
