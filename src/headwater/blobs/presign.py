"""AWS signature version 4 in the query of an address: whoever has the link may do that one thing until it expires.

obstore signs links, too, but neither headers (a link bound to one range), nor the answer's headers, nor one part of a
multipart upload. Source: AWS Signature Version 4, "Authenticating Requests: Using Query Parameters".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

MAX_EXPIRES_S = 7 * 24 * 3600  # of the signature's own rules


@dataclass(frozen=True)
class Signer:
    """For one bucket. ``endpoint`` has no trailing slash; addresses are ``endpoint/bucket/key``."""

    endpoint: str
    bucket: str
    region: str
    key_id: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def sign(
        self,
        method: str,
        key: str,
        *,
        now: datetime,
        expires_s: int,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """The address for one ``method`` on one key ("" is the bucket itself).

        Args:
            headers: lower-case names; the request must carry exactly these.
        """
        stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        signed = {"host": urlsplit(self.endpoint).netloc, **(headers or {})}
        names = ";".join(sorted(signed))
        values = {
            **(query or {}),
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.key_id}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(min(expires_s, MAX_EXPIRES_S)),
            "X-Amz-SignedHeaders": names,
        }
        if self.token is not None:
            values["X-Amz-Security-Token"] = self.token
        text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(values.items()))
        path = quote(f"/{self.bucket}/{key}".rstrip("/"), safe="/-_.~")
        lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
        canonical = f"{method}\n{path}\n{text}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = hmac.new(
            self._key(stamp[:8]), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}".encode(), hashlib.sha256
        ).hexdigest()
        return f"{self.endpoint}{path}?{text}&X-Amz-Signature={signature}"

    def _key(self, day: str) -> bytes:
        key = f"AWS4{self.secret_key}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), hashlib.sha256)
        return key
