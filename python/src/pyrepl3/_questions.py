"""What can be asked of a session: its variables, completions, what a name is, how it is."""

from __future__ import annotations

from . import _answers
from ._channel import Channel
from ._wire import Json
from .answers import Completeness, Completions, Inspection, SessionStatus, Variables
from .options import check_count, check_text


class Questions:
    """What a `Session` can be asked. All raise `SessionClosed` and `SessionLost` as `execute` does.

    What is said to wait its turn is answered at once while code runs before which there is a snapshot (a policy that may
    undo it, or steps of undo): with the state before that code, which `as_of` names. What such an answer does on the way
    (a property, a `repr`) has no effect on the session; where it takes 5 seconds, it raises a `Pyrepl3Error` with the code
    "interrupted".
    """

    def _usable(self) -> Channel:
        raise NotImplementedError

    async def variables(self) -> Variables:
        """The variables, in the order in which they were made. Waits its turn."""
        return await self._usable().ask("variables", _answers.variables)

    async def complete(self, code: str, cursor: int | None = None) -> Completions:
        """Completions at the cursor, in code points (the end by default). Waits its turn."""
        check_text(code, "code")
        check_count(cursor, "cursor", 0)
        fields: Json = {"code": code} if cursor is None else {"code": code, "cursor": cursor}
        return await self._usable().ask("complete", _answers.completions, **fields)

    async def inspect(self, name: str) -> Inspection:
        """What a name or dotted path is; `Inspection.found` says whether it is anything. Waits its turn."""
        check_text(name, "name")
        return await self._usable().ask("inspect", _answers.inspection, name=name)

    async def is_complete(self, code: str) -> Completeness:
        """Whether code is complete, or wants more lines. Waits its turn."""
        check_text(code, "code")
        return await self._usable().ask("is_complete", _answers.completeness, code=code)

    async def status(self) -> SessionStatus:
        """How the session is. At once, also while code runs."""
        return await self._usable().ask("status", _answers.status)
