"""Runs the proofs that the training loaders themselves read our exports, each group in an environment of its own.

    requirements-<group>.txt     the libraries of a group, pinned
    requirements-<group>-alone.txt   where there is one: libraries whose files alone are read, without what they need
    test_<group>_*.py            its proofs

    .envs/<group>/               its environment, in the checkout; made again when the pins or pyproject.toml change

A group whose pins are there is run: nothing is registered anywhere. The exit code is 0 when every proof of every
group held, and 1 when one failed, when none ran, or when an environment could not be made.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
ALONE = "-alone"
GROUPS = sorted(
    file.stem.removeprefix("requirements-") for file in HERE.glob("requirements-*.txt") if not file.stem.endswith(ALONE)
)


def pins(group: str) -> Path:
    """The requirements of a group, or, of `<group>-alone`, those that are installed without their own."""
    return HERE / f"requirements-{group}.txt"


def state(group: str) -> str:
    """A text that changes when the environment of a group has to be made again."""
    made_from = [pins(group), pins(group + ALONE), CHECKOUT / "pyproject.toml", Path(__file__)]
    made_from = [file for file in made_from if file.exists()]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in made_from))
    return f"{digest.hexdigest()} {sys.version}"


def environment(group: str) -> Path:
    """The python of a group's environment, made first where it is missing, unfinished or out of date."""
    folder = CHECKOUT / ".envs" / group
    ready, python = folder / ".ready", folder / "bin" / "python"
    if ready.is_file() and ready.read_text() == state(group):
        return python
    print(f"{group}: making {folder.relative_to(CHECKOUT)} (some minutes, once)", flush=True)
    venv.create(folder, clear=True, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--requirement", str(pins(group)), "--editable", str(CHECKOUT)], check=True)
    if pins(group + ALONE).exists():
        subprocess.run([*pip, "--no-deps", "--requirement", str(pins(group + ALONE))], check=True)
    without_screen(python, pip)
    ready.write_text(state(group))
    return python


def without_screen(python: Path, pip: list[str]) -> None:
    """Put OpenCV's build without windows in place of the other where that finds no libGL, as on a bare server."""
    tried = subprocess.run([str(python), "-c", "import cv2"], check=False, capture_output=True, text=True)
    if "ImportError" in tried.stderr and ".so" in tried.stderr:
        asked = "from importlib.metadata import version; print(version('opencv-python'))"
        release = subprocess.run([str(python), "-c", asked], check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run([*pip, "--force-reinstall", "--no-deps", f"opencv-python-headless=={release}"], check=True)


def proved(group: str) -> bool:
    """Run a group's proofs, which print a line for each target and loader; whether all of them held."""
    proofs = sorted(str(file.relative_to(CHECKOUT)) for file in HERE.glob(f"test_{group}_*.py"))
    if not proofs:
        print(f"{group}: no proofs; expected tests/loaders/test_{group}_*.py", file=sys.stderr)
        return False
    python = environment(group)
    return subprocess.run([str(python), "-m", "pytest", *proofs], check=False, cwd=CHECKOUT).returncode == 0


def main() -> int:
    """Read the command line, run the groups, and say what held."""
    parser = argparse.ArgumentParser(
        description="Let the training loaders themselves read our exports.",
        epilog="example: python tests/loaders/run.py ultralytics",
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)} (default: all)")
    groups = parser.parse_args().groups or GROUPS
    if unknown := sorted(set(groups) - set(GROUPS)):
        parser.error(f"no group {', '.join(unknown)}; there are: {', '.join(GROUPS)}")
    failed = []
    for group in groups:
        try:
            held = proved(group)
        except subprocess.CalledProcessError as error:
            print(f"{group}: {error}", file=sys.stderr)
            held = False
        if not held:
            failed.append(group)
    print(f"loaders: {len(groups) - len(failed)} of {len(groups)} groups hold" + (f"; not {failed}" if failed else ""))
    return 1 if failed or not groups else 0


if __name__ == "__main__":
    sys.exit(main())
