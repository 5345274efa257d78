"""What steps need out of inputs: the tokenizer, word lists, texts of evaluation datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from headwater.corpora import recipe as recipes
from headwater.corpora.program.operators.encoding import decode
from headwater.corpora.program.problems import CannotBuild
from headwater.corpora.program.reading import is_within, iter_rows, open_parquet, places_of
from headwater.corpora.program.steps import Materials

Found = Callable[[str], Path]
_LARGEST_TOKENIZER = 256 << 20
_LARGEST_LIST = 64 << 20
_LARGEST_EVALUATION = 2 << 30


def gather(recipe: recipes.CorpusRecipe, input_path: Found, input_name: Callable[[str], str]) -> Materials:
    """Read what the recipe names. All problems are told together.

    Args:
        input_path: where an input's files lie.
        input_name: what an input is called in the report: repository@commit.

    Raises:
        CannotBuild
    """
    problems: list[str] = []
    tokenizer = None
    tokenizer_name = None
    if recipe.tokenizer is not None:
        tokenizer_name = f"{input_name(recipe.tokenizer.input)}:{recipe.tokenizer.file}"
        try:
            tokenizer = _small(input_path(recipe.tokenizer.input), recipe.tokenizer.file, _LARGEST_TOKENIZER)
            _check_tokenizer(tokenizer)
        except (OSError, ValueError) as exc:
            problems.append(
                f"The tokenizer {tokenizer_name} cannot be used: {exc}. Name a tokenizer.json in `tokenizer`."
            )
    lists: dict[str, tuple[str, ...]] = {}
    evaluations: dict[str, tuple[tuple[str, str], ...]] = {}
    for step in recipe.steps:
        if isinstance(step, recipes.WordList) and step.input is not None and step.file is not None:
            try:
                lists[step.name] = _words(_small(input_path(step.input), step.file, _LARGEST_LIST))
            except (OSError, ValueError) as exc:
                problems.append(f"The word list {step.file} of {input_name(step.input)} cannot be used: {exc}.")
        elif isinstance(step, recipes.Decontaminate):
            found, wrong = _items(step, input_path(step.input))
            problems += [f"The evaluation dataset {input_name(step.input)}: {each}" for each in wrong]
            # Two steps may look for different fields of one dataset.
            evaluations[step.input] = evaluations.get(step.input, ()) + found
    if problems:
        raise CannotBuild("materials_unusable", problems)
    return Materials(tokenizer, tokenizer_name, lists, evaluations)


def _small(root: Path, name: str, most: int) -> bytes:
    path = root / name
    if not path.is_file() or not is_within(path, places_of(root, is_input=True)):
        raise ValueError("there is no such file")
    if path.stat().st_size > most:
        raise ValueError(f"it is larger than {most >> 20} MiB")
    return path.read_bytes()


def _check_tokenizer(data: bytes) -> None:
    from tokenizers import Tokenizer

    try:
        Tokenizer.from_buffer(data)
    except Exception as exc:
        raise ValueError(f"it is no tokenizer.json ({exc})") from exc


def _words(data: bytes) -> tuple[str, ...]:
    decoded = decode(data)
    lines = [] if decoded is None else decoded.text.splitlines()
    words = tuple(word for line in lines if (word := line.strip()) and not word.startswith("#"))
    if not words:
        raise ValueError("it has no words")
    return words


def _items(step: recipes.Decontaminate, root: Path) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    within = places_of(root, is_input=True)
    matched = {path for pattern in step.files for path in root.glob(pattern)}
    paths = sorted(path for path in matched if path.is_file() and is_within(path, within))
    if not paths:
        return (), [f"no file matches {'; '.join(step.files)}. Correct `files`."]
    if sum(path.stat().st_size for path in paths) > _LARGEST_EVALUATION:
        return (), [f"what it holds is larger than {_LARGEST_EVALUATION >> 30} GiB. Name its test files in `files`."]
    items: list[tuple[str, str]] = []
    problems = []
    n_characters = 0
    for path in paths:
        name = path.relative_to(root).as_posix()
        try:
            for row, value in enumerate(_rows(path)):
                texts = [text for text in _texts(value, step.fields) if text.strip()]
                items.extend((f"{name}:{row}", text) for text in texts)
                n_characters += sum(map(len, texts))
                if n_characters > _LARGEST_EVALUATION:
                    return (), [
                        f"its texts are longer than {_LARGEST_EVALUATION >> 30} GiB. Name its fields in `fields`."
                    ]
        except (pa.ArrowException, orjson.JSONDecodeError, OSError) as exc:
            problems.append(f"{name} cannot be read ({str(exc)[:200]}).")
    if not items and not problems:
        named = f" in the fields {', '.join(step.fields)}" if step.fields else ""
        problems.append(f"there is no text{named}. Correct `fields`.")
    return tuple(items), problems


def _rows(path: Path) -> Iterator[Any]:
    if path.suffix == ".parquet":
        with open_parquet(path) as file:
            for group in range(file.num_row_groups):
                yield from iter_rows(file, group, file.schema_arrow.names)
    else:
        with path.open("rb") as lines:
            yield from (orjson.loads(line) for line in lines if line.strip())


def _texts(value: Any, fields: tuple[str, ...]) -> Iterator[str]:
    """All texts of a row, however deep, or of its named fields."""
    waiting = [value.get(name) for name in reversed(fields)] if fields and isinstance(value, dict) else [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, bytes):
            each = each.decode("utf-8", "replace")
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting.extend(reversed(each.values()))
        elif isinstance(each, list):
            waiting.extend(reversed(each))
