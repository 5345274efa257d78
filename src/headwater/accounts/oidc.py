"""OpenID Connect as a relying party: Authorization Code with PKCE, state and nonce. No database here.

What travels through the browser between leaving and coming back is one signed cookie, so any worker can finish what another
began. An id_token is taken only after, in this order:

1. its algorithm is one of the asymmetric ones below, never ``none`` or a shared secret;
2. its signature is by a key that the issuer publishes now;
3. ``iss`` is the issuer, ``aud`` this site (and ``azp``, if there is one), ``exp`` is ahead and ``iat`` behind us;
4. ``nonce`` is the one that this browser left with;
5. where the person was to show anew who they are, ``auth_time`` says that they did so since they left. That the other site was
   asked to ask is not enough: whoever holds the browser can change the question on its way.

Source: OpenID Connect Core 1.0, sections 3.1.2.1 (``prompt``, ``max_age``), 2 (``auth_time``) and 3.1.3.7; RFC 7636 (PKCE);
RFC 9207 (iss in the answer).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import quote_plus, urlencode, urlsplit

from headwater.accounts import credentials
from headwater.accounts.errors import OidcProofRefused, OidcRefused, OidcUnavailable
from headwater.accounts.settings import OidcSettings

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

CALLBACK_PATH = "/login/oidc/callback"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
JOURNEY_S = 600
LEEWAY_S = 60  # between two clocks
ROUNDING_S = 2  # of times in whole seconds
METADATA_S, KEYS_S, KEYS_AGAIN_S = 3600, 3600, 10
TIMEOUT_S = 10.0
ANSWER_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class Journey:
    """What must be the same when the browser comes back; kept in its signed cookie."""

    state: str
    nonce: str
    verifier: str
    next_url: str
    started_at: int
    link_secret: str = ""  # the invitation that the person came with
    for_account: int = 0  # a signed-in person who adds this way of signing in
    proves_session: str = ""  # the session whose person shows anew who they are


@dataclass(frozen=True)
class Claims:
    """Who the issuer says came."""

    issuer: str
    subject: str
    name: str
    full_name: str
    email: str | None
    authenticated_at_s: int | None = None  # when the person last showed there who they are, if the issuer says


class OidcClient:
    """One issuer and what it published, remembered for a while. Calls block: use it from a worker thread."""

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def address_for(self, journey: Journey, *, redirect_uri: str) -> str:
        """Where to send the browser. Where it goes to prove a session, who is signed in there shall show again who they are.

        Raises:
            OidcUnavailable: the issuer does not answer, or not as one.
        """
        challenge = base64.urlsafe_b64encode(hashlib.sha256(journey.verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(dict.fromkeys(["openid", *self.settings.scopes.split()])),
            "state": journey.state,
            "nonce": journey.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **({"prompt": "login", "max_age": "0"} if journey.proves_session else {}),
        }
        endpoint = self._endpoint("authorization_endpoint")
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def claims_for(self, journey: Journey, query: Mapping[str, str], *, redirect_uri: str, now_s: int) -> Claims:
        """Who came back, after every check above.

        Raises:
            OidcRefused: the answer is an error, is not for this browser, or does not prove who they are.
            OidcProofRefused: it does not prove that they showed it since they left, where that was asked for.
            OidcUnavailable: the issuer does not answer, or not as one.
        """
        if not hmac.compare_digest(query.get("state", "").encode(), journey.state.encode()):
            raise OidcRefused("the answer belongs to another browser or another attempt.")
        if query.get("error"):
            raise OidcRefused(f"it answered {query['error'][:100]!r}.")
        issuer = str(self._read_metadata()["issuer"])
        if query.get("iss", issuer) != issuer:
            raise OidcRefused("the answer came from another issuer.")
        if not query.get("code"):
            raise OidcRefused("the answer holds no code.")
        tokens = self._exchange(query["code"], journey.verifier, redirect_uri)
        claims = self._verified(str(tokens.get("id_token", "")), journey.nonce, now_s=now_s)
        if self.settings.name_claim not in claims and self._read_metadata().get("userinfo_endpoint"):
            claims = {**self._userinfo(str(tokens.get("access_token", "")), claims["sub"]), **claims}
        if journey.proves_session:
            _require_shown_since(journey.started_at, claims, now_s=now_s)
        email = claims.get("email")
        authenticated = claims.get("auth_time")
        return Claims(
            issuer=issuer,
            subject=claims["sub"],
            name=str(claims.get(self.settings.name_claim) or ""),
            full_name=str(claims.get("name") or ""),
            email=email if isinstance(email, str) else None,
            authenticated_at_s=int(authenticated) if _is_time(authenticated) else None,
        )

    def _verified(self, id_token: str, nonce: str, *, now_s: int) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            token = jwt.decode(id_token, self._find_keys(id_token), algorithms=list(ALGORITHMS))
        except (JoseError, ValueError) as exc:
            raise OidcRefused("its id_token is not signed as it must be.") from exc
        claims = dict(token.claims)
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self._read_metadata()["issuer"]:
            raise OidcRefused("its id_token is from another issuer.")
        if self.settings.client_id not in audiences:
            raise OidcRefused("its id_token is meant for another site.")
        if claims.get("azp", self.settings.client_id) != self.settings.client_id or (
            len(audiences) > 1 and "azp" not in claims
        ):
            raise OidcRefused("its id_token was given to another site.")
        expires, issued = claims.get("exp"), claims.get("iat")
        if not isinstance(expires, int | float) or expires + LEEWAY_S <= now_s:
            raise OidcRefused("its id_token has expired.")
        if not isinstance(issued, int | float) or issued - LEEWAY_S > now_s:
            raise OidcRefused("its id_token is from the future; one of the two clocks is wrong.")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise OidcRefused("its id_token belongs to another attempt.")
        if not isinstance(claims.get("sub"), str) or not 0 < len(claims["sub"]) <= 255:
            raise OidcRefused("its id_token names nobody.")
        return claims

    def _exchange(self, code: str, verifier: str, redirect_uri: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
            "client_id": self.settings.client_id,
        }
        secret = self.settings.client_secret
        methods = self._read_metadata().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        basic = None
        if secret and "client_secret_basic" in methods:
            basic = (quote_plus(self.settings.client_id), quote_plus(secret))  # RFC 6749, 2.3.1
            del form["client_id"]
        elif secret:
            form["client_secret"] = secret
        status, answer = self._ask("POST", self._endpoint("token_endpoint"), data=form, auth=basic)
        if status != 200:
            raise OidcRefused(f"it did not accept the code ({str(answer.get('error', status))[:100]}).")
        return answer

    def _userinfo(self, access_token: str, subject: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {access_token}"}
        status, answer = self._ask("GET", self._endpoint("userinfo_endpoint"), headers=headers)
        if status != 200 or answer.get("sub") != subject:
            raise OidcRefused("its description of the person is of someone else.")
        return answer

    def _read_metadata(self) -> dict[str, Any]:
        with self._lock:
            if self._metadata is not None and time.monotonic() - self._metadata[0] < METADATA_S:
                return self._metadata[1]
        issuer = self.settings.issuer
        status, found = self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if status != 200:
            raise OidcUnavailable(f"{issuer} has no openid-configuration (status {status}).")
        if str(found.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
            raise OidcUnavailable(f"{issuer} calls itself {found.get('issuer')!r}; set the issuer to exactly that.")
        with self._lock:
            self._metadata = (time.monotonic(), found)
        return found

    def _endpoint(self, name: str) -> str:
        found = self._read_metadata().get(name)
        if not isinstance(found, str) or not found.startswith(("https://", "http://")):
            raise OidcUnavailable(f"the issuer names no {name}.")
        if found.startswith("http://") and not _is_loopback(found):
            raise OidcUnavailable(f"the issuer's {name} is not encrypted.")
        return found

    def _find_keys(self, id_token: str) -> KeySet:
        """The issuer's keys; asked for again when the token names one that is not among those remembered."""
        from joserfc.jwk import KeySet

        try:
            header = json.loads(base64.urlsafe_b64decode(id_token.partition(".")[0] + "=="))
            kid = header.get("kid")
        except (ValueError, AttributeError) as exc:
            raise OidcRefused("its id_token is none.") from exc
        with self._lock:
            kept = self._keys
        age = time.monotonic() - kept[0] if kept else 0.0
        if kept and age < KEYS_S and (age < KEYS_AGAIN_S or kid is None or kid in {key.kid for key in kept[1].keys}):
            return kept[1]
        status, answer = self._ask("GET", self._endpoint("jwks_uri"))
        if status != 200:
            raise OidcUnavailable(f"the issuer's keys cannot be read (status {status}).")
        keys = [key for key in answer.get("keys", []) if isinstance(key, dict) and key.get("kty") != "oct"]
        try:
            found = KeySet.import_key_set({"keys": keys})
        except Exception as exc:  # the library raises many kinds for a malformed key
            raise OidcUnavailable("the issuer's keys are malformed.") from exc
        with self._lock:
            self._keys = (time.monotonic(), found)
        return found

    def _ask(self, method: str, url: str, **kwargs: Any) -> tuple[int, dict[str, Any]]:
        import httpx

        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        try:
            with (
                httpx.Client(timeout=TIMEOUT_S, trust_env=not _is_loopback(url)) as client,
                client.stream(method, url, **kwargs) as answer,
            ):
                body = b""
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > ANSWER_LIMIT_BYTES:
                        raise OidcUnavailable("its answer is too large.")
                status = answer.status_code
        except httpx.HTTPError as exc:
            raise OidcUnavailable(f"{urlsplit(url).netloc} does not answer ({type(exc).__name__}).") from exc
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            if status == 200:
                raise OidcUnavailable(f"{urlsplit(url).netloc} answered with something that is not JSON.")
            value = {}
        return status, value


def new_journey(
    *, next_url: str, now_s: int, link_secret: str = "", for_account: int = 0, proves_session: str = ""
) -> Journey:
    """A fresh attempt to sign in."""
    return Journey(
        state=credentials.new_secret(),
        nonce=credentials.new_secret(),
        verifier=credentials.new_secret() + credentials.new_secret(),
        next_url=next_url,
        started_at=now_s,
        link_secret=link_secret,
        for_account=for_account,
        proves_session=proves_session,
    )


def pack_journey(journey: Journey, site_secret: bytes) -> str:
    """The cookie's value: readable by the browser's owner, made by nobody but this site."""
    body = base64.urlsafe_b64encode(json.dumps(asdict(journey)).encode()).decode().rstrip("=")
    return f"{body}.{_sign(body, site_secret)}"


def unpack_journey(cookie: str, site_secret: bytes, *, now_s: int) -> Journey:
    """The inverse.

    Raises:
        OidcRefused: absent, not ours, or too old.
    """
    body, _, signature = cookie.partition(".")
    if not body or not hmac.compare_digest(signature.encode(), _sign(body, site_secret).encode()):
        raise OidcRefused("this browser did not begin here, or it keeps no cookies.")
    journey = Journey(**json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
    if not 0 <= now_s - journey.started_at <= JOURNEY_S:
        raise OidcRefused("it took too long.")
    return journey


def _sign(text: str, site_secret: bytes) -> str:
    key = hmac.new(site_secret, b"accounts oidc journey", hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _require_shown_since(started_at: int, claims: Mapping[str, Any], *, now_s: int) -> None:
    """Return if the id_token says that its person showed who they are after ``started_at``, when they left here.

    Measured twice: on the issuer's clock alone, from then to when it made the token (no longer than they were away), and
    against our own, with leeway, since some issuers date their tokens back.

    Raises:
        OidcProofRefused.
    """
    shown, issued = claims.get("auth_time"), claims["iat"]
    if not _is_time(shown):
        raise OidcProofRefused("it does not say when you last signed in there (its id_token has no auth_time).")
    if shown > now_s + LEEWAY_S:
        raise OidcProofRefused("it says that you signed in there in the future; one of the two clocks is wrong.")
    if shown < started_at - LEEWAY_S or issued - shown > now_s - started_at + ROUNDING_S:
        raise OidcProofRefused("it took a sign-in of earlier for one of now.")


def _is_time(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 40


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
