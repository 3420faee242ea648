# SPDX-License-Identifier: Apache-2.0
"""Writes digests of what the reference libraries make of 50,000 lines, for each family of tokenizers.

Run from this folder, after the other scripts, with the default model's GGUF file:
    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3 gguf==0.19.0 jinja2
    /tmp/golden/bin/python make_digests.py ~/.cache/deltakv/models/smollm2-135m-instruct-q4_1.gguf

Lines are made of pieces of `lines.txt` by SplitMix64, as DigestTests.swift makes them too. `digests.txt` has a line for each
family: its name and, for each 500 lines, the FNV-1a hash (64 bits, hexadecimal) of the lines' token ids as little-endian 32-bit
integers, each line ended by ffffffff.
"""
import json
import sys

from gguf import GGUFReader
from tokenizers import Tokenizer

from make_tokens import Random, reference_tokenizer

COUNT, BLOCK = 50_000, 500
MASK = (1 << 64) - 1


def lines():
    with open("lines.txt", "rb") as file:
        texts = [line.decode() for line in file.read().split(b"\x1e")[:-1]]
    random = Random(50_000)
    for _ in range(COUNT):
        line = ""
        for _ in range(1 + random.below(3)):
            text = random.pick(texts)
            if text:
                first = random.below(len(text))
                line += text[first:first + 1 + random.below(60)]
            line += ["", " ", "\n", "  "][random.below(4)]
        yield line


def digest(blocks):
    for block in blocks:
        state = 0xCBF29CE484222325
        for ids in block:
            for byte in b"".join(token.to_bytes(4, "little") for token in ids) + b"\xff\xff\xff\xff":
                state = ((state ^ byte) * 0x100000001B3) & MASK
        yield f"{state:016x}"


def families():
    for name in ["gpt-2", "smollm", "qwen2", "llama-3", "llama-2", "tekken"]:
        with open(f"json/{name}/tokenizer.json") as file:
            data = json.load(file)
        # Text is never taken for a special token here.
        data["added_tokens"] = []
        bare = Tokenizer.from_str(json.dumps(data))
        yield name, lambda texts, bare=bare: [
            e.ids for e in bare.encode_batch(texts, add_special_tokens=False)]
    default = reference_tokenizer(GGUFReader(sys.argv[1]))
    yield "default", lambda texts: [e.ids for e in default.encode_batch(texts)]
    processor = sentencepiece_processor()
    yield "sentencepiece", lambda texts: processor.encode(texts)


def sentencepiece_processor():
    """The reference library on the vocabulary of `sentencepiece.gguf`."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as pb

    reader = GGUFReader("sentencepiece.gguf")
    fields = {name: reader.fields[f"tokenizer.ggml.{name}"].contents() for name in ["tokens", "scores", "token_type"]}
    model = pb.ModelProto()
    for token, score, kind in zip(*fields.values()):
        model.pieces.add(piece=token, score=score, type=kind)
    model.trainer_spec.model_type = pb.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


def main():
    texts = list(lines())
    with open("digests.txt", "w") as file:
        for name, encode in families():
            blocks = (encode(texts[first:first + BLOCK]) for first in range(0, COUNT, BLOCK))
            file.write(" ".join([name, *digest(blocks)]) + "\n")
            print(name, flush=True)


if __name__ == "__main__":
    main()
