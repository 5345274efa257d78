"""Training: recipes that make a model out of a model and a dataset, and recipes that write a model in another form.

Runs of the kinds ``train`` and ``convert``; their programs, and all that they import, lie in ``training.program``, which the
server never loads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.web import Site

__all__ = ["install"]

TRAIN_NEEDS = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
CONVERT_NEEDS = ("torch", "transformers", "accelerate", "gguf", "torchao", "convert_hf_to_gguf")

_TRAIN = """kind: train
name: "Training: $name"
inputs:
  base: {repo: $model}
  data: {repo: $dataset}
outputs:
  model: {repo: models/$owner/$name-trained}
resources: {cpus: 2, memory_gb: 4}
retries: 1                # after a kill, it goes on from its last checkpoint
with:
  method: sft             # pretrain | sft | dpo
  steps: 60               # or epochs
  lora: {rank: 8}         # without it, all weights are trained
  learning_rate: 2.0e-4
  batch_size: 4
  max_length: 512
"""
_CONVERT = """kind: convert
name: "For llama.cpp: $name"
inputs:
  model: {repo: $model}
outputs:
  model: {repo: models/$owner/$name-GGUF}
resources: {cpus: 2, memory_gb: 4}
with:
  format: gguf            # safetensors | gguf | int8
  types: [Q4_K_M]
"""


def install(site: Site) -> None:
    """Register both kinds of run."""
    from headwater import compute
    from headwater.training import checking, pages

    compute.register(
        compute.Kind(
            name="train",
            model="headwater.training.recipe:TrainRecipe",
            program="headwater.training.program.train",
            extra="train",
            needs=TRAIN_NEEDS,
            check=checking.check_train,
            panel="training/train.html",
            panel_data=pages.trained_of,
            labels={"en": "Training", "zh-CN": "训练"},
            example=_TRAIN,
            example_of=("model", "dataset"),
        )
    )
    compute.register(
        compute.Kind(
            name="convert",
            model="headwater.training.recipe:ConvertRecipe",
            program="headwater.training.program.convert",
            extra="train",
            needs=CONVERT_NEEDS,
            check=checking.check_convert,
            panel="training/convert.html",
            panel_data=pages.converted_of,
            labels={"en": "Conversion", "zh-CN": "转换"},
            example=_CONVERT,
            example_of=("model",),
        )
    )
