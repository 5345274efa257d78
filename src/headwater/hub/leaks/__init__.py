"""Secrets on their way into a repository: found in every file that a commit or push brings, by whatever door."""

from headwater.hub.leaks.errors import SecretNotFound, SecretReasonMissing, SecretsFound, SecretsNotLooked
from headwater.hub.leaks.models import FoundSecret, Leak
from headwater.hub.leaks.service import Watch, allow, list_found, settle

__all__ = [
    "FoundSecret",
    "Leak",
    "SecretNotFound",
    "SecretReasonMissing",
    "SecretsFound",
    "SecretsNotLooked",
    "Watch",
    "allow",
    "list_found",
    "settle",
]
