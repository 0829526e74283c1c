"""Certificates: self-signed, Ed25519, of the TLS key that hangs off an identity (RFC 8410, RFC 5280).

Nobody looks at names or dates in them: a certificate is trusted because the identity's signed record carries it. They are made
anew at each start, and the key stays.
"""

import hashlib
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from fastmix.errors import CryptoError

SINCE, UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280, 4.1.2.5: of a certificate that does not end."""
SIZE_MAX = 2048


def make_certificate(key: Ed25519PrivateKey, identity: bytes) -> bytes:
    """DER, for the Ed25519 identity of 32 bytes; the same bytes each time."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name_of(identity))])
    number = int.from_bytes(hashlib.sha256(identity + key.public_key().public_bytes_raw()).digest()[:15], "big") + 1
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(SINCE)
        .not_valid_after(UNTIL)
        .sign(key, None)
    )
    return made.public_bytes(Encoding.DER)


def name_of(identity: bytes) -> str:
    """The common name: 64 characters are the most that one may have."""
    return f"fastmix {identity.hex()[:48]}"


def check_certificate(certificate: bytes, identity: bytes) -> None:
    """`CryptoError` where a certificate is not one that its own key has signed for that identity: nobody can have another's key
    in a record of his own."""
    key_of(certificate)
    parsed = x509.load_der_x509_certificate(certificate)
    names = [part.value for part in parsed.subject]
    try:
        parsed.verify_directly_issued_by(parsed)
    except (ValueError, TypeError, InvalidSignature):
        raise CryptoError("certificate: is not signed by its own key") from None
    if names != [name_of(identity)]:
        raise CryptoError(f"certificate: is not that of node {identity.hex()[:16]}")


def key_of(certificate: bytes) -> bytes:
    """SHA-256 of a certificate's public key in DER (SubjectPublicKeyInfo), 32 bytes. `CryptoError` where it is none of an
    Ed25519 key."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, TypeError) as error:
        raise CryptoError(f"certificate: is none: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise CryptoError(f"certificate: its key is no Ed25519 key but {type(key).__name__}")
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
