"""YAML of strangers: what is read, what is refused, and that nothing else can happen."""

import contextlib
import json
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.scanning.strict_yaml import MAX_BYTES, BadYaml, load


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: no", {"a": "no"}),
        ("a: yes\nb: on\nc: Off", {"a": "yes", "b": "on", "c": "Off"}),
        ("a: true\nb: False", {"a": True, "b": False}),
        ("a: ~\nb: null\nc:", {"a": None, "b": None, "c": None}),
        ("a: 2024-01-01\nb: 12:30:45", {"a": "2024-01-01", "b": "12:30:45"}),
        ("a: 007\nb: 0o17\nc: 0x1F\nd: -5\ne: +3", {"a": 7, "b": 15, "c": 31, "d": -5, "e": 3}),
        ("a: 1.5\nb: 1e3\nc: .5\nd: 3.", {"a": 1.5, "b": 1000.0, "c": 0.5, "d": 3.0}),
        ("a: .nan\nb: -.inf", {"a": None, "b": None}),
        ("a: 1e999\nb: 12345678901234567890\nc: 1_000", {"a": "1e999", "b": "12345678901234567890", "c": "1_000"}),
        ("a: '1'\nb: \"null\"", {"a": "1", "b": "null"}),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y", {"a": "x\ny\n", "b": "x y"}),
        ("1: a\nnull: b\ntrue: c", {"1": "a", "null": "b", "true": "c"}),
        ("- a\n- [b, {c: d}]", ["a", ["b", {"c": "d"}]]),
        ("语言: 中文", {"语言": "中文"}),
    ],
)
def test_values_follow_the_core_schema_of_yaml_1_2(text, value):
    assert load(text) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: &x 1\nb: *x", "Anchors"),
        ("a: *x", "Aliases"),
        ("*x : 1", "Aliases"),
        ("a: 1\nb: 2\na: 3", "'a' stands twice.*line 3"),
        ("a: {b: 1, b: 2}", "stands twice"),
        ("? [a]\n: b", "plain text"),
        ("a: !!python/object/apply:os.system [ls]", "Tags"),
        ("a: !!int 3", "Tags"),
        ("a: ! 3", "Tags"),
        ("<<: {a: 1}", "Merge keys"),
        ("--- a\n--- b", "one YAML document"),
        ("a: [", "cannot be read"),
        ("a: b: c", "cannot be read"),
        ("a: \x00", "cannot be read"),
        ("a: \ud800", "Unicode"),
        ("\t- a", "cannot be read"),
        ("a: " + "x" * MAX_BYTES, "longer than 256 KiB"),
        ("语" * (MAX_BYTES // 2), "longer than 256 KiB"),
    ],
)
def test_what_blows_up_or_lies_is_refused(text, why):
    with pytest.raises(BadYaml, match=why):
        load(text)


def test_sixteen_levels_are_allowed_and_seventeen_are_not():
    assert load("[" * 16 + "]" * 16)
    with pytest.raises(BadYaml, match="nested"):
        load("[" * 17 + "]" * 17)


@pytest.mark.parametrize(
    "unit", ["[", "{a: ", "- ", "? ", "a: [", "{[", "!", "&a ", "'", '"\\u0041', "#", "a:\n", "-\n", "%", "|\n"]
)
def test_no_repetition_takes_long(unit):
    text = unit * (MAX_BYTES // len(unit) - 1)
    began = time.process_time()
    with contextlib.suppress(BadYaml):
        load(text)
    assert time.process_time() - began < 5


_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


@given(_values)
def test_json_reads_back_as_itself(value):
    # JSON is YAML 1.2; ensure_ascii keeps letters that YAML would not print out of the way.
    text = json.dumps(value, ensure_ascii=True)
    if "\\ud" in text.lower():
        return  # lone surrogates are no text
    try:
        found = load(text)
    except BadYaml as exc:
        assert any(why in str(exc) for why in ("nested", "cannot be read", "longer"))  # noqa: PT017 — either is right
        return
    assert found == value


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,12}", fullmatch=True),
        # What begins like a number is left out: 1e3 and 0o7 are texts in YAML 1.1 and numbers in 1.2.
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])).filter(
            lambda t: t[:1] not in "+-.0123456789"
        ),
    )
)
def test_what_pyyaml_writes_reads_back_as_itself(data):
    # huggingface_hub writes cards with yaml.safe_dump; plain words that only YAML 1.1 takes for booleans are quoted by it.
    assert load(yaml.safe_dump(data, allow_unicode=True)) == (data or {})


@settings(max_examples=300)
@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"%@`#,? \n\t\\0~<.é中\x00"), max_size=60) | st.text(max_size=60))
def test_any_text_gives_json_or_a_declared_error(text):
    try:
        value = load(text)
    except BadYaml:
        return
    json.dumps(value, allow_nan=False)
