"""The append-only record: each act that others may rely on is one entry, written in the act's own transaction."""
