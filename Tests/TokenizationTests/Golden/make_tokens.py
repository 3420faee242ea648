# SPDX-License-Identifier: Apache-2.0
"""Writes the reference files of this folder: texts, token ids, word splits, character classes and rendered chats.

Run from this folder, with the default model's GGUF file:
    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install gguf==0.19.0 numpy==2.4.6 tokenizers==0.23.3 jinja2==3.1.6
    /tmp/golden/bin/python make_tokens.py ~/.cache/deltakv/models/smollm2-135m-instruct-q4_1.gguf

lines.txt      10,000 texts, each ended by U+001E (so that newlines can be inside)
smollm.ids     for each text the number of its tokens and the tokens, all little-endian 16-bit; a tokenizer built
               from the file's vocabulary and merges, without special tokens, so that none is parsed from the texts
NAME.words     for each text the lengths in bytes of its words, each ended by a 0; a length is one byte below 255, or
               255 and a 32-bit number; the words are those of the pre-tokenizer family's published regular expression
classes.bin    32-bit triples (first, last, class) of the scalars that \\p{L} (1), \\p{N} (2) and \\s (3) match
chats.json     conversations and what the file's chat template makes of them: the text and its token ids

Everything is deterministic (own random numbers; no version of a library changes the texts).
"""

import json
import struct
import sys

from gguf import GGUFReader
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

CONTRACTIONS = r"'s|'t|'re|'ve|'m|'ll|'d"
GPT2 = CONTRACTIONS + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2 = (
    r"(?i:" + CONTRACTIONS + r")|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
# Mistral Nemo's.
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?" + UPPER + r"*" + LOWER + r"+|[^\r\n\p{L}\p{N}]?" + UPPER + r"+" + LOWER
    + r"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Random:
    """SplitMix64."""

    def __init__(self, state):
        self.state = state

    def next(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        mixed = self.state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        return mixed ^ (mixed >> 31)

    def below(self, bound):
        return self.next() % bound

    def pick(self, items):
        return items[self.below(len(items))]


WORDS = """the of and to in is that it was for on are with as his they be at one have this from or had by hot
but some what there we can out other were all your when up use word how said an each she which do their time if
will way about many then them would write like so these her long make thing see him two has look more day could
go come did my sound no most number who over know water than call first people may down side been now find any
new work part take get place made live where after back little only round man year came show every good me give
our under name very through just form much great think say help low line before turn cause same mean differ move
right boy old too does tell sentence set three want air well also Wikipedia PostgreSQL transformer tokenization
antidisestablishmentarianism straightforward NATO iPhone eBay McDonald's naïve café Zürich Ångström façade
coöperate jalapeño""".split()
LANGUAGES = """Привет мир это тест длинное предложение ; Γειά σου Κόσμε ἀρχή ; שלום עולם ; مرحبا بالعالم اللغة
العربية كِتَابٌ ; नमस्ते दुनिया हिन्दी क्षत्रिय ; สวัสดีชาวโลก ; 你好世界 我们今天去北京 漢字 ; こんにちは世界 カタカナ ひらがな ; 안녕하세요 세계
한국어 ; Xin chào thế giới ; Ünïcödé straße ẞ ﬁligree ; ქართული ; ትግርኛ አማርኛ ; ᏣᎳᎩ ; தமிழ் ; 𐌰𐌱𐌲 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚"""
LANGUAGES = LANGUAGES.replace("\n", " ").split(" ; ")
EMOJI = "🙂 😀😃😄 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 ❤️ 1️⃣ ☕️ 🧑🏿‍🚀 🤷‍♀️ ✅ ™ © ♠♣♥♦".split()
SPACES = [" ", "  ", "   ", "    ", "\t", "\t\t", "\n", "\n\n", "\r\n", "\r", " \n", "\n ", "\n    ",
          "\u00a0", "\u3000", "\u2003",
          "\u200b", "\u2028", "\u0085", "\v", "\f", "\ufeff", " \t \n\n  \r\n "]
PUNCTUATION = """. , ; : ! ? ... … -- — – !!! ?!?! ( ) [ ] { } <> </ /> && || == != -> => :: ### *** ___ ~~~ $ €
¥ % ^ @ # \\ / | ` ``` \" ' “ ” ‘ ’ « » 、 。 「 」 ، ؟ ।""".split()
CONTRACTED = """I'm you're he's we've they'll she'd don't can't it's IT'S WE'LL I'M o'clock rock'n'roll 'tis
'sup 'twas ''s 'S 'LL 'lL 'ſ it'ſ 'reading 'very 'llama 'dog 'mother 'true 'sun s' x'y' 'R 've 'Ve""".split()
NUMBERS = """0 1 12 123 1234 12345 1234567890 3.14159 1,000,000 1e-9 0xFF 2026-11-23 ½ ⅓ ² ³ Ⅷ ① ٣٤٥ ४५ 五 1st
42nd v2 x86_64 ７８９""".split()
SPECIALS = """<|im_start|> <|im_end|> <|endoftext|> <|im_start|>system <repo_name> <file_sep> <jupyter_code>
<empty_output> <|eot_id|> </s> <s> <|im_end <|im|> im_end|> <gh_stars> <issue_start>""".split()
CODE = ["def f(x: int) -> int:\n    return x ** 2  # square\n", "for (int i = 0; i < n; ++i) {\n\ta[i] += b[i];\n}",
        "let x = y?.z ?? 0",
        "SELECT * FROM t WHERE a >= 10 AND b LIKE '%x%';", "<div class=\"a b\">&nbsp;</div>",
        "#!/bin/sh\nset -eu\n\necho \"$HOME\"\n",
        "{\"key\": [1, 2.5, null, true], \"s\": \"\\u00e9\\n\"}", "if(a&&!b||c){return;}",
        "import os, sys\n\n\nclass A:\n    pass\n",
        "x\t=\t1;\r\ny\t=\t2;\r\n", "https://example.org/a?b=c&d=%20#e", "$$\\int_0^1 x^2\\,dx = \\frac{1}{3}$$",
        "camelCaseIdentifier snake_case_name SCREAMING_CASE"]
COMBINING = ["e\u0301", "a\u0308\u0323", "n\u0303o", "Z\u0351\u036b\u0343a\u0363l\u034ag\u0368o\u0357", "\u0301",
             "ก็", "ं", "\u20dd", "가"]
ODD = ["\u0000", "\u0001", "\u0004", "\u0006", "\u0013", "\u0014", "\u0016", "\u001d", "\u007f", "\u00ad",
       "\u2066", "\u202e",
       "\ufffd", "\ufffe", "\U000e0041", "\U0010ffff", "\U00040000", "\U000a0001", "\U000f0000", "\u0149",
       "\ufb06", "\u212a", "\u1e9e"]
RUNS = ["a", "A", " ", "=", "-", ".", "\n", "1", "é", "漢", "🙂", "ab", "\t", "' ", " a", "\r\n", "the"]


def scalar(random):
    """Any scalar but the record separator, from a plane and block at random."""
    while True:
        value = random.below([0x80, 0x800, 0x3000, 0x10000, 0x20000, 0x110000][random.below(6)])
        # Unicode 17 changed the classes of a few characters; libraries disagree on them until they are updated.
        unsettled = 0x11DE0 <= value <= 0x11DE9 or 0x16FF4 <= value <= 0x16FF6
        if value != 0x1E and not 0xD800 <= value < 0xE000 and not unsettled:
            return chr(value)


def part(random):
    kind = random.below(40)
    if kind < 16:
        word = random.pick(WORDS)
        return random.pick([word, word, word, word.capitalize(), word.upper()])
    pools = {16: LANGUAGES, 17: LANGUAGES, 18: LANGUAGES, 19: EMOJI, 20: EMOJI,
             21: PUNCTUATION, 22: PUNCTUATION, 23: PUNCTUATION, 24: CONTRACTED, 25: CONTRACTED,
             26: NUMBERS, 27: NUMBERS, 28: SPECIALS, 29: CODE, 30: COMBINING, 31: ODD}
    if kind in pools:
        return random.pick(pools[kind])
    if kind == 32:
        return random.pick(RUNS) * (1 + random.below(40))
    if kind == 33:
        return "".join(random.pick(PUNCTUATION) for _ in range(1 + random.below(6)))
    if kind == 34:
        return "".join(scalar(random) for _ in range(1 + random.below(5)))
    if kind == 35:
        return "".join(chr(33 + random.below(94)) for _ in range(1 + random.below(12)))
    if kind == 36:
        return str(random.next() >> random.below(60))
    if kind == 37:
        return "".join(random.pick(SPACES) for _ in range(1 + random.below(4)))
    return random.pick(WORDS) + random.pick(PUNCTUATION)


def lines():
    random = Random(20261123)
    texts = ["", " ", "\n", "a", "'", "'s", "  a", " \n a", "\u0085x"]
    texts += WORDS[:20] + LANGUAGES + EMOJI + SPACES + CONTRACTED + NUMBERS + SPECIALS + CODE + COMBINING + ODD
    texts += ["a" * 1000, " " * 777 + "x", "ab" * 400, "é" * 300, "\n" * 200 + "x", "=" * 500, "x" + " \n" * 100]
    while len(texts) < 10_000:
        text = ""
        for index in range(1 + random.below(12)):
            if index > 0 and random.below(8) != 0:
                text += " " if random.below(6) != 0 else random.pick(SPACES)
            text += part(random)
        texts.append(text)
    return texts


def reference_tokenizer(reader):
    """The tokenizer of the file as the `tokenizers` library runs it, without its special tokens."""
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [tuple(merge.split(" ")) for merge in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def splitters():
    def split(pattern):
        return pre_tokenizers.Split(Regex(pattern), "isolated")

    return {
        "gpt-2": split(GPT2),
        "smollm": pre_tokenizers.Sequence([split(r"\p{N}"), split(GPT2)]),
        "qwen2": split(QWEN2),
        "llama-bpe": split(LLAMA),
        "tekken": split(TEKKEN),
    }


def write_words(name, splitter, texts):
    with open(f"{name}.words", "wb") as file:
        for text in texts:
            words = [word for word, _ in splitter.pre_tokenize_str(text)]
            assert "".join(words) == text, text
            for word in words:
                size = len(word.encode())
                file.write(bytes([size]) if size < 255 else struct.pack("<BI", 255, size))
            file.write(b"\0")


def write_classes():
    with open("classes.bin", "wb") as file:
        for number, pattern in enumerate([r"\p{L}", r"\p{N}", r"\s"], start=1):
            matches = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
            found = set()
            for base in range(0, 0x110000, 0x4000):
                block = "".join(chr(value) for value in range(base, base + 0x4000) if not 0xD800 <= value < 0xE000)
                for match, _ in matches.pre_tokenize_str(block) if block else []:
                    found.update(map(ord, match))
            ranges = []
            for value in sorted(found):
                if ranges and ranges[-1][1] == value - 1:
                    ranges[-1][1] = value
                else:
                    ranges.append([value, value])
            for first, last in ranges:
                file.write(struct.pack("<III", first, last, number))


CHATS = [
    [],
    [("user", "Hello!")],
    [("system", "You are terse."), ("user", "What is 2 + 2?")],
    [("user", "Hi"), ("assistant", "Hello, how can I help?"), ("user", "  Summarise:\n\n- a\n- b\n ")],
    [("system", ""), ("user", "")],
    [("assistant", "I speak first."), ("user", "so?")],
    [("user", "one"), ("system", "late instructions"), ("user", "two\n")],
    [("user", "漢字 🙂 {{ messages }} {% raw %}"), ("assistant", "</s> é\r\n")],
    [("user", "\n"), ("assistant", "'s"), ("user", " 1 ")],
]


def write_chats(reader, tokenizer):
    """Contents hold no special tokens here: the reference would parse them, which ours must not."""
    source = reader.fields["tokenizer.chat_template"].contents()
    template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(source)
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, kinds) if kind == 3]
    )
    chats = []
    for chat in CHATS:
        messages = [{"role": role, "content": content} for role, content in chat]
        text = template.render(messages=messages, add_generation_prompt=True)
        chats.append({"messages": messages, "text": text, "ids": tokenizer.encode(text).ids})
    with open("chats.json", "w", encoding="utf-8") as file:
        json.dump(chats, file, ensure_ascii=False, indent=0)


def main():
    reader = GGUFReader(sys.argv[1])
    texts = lines()
    with open("lines.txt", "w", encoding="utf-8", newline="") as file:
        for text in texts:
            assert "\u001e" not in text
            file.write(text + "\u001e")
    tokenizer = reference_tokenizer(reader)
    with open("smollm.ids", "wb") as file:
        for text in texts:
            ids = tokenizer.encode(text).ids
            file.write(struct.pack(f"<{len(ids) + 1}H", len(ids), *ids))
    for name, splitter in splitters().items():
        write_words(name, splitter, texts)
    write_classes()
    write_chats(reader, tokenizer)


if __name__ == "__main__":
    main()
