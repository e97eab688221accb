# Given to the interpreter with -c, so it must parse on every Python that anyone has. Reads the loader from standard
# input, which is the zygote's channel, and runs it. Lengths are ten decimal digits.
import sys
if sys.path[:1] == [""]:
    sys.path.pop(0)
import os
def read(n):
    data = b""
    while len(data) < n:
        piece = os.read(0, n - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data
source = read(int(read(10)))
name = getattr(getattr(sys, "implementation", None), "name", "unknown")
if sys.version_info[:2] < (3, 10) or name != "cpython":
    text = '{"t":"failed","stage":"version","what":"%s %d.%d"}' % ((name,) + sys.version_info[:2])
    os.write(0, bytearray([0, 0, 0, len(text)]) + text.encode("ascii"))
    os._exit(1)
exec(compile(source, "<pyrepl3>/loader.py", "exec"), {"__name__": "_pyrepl3.loader", "read": read})
