"""Certificates that clients show, one by one: whether they get in, the alert they see, the counter, the words in the log."""

import re

import pytest

from harness import config as c
from harness.certs import UPN, Authority, name_of, self_signed

ROOT = Authority("root")
ISSUING = ROOT.authority("issuing")
DEEPER = ISSUING.authority("deeper")
OTHER = Authority("other root")
SERVER = ROOT.leaf("server", dns=["test.example"])
NOT_A_CA = Authority("not a CA", issuer=ROOT, ca=False)

GOOD = ROOT.leaf("good", uri=["spiffe://test.example/ns/a/sa/b"], dns=["client.example"],
                 email=["someone@client.example"], ip=["127.0.0.9"], other=[(UPN, "someone@upn.example")])
CLIENTS = {
    "none": None,
    "good": GOOD,
    "rsa": ROOT.leaf("rsa", key="rsa2048", dns=["client.example"]),
    "p384": ROOT.leaf("p384", key="p384", dns=["client.example"]),
    "no san": ROOT.leaf("no san"),
    "issued by intermediate": ISSUING.leaf("by intermediate", dns=["client.example"]),
    "two intermediates": DEEPER.leaf("deep", dns=["client.example"]),
    "wrong CA": OTHER.leaf("stranger", dns=["client.example"]),
    "forged": Authority("root").leaf("forged", dns=["client.example"]),  # the CA's name, another key
    "expired": ROOT.expired(dns=["client.example"]),
    "not yet valid": ROOT.not_yet(dns=["client.example"]),
    "self-signed": self_signed(dns=["client.example"]),
    "other san": ROOT.leaf("other san", dns=["other.example"]),
    "wildcard san": ROOT.leaf("wildcard", dns=["*.example"]),
    "NUL in san": ROOT.leaf("nul", dns=["client.example\0.evil.example"]),
    "NUL in uri": ROOT.leaf("nul", uri=["spiffe://test.example/ns/a/sa/b\0/evil"]),
    "server only": ROOT.leaf("server only", dns=["client.example"], usage=("server",)),
    "code signing": ROOT.leaf("code", dns=["client.example"], usage=("code",)),
    "no usage": ROOT.leaf("no usage", dns=["client.example"], usage=None),
    "revoked": ROOT.leaf("revoked", dns=["client.example"]),
    "revoked leaf of intermediate": ISSUING.leaf("revoked below", dns=["client.example"]),
    "issuer is no CA": NOT_A_CA.leaf("child", dns=["client.example"]),
    "many names": ROOT.leaf("many", dns=[f"n{i}.example" for i in range(50)] + ["client.example"]),
    "names its CRLs": ROOT.leaf("crls", dns=["client.example"], crl_url="http://crl.example/root.crl"),
    "quotes in subject": ROOT.leaf(subject=name_of('a"b,c+d', organization="O;p"), dns=["client.example"]),
}
CRL = ROOT.crl(CLIENTS["revoked"])
CRLS = CRL + ISSUING.crl(CLIENTS["revoked leaf of intermediate"])


def asks(validation, required=True, **more):
    """A server that asks for client certificates."""
    return c.downstream_tls(SERVER, validation=validation, require_client_certificate=required, **more)


def matcher(kind, **how):
    return {"san_type": kind, "matcher": how}


LISTENERS = {
    "required": asks(c.trust(ROOT)),
    "optional": asks(c.trust(ROOT), False),
    "untrusting": asks(None),  # requires one, and has nothing to check it with
    "untrusting_optional": asks(None, False),
    "accept_untrusted": asks(c.trust(ROOT, trust_chain_verification="ACCEPT_UNTRUSTED")),
    "accept_untrusted_optional": asks(c.trust(ROOT, trust_chain_verification="ACCEPT_UNTRUSTED"), False),
    "expired_ok": asks(c.trust(ROOT, allow_expired_certificate=True)),
    "dns": asks(c.trust(ROOT, san=[("DNS", "client.example")])),
    "dns_suffix": asks(c.trust(ROOT, san=[matcher("DNS", suffix=".example")])),
    "uri": asks(c.trust(ROOT, san=[("URI", "spiffe://test.example/ns/a/sa/b")])),
    "uri_prefix": asks(c.trust(ROOT, san=[matcher("URI", prefix="spiffe://test.example/")])),
    "uri_regex": asks(c.trust(ROOT, san=[matcher("URI", safe_regex={"regex": "spiffe://.*/sa/b"})])),
    "email": asks(c.trust(ROOT, san=[("EMAIL", "someone@client.example")])),
    "ip": asks(c.trust(ROOT, san=[("IP_ADDRESS", "127.0.0.9")])),
    "other_name": asks(c.trust(ROOT, san=[{**matcher("OTHER_NAME", exact="someone@upn.example"), "oid": UPN}])),
    "legacy_san": asks(c.trust(ROOT, match_subject_alt_names=[{"exact": "client.example"}])),
    "san_untrusted": asks(c.trust(ROOT, san=[("DNS", "client.example")], trust_chain_verification="ACCEPT_UNTRUSTED")),
    "hash": asks(c.trust(ROOT, verify_certificate_hash=[GOOD.sha256])),
    "hash_alone": asks(c.trust(verify_certificate_hash=[GOOD.sha256.upper()])),
    "spki": asks(c.trust(ROOT, verify_certificate_spki=[GOOD.spki])),
    "hash_or_spki": asks(c.trust(ROOT, verify_certificate_hash=["00" * 32], verify_certificate_spki=[GOOD.spki])),
    "hash_and_san": asks(c.trust(ROOT, verify_certificate_hash=[GOOD.sha256], san=[("DNS", "other.example")])),
    "crl": asks(c.trust(ROOT, crl=c.text_source(CRL))),
    "crls": asks(c.trust(ROOT.ca_pem + ISSUING.ca_pem, crl=c.text_source(CRLS))),
    "crl_expired": asks(c.trust(ROOT, crl=c.text_source(ROOT.crl(days=(-30, -1))))),
    "crl_expired_ok": asks(c.trust(ROOT, crl=c.text_source(ROOT.crl(days=(-30, -1))), allow_expired_certificate=True)),
    "crl_not_yet": asks(c.trust(ROOT, crl=c.text_source(ROOT.crl(days=(1, 30))))),
    "crl_forged": asks(c.trust(ROOT, crl=c.text_source(Authority("root").crl()))),  # the same name, another key
    "crl_of_other": asks(c.trust(ROOT, crl=c.text_source(OTHER.crl()))),
    "crl_leaf_only": asks(c.trust(ROOT.ca_pem + ISSUING.ca_pem, crl=c.text_source(CRLS), only_verify_leaf_cert_crl=True)),
    "depth0": asks(c.trust(ROOT, max_verify_depth=0)),
    "depth1": asks(c.trust(ROOT, max_verify_depth=1)),
    "depth2": asks(c.trust(ROOT, max_verify_depth=2)),
    "both_roots": asks(c.trust(ROOT.ca_pem + OTHER.ca_pem)),
    "intermediate_trusted": asks(c.trust(ISSUING)),
    "staple_of_clients": asks(c.trust(ROOT), ocsp_staple_policy="LENIENT_STAPLING"),
}
EVERY = ["none", "good", "no san", "wrong CA", "expired", "self-signed", "other san"]
SANS = ["none", "good", "no san", "other san", "wildcard san", "wrong CA", "NUL in san", "NUL in uri"]
ROWS = {
    "required": list(CLIENTS),
    "optional": EVERY,
    "untrusting": EVERY,
    "untrusting_optional": EVERY,
    "accept_untrusted": [*EVERY, "not yet valid", "server only", "code signing"],
    "accept_untrusted_optional": EVERY,
    "expired_ok": [*EVERY, "not yet valid"],
    "dns": [*SANS, "many names", "quotes in subject"],
    **dict.fromkeys(("dns_suffix", "uri", "uri_prefix", "uri_regex", "email", "ip", "other_name", "legacy_san"), SANS),
    "san_untrusted": [*SANS, "self-signed", "expired"],
    **dict.fromkeys(("hash", "hash_alone", "spki", "hash_or_spki", "hash_and_san"),
                    ["none", "good", "rsa", "wrong CA", "self-signed"]),
    **dict.fromkeys(("crl", "crls", "crl_leaf_only"),
                    ["good", "revoked", "revoked leaf of intermediate", "issued by intermediate", "wrong CA"]),
    **dict.fromkeys(("crl_expired", "crl_expired_ok", "crl_not_yet", "crl_forged", "crl_of_other"), ["good", "expired", "names its CRLs"]),
    **dict.fromkeys(("depth0", "depth1", "depth2", "both_roots"),
                    ["good", "issued by intermediate", "two intermediates", "wrong CA"]),
    "intermediate_trusted": ["good", "issued by intermediate", "two intermediates"],
    "staple_of_clients": ["good"],
}

# What is sure without asking anybody: who gets in, and for those who do not, the counter and the words.
VERIFY = re.compile("CERTIFICATE_VERIFY_FAILED")
GETS_IN = {"client status": 200, "client end": ""}
NO_CERTIFICATE = {"client status": None, "counter ssl.fail_verify_no_cert": 1,
                  "log failure": re.compile("PEER_DID_NOT_RETURN_A_CERTIFICATE")}
BAD_CHAIN = {"client status": None, "counter ssl.fail_verify_error": 1, "log failure": VERIFY}
BAD_SAN = {"client status": None, "counter ssl.fail_verify_san": 1, "log failure": VERIFY}
BAD_HASH = {"client status": None, "counter ssl.fail_verify_cert_hash": 1, "log failure": VERIFY}
KNOWN = {
    ("required", "none"): NO_CERTIFICATE,
    ("required", "good"): {**GETS_IN, "counter ssl.handshake": 1, "log failure": "-", "log peer_subject": "CN=good"},
    ("required", "wrong CA"): {**BAD_CHAIN, "client end": "unknown_ca"},
    ("required", "expired"): {**BAD_CHAIN, "client end": "certificate_expired"},
    ("required", "not yet valid"): BAD_CHAIN,
    ("required", "self-signed"): BAD_CHAIN,
    ("required", "issuer is no CA"): BAD_CHAIN,
    ("required", "code signing"): BAD_CHAIN,
    ("optional", "none"): {**GETS_IN, "counter ssl.no_certificate": 1},
    ("optional", "expired"): BAD_CHAIN,
    ("untrusting", "none"): {**GETS_IN, "counter ssl.no_certificate": 1},  # nothing to check with: Envoy does not ask
    ("untrusting", "self-signed"): GETS_IN,
    ("accept_untrusted", "wrong CA"): GETS_IN,
    ("accept_untrusted", "none"): NO_CERTIFICATE,
    ("expired_ok", "expired"): GETS_IN,
    ("dns", "good"): GETS_IN,
    ("dns", "other san"): BAD_SAN,
    ("dns", "NUL in san"): BAD_SAN,
    ("uri", "good"): GETS_IN,
    ("uri", "NUL in uri"): BAD_SAN,
    ("dns_suffix", "good"): GETS_IN,
    ("hash", "good"): GETS_IN,
    ("hash", "rsa"): BAD_HASH,
    ("spki", "good"): GETS_IN,
    ("spki", "rsa"): BAD_HASH,
    ("hash_and_san", "good"): BAD_SAN,
    ("crl", "good"): GETS_IN,
    ("crl", "revoked"): {**BAD_CHAIN, "client end": "certificate_revoked"},
    ("crl_leaf_only", "revoked leaf of intermediate"): {**BAD_CHAIN, "client end": "certificate_revoked"},
    ("depth2", "issued by intermediate"): GETS_IN,
    ("both_roots", "wrong CA"): GETS_IN,
    ("email", "good"): GETS_IN,
    ("ip", "good"): GETS_IN,
    ("other_name", "good"): GETS_IN,
}
# On purpose: to nuncio a name with a NUL inside matches nothing, to Envoy its prefix and suffix still do.
DIFFERS = {
    ("dns_suffix", "NUL in san"): BAD_SAN,
    ("uri_prefix", "NUL in uri"): BAD_SAN,
}


@pytest.mark.differential
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("listener, client", [(listener, client) for listener, rows in ROWS.items() for client in rows])
def test_client_certificate(tables, listener, client, version):
    tables.check(listener, KNOWN.get((listener, client)), differs=DIFFERS.get((listener, client)), certificate=CLIENTS[client], versions=version)
