"""``headwater verify``: a stranger with nothing but a site's address checks its log, and that what it once showed is still there.

Knows nothing of databases: it reads what anyone may read, recomputes every hash, asks git itself whether each revision is whole, and
keeps what it saw for the next time.
"""
