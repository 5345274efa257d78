"""Whole repositories: making, naming, moving, copying, deleting them, and who may see them."""

from headwater.hub.repos.authors import Author, author_of
from headwater.hub.repos.copying import duplicate_repository
from headwater.hub.repos.errors import BadSetting, NameLeadsOn, TargetTaken
from headwater.hub.repos.service import (
    Settings,
    change_settings,
    create_repository,
    delete_repository,
    list_all,
    list_owned,
    move_repository,
    set_disabled,
)

__all__ = [
    "Author",
    "BadSetting",
    "NameLeadsOn",
    "Settings",
    "TargetTaken",
    "author_of",
    "change_settings",
    "create_repository",
    "delete_repository",
    "duplicate_repository",
    "list_all",
    "list_owned",
    "move_repository",
    "set_disabled",
]
