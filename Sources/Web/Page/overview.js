// SPDX-License-Identifier: Apache-2.0
// The tiles and tables of the overview.

import * as format from "/format.js";
import { mayAct } from "/session.js";
import { bar, element, fill, jobLink, pill } from "/tables.js";

const get = (id) => document.getElementById(id);

/** What is big: how much waits, runs, is done. */
export function tiles(overview) {
  const s = overview.summary;
  if (!s) return;
  const share = s.kv_bytes ? s.kv_used_bytes / s.kv_bytes : null;
  const hits = s.prompt_tokens_last_day ? s.cached_tokens_last_day / s.prompt_tokens_last_day : null;
  const failed = s.failed_last_hour / (s.failed_last_hour + s.completed_last_hour);
  const end = s.seconds_left != null ? new Date(overview.at * 1000 + s.seconds_left * 1000) : null;
  const runnable = s.available + s.running + s.retryable;
  const held = s.scheduled + s.retryable;
  const figures = [
    ["Waiting", format.count(s.available), s.oldest_seconds != null ? `oldest ${format.duration(s.oldest_seconds)}` : held ? `${format.count(held)} later or paused` : "nothing waits"],
    ["Running", format.count(s.running), `${s.workers} ${s.workers === 1 ? "daemon" : "daemons"}`, s.workers === 0 && s.available > 0 ? "bad" : null],
    ["Time left", runnable ? format.duration(s.seconds_left) : "–", !runnable ? "nothing to do" : end ? `until ${format.when(end)}` : "nothing finishes now"],
    ["Completed", format.count(s.completed_last_hour), `last hour · ${format.count(s.completed)} in all`],
    ["Failed", format.count(s.failed_last_hour), `last hour · ${format.count(s.failed)} in all`, failed > 0.05 ? "bad" : s.failed_last_hour > 0 ? "warn" : null],
    ["KV memory", share == null ? "–" : format.percent(share), share == null ? "no daemon tells" : `${format.bytes(s.kv_used_bytes)} of ${format.bytes(s.kv_bytes)}`],
    ["From cache", format.percent(hits), hits ? `${format.duration(s.seconds_saved_last_day)} saved in 24 h` : "of the day's prompt tokens"],
  ];
  get("tiles").replaceChildren(...figures.map(([name, value, note, mood]) =>
    element("div", { class: "tile", "data-mood": mood }, element("div", { class: "name" }, name),
      element("div", { class: "value" }, value), element("div", { class: "note", title: note }, note))));
}

/** The batches; `run(verb, target, name)` acts on one. */
export function batches(overview, run) {
  const rows = overview.batches;
  const tenants = new Set(rows?.map((row) => row.tenant));
  const columns = [
    {
      title: "Batch", name: true,
      cell: (b) => element("span", { title: b.batch }, b.batch, tenants.size > 1 ? element("span", { class: "sub" }, ` ${b.tenant}`) : null),
    },
    { title: "Progress", cell: progress },
    { title: "Waiting", number: true, cell: (b) => format.count(b.available + b.scheduled + b.retryable) },
    { title: "Running", number: true, wide: true, cell: (b) => format.count(b.running) },
    { title: "Done", number: true, wide: true, cell: (b) => format.count(b.completed) },
    { title: "Failed", number: true, cell: (b) => element("span", { class: b.failed ? "bad" : "faint" }, format.count(b.failed)) },
    { title: "Prompt tokens", number: true, wide: true, cell: (b) => format.count(b.prompt_tokens) },
    { title: "From cache", number: true, wide: true, cell: (b) => format.percent(b.prompt_tokens ? b.cached_tokens / b.prompt_tokens : null) },
    { title: "Output tokens", number: true, wide: true, cell: (b) => format.count(b.output_tokens) },
    { title: "Ends", number: true, wide: true, cell: (b) => ends(b, overview.at) },
  ];
  if (mayAct()) columns.push({ title: "", actions: true, cell: (b) => batchButtons(b, run) });
  fill(get("batches"), columns, rows, "No batch yet: SELECT deltakv.submit(…, batch => 'name').");
}

function progress(b) {
  const share = (value) => (b.total ? value / b.total : 0);
  const text = b.percent == null ? "–" : `${Math.floor(b.percent)} %`;
  return element("div", { class: "progress" },
    bar([["done", share(b.completed)], ["failed", share(b.failed)], ["cancelled", share(b.cancelled)], ["running", share(b.running)]],
      `${text} ended: ${b.completed} completed, ${b.failed} failed, ${b.cancelled} cancelled of ${b.total}`),
    element("span", {}, text));
}

function ends(b, at) {
  const waiting = b.scheduled + b.available + b.running + b.retryable;
  if (!waiting) return element("span", { class: "faint" }, b.last_finished_at ? `ended ${format.ago(b.last_finished_at, at * 1000)}` : "–");
  if (b.paused_at) return pill("paused", "warn");
  return b.eta ? format.when(new Date(b.eta)) : "–";
}

function batchButtons(b, run) {
  const target = { batch: b.batch, tenant: b.tenant };
  const unfinished = b.scheduled + b.available + b.running + b.retryable;
  const button = (verb, label) => element("button", {
    class: "small", "data-key": `${verb}-${b.batch_id}`, "aria-label": `${label} ${b.batch}`,
    onclick: () => run(verb, target, `the batch ${b.batch}`),
  }, label);
  return element("span", {},
    b.paused_at ? button("resume", "Resume") : unfinished ? button("pause", "Pause") : null,
    b.failed ? button("redrive", "Redrive") : null, unfinished ? button("cancel", "Cancel") : null);
}

/** The daemons. */
export function workers(overview) {
  const columns = [
    { title: "Daemon", name: true, cell: (w) => element("span", { title: `process ${w.pid}, version ${w.version}` }, w.host, element("span", { class: "sub" }, ` #${w.worker_id}`)) },
    { title: "Heartbeat", cell: (w) => heartbeat(w, overview.at) },
    { title: "Running", number: true, cell: (w) => format.count(w.running) },
    { title: "Prefill/s", number: true, wide: true, cell: (w) => format.rate(w.prefill_tokens_per_second) },
    { title: "Decode/s", number: true, wide: true, cell: (w) => format.rate(w.decode_tokens_per_second) },
    { title: "Batch", number: true, wide: true, cell: (w) => (w.batch_size == null ? "–" : w.batch_size.toFixed(1)) },
    { title: "KV memory", number: true, wide: true, cell: (w) => (w.kv_bytes ? format.percent(w.kv_used_bytes / w.kv_bytes) : "–") },
    { title: "Process", number: true, wide: true, cell: (w) => format.bytes(w.resident_bytes) },
    { title: "Refused writes", number: true, wide: true, cell: (w) => element("span", { class: w.fenced_writes ? "warn" : "faint" }, format.count(w.fenced_writes)) },
  ];
  fill(get("workers"), columns, overview.workers, "No daemon in the last day: run deltakv daemon.");
}

function heartbeat(w, at) {
  if (w.stopped_at) return pill(`stopped ${format.ago(w.stopped_at, at * 1000)}`);
  const text = `${format.duration(w.silent_seconds)} ago`;
  return w.silent_seconds < 60 ? pill(text, "good") : pill(`silent for ${format.duration(w.silent_seconds)}`, "bad");
}

/** Errors by code. */
export function errors(overview) {
  const columns = [
    { title: "Code", name: true, cell: (e) => e.code },
    { title: "Errors", number: true, cell: (e) => format.count(e.errors) },
    { title: "Jobs", number: true, cell: (e) => format.count(e.jobs) },
    { title: "Last", number: true, wide: true, cell: (e) => format.ago(e.last_occurred_at, overview.at * 1000) },
    { title: "Such as", number: true, cell: (e) => jobLink(e.last_job_id) },
  ];
  fill(get("errors"), columns, overview.errors, "None.");
}

/** What is kept on disk and what it has saved; nothing is shown where no daemon keeps anything. */
export function cache(overview) {
  get("cache-card").hidden = !overview.cache?.length;
  if (!overview.cache?.length) return;
  const columns = [
    { title: "Directory", name: true, cell: (c) => element("span", { title: c.directory }, c.directory, element("span", { class: "sub" }, ` ${c.host}`)) },
    { title: "Kept", cell: (c) => element("div", { class: "progress" }, bar([["running", Math.min(1, c.bytes / c.budget_bytes)]], `${format.bytes(c.bytes)} of ${format.bytes(c.budget_bytes)}`), format.bytes(c.bytes)) },
    { title: "Budget", number: true, wide: true, cell: (c) => format.bytes(c.budget_bytes) },
    { title: "Chunks", number: true, wide: true, cell: (c) => format.count(c.chunks) },
    { title: "Tokens", number: true, wide: true, cell: (c) => format.count(c.tokens) },
    { title: "Chunks used", number: true, wide: true, cell: (c) => format.count(c.hits) },
    { title: "Prefill saved", number: true, cell: (c) => format.duration(c.seconds_saved) },
    { title: "Evicted", number: true, wide: true, cell: (c) => format.count(c.evicted) },
    { title: "Damaged", number: true, wide: true, cell: (c) => element("span", { class: c.damaged ? "bad" : "faint" }, format.count(c.damaged)) },
  ];
  fill(get("cache"), columns, overview.cache, "");
  const reasons = (overview.cache_misses ?? []).map((m) => element("span", {}, element("b", {}, format.count(m.misses)), ` ${m.reason}`));
  get("cache-misses").replaceChildren(...(reasons.length ? ["Prompts that were not there to their end, by reason:", ...reasons] : []));
}

const jobTables = (at) => ({
  running: {
    empty: "Nothing runs.",
    columns: [
      { title: "Job", cell: (j) => jobLink(j.job_id) },
      { title: "Batch", name: true, cell: (j) => j.batch },
      { title: "Template", wide: true, cell: (j) => j.template },
      { title: "Running for", number: true, cell: (j) => format.duration(j.seconds) },
      { title: "Attempt", number: true, wide: true, cell: (j) => `${j.attempt} of ${j.max_attempts}` },
      { title: "Prompt tokens done", number: true, wide: true, cell: (j) => format.count(j.prompt_tokens) },
      { title: "Output tokens", number: true, wide: true, cell: (j) => format.count(j.output_tokens) },
      { title: "Daemon", number: true, wide: true, cell: (j) => `#${j.worker_id}` },
    ],
  },
  slowest: {
    empty: "None of the latest events is a completed job.",
    columns: [
      { title: "Job", cell: (j) => jobLink(j.job_id) },
      { title: "Batch", name: true, cell: (j) => j.batch },
      { title: "Template", wide: true, cell: (j) => j.template },
      { title: "Took", number: true, cell: (j) => format.duration(j.seconds) },
      { title: "Prompt tokens", number: true, cell: (j) => format.count(j.prompt_tokens) },
      { title: "From cache", number: true, wide: true, cell: (j) => format.percent(j.prompt_tokens ? j.cached_tokens / j.prompt_tokens : null) },
      { title: "Output tokens", number: true, wide: true, cell: (j) => format.count(j.output_tokens) },
      { title: "Ended", number: true, wide: true, cell: (j) => format.ago(j.finished_at, at * 1000) },
    ],
  },
  failures: {
    empty: "None of the latest events is a failed job.",
    columns: [
      { title: "Job", cell: (j) => jobLink(j.job_id) },
      { title: "Batch", name: true, cell: (j) => j.batch },
      { title: "Template", wide: true, cell: (j) => j.template },
      { title: "Error", cell: (j) => element("span", { class: "bad" }, j.error_code) },
      { title: "Attempts", number: true, wide: true, cell: (j) => j.attempts },
      { title: "Ended", number: true, cell: (j) => format.ago(j.finished_at, at * 1000) },
    ],
  },
});

/** The jobs of a tab: running, slowest or failures. */
export function jobs(overview, tab) {
  const { columns, empty } = jobTables(overview.at)[tab];
  fill(get("jobs"), columns, overview[tab], empty);
}
