"""Where the binary `pyrepl3` is."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from .errors import BinaryNotFound

NAME = "pyrepl3"
VARIABLE = "PYREPL3_BIN"


def find_binary() -> str:
    """The path of the binary: `PYREPL3_BIN`, beside the package, on PATH, or in a source checkout's target.

    Raises `BinaryNotFound`. A `PYREPL3_BIN` that does not fit is an error, never passed over.
    """
    if given := os.environ.get(VARIABLE):
        path = Path(given)
        if _runs(path):
            return str(path.absolute())
        raise BinaryNotFound(
            f"{VARIABLE} does not name a program that can be run",
            f"{given!r} {'is not executable' if path.exists() else 'does not exist'}",
            f"set {VARIABLE} to the path of the binary {NAME}, or unset it",
        )
    for path in _candidates():
        if _runs(path):
            return str(path)
    raise BinaryNotFound(
        f"the binary {NAME} was not found",
        f"{VARIABLE} is not set, and it is neither beside the Python package, nor on PATH, "
        "nor in the target directory of a source checkout",
        f"install {NAME}, build it with `cargo build --release`, or set {VARIABLE} to its path",
    )


def _candidates() -> Iterator[Path]:
    package = Path(__file__).resolve().parent
    yield package / NAME
    yield package / "bin" / NAME
    # A wheel puts it where the scripts of this interpreter's environment are.
    yield Path(sysconfig.get_path("scripts")) / NAME
    if on_path := shutil.which(NAME):
        yield Path(on_path).absolute()
    # python/src/pyrepl3 in a checkout. Without the check, an installed package would look into strange places.
    checkout = package.parents[2] if len(package.parents) > 2 else package
    if (checkout / "Cargo.toml").is_file():
        yield checkout / "target" / "release" / NAME
        yield checkout / "target" / "debug" / NAME


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
