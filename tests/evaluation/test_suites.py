"""Suites of strangers: what is data passes, and whatever could run code or fetch data is refused with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.evaluation import suites
from headwater.scanning import strict_yaml

TASK = """
task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: data/colours.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: answer
tag: easy
metadata: {version: 2, ability: knowledge}
"""
FILES = ("tasks/colours.yaml", "data/colours.jsonl", "tasks/near.jsonl", "tasks/base.yaml", "tasks/all.yaml")


def read(**texts: str) -> tuple[suites.Suite, str]:
    suite, problems = suites.read({f"tasks/{name}.yaml": text for name, text in texts.items()}, FILES)
    return suite, "\n".join(str(each) for each in problems)


def test_a_task_of_data_alone_passes() -> None:
    suite, problems = read(colours=TASK)
    assert problems == ""
    task = suite.tasks["colours"]
    assert (task.version, task.ability, task.files, task.needs_likelihood) == (
        "2",
        "knowledge",
        ("data/colours.jsonl",),
        True,
    )
    assert suite.knows("easy")
    assert suite.top() == ["colours"]


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        ('"{{question}}"', "!function utils.text", "names Python code"),
        ("doc_to_target: answer", "doc_to_target: !function utils.target", "names Python code"),
        ('"{{question}}"', "!!python/object/apply:os.system [id]", "names Python code"),
        ("test_split: test", "test_split: test\nprocess_results: x", "`process_results` is not taken here"),
        ("test_split: test", "test_split: test\nprocess_docs: x", "`process_docs` is not taken here"),
        ("test_split: test", "test_split: test\nunsafe_code: true", "Code that a model writes is not run"),
        ("test_split: test", "test_split: test\ncustom_dataset: x", "`custom_dataset` is not taken here"),
        ("test_split: test", "test_split: test\nuse_prompt: promptsource:x", "`use_prompt` is not taken here"),
        ("test_split: test", "test_split: test\ndataset_name: en", "chooses a part of a dataset elsewhere"),
        ("task: colours", "class: !function task.Colours\ntask: colours", "names Python code"),
        ("task: colours", "class: task.Colours\ntask: colours", "Python classes are not run"),
        ("dataset_path: json", "dataset_path: cais/mmlu", "data comes from the suite's own repository alone"),
        ("dataset_path: json", "dataset_path: /etc", "data comes from the suite's own repository alone"),
        ("data/colours.jsonl", "/etc/passwd", "no file '/etc/passwd' in the suite"),
        ("data/colours.jsonl", "../../etc/passwd", "in the suite"),
        ("data/colours.jsonl", "https://example.org/x.jsonl", "in the suite"),
        ("data/colours.jsonl", "hf://datasets/a/b/x.jsonl", "in the suite"),
        ("{data_files: {test: data/colours.jsonl}}", "{data_files: {test: data/colours.jsonl}, data_dir: /}", "`dataset_kwargs.data_dir`"),
        ("tag: easy", "metric_list: [{metric: bertscore}]", "none that lm-eval has by itself"),
        ("tag: easy", "metric_list: [{metric: acc, hf_evaluate: true}]", "`metric_list.hf_evaluate` is not taken"),
        ("tag: easy", "filter_list: [{name: x, filter: [{function: custom}]}]", "the filter 'custom' is not known"),
        ("tag: easy", "fewshot_config: {sampler: mine, process_docs: x}", "`fewshot_config` has fields"),
        ("tag: easy", "include: ../../other.yaml", "no YAML file of this suite"),
        ("tag: easy", "include: /etc/hosts.yaml", "no YAML file of this suite"),
        ("multiple_choice", "generate_code", "output_type 'generate_code' is not known"),
        ("tag: easy", "a: &x 1\nb: *x", "Anchors"),
        ("tag: easy", "tag: {a: 1}", "`tag` is not a text"),
        ("tag: easy", "num_fewshot: -5", "`num_fewshot` is '-5'"),
        ("tag: easy", "num_fewshot: true", "`num_fewshot` is 'True'"),
        ("tag: easy", "repeats: 1000000000", "from 1 to 100"),
        ("tag: easy", "generation_kwargs: {max_gen_toks: 100000000000}", "`max_gen_toks` is"),
        ("tag: easy", "metric_list: 5", "`metric_list` is not a list"),
        ("{version: 2, ability: knowledge}", "5", "`metadata` is not a mapping"),
    ],
)  # fmt: skip
def test_what_could_run_or_fetch_is_refused(was: str, now: str, why: str) -> None:
    assert was in TASK
    _, problems = read(colours=TASK.replace(was, now))
    assert why in problems


def test_files_that_are_included_are_looked_at_too() -> None:
    base = TASK.replace("task: colours", "").replace("tag: easy", "process_docs: x")
    _, problems = read(base=base, colours="task: colours\ninclude: base.yaml\n")
    assert "`process_docs` is not taken here" in problems
    suite, problems = read(base=base.replace("process_docs: x", ""), colours="task: colours\ninclude: base.yaml\n")
    assert problems == ""
    assert suite.tasks["colours"].output_type == "multiple_choice"
    _, problems = read(base="include: colours.yaml\n", colours="task: colours\ninclude: base.yaml\n")
    assert "without end" in problems


def test_groups_name_tasks_of_the_suite_and_never_themselves() -> None:
    suite, problems = read(
        colours=TASK, all="group: all\ntask: [colours]\naggregate_metric_list: [{metric: acc, weight_by_size: false}]\n"
    )
    assert problems == ""
    assert suite.top() == ["all"]
    assert [task.name for task in suite.below("all")] == ["colours"]
    assert "no such task" in read(colours=TASK, all="group: all\ntask: [gone]\n")[1]
    assert "has itself" in read(colours=TASK, all="group: all\ntask: [colours, all]\n")[1]
    assert "used twice" in read(colours=TASK, all=TASK)[1]
    assert "no task" in suites.read({}, FILES)[1][0].what


def test_data_is_found_from_the_root_or_beside_the_task() -> None:
    suite, problems = read(colours=TASK.replace("data/colours.jsonl", "near.jsonl"))
    assert problems == ""
    assert suite.tasks["colours"].files == ("tasks/near.jsonl",)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("abc{}%! ", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
_FIELDS = sorted(suites._TASK_FIELDS | suites._GROUP_FIELDS | {"include", "class"})


@given(
    st.dictionaries(st.sampled_from(_FIELDS), _ANY, max_size=4),
    st.sampled_from(("metric", "aggregation", "function")),
    _ANY,
)
def test_any_values_are_taken_or_told_and_never_break_the_reader(
    changed: dict[str, Any], inner: str, value: Any
) -> None:
    for whole in (strict_yaml.load(TASK), {"group": "g", "task": ["colours"]}):
        for more in (
            changed,
            {"metric_list": [{"metric": "acc", inner: value}]},
            {"filter_list": [{"filter": [{inner: value}]}]},
        ):
            text = json.dumps({**whole, **more})
            suites.read({"tasks/colours.yaml": text, "tasks/base.yaml": TASK.replace("colours", "base")}, FILES)
