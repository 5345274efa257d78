"""Whether a file that nothing names a pickle is one all the same: those of protocols 0 and 1 begin like a text.

A loader takes any name. Later protocols begin with a byte of their own, the first two with the first instruction, a letter for most: so
the first instructions are followed with the stack they need, at which nearly every text breaks off within three. Source of what each
takes and leaves: Lib/pickletools.py of CPython, which is asked.
"""

from __future__ import annotations

import io
import pickletools
import re

_BEGINNINGS = frozenset(b"(IFLSVPJKMNGXUTci])}")
_IMPORTS = frozenset({"GLOBAL", "INST"})
_ACTS = frozenset({"REDUCE", "INST", "OBJ", "BUILD", "NEWOBJ", "STOP"})
_CUT = re.compile(
    rb"""[ILF][\d +.eE-]*|S['"].*|[ci][\w.]*(\n[\w.]*)?|[^ILFSci].*""", re.DOTALL
)  # what may be the first part of one
_ENOUGH = 48  # instructions, after which it is no accident


def may_be_one(head: bytes) -> bool:
    """Whether an unpickler that is given these first bytes of a file imports and acts, or is still at work where they end."""
    if not head or head[0] not in _BEGINNINGS:
        return False
    stream, begun, has_imported = io.BytesIO(head), 0, False
    depths = [0]  # how many things lie above each mark
    try:
        for nth, (op, argument, _) in enumerate(pickletools.genops(stream)):
            begun = stream.tell()
            takes = len(op.stack_before)
            if pickletools.stackslice in op.stack_before or pickletools.markobject in op.stack_before:
                if len(depths) == 1:
                    return False  # no mark lies there
                depths.pop()
                takes = op.stack_before.index(pickletools.markobject)
            if depths[-1] < takes:
                return False
            if op.name in _IMPORTS:
                has_imported = all(part.isidentifier() for word in str(argument).split(" ") for part in word.split("."))
                if not has_imported:
                    return False
            if (has_imported and op.name in _ACTS) or nth >= _ENOUGH:
                return True
            depths[-1] -= takes
            if op.name == "MARK":
                depths.append(0)
            else:
                depths[-1] += len(op.stack_after)
    except (ValueError, IndexError, KeyError, UnicodeDecodeError, OverflowError):
        is_cut = stream.tell() == len(head)  # within an instruction; else it is nothing that can be read
        return is_cut and _CUT.fullmatch(head, begun) is not None
    return False
