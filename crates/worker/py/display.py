"""`display()`, `update_display()`, and matplotlib's figures as displays."""

import builtins
import os
import sys
from importlib.machinery import PathFinder

from .codec import clean
from .present import bundle, is_figure, render_figure, _jsonable, _put


class Displays:
    def __init__(self, channel, guard, output, prompts):
        self.channel, self.guard, self.output, self.prompts = channel, guard, output, prompts
        self.last = 0
        self.figures = False

    def send(self, data, metadata, display_id=None, update=False):
        """Sends one display. Called from user code or from the worker's own."""
        self.prompts.confirm(
            {"t": "display", "data": data, "metadata": metadata, "display_id": display_id, "update": update}
        )

    def install(self):
        def display(*objects, display_id=None, metadata=None, raw=False, update=False, **_ignored):
            """Show objects to the client, in the richest form that they have.

            With `display_id` (a name, or True for a new one) returns a handle, whose `update(object)` replaces it.
            `raw=True` takes MIME bundles as they are.
            """
            handle = None
            if display_id is not None:
                if display_id is True:
                    self.last += 1
                    display_id = f"display-{os.getpid()}-{self.last}"
                display_id = str(display_id)
                handle = Handle(display_id)
            elif update:
                raise TypeError("display_id is required with update=True")
            for value in objects:
                if raw:
                    data, found, errors = {}, {}, {}
                    for mime, item in dict(value).items():
                        _put(data, errors, str(mime), item)
                    if errors:
                        found["errors"] = errors
                else:
                    data, found = bundle(value)
                if metadata:
                    found = {**found, **_jsonable(dict(metadata))}
                self.send(data, found, display_id and clean(display_id), update)
            return handle

        def update_display(object, *, display_id, **options):
            """Replace what was displayed under a display_id."""
            display(object, display_id=display_id, update=True, **options)

        class Handle:
            """A display that can be replaced."""

            def __init__(self, display_id):
                self.display_id = display_id

            def display(self, object, **options):
                display(object, display_id=self.display_id, **options)

            def update(self, object, **options):
                update_display(object, display_id=self.display_id, **options)

            def __repr__(self):
                return f"<display {self.display_id}>"

        for one in (display, update_display):
            # Where they are found: in a checkpoint they are that name.
            one.__module__, one.__qualname__ = "builtins", one.__name__
        builtins.display, builtins.update_display = display, update_display
        after_import("IPython.core.display_functions", lambda module: self._adopt(module, display, update_display))
        after_import("matplotlib.pyplot", self._adopt_pyplot)

    def show_as_displays(self):
        """From now on matplotlib's figures are displays."""
        self.figures = True
        os.environ.setdefault("MPLBACKEND", "agg")

    @staticmethod
    def _adopt(module, display, update_display):
        # `from IPython.display import display` outside IPython would print a text.
        module.display, module.update_display = display, update_display

    def _adopt_pyplot(self, pyplot):
        def show(*_arguments, **_options):
            """Show all open figures."""
            if self.figures and pyplot.get_backend().lower() == "agg":
                self.show_figures()
            else:
                original(*_arguments, **_options)

        original, pyplot.show = pyplot.show, show
        show.__module__ = "matplotlib.pyplot"

    def show_figures(self, shown=None):
        """Sends every open figure and closes it, but for one that was shown as the value already."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if not self.figures or pyplot is None or not hasattr(pyplot, "get_fignums"):
            return
        if not pyplot.get_fignums() or pyplot.get_backend().lower() != "agg":
            return
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            if figure is not shown and figure.get_axes():
                data = {"text/plain": clean(repr(figure)), "image/png": render_figure(figure)}
                self.send(data, {})
            pyplot.close(figure)


def shown_figure(value):
    return value if is_figure(value) else None


def after_import(name, hook):
    """Calls a hook with a module as soon as it is imported; at once if it is."""
    module = sys.modules.get(name)
    if module is not None:
        hook(module)
        return
    sys.meta_path.insert(0, _Hook(name, hook))


class _Hook:
    def __init__(self, name, hook):
        self.name, self.hook = name, hook

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute, hook = spec.loader.exec_module, self.hook

        def exec_module(module):
            execute(module)
            hook(module)

        spec.loader.exec_module = exec_module
        return spec
