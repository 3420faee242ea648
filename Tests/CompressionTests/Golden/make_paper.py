# SPDX-License-Identifier: Apache-2.0
"""Writes tiny checkpoints in the layout that DeltaKV's authors publish, and what a plain torch implementation of the paper
(arXiv 2602.08005, section 4.1) makes of random rows with them.

Run from this folder:
    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install safetensors torch numpy
    /tmp/golden/bin/python make_paper.py

paper/FORM/config.json, model.safetensors: two layers, rows of 128 (2 KV heads of 32), latents of 64. `linear` has biases and
is shared by all layers (names without a layer), `gelu` is bf16, `light` is a SwiGLU compressor with a linear decompressor, as in
the paper's section 5.3, in f16.
paper/FORM/expected.safetensors: `rows` [101][128]; of layer 1, for all rows after the sinks: `ids` [93][4] sorted, `latents` in
fp32, and the rows that come back: `exact` from fp32 latents, `token` and `group` from int4 latents with one scale a token and
with groups of 32. Everything is deterministic.
"""

import json
import os

import torch
from safetensors.torch import save_file

SINKS, STRIDE, NEIGHBOURS, COLUMNS, LATENT, HIDDEN, ROWS = 8, 10, 4, 128, 64, 48, 101
torch.manual_seed(1)


def weights(form, inputs, outputs, bias, scale):
    random = lambda *shape: torch.randn(*shape) * scale
    if form == "linear":
        parts = {"weight": random(outputs, inputs), "bias": random(outputs)}
    elif form == "mlp_gelu":
        parts = {"0.weight": random(HIDDEN, inputs), "0.bias": random(HIDDEN), "2.weight": random(outputs, HIDDEN), "2.bias": random(outputs)}
    else:
        parts = {"w12.weight": random(2 * HIDDEN, inputs), "w3.weight": random(outputs, HIDDEN)}
    return parts if bias else {name: value for name, value in parts.items() if "bias" not in name}


def apply(form, w, x):
    if form == "linear":
        return torch.nn.functional.linear(x, w["weight"], w.get("bias"))
    if form == "mlp_gelu":
        hidden = torch.nn.functional.gelu(torch.nn.functional.linear(x, w["0.weight"], w.get("0.bias")))
        return torch.nn.functional.linear(hidden, w["2.weight"], w.get("2.bias"))
    gate, value = torch.nn.functional.linear(x, w["w12.weight"]).chunk(2, -1)
    return torch.nn.functional.linear(torch.nn.functional.silu(gate) * value, w["w3.weight"])


def int4(z, group):
    """Asymmetric, with half-precision step and minimum read back before use."""
    parts = z.view(len(z), -1, group or z.shape[1])
    low, high = parts.amin(-1, keepdim=True), parts.amax(-1, keepdim=True)
    step, low = ((high - low) / 15).half().float(), low.half().float()
    code = ((parts - low) / (step + 1e-6)).clamp(0, 15).round()
    return (code * step + low).view_as(z)


def make(name, down, up, bias, dtype, layers):
    state, read = {}, []
    for layer in layers:
        prefix = "deltakv." if layer is None else f"model.layers.{layer}.self_attn."
        pair = []
        for direction, form, inputs, outputs in (("compress_down", down, COLUMNS, LATENT), ("compress_up", up, LATENT, COLUMNS)):
            parts = {k: v.to(dtype) for k, v in weights(form, inputs, outputs, bias, 0.15).items()}
            state.update({f"{prefix}{direction}.{k}": v.contiguous() for k, v in parts.items()})
            pair.append({k: v.float() for k, v in parts.items()})
        read.append(pair)
    os.makedirs(f"paper/{name}", exist_ok=True)
    save_file(state, f"paper/{name}/model.safetensors", metadata={"format": "pt"})
    config = {
        "model_type": "llama", "num_hidden_layers": 2, "kv_compressed_size": LATENT, "k_neighbors": NEIGHBOURS,
        "cluster_ratio": 0.1, "cluster_metric": "l2", "cluster_on_kv": True, "cluster_soft_assignment": False,
        "collect_kv_before_rope": True, "recon_mode": "delta_in_latent", "ref_mode": "avg", "split_kv": False,
        "compressor_down_type": down, "compressor_up_type": "auto", "compressor_linear_bias": bias,
        "compressor_down_intermediate_size": HIDDEN, "compressor_up_intermediate_size": -1,
    }
    with open(f"paper/{name}/config.json", "w") as file:
        json.dump(config, file, indent=1)
    f_c, f_d = read[-1]
    # Rows that resemble each other, so that some references are much nearer than others.
    kinds = torch.randn(9, COLUMNS) * 2
    rows = kinds[torch.randint(9, (ROWS,))] + 0.7 * torch.randn(ROWS, COLUMNS) + torch.randn(COLUMNS)
    positions = torch.cat([torch.arange(SINKS), torch.arange(SINKS, ROWS, STRIDE)])
    references = rows[positions].half().float()
    coded = rows[SINKS:]
    distance = ((coded[:, None].double() - references[None].double()) ** 2).sum(-1)
    distance[positions[None] > torch.arange(SINKS, ROWS)[:, None]] = torch.inf
    ids = distance.topk(NEIGHBOURS, largest=False).indices.sort(-1).values
    mean = references[ids].mean(1)
    z = apply(down, f_c, coded) - apply(down, f_c, mean)
    expected = {"rows": rows, "ids": ids.float(), "latents": z, "exact": apply(up, f_d, z) + mean}
    for key, group in (("token", None), ("group", 32)):
        expected[key] = apply(up, f_d, int4(z, group)) + mean
    save_file({k: v.contiguous() for k, v in expected.items()}, f"paper/{name}/expected.safetensors")


make("linear", "linear", "linear", True, torch.float32, [None])
make("gelu", "mlp_gelu", "mlp_gelu", True, torch.bfloat16, [0, 1])
make("light", "mlp_swiglu", "linear", False, torch.float16, [0, 1])
