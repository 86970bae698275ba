"""Compliance policies, protocol lists with an empty name, CAs that are not told to clients: what clients see, compared with
Envoy."""

import pytest

from harness import config as c
from harness.certs import Authority, inline
from harness.tls import s_client

ROOT = Authority("root")
EC = ROOT.leaf("a", dns=["a.example"])
RSA = ROOT.leaf("a rsa", dns=["a.example"], key="rsa3072")
P384 = ROOT.leaf("a p384", dns=["a.example"], key="p384")


def under(policy, **params):
    return c.downstream_tls(EC, RSA, P384, params={"compliance_policies": [policy], **params})


def asking(**more):
    return c.downstream_tls(EC, validation={"trusted_ca": inline(ROOT.ca_pem), **more})


LISTENERS = {
    "fips": under("FIPS_202205"),
    "fips_ciphers": under("FIPS_202205", cipher_suites=["ECDHE-ECDSA-CHACHA20-POLY1305"]),
    "fips_curves": under("FIPS_202205", ecdh_curves=["X25519"]),
    "fips_versions": under("FIPS_202205", tls_minimum_protocol_version="TLSv1_0", tls_maximum_protocol_version="TLSv1_2"),
    "cnsa1": under("CNSA1_202603"),
    "cnsa2": under("CNSA2_202603"),
    "empty_name": c.downstream_tls(EC, alpn=["h2", "", "http/1.1"]),
    "tells": asking(),
    "keeps": asking(suppress_client_ca_list=True),
}
CLIENTS = {
    "1.3": {"versions": "1.3"},
    "1.2": {"versions": "1.2"},
    "1.1": {"versions": "1.1", "security": 0},
    "ChaCha20": {"versions": "1.2", "ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"},
    "AES-256": {"versions": "1.2", "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"},
    "X25519": {"versions": "1.3", "curve": "X25519"},
    "P-256": {"versions": "1.3", "curve": "prime256v1"},
    "P-384": {"versions": "1.3", "curve": "secp384r1"},
    "P-521": {"versions": "1.3", "curve": "secp521r1"},
    "RSA": {"versions": "1.2", "ciphers": "ECDHE-RSA-AES128-GCM-SHA256"},
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("listener", [name for name in LISTENERS if name.startswith(("fips", "cnsa"))])
def test_policies(tables, listener, client):
    rows = tables.check(listener, sni="a.example", **CLIENTS[client])
    served = {f: row.seen.served for f, row in rows.items()}
    assert len(set(served.values())) == 1


def test_a_policy_is_one(tables):
    """It counts instead of what the lists beside it say."""
    for listener in ("fips_ciphers", "fips_curves"):
        tables.check(listener, {"client status": 200}, sni="a.example", versions="1.2",
                     ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
        tables.check(listener, {"client status": None}, sni="a.example", versions="1.2",
                     ciphers="ECDHE-ECDSA-CHACHA20-POLY1305")


@pytest.mark.parametrize("offer", [("http/1.1",), ("h2", "http/1.1"), ()])
def test_an_empty_protocol_name_ends_the_choice(tables, offer):
    tables.check("empty_name", {"client status": 200, "client alpn": None}, sni="a.example", alpn=offer)


@pytest.mark.parametrize("listener, told", [("tells", True), ("keeps", False)])
def test_whom_a_server_trusts(tables, listener, told):
    for table in tables.tables.values():
        said = s_client(table.address(listener), "-servername", "a.example").text
        assert ("Acceptable client certificate CA names" in said) == told
        assert ("No client certificate CA names sent" in said) != told
