"""What the package needs of the interpreter that imports it. Comes before all that needs it."""

from __future__ import annotations

import os
import sys

if not hasattr(os, "register_at_fork"):
    raise ImportError(
        f"pyrepl3 cannot be used here: this Python ({sys.implementation.name} on {sys.platform}) has no "
        "os.register_at_fork, by which sessions stay with the process that started them when it forks; "
        "use CPython 3.10 or later on Linux",
        name="pyrepl3",
    )
