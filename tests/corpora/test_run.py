"""A corpus built by a run: a recipe in, a dataset with its report out, read back by the usual client and looked at as a page."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients import routes_called, run_client
from tests.compute.client import RunsClient
from tests.conftest import LiveApp
from tests.corpora.texts import EN, ZH, manuals_zh

pytestmark = pytest.mark.corpora

RECIPE = """
kind: corpus
name: rain in two languages
inputs:
  text: {repo: datasets/ada/rain, revision: main}
  aside: {repo: datasets/ada/aside}
  words: {repo: models/ada/tiny-tokenizer}
outputs:
  corpus: {repo: datasets/ada/rain-corpus}
resources: {cpus: 1, memory_gb: 3, time_limit_s: 280}
with:
  tokenizer: {input: words}
  sources:
    - {name: stories, input: text, files: ["*.jsonl"], licence: CC0-1.0, description: Two stories about rain, weight: 1}
    - {name: manuals, input: text, files: ["man1/*"], rights: Packaged by Debian, weight: 2}
  steps:
    - {op: normalize}
    - {op: language, languages: [zh, en]}
    - {op: words, name: unwanted, input: aside, file: lists/unwanted.txt}
    - {op: decontaminate, input: aside, files: ["evals/*.jsonl"], fields: [question]}
    - {op: rules}
    - {op: repetition}
    - {op: pii}
    - {op: exact}
    - {op: fuzzy}
    - {op: mix}
%s
"""
MOVING = """
kind: corpus
name: texts of one commit
inputs:
  text: {repo: datasets/ada/moving, revision: %s}
outputs:
  corpus: {repo: datasets/ada/moving-corpus}
resources: {cpus: 1, memory_gb: 3, time_limit_s: 280}
with:
  sources: [{name: texts, input: text}]
  steps: [{op: exact}]
"""
QUESTION = "Which of these rivers rose over the old stone bridge after three long days of rain in the hills?"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    folder = tmp_path_factory.mktemp("corpora")
    allowed = folder / "allowed"
    (allowed / "below").mkdir(parents=True)
    env = {
        "HEADWATER_COMPUTE_CPUS": "2",
        "HEADWATER_COMPUTE_MEMORY_GB": "6",
        "HEADWATER_CORPORA_FOLDERS": str(allowed),
    }
    app = LiveApp(folder / "data", env=env, options={"workers": 1})
    try:
        app.add_people()
        _fill(app, folder / "files")
        yield app
    finally:
        app.stop()
    app.check_clean()


def _fill(app: LiveApp, folder: Path) -> None:
    (folder / "man1").mkdir(parents=True)
    for number, data in enumerate(manuals_zh()[:20]):
        (folder / "man1" / f"page{number}.1").write_bytes(data)
    lines = [ZH, EN, f"{ZH} ", "", f"{ZH[::-1]}还有赌博网站的广告。", f"{EN[60:]} {QUESTION}"]
    (folder / "stories.jsonl").write_text("\n".join(json.dumps({"text": line}, ensure_ascii=False) for line in lines))
    aside = folder.with_name("aside")
    (aside / "evals").mkdir(parents=True)
    (aside / "lists").mkdir()
    (aside / "lists" / "unwanted.txt").write_text("# what a site may not show\n赌博\ncasino\n")
    (aside / "evals" / "test.jsonl").write_text(json.dumps({"question": QUESTION, "answer": "B"}))
    hf = app.hf("ada")
    hf.create_repo("ada/aside", repo_type="dataset")
    hf.upload_folder(repo_id="ada/aside", repo_type="dataset", folder_path=aside)
    hf.create_repo("ada/tiny-tokenizer")
    hf.upload_file(repo_id="ada/tiny-tokenizer", path_in_repo="tokenizer.json", path_or_fileobj=_tokenizer().encode())
    hf.create_repo("ada/rain", repo_type="dataset")
    hf.upload_folder(repo_id="ada/rain", repo_type="dataset", folder_path=folder)


def _tokenizer() -> str:
    """One that takes each character for a token, so that what it counts can be counted by hand."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return str(made.to_str())


def test_a_recipe_becomes_a_dataset_with_its_report(app: LiveApp, tmp_path: Path) -> None:
    ada = RunsClient(app, "ada")
    run = ada.submit(RECIPE % "")
    over = ada.wait(run["id"], timeout_s=280)
    assert over["state"] == "succeeded", ada.log(run["id"])
    files = set(app.hf("ada").list_repo_files("ada/rain-corpus", repo_type="dataset"))
    assert {"README.md", "corpus-report.json", "drops/drops.parquet", "provenance.intoto.json"} <= files
    out = run_client(
        app,
        "ada",
        "import json\nfrom datasets import load_dataset\n"
        "kept = load_dataset('ada/rain-corpus', split='train')\n"
        "drops = load_dataset('ada/rain-corpus', 'drops', split='train')\n"
        "print(json.dumps([kept.num_rows, list(drops['reason']), list(kept['text']), list(kept['n_tokens']), list(kept['source'])]))",
        home=tmp_path,
    )
    n_kept, reasons, texts, tokens, sources = json.loads(out.splitlines()[-1])
    assert n_kept == over["result"]["documents"]
    assert n_kept + len(reasons) == over["result"]["read"]["documents"] == 26
    assert texts[:2] == [ZH, EN]
    assert {"exact:copy", "source:empty", "unwanted:word", "contamination:aside", "mix:left_out"} <= set(reasons)
    assert tokens == [len(text) for text in texts]
    by_source = {name: [n for n, of in zip(tokens, sources, strict=True) if of == name] for name in set(sources)}
    wanted = 2 * sum(by_source["stories"])
    assert wanted <= sum(by_source["manuals"]) <= wanted + max(by_source["manuals"])
    report = json.loads(
        httpx.get(
            f"{app.url}/datasets/ada/rain-corpus/resolve/main/corpus-report.json", timeout=60, follow_redirects=True
        ).text
    )
    assert report["tokenizer"].startswith("models/ada/tiny-tokenizer@")
    assert report["tokens_are_estimated"] is False
    assert report["total"]["contamination"] == {"aside": 1}

    address = f"{app.url}/datasets/ada/rain-corpus/corpus"
    english = httpx.get(address, headers={"Accept-Language": "en"}, timeout=60)
    assert english.status_code == 200
    assert "Two stories about rain" in english.text
    assert "exact:copy" in english.text
    assert "语料报告" in httpx.get(address, headers={"Accept-Language": "zh-CN"}, timeout=60).text
    assert "no corpus report" in httpx.get(f"{app.url}/datasets/ada/rain/corpus", timeout=60).text
    about = httpx.get(f"{app.url}/runs/{run['id']}", headers={"Accept-Language": "en"}, timeout=60)
    assert f"/datasets/ada/rain-corpus/corpus?revision={over['result']['commit']}" in about.text


def test_texts_in_lfs_are_those_of_their_commit(app: LiveApp, tmp_path: Path) -> None:
    """Pinned by an old commit; the branch has other texts by now."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    hf, commits = app.hf("ada"), []
    hf.create_repo("ada/moving", repo_type="dataset")
    for texts in ([ZH, EN], [EN[::-1]]):
        parquet = io.BytesIO()
        pq.write_table(pa.table({"text": texts}), parquet)
        n_calls = len(routes_called(app))
        made = hf.upload_file(
            path_or_fileobj=parquet, path_in_repo="texts.parquet", repo_id="ada/moving", repo_type="dataset"
        )
        assert "PUT /lfs/objects/{link}" in routes_called(app, n_calls)
        commits.append(made.oid)
    ada = RunsClient(app, "ada")
    run = ada.submit(MOVING % commits[0])
    over = ada.wait(run["id"])
    assert over["state"] == "succeeded", ada.log(run["id"])
    path = hf.hf_hub_download(
        "ada/moving-corpus", "data/train-00000-of-00001.parquet", repo_type="dataset", local_dir=tmp_path
    )
    assert pq.read_table(path)["text"].to_pylist() == [ZH, EN]
    report = json.loads(
        Path(
            hf.hf_hub_download("ada/moving-corpus", "corpus-report.json", repo_type="dataset", local_dir=tmp_path)
        ).read_text()
    )
    assert [each["from"]["commit"] for each in report["sources"]] == commits[:1]


def test_a_preview_shows_what_would_happen_and_writes_nothing(app: LiveApp) -> None:
    ada = RunsClient(app, "ada")
    run = ada.submit((RECIPE % "  preview: 1000").replace("rain-corpus", "never-made"))
    over = ada.wait(run["id"], timeout_s=280)
    assert over["state"] == "succeeded", ada.log(run["id"])
    shown = over["result"]
    assert shown["preview"] is True
    assert shown["documents"] == 26
    assert shown["kept"] + sum(each["documents"] for each in shown["dropped"].values()) == 26
    assert shown["dropped"]["exact:copy"]["examples"][0]["copy_of"] == "stories/stories.jsonl@0"
    assert "赌博" in shown["dropped"]["unwanted:word"]["examples"][0]["text"]
    assert not app.hf("ada").repo_exists("ada/never-made", repo_type="dataset")
    page = httpx.get(f"{app.url}/runs/{run['id']}", headers={"Accept-Language": "en"}, timeout=60).text
    assert "Nothing was written." in page
    assert page.count("stories/stories.jsonl@0") >= 1
    assert "examples.0" not in page  # the panel shows them; the table of the result need not


def test_every_problem_of_a_recipe_is_told_before_it_runs(app: LiveApp) -> None:
    recipe = """
kind: corpus
name: wrong
inputs:
  text: {repo: datasets/ada/rain}
with:
  sources:
    - {name: a, input: txt}
    - {name: b, folder: /etc}
"""
    answer = RunsClient(app, "ada").http.post("/runs", json={"recipe": recipe})
    assert answer.status_code == 422
    for said in ("no input 'txt'", "recipes may not read /etc", "no output 'corpus'", "nothing in the recipe uses it"):
        assert said in answer.text, answer.text
