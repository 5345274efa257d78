"""How fast a training goes: tokens a second, and which share of the machine's peak they are.

MFU = tokens per second * FLOPs per token / peak FLOP/s, as in PaLM (Chowdhery et al. 2022, arXiv:2204.02311, appendix B):
FLOPs per token = 6 N + 12 L H Q T, for N weights that are multiplied with, L layers, H heads of size Q and sequences of T tokens.
Where only adapters are trained, the weights of the base model have no gradients of their own: 4 N + 6 N_adapter + 12 L H Q T.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FORMULA = "tokens/s × (6N + 12LHQT) / peak (PaLM, arXiv:2204.02311, appendix B)"
FORMULA_ADAPTERS = "tokens/s × (4N + 6N_adapter + 12LHQT) / peak (after PaLM, arXiv:2204.02311, appendix B)"

# Dense peaks in TFLOP/s with bfloat16 inputs, from the makers' data sheets; part of the name that the driver tells.
_KNOWN = {
    "A100": (312.0, "NVIDIA A100 data sheet: BF16 Tensor Core, dense"),
    "H100 80GB HBM3": (989.4, "NVIDIA H100 data sheet: SXM, BF16 Tensor Core, dense"),
}


@dataclass(frozen=True)
class Peak:
    """Of all devices that the run uses together."""

    tflops: float
    source: str


@dataclass(frozen=True)
class Shape:
    """What the arithmetic of a model depends on."""

    n_weights: int
    n_adapter: int
    n_layers: int
    width: int  # heads times their size

    def flops_per_token(self, length: float) -> float:
        each = 4 * self.n_weights + 6 * self.n_adapter if self.n_adapter else 6 * self.n_weights
        return each + 12 * self.n_layers * self.width * length


def shape_of(model: Any) -> Shape:
    """Weights of embeddings count where they are the head, too: looking one up is no multiplication."""
    config = model.config.get_text_config()
    heads = int(getattr(config, "num_attention_heads", 0) or 0)
    size = int(getattr(config, "head_dim", 0) or (config.hidden_size // heads if heads else 0))
    adapters = sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)
    total = sum(p.numel() for p in model.parameters()) - adapters
    inner, outer = model.get_input_embeddings(), model.get_output_embeddings()
    if inner is not None and (outer is None or inner.weight is not outer.weight):
        total -= inner.weight.numel()
    return Shape(total, adapters, int(getattr(config, "num_hidden_layers", 0) or 0), heads * size)


def find_peak(environ: Mapping[str, str], *, n_devices: int, device: str | None, dtype: str) -> Peak | None:
    """What the operator declares of this machine, else what is known of its accelerators."""
    declared = environ.get("HEADWATER_RUN_PEAK_TFLOPS")
    if declared:
        return Peak(float(declared), environ.get("HEADWATER_RUN_PEAK_SOURCE") or "declared by the operator")
    if device is None or dtype == "float32":
        return None
    for part, (tflops, source) in _KNOWN.items():
        if part in device:
            return Peak(tflops * n_devices, f"{n_devices} × {source}" if n_devices > 1 else source)
    return None


def mfu(shape: Shape, *, tokens_per_s: float, length: float, peak: Peak | None) -> float | None:
    if peak is None or peak.tflops <= 0:
        return None
    return tokens_per_s * shape.flops_per_token(length) / (peak.tflops * 1e12)
