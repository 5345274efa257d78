"""Write constraints.txt from the packages installed here: exact versions, no registry, no local build's suffix."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

TARGET = Path(__file__).parent.parent / "constraints.txt"
LEFT_OUT = {"headwater", "pip", "setuptools", "wheel", "build", "pip-tools", "pyproject-hooks"}
HEAD = "# Written by `make constraints` from an environment in which all tests pass.\n"


def render() -> str:
    found = {}
    for package in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", package.name).lower()
        if name not in LEFT_OUT:
            found[name] = package.version.partition("+")[0]
    return HEAD + "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))


if __name__ == "__main__":
    TARGET.write_text(render())
    print(f"wrote {TARGET.name}")
