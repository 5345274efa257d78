"""A dataset's own files, and no others: its card says which of them are what, and leads nowhere else.

The card of a dataset is a stranger's text. `datasets` takes paths of the machine and addresses of the network from it, decodes
pictures and sounds from wherever a row says, and opens archives. A run reads the inputs that were pinned.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headwater.training.program.problems import CannotGoOn

_KINDS = {
    "json": ("field",),
    "csv": ("sep",),
    "parquet": (),
    "text": (),
    "arrow": (),
}  # with what cards may say of each


def load(folder: Path, config: str | None, split: str) -> Any:
    """A split as a ``datasets.Dataset``, without columns that would be decoded.

    Raises:
        CannotGoOn: the card names what is not the dataset's, or its files are of no kind that holds rows.
        Exception: of `datasets` itself, for what cannot be read.
    """
    import datasets

    with _confined(folder):
        builder = datasets.load_dataset_builder(str(folder), config)
    kind = builder.name
    if kind not in _KINDS:
        known = ", ".join(_KINDS)
        raise CannotGoOn("dataset_unreadable", f"The dataset's files are read as {kind!r}; rows are taken of {known}.")
    files = {str(name): [str(path) for path in paths] for name, paths in (builder.config.data_files or {}).items()}
    for path in (path for paths in files.values() for path in paths):
        _require_own(path, folder)
        if path.lower().endswith((".zip", ".tar")):
            raise CannotGoOn("dataset_unreadable", f"{os.path.relpath(path, folder)} is an archive. Unpack it.")
    options = {name: value for name in _KINDS[kind] if (value := getattr(builder.config, name, None)) is not None}
    data = datasets.load_dataset(kind, data_files=files, split=split, **options)
    from datasets.features.features import require_decoding

    decoded = [name for name, feature in data.features.items() if require_decoding(feature)]
    return data.remove_columns(decoded) if decoded else data


@contextmanager
def _confined(folder: Path) -> Iterator[None]:
    """Every pattern of the card and every folder that it names goes through one function of `datasets`."""
    from datasets import data_files

    resolve = data_files.resolve_pattern

    def resolve_own(pattern: str, base_path: str, *rest: Any, **named: Any) -> Any:
        _require_own(os.path.join(base_path, pattern), folder)  # noqa: PTH118 - as the library joins them
        return resolve(pattern, base_path, *rest, **named)

    data_files.resolve_pattern = resolve_own
    try:
        yield
    finally:
        data_files.resolve_pattern = resolve


def _require_own(path: str, folder: Path) -> None:
    """By its letters: what lies in a snapshot are links that the hub's client has made."""
    plain = Path(os.path.normpath(path))
    is_own = "://" not in path and "::" not in path and any(
        plain.is_relative_to(place) for place in (folder.absolute(), folder.resolve())
    )  # fmt: skip
    if not is_own:
        raise CannotGoOn("dataset_unreadable", "The dataset's card names files that are not the dataset's own.")
