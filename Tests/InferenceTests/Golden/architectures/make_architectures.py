# SPDX-License-Identifier: Apache-2.0
"""Makes tiny random models of each architecture, as GGUF files, and the logits that transformers computes for them in fp32.

    python3 -m venv venv && venv/bin/pip install torch transformers gguf
    venv/bin/python make_architectures.py

For each model there is a folder NAME as transformers saves it (sharded where SHARDED says so), for those of GGUF also NAME.gguf,
and NAME.logits. Weights are F16, or BF16 or F32 where the configuration says so (exact: the model's own weights are rounded first).
NAME.logits is little-endian: int32 n, n token ids, then for each position four float32 logits, those of the tokens
(position + 16 k) % 64. There are at least 2,048 positions; where RoPE is scaled the model was "trained" for 512 tokens.
"""
import json
import math
import os
import shutil
import struct

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY, TOKENS, TRAINED = 64, 2600, 512
COMMON = dict(
    vocab_size=VOCABULARY, num_hidden_layers=2, hidden_size=32, intermediate_size=64, max_position_embeddings=4096,
    rms_norm_eps=1e-6, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1)


def rope(kind, theta=10000.0, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **more}}


def heads(query, key, dimension):
    return dict(num_attention_heads=query, num_key_value_heads=key, head_dim=dimension)


MODELS = {
    "llama-linear-80": LlamaConfig(**COMMON, **heads(2, 1, 80), **rope("linear", factor=8.0)),
    "llama-llama3-64": LlamaConfig(
        **{**COMMON, "hidden_size": 48, "tie_word_embeddings": False}, **heads(3, 1, 64),
        **rope("llama3", 500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
               original_max_position_embeddings=TRAINED)),
    "llama-256": LlamaConfig(**COMMON, **heads(2, 1, 256), **rope("default")),
    "qwen2-yarn-96": Qwen2Config(
        **COMMON, **heads(2, 2, 96), **rope("yarn", 1000000.0, factor=8.0, original_max_position_embeddings=TRAINED)),
    "qwen3-128": Qwen3Config(**{**COMMON, "tie_word_embeddings": False}, **heads(4, 2, 128), **rope("default", 1e6)),
    # Llama 2: as many KV heads as query heads, an untied head.
    "llama-2-16": LlamaConfig(
        **{**COMMON, "hidden_size": 48, "tie_word_embeddings": False, "dtype": "float32"}, **heads(3, 3, 16), **rope("default")),
    # SmolLM2: 9 query heads on 3 KV heads, a tied head.
    "smollm2-64": LlamaConfig(**{**COMMON, "hidden_size": 36, "dtype": "bfloat16"}, **heads(9, 3, 64), **rope("default", 1e5)),
    "mistral-window-80": MistralConfig(
        **{**COMMON, "tie_word_embeddings": False, "dtype": "bfloat16"}, **heads(5, 1, 80), **rope("default"),
        sliding_window=300),
    # 7 query heads on a KV head as in Qwen 2.5 0.5B; the last two of three layers slide.
    "qwen2-window-64": Qwen2Config(
        **{**COMMON, "num_hidden_layers": 3}, **heads(7, 1, 64), **rope("default", 1e6), use_sliding_window=True,
        sliding_window=65, max_window_layers=1),
    "qwen3-yarn-64": Qwen3Config(
        **COMMON, **heads(4, 1, 64), **rope("yarn", 1e6, factor=8.0, original_max_position_embeddings=TRAINED)),
}
GGUF = ["llama-linear-80", "llama-llama3-64", "llama-256", "qwen2-yarn-96", "qwen3-128", "qwen3-yarn-64",
        "mistral-window-80", "qwen2-window-64"]
SHARDED = ["mistral-window-80", "qwen3-128"]
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "model.embed_tokens": "token_embd", "model.norm": "output_norm",
    "lm_head": "output",
}


def randomise(model, seed, dtype):
    """Weights that matter: attention that looks around, norms and biases that are not one and zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if "norm" in name:
            weight.data = 1 + 0.2 * noise
        elif weight.dim() == 1:
            weight.data = 0.5 * noise
        else:
            weight.data = noise * (1.5 / math.sqrt(weight.shape[1]))
        weight.data = weight.data.to(dtype).float()


def gguf_name(name):
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("model.layers."):
        return f"{NAMES[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{NAMES[part]}.{kind}"


def pairs(weight, count):
    """Rows of each head from halves to pairs, as llama.cpp's converter stores llama's queries and keys."""
    shape = weight.shape
    return weight.reshape(count, 2, shape[0] // count // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def save(name, config, model):
    kind = "llama" if config.model_type == "mistral" else config.model_type
    writer = gguf.GGUFWriter(os.path.join(HERE, f"{name}.gguf"), kind)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    parameters = config.rope_parameters
    writer.add_rope_freq_base(parameters["rope_theta"])
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)
        # Of llama's the window holds in all layers.
        if kind != "llama":
            writer.add_sliding_window_pattern([layer == "sliding_attention" for layer in config.layer_types])
    if parameters["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(parameters["factor"])
    if parameters["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(parameters["factor"])
        writer.add_rope_scaling_orig_ctx_len(parameters["original_max_position_embeddings"])
    if parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config))
    for key, weight in model.named_parameters():
        data = weight.detach().numpy()
        if kind == "llama" and ("q_proj" in key or "k_proj" in key):
            data = pairs(data, config.num_attention_heads if "q_proj" in key else config.num_key_value_heads)
        # Not all of BF16 is in F16.
        is_exact = np.array_equal(data.astype(np.float16).astype(np.float32), data)
        writer.add_tensor(gguf_name(key), data.astype(np.float16 if data.ndim > 1 and is_exact else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama3_factors(config):
    """By what llama.cpp's converter divides the frequencies, Llama 3.1's scaling written out."""
    p = config.rope_parameters
    low = p["original_max_position_embeddings"] / p["low_freq_factor"]
    high = p["original_max_position_embeddings"] / p["high_freq_factor"]
    factors = []
    for frequency in 1.0 / p["rope_theta"] ** (np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim):
        length = 2 * math.pi / frequency
        if length < high:
            factors.append(1)
        elif length > low:
            factors.append(p["factor"])
        else:
            smooth = (p["original_max_position_embeddings"] / length - p["low_freq_factor"]) / (
                p["high_freq_factor"] - p["low_freq_factor"])
            factors.append(1 / ((1 - smooth) / p["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def save_folder(name, config, model, dtype):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    model.to(dtype).save_pretrained(folder, max_shard_size="100KB" if name in SHARDED else "1GB")
    os.remove(os.path.join(folder, "generation_config.json"))
    # Older files say it this way.
    if name == "llama-linear-80":
        path = os.path.join(folder, "config.json")
        with open(path) as file:
            config = json.load(file)
        parameters = config.pop("rope_parameters")
        config["rope_theta"] = parameters["rope_theta"]
        config["rope_scaling"] = {"type": "linear", "factor": parameters["factor"]}
        with open(path, "w") as file:
            json.dump(config, file, indent=2)
            file.write("\n")


def main():
    for seed, (name, config) in enumerate(MODELS.items()):
        config._attn_implementation = "eager"
        dtype = getattr(torch, str(config.dtype or "float16").removeprefix("torch."))
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        randomise(model, seed, dtype)
        generator = torch.Generator().manual_seed(100 + seed)
        count = TOKENS if config.rope_parameters["rope_type"] != "default" else 2100
        ids = torch.randint(VOCABULARY, (count,), generator=generator)
        with torch.no_grad():
            logits = model(ids[None]).logits[0]
        columns = (torch.arange(count)[:, None] + 16 * torch.arange(4)[None]) % VOCABULARY
        if name in GGUF:
            save(name, config, model)
        with open(os.path.join(HERE, f"{name}.logits"), "wb") as file:
            file.write(struct.pack(f"<i{count}i", count, *ids.tolist()))
            file.write(logits.gather(1, columns).numpy().astype("<f4").tobytes())
        save_folder(name, config, model, dtype)
        print(name, dtype, "logits", logits.std().item(), "largest", logits.abs().max().item(), flush=True)


if __name__ == "__main__":
    main()
