"""Runs one program of a stranger's, out of reach of everything: started by ``sandbox.holds`` as ``python -I -S confined.py``.

Only the standard library, by its path and not as a part of the package: nothing of the run is imported here. Before the program
begins the process gives up, for good, every system call but those for memory, time and the pipes it already has. It opens no
file, reaches no network, starts and signals no process. Its memory and processor time are limited, too.

Prints the word that it was given when the program has ended without an error. A program that hunts for that word through the
interpreter's frames can pass a check; it cannot do more than that.
"""

import ctypes
import io
import json
import os
import platform
import resource
import struct
import sys

NO_SANDBOX = 77
CPU_S, MEMORY_BYTES = 5, 1 << 30

# What checks of code may import; all else is a file that can no longer be opened.
MODULES = """abc array ast base64 bisect calendar cmath collections collections.abc copy csv dataclasses datetime decimal enum
fractions functools hashlib heapq html itertools json keyword math numbers operator random re statistics string textwrap time
types typing unicodedata zlib _strptime encodings.idna encodings.ascii encodings.latin_1""".split()  # noqa: SIM905

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _DENY, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # deny: EPERM
# Numbers of: read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn mremap madvise
# getpid exit gettimeofday sigaltstack futex clock_gettime exit_group clock_nanosleep nanosleep getrandom sched_yield.
_CALLS = {
    "x86_64": (0xC000003E, (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 25, 28, 39, 60, 96, 131, 202, 228, 231, 230, 35, 318, 24)),
    "aarch64": (0xC00000B7, (63, 64, 57, 80, 62, 222, 226, 215, 214, 134, 135, 139, 216, 233, 172, 93, 169, 132, 98, 113, 94, 115, 101, 278, 124)),
}  # fmt: skip


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def confine() -> None:
    """Raises: OSError: this machine cannot."""
    if sys.platform != "linux" or platform.machine() not in _CALLS:
        raise OSError("no filter of system calls is known for this machine")
    arch, numbers = _CALLS[platform.machine()]
    code = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    code += [(_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    code += [(_RETURN, 0, 0, _DENY), (_RETURN, 0, 0, _ALLOW)]
    packed = b"".join(struct.pack("HBBI", *each) for each in code)
    held = ctypes.create_string_buffer(packed, len(packed))
    program = _Program(len(code), ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    # 38: PR_SET_NO_NEW_PRIVS; 22: PR_SET_SECCOMP, 2: by a filter.
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")
    try:
        os.close(os.open("/", os.O_RDONLY))
    except PermissionError:
        return
    raise OSError("the filter of system calls has no effect")


def main() -> None:
    given = json.loads(sys.stdin.buffer.read())
    for name in MODULES:
        __import__(name)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        confine()
    except OSError:
        os._exit(NO_SANDBOX)
    sys.stdout = sys.stderr = io.StringIO()
    try:
        exec(compile(given["program"], "answer", "exec"), {"__name__": "__main__"})  # noqa: S102 -- what this file is for
    except BaseException:  # noqa: BLE001 -- whatever it is, the answer does not hold
        os._exit(1)
    os.write(1, given["word"].encode())
    os._exit(0)


if __name__ == "__main__":
    main()
