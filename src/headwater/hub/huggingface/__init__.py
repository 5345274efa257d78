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
)
from headwater.hub.huggingface.errors import refuse
from headwater.web import Route

# What is left of the known calls is answered by ``unserved``, after the doors of LFS and Xet.
ROUTES: list[Route] = [
    *repos.ROUTES,
    *listing.ROUTES,
    *cards.ROUTES,
    *content.ROUTES,
    *commits.ROUTES,
    *refs.ROUTES,
    *large_files.ROUTES,
    *community.ROUTES,
]
DIALECTS = {"hf": refuse}
