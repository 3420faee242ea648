# SPDX-License-Identifier: Apache-2.0
"""Writes what the `tokenizers` library makes of texts with added tokens that say something about the text around them.

Run from this folder, after make_tokenizer_json.py:
    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install tokenizers
    /tmp/golden/bin/python make_added.py

`added.json` has for each family of `json/` the added tokens, as `tokenizer.json` writes them, and a list of texts with their ids.
"""
import json

from tokenizers import Tokenizer

from make_tokens import Random

# Content, lstrip, rstrip, single_word, normalized, special.
TOKENS = [
    ("<|user|>", False, True, False, False, True),
    ("<|end|>", True, True, False, False, True),
    ("<|end|>x", False, False, False, False, True),
    ("<|left|>", True, False, False, True, False),
    ("word", False, False, True, False, False),
    ("wordy", False, True, True, False, True),
    ("[x]", True, True, True, False, False),
    ("<|plain|>", False, False, False, False, True),
]
PIECES = [name for name, *_ in TOKENS] + [
    " ", "  ", "\n", "\t\u00a0", "\u2003", "a", "Hello", "42", ",", "_", "\u00e9", "e\u0301", "\u6f22", "\u0301", "\u200d", "\u203f",
    "<|us", "|>", "x", "\u2028", "\u0e01\u0e33", "\U0001f642", "\u2460",
]


def case(tokenizer, text):
    return {"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids}


def main():
    families = {}
    for name in ["qwen2", "llama-2"]:
        with open(f"json/{name}/tokenizer.json") as file:
            data = json.load(file)
        first = 1 + max(max(data["model"]["vocab"].values()), *(token["id"] for token in data["added_tokens"]))
        keys = ["content", "lstrip", "rstrip", "single_word", "normalized", "special"]
        added = [{"id": first + index, **dict(zip(keys, token))} for index, token in enumerate(TOKENS)]
        if name == "llama-2":
            # The library would look for "\u2581<|left|>".
            for token in added:
                token["normalized"] = False
        data["added_tokens"] += added
        tokenizer = Tokenizer.from_str(json.dumps(data))
        random = Random(19)
        texts = ["".join(random.pick(PIECES) for _ in range(1 + random.below(9))) for _ in range(1500)]
        families[name] = {"added_tokens": added, "cases": [case(tokenizer, text) for text in texts]}
    with open("added.json", "w") as file:
        json.dump(families, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
