"""What an operator may set about accounts: signing in through another site by OpenID Connect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from headwater.kernel import setting


def _check_issuer(value: str) -> str | None:
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.netloc or parts.query or parts.fragment:
        return f"{value!r} is no issuer: give its address, such as https://id.example.edu/realms/lab"
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return f"{value!r} is reached without encryption: only an issuer on this machine may be"
    return None


def _check_creates(value: str) -> str | None:
    return None if value in ("never", "policy", "always") else f"{value!r} is not one of never, policy, always"


@dataclass(frozen=True)
class IdentitySettings:
    section: ClassVar[str] = ""

    secret: str | None = setting(
        None,
        "What signs links and short-lived tokens, at least 32 characters; the same on every host. Without it: the file "
        "`secret` of the data folder, or with PostgreSQL a secret kept there. Better given in the environment.",
        check=lambda value: None if value is None or len(value) >= 32 else "the secret is shorter than 32 characters",
    )


@dataclass(frozen=True)
class OidcSettings:
    section: ClassVar[str] = "oidc"

    issuer: str = setting(
        "", "Address of the OpenID Connect issuer people may sign in through; empty for none.", check=_check_issuer
    )
    client_id: str = setting("", "Client id that the issuer gave this site.")
    client_secret: str = setting("", "Client secret that the issuer gave this site; empty for a public client.")
    scopes: str = setting("openid profile email", "Scopes asked for, separated by spaces.")
    name_claim: str = setting("preferred_username", "Claim that a new person's name here is taken from.")
    label: str = setting("", "What the sign-in button calls the issuer; empty for its host name.")
    creates: str = setting(
        "policy",
        "Whether someone new gets an account: never, policy (only while sign-up is open), always.",
        check=_check_creates,
    )

    @property
    def is_on(self) -> bool:
        return bool(self.issuer and self.client_id)

    @property
    def shown_as(self) -> str:
        return self.label or urlsplit(self.issuer).hostname or self.issuer
