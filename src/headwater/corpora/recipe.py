"""What stands under ``with:`` in a recipe of kind ``corpus``: sources, steps, and how the result is written.

Imported when the first such recipe is read, for pydantic is heavy. Nothing here reads a file: what a recipe names is looked up by the kind's check and by the program.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

MOST_SOURCES = 500
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_GLOB = re.compile(r"[^\x00-\x1f\\]{1,256}")
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _pattern(value: str) -> str:
    """What ``Path.glob`` takes, and what cannot lead out of the folder that it is given to."""
    parts = PurePosixPath(value).parts
    if not _GLOB.fullmatch(value) or not parts or value.startswith("/") or ".." in parts:
        raise ValueError(f"{value!r} is no pattern of paths below the source")
    if any("**" in part and part != "**" for part in parts):
        raise ValueError(f"{value!r} has ** beside something else: it stands for whole folders, as in **/*.txt")
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]
Share = Annotated[float, Field(ge=0, le=1)]


class Period(_Part):
    """When the texts are from, as far as it is known."""

    begin: str | None = Field(None, alias="from", description="YYYY, YYYY-MM or YYYY-MM-DD.")
    end: str | None = Field(None, alias="to")

    @model_validator(mode="after")
    def _ordered(self) -> Period:
        for each in (self.begin, self.end):
            if each is not None and not _DATE.fullmatch(each):
                raise ValueError(f"{each!r} is no date: write YYYY, YYYY-MM or YYYY-MM-DD, in quotation marks")
        if self.begin and self.end and self.begin[:10] > self.end[: len(self.begin)]:
            raise ValueError(f"the period ends ({self.end}) before it begins ({self.begin})")
        return self


class Source(_Part):
    """Where texts come from. Earlier sources win where two hold the same document."""

    name: str = Field(pattern=_NAME)
    input: str | None = Field(None, description="One of the recipe's `inputs`.")
    folder: str | None = Field(None, description="A folder that the administrator of the site allows.")
    files: tuple[Pattern, ...] = Field(
        ("**/*",), min_length=1, max_length=100, description="Patterns of paths; ** crosses folders."
    )
    format: Literal["auto", "jsonl", "parquet", "txt", "html", "man"] = "auto"
    documents: Literal["file", "line", "paragraph"] = Field("file", description="What one document of a TXT file is.")
    text_field: str = Field("text", min_length=1, max_length=200)
    id_field: str | None = None
    date_field: str | None = None
    licence_field: str | None = None
    encoding: str | None = Field(None, description="What the bytes are said to be; believed when they are not UTF-8.")
    description: str = Field("", max_length=2000)
    licence: str | None = Field(None, max_length=200, description="An SPDX expression, or other words.")
    rights: str = Field("", max_length=2000, description="By what right these texts are used.")
    period: Period = Period()  # type: ignore[call-arg]
    weight: float | None = Field(None, ge=0, description="Its part of the mixture; with the step `mix`.")

    @field_validator("folder")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and (not value.startswith("/") or ".." in PurePosixPath(value).parts):
            raise ValueError(f"{value!r} is not an absolute path without ..")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if (self.input is None) == (self.folder is None):
            raise ValueError("say where it is: either `input` (one of the recipe's inputs) or `folder`")
        return self


class Extract(_Part):
    """HTML to its main content, manual pages to their text. Files of those formats are extracted without it."""

    op: Literal["extract"]
    layout: Literal["auto", "html", "man"] = "auto"


class Normalize(_Part):
    """Mend wrongly decoded text; one Unicode form, one kind of line end, nothing invisible."""

    op: Literal["normalize"]
    form: Literal["NFKC", "NFC"] = "NFKC"
    keep_cjk_punctuation: bool = True
    max_lost_share: Share = 0.05


class Language(_Part):
    """Name the language of each document; let only some stay."""

    op: Literal["language"]
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = ()
    min_score: Share = 0.3


class Rules(_Part):
    """Rules of Gopher and C4, counted so that they mean the same for Chinese. null leaves one out."""

    op: Literal["rules"]
    min_words: float | None = Field(20, ge=0)
    max_words: float | None = Field(100_000, gt=0)
    min_mean_word_length: float | None = Field(3, ge=0)
    max_mean_word_length: float | None = Field(12, gt=0)
    max_symbols_per_word: float | None = Field(0.1, ge=0)
    max_bullet_lines: Share | None = 0.9
    max_ellipsis_lines: Share | None = 0.3
    min_words_with_letters: Share | None = 0.7
    max_digits: Share | None = 0.3
    min_stop_words: int | None = Field(2, ge=0)
    min_sentences: int | None = Field(1, ge=0)
    min_ending_lines: Share | None = None
    curly_braces: bool = True
    lorem_ipsum: bool = False
    javascript_notices: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Rules:
        for least, most in (("min_words", "max_words"), ("min_mean_word_length", "max_mean_word_length")):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and low > high:
                raise ValueError(f"{least} ({low:g}) is above {most} ({high:g}): every document would go")
        return self


_Lengths = dict[Annotated[int, Field(ge=2, le=50)], Share]


class Repetition(_Part):
    """Lines, paragraphs and n-grams that come again and again, at Gopher's shares."""

    op: Literal["repetition"]
    lines: Share | None = 0.3
    paragraphs: Share | None = 0.3
    line_characters: Share | None = 0.2
    paragraph_characters: Share | None = 0.2
    top_ngrams: _Lengths = {2: 0.2, 3: 0.18, 4: 0.16}
    repeated_ngrams: _Lengths = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1}

    @field_validator("top_ngrams", "repeated_ngrams", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        # Keys of YAML are texts here.
        return (
            {int(k) if isinstance(k, str) and k.isdecimal() else k: v for k, v in value.items()}
            if isinstance(value, dict)
            else value
        )


class WordList(_Part):
    """Words of the author's own: documents with them go, or the words are covered."""

    op: Literal["words"]
    name: str = Field("words", pattern=_NAME)
    words: tuple[str, ...] = Field((), max_length=10_000)
    input: str | None = Field(None, description="An input that has the list as a file.")
    file: str | None = Field(None, description="Its path there: UTF-8, one word a line, # begins a comment.")
    action: Literal["drop", "replace"] = "drop"
    min_hits: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _one_list(self) -> WordList:
        if bool(self.words) == (self.input is not None) or (self.input is None) != (self.file is None):
            raise ValueError("give either `words`, or `input` and `file`")
        if any(not word.strip() for word in self.words):
            raise ValueError("an empty word is in every document")
        return self


class PersonalData(_Part):
    """Identity numbers, bank cards, telephone numbers, e-mail addresses, keys."""

    op: Literal["pii"]
    kinds: tuple[Literal["identity", "bank_card", "phone", "email", "key"], ...] = Field(
        ("identity", "bank_card", "phone", "email", "key"), min_length=1
    )
    action: Literal["replace", "drop"] = "replace"


class Decontaminate(_Part):
    """Documents that hold texts of an evaluation dataset go."""

    op: Literal["decontaminate"]
    input: str = Field(description="An input: a dataset repository.")
    files: tuple[Pattern, ...] = Field(("**/*.parquet", "**/*.jsonl"), min_length=1, max_length=100)
    fields: tuple[str, ...] = Field((), description="Fields to look for; without any, all that hold text.")
    n: int = Field(13, ge=4, le=100)
    min_units: int = Field(8, ge=3, le=100)

    @model_validator(mode="after")
    def _consistent(self) -> Decontaminate:
        if self.min_units > self.n:
            raise ValueError(f"min_units ({self.min_units}) is above n ({self.n})")
        return self


class Exact(_Part):
    """Of documents that are the same but for case and white space, the first stays."""

    op: Literal["exact"]


class Fuzzy(_Part):
    """Of documents with nearly the same character 5-shingles, the first stays; each pair is verified."""

    op: Literal["fuzzy"]
    threshold: float = Field(0.7, ge=0.5, le=1)
    permutations: int = Field(128, ge=128, le=1024)
    bands: int = Field(25, ge=1, le=512)
    rows: int = Field(5, ge=1, le=64)

    @model_validator(mode="after")
    def _fits(self) -> Fuzzy:
        if self.bands * self.rows > self.permutations:
            raise ValueError(
                f"{self.bands} bands of {self.rows} rows need {self.bands * self.rows} permutations, not {self.permutations}"
            )
        found = 1 - (1 - self.threshold**self.rows) ** self.bands
        if found < 0.9:
            raise ValueError(
                f"{self.bands} bands of {self.rows} rows would find only {found:.0%} of the pairs at similarity {self.threshold:g}: "
                "take more bands or fewer rows"
            )
        return self


class Mix(_Part):
    """Take of each source as its weight says; what is scarcest sets the size."""

    op: Literal["mix"]
    max_tokens: int | None = Field(None, ge=1)


LocalStep = Extract | Normalize | Language | Rules | Repetition | WordList | PersonalData | Decontaminate
Step = Annotated[LocalStep | Exact | Fuzzy | Mix, Field(discriminator="op")]
_LATE = {"exact": 1, "fuzzy": 2, "mix": 3}


class Tokenizer(_Part):
    input: str
    file: str = "tokenizer.json"


# Not made by calling the classes: what has a default is no argument to a checker of types.
DEFAULT_STEPS: tuple[Any, ...] = tuple(
    kind.model_validate({"op": op})
    for op, kind in (
        ("normalize", Normalize),
        ("language", Language),
        ("rules", Rules),
        ("repetition", Repetition),
        ("pii", PersonalData),
        ("exact", Exact),
        ("fuzzy", Fuzzy),
    )
)


class CorpusRecipe(_Part):
    """Sources, through steps, into shards of Parquet with a card and a report."""

    sources: tuple[Source, ...] = Field(min_length=1, max_length=MOST_SOURCES)
    steps: tuple[Step, ...] = Field(DEFAULT_STEPS, max_length=50)
    tokenizer: Tokenizer | None = Field(
        None, description="What tokens are counted with; without it they are estimated, and called so."
    )
    max_document_mb: float = Field(8, gt=0, le=64, description="A longer document goes, with its reason.")
    shard_mb: float = Field(256, ge=1, le=4096)
    preview: int | None = Field(None, ge=1, le=1000, description="Only show what the steps do to so many documents.")
    engine: Literal["native", "ray"] = "native"
    description: str = Field("", max_length=5000)
    licence: str | None = Field(None, max_length=200, description="Of the corpus as a whole, for its card.")

    @model_validator(mode="after")
    def _consistent(self) -> CorpusRecipe:
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sources have the name {twice[0]!r}")
        late = [_LATE[step.op] for step in self.steps if step.op in _LATE]
        if late != sorted(set(late)) or any(step.op not in _LATE for step in self.steps[len(self.steps) - len(late) :]):
            raise ValueError(
                "exact, fuzzy and mix look at all documents together: put them last, in this order, each once"
            )
        lists = [step.name for step in self.steps if isinstance(step, WordList)]
        if len(lists) != len(set(lists)) or set(lists) & _STEP_NAMES:
            raise ValueError("each word list needs a `name` of its own, which is not that of another step")
        mixes = any(isinstance(step, Mix) for step in self.steps)
        if mixes and not any(source.weight for source in self.sources):
            raise ValueError("the step mix needs a source with a `weight`")
        if not mixes and any(source.weight is not None for source in self.sources):
            raise ValueError("sources have a `weight`, but there is no step mix")
        return self

    def inputs_named(self) -> dict[str, str]:
        """Which inputs it needs, by the place in the recipe that names each."""
        named = {f"sources.{i}.input": s.input for i, s in enumerate(self.sources) if s.input is not None}
        for i, step in enumerate(self.steps):
            if isinstance(step, Decontaminate) or (isinstance(step, WordList) and step.input is not None):
                named[f"steps.{i}.input"] = str(step.input)
        if self.tokenizer is not None:
            named["tokenizer.input"] = self.tokenizer.input
        return named


_STEP_NAMES = frozenset(
    {
        "source",
        "extract",
        "normalize",
        "language",
        "rules",
        "repetition",
        "pii",
        "contamination",
        "exact",
        "fuzzy",
        "mix",
        "tokens",
    }
)
