"""Who asks: a bearer token, an API key in a header or parameter, or a JSON Web Token signed for a few minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from datetime import timedelta
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import httpx
import jwt
from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, field_validator, model_validator

from pipelines.connectors.option_values import Duration


def _url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("url begins with https:// and a host")
    if parts.username or parts.password:
        raise ValueError("url has credentials in it; put them into auth")
    return url


#: An address that may be shown.
Url = Annotated[str, AfterValidator(_url)]

#: A token is signed anew when less than this share of its life is left.
_RENEW = 0.2


class Strict(BaseModel):
    """A part of the options; what it may not show, no error shows."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Token(Strict):
    """A JSON Web Token (RFC 7519) that is signed here."""

    key: SecretStr
    algorithm: str = "HS256"
    issuer: str | None = None
    subject: str | None = None
    audience: str | None = None
    key_id: str | None = None
    claims: dict[str, Any] = {}
    lifetime: Duration = timedelta(minutes=5)

    @field_validator("algorithm")
    @classmethod
    def _known(cls, name: str) -> str:
        known = [each for each in jwt.algorithms.get_default_algorithms() if each != "none"]
        if name not in known:
            raise ValueError(f"unknown algorithm {name!r}; there are: {', '.join(known)}")
        return name

    @model_validator(mode="after")
    def _signs(self) -> Self:
        try:
            self.signed()
        except Exception as error:
            raise ValueError(f"the key does not sign with {self.algorithm}: {type(error).__name__}") from None
        return self

    def signed(self) -> str:
        """A token that is good from now for `lifetime`."""
        now = int(time.time())
        named = {"iss": self.issuer, "sub": self.subject, "aud": self.audience}
        claims: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        claims |= {"iat": now, "exp": now + int(self.lifetime.total_seconds()), **self.claims}
        headers = {"kid": self.key_id} if self.key_id else None
        return jwt.encode(claims, self.key.get_secret_value(), self.algorithm, headers=headers)


class Auth(Strict):
    """One way of saying who asks."""

    bearer: SecretStr | None = None
    header: str | None = None
    parameter: str | None = None
    value: SecretStr | None = None
    jwt: Token | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.bearer, self.header, self.parameter, self.jwt)) != 1:
            raise ValueError("auth has one of bearer, header, parameter and jwt")
        if (self.value is None) != (self.header is None and self.parameter is None):
            raise ValueError("auth by header or parameter, and only that, has a value")
        return self

    @property
    def secrets(self) -> Iterator[str]:
        """What must never be shown."""
        for secret in (self.bearer, self.value, self.jwt.key if self.jwt else None):
            if secret is not None:
                yield secret.get_secret_value()

    def signer(self) -> httpx.Auth:
        """What puts it on each request."""
        if self.jwt is not None:
            return _Signed(self.jwt)
        if self.bearer is not None:
            return _Fixed("Authorization", f"Bearer {self.bearer.get_secret_value()}")
        value = self.value.get_secret_value() if self.value is not None else ""
        return _Fixed(self.header, value) if self.header is not None else _Parameter(str(self.parameter), value)


class _Fixed(httpx.Auth):
    def __init__(self, header: str, value: str) -> None:
        self.header, self.value = header, value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers[self.header] = self.value
        yield request


class _Parameter(httpx.Auth):
    def __init__(self, name: str, value: str) -> None:
        self.name, self.value = name, value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.url = request.url.copy_set_param(self.name, self.value)
        yield request


class _Signed(httpx.Auth):
    """A token of one's own, renewed before it expires, and once more where the server has had enough of it."""

    def __init__(self, token: Token) -> None:
        self.token = token
        self._lock = threading.Lock()
        self._signed: str | None = None
        self._until = 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        used = self._current()
        request.headers["Authorization"] = f"Bearer {used}"
        response = yield request
        if response.status_code == 401:
            request.headers["Authorization"] = f"Bearer {self._current(instead_of=used)}"
            yield request

    def _current(self, instead_of: str | None = None) -> str:
        with self._lock:
            if self._signed is None or time.monotonic() > self._until or self._signed == instead_of:
                self._signed = self.token.signed()
                self._until = time.monotonic() + self.token.lifetime.total_seconds() * (1 - _RENEW)
            return self._signed
