"""What numpy, pandas, scikit-learn and matplotlib hold for the whole process. A library that is not loaded is not looked for."""

import sys
import warnings

from .interpreter import unwords, words

# numpy/_core/numeric.py and arrayprint.py; what a version does not have is not asked for.
_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
_PRINT = {
    "edgeitems": 3, "threshold": 1000, "floatmode": "maxprec", "precision": 8, "suppress": False, "linewidth": 75,
    "nanstr": "nan", "infstr": "inf", "sign": "-", "formatter": None, "legacy": False, "override_repr": None,
}  # fmt: skip
_BUFFER = 8192


def _loaded(name, attribute):
    """A module, if it is there and its import has ended."""
    module = sys.modules.get(name)
    return module if module is not None and hasattr(module, attribute) else None


# ---- numpy ----


def capture_numpy(here):
    numpy = _loaded("numpy", "geterr")
    if numpy is None:
        return
    errors = numpy.geterr()
    if errors != _ERRORS:
        yield {"what": "errors", "value": errors}
    call = numpy.geterrcall()
    if call is not None:
        entry = here.put("numpy.seterrcall", call)
        if entry is not None:
            yield {"what": "errcall", "value": entry}
    if numpy.getbufsize() != _BUFFER:
        yield {"what": "bufsize", "value": numpy.getbufsize()}
    changed = {name: value for name, value in numpy.get_printoptions().items() if value != _PRINT.get(name)}
    if changed:
        entries = [(name, here.put(f"numpy print option {name}", value)) for name, value in changed.items()]
        yield {"what": "print", "value": {name: entry for name, entry in entries if entry is not None}}
    if _loaded("numpy.random", "mtrand") is not None:
        yield from _random(here, numpy.random.mtrand._rand)


def _random(here, generator):
    state = generator.get_state(legacy=False)
    if state["bit_generator"] == "MT19937":
        inner = {"key": words(state["state"]["key"].tolist()), "pos": int(state["state"]["pos"])}
        yield {"what": "random", "value": {**state, "state": inner, "has_gauss": int(state["has_gauss"]), "gauss": float(state["gauss"])}}
    else:
        entry = here.put("numpy.random", state)
        if entry is not None:
            yield {"what": "random", "value": entry}


def restore_numpy(items, here):
    numpy = _loaded("numpy", "geterr")
    if numpy is None:
        if not items:
            return
        import numpy
    wanted = {"errors": _ERRORS, "errcall": None, "bufsize": _BUFFER, "print": {}}
    for item in items:
        if item["what"] not in (*wanted, "random"):
            raise ValueError(f"{item['what']!r} is no setting of numpy")
        wanted[item["what"]] = item["value"]
    if numpy.geterr() != wanted["errors"]:
        here.attempt("numpy error state", lambda: numpy.seterr(**wanted["errors"]))
    if wanted["errcall"] is not None or numpy.geterrcall() is not None:
        call = wanted["errcall"]
        here.attempt("numpy.seterrcall", lambda: numpy.seterrcall(None if call is None else here.get(call)))
    if numpy.getbufsize() != wanted["bufsize"]:
        here.attempt("numpy buffer size", lambda: numpy.setbufsize(wanted["bufsize"]))
    here.attempt("numpy print options", _set_print_options, numpy, wanted["print"], here)
    if "random" in wanted:
        here.attempt("numpy.random", _set_random, wanted["random"], here)


def _set_print_options(numpy, entries, here):
    now = numpy.get_printoptions()
    wanted = {name: value for name, value in _PRINT.items() if name in now}
    for name, entry in entries.items():
        wanted[name] = here.get(entry)
    # numpy takes None for "as it is" with these two, which is what they are unless they are changed.
    changed = {name: value for name, value in wanted.items() if now.get(name) != value}
    if changed:
        numpy.set_printoptions(**changed)
        if wanted.get("formatter") is None and now.get("formatter") is not None:
            numpy.set_printoptions(formatter=None)


def _set_random(value, here):
    import numpy

    state = here.get(value) if "kept" in value else dict(value)
    if "kept" not in value:
        key = numpy.array(unwords(state["state"]["key"]), dtype=numpy.uint32)
        state["state"] = {"key": key, "pos": state["state"]["pos"]}
        if type(numpy.random.mtrand._rand._bit_generator).__name__ != "MT19937":
            numpy.random.set_bit_generator(numpy.random.MT19937())
    elif type(numpy.random.mtrand._rand._bit_generator).__name__ != state["bit_generator"]:
        numpy.random.set_bit_generator(getattr(numpy.random, state["bit_generator"])())
    numpy.random.mtrand._rand.set_state(state)


# ---- pandas ----


def _pandas_options():
    """Name -> (value, what it is by default), without the warnings that asking for some of them gives."""
    config = _loaded("pandas._config.config", "_registered_options")
    if config is None:
        return {}
    found = {}
    for name, option in list(config._registered_options.items()):
        value = config._global_config
        for part in name.split("."):
            value = value[part]
        found[name] = (value, option.defval)
    return found


def capture_pandas(here):
    for name, (value, usual) in _pandas_options().items():
        if type(value) is not type(usual) or value != usual:
            entry = here.put(f"pandas option {name}", value)
            if entry is not None:
                yield {"name": name, "value": entry}


def restore_pandas(items, here):
    if not items and "pandas" not in sys.modules:
        return
    import pandas

    wanted = {}
    for item in items:
        here.attempt(f"pandas option {item['name']}", lambda: wanted.__setitem__(item["name"], here.get(item["value"])))
    known = _pandas_options()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in wanted:
            if name not in known:
                here.lose(f"pandas option {name}", f"pandas {pandas.__version__} has no such option")
        for name, (value, usual) in known.items():
            target = wanted.get(name, usual)
            if type(value) is not type(target) or value != target:
                here.attempt(f"pandas option {name}", pandas.set_option, name, target)


# ---- scikit-learn ----


def capture_learning(here):
    config = _loaded("sklearn._config", "get_config")
    if config is None:
        return
    for name, value in config.get_config().items():
        if value != config._global_config.get(name):
            entry = here.put(f"scikit-learn setting {name}", value)
            if entry is not None:
                yield {"name": name, "value": entry}


def restore_learning(items, here):
    if not items and _loaded("sklearn._config", "get_config") is None:
        return
    import sklearn

    wanted = dict(sklearn._config._global_config)
    for item in items:
        label = f"scikit-learn setting {item['name']}"
        if item["name"] not in wanted:
            here.lose(label, f"scikit-learn {sklearn.__version__} has no such setting")
        else:
            here.attempt(label, lambda: wanted.__setitem__(item["name"], here.get(item["value"])))
    for name, value in wanted.items():
        if sklearn.get_config().get(name) != value:
            here.attempt(f"scikit-learn setting {name}", lambda: sklearn.set_config(**{name: value}))


# ---- matplotlib ----

_get = dict.__getitem__


def _parameters():
    """matplotlib, and what its parameters were when it was imported."""
    matplotlib = _loaded("matplotlib", "rcParamsOrig")
    return (None, {}) if matplotlib is None else (matplotlib, matplotlib.rcParamsOrig)


def capture_parameters(here):
    matplotlib, usual = _parameters()
    if matplotlib is None:
        return
    for name in matplotlib.rcParams:
        # Not through the mapping itself, which would choose a backend when it is asked for that one.
        value = _get(matplotlib.rcParams, name)
        if name in usual and value == _get(usual, name):
            continue
        if name == "backend" and (type(value) is not str or value.lower() == "agg"):
            continue
        entry = here.put(f"matplotlib.rcParams[{name!r}]", value)
        if entry is not None:
            yield {"name": name, "value": entry}


def restore_parameters(items, here):
    if not items and "matplotlib" not in sys.modules:
        return
    import matplotlib

    wanted = {}
    for item in items:
        label = f"matplotlib.rcParams[{item['name']!r}]"
        here.attempt(label, lambda: wanted.__setitem__(item["name"], here.get(item["value"])))
    usual = matplotlib.rcParamsOrig
    for name in matplotlib.rcParams:
        if name == "backend":
            continue
        target = wanted.get(name, _get(usual, name))
        if _get(matplotlib.rcParams, name) != target:
            here.attempt(f"matplotlib.rcParams[{name!r}]", matplotlib.rcParams.__setitem__, name, target)
    if "backend" in wanted:
        here.attempt("matplotlib backend", matplotlib.use, wanted["backend"])
    for name in wanted:
        if name not in matplotlib.rcParams:
            here.lose(f"matplotlib.rcParams[{name!r}]", f"matplotlib {matplotlib.__version__} has no such parameter")


def _managers():
    module = sys.modules.get("matplotlib._pylab_helpers")
    return getattr(module, "Gcf", None)


def open_figures():
    """The figures of pyplot with their numbers, the active one last; None where there are none."""
    managers = _managers()
    if managers is None or not managers.figs:
        return None
    return [(number, manager.canvas.figure) for number, manager in managers.figs.items()]


def capture_figures(here):
    figures = open_figures()
    if figures is None:
        return
    if "<figures>" in here.options.shared:
        yield {"root": "<figures>"}
        return
    kept = []
    for number, figure in figures:
        # One after the other: one that cannot be saved loses no other.
        entry = here.put(f"figure {number}", figure)
        if entry is not None:
            kept.append([number, entry])
    if kept:
        yield {"figures": kept}


def restore_figures(items, here):
    managers = _managers()
    if not items and (managers is None or not managers.figs):
        return
    figures = []
    for item in items:
        if "root" in item:
            if item["root"] in here.roots:
                figures += here.roots[item["root"]]
            else:
                here.lose("open figures", "they could not be restored")
        else:
            for number, entry in item["figures"]:
                here.attempt(f"figure {number}", lambda: figures.append((number, here.get(entry))))
    if figures:
        import matplotlib.pyplot as pyplot

        managers = _managers()
    wanted = []
    for number, figure in figures:
        # A figure that was open opens itself when it is loaded, under the next number that is free.
        manager = getattr(figure.canvas, "manager", None)
        if manager is None:
            manager = pyplot.new_figure_manager_given_figure(number, figure)
        wanted.append((number, manager))
    kept = {id(manager) for _number, manager in wanted}
    for manager in list(managers.figs.values()):
        if id(manager) not in kept:
            managers.destroy(manager)
    managers.figs.clear()
    for number, manager in wanted:
        manager.num = number
        # Figures note their numbers, too; under which name depends on the version.
        for name in ("number", "_number"):
            if name in vars(manager.canvas.figure):
                vars(manager.canvas.figure)[name] = number
        managers.figs[number] = manager
