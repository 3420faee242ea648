#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes metrics.json: pairs of texts with the scores of reference packages.

    pip install rouge-score==0.1.2 rapidfuzz==3.14.6
    python3 make_metrics.py > metrics.json

ROUGE-L is rouge-score's F measure without stemming, edit similarity rapidfuzz's ratio, F1 the definition of the SQuAD
evaluation written out below.
"""
import collections
import json
import random
import re
import string

from rapidfuzz import fuzz
from rouge_score import rouge_scorer


def words(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def f1(answer, reference):
    found, wanted = words(answer), words(reference)
    common = sum((collections.Counter(found) & collections.Counter(wanted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(found), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def main():
    random.seed(1)
    pairs = [
        ("The cat sat on the mat.", "A cat sat on a mat"),
        ("", "something"),
        ("the", "a"),
        ("42", "42"),
        ("It is Paris, the capital of France.", "Paris"),
        ("state-of-the-art  results", "state of the art results"),
        ("Zürich liegt in der Schweiz", "Zurich liegt in der Schweiz"),
        ("def f(x): return x + 1", "def f(y): return y + 1"),
        ("naïve café ﬁn", "naive cafe fin"),
        ("a b c d e f g", "g f e d c b a"),
        ("don't stop", "dont stop"),
    ]
    vocabulary = "the a an river bridge stone, old Old walks runs. 7 seven x_y e-mail über".split()
    for _ in range(60):
        answer = " ".join(random.choices(vocabulary, k=random.randint(1, 30)))
        reference = " ".join(random.choices(vocabulary, k=random.randint(1, 30)))
        pairs.append((answer, reference))
    rouge = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    print(json.dumps([
        {
            "answer": a, "reference": r, "f1": f1(a, r), "rougeL": rouge.score(r, a)["rougeL"].fmeasure,
            "edit": fuzz.ratio(a, r) / 100,
        } for a, r in pairs
    ], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
