"""Pure reading of single files for the rules: a card's topics, what a script does, whether weights and config agree."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from headwater.governance.facts import Result

MAX_SCRIPT_BYTES = 128 << 10

# Words that headings are told by, in lower case.
TOPICS: Mapping[str, tuple[str, ...]] = {
    "use": (
        "use",
        "usage",
        "how to",
        "quick start",
        "quickstart",
        "getting started",
        "get started",
        "使用",
        "用途",
        "用法",
        "快速开始",
    ),
    "limits": (
        "limit",
        "bias",
        "risk",
        "out-of-scope",
        "out of scope",
        "caveat",
        "ethic",
        "safety",
        "局限",
        "限制",
        "风险",
        "偏见",
        "偏差",
        "安全",
    ),
    "training": ("training", "pre-training", "pretraining", "fine-tun", "finetun", "how it was made", "训练", "微调"),
    "evaluation": ("eval", "benchmark", "result", "performance", "评测", "评估", "测评", "性能"),
    "hardware": ("hardware", "compute", "energy", "carbon", "environmental", "硬件", "算力", "能耗", "碳"),
    "source": ("source", "collection", "provenance", "origin", "where it comes from", "来源", "采集", "收集"),
    "processing": (
        "process",
        "cleaning",
        "filter",
        "dedup",
        "curation",
        "annotation",
        "steps",
        "处理",
        "清洗",
        "过滤",
        "去重",
        "标注",
    ),
    "structure": (
        "structure",
        "field",
        "format",
        "schema",
        "split",
        "composition",
        "content",
        "结构",
        "字段",
        "格式",
        "构成",
        "内容",
    ),
}
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*)$")
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_LATIN = re.compile(r"[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def count_words(text: str) -> int:
    """Two letters of Chinese, Japanese or Korean count as a word."""
    return len(_LATIN.findall(text)) + (len(_CJK.findall(text)) + 1) // 2


def sections_of(text: str) -> dict[str, int]:
    """How many words a card has on each topic: those below headings that name it, and below headings within."""
    found: dict[str, int] = {}
    open_: list[tuple[int, list[str]]] = []
    is_code = False
    for line in text.splitlines():
        if _FENCE.match(line):
            is_code = not is_code
        heading = None if is_code else _HEADING.match(line)
        title = "" if heading is None else heading[2].rstrip(" \t#").lower()
        if heading is not None and title:
            level = len(heading[1])
            while open_ and open_[-1][0] >= level:
                open_.pop()
            open_.append((level, [topic for topic, words in TOPICS.items() if any(word in title for word in words)]))
            continue
        n_words = count_words(line)
        if n_words:
            for topic in {topic for _, topics in open_ for topic in topics}:
                found[topic] = found.get(topic, 0) + n_words
    return found


_CLAIM = re.compile(
    r"(\d{1,4}(?:\.\d{1,4})?)[ -]?(thousand|million|billion|trillion|[KMBT]|万|百万|亿)[ -]?(?:个)?(?:parameters?|params?|参数)"
    r"|参数量?(?:为|约|：|:)? ?(\d{1,4}(?:\.\d{1,4})?) ?(万|百万|亿|[KMBT])",
    re.IGNORECASE,
)
_UNITS = {
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "k": 10**3,
    "m": 10**6,
    "b": 10**9,
    "t": 10**12,
    "万": 10**4,
    "百万": 10**6,
    "亿": 10**8,
}
CLOSE = 0.01


def claimed_parameters(text: str) -> list[tuple[int, int]]:
    """Numbers of parameters that a card gives, each as the range that its digits leave open, at least one percent."""
    found = []
    for match in list(_CLAIM.finditer(text))[:20]:
        digits, unit = match[1] or match[3], (match[2] or match[4]).lower()
        value = float(digits) * _UNITS[unit]
        places = len(digits.partition(".")[2])
        room = max(_UNITS[unit] * 0.5 * 10**-places, value * CLOSE)
        found.append((int(value - room), int(value + room)))
    return found


_PAPERS = (
    ("arxiv", re.compile(r"(?:arxiv\.org/(?:abs|pdf)/|arxiv:\s?)(\d{4}\.\d{4,5})", re.IGNORECASE)),
    ("doi", re.compile(r"(?:doi\.org/|doi:\s?)(10\.\d{4,9}/[^\s\"'<>)\]}]{1,120})", re.IGNORECASE)),
)


def papers_of(text: str) -> list[str]:
    return list(dict.fromkeys(f"{kind}:{each.rstrip('.,;')}" for kind, one in _PAPERS for each in one.findall(text)))[
        :20
    ]


_TRAINERS = {"Trainer", "SFTTrainer", "DPOTrainer", "RewardTrainer", "GRPOTrainer", "RLOOTrainer", "LightningModule"}
_MEASURES = {"accuracy", "perplexity", "metric", "metrics", "score", "scores", "f1", "bleu", "exact_match"}
_ROWS = {"load_dataset", "Dataset", "read_parquet", "read_csv", "json", "pandas", "pyarrow", "tokenizer", "open"}


def roles_of(path: str, text: str) -> tuple[frozenset[str], bool]:
    """What a Python file does by the names it uses, and whether it can be read as Python. Nothing is run, or parsed by recursion."""
    name = path.rpartition("/")[2].lower()
    by_name = _roles_by_name(name)
    names: set[str] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                names.add(token.string)
            elif token.type == tokenize.ERRORTOKEN and token.string.strip():
                return by_name, False
    except (tokenize.TokenError, SyntaxError, ValueError):
        return by_name, False
    if not names & {"def", "class", "import"}:
        return by_name, False
    found = set()
    if names & _TRAINERS or {"backward", "step"} <= names:
        found.add("training")
    if "generate" in names or {"pipeline", "transformers"} <= names or "vllm" in names:
        found.add("inference")
    if names & {"lm_eval", "simple_evaluate"} or ("evaluation" in by_name and names & _MEASURES):
        found.add("evaluation")
    if ("preprocessing" in by_name and names & _ROWS) or ({"load_dataset", "map"} <= names and "training" not in found):
        found.add("preprocessing")
    if {"nn", "Module", "forward"} <= names and "class" in names:
        found.add("modelling")
    # A file of one role that also samples on the way is not the code it is run with.
    if by_name and by_name & found:
        found &= by_name
    return frozenset(found), True


_BY_NAME = (
    ("training", re.compile(r"train|finetun|fine_tun|sft|dpo|lora")),
    ("inference", re.compile(r"infer|generat|predict|sampl|chat|serve|demo|app\.py")),
    ("evaluation", re.compile(r"eval|bench|test_acc")),
    (
        "preprocessing",
        re.compile(r"prepar|preproc|tokeni[sz]e|clean|dedup|filter|build_(?:data|corpus)|make_(?:data|corpus)"),
    ),
    ("modelling", re.compile(r"^model(?:l?ing)?[_.]")),
)


def _roles_by_name(name: str) -> frozenset[str]:
    return frozenset(role for role, words in _BY_NAME if words.search(name))


RECIPES = {"train": "training", "evaluate": "evaluation", "corpus": "preprocessing", "serve": "inference"}


@lru_cache(maxsize=1)
def _architectures() -> frozenset[str]:
    lines = (Path(__file__).parent / "architectures.txt").read_text().splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def knows_architecture(name: str, *, is_gguf: bool = False) -> bool:
    return (f"gguf:{name}" if is_gguf else name) in _architectures()


_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block|blk)\.(\d{1,5})\.")
_EMBEDDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "tok_embeddings.weight",
    "token_embd.weight",
)
_FLOATS = ("F64", "F32", "F16", "BF16")


def mismatches_of(
    config: Mapping[str, Any], tensors: Iterable[tuple[str, str, tuple[int, ...]]]
) -> tuple[list[str], bool]:
    """Where tensors (name, dtype, shape) and a config disagree, and whether there was anything to compare."""
    inner = config.get("text_config")
    known = {**config, **inner} if isinstance(inner, dict) else dict(config)
    layers: set[int] = set()
    embeddings: list[tuple[str, tuple[int, ...]]] = []
    for name, dtype, shape in tensors:
        found = _LAYER.search(name)
        if found is not None and ("encoder" not in name or "decoder" not in name):
            layers.add(int(found[1]))
        if name.endswith(_EMBEDDINGS) and dtype in _FLOATS and len(shape) == 2:
            embeddings.append((name, shape))
    wrong, compared = [], False
    n_layers = _number(known, "num_hidden_layers", "n_layer", "num_layers", "n_layers")
    if n_layers is not None and layers:
        compared = True
        if max(layers) + 1 != n_layers:
            wrong.append(f"{max(layers) + 1} layers, not {n_layers}")
    wide, words = _number(known, "hidden_size", "n_embd", "d_model"), _number(known, "vocab_size")
    for name, shape in embeddings[:2]:
        if wide is None or words is None:
            continue
        compared = True
        # Padded to a round number is the same vocabulary.
        if shape[1] != wide or not words <= shape[0] <= words + 1024:
            wrong.append(f"{name} is {shape[0]} × {shape[1]}, not {words} × {wide}")
    return wrong, compared


def _number(config: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def results_of_card(data: Mapping[str, Any]) -> tuple[list[Result], list[str]]:
    """Lines of ``model-index``, and the data sets they name."""
    results, named = [], []
    models = data.get("model-index")
    for one in models[:20] if isinstance(models, list) else ():
        lines = one.get("results") if isinstance(one, dict) else None
        for line in lines[:200] if isinstance(lines, list) else ():
            if not isinstance(line, dict):
                continue
            task, dataset, metrics = line.get("task"), line.get("dataset"), line.get("metrics")
            has_task = isinstance(task, dict) and bool(task.get("type"))
            has_data = isinstance(dataset, dict) and bool(dataset.get("name") or dataset.get("type"))
            if isinstance(dataset, dict) and isinstance(dataset.get("type"), str) and "/" in dataset["type"]:
                named.append(dataset["type"])
            for metric in metrics[:50] if isinstance(metrics, list) else ():
                is_whole = isinstance(metric, dict) and bool(metric.get("type")) and _is_number(metric.get("value"))
                results.append(Result("README.md", has_task and has_data and is_whole))
    return results[:500], list(dict.fromkeys(named))[:50]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def results_of_file(path: str, found: Any) -> list[Result]:
    """Of a file that lm-eval wrote: ``results`` by task, with ``versions`` and ``config`` beside them."""
    if not isinstance(found, dict) or not isinstance(found.get("results"), dict):
        return []
    is_whole = isinstance(found.get("versions"), dict) or isinstance(found.get("config"), dict)
    return [
        Result(path, is_whole and any(_is_number(value) for value in scores.values()))
        for scores in list(found["results"].values())[:200]
        if isinstance(scores, dict)
    ]
