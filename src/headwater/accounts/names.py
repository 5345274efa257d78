"""Which names people and organisations may have. The hub's repositories keep the same letters for their own names.

Only ASCII letters, digits, ``.``, ``_`` and ``-``: whoever looks at a name can tell it from every other, whatever the
font, because no letter of another script can stand in for one of these.
"""

from __future__ import annotations

import re

from headwater.accounts.errors import BadAccountName

MAX_NAME_LENGTH = 96

_LETTERS = re.compile(r"[A-Za-z0-9._-]+")
_SEPARATORS = "._-"

# First path segments that the site uses or may come to use, and names that would speak for the site.
RESERVED = frozenset(
    """
    about abuse account accounts admin administrator admins anonymous api app apps assets auth avatar avatars
    benchmark benchmarks blog bucket buckets cas chat ci code collection collections community compute contact corpora
    corpus css dashboard dataset datasets dev discussion discussions docs doctor download downloads
    endpoint endpoints enterprise error errors evaluation evaluations everyone explore favicon.ico feed files
    following followers foundation front git governance graphql headwater health healthz help home hub icons images
    img inbox info inference invitation invitations invite issues jobs join js kernel kernels leaderboard
    leaderboards learn ledger lfs license licenses link links list localhost log login logout logs mail
    manifest.json market me metrics model models moderator new news notifications null oauth oidc openness
    org organisation organisations organization organizations orgs owner papers password playground plugins policies posts
    pricing privacy profile prompts public pull queue raw ready readme readyz record register registry repo repos repositories
    reset resolve robots.txt root run runs script scripts search security serving session sessions settings setup
    share sign-in sign-out sign-up signin signout signup site sitemap.xml sitemap space spaces staff static stats status
    storage style support system tasks telemetry terms tiles tmp token tokens topics training trending
    undefined upload uploads user users v1 v2 verify web webhook webhooks well-known whoami whoami-v2 wiki www xet
    """.split()  # noqa: SIM905 - a list of this length reads better as text
)


def name_key(name: str) -> str:
    """What two names must differ in to be two names."""
    return name.casefold()


def check_account_name(name: str) -> str:
    """``name`` itself, if a person or organisation may be called so.

    Raises:
        BadAccountName: it holds other characters, is too long, or speaks for the site.
    """
    check_letters(name)
    if name_key(name) in RESERVED:
        raise BadAccountName(name, "it is reserved for the site itself. Choose another.")
    return name


def check_letters(name: str) -> str:
    """``name`` itself, if its letters and length are fit for any name on this site.

    Raises:
        BadAccountName: they are not.
    """
    if not name:
        raise BadAccountName(name, "it is empty.")
    if len(name) > MAX_NAME_LENGTH:
        raise BadAccountName(name[:MAX_NAME_LENGTH] + "…", f"it has more than {MAX_NAME_LENGTH} characters.")
    if not _LETTERS.fullmatch(name):
        raise BadAccountName(name, "use the letters A-Z and a-z, digits, and . _ - between them.")
    if name[0] in _SEPARATORS or name[-1] in _SEPARATORS:
        raise BadAccountName(name, "it must begin and end with a letter or digit.")
    if ".." in name or "--" in name:
        raise BadAccountName(name, "'..' and '--' are not used in names.")
    if name_key(name).endswith((".git", ".ipynb", ".json", ".html")):
        raise BadAccountName(name, "it would be taken for a file.")
    return name
