"""Search and lists of repositories.

page = search.list_repositories(tx, actor, Query(RepoKind.MODEL, text="大语言模型", tags=("license:mit",)))
search.count_repositories(tx, actor, query)      # Count(n, is_more): "1,000+"
search.count_by_facet(tx, actor, query)          # {"language": [FacetValue(tag, label, count), ...], ...}
search.refresh(tx, repo_id)                      # in each write that creates, renames, hides, gates or deletes a repository
search.count_download(site, repo_id)             # cheap; flushed in batches
"""

from headwater.hub.search.downloads import count_download, flush_downloads
from headwater.hub.search.facets import FACETS, facet_of
from headwater.hub.search.indexing import refresh
from headwater.hub.search.matching import Found
from headwater.hub.search.models import Count, FacetValue, Listed, Query, Sort, Summary
from headwater.hub.search.service import count_by_facet, count_repositories, list_repositories, summarise, tags_by_type
from headwater.hub.search.store import downloads_of_all_time

__all__ = [
    "FACETS",
    "Count",
    "FacetValue",
    "Found",
    "Listed",
    "Query",
    "Sort",
    "Summary",
    "count_by_facet",
    "count_download",
    "count_repositories",
    "downloads_of_all_time",
    "facet_of",
    "flush_downloads",
    "list_repositories",
    "refresh",
    "summarise",
    "tags_by_type",
]
