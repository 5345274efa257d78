"""How many tokens a document has: by a tokenizer out of a repository, else by a stated estimate."""

from __future__ import annotations

from typing import Any

from headwater.corpora.program.operators.documents import Documents
from headwater.corpora.program.operators.rules import Measures

ESTIMATE = "estimate: 1.3 tokens a word, 0.7 a Chinese character"
_BATCH = 256


class TokenCount:
    """Fills ``n_tokens``. ``tokenizer`` names what was counted with, for the report."""

    name = "tokens"

    def __init__(self, tokenizer_json: bytes | None = None, *, tokenizer: str | None = None) -> None:
        self.tokenizer = ESTIMATE if tokenizer_json is None else tokenizer or "tokenizer.json"
        self._tokenizer: Any = None
        if tokenizer_json is not None:
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_buffer(tokenizer_json)
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()

    def __call__(self, documents: Documents) -> None:
        counts = documents.fact("n_tokens")
        rows = list(documents.staying())
        if self._tokenizer is None:
            for row in rows:
                counts[row] = estimate(documents.texts[row])
            return
        for at in range(0, len(rows), _BATCH):
            batch = rows[at : at + _BATCH]
            encoded = self._tokenizer.encode_batch_fast(
                [documents.texts[row] for row in batch], add_special_tokens=False
            )
            for row, encoding in zip(batch, encoded, strict=True):
                counts[row] = len(encoding)


def estimate(text: str) -> int:
    measures = Measures.of(text)
    return round(1.3 * len(measures.words) + 0.7 * measures.n_cjk)
