"""A local mail server for the tests: it keeps what it is sent."""

from __future__ import annotations

import datetime
import email
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.policy import default

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass
class Mail:
    """A running server, and its mail."""

    port: int
    letters: list = field(default_factory=list)
    logins: list = field(default_factory=list)

    async def handle_DATA(self, server, session, envelope):
        """Keep one."""
        self.letters.append(email.message_from_bytes(envelope.content, policy=default))
        return "250 kept"

    def login(self, server, session, envelope, mechanism, data):
        """Keep who it was."""
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=True)


def certificate(directory):
    """A certificate for 127.0.0.1 that vouches for itself: the server's context, and the file to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "key.pem").write_bytes(private)
    (directory / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context, directory / "cert.pem"


@contextmanager
def mail(tls=None) -> Iterator[Mail]:
    """A server on a free port; with an SSL context it demands TLS and a login."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        kept = Mail(probe.getsockname()[1])
    options = {"tls_context": tls, "require_starttls": True, "auth_required": True} if tls else {}
    controller = Controller(
        kept,
        hostname="127.0.0.1",
        port=kept.port,
        authenticator=kept.login,
        auth_require_tls=tls is not None,
        **options,
    )
    controller.start()
    try:
        yield kept
    finally:
        controller.stop()
