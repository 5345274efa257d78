"""An S3-compatible store: objects by obstore, links and multipart uploads by ``s3calls``.

What one request takes and how often it is tried is bounded by settings; what is asked of the store and does not come ends
in ``StoreAway``. Lengths are checked here; digests by whoever knows them.
"""

from __future__ import annotations

import email.utils
import errno
import hashlib
import logging
import os
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headwater.blobs.errors import ObjectDamaged, StoreAway, StoreDriverMissing, StoreOfAnotherSite, StoreRefused
from headwater.blobs.folder import refusing_when_full
from headwater.blobs.localcache import LocalCache
from headwater.blobs.metrics import calling
from headwater.blobs.presign import Signer
from headwater.blobs.s3calls import Answer, S3Calls
from headwater.blobs.settings import S3Settings
from headwater.blobs.store import PROBE_S, StoredObject
from headwater.kernel import Sha256

STEP_BYTES = 1 << 20  # of what is passed on to a client
FETCH_BYTES = 8 << 20  # of what is fetched to a local file, and sent as one part
FETCHES = 4  # at once, of one object
AHEAD = 3  # blocks of an object that is read in order
MAX_OBJECT_PARTS = 9000
_log = logging.getLogger("headwater.blobs")

_DIGEST = re.compile(r"sha256/../../([0-9a-f]{64})(?:\.\d+)?")
SITE_OBJECT = "headwater-site.json"
_STATUS = re.compile(r"status(?: code)?: (\d{3})")
MAX_SKEW_S = 14 * 60  # beyond a quarter of an hour stores refuse every signature


@dataclass(frozen=True)
class ObjectSource:
    """One object, range by range."""

    store: S3Store
    key: str
    size_bytes: int
    is_local = False

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """A whole object whose key says its digest is checked on the way; its last piece comes only if it is right.

        Raises:
            ObjectDamaged: the store gave other bytes.
        """
        claimed = _DIGEST.fullmatch(self.key) if (start, end) == (0, self.size_bytes) else None
        hasher = hashlib.sha256()
        while start < end:
            stop = min(start + STEP_BYTES, end)
            data = self.store.read_range(self.key, start, stop)
            if claimed is not None:
                hasher.update(data)
            is_wrong = claimed is not None and stop == end and hasher.hexdigest() != claimed[1]
            if is_wrong or len(data) < stop - start:
                _log.error("store.damaged", extra={"key": self.key})
                raise ObjectDamaged(self.key)
            yield data
            start = stop

    def signed_url(
        self, *, expires_s: int, disposition: str | None = None, media_type: str | None = None
    ) -> str | None:
        return self.store.signed_url(self.key, expires_s=expires_s, disposition=disposition, media_type=media_type)


class S3Store:
    """``place`` is s3://bucket[/prefix]. Opens nothing before it is used; not to be carried over a fork."""

    is_remote = True

    def __init__(self, place: str, settings: S3Settings, cache_dir: Path, *, cache_bytes: int = 5 << 30) -> None:
        parts = urlsplit(place)
        self.place = place.rstrip("/")
        self._bucket, prefix = parts.netloc, parts.path.strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._settings = settings
        # What the store's own tools read, where nothing else was set.
        environ = os.environ
        region = settings.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        endpoint = (settings.endpoint or f"https://s3.{region}.amazonaws.com").rstrip("/")
        self._signer = Signer(
            endpoint,
            self._bucket,
            region,
            settings.key_id or environ.get("AWS_ACCESS_KEY_ID", ""),
            settings.secret_key or environ.get("AWS_SECRET_ACCESS_KEY", ""),
            None if settings.key_id else environ.get("AWS_SESSION_TOKEN"),
        )
        public = self._signer
        if settings.public_endpoint:
            public = Signer(settings.public_endpoint.rstrip("/"), *_facts(self._signer))
        self.calls = S3Calls(self._signer, public, self._prefix, timeout_s=settings.timeout_s, direct=settings.direct)
        self._tmp = cache_dir / "tmp"
        self._cache = LocalCache(cache_dir / "objects", cache_bytes)
        self._store: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    @property
    def multipart(self) -> S3Calls:
        return self.calls

    @property
    def tmp(self) -> Path:
        # Below the cache, which may be emptied at any time.
        self._tmp.mkdir(parents=True, exist_ok=True)
        return self._tmp

    def ensure(self) -> None:
        """Whether the store can be used as it is set up.

        Raises:
            StoreDriverMissing, StoreRefused
        """
        self._obstore()
        if not self._signer.key_id or not self._signer.secret_key:
            raise StoreRefused(
                self.place,
                "no keys are given. Set HEADWATER_S3_KEY_ID and HEADWATER_S3_SECRET_KEY, or AWS's own names.",
            )
        with refusing_when_full():
            _ = self.tmp
        query = {"list-type": "2", "max-keys": "1", "prefix": self._prefix}
        try:
            answer = self.calls.call("GET", "", query=query, in_bucket=True, counted="probe")
        except StoreAway as exc:
            where = self._signer.endpoint
            raise StoreRefused(self.place, f"{where} does not answer as a store does. {exc.message}") from exc
        skew = _skew_s(answer)
        if skew is not None and abs(skew) > MAX_SKEW_S:
            how = "behind" if skew > 0 else "ahead of"
            raise StoreRefused(
                self.place,
                f"this machine's clock is {abs(skew) / 60:.0f} minutes {how} the store's, so that no signature is accepted. "
                "Set the clocks right.",
            )
        if answer.status == 200:
            return
        raise StoreRefused(self.place, _advice(answer, self._bucket, self._signer.endpoint))

    def probe(self) -> None:
        """One look at the site's own object, without another try: whoever asks will ask again."""
        answer = self.calls.call("HEAD", SITE_OBJECT, tries=1, timeout_s=PROBE_S, counted="probe")
        if answer.status != 200:
            raise StoreAway(f"it answers {answer.status}")

    def claim(self, site_id: str) -> None:
        """Write down whose objects these are, at the first start; the first writer wins.

        Raises:
            StoreOfAnotherSite: another site's are here.
        """
        content = f'{{"site": "{site_id}"}}'.encode()
        answer = self.calls.call("PUT", SITE_OBJECT, headers={"if-none-match": "*"}, content=content, counted="claim")
        if answer.status not in (200, 409, 412):
            raise StoreRefused(self.place, _advice(answer, self._bucket, self._signer.endpoint))
        found = self.read_range(SITE_OBJECT, 0, 4096)
        if found != content:
            import json

            try:
                theirs = str(json.loads(found)["site"])
            except (ValueError, KeyError, TypeError):
                theirs = f"its {SITE_OBJECT} cannot be read"
            raise StoreOfAnotherSite(self.place, theirs, site_id)

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        with refusing_when_full():
            path = self.tmp / secrets.token_hex(16)
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)

    def adopt(self, temporary: Path, key: str, *, keep: bool = False) -> None:
        import obstore

        size = temporary.stat().st_size
        part = max(FETCH_BYTES, -(-size // MAX_OBJECT_PARTS))
        with self._asking(key, "adopt"):
            if size <= part:
                obstore.put(self._obstore(), key, temporary.read_bytes(), use_multipart=False)
            else:
                obstore.put(self._obstore(), key, temporary, chunk_size=part, max_concurrency=FETCHES)
        if keep:
            self._cache.keep(key, temporary)

    def find(self, key: str) -> StoredObject | None:
        import obstore

        try:
            with self._asking(key, "find"):
                found = obstore.head(self._obstore(), key)
        except FileNotFoundError:
            return None
        return StoredObject(key, found["size"], found["last_modified"].timestamp())

    def exists(self, key: str) -> bool:
        return self.find(key) is not None

    def size_of(self, key: str) -> int | None:
        found = self.find(key)
        return None if found is None else found.size_bytes

    def sizes_of(self, keys: Sequence[str]) -> dict[str, int | None]:
        return dict(zip(keys, self._fetchers().map(self.size_of, keys), strict=True))

    def delete(self, key: str) -> int:
        import obstore

        found = self.find(key)
        if found is None:
            return 0
        with self._asking(key, "delete"):
            obstore.delete(self._obstore(), key)
        return found.size_bytes

    def iter_keys(self, prefix: str) -> Iterator[StoredObject]:
        import obstore

        with self._asking(prefix, "list"):
            for batch in obstore.list(self._obstore(), prefix=prefix.rstrip("/"), chunk_size=1000):
                for found in batch:
                    yield StoredObject(found["path"], found["size"], found["last_modified"].timestamp())

    def read_range(self, key: str, start: int, end: int) -> bytes:
        import obstore

        if start >= end:
            return b""
        with self._asking(key, "read"):
            try:
                return bytes(obstore.get_range(self._obstore(), key, start=start, end=end))
            except obstore.exceptions.BaseError:
                size = self.size_of(key)  # a range past the end is an error to the store, and none to us
                if size is None:
                    raise FileNotFoundError(errno.ENOENT, "no such object", key) from None
                if size >= end:
                    raise
                return bytes(obstore.get_range(self._obstore(), key, start=start, end=size)) if size > start else b""

    def digest_of(self, key: str) -> tuple[Sha256, int]:
        size = self.size_of(key)
        if size is None:
            raise FileNotFoundError(errno.ENOENT, "no such object", key)
        hasher, done = hashlib.sha256(), 0
        blocks = ((start, min(start + FETCH_BYTES, size)) for start in range(0, size, FETCH_BYTES))
        for data in self.iter_ranges(key, blocks):
            hasher.update(data)
            done += len(data)
        if done != size:
            raise ObjectDamaged(key)
        return Sha256(hasher.hexdigest()), size

    def iter_ranges(self, key: str, ranges: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        fetchers, wanted = self._fetchers(), iter(ranges)
        ahead: deque[Future[bytes]] = deque()
        try:
            while True:
                while len(ahead) < AHEAD and (found := next(wanted, None)) is not None:
                    ahead.append(fetchers.submit(self.read_range, key, *found))
                if not ahead:
                    return
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    @contextmanager
    def at_hand(self, key: str) -> Iterator[Path | None]:
        with self.temporary() as path:
            yield path if self._cache.link(key, path) else None

    @contextmanager
    def local_copy(self, key: str) -> Iterator[Path]:
        with self.temporary() as path:
            if not self._cache.link(key, path):
                self.fetch(key, path)
                self._cache.keep(key, path)
            yield path

    def fetch(self, key: str, target: Path) -> None:
        if target.exists():
            return
        size = self.size_of(key)
        if size is None:
            raise FileNotFoundError(errno.ENOENT, "no such object", key)
        temporary = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        with refusing_when_full():
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                starts = range(0, size, FETCH_BYTES)
                if len(starts) > 1:
                    list(self._fetchers().map(lambda start: self._fetch_block(key, fd, start, size), starts))
                elif size:
                    self._fetch_block(key, fd, 0, size)
                os.replace(temporary, target)
            finally:
                os.close(fd)
                temporary.unlink(missing_ok=True)

    def _fetch_block(self, key: str, fd: int, start: int, size: int) -> None:
        end = min(start + FETCH_BYTES, size)
        data = memoryview(self.read_range(key, start, end))
        if len(data) < end - start:
            raise ObjectDamaged(key)
        while data:
            written = os.pwrite(fd, data, start)
            data, start = data[written:], start + written

    def source(self, key: str, size_bytes: int) -> ObjectSource:
        return ObjectSource(self, key, size_bytes)

    def signed_url(
        self,
        key: str,
        *,
        expires_s: int,
        start: int | None = None,
        end: int | None = None,
        disposition: str | None = None,
        media_type: str | None = None,
    ) -> str | None:
        if not self._settings.direct:
            return None
        answered = {"response-content-disposition": disposition, "response-content-type": media_type}
        headers = {} if start is None or end is None else {"range": f"bytes={start}-{end - 1}"}
        query = {name: value for name, value in answered.items() if value is not None}
        return self.calls.link("GET", key, expires_s=expires_s, query=query, headers=headers)

    def _fetchers(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(2 * FETCHES, thread_name_prefix="fetcher")
            return self._pool

    def _obstore(self) -> Any:
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return self._store

    def _open(self) -> Any:
        try:
            from obstore.store import S3Store as Objects
        except ImportError as exc:
            raise StoreDriverMissing from exc
        timeout_s, signer = self._settings.timeout_s, self._signer
        config: Any = {
            "endpoint": signer.endpoint,
            "region": signer.region,
            "access_key_id": signer.key_id,
            "secret_access_key": signer.secret_key,
            "virtual_hosted_style_request": False,
            # TLS says already whether bytes arrive as they were sent; a sha256 of them for the signature costs as much as hashing them.
            "unsigned_payload": signer.endpoint.startswith("https://"),
        }
        if signer.token:
            config["session_token"] = signer.token
        return Objects(
            self._bucket,
            prefix=self._prefix.rstrip("/") or None,
            config=config,
            client_options={
                "allow_http": signer.endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=min(5.0, timeout_s)),
                "timeout": timedelta(seconds=timeout_s),
            },
            retry_config={
                "max_retries": 4,
                "retry_timeout": timedelta(seconds=timeout_s),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=3),
                    "base": 2,
                },
            },
        )

    @contextmanager
    def _asking(self, key: str, operation: str) -> Iterator[None]:
        """The library's complaints as ours; a missing object stays ``FileNotFoundError``."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            with calling(operation):
                yield
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, "no such object", key) from None
        except (PermissionDeniedError, UnauthenticatedError) as exc:
            _log.exception("store.refused_keys", extra={"key": key})
            raise StoreAway("it refuses this server's keys") from exc
        except BaseError as exc:
            why = _in_short(str(exc))
            _log.warning("store.failed", extra={"key": key, "reason": why})
            raise StoreAway(why) from exc


def _facts(signer: Signer) -> tuple[str, str, str, str, str | None]:
    return signer.bucket, signer.region, signer.key_id, signer.secret_key, signer.token


def _in_short(text: str) -> str:
    """The gist of obstore's many lines: no address of the store reaches clients."""
    if "kind: Timeout" in text:
        return "it takes too long to answer"
    if "kind: Connect" in text:
        return "there is no connection to it"
    status = _STATUS.search(text)
    if status is not None:
        return f"it answers {status[1]}"
    return "its answer is not what was expected"


def _skew_s(answer: Answer) -> float | None:
    """How far the store's clock is ahead of ours, in seconds."""
    try:
        return email.utils.parsedate_to_datetime(answer.headers.get("date", "")).timestamp() - time.time()
    except (TypeError, ValueError):
        return None


def _advice(answer: Answer, bucket: str, endpoint: str) -> str:
    known = {
        "NoSuchBucket": f"there is no bucket {bucket!r} at {endpoint}. Make it, or correct HEADWATER_BLOBS.",
        "InvalidAccessKeyId": "it does not know the access key. Check HEADWATER_S3_KEY_ID.",
        "SignatureDoesNotMatch": "it does not accept the secret key. Check HEADWATER_S3_SECRET_KEY (and the region).",
        "RequestTimeTooSkewed": "this machine's clock and the store's differ too much. Set the clocks right.",
        "AccessDenied": f"the key may not use the bucket {bucket!r}. It needs to list, read, write and delete there.",
        "PermanentRedirect": "the bucket is in another region. Check HEADWATER_S3_REGION.",
        "AuthorizationHeaderMalformed": "the bucket is in another region. Check HEADWATER_S3_REGION.",
    }
    word = answer.error
    return known.get(word) or f"it answers {answer.status} {word}".rstrip() + "."
