"""JSON, bound privately: user code may replace anything in `json` and the worker's frames stay whole."""

import json
import json.encoder
import json.scanner

_c_make_encoder = json.encoder.c_make_encoder
_ascii = json.encoder.encode_basestring_ascii


def _refuse(value):
    raise TypeError(f"{type(value).__name__} in a frame")


def _make_encode():
    if _c_make_encoder is not None:
        try:
            encoder = _c_make_encoder(None, _refuse, _ascii, None, ":", ",", False, False, False)
            encoder([], 0)
            return lambda value, _join="".join: _join(encoder(value, 0))
        except TypeError:
            pass  # another signature in a later Python: the slower way below
    return json.JSONEncoder(check_circular=False, allow_nan=False, separators=(",", ":")).encode


encode = _make_encode()
decode = json.JSONDecoder(strict=False).scan_once


def clean(text):
    """A text without lone surrogates, for fields that need no exactness."""
    if text.isascii():
        return text
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
