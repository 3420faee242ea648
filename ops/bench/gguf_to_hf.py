# SPDX-License-Identifier: Apache-2.0
"""Writes a GGUF model as a Hugging Face folder in bf16, which is what vLLM on a CPU wants: gguf_to_hf.py GGUF FOLDER"""
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def main(source, target):
    folder, name = os.path.split(os.path.abspath(source))
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True))
    # The weights are plain numbers now; nothing may say that they are still quantised.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model, "quantization_method"):
        del model.quantization_method
    model.to(torch.bfloat16).save_pretrained(target)
    AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(target)


if __name__ == "__main__":
    main(*sys.argv[1:3])
