"""Batches of uploads in parts, and what they take of an account's room, wherever the parts lie."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from headwater.hub import collector, quotas
from headwater.hub.collector.clock import confirm_clock
from headwater.hub.lfs import service
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.quotas import store as quotas_store
from headwater.kernel import utcnow
from tests.storage import Storage

GIB = 1 << 30
MODEL, NAME = RepoKind.MODEL, RepoName("ada", "m")


def plan(storage: Storage, *files: tuple[str, int], who: str = "ada") -> service.Batch:
    wanted = [service.Wanted(oid, size) for oid, size in files]
    transfers = ("basic", "multipart")
    actor = storage.person(who)
    return service.plan_upload(storage.site, actor, MODEL, NAME, wanted, transfers=transfers, now=utcnow())


def links_of(batch: service.Batch) -> tuple[str, list[str]]:
    """The link that completes, without its address, and those of the parts."""
    upload = batch.objects[0].links["upload"]
    return upload.href.rpartition("/")[2], [upload.header[name] for name in sorted(upload.header) if name.isdigit()]


def check_room(storage: Storage, n_open: Callable[[Storage], int]) -> None:
    """Open uploads take room, each file once, until they are given up."""
    site, ada = storage.site, storage.person("ada")
    site.db.write(quotas_store.put_limits, ada.account_id, quotas.Limits(max_bytes=8 * GIB))
    one, two = ("a" * 64, 5 * GIB), ("b" * 64, 5 * GIB)
    for _ in range(2):
        assert plan(storage, one).objects[0].error is None
    refused = plan(storage, two).objects[0]
    assert (refused.error_status, refused.links) == (507, {})
    assert "3.221 GB more" in (refused.error or "")
    assert "5.369 GB of it" in (refused.error or "")
    later = utcnow() + collector.run.MULTIPART_GRACE + timedelta(hours=1)
    site.db.write(confirm_clock, later)
    collector.collect(site, now=later)
    assert n_open(storage) == 0
    assert plan(storage, two).objects[0].error is None
