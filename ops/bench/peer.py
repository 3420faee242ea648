# SPDX-License-Identifier: Apache-2.0
"""Measures one peer engine on the work of `deltakv bench`, one line of JSON for each workload.

usage: PEERS_HOME/vllm/bin/python peer.py vllm --work 1x4000,8x4000 --gen 33
       PEERS_HOME/openvino/bin/python peer.py openvino ...
       python3 peer.py llamacpp ...          (with and without flash attention: the better figure of each counts)

A workload BxN is B different prompts of N random tokens, no shared prefix, greedy, the end of text ignored.
prefill = B*N / t(1 new token); decode = B*(gen-1) / (t(gen new tokens) - t(1 new token)), each on fresh prompts.
"""
import argparse
import json
import os
import random
import subprocess
import time

HOME = os.environ.get("PEERS_HOME", os.path.expanduser("~/.cache/deltakv-peers"))


def report(engine, batch, length, gen, one, all_of_them):
    """One line: `one` and `all_of_them` are the seconds to one new token and to all of them."""
    decode = batch * (gen - 1) / (all_of_them - one) if all_of_them > one else 0
    line = {"engine": engine, "batch": batch, "prompt": length, "prefill_tps": round(batch * length / one, 1),
            "decode_tps": round(decode, 1), "seconds": [round(one, 3), round(all_of_them, 3)]}
    print(json.dumps(line), flush=True)


def measure(engine, generate, work, gen):
    """Times a function generate(prompts, new_tokens) that returns when all prompts have all their tokens."""
    source = random.Random(time.time_ns())

    def seconds(batch, length, new):
        prompts = [[source.randint(100, 40000) for _ in range(length)] for _ in range(batch)]
        start = time.perf_counter()
        generate(prompts, new)
        return time.perf_counter() - start

    seconds(1, 64, 4)
    for batch, length in work:
        report(engine, batch, length, gen, seconds(batch, length, 1), seconds(batch, length, gen))


def vllm(work, gen, threads):
    os.environ.update(VLLM_CPU_KVCACHE_SPACE="8", VLLM_CPU_OMP_THREADS_BIND=f"0-{threads - 1}",
                      VLLM_ENABLE_V1_MULTIPROCESSING="0", HF_HUB_OFFLINE="1")
    from vllm import LLM, SamplingParams
    model = LLM(f"{HOME}/hf", dtype="bfloat16", max_model_len=8192, enable_prefix_caching=False,
                max_num_batched_tokens=2048, max_num_seqs=64)

    def generate(prompts, new):
        options = SamplingParams(max_tokens=new, min_tokens=new, ignore_eos=True, temperature=0)
        model.generate([{"prompt_token_ids": p} for p in prompts], options, use_tqdm=False)
    measure("vllm", generate, work, gen)


def openvino(work, gen, threads):
    import numpy
    import openvino as ov
    import openvino_genai as genai
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size, scheduler.max_num_batched_tokens = 8, 2048
    scheduler.max_num_seqs, scheduler.enable_prefix_caching = 64, False
    pipe = genai.ContinuousBatchingPipeline(
        f"{HOME}/model.gguf", scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads})

    def generate(prompts, new):
        options = genai.GenerationConfig()
        options.max_new_tokens = options.min_new_tokens = new
        options.ignore_eos, options.do_sample = True, False
        tensors = [ov.Tensor(numpy.array([p], dtype=numpy.int64)) for p in prompts]
        pipe.generate(tensors, [options] * len(tensors))
    measure("openvino", generate, work, gen)


def llamacpp(work, gen, threads):
    def run(batch, length, flash):
        command = [f"{HOME}/llamacpp/bin/llama-batched-bench", "-m", f"{HOME}/model.gguf", "-t", str(threads),
                   "-c", str(batch * (length + gen) + 1024), "-b", "2048", "-ub", "512", "-npp", str(length),
                   "-ntg", str(gen), "-npl", str(batch), "-fa", flash]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        cells = [c.strip() for c in [r for r in out.splitlines() if r.startswith("|")][-1].split("|")[1:-1]]
        prefill, decode = float(cells[5]), float(cells[7])
        return batch * length / prefill, batch * (gen - 1) / decode

    for batch, length in work:
        runs = [run(batch, length, flash) for flash in ("on", "off")]
        one, rest = min(r[0] for r in runs), min(r[1] for r in runs)
        report("llamacpp", batch, length, gen, one, one + rest)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=["vllm", "openvino", "llamacpp"])
    parser.add_argument("--work", default="1x512,1x4000,8x4000,1x7000")
    parser.add_argument("--gen", type=int, default=33)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    work = [tuple(map(int, item.split("x"))) for item in options.work.split(",")]
    {"vllm": vllm, "openvino": openvino, "llamacpp": llamacpp}[options.engine](work, options.gen, options.threads)


if __name__ == "__main__":
    main()
