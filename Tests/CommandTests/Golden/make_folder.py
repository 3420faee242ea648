# SPDX-License-Identifier: Apache-2.0
"""Makes a tiny random model as a Hugging Face folder, tokenizer and chat template included, and what transformers generates with it.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install torch transformers tokenizers
    /tmp/golden/bin/python make_folder.py

`tiny-qwen2/` is the folder. `generated.json` is a list of outputs by greedy decoding in fp32: with the repetition penalty of
`generation_config.json` (`advised`) or without one, of a prompt as it is (`raw`) or in the chat template. Those are kept where at no
step a second token comes close to the likeliest one, so that rounding does not decide.
"""
import json
import math
import os
import shutil

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from transformers.generation import RepetitionPenaltyLogitsProcessor

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "tiny-qwen2")
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = """{%- if messages[0].role != 'system' -%}
{{- '<|im_start|>system\\nYou are terse.<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""
PENALTY, MARGIN = 1.3, 0.02
SUBJECTS = ["the sky", "Cafe\u0301 na\u00efve", "42 \u6f22\u5b57", "a river", "  two  spaces", "<|im_end|> as text", "sand"]
PROMPTS = [(f"{verb} {subject}{end}", raw, count) for raw, count in [(False, 24), (True, 40), (False, 200)]
           for verb in ["Why is", "List", "Explain", "Once upon a time", "a " * 150] for subject in SUBJECTS for end in "?."]


def tokenizer():
    with open(os.path.join(HERE, "../../TokenizationTests/Golden/lines.txt"), "rb") as file:
        lines = [line.decode() for line in file.read().split(b"\x1e")[:-1]]
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=380, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False, model_max_length=1024)


# What stands for bytes beyond printable ASCII.
UNREADABLE = [character for character in pre_tokenizers.ByteLevel.alphabet() if ord(character) > 126 and character != "\u0120"]


def model(pieces, seed):
    vocabulary = len(pieces)
    config = Qwen2Config(
        vocab_size=vocabulary, num_hidden_layers=2, hidden_size=64, intermediate_size=96, max_position_embeddings=1024,
        num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-6, tie_word_embeddings=True,
        bos_token_id=0, eos_token_id=2, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    config._attn_implementation = "eager"
    made = Qwen2ForCausalLM(config).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, weight in made.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if "norm" in name:
            noise = 1 + 0.2 * noise
        elif weight.dim() == 1:
            noise = 0.5 * noise
        else:
            noise = noise * (1.5 / math.sqrt(weight.shape[1]))
        if "embed" in name:
            noise[:3] *= 1.2
            # Text that can be read.
            noise[[any(byte in piece for byte in UNREADABLE) for piece in pieces]] *= 0.3
        weight.data = noise.half().float()
    return made


def generate(made, ids, count, penalty):
    """Greedy tokens, and by how much the likeliest was ahead at least."""
    process = RepetitionPenaltyLogitsProcessor(penalty)
    start, closest = len(ids), math.inf
    while len(ids) - start < count:
        with torch.no_grad():
            logits = made(torch.tensor([ids])).logits[0, -1:]
        if penalty != 1.0:
            logits = process(torch.tensor([ids]), logits)
        best = logits[0].topk(2)
        closest = min(closest, (best.values[0] - best.values[1]).item())
        token = best.indices[0].item()
        if token in (0, 2):
            return ids[start:], closest, "stop"
        ids = ids + [token]
    return ids[start:], closest, "length"


def outputs(made, text):
    # What looks like a control token in a prompt is text to us.
    bare = json.loads(text.backend_tokenizer.to_str())
    bare["added_tokens"] = []
    bare = Tokenizer.from_str(json.dumps(bare))
    for prompt, raw, count in PROMPTS:
        if raw:
            ids = bare.encode(prompt, add_special_tokens=False).ids
        else:
            before, after = text.apply_chat_template(
                [{"role": "user", "content": "\x1f"}], tokenize=False, add_generation_prompt=True).split("\x1f")
            ids = text(before, add_special_tokens=False)["input_ids"][:-1]
            newline = text("\n", add_special_tokens=False)["input_ids"]
            assert text(before, add_special_tokens=False)["input_ids"][-1:] == newline
            ids += bare.encode("\n" + prompt, add_special_tokens=False).ids
            ids += text(after, add_special_tokens=False)["input_ids"]
            if "<|" not in prompt:
                whole = text.apply_chat_template(
                    [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False)
                assert whole == ids, (whole, ids)
        pair = []
        for advised in [True, False]:
            penalty = PENALTY if advised else 1.0
            tokens, closest, reason = generate(made, ids, count, penalty)
            if closest < MARGIN or len(tokens) < 4:
                break
            whole = made.generate(
                torch.tensor([ids]), do_sample=False, max_new_tokens=count, repetition_penalty=penalty,
                eos_token_id=[2, 0], pad_token_id=0)[0].tolist()
            assert whole[len(ids):len(ids) + len(tokens)] == tokens
            assert len(whole) - len(ids) - len(tokens) == (reason == "stop")
            pair.append({
                "prompt": prompt, "raw": raw, "advised": advised, "max_tokens": count, "prompt_tokens": len(ids),
                "finish_reason": reason, "text": text.decode(tokens, skip_special_tokens=True)})
        if len(pair) == 2 and pair[0]["text"] != pair[1]["text"]:
            yield pair


def main():
    text = tokenizer()
    made = model([text.convert_ids_to_tokens(id) for id in range(len(text))], seed=8)
    # Of each kind, by how the prompt is given and how its output ends, three.
    found, kinds = [], {}
    for pair in outputs(made, text):
        kind = (pair[0]["raw"], pair[0]["finish_reason"], len(pair[0]["prompt"]) > 200)
        kinds[kind] = kinds.get(kind, 0) + 1
        if kinds[kind] <= 3:
            found += pair
    print(kinds)
    shutil.rmtree(FOLDER, ignore_errors=True)
    made.generation_config = GenerationConfig(
        do_sample=True, temperature=0.6, top_k=20, top_p=0.9, repetition_penalty=PENALTY, bos_token_id=0, eos_token_id=[2, 0])
    made.half().save_pretrained(FOLDER)
    text.save_pretrained(FOLDER)
    with open(os.path.join(HERE, "generated.json"), "w") as file:
        json.dump(found, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
