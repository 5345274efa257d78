"""``python -m headwater.training.program.convert``: one run of kind ``convert``."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.compute.program import Run
from headwater.training import recipe as recipes
from headwater.training.checking import DATA, MODEL, OUTPUT
from headwater.training.program import cards, gguf_files, judging, rows, weights
from headwater.training.program.problems import CannotGoOn


@dataclass(frozen=True)
class Written:
    """One form of the model that was written, and how it compares with what it was made of."""

    form: str
    files: tuple[Path, ...]
    compared: judging.Compared
    bound: float

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files)

    def told(self) -> dict[str, Any]:
        return {
            "form": self.form,
            "files": ", ".join(path.name for path in self.files[:5]),
            "bytes": self.size_bytes,
            "perplexity_before": self.compared.before,
            "perplexity": self.compared.after,
            "rise": self.compared.rise,
            "bound": self.bound,
            "same_greedy": self.compared.same_greedy,
        }


class Conversion:
    def __init__(self, run: Run, recipe: recipes.ConvertRecipe) -> None:
        self.run, self.recipe = run, recipe
        self.source, self.commit = run.input_repo(MODEL)[1], run.input_commit(MODEL)
        self.out = run.folder / "converted"
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()

    def go(self) -> None:
        """Raises: CannotGoOn."""
        act = {"safetensors": self._to_safetensors, "gguf": self._to_gguf, "int8": self._to_int8}[self.recipe.format]
        folder = self._fetch()
        written = list(act(folder))
        origin = cards.Origin(self.source, self.commit, cards.read_metadata(folder))
        weights.take_licences(folder, self.out)
        self._write_card(origin, written)
        names = ", ".join(each.form for each in written)
        commit = self.run.output(OUTPUT).commit(self.out, f"{names} of {self.source}")
        self.run.result(
            {"commit": commit, "tokens": written[0].compared.tokens, "written": [each.told() for each in written]}
        )
        shutil.rmtree(self.out)

    def _fetch(self) -> Path:
        if self.recipe.format != "safetensors":
            if self.recipe.format == "gguf":
                gguf_files.require(self.recipe.wanted)
            return self.run.input(MODEL, allow=weights.READ)
        return self.run.input(MODEL, allow=[self._gguf(), "README.md", "LICENSE*", "NOTICE*"])

    def _gguf(self) -> str:
        """The file to read, without fetching the others."""
        if self.recipe.file is not None:
            return self.recipe.file
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self.run.endpoint, token=self.run.token)
        files = api.list_repo_files(self.source, revision=self.commit)
        found = sorted(each for each in files if each.lower().endswith(".gguf"))
        if len(found) != 1:
            names = ", ".join(found[:20]) or "none"
            do = "Name one under `file`." if found else "Name a repository that has one."
            raise CannotGoOn("which_file", f"The model has {len(found)} GGUF files ({names}). {do}")
        return found[0]

    # ---- the three ways

    def _to_safetensors(self, folder: Path) -> Iterator[Written]:
        file, dtype = self._gguf(), self.recipe.dtype
        tokenizer = weights.load_gguf_tokenizer(folder, file)
        tokens = self._tokens(tokenizer)
        self.run.progress(0, 2, file)
        model = weights.load_gguf(folder, file, "float32")
        before = judging.ask(model, tokens)
        self.run.progress(1, 2, dtype)
        import torch

        model.to(getattr(torch, dtype))
        model.config.dtype = getattr(torch, dtype)
        ends = tokenizer.eos_token_id
        if ends is not None:
            model.generation_config.eos_token_id = ends
            model.generation_config.pad_token_id = (
                tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends
            )
        weights.save(model, tokenizer, self.out, base=self.source, commit=self.commit)
        del model
        gc.collect()
        again = weights.load_tokenizer(self.out)
        if self._tokens(again) != tokens:
            raise CannotGoOn(
                "bound_not_met", "The tokenizer that was written cuts the texts of the check into other tokens."
            )
        after = judging.ask(weights.load_model(self.out, dtype), tokens)
        yield self._judged(f"safetensors {dtype}", dtype, sorted(self.out.glob("*.safetensors")), before, after)

    def _to_gguf(self, folder: Path) -> Iterator[Written]:
        tokenizer = weights.load_tokenizer(folder)
        tokens = self._tokens(tokenizer)
        model = weights.load_model(folder, "float32")
        weights.require_fit(model, tokenizer)
        before = judging.ask(model, tokens)
        del model
        name = self.source.partition("/")[2]
        wanted, middle = self.recipe.wanted, self.run.folder / "middle"
        shutil.rmtree(middle, ignore_errors=True)
        middle.mkdir()
        half: Path | None = None
        for done, kind in enumerate(wanted):
            self.run.progress(done, len(wanted), kind)
            path = self.out / f"{name}-{kind}.gguf"
            if kind in gguf_files.DIRECT:
                gguf_files.convert(folder, path, kind, name=name)
            else:
                if half is None:
                    half = middle / "f16.gguf"
                    gguf_files.convert(folder, half, "f16", name=name)
                gguf_files.quantize(half, path, kind)
            after = judging.ask(weights.load_gguf(self.out, path.name, "float32"), tokens)
            gc.collect()
            yield self._judged(kind, kind, [path], before, after)
        shutil.rmtree(middle)

    def _to_int8(self, folder: Path) -> Iterator[Written]:
        from torchao.quantization import Int8WeightOnlyConfig
        from transformers import AutoModelForCausalLM, TorchAoConfig

        tokenizer = weights.load_tokenizer(folder)
        tokens = self._tokens(tokenizer)
        model = weights.load_model(folder, "float32")
        weights.require_fit(model, tokenizer)
        before = judging.ask(model, tokens)
        del model
        gc.collect()
        import torch

        self.run.progress(1, 2, "int8")
        # Only so does the library write them: what is quantized after loading cannot be saved.
        made = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=torch.bfloat16,
            quantization_config=TorchAoConfig(Int8WeightOnlyConfig()),
            local_files_only=True,
            use_safetensors=True,
        )
        weights.save(made, tokenizer, self.out, base=self.source, commit=self.commit)
        del made
        gc.collect()
        again = AutoModelForCausalLM.from_pretrained(str(self.out), dtype=torch.bfloat16, local_files_only=True)
        after = judging.ask(again, tokens)
        yield self._judged("int8", "int8", sorted(self.out.glob("*.safetensors")), before, after)

    # ---- whether it is still the same model

    def _tokens(self, tokenizer: Any) -> list[list[int]]:
        check = self.recipe.check
        texts: Sequence[str] = check.texts
        if not texts and DATA in self.run.recipe["inputs"]:
            texts = self._texts_of_data(check.text_field, check.tokens)
        return judging.blocks(tokenizer, texts or judging.TEXTS, check.tokens)

    def _texts_of_data(self, field: str, most: int) -> list[str]:
        data = rows.read(self.run.input(DATA), None, "train")
        if field not in data.column_names:
            names = ", ".join(data.column_names)
            raise CannotGoOn("no_texts", f"The dataset of the check has no column {field!r}; it has {names}.")
        return [text for text in data[: min(len(data), most)][field] if isinstance(text, str) and text.strip()]

    def _judged(
        self, form: str, kind: str, files: Sequence[Path], before: judging.Said, after: judging.Said
    ) -> Written:
        """Raises: CannotGoOn: it is another model."""
        check, compared = self.recipe.check, judging.compare(before, after)
        bound = recipes.BOUNDS[kind] if check.max_perplexity_rise is None else check.max_perplexity_rise
        said = (
            f"{form}: perplexity {compared.before:.4g} before, {compared.after:.4g} after ({100 * compared.rise:+.2f} %, "
            f"allowed {100 * bound:.2f} %); the same likeliest token at {100 * compared.same_greedy:.1f} % of "
            f"{compared.tokens:,} positions"
        )
        if not compared.is_within(bound, check.min_same_greedy):
            wanted = "" if check.min_same_greedy is None else f" (at least {100 * check.min_same_greedy:.1f} % wanted)"
            raise CannotGoOn("bound_not_met", f"{said}{wanted}. Nothing was written.")
        self.run.note(f"{said}.")
        return Written(form, tuple(files), compared, bound)

    # ---- its card

    def _write_card(self, origin: cards.Origin, written: Sequence[Written]) -> None:
        is_gguf = self.recipe.format == "gguf"
        meta = cards.metadata(
            origin,
            relation=None if self.recipe.format == "safetensors" else "quantized",
            licence=self.recipe.licence,
            tags=["gguf"] if is_gguf else ["int8", "torchao"] if self.recipe.format == "int8" else [],
            library="gguf" if is_gguf else "transformers",
        )
        lines = [
            f"# {self.run.output(OUTPUT).repo}",
            "",
            (
                f"[{self.source}](/{self.source}) (commit `{self.commit[:12]}`) in another form, made by "
                f"[run {self.run.id}](/runs/{self.run.id})."
            ),
            "",
            "## How it compares",
            "",
            "| Form | GB | Perplexity before | after | Rise | Allowed | Same likeliest token |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *(
                f"| {each.form} | {each.size_bytes / 1e9:.3f} | {each.compared.before:.4g} | {each.compared.after:.4g} | "
                f"{100 * each.compared.rise:+.2f} % | {100 * each.bound:.2f} % | {100 * each.compared.same_greedy:.1f} % |"
                for each in written
            ),
            "",
            (
                f"Both models foretold the same {written[0].compared.tokens:,} tokens, each from those before it, in blocks of "
                f"{judging.BLOCK}. Weights of a GGUF file were read back and computed with in float32: the file is what is judged, "
                "not an engine's own arithmetic."
            ),
        ]
        cards.write(self.out, meta, lines)


def main() -> None:
    with Run.from_environment() as run:
        recipe = recipes.ConvertRecipe.model_validate(run.own)
        try:
            Conversion(run, recipe).go()
        except CannotGoOn as exc:
            run.fail(exc.code, str(exc))


if __name__ == "__main__":
    main()
