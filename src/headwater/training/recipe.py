"""What stands under ``with:`` in recipes of the kinds ``train`` and ``convert``.

Imported when the first such recipe is read, for pydantic is heavy. Nothing here reads a file.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_FILE = r"^[^\x00-\x1f\\]{1,400}$"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lora(_Part):
    """Low-rank adapters instead of all weights (Hu et al. 2021)."""

    rank: int = Field(8, ge=1, le=1024)
    alpha: float = Field(16, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] = Field((), description="Names of layers; without any, all linear ones but the head.")
    merge: bool = Field(True, description="Write the whole model; without it, the adapter alone.")


class Checkpoints(_Part):
    every: int = Field(100, ge=1, description="Optimizer steps between two.")
    revisions: bool = Field(True, description="Put each into the output, as branch step-N.")


class TrainRecipe(_Part):
    """A model out of the input `base` and the input `data`, into the output `model`."""

    method: Literal["pretrain", "sft", "dpo"]
    data_config: str | None = Field(None, max_length=200, description="Of a dataset that has several.")
    split: str = Field("train", min_length=1, max_length=200)
    text_field: str = Field("text", min_length=1, max_length=200, description="With pretrain, and sft on plain texts.")
    lora: Lora | None = Field(None, description="Train adapters; without it, all weights.")
    steps: int | None = Field(None, ge=1, le=10**8, description="Optimizer steps. Give this or `epochs`.")
    epochs: float | None = Field(None, gt=0, le=10_000)
    batch_size: int = Field(4, ge=1, le=65536, description="Rows in one pass of one device.")
    accumulate: int = Field(1, ge=1, le=65536, description="Passes of one optimizer step.")
    max_length: int = Field(512, ge=8, le=1_048_576, description="Tokens of one row, and of one packed block.")
    learning_rate: float = Field(2e-5, gt=0)
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    beta: float | None = Field(None, gt=0, description="Of DPO: how closely the model stays to where it began.")
    precision: Literal["float32", "bfloat16", "mixed"] = Field(
        "float32", description="Of weights and arithmetic; mixed: float32 weights, bfloat16 products."
    )
    gradient_checkpointing: bool = False
    log_every: int = Field(1, ge=1)
    checkpoints: Checkpoints = Checkpoints()  # type: ignore[call-arg]
    licence: str | None = Field(None, max_length=100, description="Of the result; without it, that of the base model.")
    description: str = Field("", max_length=4000)

    @model_validator(mode="after")
    def _consistent(self) -> TrainRecipe:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("say how long: either `steps` or `epochs`")
        if self.beta is not None and self.method != "dpo":
            raise ValueError(f"beta belongs to dpo, and the method is {self.method}")
        if self.steps is not None and self.warmup_steps >= self.steps and self.warmup_steps > 0:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) is no less than steps ({self.steps})")
        if self.schedule == "constant" and self.warmup_steps:
            raise ValueError("the schedule constant has no warmup: use constant_with_warmup")
        return self


GgufType = Literal["f32", "f16", "bf16", "Q8_0", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K"]

# The perplexity of what comes out may be so much above that of what went in (0.01: one per cent), where a recipe does not say.
BOUNDS = {
    "float32": 0.005,
    "bfloat16": 0.03,
    "float16": 0.03,
    "int8": 0.05,
    "f32": 0.005,
    "f16": 0.01,
    "bf16": 0.02,
    "Q8_0": 0.02,
    "Q6_K": 0.03,
    "Q5_K_M": 0.06,
    "Q4_K_M": 0.12,
    "Q4_K_S": 0.15,
    "Q4_0": 0.20,
}


class ConvertCheck(_Part):
    """What must hold between the two models, or the run fails and writes nothing."""

    max_perplexity_rise: Annotated[float, Field(ge=0, le=10)] | None = Field(
        None, description="0.02: at most 2 % above. Without it, a bound by the form of the result."
    )
    min_same_greedy: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="The share of positions at which both models find the same token likeliest."
    )
    texts: tuple[Annotated[str, Field(min_length=1, max_length=20_000)], ...] = Field(
        (),
        max_length=100,
        description="On which; without any, the input `data`, or a few texts in English and Chinese.",
    )
    text_field: str = Field("text", min_length=1, max_length=200)
    tokens: int = Field(2048, ge=16, le=10**7, description="At most so many are looked at.")


class ConvertRecipe(_Part):
    """The input `model` in another form, into the output `model`."""

    format: Literal["safetensors", "gguf", "int8"] = Field(
        description="safetensors: out of a GGUF file; gguf: for llama.cpp; int8: weights of 8 bits, by torchao."
    )
    file: str | None = Field(None, pattern=_FILE, description="Of several GGUF files, the one to read.")
    types: tuple[GgufType, ...] = Field((), max_length=9, description="With gguf: one file each.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("bfloat16", description="Of safetensors that are written.")
    check: ConvertCheck = ConvertCheck()  # type: ignore[call-arg]
    licence: str | None = Field(None, max_length=100, description="Of the result; without it, that of the input.")

    @model_validator(mode="after")
    def _consistent(self) -> ConvertRecipe:
        if self.types and self.format != "gguf":
            raise ValueError(f"types are those of GGUF files, and the format is {self.format}")
        if len(set(self.types)) != len(self.types):
            raise ValueError("a type stands twice among types")
        if self.file is not None and self.format != "safetensors":
            raise ValueError(f"file names a GGUF file to read, and the format {self.format} reads safetensors")
        return self

    @property
    def wanted(self) -> tuple[GgufType, ...]:
        return self.types or ("Q4_K_M",)
