"""A small real OpenID Connect issuer on 127.0.0.1: discovery, authorize, token (PKCE checked), jwks with RS256, userinfo.

Whoever comes to ``/authorize`` is ``issuer.person`` at once: they signed in there at ``signed_in_at``, and do so again where they
are asked to (``prompt=login``, ``max_age``), unless it ``asks_nobody``. Tests bend what it says through ``twist``: claims that
replace those of the id_token (None takes one away), or ``algorithm`` to sign otherwise.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey


class Issuer:
    """Use as a context manager; ``url`` is the issuer."""

    client_id = "headwater-tests"
    client_secret = "a+secret:with %41 in it"

    def __init__(self) -> None:
        self.person: dict[str, Any] = {"sub": "u-1", "preferred_username": "mei", "name": "Mei Lin", "email": "m@x.org"}
        self.twist: dict[str, Any] = {}
        self.algorithm = "RS256"
        self.signed_in_at = int(time.time())
        self.asks_nobody = False
        self.claims_only_in_userinfo = False
        self.userinfo_twist: dict[str, Any] = {}
        self.answer_issuer: str | None = None
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._tokens: dict[str, dict[str, Any]] = {}
        self.rotate_key()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def settings(self, **more: str) -> dict[str, str]:
        """What a site that uses this issuer is set to."""
        return {"issuer": self.url, "client_id": self.client_id, "client_secret": self.client_secret, **more}

    def rotate_key(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig"}, private=True)

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def _authorize(self, query: dict[str, str]) -> str:
        assert query["response_type"] == "code"
        assert query["client_id"] == self.client_id
        assert "openid" in query["scope"].split()
        assert query["code_challenge_method"] == "S256"
        too_old = "max_age" in query and time.time() - self.signed_in_at >= int(query["max_age"])
        if (query.get("prompt") == "login" or too_old) and not self.asks_nobody:
            self.signed_in_at = int(time.time())
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        answer = {"code": code, "state": query["state"]}
        if self.answer_issuer is not None:
            answer["iss"] = self.answer_issuer
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def _token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if (unquote_plus(user), unquote_plus(password)) != (self.client_id, self.client_secret):
            return 401, {"error": "invalid_client"}
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        access = secrets.token_urlsafe(16)
        self._tokens[access] = {**self.person, **self.userinfo_twist}
        return 200, {"access_token": access, "token_type": "Bearer", "id_token": self._id_token(asked["nonce"])}

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        person = {"sub": self.person["sub"]} if self.claims_only_in_userinfo else self.person
        claims = {"iss": self.url, "aud": self.client_id, "iat": now, "exp": now + 300, "nonce": nonce, **person}
        claims["auth_time"] = self.signed_in_at
        claims = {name: value for name, value in {**claims, **self.twist}.items() if value is not None}
        if self.algorithm == "none":
            return _signed({"alg": "none", "typ": "JWT"}, claims, lambda _: b"")
        if self.algorithm == "HS256":  # the known trick: the public key taken for a shared secret
            key = self.key.as_pem(private=False)
            return _signed({"alg": "HS256", "kid": self.key.kid}, claims, lambda m: hmac.digest(key, m, "sha256"))
        if self.algorithm == "other key":
            return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, RSAKey.generate_key(2048))
        return jwt.encode({"alg": self.algorithm, "kid": self.key.kid}, claims, self.key)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                issuer.asked.append(parts.path)
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                if parts.path == "/.well-known/openid-configuration":
                    self._answer(200, issuer._discovery())
                elif parts.path == "/jwks":
                    self._answer(200, KeySet([issuer.key]).as_dict(private=False))
                elif parts.path == "/authorize":
                    self.send_response(302)
                    self.send_header("Location", issuer._authorize(query))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif parts.path == "/userinfo":
                    token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                    found = issuer._tokens.get(token)
                    self._answer(401 if found is None else 200, found or {"error": "invalid_token"})
                else:
                    self._answer(404, {"error": "not_found"})

            def do_POST(self) -> None:
                issuer.asked.append(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[-1] for name, values in parse_qs(body).items()}
                self._answer(*issuer._token(form, self.headers.get("Authorization", "")))

            def _answer(self, status: int, value: dict[str, Any]) -> None:
                body = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        return Handler


def _signed(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A token made by hand, as no library makes it."""

    def text(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    message = ".".join(text(json.dumps(part).encode()) for part in (header, claims))
    return f"{message}.{text(sign(message.encode()))}"
