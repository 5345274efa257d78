"""Whether two forms of a model say the same: how well each foretells the same texts, and which token each finds likeliest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.training.program.problems import CannotGoOn

BLOCK = 256  # tokens that are looked at together

TEXTS = (
    ("The river rises in the hills north of the town, where the ground is wet for most of the year. For the first few "
    "kilometres it is no more than a stream that a child can jump over. Below the old mill it meets a second stream, and "
    "from there on it is deep enough for small boats. People have measured its level every morning since 1894."),
    ("To make bread you need flour, water, salt and time. Mix the flour with most of the water and let it rest for half an "
    "hour. Then add the salt and the rest of the water, fold the dough a few times, and leave it under a cloth overnight. "
    "In the morning it should have doubled. Bake it in a hot oven until the crust is dark and sounds hollow."),
    ('A function should do one thing. If its name needs the word "and", it does two. The reader sees the name first, then '
    "the arguments, then what comes back:\n\ndef area(width: float, height: float) -> float:\n    return width * height\n"),
    ("春天来了，河边的柳树先绿了。早上，几个老人坐在桥头下棋，孩子们背着书包从他们身边跑过。桥下的水很清，可以看见石头和小鱼。"
    "到了中午，太阳晒得石板发烫，人们都回家吃饭，只有一只猫还躺在门口。"),
    ("从北京到上海的铁路长一千三百多公里，坐高铁大约需要四个半小时。途中经过天津、济南、徐州和南京。许多人选择早上出发，"
    "下午办完事，晚上再坐车回来。车票可以在网上买，也可以在车站的窗口买。"),
)  # fmt: skip


@dataclass(frozen=True)
class Said:
    """Of one model, about the same tokens in the same order."""

    loss: float  # mean, in nats a token
    likeliest: Sequence[int]
    tokens: int

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss) if self.loss < 700 else math.inf


@dataclass(frozen=True)
class Compared:
    before: float
    after: float
    same_greedy: float
    tokens: int

    @property
    def rise(self) -> float:
        """0.02: the perplexity is 2 % above what it was."""
        return self.after / self.before - 1

    def is_within(self, bound: float, min_same: float | None) -> bool:
        """What is no number is within no bound."""
        return self.rise <= bound and (min_same is None or self.same_greedy >= min_same)


def blocks(tokenizer: Any, texts: Iterable[str], most: int, longest: int | None = None) -> list[list[int]]:
    """Token ids in blocks of at most ``BLOCK``, ``most`` tokens together; a block has at least two.

    Raises:
        CannotGoOn: there is nothing to look at.
    """
    size, found, left = min(BLOCK, longest or BLOCK), [], most
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        for begin in range(0, len(ids), size):
            block = ids[begin : begin + size][:left]
            if len(block) > 1:
                found.append(block)
                left -= len(block)
        if left < 2:
            break
    if not found:
        raise CannotGoOn("no_texts", "The texts of the check have no tokens. Name others under check.texts.")
    return found


def ask(model: Any, tokens: Sequence[Sequence[int]]) -> Said:
    """What a model foretells, each token from those before it in its block."""
    import torch

    loss, likeliest = 0.0, []
    model.eval()
    with torch.inference_mode():
        for block in tokens:
            ids = torch.tensor([block], device=model.device)
            logits = model(input_ids=ids).logits[0, :-1].float()
            loss += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
            likeliest += logits.argmax(-1).tolist()
    return Said(loss / len(likeliest), likeliest, len(likeliest))


def compare(before: Said, after: Said) -> Compared:
    same = sum(a == b for a, b in zip(before.likeliest, after.likeliest, strict=True))
    return Compared(before.perplexity, after.perplexity, same / before.tokens, before.tokens)
