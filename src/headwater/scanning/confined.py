"""What a child process gives up before it looks at strangers' bytes: memory, time, writing, new rights, and (where the system lets it)
the network and every other user.

Called by the child itself, first thing; a parent that has threads can do nothing between fork and exec.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_NOBODY = 65534
_CAPABILITIES_3 = 0x20080522  # the form of the system call that knows 64 of them
_NEW_USER, _NEW_NET, _NEW_IPC, _NEW_UTS = 0x10000000, 0x40000000, 0x08000000, 0x04000000


@dataclass(frozen=True)
class Limits:
    """``time_s`` is watched by the parent; all else the system holds."""

    memory_bytes: int = 512 << 20
    cpu_s: int = 120
    time_s: float = 300.0
    written_bytes: int = 0  # of any one file


def confine(limits: Limits, root: int = -1) -> None:
    """Give up what is not needed, for good. ``root``, an open folder, becomes all that is seen of files; it takes ``leave_network`` before."""
    import ctypes
    import resource

    libc = ctypes.CDLL(None, use_errno=True)
    if root >= 0:
        os.fchdir(root)
        os.chroot(".")
        os.close(root)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.nice(5)
    _drop_capabilities(libc)
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits.written_bytes),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_AS, limits.memory_bytes),
    ):
        _, most = resource.getrlimit(kind)
        allowed = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (allowed, allowed))
    resource.setrlimit(
        resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 5)
    )  # the first is told by a signal of its own


def _drop_capabilities(libc: Any) -> None:
    """All of them, of the administrator's child too: no file is opened past its permissions, no root is changed again."""
    import ctypes

    head = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
    libc.capset(head, (ctypes.c_uint32 * 6)())


def has_namespaces() -> bool:
    """Whether this system lets a process have a user and network namespace of its own; asked by a child that tries."""
    code = "import sys; from headwater.scanning.confined import leave_network; sys.exit(0 if leave_network() else 1)"
    return subprocess.run([sys.executable, "-I", "-c", code], check=False, stderr=subprocess.DEVNULL).returncode == 0


def leave_network() -> bool:
    """Into a user and network namespace of one's own, with nothing in it; False where the system does not allow it.

    A child of root becomes nobody before, since the system's limits on processes spare root. Nothing can be imported afterwards.
    """
    import ctypes
    import resource  # noqa: F401  # for ``confine``

    if os.getuid() == 0:
        with contextlib.suppress(OSError):  # a container may have no user but this root, who is nobody outside of it
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.unshare(_NEW_USER | _NEW_NET | _NEW_IPC | _NEW_UTS) == 0)
