# SPDX-License-Identifier: Apache-2.0
"""Writes what ops/bench/compare has measured as Markdown.

Results are {(engine, work): [outcome of each round]}; an outcome is the engine's line, or the reason why there is none,
whose words before the first colon stand in the table.
"""
import statistics


def measured(outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, dict)]


def times(line, gen):
    """Seconds to one new token and to all of them, from the line or, where it has none, from its speeds."""
    if "seconds" in line:
        return line["seconds"]
    short = line["batch"] * line["prompt"] / line["prefill_tps"]
    return [short, short + (line["batch"] * (gen - 1) / line["decode_tps"] if line["decode_tps"] > 0 else 0)]


def speed(outcomes, key, gen):
    """Tokens a second from the medians of the times, which noise hurts less than a median of quotients: to one new token, and from
    there to all of them.

    None where there is no line; 0 where noise was larger than the decode.
    """
    lines = measured(outcomes)
    if not lines:
        return None
    pairs = [times(line, gen) for line in lines]
    short, rest = statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] - pair[0] for pair in pairs)
    batch, prompt = lines[0]["batch"], lines[0]["prompt"]
    if key == "prefill_tps":
        return batch * prompt / short
    return batch * (gen - 1) / rest if rest > 0 else 0


def cell(outcomes, key, options):
    """Speed and range; a few words where there is none, for the notes below the table to explain."""
    value = speed(outcomes, key, options.gen)
    if value is None:
        return outcomes[-1].split(":")[0] if outcomes else "not run"
    rounds = [line[key] for line in measured(outcomes) if line[key] > 0]
    text = f"{value:,.1f}" if value else "lost in noise"
    if len(rounds) > 1:
        text += f" ({min(rounds):,.1f}–{max(rounds):,.1f})"
    count = len(measured(outcomes))
    return text if count == options.rounds else f"{text}, {count} of {options.rounds} rounds"


def ratio(ours, theirs, key, gen):
    ours, theirs = speed(ours, key, gen), speed(theirs, key, gen)
    return f"**{ours / theirs:.2f} ×**" if ours and theirs else "–"


def table(results, options, key):
    """A Markdown table: one row for each engine, then the ratio of deltakv to each peer."""
    rows = ["| engine | " + " | ".join(options.works) + " |", "| --- |" + " --- |" * len(options.works)]
    for engine in options.engines:
        cells = [cell(results.get((engine, work), []), key, options) for work in options.works]
        rows.append(f"| {engine} | " + " | ".join(cells) + " |")
    for peer in [engine for engine in options.engines if engine != "deltakv" and "deltakv" in options.engines]:
        cells = [ratio(results.get(("deltakv", w), []), results.get((peer, w), []), key, options.gen)
                 for w in options.works]
        rows.append(f"| deltakv / {peer} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def notes(results, version, options):
    """What a reader of the tables has to know: versions, deltakv's memory, other load, and every reason."""
    lines = [(e, w, line) for (e, w), outcomes in results.items() for line in outcomes if isinstance(line, dict)]
    found = versions(lines, version, options) + memory(lines, options)
    if lines:
        shares = [line["others"] for _, _, line in lines]
        found.append(f"processor time that others took during a turn: {statistics.median(shares):.0%} of the machine "
                     f"in the median, {max(shares):.0%} at most")
    if any("flash_attention" in line for _, _, line in lines):
        found.append("llamacpp ran with and without flash attention; the better of the two counts, phase by phase")
    return "\n".join(f"- {text}" for text in found + reasons(results, options))


def versions(lines, version, options):
    found = []
    for engine in options.engines:
        own = [line for e, _, line in lines if e == engine]
        about = {line["version"] for line in own if "version" in line}
        if engine == "deltakv":
            about = {f"{version}, policy {line.get('policy', 'unknown')}" for line in own}
        if own:
            found.append(f"{engine} {'; '.join(sorted(about))}")
    return found


def memory(lines, options):
    found = []
    for work in options.works:
        own = [line for e, w, line in lines if (e, w) == ("deltakv", work)]
        if own:
            kv, peak = own[-1].get("kv_bytes_per_token", 0), max(line.get("peak_rss_bytes", 0) for line in own)
            found.append(f"deltakv at {work}: KV {kv:,.0f} bytes a token, peak memory {peak / 2**20:,.0f} MiB")
    return found


def reasons(results, options):
    """One text for each engine and reason, with the workloads that it holds for."""
    where = {}
    for work in options.works:
        for engine in options.engines:
            for text in dict.fromkeys(o for o in results.get((engine, work), []) if isinstance(o, str)):
                where.setdefault((engine, text), []).append(work)
    return [f"{engine} at {', '.join(works)}: {text}" for (engine, text), works in where.items()]


def section(title, header, version, results, options):
    return f"""
## {title}

{header}

From the medians of the times of {options.rounds} round{'s' * (options.rounds > 1)}, {options.gen} tokens generated for each
prompt; in brackets the slowest and the fastest round.

Prefill, tokens a second:

{table(results, options, 'prefill_tps')}

Decode, tokens a second:

{table(results, options, 'decode_tps')}

{notes(results, version, options)}
"""
