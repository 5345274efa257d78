"""Rows of a dataset as the trainers want them; what cannot be used is counted by reason, never silently lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.training.program import own_files
from headwater.training.program.problems import CannotGoOn

# What lies in a dataset beside its data, and would be read as data where its card names no files.
_BESIDE = ("provenance.intoto.json", "corpus-report.json", "dataset_infos.json")
_TEMPLATE_ROOM = 64  # bytes that a chat template may add to a prompt

Message = dict[str, str]
Count = Callable[[Any], int]


@dataclass(frozen=True)
class Rows:
    """``unused`` are counts by reason; ``form`` is how the rows stand in the dataset."""

    data: Any
    read: int
    unused: Mapping[str, int]
    form: str


def read(folder: Path, config: str | None, split: str) -> Any:
    """A split of a dataset that lies in a folder, as its card describes it.

    Raises:
        CannotGoOn
    """
    import datasets

    datasets.disable_progress_bars()
    for name in _BESIDE:
        (folder / name).unlink(missing_ok=True)  # a link of this run's own cache
    try:
        return own_files.load(folder, config, split)
    except CannotGoOn:
        raise
    except Exception as exc:  # the library raises what its readers raise
        text = " ".join(str(exc).replace(str(folder), "the dataset").split())
        raise CannotGoOn("dataset_unreadable", f"The dataset cannot be read (split {split!r}): {text[:600]}") from exc


def find_form(columns: Sequence[str], method: str, text_field: str) -> str | None:
    """Which of the known forms these columns have; None where it is none."""
    has = set(columns)
    if method == "dpo":
        return "preference" if {"chosen", "rejected"} <= has else None
    if method == "sft":
        if {"prompt", "completion"} <= has:
            return "prompt_completion"
        if "messages" in has or "conversations" in has:
            return "messages"
        if {"instruction", "output"} <= has:
            return "instruction"
    return "text" if text_field in has else None


_WANTED = {
    "pretrain": "a column of texts, named by `text_field` ({field!r})",
    "sft": "`prompt` and `completion`, or `messages`, or `instruction` and `output`, or a column of texts ({field!r})",
    "dpo": "`chosen` and `rejected`, with `prompt` or as whole conversations",
}


def prepare(
    data: Any, *, method: str, text_field: str, max_length: int, count: Count | None = None, is_chat: bool
) -> Rows:
    """Rows in one form, without those that cannot be used.

    Args:
        count: tokens of a prompt, as text or as messages. ``is_chat``: the tokenizer has a chat template, so prompts become messages.

    Raises:
        CannotGoOn: no row can be used, with the reasons.
    """
    import datasets

    form = find_form(data.column_names, method, text_field)
    if form is None:
        raise CannotGoOn(
            "no_usable_rows",
            f"No row can be used: {method} needs {_WANTED[method].format(field=text_field)}, "
            f"and the columns are {', '.join(data.column_names) or 'none'}.",
        )
    names = {"text": ("text",), "preference": ("prompt", "chosen", "rejected")}.get(form, ("prompt", "completion"))
    shape: Any = datasets.Value("string")
    if form == "messages" and not is_chat:
        raise CannotGoOn(
            "no_chat_template",
            "The rows are conversations, and the base model's tokenizer has no chat template to write them by. "
            "Take a base model with one, or rows with prompt and completion as texts.",
        )
    if form != "text" and is_chat:
        shape = datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")})
    empty: Any = [] if form != "text" and is_chat else ""

    def take(row: Mapping[str, Any]) -> dict[str, Any]:
        found = _take(row, form, text_field, is_chat=is_chat)
        if not isinstance(found, str) and count is not None and "prompt" in found:
            found = "no room for an answer" if not _has_room(found["prompt"], count, max_length) else found
        if isinstance(found, str):
            return {**dict.fromkeys(names, empty), "why": found}
        return {**found, "why": ""}

    features = datasets.Features({**dict.fromkeys(names, shape), "why": datasets.Value("string")})
    taken = data.map(take, remove_columns=data.column_names, features=features)
    why: Counter[str] = Counter(taken["why"])
    n_good = why.pop("", 0)
    if not n_good:
        told = ", ".join(f"{reason}: {n:,}" for reason, n in why.most_common()) or "there are none"
        raise CannotGoOn(
            "no_usable_rows",
            f"No row of {len(data):,} can be used for {method} ({told}). Mend the dataset, or name another.",
        )
    good = taken.filter(lambda reasons: [not each for each in reasons], input_columns="why", batched=True)
    return Rows(good.remove_columns("why"), len(data), dict(why.most_common()), form)


def _take(row: Mapping[str, Any], form: str, text_field: str, *, is_chat: bool) -> dict[str, Any] | str:
    """The row, or why it cannot be used."""
    if form == "text":
        text = row[text_field]
        return {"text": text} if isinstance(text, str) and text.strip() else "empty text"
    if form == "preference":
        return _preference(row, is_chat=is_chat)
    if form == "messages":
        messages = _messages(row.get("messages") or row.get("conversations"))
        if messages is None:
            return "no messages"
        last = max((n for n, each in enumerate(messages) if each["role"] == "assistant"), default=0)
        if last == 0:
            return "no answer"
        pair: tuple[Any, Any] = messages[:last], [messages[last]]
    elif form == "instruction":
        extra = row.get("input")
        asked = f"{row['instruction']}\n\n{extra}" if row["instruction"] and extra else row["instruction"]
        pair = asked, row["output"]
    else:
        pair = row["prompt"], row["completion"]
    prompt, completion = _side(pair[0], "user", is_chat=is_chat), _side(pair[1], "assistant", is_chat=is_chat)
    if prompt is None:
        return "empty prompt"
    return "empty completion" if completion is None else {"prompt": prompt, "completion": completion}


def _preference(row: Mapping[str, Any], *, is_chat: bool) -> dict[str, Any] | str:
    prompt, chosen, rejected = row.get("prompt"), row["chosen"], row["rejected"]
    if prompt is None and isinstance(chosen, list) and isinstance(rejected, list):  # two whole conversations
        same = next(
            (n for n, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b),
            min(len(chosen), len(rejected)),
        )
        prompt, chosen, rejected = chosen[:same], chosen[same:], rejected[same:]
    found = {
        "prompt": _side(prompt, "user", is_chat=is_chat),
        "chosen": _side(chosen, "assistant", is_chat=is_chat),
        "rejected": _side(rejected, "assistant", is_chat=is_chat),
    }
    for name, value in found.items():
        if value is None:
            return f"empty {name}"
    return "both answers are the same" if found["chosen"] == found["rejected"] else found


def _side(value: Any, role: str, *, is_chat: bool) -> str | list[Message] | None:
    """A prompt or an answer as text, or as messages where there is a template; None where it says nothing."""
    if isinstance(value, str):
        if not value.strip():
            return None
        return [{"role": role, "content": value}] if is_chat else value
    messages = _messages(value)
    if messages is None or not is_chat:
        return None
    return messages


def _messages(value: Any) -> list[Message] | None:
    """As the trainers want them; the older names from/value, too."""
    if not isinstance(value, list) or not value:
        return None
    found = []
    for each in value:
        if not isinstance(each, Mapping):
            return None
        role, content = each.get("role") or each.get("from"), each.get("content") or each.get("value")
        role = {"human": "user", "gpt": "assistant"}.get(str(role), role)
        if not isinstance(role, str) or not isinstance(content, str) or not content.strip():
            return None
        found.append({"role": role, "content": content})
    return found


def _has_room(prompt: str | list[Message], count: Count, max_length: int) -> bool:
    """Whether a token of the answer is left below the limit. A token has at least one byte: short prompts need no counting."""
    texts = [prompt] if isinstance(prompt, str) else [each["content"] for each in prompt]
    if sum(len(text.encode()) + _TEMPLATE_ROOM for text in texts) < max_length:
        return True
    return count(prompt) < max_length
