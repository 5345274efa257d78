"""Repositories, revisions and files, and the doors that real clients use: Hugging Face, git, LFS, Xet, pages."""

from headwater.web.site import Site

__all__ = ["install"]


def install(site: Site) -> None:
    """Add what the hub keeps per process: the git store with its disposable cache, and what fine-grained tokens ask of it."""
    from headwater.accounts.scopes import RepositoryNames
    from headwater.blobs.settings import BlobSettings
    from headwater.hub.content.known import KnownEntries, KnownFacts
    from headwater.hub.content.reached import ReachedCommits
    from headwater.hub.git.cache import GitStore
    from headwater.hub.token_scopes import find_repository_id, repository_paths

    site.add_part(RepositoryNames(find_repository_id, repository_paths))
    site.add_part(ReachedCommits())
    limit_bytes = site.settings.of(BlobSettings).cache_bytes
    site.add_part(GitStore(site.db, site.blobs, site.data_dir / "cache" / "git", limit_bytes=limit_bytes))
    site.add_part(KnownEntries())
    site.add_part(KnownFacts())
