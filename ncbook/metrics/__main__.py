"""``python -m ncbook.metrics``: measure features saved to files."""

import sys

from ncbook.metrics.saved_arrays import main

if __name__ == "__main__":
    sys.exit(main())
