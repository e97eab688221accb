"""Where the binary is looked for, and what is said when it is not there."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

import pytest

import pyrepl3
from pyrepl3 import _binary


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with nothing built, an empty PATH, no variable. Returns the package's directory."""
    package = tmp_path / "checkout" / "python" / "src" / "pyrepl3"
    package.mkdir(parents=True)
    (tmp_path / "path").mkdir()
    monkeypatch.delenv("PYREPL3_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(_binary, "__file__", str(package / "_binary.py"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "scripts"))
    return package


def program(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/true", path)
    return str(path)


def test_the_order_of_places(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = package.parents[2]
    (checkout / "Cargo.toml").touch()
    for place in (
        checkout / "target" / "debug" / "pyrepl3",
        checkout / "target" / "release" / "pyrepl3",
        tmp_path / "path" / "pyrepl3",
        tmp_path / "scripts" / "pyrepl3",
        package / "pyrepl3",
    ):
        assert _binary.find_binary() == program(place) if place.exists() else program(place)
        assert _binary.find_binary() == str(place)
    given = program(tmp_path / "elsewhere" / "any-name")
    monkeypatch.setenv("PYREPL3_BIN", given)
    assert _binary.find_binary() == given


def test_a_target_directory_counts_only_in_a_checkout(package: Path) -> None:
    program(package.parents[2] / "target" / "debug" / "pyrepl3")
    with pytest.raises(pyrepl3.BinaryNotFound):
        _binary.find_binary()


def test_what_cannot_be_run_is_passed_over(package: Path, tmp_path: Path) -> None:
    (package / "pyrepl3").write_text("not executable")
    (tmp_path / "scripts" / "pyrepl3").mkdir(parents=True)
    found = program(tmp_path / "path" / "pyrepl3")
    assert _binary.find_binary() == found


async def test_a_missing_binary_says_what_why_and_how(package: Path) -> None:
    with pytest.raises(pyrepl3.BinaryNotFound) as caught:
        await pyrepl3.Session().start()
    error = caught.value
    assert error.code == "binary_not_found"
    assert "not found" in error.what
    assert "PATH" in error.why
    assert "PYREPL3_BIN" in error.how


@pytest.mark.parametrize("kind", ["missing", "not executable"])
def test_a_variable_that_is_wrong_is_an_error(
    kind: str, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "path" / "pyrepl3")
    given = tmp_path / "given"
    if kind == "not executable":
        given.touch()
    monkeypatch.setenv("PYREPL3_BIN", str(given))
    with pytest.raises(pyrepl3.BinaryNotFound, match="PYREPL3_BIN"):
        _binary.find_binary()


async def test_a_binary_of_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pyrepl3"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    monkeypatch.setenv("PYREPL3_BIN", str(path))
    with pytest.raises(pyrepl3.BinaryNotFound, match="could not be started"):
        await pyrepl3.Session().start()


async def test_a_binary_that_is_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYREPL3_BIN", "/bin/true")
    with pytest.raises(pyrepl3.SessionLost, match="exited with status 0"):
        await pyrepl3.Session().start()
    assert os.environ["PYREPL3_BIN"] == "/bin/true"
