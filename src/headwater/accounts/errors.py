"""How acts on accounts may be refused."""

from headwater.kernel import HeadwaterError, Kind


class NotAllowed(HeadwaterError):
    """The thing may be seen, the act may not be done."""

    code = "not_allowed"
    kind = Kind.NOT_ALLOWED


class NotSignedIn(HeadwaterError):
    code = "not_signed_in"
    kind = Kind.NOT_AUTHENTICATED

    def __init__(self, message: str = "This needs a signed-in person. Sign in, or send a token.") -> None:
        super().__init__(message)


class BadCredential(HeadwaterError):
    """A token or password that is wrong, expired or revoked. Which of these is not told."""

    code = "bad_credential"
    kind = Kind.NOT_AUTHENTICATED

    def __init__(self) -> None:
        # huggingface_hub matches this text exactly (utils/_http.py) to tell a bad token from a missing repository.
        super().__init__("Invalid credentials in Authorization header")


class Hidden(HeadwaterError):
    """``actor`` may not know that the thing exists; callers turn this into their own "not found"."""

    code = "hidden"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("There is no such thing here, or you may not see it.")


class GateClosed(HeadwaterError):
    """The repository is visible, its files need access that has not been granted."""

    code = "gate_closed"
    kind = Kind.NOT_ALLOWED

    def __init__(self, *, asked: bool, signed_in: bool) -> None:
        self.asked, self.signed_in = asked, signed_in
        super().__init__("Access to the files is granted on request.")


class Disabled(HeadwaterError):
    """The site's administrators have closed the repository."""

    code = "disabled"
    kind = Kind.NOT_ALLOWED

    def __init__(self) -> None:
        # huggingface_hub matches this text exactly (utils/_http.py) to raise DisabledRepoError.
        super().__init__("Access to this resource is disabled.")


class BadAccountName(HeadwaterError):
    code = "bad_account_name"
    kind = Kind.BAD_INPUT

    def __init__(self, name: str, why: str) -> None:
        self.why = why
        super().__init__(f"{name!r} cannot be a name: {why}")


class AccountNameTaken(HeadwaterError):
    code = "account_name_taken"
    kind = Kind.CONFLICT

    def __init__(self, name: str) -> None:
        super().__init__(f"The name {name!r} is already used here, or was once. Choose another.")


class AccountNotFound(HeadwaterError):
    code = "account_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no account named {name!r} here. `headwater user list` shows all people.")


class NotAPerson(HeadwaterError):
    code = "not_a_person"
    kind = Kind.BAD_INPUT

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is an organisation. Name one of its members.")


class NotAnOrganisation(HeadwaterError):
    code = "not_an_organisation"
    kind = Kind.BAD_INPUT

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is a person, not an organisation.")


class LastAdmin(HeadwaterError):
    code = "last_admin"
    kind = Kind.CONFLICT

    def __init__(self, of: str) -> None:
        super().__init__(f"{of} would be left without an administrator. Make someone else one first.")


class WeakPassword(HeadwaterError):
    code = "weak_password"
    kind = Kind.BAD_INPUT


class SignInFailed(HeadwaterError):
    """Unknown name, wrong password or suspended account. Which of these is not told."""

    code = "sign_in_failed"
    kind = Kind.NOT_AUTHENTICATED

    def __init__(self) -> None:
        super().__init__("This name and password do not fit. An administrator can make a link to set a new password.")


class SecondStepOver(HeadwaterError):
    """Too long between the password and what comes after it, or the password was changed meanwhile."""

    code = "second_step_over"
    kind = Kind.NOT_AUTHENTICATED

    def __init__(self) -> None:
        super().__init__("Too much time has passed since the first step. Start again from the sign-in page.")


class SecondFactorRefused(HeadwaterError):
    """A code or passkey that does not fit, or was used before. Which of these is not told."""

    code = "second_factor_refused"
    kind = Kind.NOT_AUTHENTICATED

    def __init__(self) -> None:
        super().__init__(
            "This code or passkey does not fit, or was used before. Wait for the next code, or use another."
        )


class PasskeyRefused(HeadwaterError):
    """An authenticator's answer that proves nothing here."""

    code = "passkey_refused"
    kind = Kind.NOT_AUTHENTICATED

    def __init__(self, why: str) -> None:
        super().__init__(f"The passkey cannot be used here: {why} Reload the page and try again, or use another way.")


class NoPasskeysHere(HeadwaterError):
    """Browsers give passkeys to hosts with a name, over an encrypted connection."""

    code = "no_passkeys_here"
    kind = Kind.BAD_INPUT

    def __init__(self) -> None:
        super().__init__(
            "Passkeys need this site to have a host name and https (or to be opened as http://localhost). "
            "Use an authenticator app instead."
        )


class BadSecondFactor(HeadwaterError):
    """A second factor cannot be set up so."""

    code = "bad_second_factor"
    kind = Kind.BAD_INPUT


class ProofNeeded(HeadwaterError):
    """The act asks for a fresh proof of who is signed in.

    ``ways`` is what the person can show: "totp", "passkey" and "recovery", else "password", else "other_site". A page asks for it and then
    goes on with the act; a program uses a token.
    """

    code = "proof_needed"
    kind = Kind.NOT_ALLOWED

    def __init__(self, ways: frozenset[str], passkeys: tuple[tuple[str, bytes], ...] = ()) -> None:
        self.ways, self.passkeys = ways, passkeys
        super().__init__(
            "This act needs a fresh proof that it is you. Confirm at /settings/confirm, then try again; "
            "programs use an access token."
        )

    def passkeys_for(self, rp_id: str) -> tuple[bytes, ...]:
        """The person's passkeys that belong to a host name."""
        return tuple(each for host, each in self.passkeys if host == rp_id)


class TooManyAttempts(HeadwaterError):
    code = "too_many_attempts"
    kind = Kind.TOO_MANY

    def __init__(self, wait_s: int) -> None:
        self.wait_s = wait_s
        super().__init__(
            f"Too many attempts to sign in. Wait {wait_s} seconds, then try again.",
            headers={"Retry-After": str(wait_s)},
        )


class SignUpClosed(HeadwaterError):
    code = "sign_up_closed"
    kind = Kind.NOT_ALLOWED

    def __init__(self) -> None:
        super().__init__("This site does not take sign-ups without an invitation. Ask one of its administrators.")


class LinkInvalid(HeadwaterError):
    code = "link_invalid"
    kind = Kind.GONE

    def __init__(self) -> None:
        super().__init__("This link was used before, has expired, or was never given out. Ask for a new one.")


class TokenNotFound(HeadwaterError):
    code = "token_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("This person has no such token. List the tokens for their numbers.")


class BadTokenRequest(HeadwaterError):
    code = "bad_token_request"
    kind = Kind.BAD_INPUT


class NotGated(HeadwaterError):
    code = "not_gated"
    kind = Kind.BAD_INPUT

    def __init__(self) -> None:
        super().__init__("This repository is not gated: there is nothing to request or to grant.")


class AccessAlreadyHandled(HeadwaterError):
    code = "access_already_handled"
    kind = Kind.BAD_INPUT

    def __init__(self, status: str) -> None:
        super().__init__(f"This access request is already {status}.")


class AccessRequestNotFound(HeadwaterError):
    code = "access_request_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("There is no such access request for this repository.")


class OidcRefused(HeadwaterError):
    """The other site's answer cannot be taken as a sign-in."""

    code = "oidc_refused"
    kind = Kind.NOT_AUTHENTICATED

    def __init__(self, why: str) -> None:
        super().__init__(f"Signing in through the other site failed: {why} Start again from the sign-in page.")


class OidcProofRefused(HeadwaterError):
    """The other site's answer does not show that somebody signed in there just now."""

    code = "oidc_proof_refused"
    kind = Kind.NOT_AUTHENTICATED

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The other site did not show that it is you: {why} Try again; if it never can, ask an administrator here for a "
            "link to set a password, which can be asked for instead."
        )


class OidcUnavailable(HeadwaterError):
    code = "oidc_unavailable"
    kind = Kind.UNAVAILABLE

    def __init__(self, why: str) -> None:
        super().__init__(f"The sign-in service cannot be used now: {why}")


class BadSetting(HeadwaterError):
    code = "bad_account_setting"
    kind = Kind.BAD_INPUT


class CodeNotFound(HeadwaterError):
    """A code of a program that waits: mistyped, expired, or answered already."""

    code = "device_code_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("No program waits under this code. Compare it with what the program shows, or start again.")


class TooManyCodes(HeadwaterError):
    code = "too_many_device_codes"
    kind = Kind.TOO_MANY

    def __init__(self) -> None:
        super().__init__("Too many programs wait to be signed in. Try again in a quarter of an hour, or use a token.")
