# SPDX-License-Identifier: Apache-2.0
"""Writes the small Hugging Face folder `hf` beside it, with the reference library, and the floats its tensors hold.

Run from this folder:
    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install safetensors torch numpy
    /tmp/golden/bin/python make_safetensors.py

Two shards with an index: tensors `a` (F32, 3 x 5), `b` (F16, 4 x 8), `c` (BF16, 2 x 3 x 4), `d` (F32, 7). `hf/NAME.f32` are
the values, little-endian. Everything is deterministic.
"""

import json
import os

import torch
from safetensors.torch import save_file

torch.manual_seed(1)
os.makedirs("hf", exist_ok=True)
tensors = {
    "a": torch.randn(3, 5), "b": torch.randn(4, 8).half(), "c": torch.randn(2, 3, 4).bfloat16(), "d": torch.randn(7),
}
shards = {"model-00001-of-00002.safetensors": ["a", "b"], "model-00002-of-00002.safetensors": ["c", "d"]}
for file, names in shards.items():
    save_file({name: tensors[name] for name in names}, f"hf/{file}", metadata={"format": "pt"})
for name, tensor in tensors.items():
    tensor.float().numpy().astype("<f4").tofile(f"hf/{name}.f32")
texts = {
    "config.json": {"model_type": "llama", "rms_norm_eps": 1e-05, "rope_scaling": None, "tie_word_embeddings": True},
    "model.safetensors.index.json": {
        "metadata": {"total_size": sum(t.numel() * t.element_size() for t in tensors.values())},
        "weight_map": {name: file for file, names in shards.items() for name in names},
    },
    "tokenizer.json": {"model": {"vocab": {"\u00e9": 0, "e\u0301": 1, "\U0001f642": 2}}},
    "tokenizer_config.json": {
        "chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "{{ messages }}"}]
    },
    "generation_config.json": {"temperature": 0.6, "eos_token_id": [1, 2]},
}
for name, value in texts.items():
    with open(f"hf/{name}", "w") as file:
        json.dump(value, file, indent=1)
