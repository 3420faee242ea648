# SPDX-License-Identifier: Apache-2.0
"""Writes what the `tokenizers` library makes of prompts with control tokens under the newer form of SentencePiece's spaces.

Run from this folder, after make_tokenizer_json.py:
    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install tokenizers==0.23.3
    /tmp/golden/bin/python make_metaspace.py

`metaspace.json`: for each scheme the prompts, as pieces that begin with `text:` or `control:`, and their ids.
"""
import json

from tokenizers import Tokenizer

PROMPTS = [
    ["text:Hello there"], ["text: Hello there"], ["text:  two"], ["text:\u2581bar"], ["text:\nline"],
    ["control:<s>", "text:Hello there"], ["control:<s>", "text: Hello there"],
    ["text:Hello", "control:</s>", "text:again and again"], ["text:Hello ", "control:</s>", "text: again"],
    ["control:<s>", "control:</s>", "text:x y  z", "control:</s>"], ["text:naïve 漢字 🙂 42"], ["text: "], ["control:<s>"],
]


def main():
    with open("json/llama-2/tokenizer.json") as file:
        data = json.load(file)
    found = {}
    for scheme in ["always", "first", "never"]:
        data["normalizer"] = None
        data["pre_tokenizer"] = {
            "type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": False}
        tokenizer = Tokenizer.from_str(json.dumps(data))
        found[scheme] = [
            {"pieces": pieces,
             "ids": tokenizer.encode("".join(p.split(":", 1)[1] for p in pieces), add_special_tokens=False).ids}
            for pieces in PROMPTS]
    with open("metaspace.json", "w", encoding="utf-8") as file:
        json.dump(found, file, ensure_ascii=False, indent=0)


if __name__ == "__main__":
    main()
