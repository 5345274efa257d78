"""What a build has done so far, on disk: finished batches by segment, so that it goes on after a kill where it was.

A file appears under its name only when it is whole. A segment is done when its mark is there; one without is done again. What was made of another recipe or
other inputs is thrown away.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from headwater.corpora.program import steps

FORMAT = 1


class Work:
    def __init__(self, folder: Path, fingerprint: dict[str, Any]) -> None:
        self.folder = folder
        mark = folder / "made-of.json"
        wanted = json.dumps({"format": FORMAT, **fingerprint}, sort_keys=True)
        if mark.exists() and mark.read_text() != wanted:
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not mark.exists():
            write_whole(mark, wanted.encode())

    @property
    def out(self) -> Path:
        """What will be committed."""
        return self.folder / "out"

    def _segment(self, number: int) -> Path:
        return self.folder / "segments" / f"{number:06d}"

    def is_done(self, number: int) -> bool:
        return (self._segment(number) / "done").exists()

    def begin(self, number: int) -> None:
        shutil.rmtree(self._segment(number), ignore_errors=True)
        self._segment(number).mkdir(parents=True)

    def keep(self, number: int, batch: int, message: bytes) -> None:
        """A finished batch, as a file that can be mapped."""
        table = steps.read_message(message)
        target = self._segment(number) / f"{batch:05d}.arrow"
        with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    def finish(self, number: int, n_batches: int) -> None:
        write_whole(self._segment(number) / "done", str(n_batches).encode())

    def n_batches(self, number: int) -> int:
        return int((self._segment(number) / "done").read_text())

    def batches(self, n_segments: int) -> Iterator[pa.Table]:
        """All finished batches in order, mapped: what is not looked at is not read."""
        for number in range(n_segments):
            for batch in range(self.n_batches(number)):
                path = self._segment(number) / f"{batch:05d}.arrow"
                with pa.memory_map(str(path)) as source:
                    yield pa.ipc.open_file(source).read_all()


def write_whole(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
