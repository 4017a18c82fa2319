"""Pack the built book into one file that opens without a network, and write the checksum beside it.

    python -m tools.offline [--site _build/html] [--out _build/neural-collapse.zip]

The same pages give the same bytes: files in order, one date for all of them.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import zipfile
from pathlib import Path

from tools.cache import write_whole

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "neural-collapse"  # what the file unpacks into
DATE = (1980, 1, 1, 0, 0, 0)  # the first that the format knows
LEFT_OUT = {".buildinfo", "objects.inv", ".nojekyll"}  # of use to builders and servers, not to readers


def pack(site: Path, out: Path) -> str:
    """Write every page of ``site`` into the zip file ``out`` and ``out.sha256``; return the digest.

    Raises:
        FileNotFoundError: if ``site`` holds no ``index.html``.
    """
    if not (site / "index.html").exists():
        raise FileNotFoundError(f"{site} holds no index.html: build the book first (make book)")
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted(path for path in site.rglob("*") if path.is_file() and path.name not in LEFT_OUT):
            entry = zipfile.ZipInfo(f"{FOLDER}/{file.relative_to(site).as_posix()}", DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, file.read_bytes())
    part.replace(out)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    write_whole(out.with_name(out.name + ".sha256"), f"{digest}  {out.name}\n")  # what `sha256sum -c` reads
    return digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "neural-collapse.zip")
    args = parser.parse_args()
    try:
        digest = pack(args.site, args.out)
    except FileNotFoundError as error:
        sys.exit(str(error))
    print(
        f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, open {FOLDER}/index.html after unpacking\nsha256 {digest}"
    )


if __name__ == "__main__":
    main()
