"""Compile modules and templates once, after installing, so that the first start is as quick as any other."""

from __future__ import annotations

import compileall
import sys
from pathlib import Path

from headwater import server
from headwater.web import shell

ROOT = Path(__file__).parent.parent


def main() -> int:
    compiled = compileall.compile_dir(ROOT / "src", quiet=1)
    server.routes()  # registers every package that has templates
    shell.compile_templates()
    return 0 if compiled else 1


if __name__ == "__main__":
    sys.exit(main())
