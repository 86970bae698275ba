"""Makes certificates of every kind that tests of TLS need: authorities, leaves, CRLs, OCSP responses.

    root = Authority("root")
    issuing = root.authority("issuing")
    leaf = issuing.leaf("server", dns=["a.example"], key="p384")
    leaf.pem, leaf.key_pem                 # the chain without the root, and the key
    leaf.sha256, leaf.spki                 # as verify_certificate_hash and verify_certificate_spki write them
    issuing.crl(leaf), issuing.ocsp(leaf)  # PEM, DER

RSA keys of leaves are shared, a key of a size: making one takes long.
"""

import base64
import datetime
import functools
import hashlib
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
FOR_BOTH = ("server", "client")
USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH,
          "code": ExtendedKeyUsageOID.CODE_SIGNING, "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
UPN = "1.3.6.1.4.1.311.20.2.3"  # userPrincipalName, the best-known otherName

_CURVES = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def make_key(kind="p256"):
    """p256, p384, p521, ed25519, or rsa with its size: rsa2048."""
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:] or 2048))
    return ec.generate_private_key(_CURVES[kind]())


@functools.lru_cache(None)
def shared_key(kind):
    """One key of a kind for all who ask: RSA keys take their time."""
    return make_key(kind)


def key_pem(key, password=None):
    encryption = (serialization.BestAvailableEncryption(password.encode()) if password
                  else serialization.NoEncryption())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


def pem_of(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def name_of(common_name, **more):
    """A subject: CN first, then O (organization) and OU (unit) if given."""
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    for key, oid in (("organization", NameOID.ORGANIZATION_NAME), ("unit", NameOID.ORGANIZATIONAL_UNIT_NAME)):
        if key in more:
            parts.append(x509.NameAttribute(oid, more[key]))
    return x509.Name(parts)


def _der(tag, data):
    length = len(data)
    if length < 128:
        return bytes([tag, length]) + data
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + data


def names(dns=(), ip=(), uri=(), email=(), other=()):
    """A subjectAltName. other: (oid, text) pairs."""
    out = [x509.DNSName(n) for n in dns]
    out += [x509.IPAddress(ipaddress.ip_address(n)) for n in ip]
    out += [x509.UniformResourceIdentifier(n) for n in uri]
    out += [x509.RFC822Name(n) for n in email]
    out += [x509.OtherName(x509.ObjectIdentifier(oid), _der(0x0c, text.encode())) for oid, text in other]
    return out


def inline(text):
    """A DataSource of text or bytes."""
    if isinstance(text, bytes):
        return {"inline_bytes": base64.b64encode(text).decode()}
    return {"inline_string": text}


class Issued:
    """A certificate with its key, and the certificates that lead to the root (without it)."""

    def __init__(self, certificate, key, chain=(), issuer=None):
        self.certificate = certificate
        self.key = key
        self.chain = list(chain)
        self.issuer = issuer

    @property
    def pem(self):
        """The certificate and the intermediates, as a server sends them."""
        return "".join(pem_of(c) for c in [self.certificate, *self.chain])

    @property
    def leaf_pem(self):
        """The certificate alone."""
        return pem_of(self.certificate)

    @property
    def key_pem(self):
        return key_pem(self.key)

    def encrypted_key_pem(self, password):
        return key_pem(self.key, password)

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def pkcs12(self, password=None):
        """Key, certificate and chain in one file. Without encryption if there is no password."""
        encryption = (serialization.BestAvailableEncryption(password.encode()) if password
                      else serialization.NoEncryption())
        return pkcs12.serialize_key_and_certificates(b"leaf", self.key, self.certificate, self.chain, encryption)

    @property
    def serial(self):
        """In hexadecimal, as %DOWNSTREAM_PEER_SERIAL% writes it."""
        return f"{self.certificate.serial_number:x}"

    @property
    def sha256(self):
        """The certificate's fingerprint: verify_certificate_hash."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def spki(self):
        """The public key's: verify_certificate_spki."""
        public = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(public).digest()).decode()

    def files(self, directory, name="leaf"):
        """Written as <name>.pem and <name>.key there; the two paths."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_text(self.pem)
        key.write_text(self.key_pem)
        return certificate, key

    def tls_certificate(self, **more):
        """As a TlsCertificate. more: ocsp_staple and the like."""
        return {"certificate_chain": inline(self.pem), "private_key": inline(self.key_pem), **more}


class Authority(Issued):
    """One that issues. Made without an issuer it is a root."""

    def __init__(self, common_name="root", key="p256", issuer=None, days=(-30, 3650), depth=None, ca=True,
                 key_usage=True):
        own = make_key(key)
        chain = []
        builder = _builder(name_of(common_name), own.public_key(), days).add_extension(
            x509.BasicConstraints(ca=ca, path_length=depth if ca else None), critical=True)
        if key_usage:
            builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True, digital_signature=True), critical=True)
        if issuer is not None:
            chain = issuer.chain if issuer.issuer is None else [issuer.certificate, *issuer.chain]
        super().__init__(_sign(builder, issuer, own), own, chain, issuer)

    def authority(self, common_name="intermediate", **more):
        """One below this one."""
        return Authority(common_name, issuer=self, **more)

    @property
    def ca_pem(self):
        """To be trusted: this certificate alone."""
        return self.leaf_pem

    def leaf(self, common_name="leaf", key="p256", days=(-1, 90), usage=FOR_BOTH, must_staple=False, san=True,
             digest=None, crl_url=None, subject=None, **alternatives):
        """A certificate for an end. days: from and until, counted from now. usage: of USAGES, None without the
        extension. alternatives: dns, ip, uri, email, other (lists) for its subjectAltName."""
        return issue(self, common_name, key, days, usage, must_staple, digest, crl_url, subject, **alternatives)

    def expired(self, common_name="expired", **more):
        return self.leaf(common_name, days=(-60, -30), **more)

    def not_yet(self, common_name="not yet", **more):
        return self.leaf(common_name, days=(30, 60), **more)

    def crl(self, *revoked, days=(-1, 30)):
        """A CRL (PEM) that revokes those."""
        start = now()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject).last_update(
            start + days[0] * DAY).next_update(start + days[1] * DAY)
        for issued in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(issued.certificate.serial_number)
                .revocation_date(start - DAY).build())
        made = builder.sign(self.key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM).decode()

    def ocsp(self, leaf, status="good", days=(-1, 30)):
        """An OCSP response (DER) for a certificate of this authority: good, revoked or unknown."""
        start = now()
        kinds = {"good": ocsp.OCSPCertStatus.GOOD, "revoked": ocsp.OCSPCertStatus.REVOKED,
                 "unknown": ocsp.OCSPCertStatus.UNKNOWN}
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=leaf.certificate, issuer=self.certificate, algorithm=hashes.SHA1(), cert_status=kinds[status],
            this_update=start + days[0] * DAY, next_update=start + days[1] * DAY if days[1] is not None else None,
            revocation_time=start - 2 * DAY if status == "revoked" else None, revocation_reason=None,
        ).responder_id(ocsp.OCSPResponderEncoding.HASH, self.certificate)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _usage(**chosen):
    every = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
                           "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(**{**every, **chosen})


def _builder(subject, public_key, days):
    start = now().replace(microsecond=0)
    return x509.CertificateBuilder().subject_name(subject).public_key(public_key).serial_number(
        x509.random_serial_number()).not_valid_before(start + days[0] * DAY).not_valid_after(start + days[1] * DAY)


def _sign(builder, issuer, own, digest=None):
    """By its issuer, or by its own key without one."""
    public = own.public_key()
    signer = issuer.key if issuer is not None else own
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    if issuer is not None:
        builder = builder.issuer_name(issuer.certificate.subject).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    else:
        builder = builder.issuer_name(builder._subject_name)
    if isinstance(signer, ed25519.Ed25519PrivateKey):
        return builder.sign(signer, None)
    return builder.sign(signer, digest or hashes.SHA256())


def issue(issuer, common_name="leaf", key="p256", days=(-1, 90), usage=FOR_BOTH, must_staple=False, digest=None,
          crl_url=None, subject=None, **alternatives):
    """As Authority.leaf(). issuer None: self-signed."""
    own = (shared_key(key) if key.startswith("rsa") else make_key(key)) if isinstance(key, str) else key
    builder = _builder(subject or name_of(common_name), own.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(
        _usage(digital_signature=True, key_encipherment=isinstance(own, rsa.RSAPrivateKey)), critical=True)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([USAGES[u] for u in usage]), critical=False)
    if any(alternatives.values()):
        builder = builder.add_extension(x509.SubjectAlternativeName(names(**alternatives)), critical=False)
    if must_staple:
        builder = builder.add_extension(x509.TLSFeature([x509.TLSFeatureType.status_request]), critical=False)
    if crl_url:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    chain = []
    if issuer is not None:
        chain = [issuer.certificate, *issuer.chain] if issuer.issuer is not None else []
    return Issued(_sign(builder, issuer, own, digest), own, chain, issuer)


def self_signed(common_name="self-signed", **more):
    """A leaf that vouches for itself."""
    return issue(None, common_name, **more)
