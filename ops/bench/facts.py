# SPDX-License-Identifier: Apache-2.0
"""What ops/bench/compare says about the machine and the program, beside what it measures."""
import pathlib
import platform
import subprocess

from peer import CPUS

HERE = pathlib.Path(__file__).resolve().parent
FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16")


def output_of(arguments):
    """What a command prints, or nothing where it does not run."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, cwd=HERE, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def machine():
    """One sentence: processor, cores that may be used, memory, the flags that matter, system."""
    fields = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = " ".join(flag for flag in FLAGS if flag in fields.get("flags", "").split())
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / 2**20
    return (f"{fields.get('model name', platform.machine())} (family {fields.get('cpu family', '?')}, model "
            f"{fields.get('model', '?')}), {len(CPUS)} cores, {memory:.0f} GiB, {flags or 'no known vector flags'}; "
            f"Linux {platform.release()}, Python {platform.python_version()}.")


def limits():
    """The table of ops/bench/machine."""
    return output_of([str(HERE / "machine")]) or "What the machine can do is not known: ops/bench/machine failed."


def deltakv_version(program):
    """What the program says; with the commit where the program was built from the sources around this script."""
    version = output_of([program, "--version"]) or "unknown version"
    if not pathlib.Path(program).is_relative_to(HERE.parents[1]):
        return version
    commit = output_of(["git", "describe", "--always", "--dirty", "--abbrev=12"])
    return f"{version}, sources at {commit}" if commit else version
