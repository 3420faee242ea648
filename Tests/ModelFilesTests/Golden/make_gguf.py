# SPDX-License-Identifier: Apache-2.0
"""Writes the small GGUF files of this folder and the floats they must dequantise to.

Run from this folder:
    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install gguf==0.19.0 numpy==2.4.6
    /tmp/golden/bin/python make_gguf.py

For each type there is NAME.gguf with one tensor `t` and NAME.f32 with the expected values, little-endian.
`f16.gguf` and `bf16.gguf` have every 64th bit pattern, so subnormals, infinities and NaNs are among them.
`normal.f32` are the values that `q8_0.gguf` was quantised from.
`split-0000N-of-00003.gguf` are one model in three files.
`q4_1.sha256` is that file's digest.
`metadata.gguf` has a key of every type; the tests spell out what it holds. Everything is deterministic.
"""

import hashlib

import numpy as np
from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType, GGUFWriter, quants


def write(name, tensors=(), keys=lambda writer: None):
    """Writes one file; tensors are (name, array, type), the array of bytes for quantised types."""
    writer = GGUFWriter(f"{name}.gguf", "test")
    keys(writer)
    for tensor, data, kind in tensors:
        writer.add_tensor(tensor, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def store(name, data, kind):
    """Writes a file with one tensor and its expected values."""
    write(name, [("t", data, kind)])
    quants.dequantize(data, kind).astype("<f4").tofile(f"{name}.f32")


def random_blocks(random, kind, rows, blocks):
    """Blocks with random quants and finite random scales, tiny and huge ones among them."""
    size = GGML_QUANT_SIZES[kind][1]
    halves = 2 if kind in (Type.Q4_1, Type.Q5_1, Type.Q2_K, Type.Q4_K, Type.Q5_K) else 1
    data = random.integers(0, 256, (rows * blocks, size), dtype=np.uint8)
    scales = random.integers(0, 65536, (rows * blocks, halves), dtype=np.uint16)
    scales = np.where(scales & 0x7C00 == 0x7C00, scales & 0x83FF, scales)
    # These K-quants keep their scales behind the codes.
    first = size - halves * 2 if kind in (Type.Q2_K, Type.Q3_K, Type.Q6_K) else 0
    data[:, first : first + halves * 2] = scales.astype("<u2").view(np.uint8)
    return data.reshape(rows, blocks * size)


def split(normal):
    """A model in three files, by the package's own writer, whose first file has the keys and no tensor."""
    writer = GGUFWriter("split.gguf", "test", split_max_tensors=2, small_first_shard=True)
    writer.add_string("test.text", "in parts")
    for index in range(3):
        writer.add_tensor(f"t{index}", normal + index)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    random = np.random.default_rng(20261123)
    normal = random.standard_normal((8, 96)).astype(np.float32)
    store("f32", random.integers(0, 2**32, (7, 33), dtype=np.uint32).view(np.float32), Type.F32)
    store("f16", np.arange(0, 65536, 64, dtype=np.uint16).view(np.float16).reshape(8, 128), Type.F16)
    for kind in (Type.Q4_0, Type.Q4_1, Type.Q8_0):
        name = kind.name.lower()
        store(name, quants.quantize(normal, kind), kind)
        store(f"{name}_random", random_blocks(random, kind, 5, 4), kind)

    with open("q4_1.gguf", "rb") as file, open("q4_1.sha256", "w") as digest:
        digest.write(hashlib.sha256(file.read()).hexdigest() + "\n")

    def keys(writer):
        writer.add_custom_alignment(64)
        for key, kind, value in [
            ("u8", GGUFValueType.UINT8, 200), ("i8", GGUFValueType.INT8, -100),
            ("u16", GGUFValueType.UINT16, 60000), ("i16", GGUFValueType.INT16, -30000),
            ("u32", GGUFValueType.UINT32, 4000000000), ("i32", GGUFValueType.INT32, -2000000000),
            ("u64", GGUFValueType.UINT64, 2**63 - 1), ("u64.big", GGUFValueType.UINT64, 2**63),
            ("i64", GGUFValueType.INT64, -(2**63)), ("f32", GGUFValueType.FLOAT32, 1.5),
            ("f64", GGUFValueType.FLOAT64, -0.1), ("yes", GGUFValueType.BOOL, True), ("no", GGUFValueType.BOOL, False),
            ("text", GGUFValueType.STRING, "naïve 漢字 🙂"),
        ]:
            writer.add_key_value(f"test.{key}", value, kind)
        writer.add_array("test.strings", ["", "a", "🙂"])
        writer.add_array("test.ints", [1, -2, 3])
        writer.add_array("test.floats", [0.5, -2.25])
        writer.add_array("test.bools", [True, False])

    # From here on with a generator of their own, so that the files above stay as they are.
    later = np.random.default_rng(20261124)
    store("bf16", np.arange(0, 65536, 64, dtype="<u2").view(np.uint8).reshape(8, 256), Type.BF16)
    for kind in (Type.Q5_0, Type.Q5_1):
        store(kind.name.lower(), quants.quantize(normal, kind), kind)
    for kind in (Type.Q5_0, Type.Q5_1, Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K):
        store(f"{kind.name.lower()}_random", random_blocks(later, kind, 3, 4), kind)

    normal.astype("<f4").tofile("normal.f32")
    split(normal)

    write(
        "metadata",
        [
            ("first", np.arange(6, dtype=np.float32).reshape(2, 3), None),
            ("second", np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4), None),
            ("third", quants.quantize(normal[:2], Type.Q5_1), Type.Q5_1),
        ],
        keys,
    )


main()
