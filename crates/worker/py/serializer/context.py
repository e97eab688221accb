"""The state of a session that is no variable: what the process, the interpreter and libraries hold for all of it.

`capture` runs in the saver, a forked process that is thrown away; `restore` in the live worker of a session, where it
also undoes what that session has changed and the checkpoint has not. Each kind of state stands alone: one that fails
is named, and the rest goes on. The kinds are listed at the end of this file.
"""

from . import (
    databases,
    entries,
    environment,
    hooks,
    interpreter,
    leftovers,
    libraries_state,
    library_settings,
    logs,
    module_state,
    open_files,
    patches,
    registries,
    settings,
    signals,
    variables,
)
from .situation import Capture, Options, Restore, clean, end_load, why
from .words import Lost

__all__ = [
    "Options", "capture", "describe_file", "look_before_fork", "open_file", "opened_as", "originals", "reducers",
    "restore", "shared_roots",
]  # fmt: skip

describe_file, open_file, opened_as = open_files.describe_file, open_files.open_file, open_files.opened_as


class Kind:
    """`capture(here)` yields items, dicts of plain JSON; `restore(items, here)` gets those of its kind, perhaps none."""

    def __init__(self, name, label, capture, restore):
        self.name, self.label, self.capture, self.restore = name, label, capture, restore


def look_before_fork():
    """In the live process, just before the saver is forked: what a fork does not keep, and what the worker changes in
    the saver. For `Options.before`."""
    return {
        "settings": settings.read_all(),
        "filters": interpreter.warnings_filters(),
        "handlers": signals.handlers(),
        "random": interpreter.random_state(),
        "timers": signals.timers(),
        "threads": leftovers.threads(),
        "processes": leftovers.processes(),
        "pid": leftovers.pid(),
    }


def capture(baseline, keeper, options=None):
    """What the session changed: (items for the checkpoint, list of {"name", "reason"} of what is not kept).

    `keeper.dump(object)` returns an entry of plain JSON, or raises an error whose text is the reason."""
    here = Capture(baseline, keeper, options or Options())
    # Context variables, decimal's context and numpy's error state are seen only in the context that has them.
    return _in_context(here.options.context, _capture, here)


def _in_context(context, action, *arguments):
    return action(*arguments) if context is None else context.run(action, *arguments)


def _capture(here):
    items = []
    for kind in KINDS:
        try:
            here.keeper.begin(kind.name)
            for item in kind.capture(here):
                items.append({"kind": kind.name, **item})
        except Lost as lost:
            here.lose(kind.label, lost.reason)
        except (Exception, SystemExit) as error:
            here.lose(kind.label, f"it could not be looked at: {why(error)}")
    return items, here.lost


def restore(items, keeper, baseline, options=None, roots=None):
    """Brings back what `capture` found, and undoes what this session has changed otherwise. `roots`: what the codec
    restored of `shared_roots`. Returns a list of {"name", "reason"} of what did not come back."""
    here = Restore(baseline, keeper, options or Options(), roots)
    return _in_context(here.options.context, _restore, items, here)


def _restore(items, here):
    by_kind = {kind.name: [] for kind in KINDS}
    for item in items if type(items) is list else ():
        name = item.get("kind") if type(item) is dict else None
        if type(name) is str and name in by_kind:
            by_kind[name].append(item)
        else:
            here.lose(f"context {name!r}"[:100], "this version knows no such kind of context")
    if type(items) is not list:
        here.lose("context", "the checkpoint's list of it is broken")
    for kind in KINDS:
        try:
            kind.restore(by_kind[kind.name], here)
        except (Exception, SystemExit) as error:
            here.lose(kind.label, f"it could not be brought back: {clean(why(error))}")
    end_load()
    return here.lost


def reducers():
    """Type -> function that returns what `__reduce__` would, for objects that pickle refuses and this package can bring
    back: open files, connections to databases, context variables, logging's handlers."""
    return {**open_files.reducers(), **databases.reducers(), **variables.reducers(), **logs.reducers()}


def shared_roots(baseline, options=None):
    """Name -> object that no variable holds, but may share with one: to be saved as groups of their own. Those that are
    go by `Options.shared` into `capture`, and restored into `restore`'s `roots`."""
    options = options or Options()
    found = {f"<sys.{name}>": each for name, each in interpreter.replaced_streams(baseline, options).items() if each}
    decimal_context = _in_context(options.context, interpreter.shared_decimal)
    if decimal_context is not None:
        found[interpreter.CURRENT] = decimal_context
    figures = libraries_state.open_figures()
    if figures is not None:
        found["<figures>"] = figures
    found.update(module_state.shared_roots(baseline))
    return found


def originals(baseline):
    """id -> (module, name): objects that a module had before the session patched them, so that a variable which holds
    one can be saved by that name."""
    return patches.originals(baseline)


def _name_only(items, here):
    """Restores nothing: the kind is only named when it is captured."""


KINDS = (
    # Patches come last: whatever is restored before them works with modules as they were.
    Kind("directory", "working directory", environment.capture_directory, environment.restore_directory),
    Kind("environment", "environment variables", environment.capture_environment, environment.restore_environment),
    Kind("path", "sys.path", environment.capture_path, environment.restore_path),
    Kind("arguments", "sys.argv", environment.capture_arguments, environment.restore_arguments),
    Kind("future", "future statements", interpreter.capture_future, interpreter.restore_future),
    Kind("setting", "settings of the interpreter", settings.capture, settings.restore),
    Kind("signal", "signal handlers", signals.capture, signals.restore),
    Kind("random", "random state", interpreter.capture_random, interpreter.restore_random),
    Kind("warnings", "warnings.filters", interpreter.capture_warnings, interpreter.restore_warnings),
    Kind("decimal", "decimal context", interpreter.capture_decimal, interpreter.restore_decimal),
    Kind("stream", "standard streams", interpreter.capture_streams, interpreter.restore_streams),
    Kind("dialect", "csv dialects", interpreter.capture_dialects, interpreter.restore_dialects),
    Kind("reducer", "copyreg.dispatch_table", interpreter.capture_reducers, interpreter.restore_reducers),
    Kind("variable", "context variables", variables.capture, variables.restore),
    Kind("logging", "logging", logs.capture, logs.restore),
    Kind("numpy", "numpy's settings", libraries_state.capture_numpy, libraries_state.restore_numpy),
    Kind("pandas", "pandas' options", libraries_state.capture_pandas, libraries_state.restore_pandas),
    Kind("sklearn", "scikit-learn's settings", libraries_state.capture_learning, libraries_state.restore_learning),
    Kind("library", "settings of libraries", library_settings.capture, library_settings.restore),
    Kind("rcparams", "matplotlib.rcParams", libraries_state.capture_parameters, libraries_state.restore_parameters),
    Kind("figures", "open figures", libraries_state.capture_figures, libraries_state.restore_figures),
    Kind("registry", "what libraries were told", registries.capture, registries.restore),
    Kind("database", "open databases", databases.capture, _name_only),
    Kind("file", "open files", open_files.capture, open_files.restore),
    Kind("codec", "codecs", hooks.capture_codecs, hooks.restore_codecs),
    Kind("exit", "atexit functions", hooks.capture_exits, hooks.restore_exits),
    Kind("hook", "hooks", hooks.capture_hooks, hooks.restore_hooks),
    Kind("leftover", "threads, processes and loops", leftovers.capture, _name_only),
    Kind("state", "modules of the session's own", module_state.capture, module_state.restore),
    Kind("module", "sys.modules", patches.capture_modules, patches.restore_modules),
    Kind("patch", "patched modules", patches.capture, patches.restore),
    Kind("entry", "containers of libraries", entries.capture, entries.restore),
)
