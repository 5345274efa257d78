"""``python -m headwater.training.program.train``: one run of kind ``train``."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from headwater.compute.program import Cancelled, Run
from headwater.training import recipe as recipes
from headwater.training.checking import BASE, DATA, OUTPUT
from headwater.training.program import cards, rows, speed, weights
from headwater.training.program.problems import CannotGoOn, NotFinite

_NAMES = {
    "pretrain": "Continued pre-training",
    "sft": "Supervised fine-tuning",
    "dpo": "Direct preference optimization",
}
_CURVES = "training/curves.jsonl"


class Training:
    """One attempt: from the inputs to commits."""

    def __init__(self, run: Run, recipe: recipes.TrainRecipe) -> None:
        self.run, self.recipe = run, recipe
        self.work = run.folder / "training"
        self.base = run.input_repo(BASE)[1]
        self.base_commit = run.input_commit(BASE)
        self.data = run.input_repo(DATA)[1]
        self.base_folder = run.input(BASE, allow=weights.READ)
        self.origin = cards.Origin(self.base, self.base_commit, cards.read_metadata(self.base_folder))
        self.revisions: list[str] = []
        self.is_cancelled = False
        self.resumed_from: int | None = None

    def go(self) -> None:
        """Raises: CannotGoOn."""
        weights.require_room(self.base_folder, self.recipe.max_length)
        tokenizer = weights.load_tokenizer(self.base_folder)
        found = self._rows(tokenizer)
        self.run.note(_say_rows(found))
        precision = "bfloat16" if self.recipe.precision == "bfloat16" else "float32"
        import torch  # its import takes seconds: whatever is wrong before it is told at once

        torch.manual_seed(self.run.seed)
        model = weights.load_model(self.base_folder, precision)
        weights.require_fit(model, tokenizer)
        if self.recipe.lora is not None:
            weights.require_layers(model, self.recipe.lora.targets)
        from headwater.training.program import teaching

        shutil.rmtree(self.work / "trainer", ignore_errors=True)
        clock = teaching.Clock()
        trainer = teaching.make_trainer(
            self.recipe,
            model=model,
            tokenizer=tokenizer,
            rows=found.data,
            folder=self.work / "trainer",
            seed=self.run.seed,
            use_cpu=int(self.run.recipe["resources"]["gpus"]) == 0,
            form=found.form,
        )
        if not len(trainer.train_dataset):
            raise CannotGoOn("no_usable_rows", "All rows together have fewer tokens than one block (`max_length`).")
        trainer.clock = clock
        hands = teaching.Hands(
            metrics=self.run.metrics,
            progress=lambda done, total: self.run.progress(done, total, "steps"),
            keep=self._keep,
            is_cancelled=lambda: self.is_cancelled,
        )
        trainer.add_callback(teaching.Telling(hands, clock))
        self.run.on_cancel(self._hear_cancel)
        checkpoint = self.run.last_checkpoint()
        if checkpoint is not None:
            self.resumed_from = int(checkpoint.name)
            self.revisions = [*_read_list(self.work / "revisions.json")]
            self.run.note(f"It goes on from the checkpoint of step {self.resumed_from}.")
            if self.recipe.checkpoints.revisions and f"step-{self.resumed_from}" not in self.revisions:
                self._publish(checkpoint, self.resumed_from)  # it was killed between the two
        begun_cpu_s = time.process_time()
        try:
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        except NotFinite as exc:
            self._stop_at(exc)
        if self.is_cancelled:
            self.run.note(f"It was cancelled after step {trainer.state.global_step}; {self._say_kept()}.")
            raise Cancelled
        clock.settle()
        clock.cpu_s = time.process_time() - begun_cpu_s
        self._finish(trainer, tokenizer, found, clock)

    # ---- what it reads

    def _rows(self, tokenizer: Any) -> rows.Rows:
        recipe = self.recipe
        data = rows.read(self.run.input(DATA), recipe.data_config, recipe.split)
        is_chat = recipe.method != "pretrain" and bool(tokenizer.chat_template)

        def count(prompt: Any) -> int:
            if isinstance(prompt, str):
                return len(tokenizer(prompt)["input_ids"])
            return len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False))

        return rows.prepare(
            data,
            method=recipe.method,
            text_field=recipe.text_field,
            max_length=recipe.max_length,
            count=count,
            is_chat=is_chat,
        )

    # ---- what it keeps on its way

    def _keep(self, folder: Path, step: int) -> None:
        kept = self.run.checkpoint(folder, step=step)
        if self.recipe.checkpoints.revisions:
            self._publish(kept, step)

    def _publish(self, checkpoint: Path, step: int) -> str:
        """Put a checkpoint's weights into the output, as a branch."""
        name, out = f"step-{step}", self.work / "checkpoint"
        shutil.rmtree(out, ignore_errors=True)
        weights.take_checkpoint(checkpoint, out, base=self.base, commit=self.base_commit)
        weights.take_licences(self.base_folder, out)
        is_adapter = self.recipe.lora is not None
        cards.write(
            out,
            self._metadata(is_adapter=is_adapter),
            [
                f"# Checkpoint at step {step}",
                "",
                f"Kept by run {self.run.id} on its way; the branch `main` has the result.",
            ],
        )
        self.run.output(OUTPUT).commit(out, f"Checkpoint at step {step}", revision=name)
        shutil.rmtree(out)
        if name not in self.revisions:
            self.revisions.append(name)
            (self.work / "revisions.json").write_text(json.dumps(self.revisions))
        return name

    def _stop_at(self, exc: NotFinite) -> None:
        kept = self.run.last_checkpoint()
        if kept is not None and f"step-{int(kept.name)}" not in self.revisions:
            self._publish(kept, int(kept.name))
        self.run.fail(
            "loss_not_finite",
            f"Training was stopped: {exc}. {self._say_kept()[:1].upper()}{self._say_kept()[1:]}. "
            "A lower learning rate, more warmup steps or a smaller max_grad_norm may help; look at the rows of that step, too.",
        )

    def _say_kept(self) -> str:
        kept = self.run.last_checkpoint()
        if kept is None:
            return "no checkpoint had been made before it"
        name = f"step-{int(kept.name)}"
        where = f"branch {name} of {self.run.output(OUTPUT).repo}" if name in self.revisions else "the run's folder"
        return f"the last good checkpoint is that of step {int(kept.name)}, kept as {where}"

    def _hear_cancel(self) -> None:
        self.is_cancelled = True

    # ---- what comes out

    def _finish(self, trainer: Any, tokenizer: Any, found: rows.Rows, clock: Any) -> None:
        import torch

        recipe, out = self.recipe, self.work / "out"
        state = trainer.state
        model = trainer.accelerator.unwrap_model(trainer.model)
        devices = 0 if str(trainer.args.device) == "cpu" else max(1, trainer.args.n_gpu)
        peak = speed.find_peak(
            os.environ,
            n_devices=max(1, devices),
            device=torch.cuda.get_device_name(0) if devices and torch.cuda.is_available() else None,
            dtype="float32" if recipe.precision == "float32" else "bfloat16",
        )
        shape = speed.shape_of(model)
        length = clock.tokens / clock.sequences if clock.sequences else 0.0
        mfu = speed.mfu(shape, tokens_per_s=clock.per_s, length=length, peak=peak)
        is_adapter = recipe.lora is not None and not recipe.lora.merge
        if recipe.lora is not None and recipe.lora.merge:
            model = model.merge_and_unload()
        shutil.rmtree(out, ignore_errors=True)
        weights.save(model, tokenizer, out, base=self.base, commit=self.base_commit)
        weights.take_licences(self.base_folder, out)
        log = [entry for entry in state.log_history if "loss" in entry or "eval_loss" in entry]
        (out / "training").mkdir()
        (out / _CURVES).write_text("".join(json.dumps(entry) + "\n" for entry in state.log_history))
        losses = [(int(entry["step"]), float(entry["loss"])) for entry in log if "loss" in entry]
        (out / "training" / "loss.svg").write_text(cards.draw("loss", losses))
        facts: dict[str, Any] = {
            "method": recipe.method,
            "steps": int(state.global_step),
            "loss": losses[-1][1] if losses else None,
            "first_loss": losses[0][1] if losses else None,
            "rows": len(found.data),
            "read": found.read,
            "unused": dict(found.unused),
            "tokens": clock.tokens,
            "tokens_per_s": round(clock.per_s, 2),
            "cpu_s": round(clock.cpu_s, 2),
            "mfu": mfu,
            "mfu_formula": speed.FORMULA_ADAPTERS if shape.n_adapter else speed.FORMULA,
            "peak": None if peak is None else f"{peak.tflops:g} TFLOP/s, {peak.source}",
            "weights": shape.n_weights,
            "adapter_weights": shape.n_adapter,
            "device": "cpu" if not devices else str(trainer.args.device),
            "resumed_from": self.resumed_from,
            "revisions": self.revisions,
        }
        cards.write(out, self._metadata(is_adapter=is_adapter), self._card(facts, losses))
        commit = self.run.output(OUTPUT).commit(out, f"{_NAMES[recipe.method]} of {self.base}, {facts['steps']} steps")
        self.run.result({**facts, "commit": commit})
        shutil.rmtree(self.work, ignore_errors=True)

    def _metadata(self, *, is_adapter: bool) -> dict[str, Any]:
        return cards.metadata(
            self.origin,
            relation="adapter" if is_adapter else "finetune",
            datasets=[self.data],
            licence=self.recipe.licence,
            tags=[self.recipe.method, *(["lora"] if self.recipe.lora else [])],
            library="peft" if is_adapter else "transformers",
        )

    def _card(self, facts: dict[str, Any], losses: list[tuple[int, float]]) -> list[str]:
        recipe = self.recipe
        name = self.run.output(OUTPUT).repo
        how = _NAMES[recipe.method] + (f" with LoRA (rank {recipe.lora.rank})" if recipe.lora else " of all weights")
        mfu = "unknown: no peak of this machine is declared" if facts["mfu"] is None else f"{100 * facts['mfu']:.1f} %"
        length = f"{recipe.steps:,} steps" if recipe.steps else f"{recipe.epochs:g} epochs"
        lines = [
            f"# {name}",
            "",
            *([cards.prose(recipe.description), ""] if recipe.description else []),
            (f"{how} of [{self.base}](/{self.base}) (commit `{self.base_commit[:12]}`) on "
            f"[{self.data}](/datasets/{self.data}) (commit `{self.run.input_commit(DATA)[:12]}`), made by "
            f"[run {self.run.id}](/runs/{self.run.id})."),
            "",
            "## Training",
            "",
            *cards.table([
                ("Length", f"{length}, {recipe.batch_size} rows × {recipe.accumulate} a step, up to {recipe.max_length} tokens each"),
                ("Learning rate", f"{recipe.learning_rate:g}, {recipe.schedule}, {recipe.warmup_steps} steps of warmup"),
                ("Weight decay, gradient norm", f"{recipe.weight_decay:g}, at most {recipe.max_grad_norm:g}"),
                ("Precision", recipe.precision),
                ("Seed", str(self.run.seed)),
                ("Rows", f"{facts['rows']:,} of {facts['read']:,} read"),
                *[("Rows left out", f"{why}: {n:,}") for why, n in facts["unused"].items()],
            ]),
            "",
            "## What it took",
            "",
            *cards.table([
                ("Tokens", f"{facts['tokens']:,}" + (f" since step {facts['resumed_from']}" if facts["resumed_from"] else "")),
                ("Tokens a second", f"{facts['tokens_per_s']:,.1f} on {facts['device']}"),
                ("MFU", mfu),
                ("Formula", facts["mfu_formula"]),
                ("Peak", facts["peak"] or "not declared"),
            ]),
            "",
            "## Curves",
            "",
            "![loss by step](training/loss.svg)",
            "",
            "| Step | Loss |",
            "|---:|---:|",
            *[f"| {step:,} | {loss:.4f} |" for step, loss in _some(losses)],
            "",
            f"All points are in `{_CURVES}`.",
        ]  # fmt: skip
        if facts["revisions"]:
            links = ", ".join(f"[`{each}`](/{name}/tree/{each})" for each in facts["revisions"])
            lines += ["", "## Checkpoints", "", f"As branches: {links}."]
        return lines


def _some(losses: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Ten of them, with the first and the last."""
    if len(losses) <= 10:
        return losses
    return [losses[round(n * (len(losses) - 1) / 9)] for n in range(10)]


def _say_rows(found: rows.Rows) -> str:
    unused = ", ".join(f"{why}: {n:,}" for why, n in found.unused.items())
    return f"{len(found.data):,} of {found.read:,} rows are used" + (f"; left out: {unused}." if unused else ".")


def _read_list(path: Path) -> list[str]:
    return [str(each) for each in json.loads(path.read_text())] if path.is_file() else []


def main() -> None:
    with Run.from_environment() as run:
        recipe = recipes.TrainRecipe.model_validate(run.own)
        (run.folder / "training").mkdir(exist_ok=True)
        try:
            Training(run, recipe).go()
        except CannotGoOn as exc:
            run.fail(exc.code, str(exc))


if __name__ == "__main__":
    main()
