"""``python -m ncbook.experiments``: run a recorded experiment."""

from ncbook.experiments.command import main

if __name__ == "__main__":
    main()
