"""The Hugging Face protocol, as its clients speak it. docs/protocols/huggingface.md says what is served."""

from headwater.hub.huggingface import (
    cards,
    commits,
    community,
    content,
    large_files,
    listing,
    refs,
    repos,
    unserved,
)
from headwater.hub.huggingface.errors import refuse
from headwater.web import Route

# ``unserved`` answers what is left of the known calls, so it comes last.
ROUTES: list[Route] = [
    *repos.ROUTES,
    *listing.ROUTES,
    *cards.ROUTES,
    *content.ROUTES,
    *commits.ROUTES,
    *refs.ROUTES,
    *large_files.ROUTES,
    *community.ROUTES,
    *unserved.ROUTES,
]
DIALECTS = {"hf": refuse}
