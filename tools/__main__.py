"""The book's commands, with make or without it: Linux, macOS, Windows; nothing but Python 3.11 and its venv.

    python -m tools book        run the chapters and write _build/html/index.html
    python -m tools test        check everything

The first command makes .venv and installs the locked requirements there; then each runs in it.
"""

# An old Python must still read this file, to say what is missing: no f-strings, no annotations.
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = os.path.join(ROOT, ".venv", *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
STAMP = os.path.join(ROOT, ".venv", ".installed")
INPUTS = [os.path.join(ROOT, name) for name in ("requirements.txt", "pyproject.toml")]
COMMANDS = {
    "setup": ("make .venv with the locked requirements and ncbook", None),
    "book": ("execute the chapters and write _build/html/index.html", ["tools.build"]),
    "offline": ("pack the built book into _build/neural-collapse.zip, with its checksum", ["tools.offline"]),
    "pdf": ("print the built book into _build/neural-collapse.pdf", ["tools.pdf"]),
    "epub": ("pack the built book into _build/neural-collapse.epub", ["tools.epub"]),
    "test": ("check everything: style, types, units, a strict build, the pages, the course", ["tools.stages", "all"]),
    "test-colab": ("run every chapter alone, on the versions that Colab ships", ["tools.stages", "colab"]),
    "test-processor": ("run every chapter with the rounding of another processor", ["tools.stages", "processor"]),
    "units": ("run the package's own tests alone", ["tools.stages", "units"]),
    "fuzz": ("let the property tests look for new cases instead of the same ones", ["tools.stages", "fuzz"]),
    "notebooks": ("execute and clean every notebook in place", ["tools.notebooks", "run"]),
    "assignments": ("test every assignment, write student and autograder folders", ["assignments.release"]),
    "benchmark": ("print how long the book takes to build and to rebuild here", ["benchmarks.book"]),
    "picture": ("draw the landing page's picture again", ["tools.landing_picture", "_static/hero.webp"]),
    "repository": ("write the repository's address everywhere: … repository URL", ["tools.repository", "--write"]),
}
# Of what pip says, the lines that show it is at work; the rest is noise to somebody who waits for a book.
TELLING = re.compile(r"\s*(Downloading|Installing|Successfully|Building|ERROR|error)\b")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def check_python():
    if sys.version_info < (3, 11):
        sys.exit(
            "This book needs Python 3.11 or newer; `%s` is %d.%d. Name another with: "
            "make PYTHON=/path/to/python3.11 book, or /path/to/python3.11 -m tools book"
            % (sys.executable, sys.version_info[0], sys.version_info[1])
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        sys.exit("This Python has no `venv`. On Debian or Ubuntu: apt install python3-venv")


def installed():
    """Say whether .venv is there and newer than what it was made from."""
    if not (os.path.exists(STAMP) and os.path.exists(PYTHON)):
        return False
    return all(os.path.getmtime(STAMP) >= os.path.getmtime(path) for path in INPUTS)


def run(*command):
    """Run one step of the installation, showing the lines that tell how far it is; stop where it fails."""
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PYTHONUTF8="1", PYTHONUNBUFFERED="1")
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    )
    last = []
    for line in process.stdout or ():
        last = [*last[-30:], line]
        if TELLING.match(line):
            print("  " + line.strip()[:100], flush=True)
    if process.wait():
        sys.exit("".join(last) + "\nThe installation failed; run the same command again to go on from here.")


def set_up():
    check_python()
    if installed():
        return
    print("setting up .venv: this downloads a few gigabytes once", flush=True)
    if not os.path.exists(PYTHON):
        run(sys.executable, "-m", "venv", os.path.join(ROOT, ".venv"))
    run(PYTHON, "-m", "pip", "install", "--progress-bar", "off", "--require-hashes", "-r", "requirements.txt")
    run(PYTHON, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--editable", ".")
    with open(STAMP, "w"):
        pass


def surroundings():
    """Return what a command runs in: one thread a process, whatever the shell says, for there is a process a core.

    Two kernels of two threads each, on two cores, wait for each other most of the time.
    """
    kept = {name: os.environ[name] for name in os.environ if name not in THREADS}
    return dict(kept, OMP_NUM_THREADS="1", PYTHONHASHSEED="0", PYTHONUTF8="1")


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        known = "\n".join("  %-12s %s" % (key, COMMANDS[key][0]) for key in COMMANDS)
        sys.exit("python -m tools COMMAND, with one of the commands\n" + known)
    set_up()
    if COMMANDS[name][1] is not None:
        sys.exit(subprocess.call([PYTHON, "-m", *COMMANDS[name][1], *sys.argv[2:]], cwd=ROOT, env=surroundings()))


if __name__ == "__main__":
    main()
