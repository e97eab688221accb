"""Kishu, which saves a notebook's session after each cell, measured with the twenty steps of steps.py.

Prints JSON: megabytes that are written, and seconds that its hooks take before and after the cells. The notebook is an
empty file; the shell is IPython's own, in this process.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))


class Watch:
    """Calls a hook, and adds up what it takes."""

    seconds = 0.0

    def of(self, hook):
        def timed(info):
            begin = time.perf_counter()
            hook(info)
            self.seconds += time.perf_counter() - begin

        return timed


def main():
    with open(os.path.join(HERE, "steps.py")) as file:
        steps = file.read().split("\n# %%")[1:]
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as directory:
        # Kishu keeps its settings in the home directory otherwise.
        os.environ["KISHU_PATH_ROOT"] = directory
        import nbformat
        from IPython.core.interactiveshell import InteractiveShell
        from kishu.jupyterint import KishuForJupyter
        from kishu.notebook_id import NotebookId

        path = Path(directory) / "steps.ipynb"
        nbformat.write(nbformat.v4.new_notebook(), path)
        shell = InteractiveShell.instance()
        kishu = KishuForJupyter(NotebookId("steps", path, "none"), ip=shell)
        # What a notebook holds is not asked for: there is no server to ask.
        kishu._all_notebook_cells = lambda: (None, None)
        watch = Watch()
        shell.events.register("pre_run_cell", watch.of(kishu.pre_run_cell))
        shell.events.register("post_run_cell", watch.of(kishu.post_run_cell))
        for step in steps:
            ran = shell.run_cell("#" + step, store_history=True, silent=False)
            ran.raise_error()
        size = sum(os.stat(os.path.join(directory, name)).st_size for name in os.listdir(directory) if "kishudb" in name)
    print(json.dumps({"kishu_steps_bytes": [size / 1e6], "kishu_steps_blocked": [watch.seconds]}))


main()
