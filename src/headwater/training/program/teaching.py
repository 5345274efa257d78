"""The trainers, with what a run adds to them: curves, checkpoints, speed, and an end where the loss is no number any more."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from headwater.compute.models import METRIC_NAME
from headwater.training.program.problems import NotFinite
from headwater.training.recipe import TrainRecipe

_MOST_TOKEN_COUNTS = 256


@dataclass
class Clock:
    """Tokens and seconds inside steps: saving and sending is not training. The first step warms caches up and does not count."""

    tokens: int = 0
    timed_tokens: int = 0
    seconds: float = 0.0
    sequences: int = 0
    steps: int = 0
    begun: float = 0.0
    cpu_s: float = 0.0  # of the whole loop, saving and telling included
    _waiting: list[Any] = field(default_factory=list)
    _step_tokens: list[Any] = field(default_factory=list)

    def see(self, inputs: dict[str, Any]) -> None:
        mask = inputs.get("attention_mask")
        ids = inputs.get("input_ids")
        if ids is None:
            return
        self.sequences += int(ids.shape[0])
        # Kept on the device: to ask it now would make it wait.
        self._step_tokens.append(ids.numel() if mask is None else mask.sum())

    def end_step(self) -> None:
        self.steps += 1
        if self.steps > 1:
            self.seconds += time.perf_counter() - self.begun
            self._waiting += [(each, True) for each in self._step_tokens]
        else:
            self._waiting += [(each, False) for each in self._step_tokens]
        self._step_tokens = []
        if len(self._waiting) > _MOST_TOKEN_COUNTS:
            self.settle()

    def settle(self) -> None:
        for each, is_timed in self._waiting:
            self.tokens += int(each)
            self.timed_tokens += int(each) if is_timed else 0
        self._waiting = []

    @property
    def per_s(self) -> float:
        return self.timed_tokens / self.seconds if self.seconds else 0.0


@dataclass
class Hands:
    """What the callbacks do with what they see, given by the program."""

    metrics: Callable[[int, dict[str, float]], None]
    progress: Callable[[int, int], None]
    keep: Callable[[Path, int], None]
    is_cancelled: Callable[[], bool]


class Telling(TrainerCallback):  # type: ignore[misc]
    def __init__(self, hands: Hands, clock: Clock) -> None:
        self.hands, self.clock = hands, clock

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.clock.begun = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.clock.end_step()
        self.hands.progress(state.global_step, state.max_steps)
        if self.hands.is_cancelled():
            control.should_save = control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        numbers = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        # The library's summary of the whole (train_runtime and the like) is one point each, and no curve.
        points = {
            name: n for name, n in numbers.items() if METRIC_NAME.fullmatch(name) and not name.startswith("train_")
        }
        self.hands.metrics(state.global_step, points)
        for name in ("loss", "grad_norm"):
            if name in numbers and not math.isfinite(numbers[name]):
                what = "the loss" if name == "loss" else "the gradient"
                raise NotFinite(state.global_step, f"{what} was {numbers[name]}")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        for name, parameter in kwargs["model"].named_parameters():
            if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
                raise NotFinite(state.global_step, f"a weight ({name}) was no finite number")
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self.hands.keep(folder, state.global_step)
        shutil.rmtree(folder, ignore_errors=True)  # the run keeps its own


class _Counted:
    """A trainer that tells the clock what it is about to learn from."""

    clock: Clock

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self.clock.see(inputs)
        return super().training_step(model, inputs, *args, **kwargs)  # type: ignore[misc]


class CountedSft(_Counted, SFTTrainer):  # type: ignore[misc]
    pass


class CountedDpo(_Counted, DPOTrainer):  # type: ignore[misc]
    pass


def make_trainer(
    recipe: TrainRecipe, *, model: Any, tokenizer: Any, rows: Any, folder: Path, seed: int, use_cpu: bool, form: str
) -> Any:
    """The trainer for a recipe. What it writes for itself goes below ``folder``."""
    seed %= 1 << 32
    common: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": seed,
        "data_seed": seed,
        "per_device_train_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.accumulate,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": recipe.warmup_steps,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "max_steps": recipe.steps or -1,
        "num_train_epochs": recipe.epochs or 1.0,
        "bf16": recipe.precision == "mixed",
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "max_length": recipe.max_length,
        "logging_strategy": "steps",
        "logging_steps": recipe.log_every,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # which would hide what a run must stop for
        "save_strategy": "steps",
        "save_steps": recipe.checkpoints.every,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": use_cpu,
        "push_to_hub": False,
    }
    adapters = None
    if recipe.lora is not None:
        adapters = LoraConfig(
            r=recipe.lora.rank,
            lora_alpha=recipe.lora.alpha,
            lora_dropout=recipe.lora.dropout,
            target_modules=list(recipe.lora.targets) or "all-linear",
            task_type="CAUSAL_LM",
        )
    given = {"model": model, "processing_class": tokenizer, "train_dataset": rows, "peft_config": adapters}
    if recipe.method == "dpo":
        if recipe.beta is not None:
            common["beta"] = recipe.beta
        return CountedDpo(args=DPOConfig(**common), **given)
    own: dict[str, Any] = {"packing": recipe.method == "pretrain", "packing_strategy": "wrapped"}
    if form != "text":
        own["completion_only_loss"] = True
    trainer = CountedSft(args=SFTConfig(**common, **own), **given)
    if (
        recipe.method == "pretrain"
    ):  # a block of one token, as the last may be, foretells nothing: its loss is no number
        trainer.train_dataset = trainer.train_dataset.filter(
            lambda blocks: [len(ids) > 1 for ids in blocks], input_columns="input_ids", batched=True
        )
    return trainer
