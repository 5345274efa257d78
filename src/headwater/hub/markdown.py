"""Markdown of strangers as HTML that is safe to put on a page.

What is rendered is cleaned afterwards, by an allow-list of elements, attributes and classes: raw HTML may stand in a README, scripts
may not. Two kinds of elements join after the cleaning, both written by us from parsed values: formulas, and the links that take the
place of images of other origins (the page's policy would not load them, and loading them would tell others who reads what) and of
this site's own pages (loading them would act as whoever reads).
"""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from html import escape, unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

MAX_CHARS = 1 << 20
MAX_WORK = 600_000  # steps of about a microsecond: what a README of some hundred kilobytes takes
MAX_SECONDS = 2.0  # of this thread's own processor time, for what no step counts
MAX_FORMULAS = 2000
MAX_CODE_CHARS = 20_000
_REL = "nofollow noopener noreferrer"
ID_PREFIX = "md-"  # ids of strangers never meet those of the page
MAX_KEPT_CHARS = 4 << 20  # of what was shown lately
AS_WRITTEN = '<pre class="plain too-much">'  # how the answer begins when the text takes more work than it may


def render(text: str, *, link_base: str | None, image_base: str | None = None, own_origin: str | None = None) -> str:
    """HTML for the inside of an element; never raises for what a stranger wrote.

    Args:
        link_base: what relative links stand on, with a slash at its end: ``/ada/m/blob/main/docs/``; None: relative links lead nowhere.
        image_base: the same for images; None takes ``link_base`` with ``resolve`` for ``blob``.
        own_origin: images whose whole address begins so are shown as this site's own: ``https://hub.example.edu``.

    Of this site only files of repositories and pictures of comments are loaded; an image of any other address becomes a link to it, or
    a reader's browser would ask whatever page the writer named, as the reader.
    """
    if image_base is None and link_base is not None:
        image_base = _with_view(link_base, "resolve")
    cut = text[:MAX_CHARS].replace("\x00", "\ufffd")
    html = _render_once(cut, link_base, image_base, own_origin)
    return f"{AS_WRITTEN}{escape(cut)}</pre>" if html is None else html


_shown: OrderedDict[tuple[bytes, str | None, str | None, str | None], str | None] = OrderedDict()
_shown_lock = threading.Lock()
_shown_chars = 0


def _render_once(text: str, link_base: str | None, image_base: str | None, own_origin: str | None) -> str | None:
    """Through this process's memory of what was shown lately; that a text is too much is remembered, too."""
    global _shown_chars  # noqa: PLW0603
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
    key = (digest, link_base, image_base, own_origin)
    with _shown_lock:
        if key in _shown:
            _shown.move_to_end(key)
            return _shown[key]
    html = _render(text, link_base, image_base, own_origin)
    size = len(html or "") + 500
    if size > MAX_KEPT_CHARS // 4:
        return html
    with _shown_lock:
        if key not in _shown:
            _shown[key] = html
            _shown_chars += size
        while _shown_chars > MAX_KEPT_CHARS:
            _, dropped = _shown.popitem(last=False)
            _shown_chars -= len(dropped or "") + 500
    return html


class _TooMuch(Exception):
    pass


class _Budget:
    """What one text may cost. Counted in steps, so that a text is either shown or not, on any machine and any day."""

    def __init__(self) -> None:
        self.left = MAX_WORK
        self._deadline = time.thread_time() + MAX_SECONDS
        self._look_at = self.left

    def spend(self, steps: int) -> None:
        """Raises: _TooMuch."""
        self.left -= steps
        if self.left < self._look_at:
            self._look_at = self.left - 5000
            if self.left < 0 or time.thread_time() > self._deadline:
                raise _TooMuch


def _render(text: str, link_base: str | None, image_base: str | None, own_origin: str | None) -> str | None:
    """None when that would be too much."""
    budget = _Budget()
    env: dict[str, Any] = {"budget": budget, "nonce": secrets.token_hex(8), "formulas": []}
    try:
        dirty = _parser().render(text, env)
        budget.spend(STEPS_TAG * dirty.count("<"))
    except (_TooMuch, RecursionError):
        return None
    own_tags = frozenset({"hw-formula"})
    clean = sanitise(dirty, link_base=link_base, image_base=image_base, own_origin=own_origin, own_tags=own_tags)
    formulas = {_holder(env, number): formula for number, formula in enumerate(env["formulas"])}
    # In an attribute or a text the quotes would stand escaped, so this matches elements only; a stranger's have no formula.
    return _HOLDER.sub(lambda match: formulas.get(match.group(), ""), clean)


# -- parsing


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.amsmath import amsmath_plugin
    from mdit_py_plugins.dollarmath import dollarmath_plugin
    from mdit_py_plugins.footnote import footnote_plugin
    from mdit_py_plugins.tasklists import tasklists_plugin

    parser = MarkdownIt("commonmark", {"highlight": None, "maxNesting": 50}).enable(["table", "strikethrough"])
    parser.use(dollarmath_plugin, allow_space=False, allow_digits=False, double_inline=True)
    parser.use(amsmath_plugin)
    parser.use(footnote_plugin).use(tasklists_plugin)
    parser.inline.ruler.before("text", "budget", _spend_inline)
    parser.block.ruler.before("table", "budget", _spend_block, {"alt": []})
    parser.core.ruler.after("block", "budget", _spend_tokens)
    skip_token = parser.inline.skipToken

    def counted_skip(state: StateInline) -> None:
        state.env["budget"].spend(STEPS_SKIP)
        skip_token(state)

    parser.inline.skipToken = counted_skip  # type: ignore[method-assign]  # where brackets in brackets are looked through
    parser.core.ruler.push("heading_ids", _name_headings)
    parser.core.ruler.push("bare_links", _link_bare_addresses)
    parser.core.ruler.push("aligned_cells", _align_cells)
    parser.add_render_rule("math_inline", _render_inline_math)
    parser.add_render_rule("math_inline_double", _render_display_math)
    parser.add_render_rule("math_block", _render_display_math)
    parser.add_render_rule("math_block_label", _render_display_math)
    parser.add_render_rule("amsmath", _render_display_math)
    parser.add_render_rule("fence", _render_fence)
    return parser


def _align_cells(state: StateCore) -> None:
    """Say by an attribute how a table's cells are aligned: the style that stands there would be cleaned away."""
    for token in state.tokens:
        if token.type in ("th_open", "td_open"):
            side = str(token.attrs.pop("style", "")).removeprefix("text-align:")
            if side in ("left", "center", "right"):
                token.attrSet("align", side)


def slug_of(title: str) -> str:
    """As on the hubs people link from: lower case, hyphens for spaces, no punctuation."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")[:100] or "section"


def _name_headings(state: StateCore) -> None:
    """Each heading gets an id; the second of the same title ends in ``-1``, and so on."""
    seen: dict[str, int] = {}
    for heading, title in itertools.pairwise(state.tokens):
        if heading.type != "heading_open":
            continue
        slug = slug_of("".join(part.content for part in title.children or [] if part.type in ("text", "code_inline")))
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        heading.attrSet("id", f"{slug}-{number}" if number else slug)


STEPS_INLINE, STEPS_MARK, STEPS_SKIP, STEPS_BLOCK, STEPS_TOKEN, STEPS_TAG = 8, 8, 1, 40, 5, 3
_MARKS = re.compile(r"[*_~]+")
STEPS_FORMULA, STEPS_FORMULA_CHAR, STEPS_FENCE, STEPS_CODE_CHAR = 100, 15, 150, 20


def _spend_inline(state: StateInline, _silent: bool) -> bool:  # noqa: FBT001 - markdown-it's signature
    marks = _MARKS.match(state.src, state.pos)  # each becomes a token at once
    state.env["budget"].spend(STEPS_INLINE if marks is None else STEPS_INLINE + STEPS_MARK * len(marks.group()))
    return False


def _spend_block(state: StateBlock, _start: int, _end: int, _silent: bool) -> bool:  # noqa: FBT001 - markdown-it's signature
    state.env["budget"].spend(STEPS_BLOCK)
    return False


def _spend_tokens(state: StateCore) -> None:
    """Before what stands inside of the blocks is looked at."""
    state.env["budget"].spend(STEPS_TOKEN * len(state.tokens))


_ADDRESS = re.compile(r"https?://[^\s<>\"'`，。、；（）《》]{1,2000}")


def _link_bare_addresses(state: StateCore) -> None:
    """Addresses that stand in a text become links, unless they are in one."""
    for block in state.tokens:
        if block.type != "inline" or "://" not in block.content:
            continue
        found: list[Token] = []
        depth = 0
        for token in block.children or []:
            depth += token.type == "link_open"
            depth -= token.type == "link_close"
            if token.type == "text" and not depth and "://" in token.content:
                found += _split_addresses(token)
            else:
                found.append(token)
        block.children = found


def _split_addresses(token: Token) -> list[Token]:
    from markdown_it.token import Token

    found: list[Token] = []
    at = 0

    def add(kind: str, tag: str, nesting: Any, content: str = "", attrs: dict[str, Any] | None = None) -> None:
        found.append(Token(kind, tag, nesting, content=content, attrs=attrs or {}, level=token.level))

    for match in _ADDRESS.finditer(token.content):
        address = match.group().rstrip(".,:;!?)]}*_~")
        add("text", "", 0, token.content[at : match.start()])
        add("link_open", "a", 1, attrs={"href": address})
        add("text", "", 0, address)
        add("link_close", "a", -1)
        at = match.start() + len(address)
    add("text", "", 0, token.content[at:])
    return found


# -- formulas and code


def _render_inline_math(_self: Any, tokens: Sequence[Token], index: int, _options: Any, env: Any) -> str:
    return _formula(tokens[index].content, env, display=False)


def _render_display_math(_self: Any, tokens: Sequence[Token], index: int, _options: Any, env: Any) -> str:
    return _formula(tokens[index].content, env, display=True)


def _formula(latex: str, env: Any, *, display: bool) -> str:
    from headwater.hub.mathml import to_mathml

    formulas: list[str] = env["formulas"]
    env["budget"].spend(STEPS_FORMULA + STEPS_FORMULA_CHAR * len(latex))
    made = to_mathml(latex.strip(), display=display) if len(formulas) < MAX_FORMULAS else None
    if made is None:
        source = f'<code class="math">{escape(latex.strip())}</code>'
        return f"<p>{source}</p>\n" if display else source
    formulas.append(made)
    return _holder(env, len(formulas) - 1)


_HOLDER = re.compile(r'<hw-formula title="[0-9a-f]+-\d+"></hw-formula>|</?hw-formula[^>]*>')


def _holder(env: Any, number: int) -> str:
    return f'<hw-formula title="{env["nonce"]}-{number}"></hw-formula>'


def _render_fence(_self: Any, tokens: Sequence[Token], index: int, _options: Any, env: Any) -> str:
    token = tokens[index]
    language = token.info.strip().split(maxsplit=1)[0].strip("{}.").casefold() if token.info.strip() else ""
    if language == "math":
        return _formula(token.content, env, display=True)
    from headwater.hub.preview import code

    budget: _Budget = env["budget"]
    steps = STEPS_FENCE + STEPS_CODE_CHAR * len(token.content)
    if len(token.content) > MAX_CODE_CHARS or budget.left - steps < MAX_WORK / 2:  # the text goes before its colours
        return f'<pre class="hl"><code>{escape(token.content)}</code></pre>\n'
    budget.spend(steps)
    return f'<pre class="hl"><code>{code.coloured(token.content, language, max_seconds=0.5)}</code></pre>\n'


# -- cleaning

_TAGS = frozenset(
    [
        "a",
        "abbr",
        "audio",
        "b",
        "blockquote",
        "br",
        "caption",
        "center",
        "cite",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "details",
        "dfn",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "input",
        "ins",
        "kbd",
        "li",
        "mark",
        "ol",
        "p",
        "pre",
        "q",
        "rp",
        "rt",
        "ruby",
        "s",
        "samp",
        "section",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "tt",
        "u",
        "ul",
        "var",
        "video",
        "wbr",
    ]
)
_DROPPED_WHOLE = frozenset(
    [
        "script",
        "style",
        "title",
        "textarea",
        "iframe",
        "noscript",
        "noframes",
        "noembed",
        "xmp",
        "template",
        "svg",
        "math",
        "object",
        "embed",
        "applet",
        "select",
        "option",
        "plaintext",
        "frameset",
    ]
)
_ATTRIBUTES: dict[str, set[str]] = {
    "*": {"align", "dir", "id", "lang", "title"},
    "a": {"href", "name"},
    "audio": {"controls", "src"},
    "blockquote": {"cite"},
    "col": {"span", "width"},
    "colgroup": {"span", "width"},
    "details": {"open"},
    "hw-formula": {"title"},
    "img": {"alt", "height", "src", "width"},
    "input": {"checked", "disabled", "type"},
    "li": {"value"},
    "ol": {"start", "reversed", "type"},
    "q": {"cite"},
    "table": {"border", "width"},
    "td": {"colspan", "rowspan", "valign", "width"},
    "th": {"colspan", "rowspan", "scope", "valign", "width"},
    "video": {"controls", "height", "loop", "muted", "src", "width"},
}
_NUMBERS = frozenset({"width", "height", "border", "start", "value", "span", "colspan", "rowspan"})
_NUMBER = re.compile(r"\d{1,4}(?:px|%)?")
_DATA_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]{0,400000}")
_VIEWS = ("blob", "resolve", "raw", "tree")
_KINDS = ("datasets", "spaces", "models")
_OWN_FILE = re.compile(r"/uploads/[^/]+|/(?:(?:datasets|spaces)/)?[\w.\-]+/[\w.\-]+/(?:resolve|raw)/.+")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*:")
_LINK_OR_IMAGE = re.compile(r'<a[ >]|</a>|<img((?: [a-z\-]+="[^"]*")+)>')
_ATTRIBUTE = re.compile(r' ([a-z\-]+)="([^"]*)"')


def sanitise(
    html: str,
    *,
    link_base: str | None = None,
    image_base: str | None = None,
    own_origin: str | None = None,
    own_tags: frozenset[str] = frozenset(),
) -> str:
    """HTML of a stranger without all that could act, load from elsewhere, or pretend to be part of the page."""
    import nh3

    from headwater.hub.tagsoup import in_order

    html = in_order(html, kept=_TAGS | own_tags, dropped_whole=_DROPPED_WHOLE)
    # Not to be guessed, so that it stands in no text but where it is put here.
    elsewhere = f"https://{secrets.token_hex(16)}.invalid/"

    def filter_attribute(tag: str, name: str, value: str) -> str | None:
        if name == "href":
            return _link(value, link_base)
        if name == "src":
            return _source(value, image_base, own_origin, elsewhere if tag == "img" else None)
        if name == "cite":
            return None
        if name == "name":
            return ID_PREFIX + value
        if name in _NUMBERS:
            return value if _NUMBER.fullmatch(value) else None
        return value

    clean = nh3.clean(
        html,
        tags=set(_TAGS | own_tags),
        clean_content_tags=set(_DROPPED_WHOLE),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=filter_attribute,
        strip_comments=True,
        link_rel=_REL,
        url_schemes={"http", "https", "mailto", "data"},
        allowed_classes=_classes(),
        set_tag_attribute_values={"input": {"type": "checkbox", "disabled": ""}, "img": {"loading": "lazy"}},
        id_prefix=ID_PREFIX,
    ).replace(f'<a rel="{_REL}">', "<a>")  # leads nowhere; and three characters would have become forty-two
    return clean if elsewhere not in clean else _without_images_from(elsewhere, clean)


@lru_cache(maxsize=1)
def _classes() -> dict[str, set[str]]:
    from pygments.token import STANDARD_TYPES

    return {
        "span": {css for css in STANDARD_TYPES.values() if css} | {"line"},
        "pre": {"hl", "plain"},
        "code": {"math"},
        "ul": {"contains-task-list"},
        "ol": {"contains-task-list", "footnotes-list"},
        "li": {"task-list-item", "footnote-item"},
        "input": {"task-list-item-checkbox"},
        "section": {"footnotes"},
        "hr": {"footnotes-sep"},
        "sup": {"footnote-ref"},
        "a": {"footnote-backref"},
        "div": {"cell", "cell-in", "cell-out", "notebook"},
    }


def _link(value: str, base: str | None) -> str | None:
    value = "".join(char for char in value.strip() if char.isprintable())
    if value.startswith("#"):
        return f"#{ID_PREFIX}{value[1:].removeprefix(ID_PREFIX)}"
    scheme = _SCHEME.match(value)
    if scheme is not None:
        return value if scheme.group().lower() in ("http:", "https:", "mailto:") else None
    if value.startswith(("//", "/\\", "\\")):
        return f"https:{value}" if value.startswith("//") and not value.startswith("///") else None
    return _joined(base, value)


def _own_path(value: str, origin: str | None) -> str | None:
    """What follows this site's own origin in an address."""
    if origin is None or not value.startswith(f"{origin}/"):
        return None
    rest = "".join(char for char in value.removeprefix(origin).strip() if char.isprintable())
    return None if rest.startswith(("//", "/\\")) else rest


def _source(value: str, base: str | None, own_origin: str | None, elsewhere: str | None) -> str | None:
    own = _own_path(value, own_origin)
    value = own or "".join(char for char in value.strip() if char.isprintable())
    if _DATA_IMAGE.fullmatch(value):
        return None if elsewhere is None else value
    if value.startswith("//"):
        value = f"https:{value}"
    scheme = _SCHEME.match(value)
    if scheme is not None:
        is_web = scheme.group().lower() in ("http:", "https:")
        return elsewhere + value if is_web and elsewhere is not None else None
    if value.startswith(("/\\", "\\")):
        return None
    path = _joined(base, value)
    if path is None or _is_own_file(path):
        return path
    return None if elsewhere is None else elsewhere + path


def _is_own_file(address: str) -> bool:
    """Whether a browser that follows ``address`` gets a file of a repository or a picture of a comment, no page."""
    path = re.split("[?#]", address, maxsplit=1)[0]
    if "\\" in path or any(unquote(segment) in (".", "..") for segment in path.split("/")):
        return False  # it leads somewhere else than it begins
    return _OWN_FILE.fullmatch(path) is not None


def _view_at(segments: Sequence[str]) -> int | None:
    """Which segment of ``/ns/name/blob/rev/…``, or of one with its kind in front, is the view; what ``..`` must not leave comes before.

    By its place: owners and repositories may be called so, too, but no owner is called as a kind is.
    """
    at = 4 if segments[1:2] and segments[1] in _KINDS else 3
    return at if len(segments) > at and segments[at] in _VIEWS else None


def _with_view(base: str, view: str) -> str:
    segments = base.split("/")
    at = _view_at(segments)
    if at is None:
        return base
    return "/".join([*segments[:at], view, *segments[at + 1 :]])


def _joined(base: str | None, value: str) -> str | None:
    """A relative address on its base, never above the revision that the base is in."""
    if value.startswith("/"):
        return value
    if base is None:
        return None
    path, hash_sign, fragment = value.partition("#")
    path, question_mark, query = path.partition("?")
    segments = base.rstrip("/").split("/")
    at = _view_at(segments)
    lowest = len(segments) if at is None else min(at + 2, len(segments))
    for segment in path.split("/"):
        if segment == "..":
            del segments[max(lowest, len(segments) - 1) :]
        elif segment not in (".", ""):
            segments.append(quote(unquote(segment), safe="!$&'()*+,;=:@~"))
    if path.endswith("/"):
        segments.append("")
    tail = f"#{ID_PREFIX}{fragment}" if hash_sign and fragment else ""
    return "/".join(segments) + question_mark + query + tail


def _without_images_from(elsewhere: str, clean: str) -> str:
    """Images of other origins become links to them, named by their description; inside of a link, the description alone."""
    depth = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal depth
        if match.group(1) is None:
            depth += 1 if match.group() != "</a>" else -1
            return match.group()
        attributes = {name: unescape(value) for name, value in _ATTRIBUTE.findall(match.group(1))}
        source = attributes.get("src", "")
        if not source.startswith(elsewhere):
            return match.group()
        address = source.removeprefix(elsewhere)
        name = attributes.get("alt", "").strip() or urlsplit(address).path.rpartition("/")[2] or address
        name = escape(name[:200])
        if depth > 0:
            return name
        return f'<a class="elsewhere" href="{escape(address)}" rel="{_REL}">{name}</a>'

    return _LINK_OR_IMAGE.sub(replace, clean)
