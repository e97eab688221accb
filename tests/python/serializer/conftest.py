"""The codec of checkpoints, without the engine: `_pyrepl3` is put together from its files."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import harness  # noqa: E402

harness.import_package()
