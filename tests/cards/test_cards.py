"""From a README to data, tags and messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.hub.cards import check_readme, licences, metadata
from headwater.hub.cards.reading import parse_readme
from headwater.hub.cards.tags import FileFacts, derive, to_filters
from headwater.hub.models import RepoKind
from headwater.scanning.front_matter import split

CARD = """---
license: apache-2.0
language: [zh, en, no]
library_name: transformers
pipeline_tag: text-generation
tags: [chat, 大语言模型]
datasets: [lab/corpus]
base_model: lab/base
base_model_relation: finetune
---
# 模型

See https://arxiv.org/abs/2401.12345v2.
"""


def errors(readme, kind=RepoKind.MODEL):
    return [p.message for p in check_readme(readme, kind) if p.is_error]


def warnings(readme, kind=RepoKind.MODEL):
    return [p.message for p in check_readme(readme, kind) if not p.is_error]


@pytest.mark.parametrize(
    ("readme", "yaml", "body"),
    [
        ("---\na: 1\n---\nbody", "a: 1", "body"),
        ("---\r\na: 1\r\n---\r\nbody", "a: 1", "body"),
        ("\ufeff---\na: 1\n---\n", "a: 1", ""),
        ("\n\n---\na: 1\n---", "a: 1", ""),
        ("---\n---\nbody", "", "body"),
        ("# no front matter\n---\n", None, "# no front matter\n---\n"),
        ("---\nnever closed", None, "---\nnever closed"),
        ("---\na: 1\n----\nb: 2\n---\n", "a: 1\n----\nb: 2", ""),
        ("", None, ""),
    ],
)
def test_front_matter_is_what_stands_between_dashes_at_the_start(readme, yaml, body):
    found, rest, _ = split(readme)
    assert (found, rest) == (yaml, body)


@given(st.text(st.sampled_from("-\n\r a:"), max_size=40) | st.text(max_size=40))
def test_splitting_never_fails_and_never_invents(readme):
    found, body, _ = split(readme)
    assert body in readme.removeprefix("\ufeff")
    assert found is None or found in readme


def test_a_good_card_gives_its_data_and_no_complaint():
    data, body, problems = parse_readme(CARD, RepoKind.MODEL)
    assert data["language"] == ["zh", "en", "no"]
    assert body.startswith("# 模型")
    assert problems == ()


def test_tags_of_a_model():
    data, body, _ = parse_readme(CARD, RepoKind.MODEL)
    files = FileFacts(
        ("config.json", "model.safetensors"), {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    )
    found = derive(RepoKind.MODEL, data, body, files)
    assert found.library == "transformers"
    assert found.pipeline_tag == "text-generation"
    assert found.tags == (
        "transformers", "safetensors", "llama", "text-generation", "chat", "大语言模型", "zh", "en", "no", "dataset:lab/corpus",
        "arxiv:2401.12345", "base_model:lab/base", "base_model:finetune:lab/base", "license:apache-2.0",
    )  # fmt: skip
    filters = to_filters(RepoKind.MODEL, found.tags, library=found.library, pipeline_tag=found.pipeline_tag)
    assert {
        "language:zh",
        "library:transformers",
        "library:safetensors",
        "pipeline_tag:text-generation",
        "chat",
    } <= filters


@pytest.mark.parametrize(
    ("names", "config", "library", "task"),
    [
        (("config.json",), {"architectures": ["BertForMaskedLM"]}, "transformers", "fill-mask"),
        (("modules.json", "config.json"), {"model_type": "bert"}, "sentence-transformers", "sentence-similarity"),
        (("adapter_config.json", "config.json"), {"model_type": "llama"}, "peft", None),
        (("model_index.json",), {}, "diffusers", None),
        (("m-q4.gguf",), {}, "gguf", None),
        ((".gitattributes",), {}, None, None),
    ],
)
def test_files_tell_the_library_when_the_card_does_not(names, config, library, task):
    found = derive(RepoKind.MODEL, {}, "", FileFacts(names, config))
    assert (found.library, found.pipeline_tag) == (library, task)


def test_tags_of_data_sets_and_apps():
    data = {
        "task_categories": ["translation"],
        "language": "zh",
        "license": "MIT",
        "size_categories": ["1K<n<10K"],
        "tags": ["law"],
    }
    found = derive(RepoKind.DATASET, data, "", FileFacts(("README.md", "data/train.parquet", "dataset_infos.json")))
    assert found.tags == (
        "task_categories:translation", "size_categories:1K<n<10K", "language:zh", "format:parquet", "law", "license:mit",
    )  # fmt: skip
    space = derive(RepoKind.SPACE, {"sdk": "gradio", "models": ["lab/m"]}, "", FileFacts())
    assert space.tags == ("gradio", "model:lab/m")


@given(st.dictionaries(st.sampled_from(["license", "language", "tags", "base_model", "datasets", "library_name", "pipeline_tag", "task_ids", "sdk", "models", "region"]), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=6)), st.sampled_from(list(RepoKind)))  # fmt: skip
def test_wrong_types_never_break_tags_or_checks(data, kind):
    from headwater.hub.cards.metadata import check

    found = derive(kind, data, "", FileFacts())
    assert all(isinstance(tag, str) and tag.isprintable() for tag in found.tags)
    assert all(problem.message for problem in check(data, kind))


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("license: asdf", '"license" must be one of'),
        ("license: 3", '"license" must be'),
        ("tags: chat", '"tags" must be an array'),
        ("tags: [1]", r'"tags[0]" must be a string'),
        ("base_model_relation: cousin", "must be one of"),
        ("model-index: {}", "must be an array"),
        ("model-index: [{name: a, results: [{task: {}, metrics: []}]}]", "task.type"),
        ("configs: [{data_files: x}]", "config_name"),
        ("configs: [{config_name: a}, {config_name: a}]", "stands twice"),
        ("widget: text", "must be an array of objects"),
        ("thumbnail: [a]", "must be a string"),
        ("sdk: cobol", "must be one of"),
        ("app_file: ../../etc/passwd", "inside the repository"),
        ("extra_gated_fields: [a]", "must be an object"),
    ],
)
def test_wrong_fields_are_errors_that_name_them(field, said):
    found = errors(f"---\n{field}\n---\n")
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    "field",
    ["language: Chinese", "pipeline_tag: juggling", "datasets: ['a b c']", "size_categories: many", "license: other"],
)
def test_unusual_values_are_warnings(field):
    assert errors(f"---\n{field}\n---\n") == []
    assert len(warnings(f"---\n{field}\n---\n")) == 1


def test_a_readme_without_front_matter_is_one_warning():
    assert errors("# hello") == []
    assert len(warnings("# hello")) == 1


def test_broken_yaml_tells_the_line_of_the_readme():
    data, body, problems = parse_readme("---\na: 1\nb: [\n---\nbody\n", RepoKind.MODEL)
    assert data == {}
    assert body == "body\n"
    assert "line 4" in problems[0].message or "line 3" in problems[0].message


def test_a_front_matter_that_is_no_mapping_is_an_error():
    assert errors("---\n- a\n---\n")
    assert errors("---\njust words\n---\n")


def test_licences_known_under_one_id():
    assert {
        "apache-2.0",
        "mit",
        "mulanpsl-2.0",
        "cc-by-4.0",
        "llama3.1",
        "gemma",
        "other",
        "openrail",
        "gpl-3.0-or-later",
    } <= licences.IDS
    assert all(licence == licence.lower() and " " not in licence for licence in licences.IDS)
    assert "apache-2.0" in licences.near("Apache 2.0")


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("GFDL-1.2-or-later AND PSF-2.0", {"license": ["gfdl-1.2-or-later", "psf-2.0"]}),
        ("our own words", {"license": "other", "license_name": "our own words"}),
        ("MIT AND our own words", {"license": "other", "license_name": "MIT AND our own words"}),
    ],
)
def test_a_licence_in_any_words_makes_a_card_that_is_taken(words: str, fields: dict[str, object]) -> None:
    assert licences.card_fields(words) == fields
    assert not [each for each in metadata.check(fields, RepoKind.DATASET) if each.is_error]
