"""Sending what waits for webhooks: signed, timestamped, retried with growing delays, and logged.

Headers: ``X-Webhook-Secret`` (the secret itself, as the public hub sends it), ``X-Headwater-Timestamp`` (unix seconds),
``X-Headwater-Signature`` (``v1=`` + hex HMAC-SHA256 with the secret as key over ``<timestamp>.<body>``),
``X-Headwater-Delivery`` (the same for every retry, so that a receiver can drop repeats). A receiver should recompute the
signature and refuse old timestamps.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import logging
import time
from typing import Any

import headwater
from headwater.db import Tx
from headwater.hub.community.errors import AddressRefused
from headwater.hub.community.models import Delivery, Webhook
from headwater.hub.community.outbound import Allowed, Answer, post
from headwater.hub.community.settings import WebhookSettings
from headwater.hub.community.store import webhooks as store
from headwater.kernel import utcnow
from headwater.web import Site

MAX_ATTEMPTS = 6
RETRY_AFTER_S = (5, 30, 120, 600, 3600)
DISABLE_AFTER = 20
KEPT_ANSWER_CHARS = 500
PAYLOAD_VERSION = 3  # what huggingface_hub's WebhookPayload accepts

_log = logging.getLogger("headwater.hub.webhooks")


def send_webhook(site: Site, payload: dict[str, Any]) -> None:
    """Job: make one attempt at one delivery, and put the next into the queue when it failed.

    The delays are ours and not the queue's, so that a receiver that is down is no failed job.
    """
    delivery, hook = site.db.read(_find, payload["delivery_id"])
    if delivery is None or hook is None or hook.is_disabled or delivery.state != "waiting":
        return
    body = render_payload(site, delivery, hook)
    started = time.monotonic()
    status: int | None = None
    try:
        answer = post(hook.url, body, sign(hook, delivery, body, int(utcnow().timestamp())), allowed=_allowed(site))
    except AddressRefused as exc:
        outcome, again, delivered = exc.message, False, False
    except (OSError, http.client.HTTPException, ValueError) as exc:
        outcome, again, delivered = f"{type(exc).__name__}: {exc}", True, False
    else:
        status, delivered = answer.status, answer.is_success
        outcome, again = _excerpt(answer), not delivered and status != 410  # 410: the receiver wants no more of it
    again = again and delivery.n_attempts + 1 < MAX_ATTEMPTS
    duration_ms = int((time.monotonic() - started) * 1000)
    site.db.write(
        _record, delivery, delivered=delivered, again=again, status=status, outcome=outcome, duration_ms=duration_ms
    )
    _log.info(
        "webhook.sent id=%s attempt=%s status=%s duration_ms=%s",
        delivery.public_id,
        delivery.n_attempts + 1,
        status,
        duration_ms,
    )


def sign(hook: Webhook, delivery: Delivery, body: bytes, timestamp: int) -> dict[str, str]:
    """The headers of one attempt."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"headwater/{headwater.__version__}",
        "X-Headwater-Delivery": delivery.public_id,
        "X-Headwater-Timestamp": str(timestamp),
    }
    if hook.secret is not None:
        digest = hmac.new(hook.secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        headers["X-Headwater-Signature"] = f"v1={digest}"
        headers["X-Webhook-Secret"] = hook.secret
    return headers


def render_payload(site: Site, delivery: Delivery, hook: Webhook) -> bytes:
    """The body as huggingface_hub's ``WebhookPayload`` reads it: what happened, with this site's addresses."""
    told = json.loads(json.dumps(delivery.facts))
    repo = told["repo"]
    path = repo.pop("path")
    page = f"{site.base_url}/{path}"
    api = f"{site.base_url}/api/{repo['type']}s/{repo['name']}"
    repo["url"] = {"web": page, "api": api}
    if (discussion := told.get("discussion")) is not None:
        address = f"/discussions/{discussion['num']}"
        discussion["url"] = {"web": page + address, "api": api + address}
        if (comment := told.get("comment")) is not None:
            comment["url"] = {"web": f"{page}{address}#{comment['id']}"}
    told["webhook"] = {"id": hook.public_id, "version": PAYLOAD_VERSION}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def _allowed(site: Site) -> Allowed:
    return Allowed.parse(site.settings.of(WebhookSettings).allow)


def _find(tx: Tx, delivery_id: int) -> tuple[Delivery | None, Webhook | None]:
    delivery = store.find_delivery(tx, delivery_id)
    return delivery, None if delivery is None else store.find_webhook_by_id(tx, delivery.webhook_id)


def _record(
    tx: Tx, delivery: Delivery, *, delivered: bool, again: bool, status: int | None, outcome: str, duration_ms: int
) -> None:
    from headwater import queue
    from headwater.hub.community.webhooks import SEND_WEBHOOK

    now = utcnow()
    state = "done" if delivered else "waiting" if again else "failed"
    store.record_attempt(
        tx,
        delivery,
        state=state,
        http_status=status,
        answer=outcome[:KEPT_ANSWER_CHARS].replace("\0", "\ufffd"),  # NUL is in no text of PostgreSQL
        duration_ms=duration_ms,
        now=now,
    )
    if again:
        delay_s = RETRY_AFTER_S[min(delivery.n_attempts, len(RETRY_AFTER_S) - 1)]
        queue.put(tx, SEND_WEBHOOK, {"delivery_id": delivery.id}, delay_s=delay_s, now=now)
    else:
        store.record_outcome(tx, delivery.webhook_id, delivered=delivered, disable_after=DISABLE_AFTER)


def _excerpt(answer: Answer) -> str:
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in answer.text)
