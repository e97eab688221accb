"""Errors: what they say, which class a code has, and that they can be pickled."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

import pyrepl3
from pyrepl3 import errors

CODES = {
    "bad_request": pyrepl3.BadRequest,
    "python_not_found": pyrepl3.PythonNotFound,
    "environment_failed": pyrepl3.EnvironmentFailed,
    "session_closed": pyrepl3.SessionClosed,
    "session_lost": pyrepl3.SessionLost,
    "duplicate_id": pyrepl3.Pyrepl3Error,
    "idempotency_mismatch": pyrepl3.Pyrepl3Error,
    "unknown_execution": pyrepl3.Pyrepl3Error,
    "unknown_input": pyrepl3.UnknownInput,
    "unknown_pool": pyrepl3.PoolClosed,
    "pool_timeout": pyrepl3.PoolTimeout,
    "not_acquired": pyrepl3.Pyrepl3Error,
    "busy": pyrepl3.Pyrepl3Error,
    "protocol_error": pyrepl3.ProtocolError,
    "unsupported": pyrepl3.Unsupported,
    "too_many": pyrepl3.Pyrepl3Error,
    "interrupted": pyrepl3.Pyrepl3Error,
    "internal": pyrepl3.Pyrepl3Error,
    "checkpoint_not_found": pyrepl3.CheckpointNotFound,
    "snapshot_not_found": pyrepl3.SnapshotNotFound,
    "no_transaction": pyrepl3.NoTransaction,
    "transaction_open": pyrepl3.TransactionOpen,
    "nothing_to_undo": pyrepl3.NothingToUndo,
    "nothing_to_redo": pyrepl3.NothingToUndo,
    "snapshot_refused": pyrepl3.SnapshotRefused,
    "a_code_of_the_future": pyrepl3.Pyrepl3Error,
}


@pytest.mark.parametrize("code", CODES)
def test_a_failure_becomes_the_error_of_its_code(code: str) -> None:
    error = errors.from_failure({"code": code, "what": "it failed", "why": "because", "how": "do that"})
    assert isinstance(error, CODES[code])
    assert (error.code, error.what, error.why, error.how) == (code, "it failed", "because", "do that")
    assert str(error) == "it failed: because (do that)"


def test_a_failure_may_leave_out_why_and_how() -> None:
    error = errors.from_failure({"code": "busy", "what": "it failed"})
    assert str(error) == "it failed"


def test_builtin_kinds() -> None:
    assert issubclass(pyrepl3.PoolTimeout, TimeoutError)
    assert issubclass(pyrepl3.BadValue, ValueError)
    assert issubclass(pyrepl3.BadType, TypeError)


def every_class() -> list[type[pyrepl3.Pyrepl3Error]]:
    found = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, pyrepl3.Pyrepl3Error)]
    return [each for each in found if each is not pyrepl3.ExecutionError]


@pytest.mark.parametrize("cls", every_class(), ids=lambda cls: cls.__name__)
def test_errors_can_be_pickled_and_copied(cls: type[pyrepl3.Pyrepl3Error]) -> None:
    error = cls("what", "why", "how")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is cls
        assert (other.code, other.what, other.why, other.how) == (cls.default_code, "what", "why", "how")
        assert str(other) == str(error)
        assert other.args == ("what",)


def error_message(**more: object) -> pyrepl3.ErrorMessage:
    return pyrepl3.ErrorMessage(status="failed", ename="ValueError", evalue="no", **more)  # type: ignore[arg-type]


def test_an_execution_error_shows_the_traceback() -> None:
    error = pyrepl3.ExecutionError(error_message(traceback="Traceback…\nValueError: no\n"))
    assert str(error) == "ValueError: no\n\nTraceback…\nValueError: no"
    assert error.code == "execution_failed"
    assert str(pyrepl3.ExecutionError(error_message())) == "ValueError: no"


def test_an_execution_error_is_pickled_without_its_execution() -> None:
    error = pyrepl3.ExecutionError(error_message(stdout="so far"), execution=object())  # type: ignore[arg-type]
    other = pickle.loads(pickle.dumps(error))
    assert other.execution is None
    assert other.message == error.message
    assert other.message.stdout == "so far"
    assert other.code == "execution_failed"


def test_all_that_is_public_is_named() -> None:
    for name in pyrepl3.__all__:
        assert hasattr(pyrepl3, name)
    for cls in every_class():
        assert cls.__name__ in pyrepl3.__all__
