"""Says to the site what a program says: gathered for half a second, sent by a thread, repeated while the site is away."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

# httpx imports its own command line where click is there, and rich by that: two thirds of its import.
_click: ModuleType | None = sys.modules.get("click")
if _click is None:
    sys.modules["click"] = None  # type: ignore[assignment]  # makes its import fail
try:
    import httpx
finally:
    if _click is None:
        del sys.modules["click"]

EVERY_S = 0.5
HEARTBEAT_S = 10.0
LAST_WORDS_S = 120.0  # so long the end of a program waits for a site that is away
MOST_POINTS = 5000  # in one report
_SILENT = logging.getLogger("httpx")


class Refused(Exception):
    """The site does not take what was sent."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Reporter:
    """``on_cancel`` is called, from its thread, when somebody wants the run to end."""

    def __init__(self, url: str, token: str, on_cancel: Callable[[], None]) -> None:
        _SILENT.setLevel(logging.WARNING)  # a program's log is its own
        self.url = url
        self.client = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30.0, trust_env=False)
        self._on_cancel = on_cancel
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._points: list[list[Any]] = []
        self._notes: list[str] = []
        self._facts: dict[str, Any] = {}
        self._pid = os.getpid()
        self._told_to_end = False
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def point(self, step: int, values: Mapping[str, float]) -> None:
        if os.getpid() != self._pid:  # a forked worker speaks through its parent, or not at all
            return
        with self._lock:
            for name, value in values.items():
                number = float(value)
                self._points.append([name, int(step), number if math.isfinite(number) else None])

    def note(self, text: str) -> None:
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._notes.append(text)

    def say(self, **facts: Any) -> None:
        """The last word for each name holds."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._facts |= facts

    def call(self, method: str, path: str, body: Any = None, *, patience_s: float = LAST_WORDS_S) -> Any:
        """One call about this run, repeated while the site is away.

        Raises:
            Refused
        """
        give_up, pause_s = time.monotonic() + patience_s, 0.2
        while True:
            try:
                answer = self.client.request(method, self.url + path, json=body)
            except httpx.HTTPError as exc:
                why: Exception = exc
            else:
                if answer.status_code < 400:
                    return answer.json() if answer.content else None
                if answer.status_code not in (429, 500, 502, 503, 504):
                    raise Refused(answer.status_code, _words(answer))
                why = Refused(answer.status_code, _words(answer))
            if time.monotonic() > give_up:
                raise Refused(getattr(why, "status", 0), f"the site is away: {why}") from why
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 5.0)

    def flush(self, *, patience_s: float = LAST_WORDS_S) -> None:
        """Send what there is, now. Raises: Refused."""
        with self._sending:
            while True:
                body = self._take()
                if body is None:
                    return
                answer = self.call("POST", "/report", body, patience_s=patience_s)
                if answer and answer.get("cancel"):
                    self._cancel()

    def close(self, *, patience_s: float = LAST_WORDS_S) -> None:
        """Send the last of it and stop."""
        if os.getpid() != self._pid:
            return
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)
        try:
            self.flush(patience_s=patience_s)
        finally:
            self.client.close()

    def _run(self) -> None:
        beat = time.monotonic()
        while not self._ended.is_set():
            self._wake.wait(EVERY_S)
            try:
                self.flush(patience_s=LAST_WORDS_S * 10)
                if time.monotonic() - beat > HEARTBEAT_S:
                    beat = time.monotonic()
                    answer = self.call("POST", "/report", {}, patience_s=LAST_WORDS_S * 10)
                    if answer and answer.get("cancel"):
                        self._cancel()
            except Refused as exc:
                if exc.status in (401, 403, 404):  # the run is over for the site: its token is no more
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                logging.getLogger("headwater.run").warning("a report was not taken: %s", exc)
            except (ValueError, TypeError) as exc:  # something in it is no JSON: the rest goes on being said
                logging.getLogger("headwater.run").warning("a report could not be written: %s", exc)

    def _cancel(self) -> None:
        if not self._told_to_end:
            self._told_to_end = True
            self._on_cancel()

    def _take(self) -> dict[str, Any] | None:
        with self._lock:
            if not (self._points or self._notes or self._facts):
                return None
            body: dict[str, Any] = self._facts
            self._facts = {}
            if self._points:
                body["points"], self._points = self._points[:MOST_POINTS], self._points[MOST_POINTS:]
            if self._notes:
                body["notes"], self._notes = self._notes[:100], self._notes[100:]
            return body


def _words(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the site answered with {answer.status_code}"
