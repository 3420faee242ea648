# SPDX-License-Identifier: Apache-2.0
"""Makes the golden logits of the inference tests: transformers in fp32 on the dequantised weights of a GGUF file.

    python3 -m venv venv && venv/bin/pip install torch transformers gguf accelerate
    venv/bin/python make_goldens.py MODEL.gguf goldens.bin

Prompts are texts that the script writes out from a fixed word list (seeded), tokenised by the file's own tokenizer; one
has 4,000 tokens. The smallest margin of the greedy choices is printed: it must stay well above the allowed difference.
For each prompt the file holds, little-endian:
    int32   n, then n prompt ids
    int32   64, then the ids of 64 greedy tokens after the prompt (end of text is ignored)
    float32 vocabulary logits after the last prompt token
    int32   p, then p sampled positions;  int32 v, then v sampled vocabulary entries;  float32 p * v logits there
The file starts with int32 magic 0x31474b44, the vocabulary's size and the number of prompts.
"""
import os
import random
import struct
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

SUBJECTS = ("the river|a database|our index|the old library|every transaction|the compiler|a quiet harbour|"
            "the query planner").split("|")
VERBS = "keeps|rewrites|remembers|compresses|follows|postpones|measures|forgets".split("|")
OBJECTS = ("its oldest pages|the shape of the data|a list of names|what the committee decided|the second draft|"
           "three kinds of locks").split("|")
TAILS = ("before dawn|without asking|because memory is short|in 1997|when the logs are full|at 42 % of the cost|"
         "as planned").split("|")
CODE = """def fib(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


print([fib(i) for i in range(10)])
"""
CHAT = """<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
<|im_start|>user
Explain in one paragraph why databases keep a write-ahead log.<|im_end|>
<|im_start|>assistant
"""


def prose(seed, sentences):
    rng = random.Random(seed)
    out = []
    for i in range(sentences):
        s = f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)} {rng.choice(TAILS)}"
        out.append(s[0].upper() + s[1:] + rng.choice([".", ".", ";", "!"]) + ("\n\n" if i % 9 == 8 else " "))
    return "".join(out)


def prompts(tokenizer):
    texts = [
        ("The capital of France is", 5), (CHAT, None), (CODE * 3 + "\n# The same in one line:\n", None),
        (prose(1, 70), 777), (prose(2, 500), 4000),
    ]
    for text, limit in texts:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert limit is None or len(ids) >= limit, len(ids)
        yield ids[:limit]


def main():
    source, out = sys.argv[1:3]
    torch.manual_seed(0)
    folder, name = os.path.split(os.path.abspath(source))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True),
        attn_implementation="eager")
    model.eval()
    vocabulary = model.config.vocab_size
    rng = random.Random(3)
    chunks = []
    count = 0
    for ids in prompts(tokenizer):
        count += 1
        with torch.no_grad():
            # In pieces over a cache: the attention matrix of 4,000 tokens at once takes gigabytes.
            cache, hidden = None, []
            for at in range(0, len(ids), 500):
                step = model.model(torch.tensor([ids[at:at + 500]]), past_key_values=cache, use_cache=True)
                cache = step.past_key_values
                hidden.append(step.last_hidden_state[0])
            hidden = torch.cat(hidden)
            last = model.lm_head(hidden[-1])
            positions = sorted(rng.sample(range(len(ids)), min(len(ids), 48)))
            entries = sorted(rng.sample(range(vocabulary), 512))
            sample = model.lm_head(hidden[positions])[:, entries]
            greedy, logits = [], last
            margin = []
            for _ in range(64):
                top = logits.topk(2)
                margin.append((top.values[0] - top.values[1]).item())
                greedy.append(int(top.indices[0]))
                step = model(torch.tensor([[greedy[-1]]]), past_key_values=cache, use_cache=True)
                cache, logits = step.past_key_values, step.logits[0, -1]
        print(len(ids), "tokens, smallest greedy margin", min(margin), repr(tokenizer.decode(greedy))[:80], flush=True)
        for values in (ids, greedy):
            chunks.append(struct.pack(f"<i{len(values)}i", len(values), *values))
        chunks.append(last.numpy().astype("<f4").tobytes())
        for values in (positions, entries):
            chunks.append(struct.pack(f"<i{len(values)}i", len(values), *values))
        chunks.append(sample.numpy().astype("<f4").tobytes())
    with open(out, "wb") as f:
        f.write(struct.pack("<iii", 0x31474B44, vocabulary, count))
        f.writelines(chunks)
    print(os.path.getsize(out), "bytes")


if __name__ == "__main__":
    main()
