"""Counts words: reads the input ``text``, writes ``counts.json`` and a card into the output ``counts``."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

from headwater.compute.program import Run


def main() -> None:
    with Run.from_environment() as run:
        print(f"counting words of {run.input_repo('text')[1]} at {run.input_commit('text')}")
        words = (run.input("text") / run.own["file"]).read_text().split()
        counts: Counter[str] = Counter()
        for step, word in enumerate(words, start=1):
            if len(word) >= run.own["least_length"]:
                counts[word] += 1
            run.metric(step, words=counts.total(), distinct=len(counts))
            run.progress(step, len(words), "words")
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "counts.json").write_text(json.dumps(counts, sort_keys=True))
            (Path(folder) / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# Counts\n")
            commit = run.output("counts").commit(folder, "Counted")
        run.note(f"committed {commit}")
        run.result({"words": counts.total(), "distinct": len(counts)})
        print("单词已统计")


if __name__ == "__main__":
    main()
