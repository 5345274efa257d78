"""``INSERT … ON CONFLICT``, said once for every database."""

from sqlalchemy.dialects.sqlite import Insert, insert

# ``insert(table).on_conflict_do_nothing()`` and ``…on_conflict_do_update(index_elements=…, set_=…)``. It is SQLite's
# form of the statement; ``postgresql.py`` writes it in its own words.
__all__ = ["Insert", "insert"]
