"""Numpy arrays: memory out of the stream, and views that keep their base."""

import array
import mmap
import pickle
import sys

from . import references

_getrefcount, _PickleBuffer = sys.getrefcount, pickle.PickleBuffer

# A base that is so many times greater than its only view, and at least so large in bytes, is not worth keeping.
WASTE, WASTED = 4, 1 << 20


def _references_of_one_view(root):
    return _getrefcount(root)


# What getrefcount says, called from a function as below, of a base that only one view refers to: the view, the caller's
# variable, and, by version of Python, the arguments on the way.
class _Probe:
    pass


def _calibrate():
    holder = [_Probe()]
    root = holder[0]
    return _references_of_one_view(root)


_ALONE = _calibrate()


def reduce(obj):
    """How an exact numpy.ndarray is pickled, or NotImplemented: numpy's own way."""
    ndarray = type(obj)
    root = obj
    while type(root.base) is ndarray:
        root = root.base
    if root is not obj:
        wasteful = root.nbytes > WASTED and root.nbytes > WASTE * obj.nbytes
        if not wasteful or _references_of_one_view(root) > _ALONE:
            return _view(obj, root, root)
        if obj.dtype.hasobject:
            return NotImplemented
        obj = obj.copy(order="K")  # nobody can see the rest of the base
    if obj.dtype.hasobject or not obj.size:
        return NotImplemented
    held = obj.base
    if held is not None:
        below = held.obj if type(held) is memoryview else held
        if type(below) in (bytearray, array.array) and below:
            return _view(obj, below, sys.modules["numpy"].frombuffer(below, "u1"))
        if type(below) is mmap.mmap:
            return NotImplemented
    flags = obj.flags
    if flags.c_contiguous:
        return references.array, (_bytes(obj), obj.dtype, obj.shape, "C")
    if flags.f_contiguous:
        return references.array, (_bytes(obj.T), obj.dtype, obj.shape, "F")
    axes = sorted(range(obj.ndim), key=lambda axis: -obj.strides[axis])
    straight = obj.transpose(axes)
    if straight.flags.c_contiguous:
        back = tuple(sorted(range(obj.ndim), key=axes.__getitem__))
        return references.permuted, (_bytes(straight), obj.dtype, straight.shape, back)
    return NotImplemented


def of_subclass(cls):
    """How instances of a subclass of ndarray are pickled: `reduce_subclass`, or None where the class has a way of its
    own (which masked arrays have as well, but theirs copies what a view shares)."""
    numpy = sys.modules["numpy"]
    masked = numpy.ma.MaskedArray
    for base in cls.__mro__:
        if base is numpy.ndarray or base is masked:
            return reduce_subclass
        if any(name in vars(base) for name in ("__reduce__", "__reduce_ex__", "__setstate__", "__getstate__")):
            return None
    return None


def reduce_subclass(obj):
    """An instance of a subclass: its memory as a plain array or as a part of one, its class, and its attributes."""
    ndarray = sys.modules["numpy"].ndarray
    if obj.dtype.hasobject or not obj.size:
        return NotImplemented
    attributes = dict(vars(obj)) if hasattr(obj, "__dict__") else None
    root = obj
    while isinstance(root.base, ndarray):
        root = root.base
    # What is over the same memory comes back over the same memory, so a base of a subclass may be pickled twice.
    base = root if type(root) is ndarray else ndarray.view(root, ndarray)
    if root is obj or not (base.flags.c_contiguous or base.flags.f_contiguous):
        return references.subclass, (ndarray.view(obj, ndarray), None, type(obj), attributes)
    return references.subclass, (base, _view(obj, base, base)[1][1:], type(obj), attributes)


def load_subclass(base, part, cls, attributes):
    made = (base if part is None else load_view(base, *part)).view(cls)
    if attributes is not None:
        vars(made).update(attributes)
    return made


def _bytes(obj):
    return _PickleBuffer(obj.reshape(-1).view("u1"))


def _address(obj):
    return obj.__array_interface__["data"][0]


def _view(obj, base, root):
    offset = _address(obj) - _address(root)
    return references.view, (base, offset, obj.dtype, obj.shape, obj.strides, obj.flags.writeable)


def load_array(buffer, dtype, shape, order):
    numpy = sys.modules["numpy"]
    if type(buffer) not in (bytes, bytearray):
        return numpy.ndarray(shape, dtype, buffer, order=order)
    # From inside the stream: it shall own its memory, as what it was saved from did.
    made = numpy.empty(shape, dtype, order)
    flat = (made if order == "C" else made.T).reshape(-1).view("u1")
    flat[:] = numpy.frombuffer(buffer, "u1")
    if type(buffer) is bytes:
        made.flags.writeable = False
    return made


def load_permuted(buffer, dtype, shape, axes):
    numpy = sys.modules["numpy"]
    made = load_array(buffer, dtype, shape, "C")
    if made.base is None:
        # An array that owns its memory again: a copy that keeps the order of the axes.
        return made.transpose(axes).copy(order="K")
    straight = made.transpose(axes)
    return numpy.ndarray(straight.shape, dtype, made.base, strides=straight.strides)


def load_view(base, offset, dtype, shape, strides, writeable):
    numpy = sys.modules["numpy"]
    flat = base
    if type(base) is numpy.ndarray and not base.flags.c_contiguous:
        # The memory as it lies: a buffer has to be contiguous in the order of C.
        flat = base.transpose(sorted(range(base.ndim), key=lambda axis: -base.strides[axis]))
    view = numpy.ndarray(shape, dtype, flat, offset, strides)
    if view.flags.writeable and not writeable:
        view.flags.writeable = False
    return view
