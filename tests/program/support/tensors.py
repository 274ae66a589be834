"""safetensors files with the standard library alone.

t = tensors.read("model.safetensors")               # {name: Tensor}
t["lm_head.weight"].values                          # an array of float or int, row-major
tensors.write("in.safetensors", {"input_ids": Tensor("I64", [2, 5], array("q", ids))})
"""

import array
import json
import struct
import sys

CODES = {"F64": "d", "F32": "f", "F16": "H", "BF16": "H", "I64": "q", "I32": "i", "U8": "B", "BOOL": "B"}
assert sys.byteorder == "little"


class Tensor:
    """`values` of a 16-bit type are its bit patterns; floats() gives numbers."""

    def __init__(self, dtype, shape, values):
        self.dtype, self.shape, self.values = dtype, list(shape), values

    def __eq__(self, other):
        return (self.dtype, self.shape, self.values) == (other.dtype, other.shape, other.values)

    def floats(self):
        if self.dtype == "BF16":
            wide = array.array("I", (v << 16 for v in self.values))
            out = array.array("f")
            out.frombytes(wide.tobytes())
            return out
        if self.dtype == "F16":
            return array.array("f", struct.unpack(f"<{len(self.values)}e", self.values.tobytes()))
        return self.values


def parse(data):
    (length,) = struct.unpack("<Q", data[:8])
    out = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        values = array.array(CODES[entry["dtype"]])
        values.frombytes(data[8 + length + begin : 8 + length + end])
        out[name] = Tensor(entry["dtype"], entry["shape"], values)
    return out


def read(path):
    with open(path, "rb") as file:
        return parse(file.read())


def image(tensors, metadata=None):
    """The bytes of a file that holds these tensors, in this order."""
    header, blobs, at = {"__metadata__": metadata or {"format": "pt"}}, [], 0
    for name, t in tensors.items():
        raw = t.values.tobytes()
        header[name] = {"dtype": t.dtype, "shape": t.shape, "data_offsets": [at, at + len(raw)]}
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(blobs)


def write(path, tensors):
    with open(path, "wb") as file:
        file.write(image(tensors))


def floats(shape, values):
    return Tensor("F32", shape, array.array("f", values))


def ids(rows):
    return Tensor("I64", [len(rows), len(rows[0])], array.array("q", (i for row in rows for i in row)))


def as_dtype(t, dtype):
    """A float32 tensor in 16 bits, rounded to the nearest even, or in F64."""
    if dtype == "F64":
        return Tensor("F64", t.shape, array.array("d", t.values))
    if dtype == "F16":
        out = array.array("H")
        out.frombytes(struct.pack(f"<{len(t.values)}e", *t.values))
        return Tensor("F16", t.shape, out)
    if dtype == "BF16":
        bits = array.array("I", t.values.tobytes())
        return Tensor("BF16", t.shape, array.array("H", ((b + 0x7FFF + (b >> 16 & 1)) >> 16 for b in bits)))
    return t


def distance(a, b):
    """The largest absolute difference; infinite where one of them is no number."""
    worst = 0.0
    for x, y in zip(a, b):
        d = abs(x - y)
        if not d <= worst:
            worst = d if d == d else float("inf")
    return worst
