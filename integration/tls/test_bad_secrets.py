"""Certificates, keys, staples and CAs that a context is made of: which are taken, and the words for those that are not."""

import pytest

from harness import config as c
from harness.certs import Authority, inline, make_key, key_pem
from harness.proxy import validate

ROOT = Authority("root")
LEAF = ROOT.leaf("leaf", dns=["leaf.example"])
OTHER = ROOT.leaf("other", dns=["other.example"])
MUST = ROOT.leaf("must", dns=["must.example"], must_staple=True)
NAMELESS = ROOT.leaf("", email=["nobody@leaf.example"])
BROKEN = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
STAPLE = ROOT.ocsp(LEAF)
CHAIN = "Failed to load certificate chain from <inline>"
KEY = "Failed to load private key from <inline>, Cause: error:"


def pair(issued=LEAF, chain=None, key=None, **more):
    return {"certificate_chain": inline(chain or issued.pem), "private_key": inline(key or issued.key_pem), **more}


def of(kind):
    return pair(ROOT.leaf(kind, key=kind, dns=["leaf.example"]))


def stapled(der, issued=LEAF):
    return pair(issued, ocsp_staple=inline(der))


def at(der, byte, value):
    """The staple with one byte of one of its times changed."""
    first = der.index(b"\x18\x0f")  # producedAt, which nobody reads
    second = der.index(b"\x18\x0f", first + 2)
    return der[:second + 2 + byte] + value + der[second + 2 + byte + len(value):]


CERTIFICATES = {
    "P-256": (pair(), None),
    "P-384": (of("p384"), None),
    "P-521": (of("p521"), None),
    "Ed25519": (of("ed25519"), None),
    "RSA": (of("rsa2048"), None),
    "short RSA": (of("rsa1024"), CHAIN + ", only RSA certificates with 2048-bit or larger keys are supported"),
    "words around": (pair(chain="who\n" + LEAF.pem + "between\n" + ROOT.ca_pem + "behind\n"), None),
    "DOS lines": (pair(chain=LEAF.pem.replace("\n", "\r\n")), None),
    "no key": ({"certificate_chain": inline(LEAF.pem)}, "Failed to load incomplete private key from path: "),
    "no chain": ({"private_key": inline(LEAF.key_pem)},
                 "Failed to load incomplete certificate from : certificate chain not set"),
    "no PEM": (pair(chain="hello"), CHAIN),
    "no DER": (pair(chain=BROKEN), CHAIN),
    "second is broken": (pair(chain=LEAF.pem + BROKEN), CHAIN),
    "second is cut off": (pair(chain=LEAF.pem + ROOT.ca_pem[:200]), CHAIN),
    "key is no PEM": (pair(key="hello"), KEY + "0900006e:PEM routines:OPENSSL_internal:NO_START_LINE"),
    "key of another": (pair(key=OTHER.key_pem),
                       KEY + "0b000074:X.509 certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH"),
    "key of another kind": (pair(key=key_pem(make_key("p384"))),
                            KEY + "0b000074:X.509 certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH"),
    "encrypted": (pair(key=LEAF.encrypted_key_pem("secret"), password=inline("secret")), None),
    "no password": (pair(key=LEAF.encrypted_key_pem("secret")),
                    KEY + "09000068:PEM routines:OPENSSL_internal:BAD_PASSWORD_READ"),
    "wrong password": (pair(key=LEAF.encrypted_key_pem("secret"), password=inline("wrong")),
                       KEY + "1e000065:Cipher functions:OPENSSL_internal:BAD_DECRYPT"),
    "PKCS#12": ({"pkcs12": inline(LEAF.pkcs12("secret")), "password": inline("secret")}, None),
    "open PKCS#12": ({"pkcs12": inline(LEAF.pkcs12())}, None),
    "PKCS#12, wrong password": ({"pkcs12": inline(LEAF.pkcs12("secret")), "password": inline("wrong")},
                                "Failed to load pkcs12 from <inline>"),
    "PKCS#12 is none": ({"pkcs12": inline(b"hello")}, "Failed to load pkcs12 from <inline>"),
    "PKCS#12 and a chain": ({"pkcs12": inline(LEAF.pkcs12()), "certificate_chain": inline(LEAF.pem)},
                            "Certificate configuration can't have both pkcs12 and certificate_chain"),
    "no name": (pair(NAMELESS), "Invalid TLS context has neither subject CN nor SAN names"),
    "must staple, without": (pair(MUST), "OCSP response is required for must-staple certificate"),
    "must staple": (stapled(ROOT.ocsp(MUST), MUST), None),
    "staple": (stapled(STAPLE), None),
    "staple that is over": (stapled(ROOT.ocsp(LEAF, days=(-20, -10))), None),
    "staple without an end": (stapled(ROOT.ocsp(LEAF, days=(-20, None))), None),
    "staple that says revoked": (stapled(ROOT.ocsp(LEAF, "revoked")), None),
    "staple of another": (stapled(ROOT.ocsp(OTHER)), "OCSP response does not match its TLS certificate"),
    "staple is none": (stapled(b"hello"), "Data contained more than a single OCSP response"),
    "staple is cut off": (stapled(STAPLE[:60]), "Data contained more than a single OCSP response"),
    "staple and more": (stapled(STAPLE + b"\0"), "Data contained more than a single OCSP response"),
    "staple: later": (stapled(bytes.fromhex("30030a0103")), "OCSP response was unsuccessful"),
    "staple: status unknown": (stapled(bytes.fromhex("30030a0104")), "Unknown OCSP Response Status variant: 4"),
    "staple: nothing in it": (stapled(bytes.fromhex("30030a0100")), "OCSP response has no body"),
    "staple: month 13": (stapled(at(STAPLE, 4, b"13")), "Error parsing string of GENERALIZEDTIME format"),
    "staple: local time": (stapled(at(STAPLE, 14, b"X")), "GENERALIZEDTIME must be in UTC"),
}
TRUST = {
    "a bundle": (c.trust("who\n" + ROOT.ca_pem + "between\n" + LEAF.pem), None),
    "a bundle with CRLs": (c.trust(ROOT.ca_pem + ROOT.crl(LEAF)), None),
    "no PEM": (c.trust("hello"), "Failed to load trusted CA certificates from <inline>"),
    "a key": (c.trust(LEAF.key_pem), "Failed to load trusted CA certificates from <inline>"),
    "second is broken": (c.trust(ROOT.ca_pem + BROKEN), "Failed to load trusted CA certificates from <inline>"),
    "empty": (c.trust(""), "DataSource cannot be empty"),
    "CRL": (c.trust(ROOT, crl=inline(ROOT.crl(LEAF))), None),
    "CRL is none": (c.trust(ROOT, crl=inline("hello")), None),  # then nobody is known not to be revoked
    "CRL is broken": (c.trust(ROOT, crl=inline(BROKEN.replace("CERTIFICATE", "X509 CRL"))),
                      "Failed to load CRL from <inline>"),
    "CRL without CA": (c.trust(crl=inline(ROOT.crl(LEAF))), "Failed to load CRL from <inline> without trusted CA"),
    "names without CA": (c.trust(san=[("DNS", "a.example")]),
                         "SAN-based verification of peer certificates without trusted CA is insecure and not allowed"),
    "an OID that is none": (c.trust(ROOT, san=[{"san_type": "OTHER_NAME", "oid": "1.2.x", "matcher": {"exact": "a"}}]),
                            "Failed to create SAN matcher for OTHER_NAME with OID: 1.2.x"),
}


def check(flavour, transport_socket, sentence):
    chain = c.chain(c.hcm(c.routes("r")), transport_socket=transport_socket)
    code, output = validate(flavour, c.static_bootstrap([c.listener("l", chain)], []))
    if sentence is None:
        assert code == 0, output
    else:
        assert code != 0
        assert sentence in output


@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificate(flavour, name):
    certificate, sentence = CERTIFICATES[name]
    check(flavour, c.downstream_tls(certificate), sentence)


@pytest.mark.parametrize("name", TRUST)
def test_trust(flavour, name):
    validation, sentence = TRUST[name]
    check(flavour, c.downstream_tls(LEAF, validation=validation), sentence)


def test_policy_wants_a_staple(flavour):
    check(flavour, c.downstream_tls(LEAF, ocsp_staple_policy="MUST_STAPLE"),
          "Required OCSP response is missing from TLS context")
