"""Sign-in with a provider of OpenID Connect: the code flow with PKCE (OpenID Connect Core 1.0, RFC 7636).

The server asks its provider, and nobody else: for its description, its keys, and the token of each sign-in. Who comes
in is decided here: an account has an address, and the provider must vouch for it (`email_verified`).
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from genloom.server.errors import APIError

STATE_SECONDS = 600  # between the start of a sign-in and its end
MAX_STARTED = 1000
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")  # of public keys only
_CLAIMS = ("iss", "sub", "aud", "exp", "iat", "nonce")
_MAX_BYTES = 1_000_000
_SECONDS = 10.0
_DESCRIPTION_SECONDS = 3600.0
_LEEWAY_SECONDS = 60


@dataclass(frozen=True)
class Provider:
    """A provider as the options of the server name it."""

    issuer: str  # e.g. https://login.example.org
    client: str
    secret: str = field(repr=False, default="")

    @property
    def name(self) -> str:
        return urlsplit(self.issuer).hostname or self.issuer


@dataclass(frozen=True)
class _Started:
    binding: str  # in a cookie of the browser that started
    nonce: str
    verifier: str
    expires: float


class ProviderSignIn:
    """The sign-ins that were started with a provider."""

    def __init__(self, provider: Provider, redirect: str) -> None:
        self.provider, self.redirect = provider, redirect
        self._started: dict[str, _Started] = {}
        self._description: tuple[float, Mapping[str, Any]] = (0.0, {})
        self._lock = threading.Lock()

    def start(self) -> tuple[str, str]:
        """Return the address of the provider that a browser goes to, and what a cookie of it has to hold meanwhile."""
        endpoint = str(self._describe()["authorization_endpoint"])
        state, binding, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(4))
        now = time.monotonic()
        with self._lock:
            kept = {key: each for key, each in self._started.items() if each.expires > now}
            oldest_first = sorted(kept, key=lambda key: kept[key].expires)[max(len(kept) - MAX_STARTED + 1, 0) :]
            self._started = {key: kept[key] for key in oldest_first}
            self._started[state] = _Started(binding, nonce, verifier, now + STATE_SECONDS)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {"response_type": "code", "client_id": self.provider.client, "redirect_uri": self.redirect}
        query |= {"scope": "openid email", "state": state, "nonce": nonce}
        query |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}", binding

    def finish(self, code: str, state: str, binding: str) -> str:
        """Return the address that the provider vouches for; APIError for a sign-in that this browser did not start."""
        with self._lock:
            started = self._started.pop(state, None)  # it ends once, also if it fails
        if started is None or started.expires < time.monotonic():
            raise APIError("server.oidc_unknown_state", status=401)
        if not secrets.compare_digest(started.binding.encode(), binding.encode()):
            raise APIError("server.oidc_unknown_state", status=401)
        claims = self._redeem(code, started)
        email = claims.get("email")
        if not isinstance(email, str) or claims.get("email_verified") is not True:
            raise APIError("server.oidc_no_address", status=403, provider=self.provider.name)
        return email

    def _redeem(self, code: str, started: _Started) -> Mapping[str, Any]:
        """Exchange the code for a token about the person, and return its claims once they are verified."""
        import jwt

        description = self._describe()
        body = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect}
        body |= {"client_id": self.provider.client, "code_verifier": started.verifier}
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        if self.provider.secret:
            pair = f"{quote(self.provider.client, safe='')}:{quote(self.provider.secret, safe='')}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        answer = self._fetch(str(description["token_endpoint"]), urlencode(body).encode(), headers)
        try:
            token = str(answer["id_token"])
            header = jwt.get_unverified_header(token)
            keys = jwt.PyJWKSet.from_dict(dict(self._fetch(str(description["jwks_uri"])))).keys
            fitting = [key for key in keys if header.get("kid") in (None, key.key_id) and key.public_key_use != "enc"]
            if len(fitting) != 1:
                raise jwt.InvalidKeyError(f"{len(fitting)} keys fit")
            claims = jwt.decode(
                token,
                fitting[0],
                algorithms=_ALGORITHMS,
                audience=self.provider.client,
                issuer=self.provider.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": list(_CLAIMS)},
            )
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise self._build_error(f"its token is not valid ({type(error).__name__})") from None
        if not secrets.compare_digest(str(claims["nonce"]).encode(), started.nonce.encode()):
            raise self._build_error("its token is of another sign-in")
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self.provider.client:
            raise self._build_error("its token is for another program")
        return claims

    def _describe(self) -> Mapping[str, Any]:
        """Return the provider's description of itself, which is read once an hour."""
        read_at, description = self._description
        if description and time.monotonic() - read_at < _DESCRIPTION_SECONDS:
            return description
        found = self._fetch(f"{self.provider.issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self.provider.issuer:
            raise self._build_error("it calls itself otherwise")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not is_safe_address(str(found.get(name))):
                raise self._build_error(f"it names no safe {name}")
        self._description = (time.monotonic(), found)
        return found

    def _fetch(
        self, url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        """Return an object of the provider; it may neither lead elsewhere nor send much."""
        assert is_safe_address(url)
        try:
            with build_opener(_NoRedirect).open(Request(url, data, dict(headers or {})), timeout=_SECONDS) as response:
                content = response.read(_MAX_BYTES + 1)
            found = json.loads(content) if len(content) <= _MAX_BYTES else None
        except HTTPError as error:
            if data is not None and 400 <= error.code < 500:
                raise APIError("server.oidc_refused", status=401, provider=self.provider.name) from None
            raise self._build_error(f"it answers {error.code}") from None
        except (URLError, OSError, ValueError) as error:
            raise self._build_error(f"it does not answer ({type(error).__name__})") from None
        if not isinstance(found, dict):
            raise self._build_error("its answer is no object")
        return found

    def _build_error(self, reason: str) -> APIError:
        return APIError("server.oidc_failed", status=502, provider=self.provider.name, reason=reason)


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow no redirect: it could carry the code, or the secret, to somebody else."""


def is_safe_address(url: str) -> bool:
    """Return whether an address is encrypted, or that of a provider on this machine."""
    from genloom.server.config import is_loopback

    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    )
