"""${message}"""

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
# The oldest schema version whose code may still run on what this leaves behind.
breaks_before = "0001"
