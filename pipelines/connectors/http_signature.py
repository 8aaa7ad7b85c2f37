"""Signatures of webhooks: HMAC-SHA256 over the instant of sending and the body, as it came over the wire.

    Recon-Signature: t=1764066000,v1=5257a869…

`v1` is the hex digest of `<t>.<body>` with the shared secret. While a secret changes, several `v1` may stand
there. A consumer checks before it parses; this module needs nothing but Python, so it can be copied.
"""

from __future__ import annotations

import hashlib
import hmac

HEADER = "Recon-Signature"


def sign(secret: str, body: bytes, at: int) -> str:
    """The header's value for a body sent at `at` (seconds since 1970)."""
    return f"t={at},v1={_digest(secret, body, at)}"


def verify(secret: str, header: str, body: bytes, now: float, tolerance: float = 300.0) -> bool:
    """Whether a body came from somebody who knows the secret, at most `tolerance` seconds ago.

    An old one is refused, so that what was overheard cannot be sent again later. Digests are compared in
    constant time.
    """
    parts = [part.strip().partition("=") for part in header.split(",")]
    at = next((value for name, _, value in parts if name == "t"), "")
    if not at.isascii() or not at.isdigit() or abs(now - int(at)) > tolerance:
        return False
    expected = _digest(secret, body, int(at)).encode()
    told = [value.encode() for name, _, value in parts if name == "v1"]
    return sum(hmac.compare_digest(expected, each) for each in told) > 0


def _digest(secret: str, body: bytes, at: int) -> str:
    return hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
