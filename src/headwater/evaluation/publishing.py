"""Suites that come with Headwater, and folders that become suites: looked at, and put into a dataset repository."""

from __future__ import annotations

from pathlib import Path

from headwater.compute import Problem
from headwater.evaluation import suites
from headwater.kernel import HeadwaterError, Kind
from headwater.scanning import strict_yaml

SHIPPED = Path(__file__).parent / "shipped"


class NoSuchSuite(HeadwaterError):
    code = "no_such_suite"
    kind = Kind.NOT_FOUND

    def __init__(self, name: str, shipped: list[str]) -> None:
        super().__init__(
            f"There is no folder {name!r}, and no suite of that name comes with Headwater. There are: {', '.join(shipped)}."
        )


class BadSuite(HeadwaterError):
    code = "bad_suite"
    kind = Kind.UNPROCESSABLE

    def __init__(self, problems: list[str]) -> None:
        lines = "".join(f"\n  {each}" for each in problems)
        super().__init__(f"A run would refuse this suite; nothing was published:{lines}")


def list_shipped() -> list[str]:
    return sorted(folder.name for folder in SHIPPED.iterdir() if folder.is_dir() and not folder.name.startswith("_"))


def folder_of(name: str) -> Path:
    """A suite that comes with Headwater by its name, or else a folder.

    Raises:
        NoSuchSuite
    """
    folder = SHIPPED / name if name in list_shipped() else Path(name)
    if not folder.is_dir():
        raise NoSuchSuite(name, list_shipped())
    return folder


def files_of(folder: Path) -> dict[str, Path]:
    """What of a folder belongs into its repository, by path."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: path
        for name, path in found.items()
        if not any(part.startswith(".") or part == "__pycache__" for part in name.split("/"))
    }


def read_folder(folder: Path) -> tuple[suites.Suite, list[Problem]]:
    """The suite, and all that a run would refuse about it."""
    files, texts, problems = files_of(folder), {}, []
    for name, path in files.items():
        if not suites.is_yaml(name):
            continue
        if path.stat().st_size > strict_yaml.MAX_BYTES:
            what = f"it is larger than {strict_yaml.MAX_BYTES >> 10} KiB"
            problems.append(Problem(name, what, "Keep data out of YAML."))
            continue
        try:
            texts[name] = path.read_text("utf-8")
        except UnicodeDecodeError:
            problems.append(Problem(name, "it is not valid UTF-8", "Write it as UTF-8."))
    suite, wrong = suites.read(texts, list(files))
    return suite, [*problems, *wrong]
