// SPDX-License-Identifier: Apache-2.0
// One sentence that says whether work flows.

import * as format from "/format.js";

/** { mood: good | warn | bad | idle, text } */
export function verdict({ summary: s, errors }) {
  if (!s) return { mood: "bad", text: "The queue's figures could not be read." };
  const runnable = s.available + s.running + s.retryable;
  const jobs = (n) => `${format.count(n)} ${n === 1 ? "job" : "jobs"}`;
  if (runnable > 0 && s.workers === 0) {
    return { mood: "bad", text: `Stalled: ${jobs(runnable)} to do and no daemon is alive. Start one: deltakv daemon.` };
  }
  const speed = s.jobs_per_second ?? 0;
  if (s.available > 0 && s.running === 0 && speed === 0 && s.oldest_seconds > 60) {
    return { mood: "warn", text: `${jobs(s.available)} could start and nothing runs; the oldest waits for ${format.duration(s.oldest_seconds)}.` };
  }
  const failed = s.failed_last_hour / (s.failed_last_hour + s.completed_last_hour);
  const flow = runnable === 0 ? "Nothing to do" : speed > 0 ? `Work flows: ${format.rate(speed * 60)} jobs a minute` : `Work begins: ${jobs(s.running)} running`;
  if (failed > 0.05) {
    const first = errors?.[0];
    return { mood: "warn", text: `${flow}, but ${format.percent(failed)} of the last hour's jobs failed${first ? `, most often as ${first.code}` : ""}.` };
  }
  if (s.silent_workers > 0 && runnable > 0) {
    return { mood: "warn", text: `${flow}; ${s.silent_workers} ${s.silent_workers === 1 ? "daemon has" : "daemons have"} vanished in the last hour.` };
  }
  if (runnable === 0) {
    return { mood: "idle", text: s.scheduled > 0 ? `Nothing to do now; ${jobs(s.scheduled)} for later or paused.` : "Nothing to do: all jobs have ended." };
  }
  return { mood: "good", text: s.seconds_left != null ? `${flow}, about ${format.duration(s.seconds_left)} left.` : `${flow}.` };
}
