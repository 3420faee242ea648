#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What transformers' logits processors, and vLLM's definitions where transformers has none, leave of rows of logits.

usage: make_sampling.py      (needs torch, transformers, numpy)
Writes sampling.json: for each case the parameters, the tokens so far, the logits before the draw and the probabilities in it.
"""
import json
import pathlib

import numpy as np
import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

VOCABULARY = 200
random = np.random.default_rng(20240705)


def logits_of(case):
    return (np.float32(case["scale"]) * np.array(case["logits"], dtype=np.float32)).astype(np.float32)


def processed(case):
    """Bias, then penalties: vLLM's order."""
    logits = logits_of(case).copy()
    for token, bias in case["logit_bias"].items():
        logits[int(token)] += np.float32(bias)
    scores = torch.from_numpy(logits)[None]
    seen = torch.tensor([case["prompt"] + case["output"]], dtype=torch.long)
    if case["repetition_penalty"] != 1:
        scores = RepetitionPenaltyLogitsProcessor(case["repetition_penalty"])(seen, scores)
    counts = torch.bincount(torch.tensor(case["output"], dtype=torch.long), minlength=VOCABULARY)
    scores = scores - case["frequency_penalty"] * counts - case["presence_penalty"] * (counts > 0)
    return scores.to(torch.float32)


def probabilities(case, scores):
    """Temperature, min-p, top-k, top-p: vLLM's order."""
    scores = TemperatureLogitsWarper(case["temperature"])(None, scores.to(torch.float64))
    if case["min_p"] > 0:
        scores = MinPLogitsWarper(case["min_p"])(None, scores)
    if case["top_k"] > 0:
        scores = TopKLogitsWarper(case["top_k"])(None, scores)
    if case["top_p"] < 1:
        scores = TopPLogitsWarper(case["top_p"])(None, scores)
    return torch.softmax(scores, dim=-1)[0]


def case(index):
    pick = lambda *values: values[random.integers(len(values))]
    tokens = lambda count: [int(t) for t in random.integers(0, VOCABULARY, count)]
    return {
        "logits": [round(float(v), 4) for v in random.normal(size=VOCABULARY)],
        "scale": pick(0.5, 2.0, 6.0),
        "prompt": tokens(pick(1, 10, 60)),
        "output": tokens(pick(0, 5, 40)),
        "temperature": pick(0.25, 0.7, 1.0, 1.6),
        "top_k": pick(0, 0, 1, 5, 50, 1000),
        "top_p": pick(1.0, 1.0, 0.2, 0.8, 0.95, 0.999),
        "min_p": pick(0.0, 0.0, 0.02, 0.3),
        "repetition_penalty": pick(1.0, 1.0, 0.75, 1.25, 2.0),
        "presence_penalty": pick(0.0, 0.0, 0.5, -1.0, 2.0),
        "frequency_penalty": pick(0.0, 0.0, 0.25, -0.5),
        "logit_bias": {str(t): pick(-100.0, -2.5, 1.5, 7.0) for t in tokens(pick(0, 0, 3))},
    }


def main():
    cases = []
    for index in range(150):
        one = case(index)
        scores = processed(one)
        draw = probabilities(one, scores)
        raw = torch.log_softmax(torch.from_numpy(logits_of(one)).to(torch.float64), dim=-1)
        one["argmax"] = int(scores[0].argmax())
        one["draw"] = {str(int(t)): float(draw[t]) for t in torch.nonzero(draw)[:, 0]}
        top = torch.topk(raw, 5)
        one["top"] = [[int(t), float(v)] for v, t in zip(top.values, top.indices)]
        cases.append(one)
    path = pathlib.Path(__file__).parent / "sampling.json"
    path.write_text("[\n" + ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases) + "\n]\n")
    print(len(cases), "cases")


main()
