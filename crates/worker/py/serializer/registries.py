"""What a session tells a library by a call, for all of the process: names it registers, assumptions, seeds.

Nothing that is assigned shows it, so each such place has to be known. Told apart is what the library has by itself:
that is there again after a restore, in the version that is then installed.
"""

from . import package_state, python_state
from .situation import is_plain

KNOWN = (*python_state.KNOWN, *package_state.KNOWN)


def containers():
    """Ids of the containers that these places are about."""
    loaded = ((each, each.loaded()) for each in KNOWN)
    return {id(each.now(module)) for each, module in loaded if module is not None}


def capture(here):
    for each in KNOWN:
        module = each.loaded()
        if module is None:
            continue
        usual, entries = each.usual(module), []
        now = dict(each.captured(module, here.options))
        for key, value in now.items():
            if key in usual and _is_same(usual[key], value):
                continue
            kept = here.put(each.label, key), here.put(each.label, value)
            if None not in kept:
                entries.append(kept)
        gone = [key for key in usual if key not in now]
        if entries or gone or each.always:
            yield {"of": each.label, "entries": entries, "gone": [here.put(each.label, key) for key in gone]}


def restore(items, here):
    by_label = {item["of"]: item for item in items}
    for each in KNOWN:
        item = by_label.pop(each.label, None)
        if item is None and each.loaded() is None:
            continue
        here.attempt(each.label, _restore, each, item or {"entries": (), "gone": ()}, here)
    for label in by_label:
        here.lose(label, "this version does not know it")


def _restore(each, item, here):
    module = each.loaded() or each.imported()
    wanted = dict(each.usual(module))
    for key in item["gone"]:
        wanted.pop(here.get(key), None)
    for key, value in item["entries"]:
        wanted[here.get(key)] = here.get(value)
    now = dict(each.now(module))
    for key in now:
        if key not in wanted:
            each.remove(module, key)
    for key, value in wanted.items():
        if key not in now or not _is_same(now[key], value):
            each.put(module, key, value)


def _is_same(one, other):
    if type(one) is tuple and type(other) is tuple and len(one) == len(other):
        return all(map(_is_same, one, other))
    return one is other or is_plain(one) and is_plain(other) and one == other
