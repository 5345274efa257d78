"""Strangers' HTML is well nested before a parser meets it, and no soup of tags grows in the parser."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headwater.hub.markdown import sanitise
from headwater.hub.tagsoup import MAX_DEPTH, in_order

KEPT = frozenset(
    [
        "a",
        "b",
        "i",
        "p",
        "div",
        "ul",
        "ol",
        "li",
        "table",
        "tr",
        "td",
        "th",
        "thead",
        "tbody",
        "caption",
        "img",
        "br",
        "h1",
        "h2",
        "span",
        "details",
        "ruby",
        "rt",
    ]
)
WHOLE = frozenset(["script", "style", "select"])


def order(html: str) -> str:
    return in_order(html, kept=KEPT, dropped_whole=WHOLE)


def depth_of(html: str) -> int:
    """How deep it is nested; fails where it is not well nested."""
    stack, deepest = [], 0
    for closing, name in re.findall(r"<(/?)([a-z0-9]+)(?: [^\s=]+=\"[^\"]*\")*>", html):
        if closing:
            assert stack.pop() == name, html[:300]
        elif name not in ("br", "img"):
            stack.append(name)
            deepest = max(deepest, len(stack))
    assert not stack, html[:300]
    return deepest


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<b>x</b>", "<b>x</b>"),
        ("<B TITLE=1 title=2 checked>x", '<b title="1" checked="">x</b>'),
        ("<p>a<p>b", "<p>a</p><p>b</p>"),
        ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>", "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>"),
        ("<table><tr><td>a<td>b<tr><td>c</table>", "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"),
        ("<td><b><table><tr><td></b></td></table>x", "<td><b><table><tr><td></td></tr></table>x</b></td>"),
        ("<b><i>x</b>y</i>", "<b><i>x</i></b>y"),
        ("<a href=1>x<a href=2>y</a>", '<a href="1">x</a><a href="2">y</a>'),
        ("<script><b></script><i>x</i>", "<i>x</i>"),
        ("a<!-- <b> -->c<!-->d", "acd"),
        ("1 < 2 > 0 <3", "1 &lt; 2 &gt; 0 &lt;3"),
        ("<b title='\"'>", '<b title="&quot;"></b>'),
        ("<x-y>kept</x-y>", "kept"),
        ("<b", "&lt;b"),
    ],
)
def test_what_it_becomes(html, expected):
    assert order(html) == expected


PIECES = [*(f"<{name}>" for name in KEPT), *(f"</{name}>" for name in KEPT), "<b id={n}>", "<a href={n}>", "<", ">", '"', "'", "=", "<!--", "-->", "<script>", "</script>", "x", "&lt;", "</", '<b a="', "<i '"]  # fmt: skip
soups = st.lists(st.sampled_from(PIECES), max_size=30)


@settings(max_examples=300, deadline=None)
@given(soups, st.sampled_from([1, 7, 150]))
@example(["<b id={n}>", "<p>"], 3000)
@example(["<b id={n}>", "<table>", "</b>", "</table>", "<p>"], 3000)
@example(["<div>"], 20000)
@example(["<ul>", "<li>"], 10000)
@example(['<a "'], 20000)
@example(["<a>"], 3000)
def test_no_soup_grows(pieces, times):
    """Sizes and depths stand for the work: a parser that copies what is open writes it all out."""
    html = "".join("".join(pieces).replace("{n}", str(n)) for n in range(times))
    ordered = order(html)
    assert depth_of(ordered) <= MAX_DEPTH
    assert len(ordered) <= 6 * len(html) + 1000
    assert len(sanitise(html)) <= 12 * len(html) + 1000  # rel="nofollow ..." for a short link


def test_the_text_of_a_soup_stays():
    assert re.sub("<[^>]*>", "", order("<b>one<p>two</i>three<td>four</b></p>five<li>six")) == "onetwothreefourfivesix"
