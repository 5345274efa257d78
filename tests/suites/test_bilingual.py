"""Our own suite of items: even in its parts, without near copies, and every key is what its own check calls right."""

from __future__ import annotations

import ast
import datetime as dt
import itertools
import json
import math
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
import yaml

from headwater.evaluation import checks, publishing
from headwater.evaluation.program import judging, sandbox

FOLDER = publishing.folder_of("headwater-bilingual")
ABILITIES = [
    "semantic",
    "generation",
    "chat",
    "memory",
    "roleplay",
    "knowledge",
    "reasoning",
    "calculation",
    "code",
    "tools",
]
PREFIXES = dict(
    zip(ABILITIES, ["sem", "gen", "chat", "mem", "role", "know", "reas", "calc", "code", "tool"], strict=True)
)
FIELDS = {
    "id", "ability", "form", "lang", "question", "messages", "choices", "answer", "wrong", "check", "why", "difficulty",
    "expr", "solution",
}  # fmt: skip
HAN = re.compile(r"[\u4e00-\u9fff]")


ITEMS: list[dict[str, Any]] = [
    json.loads(line)
    for path in sorted((FOLDER / "data").glob("*.jsonl"))
    for line in path.read_text("utf-8").splitlines()
]
CHOICE = [item for item in ITEMS if item["form"] == "choice"]
OPEN = [item for item in ITEMS if item["form"] == "open"]


def asked(item: dict[str, Any]) -> str:
    if item["question"] is not None:
        return str(item["question"])
    return "\n".join(message["content"] for message in item["messages"])


def shown(item: dict[str, Any]) -> str:
    return "\n".join([asked(item), *(item["choices"] or ())])


def key_of(item: dict[str, Any]) -> str:
    return str(item["choices"]["ABCD".index(item["answer"])] if item["form"] == "choice" else item["answer"])


def ran(program: str) -> subprocess.CompletedProcess[str]:
    """Runs code that we wrote ourselves; a model's code belongs in a sandbox."""
    return subprocess.run(
        [sys.executable, "-I", "-X", "utf8", "-"], input=program, capture_output=True, text=True, timeout=20
    )


def answers(item: dict[str, Any], text: str) -> bool:
    return judging.judge(item, text)


def test_every_ability_has_its_items_in_both_languages_and_forms():
    files = {path.stem: path.read_text("utf-8").splitlines() for path in (FOLDER / "data").glob("*.jsonl")}
    assert set(files) == {f"{ability}_{form}" for ability in ABILITIES for form in ("choice", "open")}
    for stem, lines in files.items():
        assert {f"{item['ability']}_{item['form']}" for item in map(json.loads, lines)} == {stem}
    counts = Counter((item["ability"], item["lang"], item["form"]) for item in ITEMS)
    for ability in ABILITIES:
        of_it = {key[1:]: n for key, n in counts.items() if key[0] == ability}
        assert sum(of_it.values()) >= 20, ability
        assert set(of_it) == set(itertools.product(("zh", "en"), ("choice", "open"))), ability
        assert min(of_it.values()) >= 4, (ability, of_it)
        assert len({item["difficulty"] for item in ITEMS if item["ability"] == ability}) == 3, ability


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["id"])
def test_an_item_is_whole(item):
    assert set(item) == FIELDS
    assert re.fullmatch(rf"{PREFIXES[item['ability']]}-{item['lang']}-\d\d", item["id"])
    assert item["difficulty"] in {1, 2, 3}
    assert (item["question"] is None) != (item["messages"] is None)
    if item["messages"]:
        turns = [message["role"] for message in item["messages"] if message["role"] != "system"]
        assert turns == [("user", "assistant")[n % 2] for n in range(len(turns))]
        assert turns[-1] == "user"
    for text in (asked(item), item["why"], item["answer"]):
        assert text == text.strip()
        assert text
    assert bool(HAN.search(asked(item))) is (item["lang"] == "zh")
    assert HAN.search(item["why"]) if item["lang"] == "zh" else not HAN.search(item["why"])
    if item["form"] == "choice":
        assert item["check"] == {"kind": "choice"}
        assert item["answer"] in "ABCD"
        assert item["wrong"] is None
        assert len({checks.plain(choice) for choice in item["choices"]}) == len(item["choices"]) == 4
        assert not re.search(r"(?i)all of the above|none of the above|以上都|以上皆", "\n".join(item["choices"]))
    else:
        assert item["choices"] is None


def test_no_id_is_given_twice():
    assert [one for one, n in Counter(item["id"] for item in ITEMS).items() if n > 1] == []


def test_the_place_of_the_right_choice_tells_nothing():
    places = Counter(item["answer"] for item in CHOICE)
    assert max(places.values()) - min(places.values()) <= 2, places
    for lang in ("zh", "en"):
        of_lang = Counter(item["answer"] for item in CHOICE if item["lang"] == lang)
        assert max(of_lang.values()) <= 0.36 * sum(of_lang.values()), (lang, of_lang)


def test_the_length_of_the_right_choice_tells_little():
    longest = [item for item in CHOICE if len(key_of(item)) > max(len(c) for c in item["choices"] if c != key_of(item))]
    assert len(longest) <= 0.4 * len(CHOICE), [item["id"] for item in longest]


def test_no_item_is_nearly_another():
    grams = []
    for item in ITEMS:
        text = re.sub(r"\s+", "", shown(item)).casefold()
        grams.append({text[n : n + 5] for n in range(max(1, len(text) - 4))})
    near = [
        (one["id"], other["id"])
        for (one, a), (other, b) in itertools.combinations(zip(ITEMS, grams, strict=True), 2)
        if len(a & b) >= 0.5 * len(a | b)
    ]
    assert near == []


@pytest.mark.parametrize("item", OPEN, ids=lambda item: item["id"])
def test_a_check_passes_the_right_answer_and_not_the_wrong_one(item):
    assert answers(item, item["answer"])
    assert not answers(item, item["wrong"])
    assert not answers(item, "")


@pytest.mark.parametrize("item", OPEN, ids=lambda item: item["id"])
def test_no_check_is_passed_by_repeating_the_question(item):
    assert not answers(item, asked(item))


@pytest.mark.parametrize(
    "item", [item for item in OPEN if item["check"]["kind"] == "python"], ids=lambda item: item["id"]
)
def test_the_assertions_about_code_hold_for_the_reference(item):
    assert len(item["check"]["assertions"]) >= 4
    for assertion in item["check"]["assertions"]:
        assert isinstance(ast.parse(assertion).body[-1], ast.Assert)
    result = ran(checks.program_for(item["check"], item["solution"]))
    assert result.returncode == 0, result.stderr
    assert checks.code_of(item["answer"]) == item["solution"]


def number_in(text: str) -> float:
    """The last number of a text; a fraction such as 3/8 is one number."""
    text = checks.folded(text).replace("\u2044", "/")
    found = re.findall(r"-?\d+(?:\.\d+)?(?:/\d+)?", re.sub(r"(?<=\d),(?=\d{3})", "", text))
    return float(Fraction(found[-1]))


@pytest.mark.parametrize("item", [item for item in ITEMS if item["expr"]], ids=lambda item: item["id"])
def test_what_can_be_computed_is_computed_again(item):
    if item["expr"] == "stdout":
        (program,) = re.findall(r"```python\n(.*?)```", asked(item), re.DOTALL)
        result = ran(program)
        assert result.returncode == 0, result.stderr
        assert checks.plain(result.stdout) == checks.plain(key_of(item))
        return
    names = {"math": math, "Fraction": Fraction, "date": dt.date, "days": lambda n: dt.timedelta(days=n)}
    value = eval(item["expr"], names)
    if isinstance(value, str):
        assert checks.plain(value) == checks.plain(key_of(item))
        return
    assert math.isclose(number_in(key_of(item)), value, abs_tol=0.005)
    if item["form"] == "choice":
        others = [number_in(choice) for choice in item["choices"] if choice != key_of(item)]
        assert not any(math.isclose(other, value, abs_tol=0.005) for other in others)
    else:
        assert answers(item, f"= {value}") or item["check"]["kind"] != "number"


def test_most_of_calculation_is_computed_again():
    of_it = [item for item in ITEMS if item["ability"] == "calculation"]
    assert sum(item["expr"] is not None for item in of_it) >= 0.9 * len(of_it)


def test_the_card_says_what_is_here():
    _, front, text = (FOLDER / "README.md").read_text("utf-8").split("---\n", 2)
    card = yaml.safe_load(front)
    assert card["license"] == "cc-by-4.0"
    assert sorted(card["language"]) == ["en", "zh"]
    assert {config["config_name"]: config["data_files"] for config in card["configs"]} == {
        ability: f"data/{ability}_*.jsonl" for ability in ABILITIES
    }
    for ability in ABILITIES:
        of_it = [item for item in ITEMS if item["ability"] == ability]
        n_choice = sum(item["form"] == "choice" for item in of_it)
        assert f"| `{ability}` | {len(of_it)} | {n_choice} | {len(of_it) - n_choice} |" in text


@pytest.mark.parametrize(
    ("check", "passing", "failing"),
    [
        ({"kind": "exact", "accept": ["42"]}, ["４２", "42。", '"42"'], ["43", "it is 42 or 43"]),
        ({"kind": "number", "value": 1280.0}, ["共 1,280 元", "x = 3, so 1280.0"], ["1280 of 3", "none"]),
        ({"kind": "number", "value": -3.5, "tolerance": 0.1}, ["−3.45", "-3.6"], ["3.5", "-3.7"]),
        ({"kind": "words", "all": ["art"], "any": None, "none": ["of"]}, ["Art!"], ["start", "art of"]),
        ({"kind": "words", "any": [["猫", "狗"], ["鱼"]]}, ["猫吃鱼"], ["猫狗", "鱼"]),
        ({"kind": "length", "unit": "han", "min": 2, "max": 3}, ["你好, friend"], ["好", "你好朋友"]),
        ({"kind": "length", "unit": "words", "max": 3, "min": None}, ["don't stop now"], ["one two three four"]),
        ({"kind": "length", "unit": "sentences", "min": 2, "max": 2}, ["走吧。好！", "It is 3.5 m. Fine."], ["走吧"]),
        ({"kind": "length", "unit": "lines", "min": 2, "max": 2}, ["a\n\nb"], ["a", "a\nb\nc"]),
        ({"kind": "json", "accept": ['{"n": 2, "q": {"$regex": "x"}}']}, ['```json\n{"q":"axb","n":2}\n```'],
         ['{"n": 2}', '{"n": 2, "q": "y"}', '{"n": true, "q": "x"}', '{"n": 2, "q": "x", "m": 1}', "n"]),
    ],
)  # fmt: skip
def test_a_check_means_what_it_says(check, passing, failing):
    assert [text for text in passing if not checks.holds(check, text)] == []
    assert [text for text in failing if checks.holds(check, text)] == []


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(c) because", "C"),
        ("**D**", "D"),
        ("The answer is A.", "A"),
        ("答案：B", "B"),
        ("选Ｃ", "C"),
        ("C. Paris", "C"),
        ("A good answer is B", "B"),
        ("The answer is a bit tricky: C", "C"),
        ("To answer a question like this: C", "C"),
        ("The correct option is B", "B"),
        ("The right letter is D.", "D"),
        ("D) because A is wrong", "D"),
        ("A cat sat on B or C", None),
        ("答案不选A，选B", "B"),
        ("答案应该是B", "B"),
        ("选项B", "B"),
        ("我选择C", "C"),
        ("<think>A or C?</think>\n\nB", "B"),
        ("<think>A or", None),
        ("Because", None),
        ("", None),
    ],
)
def test_a_letter_is_found(text, letter):
    assert checks.letter_of(text) == letter


def test_the_tasks_ask_every_item():
    suite, problems = publishing.read_folder(FOLDER)
    assert problems == []
    assert suite.default() == ["headwater_bilingual"]
    n_items = {f"data/{path.name}": len(path.read_text("utf-8").splitlines()) for path in (FOLDER / "data").iterdir()}
    asked_of = {group: suite.below(group) for group in suite.groups}
    for group, forms in (
        ("headwater_bilingual", ("choice", "open")),
        ("headwater_bilingual_written", ("letter", "open")),
        ("headwater_bilingual_choice", ("choice",)),
    ):
        assert {task.name for task in asked_of[group]} == {
            f"{ability}_{form}" for ability in ABILITIES for form in forms
        }
        assert sum(n_items[path] for task in asked_of[group] for path in task.files) == 100 * len(forms)
    assert {task.ability for task in suite.tasks.values()} == set(ABILITIES)
    assert not any(task.needs_likelihood for task in asked_of["headwater_bilingual_written"])


@pytest.mark.parametrize(
    "program",
    [
        "open('/etc/hostname').read()",
        "import os\nassert os.system('true') == 0",
        "import os\nos.fork()",
        "import os\nos.kill(os.getppid(), 0)",
        "import socket\nsocket.socket()",
        "import subprocess\nsubprocess.run(['true'], check=True)",
        "import ctypes\nassert ctypes.CDLL(None).open(b'/etc/hostname', 0) >= 0",
        "open('left-behind', 'w')",
        "x = 'a' * (1 << 31)",
        "import os\nos._exit(0)",
        "import sys\nsys.exit(0)",
        "raise KeyboardInterrupt",
        "def f(:",
    ],
)
def test_a_program_that_a_model_wrote_reaches_nothing(program):
    assert not sandbox.holds(program)


def test_a_program_that_only_computes_holds():
    assert sandbox.holds(
        "import math, re, json\nfrom decimal import Decimal\nprint('x')\nassert math.sqrt(4) == Decimal(2)"
    )


@pytest.mark.parametrize(
    ("item", "text", "holds"),
    [
        ("chat-zh-10", "您了吃了没有啊？", False),
        ("chat-zh-08", "百分之百以国务院通知为准，反正万事等通知", False),
        ("role-en-07", "I'm afraid the cake's all gone, sir; we've eaten it and it's a pity.", False),
        ("role-en-07", "The vicar's appetite has claimed the last of the cake, sir.", True),
        ("gen-zh-09", "尊敬的班主任：\n我因发烧需要休息，11 月 3 日请假一天，望批准。\n学生：李想", True),
        ("tool-zh-10", '{"name": "send_sms", "arguments": {"to": "13700001234", "text": "抱歉，我要晚到大约二十来分钟"}}', True),
        ("tool-zh-10", '{"name": "send_sms", "arguments": {"to": "13700001234", "text": "我要晚到十分钟"}}', False),
    ],
)  # fmt: skip
def test_what_an_item_asks_is_what_its_check_asks(item, text, holds):
    (found,) = [each for each in ITEMS if each["id"] == item]
    assert checks.holds(found["check"], text) is holds
