// SPDX-License-Identifier: Apache-2.0
// One job: how it stands and what happened to it.

import * as format from "/format.js";
import { mayAct } from "/session.js";
import { element, pill } from "/tables.js";

export const moods = { completed: "good", failed: "bad", retryable: "warn", running: null };
const eventMoods = {
  claimed: "work", completed: "good", failed: "bad", retried: "warn", rescued: "warn", fenced: "warn", cancel_requested: "warn",
};
const words = {
  submitted: "Submitted", claimed: "Started", completed: "Completed", failed: "Failed", retried: "Failed; will be tried again",
  released: "Handed back by a daemon that stopped", rescued: "Taken from a daemon that vanished",
  cancel_requested: "Somebody cancelled it while it ran", cancelled: "Cancelled", redriven: "Redriven",
  fenced: "A late result was refused: the lease was lost",
};

export function showJob(place, { job, timeline }, run) {
  const ended = job.finished_at != null;
  const buttons = element("div", { class: "buttons" });
  if (mayAct()) {
    const target = { job: job.job_id };
    if (!ended) buttons.append(element("button", { "data-key": "cancel", onclick: () => run("cancel", target, `job ${job.job_id}`) }, "Cancel"));
    if (job.state === "failed") buttons.append(element("button", { "data-key": "redrive", onclick: () => run("redrive", target, `job ${job.job_id}`) }, "Redrive"));
  }
  const seconds = job.started_at && (new Date(job.finished_at ?? Date.now()) - new Date(job.started_at)) / 1000;
  const facts = [
    ["Batch", job.batch], ["Tenant", job.tenant], ["Its own name", job.custom_id], ["Template", job.template],
    ["Priority", job.priority], ["Attempts", `${job.attempts} of ${job.max_attempts}`], ["Daemon", job.worker_id],
    ["Submitted", format.time(job.submitted_at)], ["Last attempt began", job.started_at && format.time(job.started_at)],
    [ended ? "Ended" : "May start", format.time(job.finished_at ?? job.run_at)],
    ["Last attempt took", seconds && format.duration(seconds)],
    ["Prompt tokens", job.prompt_tokens != null && `${format.count(job.prompt_tokens)}${job.cached_tokens ? `, ${format.count(job.cached_tokens)} from cache` : ""}`],
    ["Output tokens", job.output_tokens != null && format.count(job.output_tokens)],
    ["Prefill, its share", job.prefill_seconds != null && format.duration(job.prefill_seconds)],
    ["Decode, its share", job.decode_seconds != null && format.duration(job.decode_seconds)],
    ["Ended because of", job.finish_reason ?? job.error_code],
  ].filter(([, value]) => value != null && value !== false && value !== "");
  const waits = job.paused_at && !ended ? pill("batch is paused", "warn") : null;
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  place.replaceChildren(
    element("div", { class: "title" }, element("h1", {}, `Job ${job.job_id}`), pill(job.state, moods[job.state]), waits, buttons),
    element("section", { class: "card", "aria-label": "Facts" },
      element("dl", { class: "facts" }, ...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))))),
    element("section", { class: "card", "aria-label": "What happened" }, element("h2", {}, "What happened"), course(timeline)),
    element("p", {}, element("a", { href: "#/", "data-key": "back" }, "← All jobs")));
  if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function course(timeline) {
  let before = null;
  return element("ol", { class: "timeline" }, ...timeline.map((event) => {
    const at = new Date(event.occurred_at);
    const gap = before ? `+ ${format.duration((at - before) / 1000)}` : "";
    before = at;
    const details = [event.attempt && `attempt ${event.attempt}`, event.worker_id && `daemon ${event.worker_id}`].filter(Boolean).join(", ");
    return element("li", { "data-mood": eventMoods[event.event] }, element("span", {}, format.time(event.occurred_at)),
      element("span", { class: "faint" }, gap),
      element("span", { class: "what" }, words[event.event] ?? event.event,
        event.code ? element("span", { class: "bad" }, ` ${event.code}`) : null,
        details ? element("span", { class: "faint" }, ` · ${details}`) : null));
  }));
}
