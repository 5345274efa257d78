"""Real Chinese and English text out of Debian's documentation packages: downloaded and unpacked, not installed, nothing of it kept in the repository.

Licences differ from package to package (GFDL, MPL, GPL, PSF and others): for measuring on this machine only.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGES = (
    "libreoffice-help-zh-cn",
    "libreoffice-help-zh-tw",
    "libreoffice-help-en-us",
    "manpages-zh",
    "manpages",
    "manpages-dev",
    "python3.11-doc",
    "cppreference-doc-en-html",
    "debian-handbook",
    "debian-reference-zh-cn",
    "anarchism",
    "fortunes",
    "fortunes-zh",
    "gimp-help-zh-cn",
    "gimp-help-en",
    "kicad-doc-zh",
    "kicad-doc-en",
    "lilypond-doc-html-zh",
    "debian-faq-zh-cn",
    "maint-guide-zh-cn",
    "debian-edu-doc-zh-cn",
    "postgresql-doc-15",
    "linux-doc-6.1",
)
_FOLDER = Path(os.environ.get("HEADWATER_BENCH_TEXT", Path(tempfile.gettempdir()) / "headwater-bench-text"))


def root() -> Path:
    """The unpacked packages; downloaded the first time. Raises: SystemExit."""
    ready = _FOLDER / "root" / ".complete"
    if ready.exists():
        return ready.parent
    shutil.rmtree(_FOLDER, ignore_errors=True)
    (_FOLDER / "packages").mkdir(parents=True)
    # One by one: not every release of Debian has all of them.
    for package in PACKAGES:
        done = subprocess.run(
            ["apt-get", "download", "-qq", package], cwd=_FOLDER / "packages", capture_output=True, check=False
        )
        if done.returncode:
            print(f"  ({package} is not to be had: {done.stderr.decode(errors='replace').strip()[:100]})")
    packages = sorted((_FOLDER / "packages").glob("*.deb"))
    if not packages:
        raise SystemExit("No documentation package of Debian could be downloaded: run `apt-get update`, then again.")
    for package in packages:
        subprocess.run(["dpkg", "-x", str(package), str(ready.parent)], check=True)
    ready.touch()
    return ready.parent


def documents(limit_bytes: int | None = None) -> list[str]:
    """Texts of at least 200 characters: pages, manual pages, entries; extracted once, then read from a file beside the packages."""
    kept = _FOLDER / "documents.jsonl"
    if not kept.exists():
        from headwater.corpora.program.operators.language import Language

        folder, detector = root(), Language()
        temporary = kept.with_suffix(".tmp")
        with temporary.open("w") as file:
            for text in _extract(folder):
                # Some packages hold many languages.
                if detector.of(text)[0] not in ("zh", "en"):
                    continue
                file.write(json.dumps(text, ensure_ascii=False) + "\n")
        temporary.replace(kept)
    texts, held = [], 0
    with kept.open() as lines:
        for line in lines:
            texts.append(json.loads(line))
            held += len(texts[-1].encode())
            if limit_bytes is not None and held >= limit_bytes:
                break
    return texts


def _extract(folder: Path) -> Iterator[str]:
    from headwater.corpora.program.operators.encoding import decode, normalize
    from headwater.corpora.program.operators.extraction import html_text
    from headwater.corpora.program.operators.manual import manual_text

    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        name = path.name.removesuffix(".gz")
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else None
        if name.endswith((".html", ".htm")):
            found = _text(data or path.read_bytes(), html_text)
        elif "/man/" in str(path):
            found = _text(data or path.read_bytes(), manual_text)
        elif "games/fortunes" in str(path) and not path.suffix:
            decoded = decode(path.read_bytes())
            yield from (
                normalize(piece) for piece in (decoded.text if decoded else "").split("\n%\n") if len(piece) >= 200
            )
            continue
        else:
            continue
        text = normalize(found)
        if len(text) >= 200:
            yield text


def _text(data: bytes, read: Callable[[str], str]) -> str:
    from headwater.corpora.program.operators.encoding import decode

    decoded = decode(data)
    return read(decoded.text) if decoded else ""
