"""Tables of the hub, one module a subject."""
