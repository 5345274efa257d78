"""``headwater`` with the kinds of runs that tests have: ``python -m tests.compute.server up …``."""

from headwater.cli import main
from tests.compute.kinds import register

if __name__ == "__main__":
    register()
    main()
