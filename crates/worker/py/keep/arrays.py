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
