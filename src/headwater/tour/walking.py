"""The steps of a tour, in their order. Each finds what an earlier tour has left, and does what is missing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headwater.compute.cli import RunsRefused
from headwater.evaluation.publishing import SHIPPED
from headwater.tour import cards, material, recipes
from headwater.tour.errors import TourBrokeOff
from headwater.tour.material import Put, Texts
from headwater.tour.recipes import At, Size
from headwater.tour.visiting import Visit

QUESTION = "Name the capital of France."
SUITE = "headwater-bilingual"
TASKS = ("headwater_bilingual_choice",)  # by likelihoods, so nothing is written: quick on processors alone
MODEL = "SmolLM2-135M-Instruct"
TRAINED = "SmolLM2-135M-Tour"


@dataclass(frozen=True)
class Plan:
    """``has_quantizer``: llama.cpp's programs are here; without them the model is served as safetensors by transformers."""

    size: Size
    gguf: Path
    texts: Sequence[Texts]
    cpus: int
    has_quantizer: bool
    has_server: bool

    @property
    def is_private(self) -> bool:
        """Texts that somebody named are for them alone, and so is what is made of them."""
        return any(each.is_own for each in self.texts)


@dataclass(frozen=True)
class Done:
    """A step: what came of it in a few words, the page to read, and whether it was there already."""

    title: str
    seconds: float
    note: str
    href: str
    was_there: bool


@dataclass(frozen=True)
class Came:
    """What a step gives back."""

    note: str
    href: str
    was_there: bool = False


@dataclass
class Walk:
    """One tour. ``begin`` hears of each step before it is taken, ``end`` after it."""

    visit: Visit
    plan: Plan
    begin: Callable[[int, int, str], None]
    end: Callable[[Done], None]
    at: dict[str, At] = field(default_factory=dict)
    put: list[Put] = field(default_factory=list)
    scores: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    endpoint: str = ""
    answer: str = ""

    def go(self) -> list[Done]:
        """Raises: TourBrokeOff."""
        from huggingface_hub.errors import HfHubHTTPError

        steps: list[tuple[str, Callable[[str], Came]]] = [
            ("Import the model", self._import_model),
            ("Convert it to safetensors", self._to_safetensors),
            ("Import texts", self._import_texts),
            ("Import the suite", self._import_suite),
            ("Build a corpus", self._corpus),
            ("Evaluate before", self._evaluate_before),
            ("Train by LoRA", self._train),
            ("Evaluate after", self._evaluate_after),
            ("Grade its openness", self._grade),
            (f"Convert it to {self._gguf_type}", self._to_gguf),
            ("Serve it", self._serve),
            ("Ask it by the openai SDK", self._ask),
        ]
        done = []
        for number, (title, step) in enumerate(steps, start=1):
            self.begin(number, len(steps), title)
            started = time.monotonic()
            try:
                came = step(title)
            except RunsRefused as refused:
                raise TourBrokeOff(title, refused.message, self.visit.page("runs")) from refused
            except HfHubHTTPError as refused:
                why = refused.server_message or str(refused)
                raise TourBrokeOff(title, why, self.visit.page(self.visit.own)) from refused
            done.append(Done(title, time.monotonic() - started, came.note, came.href, came.was_there))
            self.end(done[-1])
        return done

    @property
    def _gguf_type(self) -> str:
        return "Q4_K_M" if self.plan.has_quantizer else "Q8_0"

    def _name(self, kind: str, name: str) -> str:
        return f"{kind}/{self.visit.own}/{name}"

    def _of_texts(self, kind: str, name: str) -> str:
        """A repository with texts, or made of them: private ones never share one with public ones."""
        return self._name(kind, f"{name}-private" if self.plan.is_private else name)

    # ---- what is brought

    def _import_model(self, title: str) -> Came:
        gguf = self.plan.gguf
        with tempfile.TemporaryDirectory(prefix="headwater-tour-") as name:
            folder = Path(name)
            (folder / gguf.name).symlink_to(gguf)
            (folder / "README.md").write_text(cards.MODEL)
            at, was_there = self.visit.put(self._name("models", f"{MODEL}-GGUF"), folder, "As it is in the wheel")
        self.at["gguf"] = at
        return Came(f"{gguf.stat().st_size / 1e6:.0f} MB", self.visit.page(at.repo), was_there)

    def _import_texts(self, title: str) -> Came:
        size = self.plan.size
        with tempfile.TemporaryDirectory(prefix="headwater-tour-") as name:
            folder = Path(name)
            self.put = material.lay_out(self.plan.texts, folder, most_files=size.most_files, most_bytes=size.most_bytes)
            (folder / "README.md").write_text(cards.texts_card(self.put))
            at, was_there = self.visit.put(
                self._of_texts("datasets", "tour-texts"),
                folder,
                "Texts as they are",
                step=title,
                private=self.plan.is_private,
            )
        self.at["texts"] = at
        note = f"{sum(each.n_files for each in self.put)} files, {sum(each.n_bytes for each in self.put) / 1e6:.1f} MB"
        return Came(note, self.visit.page(at.repo), was_there)

    def _import_suite(self, title: str) -> Came:
        folder = SHIPPED / SUITE
        at, was_there = self.visit.put(self._name("datasets", SUITE), folder, "As it comes with Headwater")
        self.at["suite"] = at
        return Came("200 items of ten abilities, in Chinese and English", self.visit.page(at.repo), was_there)

    # ---- what runs make

    def _run(self, title: str, recipe: str, output: str) -> tuple[dict[str, Any], At, str, bool]:
        run, made, was_there = self.visit.run(title, recipe, output)
        return run, made, self.visit.page(f"runs/{run['id']}"), was_there

    def _to_safetensors(self, title: str) -> Came:
        recipe = recipes.to_safetensors(
            self.at["gguf"], self._name("models", MODEL), size=self.plan.size, cpus=self.plan.cpus
        )
        run, self.at["base"], href, was_there = self._run(title, recipe, "model")
        return Came(_compared(run), href, was_there)

    def _corpus(self, title: str) -> Came:
        recipe = recipes.corpus(
            self.at["texts"], self.at["base"], self.at["suite"], self.put, self._of_texts("datasets", "tour-corpus"),
            cpus=self.plan.cpus, private=self.plan.is_private,
        )  # fmt: skip
        run, self.at["corpus"], href, was_there = self._run(title, recipe, "corpus")
        made = run["result"]
        note = f"{made['documents']:,} of {made['read']['documents']:,} documents, {made['tokens']:,} tokens"
        return Came(note, href, was_there)

    def _evaluate_before(self, title: str) -> Came:
        return self._evaluate(title, self.at["base"], "before")

    def _evaluate_after(self, title: str) -> Came:
        return self._evaluate(title, self.at["trained"], "after")

    def _evaluate(self, title: str, model: At, when: str) -> Came:
        recipe = recipes.evaluate(
            model, self.at["suite"], TASKS, self._of_texts("datasets", "tour-results"),
            when=when, size=self.plan.size, cpus=self.plan.cpus, private=self.plan.is_private,
        )  # fmt: skip
        run, _, href, was_there = self._run(title, recipe, "results")
        total = self.visit.client.call("GET", f"/evaluations/{run['id']}")["total"] or {}
        self.scores[when] = total
        value, error = total.get("value"), total.get("stderr")
        note = "no total" if value is None else f"{100 * value:.1f} of 100"
        if error:  # of one item a task there is none
            note += f", ± {100 * error:.1f}"
        return Came(note, href, was_there)

    def _train(self, title: str) -> Came:
        recipe = recipes.train(
            self.at["base"],
            self.at["corpus"],
            self._of_texts("models", TRAINED),
            size=self.plan.size,
            cpus=self.plan.cpus,
            private=self.plan.is_private,
        )
        run, self.at["trained"], href, was_there = self._run(title, recipe, "model")
        made = run["result"]
        note = f"{made['steps']} steps, loss {made['first_loss']:.2f} → {made['loss']:.2f}, {made['tokens_per_s']:.0f} tokens/s"
        return Came(note, href, was_there)

    def _grade(self, title: str) -> Came:
        trained = self.at["trained"]
        found = self.visit.grade(title, trained.repo, trained.commit)
        note = f"{found['label']}, {len(found['evidence'])} criteria"
        return Came(note, self.visit.page(f"{trained.repo}/openness"))

    def _to_gguf(self, title: str) -> Came:
        recipe = recipes.to_gguf(
            self.at["trained"], self._of_texts("models", f"{TRAINED}-GGUF"),
            types=[self._gguf_type], size=self.plan.size, cpus=self.plan.cpus, private=self.plan.is_private,
        )  # fmt: skip
        run, self.at["served"], href, was_there = self._run(title, recipe, "model")
        return Came(_compared(run), href, was_there)

    # ---- use

    def _serve(self, title: str) -> Came:
        if self.plan.has_server:
            model, engine = self.at["served"], "llama.cpp"
        else:
            model, engine = self.at["trained"], "transformers"
        found, was_there = self.visit.serve(title, model, "tour", engine=engine, context_tokens=2048, slots=2)
        self.endpoint = found["model"]
        note = f"by {found['engine']}"
        if not self.plan.has_server:
            note += ", the safetensors: llama.cpp is not here (`headwater engine install llama.cpp`)"
        return Came(note, self.visit.page(f"endpoints/{found['model']}"), was_there)

    def _ask(self, title: str) -> Came:
        self.answer = self.visit.ask(title, self.endpoint, QUESTION, max_tokens=48)
        if not self.answer:
            raise TourBrokeOff(title, "the model answered nothing", self.visit.page(f"endpoints/{self.endpoint}"))
        return Came(f"{QUESTION} → {self.answer}", self.visit.page("playground"))

    def pages(self) -> dict[str, str]:
        """The addresses of all that is to be seen, by what it is."""
        page, trained = self.visit.page, self.at["trained"].repo
        return {
            "the model that was trained": page(trained),
            "how open it is": page(f"{trained}/openness"),
            "where it comes from": page(f"{trained}/lineage"),
            "its evaluations": page(f"{trained}/evaluations"),
            "the corpus and its report": page(f"{self.at['corpus'].repo}/corpus"),
            "the leaderboard": page(f"{self.at['suite'].repo}/leaderboard?partial=1"),
            "all runs": page("runs"),
            "the endpoint": page(f"endpoints/{self.endpoint}"),
            "the playground": page("playground"),
            "what was used": page("settings/usage"),
        }


def _compared(run: Mapping[str, Any]) -> str:
    written = (run["result"] or {}).get("written") or []
    return ", ".join(
        f"{each['form']}: {each['bytes'] / 1e6:.0f} MB, perplexity {each['rise']:+.1%}" for each in written
    )
