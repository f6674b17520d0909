"""Pickles that no ``fluid.save_dygraph`` wrote: what a loader of checkpoints must refuse.

``malicious_pickles(canary)`` yields them all as (name, bytes). Those of ``executing`` make
the file ``canary`` when ``pickle.load`` reads them, those of ``exhausting`` ask for more
memory, time or stack than there is, and those of ``foreign`` hold what genuine files do not.
"""

import gzip
import pickle
import struct
from pathlib import Path
from typing import Iterator, Tuple

Pickles = Iterator[Tuple[str, bytes]]

NDARRAY = b"cnumpy\nndarray\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
SCALAR = b"cnumpy.core.multiarray\nscalar\n"
FROM_BUFFER = b"cnumpy.core.numeric\n_frombuffer\n"
DTYPE = b"cnumpy\ndtype\n"
ENCODE = b"c_codecs\nencode\n"
HUGE = 10**11
SYSTEM = b"cos\nsystem\n"


def malicious_pickles(canary: Path) -> Pickles:
    yield from executing(canary)
    yield from exhausting()
    yield from foreign()


# The parts that pickles are made of.


def plain(value: object) -> bytes:
    """The instructions that push a plain value (protocol 4, without any memo)."""
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, str):
        encoded = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(encoded)) + encoded
    if isinstance(value, tuple):
        return b"(" + b"".join(plain(item) for item in value) + b"t"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**31:
        encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(encoded)]) + encoded
    return pickle.dumps(value, 2)[2:-1]


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def module(name: str, attribute: str) -> bytes:
    return f"c{name}\n{attribute}\n".encode()


def dtype(code: str, state: object = (3, "<", None, None, None, -1, -1, 0)) -> bytes:
    return call(DTYPE, plain(code), plain(False), plain(True)) + plain(state) + b"b"


FLOAT = dtype("f4")


def array(shape: object, data: bytes, kind: bytes = FLOAT) -> bytes:
    """An array as NumPy pickles it; ``data`` and ``kind`` are instructions."""
    empty = call(RECONSTRUCT, NDARRAY, plain((0,)), plain(b"b"))
    return empty + b"(" + plain(1) + plain(shape) + kind + plain(False) + data + b"tb"


def file(*items: bytes, proto: bytes = b"\x80\x04") -> bytes:
    """A whole file: a dict of ``items`` under the names a, b, …"""
    pairs = b"".join(plain(chr(97 + n)) + item for n, item in enumerate(items))
    return proto + b"}(" + pairs + b"u."


GOOD = array((2,), plain(b"\0" * 8))


def executing(canary: Path) -> Pickles:
    """Pickles that create ``canary`` when they are plainly unpickled."""
    command = f"touch '{canary}'"
    python = f"open({str(canary)!r}, 'w').close()"
    shell, code = plain(command), plain(python)
    run = call(SYSTEM, shell)

    class Reduced:
        def __reduce__(self):
            import os

            return os.system, (command,)

    for protocol in range(6):
        yield f"__reduce__ to os.system, protocol {protocol}", pickle.dumps(Reduced(), protocol)
    yield "os.system as a value of a good file", file(GOOD, run)
    yield "os.system as a key", b"\x80\x02}" + run + b"Ns."
    yield "os.system, dropped before a good file", b"\x80\x02" + run + b"0" + file(GOOD, proto=b"")
    yield "os.system before a truncated rest", b"\x80\x02" + run + b"X\xff\xff"
    yield "os.system before an unknown opcode", b"\x80\x02" + run + b"\xff"
    yield "os.system as the bytes of an array", file(array((1,), run))
    yield "os.system as a shape", file(array((1,), run).replace(plain((1,)), run))
    yield "posix.system", file(call(module("posix", "system"), shell))
    yield "INST", b"(" + shell + b"ios\nsystem\n."
    yield "OBJ", b"(" + SYSTEM + shell + b"o."
    yield "STACK_GLOBAL", b"\x80\x04" + plain("os") + plain("system") + b"\x93" + shell + b"\x85R."
    yield (
        "STACK_GLOBAL with names from a rebound memo",
        b"\x80\x04(" + plain("numpy") + b"q\x00" + plain("os") + b"q\x00t"
        + b"h\x00" + plain("system") + b"\x93" + shell + b"\x85R.",
    )  # fmt: skip
    yield (
        "a dotted name below an admitted module",
        b"\x80\x04" + plain("numpy.lib.npyio") + plain("os.system") + b"\x93" + shell + b"\x85R.",
    )
    yield "builtins.eval", file(call(module("builtins", "eval"), code))
    yield "builtins.exec", file(call(module("builtins", "exec"), code))
    yield (
        "Python 2's __builtin__.eval",
        file(call(module("__builtin__", "eval"), code), proto=b"\x80\x02"),
    )
    yield (
        "getattr of __import__",
        file(
            call(
                call(
                    module("builtins", "getattr"),
                    call(module("builtins", "__import__"), plain("os")),
                    plain("system"),
                ),
                shell,
            )
        ),
    )
    yield "subprocess.call", file(call(module("subprocess", "call"), plain(("touch", str(canary)))))
    yield "runpy", file(call(module("runpy", "_run_code"), code, b"}", b"N", plain("m")))
    yield "timeit.timeit", file(call(module("timeit", "timeit"), plain("pass"), code))
    yield "cProfile.run", file(call(module("cProfile", "run"), code))
    yield (
        "map of os.system",
        file(
            call(
                module("builtins", "list"),
                call(module("builtins", "map"), SYSTEM, b"(" + shell + b"l"),
            )
        ),
    )
    yield (
        "operator.methodcaller",
        file(
            call(
                call(module("operator", "methodcaller"), plain("system"), shell),
                call(module("builtins", "__import__"), plain("os")),
            )
        ),
    )
    yield (
        "a command hidden by codecs.decode",
        file(
            call(
                SYSTEM,
                call(
                    module("codecs", "decode"),
                    call(module("codecs", "decode"), plain(command.encode().hex()), plain("hex")),
                    plain("utf-8"),
                ),
            )
        ),
    )
    yield (
        "a pickle in a pickle",
        file(call(module("pickle", "loads"), plain(pickle.dumps(Reduced())))),
    )
    yield (
        "the extension registry",
        b"\x80\x02"
        + call(module("copyreg", "add_extension"), plain("os"), plain("system"), plain(1))
        + b"0\x82\x01" + shell + b"\x85R.",
    )  # fmt: skip
    yield (
        "BUILD that sets __setstate__",
        b"\x80\x02" + call(module("argparse", "Namespace"))
        + b"}" + plain("__setstate__") + SYSTEM + b"sb" + shell + b"b.",
    )  # fmt: skip
    yield (
        "NumPy's own exec",
        file(call(module("numpy.testing._private.utils", "runstring"), code, b"}")),
    )
    yield (
        "a NumPy object array",
        file(
            array(
                (1,),
                b"(" + run + b"l",
                dtype("O8", (3, "|", None, None, None, -1, -1, 63)),
            )
        ),
    )


def exhausting() -> Pickles:
    """Pickles that ask for more memory, time or stack than there is."""
    yield (
        "93 GiB in 72 bytes",
        b"\x80\x02" + call(RECONSTRUCT, NDARRAY, plain((HUGE,)), plain("b")) + b".",
    )
    yield "a shape beyond the bytes", file(array((HUGE,), plain(b"\0" * 4)))
    yield "a shape whose product overflows", file(array((2**62, 4), plain(b"")))
    yield "a shape of nine huge sizes", file(array((2**62,) * 9, plain(b"\0" * 4)))
    yield "a shape beyond 64 bits", file(array((2**200,), plain(b"\0" * 4)))
    yield "a shape of many sizes", file(array((1,) * 100_000, plain(b"\0" * 4)))
    yield "a dtype of a gigabyte", file(array((1,), plain(b"\0" * 4), dtype("S999999999")))
    yield "a scalar of a gigabyte", file(call(SCALAR, dtype("V999999999"), plain(b"")))
    yield (
        "a buffer's shape beyond its bytes",
        file(call(FROM_BUFFER, plain(b"\0" * 4), FLOAT, plain((HUGE,)), plain("C"))),
    )
    yield "numpy.ones", file(call(module("numpy", "ones"), plain(HUGE)))
    yield "bytes times a number", file(call(module("operator", "mul"), plain(b"x"), plain(HUGE)))
    yield "a memo index of 2^32-1", b"\x80\x02}r\xff\xff\xff\xff."
    yield "a memo index of 2^31-1", b"\x80\x02}r\xff\xff\xff\x7f."
    yield "a memo index of many digits", b"}p" + b"9" * 5_000_000 + b"\n."
    yield "a negative memo index", b"}p-5\n."
    for name, code in ("BINUNICODE8", b"\x8d"), ("BINBYTES8", b"\x8e"), ("BYTEARRAY8", b"\x96"):
        yield f"{name} of 2^62 bytes", b"\x80\x05" + code + struct.pack("<Q", 2**62) + b"x."
        yield f"{name} of 2^64-1 bytes", b"\x80\x05" + code + b"\xff" * 8 + b"x."
    for name, code in ("BINUNICODE", b"X"), ("BINBYTES", b"B"), ("BINSTRING", b"T"):
        yield f"{name} of 2^31-1 bytes", b"\x80\x03" + code + b"\xff\xff\xff\x7fx."
        yield f"{name} of 2^32-1 bytes", b"\x80\x03" + code + b"\xff\xff\xff\xffx."
    yield "LONG4 of 2^31-1 bytes", b"\x80\x02\x8b\xff\xff\xff\x7fx."
    yield "LONG4 of 5 MB", b"\x80\x02}" + plain("a") + b"\x8b@KL\x00" + b"\x7f" * 5_000_000 + b"s."
    yield "FRAME of 2^62 bytes", file(GOOD, proto=b"\x80\x04\x95" + struct.pack("<Q", 2**62))
    yield "an INT of 5 million digits", b"}" + plain("a") + b"I" + b"7" * 5_000_000 + b"\ns."
    yield "a LONG of 5 million digits", b"}" + plain("a") + b"L" + b"7" * 5_000_000 + b"L\ns."
    yield "a FLOAT of 5 million digits", b"}" + plain("a") + b"F" + b"7" * 5_000_000 + b"\ns."
    yield "a name of 5 million characters", file(GOOD).replace(plain("a"), plain("a" * 5_000_000))
    yield "a module name of 5 million characters", b"c" + b"a" * 5_000_000 + b"\nb\n."
    yield "20 million MARKs", b"\x80\x02" + b"(" * 20_000_000 + b"."
    yield "40 million dicts", b"\x80\x02" + b"}" * 40_000_000 + b"."
    yield "5 million copies of a dict", b"\x80\x02}" + b"2" * 5_000_000 + b"."
    yield "tuples 400,000 deep", b"\x80\x02}" + plain("a") + b")" + b"\x85" * 400_000 + b"s."
    yield "lists 200,000 deep", b"\x80\x02}" + plain("a") + b"]" * 200_000 + b"a" * 199_999 + b"s."
    nested = b"}" + plain("a")
    yield "dicts 50,000 deep", b"\x80\x02" + nested * 50_000 + b"N" + b"s" * 50_000 + b"."
    yield (
        "tuples 50,000 deep as a shape",
        file(array((), plain(b"\0" * 4)).replace(plain(()), b")" + b"\x85" * 50_000)),
    )
    yield "a list that holds itself", b"\x80\x02}" + plain("a") + b"]q\x00h\x00as."
    yield "a dict that holds itself", b"\x80\x02}q\x00" + plain("a") + b"h\x00s."
    laughs, levels = b"N" * 100, b""
    for level in range(6):
        laughs = b"](" + laughs + b"eq" + bytes([level])
        levels += laughs
        laughs = (b"h" + bytes([level])) * 100
    yield "a billion laughs", b"\x80\x02}" + plain("a") + b"](" + levels + b"es."
    million = plain(b"\0" * 1_000_000)
    big = array((250_000,), million)
    yield (
        "an array of 1 MB 100,000 times",
        b"\x80\x02}" + plain("a") + b"](" + big + b"q\x00" + b"h\x00" * 99_999 + b"es.",
    )
    text = plain("a" * 1_000_000)
    yield (
        "1 MB encoded 30,000 times",
        b"\x80\x02}" + plain("a") + b"(" + text + b"q\x00" + ENCODE + b"q\x01"
        + plain("latin1") + b"q\x02" + b"h\x01h\x00h\x02\x86R" * 30_000 + b"ls.",
    )  # fmt: skip
    yield (
        "1 MB made into 10,000 arrays",
        b"\x80\x02}" + plain("a") + b"(" + million + b"q\x00" + FROM_BUFFER + b"q\x01"
        + FLOAT + b"q\x02" + plain((250_000,)) + b"q\x03" + plain("C") + b"q\x04"
        + b"h\x01(h\x00h\x02h\x03h\x04tR" * 10_000 + b"ls.",
    )  # fmt: skip
    colliding = b"".join(plain(n * (2**61 - 1)) + b"N" for n in range(1, 40_000))
    yield "40,000 keys of one hash", b"\x80\x02}(" + colliding + b"u."


def foreign() -> Pickles:
    """Files that hold, harmlessly or not, what ``fluid.save_dygraph`` does not write."""
    four = plain(b"\0" * 4)
    objects = dtype("O8", (3, "|", None, None, None, -1, -1, 63))
    yield "an object array", file(array((1,), b"(Nl", objects))
    yield "an object array of bytes", file(array((1,), plain(b"\0" * 8), dtype("O8")))
    yield "a scalar of an object", file(call(SCALAR, objects, b"N"))
    fields = (3, "|", None, ("x",), {"x": (None, 0)}, 4, 1, 16)
    yield "a structured dtype", file(array((1,), four, dtype("V4", fields)))
    subarray = (3, "|", (None, (1000, 1000)), None, None, 4, 1, 0)
    yield "a dtype of sub-arrays", file(array((1,), four, dtype("f4", subarray)))
    metadata = (4, "<", None, None, None, -1, -1, 0, {"m": 1})
    yield "a dtype with metadata", file(array((1,), four, dtype("f4", metadata)))
    yield (
        "a dtype with flags",
        file(array((1,), four, dtype("f4", (3, "<", None, None, None, -1, -1, 1)))),
    )
    yield (
        "a dtype with a size of its own",
        file(array((1,), four, dtype("f4", (3, "<", None, None, None, 2**40, 1, 0)))),
    )
    yield (
        "a big-endian dtype",
        file(array((1,), four, dtype("f4", (3, ">", None, None, None, -1, -1, 0)))),
    )
    yield (
        "a dtype without its state",
        file(array((1,), four, call(DTYPE, plain("f4"), plain(False), plain(True)))),
    )
    yield (
        "a dtype with two states",
        file(array((1,), four, FLOAT + plain((3, "<", None, None, None, -1, -1, 0)) + b"b")),
    )
    for code in "c8", "U1", "M8[ns]", "m8", "f4,f4", "(1000000,)f4", "O", "", "f\x00", "f4\nx":
        yield f"dtype {code!r}", file(array((1,), four, dtype(code)))
    yield "a dtype of a dtype", file(array((1,), four, call(DTYPE, FLOAT, plain(0), plain(1))))
    yield "a dtype as a value", file(FLOAT)
    yield "a function as a value", file(ENCODE)
    yield "bytes as a value", file(plain(b"abc"))
    yield "an array without its state", file(call(RECONSTRUCT, NDARRAY, plain((0,)), plain(b"b")))
    yield (
        "an array with two states",
        file(GOOD + b"(" + plain(1) + plain((1,)) + FLOAT + plain(False) + four + b"tb"),
    )
    yield (
        "an array of another class",
        file(call(RECONSTRUCT, module("numpy", "matrix"), plain((0,)), plain(b"b"))),
    )
    yield "_reconstruct of a dtype", file(call(RECONSTRUCT, DTYPE, plain((0,)), plain(b"b")))
    yield (
        "_reconstruct of another shape",
        file(array((1,), four).replace(plain((0,)), plain((1, 2)))),
    )
    yield "_reconstruct without arguments", file(call(RECONSTRUCT))
    for shape in (-1,), (True,), (1.0,), ("1",), (None,), (0,), [1], 1, ((1,),), (1,) * 10:
        yield f"shape {shape!r}", file(array(shape, four))
    yield "fewer bytes than the shape", file(array((2,), four))
    yield "more bytes than the shape", file(array((), plain(b"\0" * 8)))
    yield "a list for bytes", file(array((1,), b"]"))
    yield "bytes beyond latin1", file(array((1,), plain("\u0100" * 4)))
    yield "encode to bz2", file(array((1,), call(ENCODE, plain("abcd"), plain("bz2"))))
    yield "encode to utf-16", file(array((1,), call(ENCODE, plain("abcd"), plain("utf-16le"))))
    yield (
        "encode with an error handler",
        file(array((1,), call(ENCODE, plain("abcd"), plain("latin1"), plain("ignore")))),
    )
    yield (
        "encode of characters beyond latin1",
        file(array((1,), call(ENCODE, plain("\u20ac" * 4), plain("latin1")))),
    )
    yield "a call of ndarray", file(call(NDARRAY, plain((HUGE,))))
    yield "a call of a list", file(call(b"]", plain(HUGE)))
    yield "a call of a text", file(call(plain("os.system"), plain("true")))
    yield "a call with a list", file(ENCODE + b"]R")
    yield "NEWOBJ", file(NDARRAY + plain((HUGE,)) + b"\x81")
    yield "NEWOBJ_EX", file(NDARRAY + plain((HUGE,)) + b"}\x92")
    yield "BUILD on a dict", file(b"}" + plain({"a": 1}) + b"b")
    yield "BUILD on a list with a tuple", file(b"]" + plain((1, 2)) + b"b")
    yield "a persistent id", b"Pos.system\n."
    yield "a binary persistent id", b"\x80\x02" + plain("os.system") + b"Q."
    for code in b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00":
        yield f"EXT {code.hex()}", b"\x80\x02" + code + b"."
    yield "NEXT_BUFFER", b"\x80\x05\x97."
    yield "READONLY_BUFFER", b"\x80\x05" + plain(b"x") + b"\x98."
    yield "a set", b"\x80\x04}" + plain("a") + b"\x8f(K\x01\x90s."
    yield (
        "an OrderedDict of something",
        file(call(module("collections", "OrderedDict"), plain("a"))),
    )
    yield "trailing bytes", file(GOOD) + b"\0"
    yield "a second pickle behind", file(GOOD) + file(GOOD)
    yield "protocol 6", file(GOOD, proto=b"\x80\x06")
    yield "protocol 255", file(GOOD, proto=b"\x80\xff")
    yield "PROTO in the middle", b"}\x80\x02."
    yield "nothing", b""
    yield "only STOP", b"."
    yield "STOP with two values", b"\x80\x02}}."
    yield "STOP within a MARK", b"\x80\x02(}."
    yield "a memo that is empty", b"\x80\x02h\x05."
    yield "an empty dict", b"\x80\x02}."
    yield "a list", b"\x80\x02](" + GOOD + b"e."
    yield "an array alone", b"\x80\x02" + GOOD + b"."
    yield "SETITEM on a list", b"\x80\x02]" + plain("a") + b"Ns."
    yield "APPEND on a dict", b"\x80\x02}Na."
    yield "a key without a value", b"\x80\x02}(" + plain("a") + b"u."
    for key in 1, None, b"a", (1,), 1.0:
        yield f"key {key!r}", b"\x80\x02}" + plain(key) + b"Ns."
    yield "a list as a key", b"\x80\x02}]Ns."
    yield "a key twice", b"\x80\x02}(" + (plain("a") + b"N") * 2 + b"u."
    for key in "a\nb", "\x1b[2J", "\ud800", "a\0", "\u2028", "a" * 1001:
        yield f"name {key[:9]!r}", b"\x80\x02}" + plain(key) + b"Ns."
    yield "an integer of 65 bits", file(plain(2**64))
    yield "dicts eleven deep", b"\x80\x02" + b"}X\1\0\0\0a" * 11 + b"N" + b"s" * 11 + b"."
    whole = file(GOOD)
    for end in range(1, len(whole), 7):
        yield f"truncated at {end}", whole[:end]
    yield "text", b"these are no parameters\n"
    yield "a NumPy file", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}"
    yield "a zip", b"PK\x03\x04" + b"\0" * 60
    yield "gzip in gzip", gzip.compress(gzip.compress(whole, mtime=0), mtime=0)
    yield "zeros", b"\0" * 1000
