"""``GET /metrics``: all that is counted, as the text that Prometheus reads.

Whichever worker answers, the totals are those of the whole process tree on this host (``kernel.metrics``). What the
database knows (jobs, entries) is of the whole site, and the same from every host.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import Response

from headwater import __version__
from headwater.db import Tx
from headwater.kernel import metrics
from headwater.kernel.metrics import Family
from headwater.web.refusals import NothingHere
from headwater.web.requests import site_of
from headwater.web.routing import Access, Route
from headwater.web.settings import MetricsSettings, WebSettings
from headwater.web.site import Site
from headwater.web.threads import run_in

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

log = structlog.get_logger("headwater.web")

Source = Callable[[Tx], Iterable[Family]]

_TICKS = os.sysconf("SC_CLK_TCK")
_FORWARDING = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via")


class Figures:
    """A site part: what packages say about their rows when asked, all within one snapshot; and whether a token is a must."""

    def __init__(self, sources: Sequence[Source], *, for_token_only: bool) -> None:
        self.sources = tuple(sources)
        self.for_token_only = for_token_only


async def get_metrics(request: Request) -> Response:
    """For those who may see it; for all others there is nothing here."""
    site = site_of(request)
    if not _may_read(request, site):
        raise NothingHere
    text = await run_in("probe", render, site)
    return Response(text, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


def _may_read(request: Request, site: Site) -> bool:
    """Whoever has the token; without one, whoever asks on this machine itself.

    A proxy on this machine would make all the world ask from here. Where one may stand, a token is needed: so with a
    public address set, with any header that proxies add, where another name than this machine's own was asked for, by
    HTTP/1.0, which nginx speaks unless it is told otherwise, and over a connection for one request only, which is what
    nginx makes of it when it is told.
    """
    token = site.settings.of(MetricsSettings).token
    if token is not None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), token.encode())
    figures = site.parts.get(Figures)
    if figures is None or figures.for_token_only:
        return False
    if site.settings.of(WebSettings).trusted_proxies or any(name in request.headers for name in _FORWARDING):
        return False
    if request.client is None or request.scope["http_version"] == "1.0":
        return False
    if "close" in (word.strip().lower() for word in request.headers.get("connection", "").split(",")):
        return False
    try:
        asked_for = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        return ipaddress.ip_address(request.client.host).is_loopback and (
            asked_for == "localhost" or ipaddress.ip_address(asked_for).is_loopback
        )
    except ValueError:
        return False


def render(site: Site) -> str:
    """All families in the text format, version 0.0.4."""
    lines: list[str] = []
    for metric, found in metrics.collect():
        if metric.kind == "histogram":
            _write_histogram(lines, metric, found)
        else:
            samples = [(dict(zip(metric.labels, values, strict=True)), totals[0]) for values, totals in found]
            _write(lines, Family(metric.name, metric.kind, metric.help, samples))
    for family in _families(site):
        _write(lines, family)
    return "\n".join(lines) + "\n"


def _write(lines: list[str], family: Family) -> None:
    lines += _head(family.name, family.kind, family.help)
    lines += [f"{family.name}{_labels(labels)} {_number(value)}" for labels, value in family.samples]


def _write_histogram(
    lines: list[str], metric: metrics.Metric, found: list[tuple[tuple[str, ...], list[float]]]
) -> None:
    lines += _head(metric.name, metric.kind, metric.help)
    bounds = [_number(bound) for bound in metric.bounds] + ["+Inf"]
    for values, cells in found:
        labels, total = dict(zip(metric.labels, values, strict=True)), 0.0
        for bound, count in zip(bounds, cells, strict=False):
            total += count
            lines.append(f"{metric.name}_bucket{_labels({**labels, 'le': bound})} {_number(total)}")
        lines.append(f"{metric.name}_sum{_labels(labels)} {_number(cells[-1])}")
        lines.append(f"{metric.name}_count{_labels(labels)} {_number(total)}")


def _head(name: str, kind: str, text: str) -> list[str]:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return [f"# HELP {name} {escaped}", f"# TYPE {name} {kind}"]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = (
        (name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for name, value in labels.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _families(site: Site) -> Iterator[Family]:
    facts = {"version": __version__, "python": platform.python_version(), "host": socket.gethostname()}
    yield Family("headwater_info", "gauge", "What runs here.", [(facts, 1)])
    dropped = "Observations without a place of their own: a mistake in the program."
    yield Family("headwater_dropped_observations_total", "counter", dropped, [({}, metrics.dropped())])
    yield from _of_processes()
    yield from _of_disks(site)
    answers, found = 1.0, []
    try:
        with site.db.reading() as tx:
            for source in site.parts[Figures].sources if Figures in site.parts else ():
                found += list(source(tx))
    except Exception:
        log.exception("figures.failed")
        answers = 0.0
    yield Family("headwater_db_up", "gauge", "1 when the database could be asked for this answer.", [({}, answers)])
    yield from found


def _of_processes() -> Iterator[Family]:
    """Memory, descriptors and processor time of each process; two of one name, while one replaces the other, are added."""
    rss = Family("headwater_process_resident_bytes", "gauge", "Memory, shared pages counted in each process.")
    pss = Family("headwater_process_proportional_bytes", "gauge", "Memory, shared pages divided among those who share.")
    fds = Family("headwater_process_open_fds", "gauge", "Open file descriptors.")
    cpu = Family("headwater_process_cpu_seconds_total", "counter", "Processor time, user and system.")
    sums: dict[str, list[float]] = {}
    for name, pid in metrics.processes():
        with contextlib.suppress(OSError, ValueError, IndexError):
            now = [*_memory(pid), float(len(os.listdir(f"/proc/{pid}/fd"))), _cpu_s(pid)]
            before = sums.setdefault(name, [0.0] * len(now))
            sums[name] = [a + b for a, b in zip(before, now, strict=True)]
    for name, numbers in sums.items():
        for family, number in zip((rss, pss, fds, cpu), numbers, strict=True):
            family.samples.append(({"process": name}, number))
    yield from (rss, pss, fds, cpu)


def _memory(pid: int) -> tuple[float, float]:
    """Resident and proportional size in bytes."""
    found = {"Rss:": 0.0, "Pss:": 0.0}
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        for line in lines:
            name, _, rest = line.partition(" ")
            if name in found:
                found[name] = int(rest.split()[0]) * 1024.0
    return found["Rss:"], found["Pss:"]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _of_disks(site: Site) -> Iterator[Family]:
    free = Family("headwater_disk_free_bytes", "gauge", "Left on the file system of this folder.")
    size = Family("headwater_disk_size_bytes", "gauge", "Of the file system of this folder.")
    for name, folder in (("data", site.data_dir), ("store", site.blobs.tmp)):
        with contextlib.suppress(OSError):
            usage = shutil.disk_usage(folder)
            free.samples.append(({"folder": name}, float(usage.free)))
            size.samples.append(({"folder": name}, float(usage.total)))
    yield from (free, size)


ROUTES = [Route("GET", "/metrics", get_metrics, Access.PUBLIC, "api")]
