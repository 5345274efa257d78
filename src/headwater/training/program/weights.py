"""Models read from folders, and written so that nothing in them names this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headwater.training.program.problems import CannotGoOn

READ = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.tiktoken", "README.md", "LICENSE*", "NOTICE*"]
_LEFT_OUT = ("trainer_state.json",)
_CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")
_LICENCES = ("LICENSE*", "NOTICE*", "LICENCE*")


def load_tokenizer(folder: Path) -> Any:
    """Raises: CannotGoOn."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as exc:  # whatever its files make the library raise
        raise CannotGoOn("no_tokenizer", f"The model's tokenizer cannot be read: {_words(exc, folder)}") from exc
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(folder: Path, dtype: str) -> Any:
    """A causal language model out of safetensors; no code of its repository runs, and no pickle is read.

    Raises:
        CannotGoOn
    """
    import torch
    from transformers import AutoModelForCausalLM

    if not any(folder.glob("*.safetensors")):
        raise CannotGoOn(
            "no_weights",
            "The model has no safetensors at its top. A GGUF is turned into them by a recipe of kind convert with "
            "`format: safetensors`; pickles by the page of the file.",
        )
    try:
        return AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except Exception as exc:
        raise CannotGoOn("model_unreadable", f"The model cannot be read: {_words(exc, folder)}") from exc


def require_room(folder: Path, max_length: int) -> None:
    """That the model's context holds rows of so many tokens: told from its settings, before anything large is loaded.

    Raises:
        CannotGoOn
    """
    try:
        said = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return  # loading it says what is wrong
    inner = said.get("text_config") if isinstance(said, dict) else None
    for settings in (said, inner):
        if not isinstance(settings, dict):
            continue
        for name in _CONTEXT:
            context = settings.get(name)
            if isinstance(context, int) and 0 < context < max_length:
                raise CannotGoOn(
                    "contradictory_sizes",
                    f"max_length is {max_length:,} tokens, and the base model's context has {context:,} ({name} in its "
                    "config.json). Lower max_length, or take a base model with a longer context.",
                )


def require_fit(model: Any, tokenizer: Any) -> None:
    """That the model knows every token that the tokenizer may give.

    Raises:
        CannotGoOn
    """
    known = int(model.get_input_embeddings().weight.shape[0])
    if len(tokenizer) > known:
        raise CannotGoOn(
            "contradictory_sizes",
            f"The tokenizer has {len(tokenizer):,} tokens, and the model has embeddings for {known:,}. "
            "They are not of the same model: mend the repository.",
        )


def require_layers(model: Any, targets: Sequence[str]) -> None:
    """That adapters find the layers that a recipe names.

    Raises:
        CannotGoOn
    """
    names = [name for name, _ in model.named_modules()]
    absent = [each for each in targets if not any(name == each or name.endswith(f".{each}") for name in names)]
    if absent:
        there = sorted(
            {name.rpartition(".")[2] for name, part in model.named_modules() if hasattr(part, "in_features")}
        )
        raise CannotGoOn(
            "no_such_layers",
            f"The base model has no layers named {', '.join(absent)} (lora.targets). Its linear ones: {', '.join(there[:20])}.",
        )


def load_gguf(folder: Path, file: str, dtype: str) -> Any:
    """A model out of a GGUF file, as one that can be saved: built anew from its settings, with its weights.

    What the library gives for a GGUF says that it is quantized, and refuses to be written.

    Raises:
        CannotGoOn
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        read = AutoModelForCausalLM.from_pretrained(
            str(folder), gguf_file=file, dtype=getattr(torch, dtype), local_files_only=True
        )
    except Exception as exc:
        raise CannotGoOn("model_unreadable", f"{file} cannot be read: {_words(exc, folder)}") from exc
    config = type(read.config).from_dict(
        {name: value for name, value in read.config.to_dict().items() if name != "quantization_config"}
    )
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = getattr(torch, dtype)
    made = type(read)(config).to(getattr(torch, dtype))
    missing, unexpected = made.load_state_dict(read.state_dict(), strict=False)
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    if set(missing) - tied or unexpected:
        odd = ", ".join([*missing, *unexpected][:5])
        raise CannotGoOn("model_unreadable", f"{file} does not hold what its settings name: {odd}")
    made.tie_weights()
    made.generation_config = read.generation_config
    return made.eval()


def load_gguf_tokenizer(folder: Path, file: str) -> Any:
    """Raises: CannotGoOn."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), gguf_file=file, local_files_only=True)
    except Exception as exc:
        raise CannotGoOn("no_tokenizer", f"The tokenizer in {file} cannot be read: {_words(exc, folder)}") from exc


def save(model: Any, tokenizer: Any, folder: Path, *, base: str, commit: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    clean(folder, base=base, commit=commit)


def take_checkpoint(checkpoint: Path, folder: Path, *, base: str, commit: str) -> None:
    """What of a trainer's checkpoint is the model: without optimizer, random state and pickles."""
    folder.mkdir(parents=True)
    for path in checkpoint.iterdir():
        if path.suffix in (".safetensors", ".json", ".jinja", ".model", ".txt") and path.name not in _LEFT_OUT:
            shutil.copy2(path, folder / path.name)
    clean(folder, base=base, commit=commit)


def take_licences(source: Path, folder: Path) -> None:
    """The terms of the base model go with what was made of it."""
    for pattern in _LICENCES:
        for path in source.glob(pattern):
            shutil.copyfile(path, folder / path.name)


def clean(folder: Path, *, base: str, commit: str) -> None:
    """Settings name the repository that the weights come from, instead of a folder of this host."""
    for name, key in (("config.json", "_name_or_path"), ("adapter_config.json", "base_model_name_or_path")):
        path = folder / name
        if not path.is_file():
            continue
        said = json.loads(path.read_text())
        if key in said:
            said[key] = base
            if name == "adapter_config.json":
                said["revision"] = commit
            path.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n")
    path = folder / "tokenizer_config.json"
    if path.is_file():
        said = json.loads(path.read_text())
        kept = {
            key: value for key, value in said.items() if key not in ("name_or_path", "is_local", "local_files_only")
        }
        if kept != said:
            path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def _words(exc: Exception, folder: Path) -> str:
    return " ".join(str(exc).replace(str(folder), "the repository").split())[:600] or type(exc).__name__
