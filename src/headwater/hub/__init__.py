"""Repositories, revisions and files, and the doors that real clients use: Hugging Face, git, LFS, Xet, pages."""

from headwater.web.site import Site

__all__ = ["install"]


def install(site: Site) -> None:
    """Add what the hub keeps per process: the git store with its disposable cache."""
    from headwater.hub.git.cache import GitStore

    site.add_part(GitStore(site.db, site.blobs, site.data_dir / "cache" / "git"))
