"""Say plainly what is missing before anything is installed (runs on any Python 3)."""

import sys

if sys.version_info < (3, 11):
    sys.exit(  # no f-string: an old Python must still read this
        "This book needs Python 3.11 or newer; `%s` is %d.%d. Name another with: make PYTHON=/path/to/python3.11 book"
        % (sys.executable, sys.version_info[0], sys.version_info[1])
    )
try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError:
    sys.exit("This Python has no `venv`. On Debian or Ubuntu: apt install python3-venv")
