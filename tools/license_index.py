"""Make the index of licence texts: ``python tools/license_index.py scancode_toolkit_mini-….whl``.

The texts are read as data out of the wheel (``pip download --no-deps scancode-toolkit-mini``; its licence data is CC-BY-4.0, see NOTICE); it is
neither installed nor kept. What is written holds hashes of four-word shingles and the names of the licences, and no text.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from headwater.licensing.index import FOLDER, HEAD, MAGIC
from headwater.licensing.matching import EXACT, read_licence
from headwater.licensing.words import read_words, shingles

TEXTS = "licensedcode/data/licenses/"
MOST_BYTES = 2_000_000

# What models, data and the code beside them are published under.
KEYS = """
llama-license-2023 llama-2-license-2023 llama-3.1-license-2024 llama-3.2-license-2024 llama-3.3-license-2024 llama-4-cla-2025
llama-4-license-2025 gemma-pup-2024-02-21 gemma-tou-2024-04-01 gemma-tou-2025-03-24 qwen-2024 tongyi-qianwen-2023 deepseek-la-1.0
bigscience-rail-1.0 bigscience-open-rail-m bigscience-open-rail-m2 bigcode-open-rail-m-v1 openmdw-1.0 falcon-2-11b-1.0
stability-ai-community-2024 stability-ai-nc-2023-12-06 nvidia-open-model-2025-04-28 nvidia-model-training-2025 tencent-hunyuan-3d-2.0-cla
exaone-ai-model-1.1-nc flux-1-nc hyperclova-x-seed-2025 openatom-model-1.0 bilibili-model-ula-2025-09-09 open-weights-permissive-1.0.0
openi-pl-1.0 playground-v2-community apple-ml-ferret-2023 moonshot-ai-modified-mit-2025 chameleon-research-2024 ltxv-owl-2025-04-17
ltxv-owl-2025-05-05 fair-ai-public-1.0 fair-ai-public-1.0-sd s-lab-1.0 salesforce-ai-aup-2025 responsible-ai-source-1.0
responsible-ai-source-1.1 gaussian-splatting-2024 mulanpsl-1.0 mulanpsl-1.0-en mulanpsl-2.0 mulanpsl-2.0-en mulanpubl-1.0 mulanpubl-2.0
cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 c-uda-1.0 o-uda-1.0 odbl-1.0 odc-by-1.0 odc-1.0 pddl-1.0 dbcl-1.0 etalab-2.0 etalab-2.0-en
ogl-uk-3.0 ogl-uk-2.0 ogl-uk-1.0 ogl-canada-2.0-fr nlod-1.0 nlod-2.0 dl-de-by-2-0-en dl-de-zero-2.0 crunchbase-data-2019-12-17
cc0-1.0 cc-by-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-1.0 cc-by-sa-2.0 cc-by-sa-2.5 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0
cc-by-nc-4.0 cc-by-nd-3.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-pdm-1.0
apache-2.0 apache-1.1 mit mit-0 mit-modern x11 isc bsd-new bsd-simplified bsd-original bsd-zero bsd-1-clause clear-bsd bsd-plus-patent zlib unlicense
wtfpl-2.0 boost-1.0 ms-pl ms-rl artistic-1.0 artistic-2.0 afl-3.0 osl-3.0 ecl-2.0 uoi-ncsa upl-1.0 postgresql python psf-2.0 lppl-1.3c blueoak-1.0.0
openldap-2.8 openssl-ssleay hpnd-sell-variant-mit-disclaimer json libpng libpng-v2 ijg unicode-v3 unicode ofl-1.1 ofl-1.0 vim php-3.01 ruby w3c-software-20021231
zpl-2.1 mit-ack ntpl naist-2003 multics fair intel-bsd curl bzip2-libbzip-2010 beerware
gpl-1.0 gpl-2.0 gpl-3.0 lgpl-2.0 lgpl-2.1 lgpl-3.0 agpl-3.0 gfdl-1.1 gfdl-1.2 gfdl-1.3 mpl-1.1 mpl-2.0 epl-1.0 epl-2.0 cddl-1.0 cddl-1.1 cpl-1.0 eupl-1.1 eupl-1.2
cecill-2.0 cecill-2.1 cecill-2.1-fr cecill-b cecill-c apsl-2.0 cpal-1.0 qpl-1.0 sleepycat rpl-1.5 cern-ohl-p-2.0 cern-ohl-s-2.0 cern-ohl-w-2.0 copyleft-next-0.3.1
free-art-1.3 d-fsl-1.0-en liliq-p-1.1 cal-1.0 parity-7.0.0
bsl-1.1 mongodb-sspl-1.0 elastic-license-v2 commons-clause polyform-noncommercial-1.0.0 polyform-small-business-1.0.0 polyform-strict-1.0.0
fsl-1.1-apache-2.0 fsl-1.1-mit confluent-community-1.0 hippocratic-2.1 hippocratic-3.0 anti-capitalist-1.4 prosperity-3.0
""".split()  # noqa: SIM905 -- a column of quotes reads worse

# From here on a text says how to apply it, which those who use it leave out or fill in.
APPENDIX = re.compile(
    r"^\W*(?:END OF TERMS AND CONDITIONS|How to Apply These Terms|APPENDIX: How to apply|ADDENDUM: How to use this License"
    r"|如何将木兰|How to [Aa]pply the Mulan).*$",
    re.MULTILINE,
)
END_OF_TERMS = re.compile(r"^\W*END OF (?:THE )?TERMS AND CONDITIONS\W*$", re.MULTILINE)
CHINESE_ENDS = re.compile(r"^\W*Mulan (?:Permissive|Public)[^\n]*$", re.MULTILINE)


def main() -> int:
    wheel = Path(sys.argv[1])
    source = "-".join(wheel.name.split("-")[:2])
    rows: list[dict[str, Any]] = []
    sets: list[set[int]] = []
    with zipfile.ZipFile(wheel) as archive:
        for key in sorted(set(KEYS)):
            head, text = _split(archive.read(f"{TEXTS}{key}.LICENSE").decode())
            for part_of, name, piece in _pieces(key, text):
                found = {int(each) for each in shingles(read_words(piece))}
                if not found:
                    continue
                sets.append(found)
                rows.append(_row(name, part_of, head, len(found)))
        _write(rows, sets, source)
        return _check(archive)


def _check(archive: zipfile.ZipFile) -> int:
    """Every text must be found again: as it is, behind other prose, and with one word in twenty changed."""
    chance = random.Random(1)  # the same texts each time
    before = "The card of this repository tells how its data was gathered and cleaned before training began. " * 20
    wrong, longest = [], 0.0
    for key in sorted(set(KEYS)):
        text = _split(archive.read(f"{TEXTS}{key}.LICENSE").decode())[1]
        noisy = " ".join("zebra" if chance.random() < 0.05 and len(word) > 2 else word for word in text.split(" "))
        for what, given in (("as it is", text), ("behind prose", before + text), ("changed", noisy)):
            began = time.process_time()
            best = read_licence(given).best
            longest = max(longest, time.process_time() - began)
            if best is None or best.key != key or (best.kind == EXACT) != (what != "changed"):
                wrong.append(f"{key} {what}: {best}")
    print(
        f"read again: {3 * len(set(KEYS))}, wrong: {len(wrong)}, longest {longest * 1000:.0f} ms of a processor",
        *wrong,
        sep="\n",
    )
    return len(wrong) > 0


def _split(content: str) -> tuple[dict[str, Any], str]:
    _, head, text = content.split("---\n", 2)
    return yaml.safe_load(head), text


def _pieces(key: str, text: str) -> list[tuple[str, str, str]]:
    """(the licence it is part of, its own name, its text): the terms, the appendix, and the Chinese half where there are two."""
    found = []
    if key in ("mulanpsl-1.0", "mulanpsl-2.0"):
        chinese = text[: CHINESE_ENDS.search(text).start()]  # type: ignore[union-attr]
        chinese = chinese[: chinese.index("如何将木兰")]
        found.append((key, f"{key}-zh", chinese))
    cut = APPENDIX.search(text)
    # Of the two halves of a bilingual text each has an appendix; those of other texts come last.
    if cut is None or key.startswith("mulan") or "Attachment A" in text[cut.start() :]:
        return [("", key, text), *found]
    return [("", key, text[: cut.start()]), (f"{key}#", f"{key}#appendix", text[cut.start() :]), *found]


def _row(name: str, part_of: str, head: dict[str, Any], n_shingles: int) -> dict[str, Any]:
    return {
        "key": name,
        "spdx": head.get("spdx_license_key") or f"LicenseRef-{name}",
        "name": head["name"],
        "category": head["category"],
        "is_osi": bool(head.get("osi_license_key") or head.get("osi_url")),
        "homepage": head.get("homepage_url") or "",
        "part_of": part_of,
        "n_shingles": n_shingles,
    }


def _write(rows: list[dict[str, Any]], sets: list[set[int]], source: str) -> None:
    who: dict[int, list[int]] = {}
    for number, found in enumerate(sets):
        for each in found:
            who.setdefault(each, []).append(number)
    hashes = sorted(who)
    counts = [len(who[each]) for each in hashes]
    if max(counts) > 255:
        raise SystemExit("A shingle is in more than 255 licences: counts need two bytes.")
    postings = [number for each in hashes for number in who[each]]
    data = (
        HEAD.pack(MAGIC, len(hashes), len(postings), len(rows))
        + np.array(hashes, "<u4").tobytes()
        + np.array(counts, "u1").tobytes()
        + np.array(postings, "<u2").tobytes()
    )
    if len(data) > MOST_BYTES:
        raise SystemExit(f"The index would be {len(data)} bytes, more than {MOST_BYTES}.")
    (FOLDER / "index.bin").write_bytes(data)
    described = {"source": source, "licences": rows}
    (FOLDER / "licences.json").write_text(json.dumps(described, indent=0, ensure_ascii=False) + "\n")
    print(f"{len(rows)} texts, {len(hashes)} hashes, {len(postings)} postings, {len(data)} bytes")


if __name__ == "__main__":
    sys.exit(main())
