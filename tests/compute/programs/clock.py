"""Prints when its process began to run, and when it knew what it is about."""

import time

print(f"began {time.time():.3f}", flush=True)

from headwater.compute.program import Run  # noqa: E402 -- what comes before it is measured


def main() -> None:
    with Run.from_environment():
        print(f"ready {time.time():.3f}", flush=True)


if __name__ == "__main__":
    main()
