# SPDX-License-Identifier: Apache-2.0
"""Trains a small tokenizer of each family with the `tokenizers` library and writes what it makes of `lines.txt`.

Run from this folder, after make_sentencepiece.py:
    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install tokenizers gguf
    /tmp/golden/bin/python make_tokenizer_json.py [FAMILY...]

`json/NAME/tokenizer.json` is as `tokenizers` saves it. `json/NAME.ids` has for every third text a uint16 count and that many
uint16 ids, little-endian, without special tokens. `llama-2` has the vocabulary of `sentencepiece.gguf`, its merges worked out
from the scores as transformers does.
"""
import json
import os
import struct
import sys

from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from make_tokens import LLAMA, QWEN2, TEKKEN

with open("lines.txt", "rb") as file:
    lines = [line.decode() for line in file.read().split(b"\x1e")[:-1]]


def byte_level(before=None, regex=True):
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)
    return pre_tokenizers.Sequence([before, last]) if before else last


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def trained(pre_tokenizer, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=1500, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def llama3():
    tokenizer = trained(byte_level(split(LLAMA), regex=False))
    data = json.loads(tokenizer.to_str())
    # Words that no merge arrives at, as Llama 3 has.
    data["model"]["ignore_merges"] = True
    for word in ["\u0120database", "\u0120transaction", "committee"]:
        if word not in data["model"]["vocab"]:
            data["model"]["vocab"][word] = max(data["model"]["vocab"].values()) + 1
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.token_to_id("<|im_start|>"))])
    return tokenizer


def tekken():
    tokenizer = trained(byte_level(split(TEKKEN), regex=False))
    data = json.loads(tokenizer.to_str())
    data["model"]["ignore_merges"] = True
    return Tokenizer.from_str(json.dumps(data))


def llama2():
    reader = GGUFReader("sentencepiece.gguf")
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    scores = reader.fields["tokenizer.ggml.scores"].contents()
    vocabulary = {token: index for index, token in enumerate(tokens)}
    words = {token for token in tokens[259:]}
    merges = []
    for token in sorted(words, key=lambda token: (-scores[vocabulary[token]], vocabulary[token])):
        for middle in range(1, len(token)):
            if token[:middle] in words and token[middle:] in words:
                merges.append((token[:middle], token[middle:]))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in tokens[:3]])
    return tokenizer


FAMILIES = {
    "gpt-2": lambda: trained(byte_level()),
    "smollm": lambda: trained(byte_level(pre_tokenizers.Digits(individual_digits=True))),
    "qwen2": lambda: trained(byte_level(split(QWEN2), regex=False), normalizers.NFC()),
    "llama-3": llama3,
    "llama-2": llama2,
    "tekken": tekken,
}


def main():
    for name, make in FAMILIES.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        tokenizer = make()
        os.makedirs(f"json/{name}", exist_ok=True)
        tokenizer.save(f"json/{name}/tokenizer.json", pretty=False)
        # Text is never taken for a special token here; a tokenizer that has none makes the reference's ids.
        data = json.loads(tokenizer.to_str())
        data["added_tokens"] = []
        bare = Tokenizer.from_str(json.dumps(data))
        with open(f"json/{name}.ids", "wb") as file:
            for text in lines[::3]:
                ids = bare.encode(text, add_special_tokens=False).ids
                file.write(struct.pack(f"<{len(ids) + 1}H", len(ids), *ids))
        print(name, os.path.getsize(f"json/{name}/tokenizer.json"), os.path.getsize(f"json/{name}.ids"))


if __name__ == "__main__":
    main()
