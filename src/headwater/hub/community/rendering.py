"""Comments as HTML, a whole page's within one bound of time."""

from __future__ import annotations

import time
from html import escape

from headwater.hub.models import Repository

MAX_SECONDS = 2.0  # of this thread's own processor time


class Renderer:
    """Renders the comments of one answer. When strangers' texts have used up its time, the rest comes as plain text.

    Relative links stand on the files of the repository's default branch. Pictures at ``own_origin``, as the address of an
    uploaded one names it, are shown from wherever the page came from.
    """

    def __init__(self, repo: Repository, *, own_origin: str) -> None:
        self._own_origin = own_origin
        self._link_base = f"/{repo.path}/blob/{repo.default_branch}/"
        self._left_s = MAX_SECONDS

    def render(self, text: str) -> str:
        """HTML for the inside of an element."""
        if self._left_s <= 0:
            return f'<pre class="plain">{escape(text)}</pre>'
        from headwater.hub import markdown

        started = time.thread_time()
        html = markdown.render(text, link_base=self._link_base, own_origin=self._own_origin)
        self._left_s -= time.thread_time() - started
        return html
