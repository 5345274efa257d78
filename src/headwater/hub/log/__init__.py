"""The transparency log: numbering and signing what the record holds, serving it as tiles, witnesses, and its pages.

The tree itself is in ``headwater.ledger``; here is what happens around it, and what strangers see of it.
"""
