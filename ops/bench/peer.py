# SPDX-License-Identifier: Apache-2.0
"""Measures one peer engine on the work of `deltakv bench`, one line of JSON for each workload.

usage: PEERS_HOME/vllm/bin/python peer.py vllm [--work 1x4000,8x4000] [--gen 33]
       PEERS_HOME/openvino/bin/python peer.py openvino ...
       python3 peer.py llamacpp ...

A workload BxN is B different prompts of N random tokens, no shared prefix, greedy, the end of text ignored.
prefill = B*N / t(1 new token); decode = B*(gen-1) / (t(gen new tokens) - t(1 new token)), each on fresh prompts;
a decode of 0 means that noise was larger than the decode itself. llama.cpp times the two phases by itself and is
measured with and without flash attention, which helps one phase and hurts the other: the better of each counts.
"""
import argparse
import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import time

HOME = pathlib.Path(os.environ.get("PEERS_HOME") or pathlib.Path.home() / ".cache/deltakv-peers")
CPUS = sorted(os.sched_getaffinity(0))
# What all engines are given: room for the KV of 32 x 7000 tokens in 16 bits, and the same batch limits.
CACHE_GIB, BATCH_TOKENS, MAX_SEQUENCES, CONTEXT = 6, 2048, 64, 8192


def parse_work(text):
    """[(batch, prompt)] of "1x4000,8x4000"; raises ValueError with a sentence for anything else."""
    work = []
    for item in text.split(","):
        batch, _, prompt = item.strip().partition("x")
        if not (batch.isdecimal() and prompt.isdecimal() and int(batch) and int(prompt)):
            raise ValueError(f"'{item}' is no workload: write BxN, such as 1x4000 or 1x4000,8x4000")
        work.append((int(batch), int(prompt)))
    return work


def work_argument(text):
    """parse_work for argparse, which swallows the sentence of a ValueError."""
    try:
        return parse_work(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def gen_argument(text):
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError("at least 2 tokens: decode is what comes after the first")
    return int(text)


def report(engine, version, work, gen, seconds, who=resource.RUSAGE_SELF, **more):
    """One line; `seconds` are those to one new token for each prompt and to all of them."""
    (batch, prompt), (short, long) = work, seconds
    decode = batch * (gen - 1) / (long - short) if long > short else 0
    line = {"engine": engine, "batch": batch, "prompt": prompt, "prefill_tps": round(batch * prompt / short, 1),
            "decode_tps": round(decode, 1), "seconds": [round(short, 4), round(long, 4)],
            "peak_rss_bytes": resource.getrusage(who).ru_maxrss * 1024, "version": version, **more}
    print("\n" + json.dumps(line), flush=True)  # engines log to standard output and may leave a line open


def measure(engine, version, generate, works, gen):
    """Times generate(prompts, new_tokens), which returns when all prompts have all their tokens."""
    source = random.Random()

    def seconds(batch, length, new):
        prompts = [[source.randint(100, 40000) for _ in range(length)] for _ in range(batch)]
        start = time.perf_counter()
        generate(prompts, new)
        return time.perf_counter() - start

    for batch, length in works:
        seconds(batch, 64, 4)  # code, weights and threads are touched for this batch size before anything counts
        report(engine, version, (batch, length), gen, (seconds(batch, length, 1), seconds(batch, length, gen)))


def vllm(works, gen):
    os.environ.update(
        VLLM_CPU_KVCACHE_SPACE=str(CACHE_GIB), VLLM_CPU_OMP_THREADS_BIND=",".join(map(str, CPUS)),
        VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CACHE_ROOT=str(HOME / "vllm-cache"),
        # Its stored ahead-of-time graph fails to load, so that each start would compile for minutes; the cache of
        # the compiler underneath works. The compiled code is the same.
        VLLM_USE_AOT_COMPILE="0",
        HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1")
    from importlib.metadata import version
    from vllm import LLM, SamplingParams
    model = LLM(str(HOME / "hf"), dtype="bfloat16", max_model_len=CONTEXT, enable_prefix_caching=False,
                max_num_batched_tokens=BATCH_TOKENS, max_num_seqs=MAX_SEQUENCES)

    def generate(prompts, new):
        options = SamplingParams(max_tokens=new, min_tokens=new, ignore_eos=True, temperature=0, detokenize=False)
        done = model.generate([{"prompt_token_ids": p} for p in prompts], options, use_tqdm=False)
        check([len(d.outputs[0].token_ids) for d in done], prompts, new)
    measure("vllm", f"{version('vllm-cpu')}, bf16", generate, works, gen)


def openvino(works, gen):
    from importlib.metadata import version
    import numpy
    import openvino as ov
    import openvino_genai as genai
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size, scheduler.max_num_batched_tokens = CACHE_GIB, BATCH_TOKENS
    scheduler.max_num_seqs, scheduler.enable_prefix_caching = MAX_SEQUENCES, False
    pipe = genai.ContinuousBatchingPipeline(
        str(HOME / "model.gguf"), scheduler, "CPU", {"INFERENCE_NUM_THREADS": len(CPUS)})

    def generate(prompts, new):
        options = genai.GenerationConfig()
        options.max_new_tokens = options.min_new_tokens = new
        options.ignore_eos, options.do_sample = True, False
        tensors = [ov.Tensor(numpy.array([p], dtype=numpy.int64)) for p in prompts]
        done = pipe.generate(tensors, [options] * len(tensors))
        check([len(d.m_generation_ids[0]) for d in done], prompts, new)
    measure("openvino", f"{version('openvino-genai')}, GGUF, u8 KV", generate, works, gen)


def check(counts, prompts, new):
    """An engine that did less than asked would look fast."""
    if counts != [new] * len(prompts):
        sys.exit(f"peer.py: asked for {new} tokens for each of {len(prompts)} prompts, got {counts}")


def llamacpp(works, gen):
    folder = HOME / "llamacpp"
    stamp = folder / "VERSION"
    version = (stamp.read_text().strip() if stamp.exists() else "unknown version") + ", f16 KV"

    def run(batch, length, flash):
        command = [folder / "bin/llama-batched-bench", "-m", HOME / "model.gguf", "-t", len(CPUS),
                   "-c", batch * (length + gen) + 1024, "-b", BATCH_TOKENS, "-ub", 512, "-npp", length,
                   "-ntg", gen, "-npl", batch, "-fa", flash]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        tables = [[cell.strip() for cell in row.split("|")[1:-1]] for row in done.stdout.splitlines() if row[:1] == "|"]
        if done.returncode != 0 or len(tables) < 3:
            sys.exit(f"{done.stderr[-2000:]}\npeer.py: llama-batched-bench gave no figures ({done.returncode})")
        row = dict(zip(tables[0], tables[-1]))
        return float(row["S_PP t/s"]), float(row["S_TG t/s"])

    for batch, prompt in works:
        on, off = run(batch, prompt, "on"), run(batch, prompt, "off")
        short = batch * prompt / max(on[0], off[0])
        seconds = short, short + batch * (gen - 1) / max(on[1], off[1])
        report("llamacpp", version, (batch, prompt), gen, seconds, resource.RUSAGE_CHILDREN,
               flash_attention={"prefill": "on" if on[0] >= off[0] else "off",
                                "decode": "on" if on[1] >= off[1] else "off"})


ENGINES = {"vllm": vllm, "openvino": openvino, "llamacpp": llamacpp}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=list(ENGINES))
    parser.add_argument("--work", type=work_argument, default="1x4000,8x4000", metavar="BxN,BxN")
    parser.add_argument("--gen", type=gen_argument, default=33, metavar="TOKENS")
    options = parser.parse_args()
    longest = max(prompt for _, prompt in options.work) + options.gen
    if longest > CONTEXT:
        parser.error(f"{longest} tokens do not fit the model's context of {CONTEXT}")
    ENGINES[options.engine](options.work, options.gen)


if __name__ == "__main__":
    main()
