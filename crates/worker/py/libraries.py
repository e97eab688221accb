"""Which native libraries are loaded, as far as a fork has to mind: OpenMP runtimes in the zygote, CUDA in a session."""

import ctypes

from .native import helper

# With the interpreter's lock held throughout: a thread that waited for it inside the loader's lock would be a deadlock.
_libc = ctypes.PyDLL(None)


class _Info(ctypes.Structure):
    """The beginning of `struct dl_phdr_info`, man 3 dl_iterate_phdr."""

    _fields_ = [("address", ctypes.c_void_p), ("name", ctypes.c_char_p)]


_found = []


@ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Info), ctypes.c_size_t, ctypes.c_void_p)
def _list(info, _size, _data):
    _found.append(info.contents.name)
    return 0


def _paths():
    del _found[:]
    try:
        _libc.dl_iterate_phdr(_list, None)
    except AttributeError:
        pass  # the C library does not tell
    return [path for path in _found if path]


class Libraries:
    """Looks again only when something was loaded since."""

    def __init__(self):
        self.generation = None
        self.openmp = []
        self.cuda = None

    def look(self):
        """`generation` is how many there were then."""
        found = helper.loads() if helper.loads is not None else None
        if found is not None and found == self.generation:
            return
        self.generation = found
        self.openmp, self.cuda = [], None
        for raw in _paths():
            path = raw.decode(errors="surrogateescape")
            name = path.rpartition("/")[2]
            if name.startswith(("libgomp", "libomp", "libiomp")):
                self.openmp.append(path)
            elif name.startswith(("libcuda.so", "libamdhip64.so")):
                self.cuda = name

    def pause_openmp(self):
        """Ends the threads of OpenMP runtimes: sessions are plain forks of this process, and a parallel region in one would
        wait for them for ever."""
        for path in self.openmp:
            try:
                ctypes.CDLL(path).omp_pause_resource_all(2)
            except (OSError, AttributeError):
                pass
