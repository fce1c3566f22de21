#!/usr/bin/env python3
"""Fetch the script libraries of the explorer from the npm registry, into imagenet_tools/explorer/static/.

    python data/make_explorer_assets.py

    htmx.min.js         the file of the package htmx.org, unchanged; 0BSD
    codemirror.min.js   CodeMirror 6 with its SQL language, bundled by esbuild of data/codemirror.js; MIT

npm downloads and checks the packages by the integrity hashes of data/explorer-lock.json. Nothing is written unless each
file then has the SHA-256 that is pinned here. Needs npm; users do not.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
STATIC = HERE.parent / "imagenet_tools" / "explorer" / "static"
PACKAGES = {
    "htmx.org": "4.0.1",
    "codemirror": "6.0.2",
    "@codemirror/autocomplete": "6.20.4",
    "@codemirror/commands": "6.11.1",
    "@codemirror/lang-sql": "6.10.0",
    "@codemirror/language": "6.13.1",
    "@codemirror/state": "6.7.6",
    "@codemirror/view": "6.43.15",
    "esbuild": "0.28.2",
}
SHA256 = {
    "htmx.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "codemirror.min.js": "bb3238e9b58a73d45afecbb76025c8c6a02aa28c243707b1a6098ca18d7ac60c",
}


def make(folder: Path) -> dict[str, bytes]:
    """Return the files by name, made in an empty folder."""
    shutil.copy(HERE / "explorer-lock.json", folder / "package-lock.json")
    dependencies = ", ".join(f'"{name}": "{version}"' for name, version in PACKAGES.items())
    (folder / "package.json").write_text(f'{{"name": "explorer", "private": true, "dependencies": {{{dependencies}}}}}')
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True)
    shutil.copy(HERE / "codemirror.js", folder)
    bundle = ["npx", "esbuild", "codemirror.js", "--bundle", "--minify", "--format=iife", "--outfile=out.js"]
    subprocess.run([*bundle, "--legal-comments=none"], cwd=folder, check=True)
    return {
        "htmx.min.js": (folder / "node_modules/htmx.org/dist/htmx.min.js").read_bytes(),
        "codemirror.min.js": (folder / "out.js").read_bytes(),
    }


def main() -> int:
    """Make the files, compare them with their hashes, and write them."""
    with tempfile.TemporaryDirectory() as folder:
        files = make(Path(folder))
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    if digests != SHA256:
        print(f"found {digests}, expected {SHA256}", file=sys.stderr)
        return 1
    for name, data in files.items():
        (STATIC / name).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
