"""Bytes of unknown or wrongly named encoding to text, and text to one form.

A label is a hint, not a fact: GB18030 that calls itself UTF-8 is common on Chinese pages. So UTF-8 is believed only when it decodes; when it
nearly does, it is broken UTF-8 and loses what is broken; else the likeliest of a few encodings wins, by how ordinary the characters are that it yields.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass

from headwater.corpora.program.operators.documents import Documents

REPLACEMENT = "\ufffd"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"""<meta[^>]{1,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_-]{2,20})""", re.IGNORECASE)
_CANDIDATES = ("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "cp1251", "cp1252")
_SAMPLE_BYTES = 65_536
_BROKEN_SHARE = 0.1
"""UTF-8 of which at most this share of what is not ASCII is broken is still taken for UTF-8."""


@dataclass(frozen=True)
class Decoded:
    """``encoding`` is what the bytes were read as; ``lost`` counts places where something could not be read and is gone."""

    text: str
    encoding: str
    lost: int = 0


def decode(data: bytes, *, declared: str | None = None) -> Decoded | None:
    """The text of ``data``; None where no encoding makes sense of it (it is likely no text at all).

    Args:
        declared: what its source says; believed after UTF-8, before guesses.
    """
    for mark, codec in _BOMS:
        if data.startswith(mark):
            decoded = data[len(mark) :].decode(codec, "replace")
            return Decoded(decoded.replace(REPLACEMENT, ""), codec, decoded.count(REPLACEMENT))
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        pass
    if data.count(0) > len(data) // 100:
        return None
    if (text := _broken_utf8(data)) is not None:
        return Decoded(text.replace(REPLACEMENT, ""), "utf-8", text.count(REPLACEMENT))
    named = declared or next((name.decode("ascii") for name in _DECLARED.findall(data[:4096])), None)
    sample = data[:_SAMPLE_BYTES]
    best, best_score = None, 0.0
    for candidate in _CANDIDATES:
        score = _plausible(sample, candidate)
        if score and named and _same(named, candidate):
            score += 0.25
        if score > best_score + 1e-9:
            best, best_score = candidate, score
    if best is None or best_score < 0.5:
        return None
    text = data.decode(best, "replace")
    return Decoded(text.replace(REPLACEMENT, ""), best, text.count(REPLACEMENT))


def named_encoding(decoded: Decoded) -> str:
    """As reports call it."""
    return f"{decoded.encoding}, broken" if decoded.lost else decoded.encoding


def _same(named: str, candidate: str) -> bool:
    try:
        name = codecs.lookup(named).name
    except LookupError:
        return False
    return candidate == {"gb2312": "gb18030", "gbk": "gb18030", "iso8859-1": "cp1252", "big5hkscs": "big5"}.get(
        name, name
    )


def _broken_utf8(data: bytes) -> str | None:
    text = data.decode("utf-8", "replace")
    broken = text.count(REPLACEMENT) - data.count(b"\xef\xbf\xbd")
    beyond = sum(1 for c in text if c > "\x7f") if len(text) < 4096 else len(text) - len(text.encode("ascii", "ignore"))
    return text if broken <= max(1, beyond - broken) * _BROKEN_SHARE else None


def _plausible(sample: bytes, encoding: str) -> float:
    """How ordinary the characters beyond ASCII are that ``encoding`` makes of the sample: 0 (nonsense) to 1."""
    text = sample.decode(encoding, "replace")
    beyond = [c for c in text if c > "\x7f"]
    # The end of the sample may cut a character in two.
    if not beyond or text.count(REPLACEMENT) > 1 + len(beyond) // 100:
        return 0.0
    if encoding in ("cp1251", "cp1252"):
        # Letters of the one are letters of the other: a Russian one has its like beside it, an accented one plain letters.
        form = _RUSSIAN if encoding == "cp1251" else _WESTERN
        return min(1.0, sum(len(match[0]) * form[1] for match in form[0].finditer(text)) / len(beyond))
    ordinary = sum(_ORDINARY[encoding](c) for c in beyond)
    return ordinary / len(beyond)


def _ordinary_in(codec: str, first: int, last: int) -> dict[str, float]:
    """Characters that a national standard put among the frequent ones (its first level): by rows of the first byte."""
    table = {}
    for lead in range(first, last + 1):
        for trail in range(0x40, 0xFF):
            try:
                table[bytes((lead, trail)).decode(codec)] = 1.0
            except UnicodeDecodeError:
                continue
    return table


_PUNCTUATION = frozenset("，。、；：？！“”‘’（）《》「」『』【】…—·～％￥　")
_GB = _ordinary_in("gb2312", 0xB0, 0xD7)
_BIG5 = _ordinary_in("big5", 0xA4, 0xC6)
_KOREAN = _ordinary_in("euc_kr", 0xB0, 0xC8)


# The characters that are a quarter of running Chinese. Others of the first level are also what Korean looks like when it is read as Chinese.
_FREQUENT = frozenset(
    "的一是不了在人有我他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长"
)


def _gb(c: str) -> float:
    return 1.4 if c in _FREQUENT else 0.9 * _GB.get(c, 0.0) or float(c in _PUNCTUATION)


def _big5(c: str) -> float:
    return _BIG5.get(c, 0.0) or float(c in _PUNCTUATION)


def _japanese(c: str) -> float:
    # Kana make up about half of Japanese; characters without any kana are more likely Chinese.
    if "\u3041" <= c <= "\u30fe":
        return 1.3
    return 0.5 if "\u4e00" <= c <= "\u9fff" else float(c in _PUNCTUATION)


def _korean(c: str) -> float:
    return 1.0 if c in _KOREAN and "\uac00" <= c <= "\ud7a3" else float(c in _PUNCTUATION)


_RUSSIAN = (re.compile("[А-Яа-яёЁ][а-яё]+|[—«»№]"), 1.0)
_WESTERN = (re.compile("(?<=[A-Za-z])[À-ÖØ-öø-ÿ]|[À-ÖØ-öø-ÿ](?=[a-z])|[–—‘’“”…«»·°§©®€£]"), 0.9)
_ORDINARY = {
    "gb18030": _gb,
    "big5": _big5,
    "shift_jis": _japanese,
    "euc_jp": _japanese,
    "euc_kr": _korean,
}

# ---- text that was already decoded wrongly before it came here

_HIGH = "[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]"
"""What the second and later bytes of a character in UTF-8 look like when they are read as Western."""
_TWO_BYTES = re.compile(f"[\u00c2-\u00df]{_HIGH}")
_THREE_BYTES = re.compile(f"[\u00e0-\u00ef]{_HIGH}{_HIGH}")


def mend(text: str) -> str:
    """Undo one wrong decoding of UTF-8 (as Western, or as GB18030), where undoing it succeeds without rest."""
    # A dash is three such signs, which nobody writes one behind the other; an accented letter is two, which may happen once.
    if _THREE_BYTES.search(text) or len(_TWO_BYTES.findall(text)) >= 2:
        mended = _read_again(text, "cp1252")
        if mended is not None:
            return mended
    # Chinese text taken for GB18030 bytes is practically never valid UTF-8 by chance, unless it is very short.
    if sum(c > "\x7f" for c in text[:200]) >= 6:
        mended = _read_again(text, "gb18030")
        if mended is not None and any(c > "\x7f" for c in mended):
            return mended
    return text


def _read_again(text: str, wrong: str) -> str | None:
    try:
        return text.encode(wrong).decode("utf-8")
    except UnicodeError:
        pass
    if wrong != "cp1252":
        return None
    # Windows leaves five bytes undefined; readers map them to control characters.
    try:
        data = b"".join(bytes([ord(c)]) if "\x80" <= c <= "\x9f" else c.encode("cp1252") for c in text)
        return data.decode("utf-8")
    except UnicodeError:
        return None


# ---- one form

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufff9-\ufffd\ufffe\uffff]"
)
_LINE_ENDS = re.compile("\r\n?|\x85|\u2028|\u2029")
_BLANK_LINES = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
# Punctuation of full width is how Chinese and Japanese are written, not a variant of something else.
_FULL_WIDTH = "！，：；？（）～＂＇％＆＊"
_SET_APART = {ord(c): 0xF0000 + n for n, c in enumerate(_FULL_WIDTH)}
_SET_BACK = {private: chr(c) for c, private in _SET_APART.items()}
_NEEDS_NFKC = re.compile("[^\x00-\x7f\u3001\u3002\u3041-\u3096\u30a1-\u30f6\u4e00-\u9fff" + _FULL_WIDTH + "]")


def normalize(text: str, *, form: str = "NFKC", keep_cjk_punctuation: bool = True) -> str:
    """One Unicode form, one kind of line end, nothing invisible, no runs of empty lines.

    Args:
        form: ``NFKC`` (full-width digits and ligatures become plain), or ``NFC``.
        keep_cjk_punctuation: whether NFKC leaves ，：；？！（） as they are.
    """
    text = _LINE_ENDS.sub("\n", _INVISIBLE.sub("", text))
    if _NEEDS_NFKC.search(text) or (not keep_cjk_punctuation and not text.isascii()):
        if form == "NFKC" and keep_cjk_punctuation and any(c in text for c in _FULL_WIDTH):
            text = unicodedata.normalize("NFKC", text.translate(_SET_APART)).translate(_SET_BACK)
        else:
            text = unicodedata.normalize("NFKC" if form == "NFKC" else "NFC", text)
    return _BLANK_LINES.sub("\n\n", _TRAILING.sub("", text)).strip()


class Normalize:
    """Mend what was decoded wrongly, then give the text one form. A document of which nothing is left is ``empty``."""

    name = "normalize"

    def __init__(self, *, form: str = "NFKC", keep_cjk_punctuation: bool = True, max_lost_share: float = 0.05) -> None:
        self._form, self._keep, self._max_lost = form, keep_cjk_punctuation, max_lost_share

    def __call__(self, documents: Documents) -> None:
        for row in documents.staying():
            text = documents.texts[row]
            lost = text.count(REPLACEMENT) + text.count("锟斤拷") * 3
            if lost > max(2, self._max_lost * len(text)):
                documents.drop(row, f"{self.name}:unreadable")
                continue
            mended = mend(text)
            documents.tallies[f"{self.name}.mended"] += mended != text
            after = normalize(mended, form=self._form, keep_cjk_punctuation=self._keep)
            documents.tallies[f"{self.name}.changed"] += after != text
            documents.texts[row] = after
            if not after:
                documents.drop(row, f"{self.name}:empty")
