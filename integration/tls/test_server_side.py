"""What a listener serves to whom: the certificate by SNI and key type, versions, ciphers, curves, ALPN, OCSP staples."""

import re

import pytest

from harness import config as c
from harness.certs import Authority, inline
from harness.tls import s_client

ROOT = Authority("root")
ISSUING = ROOT.authority("issuing")
CERTIFICATES = {
    "a": ISSUING.leaf("a", dns=["a.example"]),
    "a rsa": ISSUING.leaf("a rsa", dns=["a.example"], key="rsa2048"),
    "b": ISSUING.leaf("b", dns=["b.example", "also-b.example"]),
    "b rsa": ISSUING.leaf("b rsa", dns=["b.example"], key="rsa2048"),
    "wild": ISSUING.leaf("wild", dns=["*.wild.example"]),
    "wild exact": ISSUING.leaf("wild exact", dns=["exact.wild.example"]),
    "cn only": ISSUING.leaf("cn.example"),
    "upper": ISSUING.leaf("upper", dns=["UPPER.example"]),
    "p384": ISSUING.leaf("p384", key="p384", dns=["p384.example"]),
    "p521": ISSUING.leaf("p521", key="p521", dns=["p521.example"]),
    "rsa3072": ISSUING.leaf("rsa3072", key="rsa3072", dns=["rsa3072.example"]),
    "rsa4096": ISSUING.leaf("rsa4096", key="rsa4096", dns=["rsa4096.example"]),
    "ip": ISSUING.leaf("ip", ip=["127.0.0.1"], dns=["ip.example"]),
    "staple": ISSUING.leaf("staple", dns=["staple.example"]),
    "must": ISSUING.leaf("must", dns=["must.example"], must_staple=True),
    "expired": ROOT.expired(dns=["expired.example"]),
}
K = CERTIFICATES
BY_HASH = {made.sha256: name for name, made in CERTIFICATES.items()}


def quiet(tls):
    """A listener that logs nothing: for clients that nobody waits for."""
    return lambda name, log: c.listener(name, c.chain(c.hcm(c.routes("r")), transport_socket=tls), stat_prefix=name)


def serves(*names, **more):
    return c.downstream_tls(*[K[n] if isinstance(n, str) else n for n in names], **more)


def stapled(name, status="good", days=(-1, 30), issuer=ISSUING):
    return K[name].tls_certificate(ocsp_staple=inline(issuer.ocsp(K[name], status, days)))


def limited(**params):
    return serves("a", "a rsa", params=params)


LISTENERS = {
    "one": serves("a"),
    "quiet": quiet(serves("a", "a rsa")),
    "many": serves("a", "a rsa", "b", "b rsa", "wild", "wild exact", "cn only", "upper"),
    "rsa_first": serves("a rsa", "a", "b rsa", "b"),
    "wild_first": serves("wild", "wild exact", "a"),
    "wild_only": serves("wild", "b rsa"),
    "scan": serves("a rsa", "a", "wild", full_scan_certs_on_sni_mismatch=True),
    "rsa_only": serves("a rsa"),
    "rsa_ecdsa_apart": serves("a", "b rsa"),
    "rsa_ecdsa_apart_scan": serves("a", "b rsa", full_scan_certs_on_sni_mismatch=True),
    "p384": serves("p384"),
    "rsa3072": serves("rsa3072"),
    "rsa4096": serves("rsa4096"),
    "ip": serves("ip"),
    "expired": serves("expired"),
    "defaults": serves("a", "a rsa"),
    "only12": limited(tls_maximum_protocol_version="TLSv1_2"),
    "only13": limited(tls_minimum_protocol_version="TLSv1_3"),
    "from10": limited(tls_minimum_protocol_version="TLSv1_0"),
    "only11": limited(tls_minimum_protocol_version="TLSv1_1", tls_maximum_protocol_version="TLSv1_1"),
    "chacha": limited(cipher_suites=["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"]),
    "groups_of_equals": limited(cipher_suites=["[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]",
                                               "ECDHE-RSA-AES256-GCM-SHA384"]),
    "cbc": limited(cipher_suites=["ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES256-SHA", "AES128-SHA", "AES256-GCM-SHA384"]),
    "p256": quiet(limited(ecdh_curves=["P-256"])),
    "p384_curve": quiet(limited(ecdh_curves=["P-384", "P-256"])),
    "p521_curve": quiet(limited(ecdh_curves=["P-521"])),
    "pq": quiet(limited(ecdh_curves=["X25519MLKEM768", "X25519"])),
    "sigalgs": quiet(limited(signature_algorithms=["rsa_pss_rsae_sha512", "ecdsa_secp256r1_sha256"])),
    "alpn_h2": serves("a", alpn=["h2", "http/1.1"]),
    "alpn_h1": serves("a", alpn=["http/1.1"]),
    "alpn_other": serves("a", alpn=["foo", "h2"]),
    "staple_lenient": serves(stapled("staple")),
    "staple_lenient_expired": serves(stapled("staple", days=(-30, -1))),
    "staple_lenient_none": serves("staple"),
    "staple_strict": serves(stapled("staple"), ocsp_staple_policy="STRICT_STAPLING"),
    "staple_strict_expired": serves(stapled("staple", days=(-30, -1)), ocsp_staple_policy="STRICT_STAPLING"),
    "staple_strict_none": serves("staple", ocsp_staple_policy="STRICT_STAPLING"),
    "staple_must": serves(stapled("staple"), ocsp_staple_policy="MUST_STAPLE"),
    "staple_must_expired": serves(stapled("staple", days=(-30, -1)), ocsp_staple_policy="MUST_STAPLE"),
    "staple_revoked": serves(stapled("staple", "revoked")),
    "must_staple": serves(stapled("must")),
    "must_staple_expired": serves(stapled("must", days=(-30, -1))),
    "staple_of_several": serves("a rsa", stapled("staple"), "b", ocsp_staple_policy="STRICT_STAPLING"),
    "ciphers_of_client": serves("a", "a rsa", prefer_client_ciphers=True),
}


def served(name):
    return lambda row: BY_HASH.get(row.seen.served) == name


# Which certificate. (listener, SNI, key type of the client's ciphers in TLS 1.2) -> the one that must come.
ECDSA_ONLY = "ECDHE-ECDSA-AES128-GCM-SHA256"
RSA_ONLY = "ECDHE-RSA-AES128-GCM-SHA256"
CHOICES = [
    ("one", "a.example", None, "a"), ("one", "unknown.example", None, "a"), ("one", None, None, "a"),
    ("many", "a.example", None, "a"), ("many", "a.example", RSA_ONLY, "a rsa"), ("many", "b.example", None, "b"),
    ("many", "B.Example", None, {"envoy": "a", "nuncio": "b"}), ("many", "also-b.example", None, "b"), ("many", "also-b.example", RSA_ONLY, None),
    ("many", "x.wild.example", None, "wild"), ("many", "exact.wild.example", None, "wild exact"),
    ("many", "x.y.wild.example", None, None), ("many", "wild.example", None, None), ("many", "cn.example", None, "cn only"),
    ("many", "UPPER.example", None, "upper"),
    ("many", "upper.example", None, {"envoy": "a", "nuncio": "upper"}),
    ("many", "UPPER.EXAMPLE", None, {"envoy": "a", "nuncio": "upper"}),
    ("many", "unknown.example", None, "a"), ("many", "unknown.example", RSA_ONLY, None), ("many", None, None, "a"),
    ("many", None, RSA_ONLY, None), ("many", "b.example", RSA_ONLY, "b rsa"), ("many", "b.example.", None, None),
    ("rsa_first", "a.example", None, "a"), ("rsa_first", "a.example", RSA_ONLY, "a rsa"), ("rsa_first", None, None, None),
    ("rsa_first", "unknown.example", None, None), ("rsa_first", None, RSA_ONLY, "a rsa"),
    ("wild_first", "exact.wild.example", None, "wild exact"), ("wild_first", "q.wild.example", None, "wild"),
    ("wild_first", "nothing.example", None, "wild"), ("wild_only", "exact.wild.example", None, "wild"),
    ("wild_only", "b.example", ECDSA_ONLY, None), ("wild_only", "x.wild.example", RSA_ONLY, None),
    ("scan", "unknown.example", None, None), ("scan", "x.wild.example", None, "wild"), ("scan", None, None, None),
    ("scan", "unknown.example", RSA_ONLY, "a rsa"), ("rsa_only", "a.example", None, "a rsa"),
    ("rsa_only", "a.example", ECDSA_ONLY, None), ("rsa_ecdsa_apart", "b.example", ECDSA_ONLY, None),
    ("rsa_ecdsa_apart", "a.example", RSA_ONLY, None), ("rsa_ecdsa_apart", "unknown.example", RSA_ONLY, None),
    ("rsa_ecdsa_apart_scan", "unknown.example", RSA_ONLY, None), ("rsa_ecdsa_apart_scan", "a.example", RSA_ONLY, None),
    ("p384", "p384.example", None, "p384"), ("rsa3072", None, None, "rsa3072"), ("rsa4096", None, None, "rsa4096"),
    ("ip", "ip.example", None, "ip"), ("ip", "127.0.0.1", None, "ip"), ("expired", "expired.example", None, "expired"),
]


@pytest.mark.differential
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("listener, sni, ciphers, expected", CHOICES)
def test_certificate(tables, listener, sni, ciphers, expected, version):
    """expected: a name; by proxy where they differ on purpose (to nuncio names have no case, as DNS has it); None where
    the two only have to agree."""
    if ciphers and version == "1.3":
        # There the signature algorithms say it, which Python cannot set.
        signatures = "ECDSA+SHA256" if ciphers == ECDSA_ONLY else "RSA-PSS+SHA256"
        seen = {f: t.around(listener, lambda t=t: s_client(
                    t.address(listener), "-tls1_3", "-sigalgs", signatures,
                    *(["-servername", sni] if sni else ["-noservername"])))[0]
                for f, t in tables.tables.items()}
        subjects = {f: said["subject"] and said["subject"].removeprefix("CN = ") for f, said in seen.items()}
        if expected:
            assert set(subjects.values()) == {"cn.example" if expected == "cn only" else expected}
    else:
        rows = tables.check(listener, sni=sni, versions=version, ciphers=ciphers)
        subjects = {f: BY_HASH.get(row.seen.served) for f, row in rows.items()}
        if expected:
            assert all(row.seen.status == 200 for row in rows.values())
    if isinstance(expected, dict):
        assert subjects == {f: expected[f] for f in subjects}
        return
    assert len(set(subjects.values())) == 1, subjects
    if expected and not (ciphers and version == "1.3"):
        assert set(subjects.values()) == {expected}


VERSIONS = ["1.0", "1.1", "1.2", "1.3", ("1.0", "1.3"), ("1.2", "1.3")]


@pytest.mark.differential
@pytest.mark.parametrize("version", VERSIONS, ids=str)
@pytest.mark.parametrize("listener", ["defaults", "only12", "only13", "from10", "only11"])
def test_version(tables, listener, version):
    expect = {}
    if listener == "defaults":
        expect = ({"client end": "protocol_version", "log failure": re.compile("UNSUPPORTED_PROTOCOL")}
                  if version in ("1.0", "1.1") else {"client status": 200})
    tables.check(listener, expect, versions=version, ciphers="ALL:@SECLEVEL=0", sni="a.example")


CIPHERS = [ECDSA_ONLY, RSA_ONLY, "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
           "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES256-SHA",
           "AES128-SHA", "AES128-GCM-SHA256", "AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256",
           "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
           "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"]


@pytest.mark.differential
@pytest.mark.parametrize("ciphers", CIPHERS)
@pytest.mark.parametrize("listener", ["defaults", "chacha", "groups_of_equals", "cbc", "ciphers_of_client"])
def test_cipher(tables, listener, ciphers):
    expect = {}
    if listener == "defaults" and ciphers in (ECDSA_ONLY, RSA_ONLY):
        expect = {"client cipher": ciphers, f"counter ssl.ciphers.{ciphers}": 1}
    tables.check(listener, expect, versions="1.2", ciphers=ciphers + ":@SECLEVEL=0", sni="a.example")


def said(tables, listener, *options, **more):
    """s_client's fields with each proxy, compared; those of one of them."""
    every = {f: s_client(t.address(listener), *options, **more) for f, t in sorted(tables.tables.items())}
    assert len({tuple(sorted(s.fields.items())) for s in every.values()}) == 1, {f: s.fields for f, s in every.items()}
    return next(iter(every.values()))


@pytest.mark.differential
@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
                                   "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_SHA256"])
def test_cipher_of_tls13(tables, suite):
    got = said(tables, "quiet", "-tls1_3", "-ciphersuites", suite, "-servername", "a.example")
    if suite in ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"):
        assert got["cipher"] == suite


@pytest.mark.differential
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("groups", ["X25519", "P-256", "P-384", "P-521", "P-384:P-256:X25519", "X448", "ffdhe2048"])
@pytest.mark.parametrize("listener", ["quiet", "p256", "p384_curve", "p521_curve", "pq"])
def test_curve(tables, listener, groups, version):
    got = said(tables, listener, version, "-groups", groups, "-servername", "a.example")
    if (listener, groups) == ("p256", "X25519"):
        assert got["alert"] == "handshake failure"
    if (listener, groups) == ("quiet", "X25519"):
        assert got["group"] == "X25519"


@pytest.mark.differential
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("algorithms", ["RSA-PSS+SHA256", "RSA-PSS+SHA512", "ECDSA+SHA256", "ECDSA+SHA384", "RSA+SHA256",
                                        "RSA+SHA1", "ECDSA+SHA1"])
@pytest.mark.parametrize("listener", ["quiet", "sigalgs"])
def test_signature_algorithm(tables, listener, algorithms, version):
    said(tables, listener, version, "-sigalgs", algorithms, "-servername", "a.example", "-cipher", "DEFAULT:@SECLEVEL=0")


OFFERS = [(), ("h2",), ("http/1.1",), ("h2", "http/1.1"), ("http/1.1", "h2"), ("foo",), ("http/1.0",), ("h2c",), ("foo", "h2")]


@pytest.mark.differential
@pytest.mark.parametrize("offer", OFFERS, ids=lambda o: ",".join(o) or "none")
@pytest.mark.parametrize("listener", ["one", "alpn_h2", "alpn_h1", "alpn_other"])
def test_alpn(tables, listener, offer):
    expect = {}
    if listener == "alpn_h2":
        expect = {"client alpn": next((p for p in ("h2", "http/1.1") if p in offer), None)}
    # After h2 was agreed an HTTP/1 request is garbage: only the handshake counts then.
    tables.check(listener, expect, alpn=offer, sni="a.example", h2="h2" in offer and listener != "alpn_h1")


@pytest.mark.differential
@pytest.mark.parametrize("listener", [name for name in LISTENERS if "staple" in name])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("status", [True, False], ids=["asks", "does not ask"])
def test_ocsp_staple(tables, listener, version, status):
    """openssl's client, for Python's cannot ask; and the counters beside it."""
    rows = {}
    for flavour, table in sorted(tables.tables.items()):
        result, counters, line = table.around(listener, lambda t=table: s_client(
            t.address(listener), version, *["-status"] * status, "-servername", "staple.example"))
        rows[flavour] = (result.fields, counters, line)
    first = next(iter(rows.values()))
    for other in rows.values():
        assert other == first
    fields, counters, _ = first
    if not status:
        return
    if listener in ("staple_lenient", "staple_strict", "staple_must", "must_staple"):
        assert counters["ssl.ocsp_staple_responses"] == 1
        assert fields["staple_status"] == "good"
    elif listener in ("staple_strict_expired", "staple_must_expired", "must_staple_expired"):
        assert "cipher" not in fields or fields["cipher"] == "(NONE)"
        assert counters["ssl.ocsp_staple_failed"] == 1
    elif listener == "staple_lenient_expired":
        assert counters["ssl.ocsp_staple_omitted"] == 1


def test_scheme_reaches_the_origin(tables):
    rows = tables.check("one", {"client status": 200}, sni="a.example", headers=[("x-forwarded-proto", "http")])
    assert all(row.upstream is not None for row in rows.values())


@pytest.mark.differential
def test_chain_is_sent(tables):
    for table in tables.tables.values():
        said_by = s_client(table.address("quiet"), "-showcerts", "-servername", "a.example")
        assert said_by.text.count("BEGIN CERTIFICATE") == 2  # leaf and intermediate
