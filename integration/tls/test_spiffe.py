"""Peers judged by the SPIFFE validator: who is an SVID, of which trust domain, by which bundle."""

import re

import pytest

from harness import config as c
from harness.certs import Authority

SPIFFE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig"

ROOT = Authority("root")
ISSUING = ROOT.authority("issuing")
OTHER = Authority("other")
SERVER = ROOT.leaf("server", dns=["test.example"])


def svid(*uris, issuer=ROOT, **more):
    return issuer.leaf("svid", uri=list(uris), **more)


CLIENTS = {
    "none": None,
    "good": svid("spiffe://td/x"),
    "of an intermediate": svid("spiffe://td/x", issuer=ISSUING),
    "of the other domain": svid("spiffe://other/x", issuer=OTHER),
    "signed by the other domain": svid("spiffe://td/x", issuer=OTHER),
    "unknown domain": svid("spiffe://unknown/x"),
    "no path": svid("spiffe://td"),
    "no domain": svid("spiffe:///x"),
    "upper-case scheme": svid("SPIFFE://td/x"),
    "another scheme": svid("https://td/x"),
    "no URI": svid(dns=["td"]),
    "no SAN": svid(),
    "two of one domain": svid("spiffe://td/x", "spiffe://td/y"),
    "two of two domains": svid("spiffe://td/x", "spiffe://other/y"),
    "another URI first": svid("https://td/x", "spiffe://td/x"),
    "NUL in domain": svid("spiffe://td\0/x"),
    "for servers": svid("spiffe://td/x", usage=("server",)),
    "for code": svid("spiffe://td/x", usage=("code",)),
    "expired": svid("spiffe://td/x", days=(-60, -30)),
    "an authority": Authority("authority", issuer=ROOT),
    "revoked": svid("spiffe://td/revoked"),
}
DOMAINS = {"td": ROOT.ca_pem, "other": OTHER.ca_pem}


def asks(domains=None, **validation):
    bundles = [{"name": name, "trust_bundle": c.text_source(pem)} for name, pem in (domains or DOMAINS).items()]
    validator = {"name": "envoy.tls.cert_validator.spiffe", "typed_config": {"@type": SPIFFE, "trust_domains": bundles}}
    return c.downstream_tls(SERVER, validation={"custom_validator_config": validator, **validation})


LISTENERS = {
    "plain": asks(),
    "uri": asks(match_typed_subject_alt_names=[{"san_type": "URI", "matcher": {"exact": "spiffe://td/x"}}]),
    "dns": asks(match_typed_subject_alt_names=[{"san_type": "DNS", "matcher": {"exact": "nobody.example"}}]),
    "untyped": asks(match_subject_alt_names=[{"exact": "spiffe://td/x"}]),
    "expired_ok": asks(allow_expired_certificate=True),
    "crl": asks({"td": ROOT.ca_pem + ROOT.crl(CLIENTS["revoked"])}),
    "intermediate_trusted": asks({"td": ISSUING.ca_pem}),
    "hash": asks(verify_certificate_hash=["00" * 32]),
    "accept_untrusted": asks(trust_chain_verification="ACCEPT_UNTRUSTED"),
}

GETS_IN = {"client status": 200}
BAD_CHAIN = {"client status": None, "client end": "certificate_unknown", "counter ssl.fail_verify_error": 1}
KNOWN = {
    ("plain", "none"): {"client status": None, "counter ssl.fail_verify_no_cert": 1},
    ("plain", "good"): GETS_IN,
    ("plain", "of an intermediate"): GETS_IN,
    ("plain", "of the other domain"): GETS_IN,
    ("plain", "signed by the other domain"): BAD_CHAIN,
    ("plain", "unknown domain"): {**BAD_CHAIN, "log failure": re.compile("no_trust_bundle_store")},
    ("plain", "an authority"): {**BAD_CHAIN, "log failure": re.compile("cert_precheck")},
    ("uri", "good"): GETS_IN,
    ("uri", "of the other domain"): {"client status": None, "counter ssl.fail_verify_san": 1},
    ("dns", "good"): GETS_IN,  # matchers for other kinds are not looked at
    ("expired_ok", "expired"): GETS_IN,
    ("crl", "revoked"): BAD_CHAIN,
}


@pytest.mark.differential
@pytest.mark.parametrize("client", list(CLIENTS))
@pytest.mark.parametrize("listener", list(LISTENERS))
def test_svid(tables, listener, client):
    tables.check(listener, KNOWN.get((listener, client)), certificate=CLIENTS[client], versions="1.3")
