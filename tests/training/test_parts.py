"""What decides about rows, speed, recipes and comparisons, without a server."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from headwater.training import recipe as recipes
from headwater.training.program import cards, gguf_files, judging, rows, speed, weights
from headwater.training.program.problems import CannotGoOn

CHAT = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好！"}]


@pytest.mark.parametrize(
    ("columns", "method", "form"),
    [
        (["text"], "pretrain", "text"),
        (["prompt", "completion", "text"], "sft", "prompt_completion"),
        (["messages"], "sft", "messages"),
        (["conversations"], "sft", "messages"),
        (["instruction", "input", "output"], "sft", "instruction"),
        (["text"], "sft", "text"),
        (["prompt", "chosen", "rejected"], "dpo", "preference"),
        (["prompt", "completion"], "dpo", None),
        (["prompt", "completion"], "pretrain", None),
    ],
)
def test_the_form_of_rows_is_known_by_their_columns(columns: list[str], method: str, form: str | None) -> None:
    assert rows.find_form(columns, method, "text") == form


@pytest.mark.parametrize(
    ("row", "form", "why"),
    [
        ({"text": " \n"}, "text", "empty text"),
        ({"text": None}, "text", "empty text"),
        ({"prompt": "a", "completion": ""}, "prompt_completion", "empty completion"),
        ({"prompt": None, "completion": "b"}, "prompt_completion", "empty prompt"),
        ({"messages": []}, "messages", "no messages"),
        ({"messages": [{"role": "user", "content": None}]}, "messages", "no messages"),
        ({"messages": CHAT[:1]}, "messages", "no answer"),
        ({"messages": CHAT[1:]}, "messages", "no answer"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "preference", "both answers are the same"),
        ({"prompt": "a", "chosen": "b", "rejected": ""}, "preference", "empty rejected"),
    ],
)
def test_a_row_that_cannot_be_used_has_a_reason(row: dict[str, Any], form: str, why: str) -> None:
    assert rows._take(row, form, "text", is_chat=True) == why


def test_only_the_answer_is_learnt_from_a_conversation() -> None:
    asked = [*CHAT, {"role": "user", "content": "再见"}, {"role": "assistant", "content": "再见！"}]
    taken = rows._take({"messages": asked}, "messages", "text", is_chat=True)
    assert taken == {"prompt": asked[:3], "completion": asked[3:]}
    older = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    taken = rows._take({"conversations": older}, "messages", "text", is_chat=True)
    assert taken == {
        "prompt": [{"role": "user", "content": "a"}],
        "completion": [{"role": "assistant", "content": "b"}],
    }


def test_whole_conversations_of_preferences_part_where_they_differ() -> None:
    other = [CHAT[0], {"role": "assistant", "content": "嗯"}]
    taken = rows._take({"chosen": CHAT, "rejected": other}, "preference", "text", is_chat=True)
    assert taken == {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": other[1:]}


def test_a_prompt_that_fills_the_length_is_no_row() -> None:
    assert rows._has_room("short", lambda _: 10**6, 512)  # so short that nobody counts
    assert not rows._has_room("x" * 600, lambda _: 512, 512)
    assert rows._has_room("x" * 600, lambda _: 511, 512)


def test_mfu_is_that_of_palm() -> None:
    # PaLM 540B: 6144 chips, 238.3 thousand tokens/s of 2048 tokens: 46.2 % with attention (its table 3 and appendix B).
    palm = speed.Shape(n_weights=540_350_000_000, n_adapter=0, n_layers=118, width=48 * 256)
    peak = speed.Peak(6144 * 275, "TPU v4")
    found = speed.mfu(palm, tokens_per_s=238_300, length=2048, peak=peak)
    assert found is not None
    assert abs(found - 0.462) < 0.003
    assert speed.mfu(palm, tokens_per_s=1, length=1, peak=None) is None


def test_a_peak_is_declared_or_known_or_unknown() -> None:
    declared = {"HEADWATER_RUN_PEAK_TFLOPS": "256", "HEADWATER_RUN_PEAK_SOURCE": "its maker"}
    assert speed.find_peak(declared, n_devices=1, device=None, dtype="float32") == speed.Peak(256, "its maker")
    known = speed.find_peak({}, n_devices=2, device="NVIDIA A100-SXM4-80GB", dtype="bfloat16")
    assert known is not None
    assert known.tflops == 624
    assert speed.find_peak({}, n_devices=1, device="NVIDIA A100-SXM4-80GB", dtype="float32") is None
    assert speed.find_peak({}, n_devices=1, device=None, dtype="bfloat16") is None


def test_a_comparison_that_is_no_number_is_within_no_bound() -> None:
    def said(loss: float, *likeliest: int) -> judging.Said:
        return judging.Said(loss, likeliest, len(likeliest))

    close = judging.compare(said(1.0, 1, 2, 3, 4), said(1.01, 1, 2, 3, 5))
    assert math.isclose(close.rise, math.exp(0.01) - 1)
    assert close.same_greedy == 0.75
    assert close.is_within(0.011, None)
    assert not close.is_within(0.009, None)
    assert not close.is_within(0.011, 0.8)
    assert not judging.compare(said(1.0, 1), said(math.nan, 1)).is_within(10, None)
    assert not judging.compare(said(1.0, 1), said(math.inf, 1)).is_within(10, None)


def test_texts_are_cut_into_blocks() -> None:
    def tokenizer(text: str) -> dict[str, list[int]]:
        return {"input_ids": list(range(len(text)))}

    found = judging.blocks(tokenizer, ["x" * 300, "y", "z" * 50], 320)
    assert [len(block) for block in found] == [256, 44, 20]
    with pytest.raises(CannotGoOn, match="no tokens"):
        judging.blocks(tokenizer, ["a"], 100)


def test_a_form_that_no_program_here_writes_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HEADWATER_ENGINES", str(tmp_path / "engines"))
    gguf_files.require(["f16", "Q8_0"])
    with pytest.raises(
        CannotGoOn, match=r"Q4_K_M: written by llama-quantize.*headwater engine install llama\.cpp"
    ) as told:
        gguf_files.require(["f16", "Q4_K_M"])
    assert told.value.code == "no_quantizer"
    program = tmp_path / "engines" / "llama.cpp" / "2.0" / "bin" / "llama-quantize"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    gguf_files.require(["f16", "Q4_K_M"])


@pytest.mark.parametrize(
    "config", [{"max_position_embeddings": 64}, {"n_positions": 64}, {"text_config": {"max_position_embeddings": 64}}]
)
def test_rows_have_to_fit_into_the_context(tmp_path: Path, config: dict[str, Any]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights.require_room(tmp_path, 64)
    with pytest.raises(CannotGoOn, match="max_length is 65 tokens"):
        weights.require_room(tmp_path, 65)
    (tmp_path / "config.json").write_text("[")
    weights.require_room(tmp_path, 65)  # whoever loads it says what is wrong


def test_a_tokenizer_of_another_model_and_layers_that_are_not_there_are_told() -> None:
    linear = SimpleNamespace(in_features=4)
    model = SimpleNamespace(
        named_modules=lambda: [("", object()), ("layers.0.q_proj", linear), ("layers.0.up_proj", linear)],
        get_input_embeddings=lambda: SimpleNamespace(weight=SimpleNamespace(shape=(2, 4))),
    )
    weights.require_fit(model, ["a", "b"])
    with pytest.raises(CannotGoOn, match="has 3 tokens, and the model has embeddings for 2") as told:
        weights.require_fit(model, ["a", "b", "c"])
    assert told.value.code == "contradictory_sizes"
    weights.require_layers(model, ["q_proj", "layers.0.up_proj"])
    with pytest.raises(CannotGoOn, match=r"no layers named proj .* Its linear ones: q_proj, up_proj"):
        weights.require_layers(model, ["q_proj", "proj"])


TRAIN = {"method": "sft", "steps": 10}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"steps": None}, "either `steps` or `epochs`"),
        ({"epochs": 1.0}, "either `steps` or `epochs`"),
        ({"beta": 0.1}, "beta belongs to dpo"),
        ({"warmup_steps": 10}, "no less than steps"),
        ({"schedule": "constant", "warmup_steps": 2}, "constant has no warmup"),
        ({"method": "ppo"}, "pretrain"),
        ({"lora": {"r": 8}}, "Extra inputs"),
        ({"learning_rate": 0}, "greater than 0"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        recipes.TrainRecipe.model_validate({**TRAIN, **fields})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"format": "int8", "types": ["f16"]}, "types are those of GGUF"),
        ({"format": "gguf", "types": ["f16", "f16"]}, "stands twice"),
        ({"format": "gguf", "file": "a.gguf"}, "file names a GGUF file to read"),
        ({"format": "onnx"}, "safetensors"),
    ],
)
def test_a_conversion_that_contradicts_itself_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        recipes.ConvertRecipe.model_validate(fields)


def test_every_type_has_a_bound() -> None:
    assert set(recipes.GgufType.__args__) <= set(recipes.BOUNDS)  # type: ignore[attr-defined]


def test_a_card_takes_over_terms_and_languages_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "---\nlicense: other\nlicense_name: of-theirs\nlanguage: [en, zh]\nbase_model: x/y\ntags: [old]\n---\n# Old\n"
    )
    origin = cards.Origin("ada/base", "0" * 40, cards.read_metadata(tmp_path))
    meta = cards.metadata(
        origin, relation="finetune", datasets=["ada/d"], licence=None, tags=["sft"], library="transformers"
    )
    cards.write(tmp_path, meta, ["# New"])
    written = yaml.safe_load((tmp_path / "README.md").read_text().split("---")[1])
    assert written == {
        "license": "other",
        "license_name": "of-theirs",
        "language": ["en", "zh"],
        "base_model": "ada/base",
        "base_model_relation": "finetune",
        "datasets": ["ada/d"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["sft"],
    }
    declared = cards.metadata(origin, relation=None, licence="mit", tags=[], library="gguf")
    assert declared["license"] == "mit"
    assert "license_name" not in declared
    assert "base_model_relation" not in declared


def test_shape_counts_what_is_multiplied_with() -> None:
    def weight(numbers: int) -> Any:
        return SimpleNamespace(numel=lambda: numbers)

    table, head, body, adapter = weight(40), weight(40), weight(16), weight(8)
    config = SimpleNamespace(num_attention_heads=2, head_dim=0, hidden_size=4, num_hidden_layers=3)

    def model(head: Any) -> Any:
        named = {"table": table, "body": body, "body.lora_A": adapter, **({} if head is table else {"head": head})}
        return SimpleNamespace(
            config=SimpleNamespace(get_text_config=lambda: config),
            named_parameters=lambda: list(named.items()),
            parameters=lambda: list(named.values()),
            get_input_embeddings=lambda: SimpleNamespace(weight=table),
            get_output_embeddings=lambda: SimpleNamespace(weight=head),
        )

    assert speed.shape_of(model(head)) == speed.Shape(40 + 16, 8, 3, 4)  # looking a token up is no multiplication
    assert speed.shape_of(model(table)) == speed.Shape(40 + 16, 8, 3, 4)  # but the table is the head, too


def _dataset(folder: Path, configs: str, **files: str) -> Path:
    made = folder / "data"
    (made / "rows").mkdir(parents=True)
    (made / "README.md").write_text(f"---\n{configs}\n---\n# Rows\n")
    for name, text in files.items():
        (made / "rows" / name.replace("_", ".")).write_text(text)
    return made


@pytest.mark.parametrize(
    "named",
    [
        "configs: [{config_name: default, data_files: OUT/other.csv}]",
        "configs: [{config_name: default, data_files: ../other.csv}]",
        "configs: [{config_name: default, data_files: [{split: train, path: rows/../../other.csv}]}]",
        "configs: [{config_name: default, data_files: 'rows/**/../../../*.csv'}]",
        "configs: [{config_name: default, data_dir: '..'}]",
        "configs: [{config_name: default, data_dir: OUT}]",
        "configs: [{config_name: default, data_files: 'http://127.0.0.1:9/x.csv'}]",
        "configs: [{config_name: default, data_files: 'zip://x.csv::OUT/x.zip'}]",
    ],
)
def test_a_dataset_reads_no_files_but_its_own(tmp_path: Path, named: str) -> None:
    (tmp_path / "other.csv").write_text("text\nsecret\n")
    folder = _dataset(tmp_path, named.replace("OUT", str(tmp_path)), mine_csv="text\nmine\n")
    with pytest.raises(CannotGoOn) as told:
        rows.read(folder, None, "train")
    assert told.value.code == "dataset_unreadable"
    assert "secret" not in str(told.value)


def test_a_dataset_is_read_as_its_card_says(tmp_path: Path) -> None:
    card = (
        "configs: [{config_name: two, data_files: [{split: train, path: rows/a.tsv}, {split: test, path: rows/b.tsv}]}]"
    )
    folder = _dataset(tmp_path, card, a_tsv="text\tn\none, two\t1\n", b_tsv="text\tn\nthree\t2\n")
    assert list(rows.read(folder, "two", "test")["text"]) == ["three"]
    assert list(rows.read(folder, None, "train")["text"]) == ["one, two"]
    assert len(rows.read(folder, None, "train+test")) == 2


def test_columns_that_name_pictures_are_not_opened(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = _dataset(tmp_path, "license: mit")
    features = {"text": {"dtype": "string", "_type": "Value"}, "seen": {"_type": "Image"}}
    picture = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    schema = pa.schema(
        {"text": pa.string(), "seen": picture}, {"huggingface": json.dumps({"info": {"features": features}})}
    )
    table = pa.Table.from_pylist([{"text": "a", "seen": {"bytes": None, "path": "/etc/passwd"}}], schema)
    pq.write_table(table, folder / "rows" / "train.parquet")
    assert rows.read(folder, None, "train").column_names == ["text"]
