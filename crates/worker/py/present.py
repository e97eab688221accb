"""How a value is presented: exact where JSON can carry it, a bounded repr, a MIME bundle."""

import base64
import math
import sys

from .codec import clean, encode

VALUE_BYTES = 1 << 20
VALUE_LEVELS = 64
# Integers up to 4,000 decimal digits are JSON numbers: every Python reads those without asking.
PLAIN_INT_BITS = 13287
REPR_LIMIT = 65536
FORMAT_LIMIT = 16 << 20

_repr, _type, _len, _isfinite = repr, type, len, math.isfinite
_b64encode = base64.b64encode
_SIMPLE = (int, float, bool, type(None), complex)


class _NotExact(Exception):
    pass


def exact(value):
    """(True, what JSON carries) or (False, None)."""
    kind = _type(value)
    if value is None or kind is bool:
        return True, value
    if kind is int and -(1 << 62) < value < 1 << 62:
        return True, value
    try:
        carried = _Exact().convert(value, 1)
        if kind is int or kind is float or (kind is str and _len(value) * 6 < VALUE_BYTES):
            return True, carried
        return (True, carried) if _len(encode(carried)) <= VALUE_BYTES else (False, None)
    except (_NotExact, RuntimeError):  # RuntimeError: another thread changed a dict meanwhile
        return False, None


class _Exact:
    def __init__(self):
        self.budget = VALUE_BYTES

    def convert(self, value, level):
        kind = _type(value)
        if value is None or kind is bool:
            self._spend(4)
            return value
        if kind is int:
            bits = value.bit_length()
            self._spend(bits // 4 + 1)
            return value if bits <= PLAIN_INT_BITS else {"$int": hex(value)}
        if kind is float:
            self._spend(3)
            if not _isfinite(value):
                raise _NotExact
            return value
        if kind is str:
            self._spend(_len(value) + 2)
            return value
        if kind is list or kind is dict:
            if level > VALUE_LEVELS:
                raise _NotExact
            self._spend(2 + _len(value))
            if kind is list:
                return [self.convert(item, level + 1) for item in value]
            converted = {}
            for key, item in value.items():
                if _type(key) is not str:
                    raise _NotExact
                self._spend(_len(key) + 3)
                converted[key] = self.convert(item, level + 1)
            if _len(converted) == 1 and next(iter(converted)).startswith("$"):
                return {"$esc": converted}
            return converted
        raise _NotExact

    def _spend(self, size):
        self.budget -= size
        if self.budget < 0:
            raise _NotExact


def bounded_repr(value):
    """`repr`, at most REPR_LIMIT characters and then saying so; never raises for what the value does."""
    kind = _type(value)
    if kind is bool or kind is float or (kind is int and -(1 << 62) < value < 1 << 62):
        return _repr(value)
    try:
        if not _is_small(value, [2000]):
            return clean(_Partial().of(value))
        text = _repr(value)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return f"<{_type_name(value)}: its repr() raised {_type(error).__name__}: {_safe_str(error)}>"
    if _type(text) is not str:
        text = str.__str__(text)
    if _len(text) > REPR_LIMIT:
        text = f"{text[:REPR_LIMIT]}… [cut: {_len(text):,} characters in all]"
    return clean(text)


def _safe_str(error):
    try:
        return str(error)[:1000]
    except Exception:
        return "?"


def _type_name(value):
    return _type(value).__qualname__


def type_name(value):
    kind = _type(value)
    try:
        module, name = kind.__module__, kind.__qualname__
    except Exception:
        return "?"
    return clean(f"{name}" if module == "builtins" else f"{module}.{name}")


def _is_small(value, budget, level=0):
    """Whether a plain repr stays small, as far as builtin containers go. The budget is in characters."""
    if level > 50:
        return False  # deep, or one that holds itself
    kind = _type(value)
    if kind is int:
        return value.bit_length() <= PLAIN_INT_BITS
    if kind in _SIMPLE:
        budget[0] -= 8
    elif kind in (str, bytes, bytearray):
        budget[0] -= _len(value) // 16 + 1
    elif kind in (list, tuple, set, frozenset):
        budget[0] -= _len(value)
        return budget[0] >= 0 and all(_is_small(item, budget, level + 1) for item in value)
    elif kind is dict:
        budget[0] -= 2 * _len(value)
        if budget[0] < 0:
            return False
        return all(
            _is_small(key, budget, level + 1) and _is_small(item, budget, level + 1) for key, item in value.items()
        )
    else:
        budget[0] -= 16
    return budget[0] >= 0


class _Partial:
    """The beginning of a repr that would be large."""

    def __init__(self):
        self.left = REPR_LIMIT
        self.parts = []
        self.open = set()

    def of(self, value):
        try:
            self.write(value)
        except _NotExact:
            return "".join(self.parts)[:REPR_LIMIT] + f"… [cut: longer than {REPR_LIMIT:,} characters]"
        return "".join(self.parts)

    def put(self, text):
        self.parts.append(text)
        self.left -= _len(text)
        if self.left < 0:
            raise _NotExact

    def write(self, value):
        kind = _type(value)
        if kind is int and value.bit_length() > PLAIN_INT_BITS:
            self.put(hex(value) if value.bit_length() < REPR_LIMIT * 4 else f"<int of {value.bit_length():,} bits>")
        elif kind in (str, bytes, bytearray):
            if _len(value) > self.left:
                self.put(_repr(value[: self.left + 8]))
            self.put(_repr(value))
        elif kind in (list, tuple, set, frozenset, dict) and _len(value):
            if id(value) in self.open:
                self.put("{...}" if kind is dict else "[...]")
                return
            self.open.add(id(value))
            start, end = {
                list: ("[", "]"),
                tuple: ("(", ",)" if _len(value) == 1 else ")"),
                set: ("{", "}"),
                frozenset: ("frozenset({", "})"),
                dict: ("{", "}"),
            }[kind]
            self.put(start)
            first = True
            for item in value.items() if kind is dict else value:
                if not first:
                    self.put(", ")
                first = False
                if kind is dict:
                    self.write(item[0])
                    self.put(": ")
                    self.write(item[1])
                else:
                    self.write(item)
            self.put(end)
            self.open.discard(id(value))
        else:
            self.put(_repr(value))


_METHODS = (
    ("text/html", "_repr_html_"),
    ("text/markdown", "_repr_markdown_"),
    ("text/latex", "_repr_latex_"),
    ("image/svg+xml", "_repr_svg_"),
    ("image/png", "_repr_png_"),
    ("image/jpeg", "_repr_jpeg_"),
    ("application/pdf", "_repr_pdf_"),
    ("application/json", "_repr_json_"),
    ("application/javascript", "_repr_javascript_"),
)
_PLAIN = frozenset((int, float, bool, type(None), complex, str, bytes, list, tuple, dict, set, frozenset, type, range))


def bundle(value, text=None):
    """(MIME bundle, metadata). A method of the value that raises is named under `metadata["errors"]`."""
    data = {"text/plain": bounded_repr(value) if text is None else text}
    kind = _type(value)
    if kind in _PLAIN or isinstance(value, type):
        return data, {}
    metadata, errors = {}, {}
    method = getattr(kind, "_repr_mimebundle_", None)
    if method is not None:
        found, details = _call(method, value, errors, include=None, exclude=None)
        if isinstance(found, dict):
            for mime, item in found.items():
                _put(data, errors, str(mime), item)
            if isinstance(details, dict):
                metadata.update(details)
    for mime, name in _METHODS:
        method = getattr(kind, name, None)
        if mime in data or method is None:
            continue
        found, details = _call(method, value, errors)
        if found is not None:
            _put(data, errors, mime, found)
            if isinstance(details, dict):
                metadata[mime] = details
    if "image/png" not in data and is_figure(value):
        try:
            data["image/png"] = render_figure(value)
        except Exception as error:
            errors["image/png"] = f"{_type(error).__name__}: {_safe_str(error)}"
    if errors:
        metadata["errors"] = errors
    return data, _jsonable(metadata)


def _call(method, value, errors, **arguments):
    try:
        found = method(value, **arguments)
    except NotImplementedError:
        return None, None
    except Exception as error:
        name = getattr(method, "__name__", "?")
        errors[name] = clean(f"{_type(error).__name__}: {_safe_str(error)}")
        return None, None
    if _type(found) is tuple and _len(found) == 2:
        return found
    return found, None


def _put(data, errors, mime, item):
    if isinstance(item, (bytes, bytearray, memoryview)):
        item = _b64encode(item).decode("ascii")
    elif isinstance(item, str):
        item = clean(item)
    else:
        ok, item = exact(item)
        if not ok:
            errors[mime] = "not JSON, or too large"
            return
    if isinstance(item, str) and _len(item) > FORMAT_LIMIT:
        errors[mime] = f"larger than {FORMAT_LIMIT >> 20} MiB"
        return
    data[clean(mime)] = item


def _jsonable(metadata):
    found = {}
    for key, item in metadata.items():
        ok, item = exact(item)
        if ok:
            found[clean(str(key))] = item
    return found


def is_figure(value):
    figure = sys.modules.get("matplotlib.figure")
    return figure is not None and isinstance(value, figure.Figure)


def render_figure(figure):
    """PNG of a matplotlib figure, base64."""
    import io

    buffer = io.BytesIO()
    if figure.canvas is None or not hasattr(figure.canvas, "print_png"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return _b64encode(buffer.getvalue()).decode("ascii")
