"""Contexts of Python's ssl: TLS 1.3 and nothing else, no tickets, no early data, and the certificates that are trusted.

A trust store only grows, and Python's server cannot be asked about a certificate in a handshake. So whom a context lets through
is compared with the current peers afterwards, at both ends (`connection`). A client that nobody knows yet shows no certificate
and proves its identity in its hello; a server that it does not know yet sends its record first.
"""

import os
import ssl

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def server_context(key: Ed25519PrivateKey, certificate: bytes) -> ssl.SSLContext:
    """Of an end that is connected to. Who shows a certificate must be trusted; who shows none proves itself in its hello."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, key, certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.num_tickets = 0
    return context


def client_context(key: Ed25519PrivateKey, certificate: bytes) -> ssl.SSLContext:
    """Of an end that connects to a peer, whose certificate must be trusted."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, key, certificate)
    context.check_hostname = False  # a peer's name is its key
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def joiner_context() -> ssl.SSLContext:
    """Of an end that knows nothing of the server but its PIN: what the server shows is compared with its record afterwards."""
    context = _tls13(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def trust(context: ssl.SSLContext, certificate: bytes) -> None:
    """Lets a DER certificate through from the next handshake on, for good."""
    context.load_verify_locations(cadata=certificate)


def _tls13(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    return context


def _context(protocol: int, key: Ed25519PrivateKey, certificate: bytes) -> ssl.SSLContext:
    context = _tls13(protocol)
    pem = ssl.DER_cert_to_PEM_cert(certificate).encode()
    pem += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    fd = os.memfd_create("fastmix-tls", os.MFD_CLOEXEC)  # ssl reads keys from files only; this one has no name and is wiped
    try:
        os.pwrite(fd, pem, 0)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
        os.pwrite(fd, bytes(len(pem)), 0)
    finally:
        os.close(fd)
    return context
