"""The message classes, as the contract has them."""

from __future__ import annotations

import dataclasses
import inspect
import pickle

import pytest

import pyrepl3
from pyrepl3 import messages

CLASSES = [
    cls
    for _, cls in inspect.getmembers(messages, inspect.isclass)
    if cls.__name__.endswith("Message") and cls is not pyrepl3.Message
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_message_is_a_frozen_dataclass_whose_type_is_its_name(cls: type) -> None:
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    name = "".join("_" + c.lower() if c.isupper() else c for c in cls.__name__.removesuffix("Message")).lstrip("_")
    assert cls.type == name  # type: ignore[attr-defined]
    assert cls.type.value == str(cls.type) == f"{cls.type}" == name  # type: ignore[attr-defined]
    fields = {field.name: field for field in dataclasses.fields(cls)}
    assert {"id", "timestamp"} <= set(fields)
    assert (fields["seq"].default, fields["seq"].kw_only) == (None, True)
    assert getattr(pyrepl3, cls.__name__) is cls


def test_every_type_has_its_class() -> None:
    assert {cls.type for cls in CLASSES} == set(pyrepl3.MessageType)  # type: ignore[attr-defined]


def test_messages_cannot_be_changed_and_can_be_pickled() -> None:
    message = pyrepl3.OutputMessage(id="m", timestamp=1.5, execution_id="e", stream="stdout", data="x")
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.data = "y"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(message)) == message
    assert message.bytes is None
    assert message.dropped == 0


def test_an_execute_message_takes_code_first() -> None:
    message = pyrepl3.ExecuteMessage("1 + 1")
    assert (message.code, message.id, message.timestamp, message.timeout) == ("1 + 1", None, None, None)
    named = pyrepl3.ExecuteMessage(id="test-tx", timestamp=1.0, code="x", transaction_policy="commit_always")
    assert named.id == "test-tx"


def test_policies_are_strings() -> None:
    assert pyrepl3.TransactionPolicy("commit_always") is pyrepl3.TransactionPolicy.COMMIT_ALWAYS
    assert [policy.value for policy in pyrepl3.TransactionPolicy] == [
        "commit_always",
        "commit_on_success",
        "rollback_on_failure",
        "explicit",
    ]
    assert str(pyrepl3.TransactionPolicy.EXPLICIT) == f"{pyrepl3.TransactionPolicy.EXPLICIT}" == "explicit"
