// SPDX-License-Identifier: Apache-2.0
// The dashboard: asks for the figures every two seconds while somebody looks, and shows them.

import { makeCharts } from "/charts.js";
import * as format from "/format.js";
import { showJob } from "/job.js";
import { batches, cache, errors, jobs, tiles, workers } from "/overview.js";
import { act, askToSignIn, mayRead, onSession, prepareSigning, refreshSession } from "/session.js";
import { element } from "/tables.js";
import { verdict } from "/verdict.js";

const get = (id) => document.getElementById(id);
const interval = 2000;
let charts;
let latest;
let tab = "running";
let timer;

function showOverview(overview) {
  latest = overview;
  const { mood, text } = verdict(overview);
  setVerdict(mood, text);
  tiles(overview);
  charts.draw(overview);
  batches(overview, run);
  workers(overview);
  errors(overview);
  cache(overview);
  jobs(overview, tab);
  get("fresh").textContent = `As of ${new Date(overview.at * 1000).toLocaleTimeString("en-GB")}, read anew every ${interval / 1000} seconds.`;
  notice(overview.problems.length ? `Some figures could not be read: ${overview.problems.join("; ")}` : null);
}

function setVerdict(mood, text) {
  get("verdict").dataset.mood = mood;
  // Screen readers hear it only when it changes.
  if (get("verdict-text").textContent !== text) get("verdict-text").textContent = text;
}

function notice(text) {
  get("notice").hidden = !text;
  get("notice").textContent = text ?? "";
}

const jobNumber = () => location.hash.match(/^#\/job\/(\d+)$/)?.[1];

async function ask(path) {
  const response = await fetch(path);
  const answer = await response.json().catch(() => ({}));
  if (response.status === 401) {
    askToSignIn();
    throw new Error("sign in to see the figures");
  }
  if (!response.ok) throw new Error(answer.error ?? `the server answered ${response.status}`);
  return answer;
}

async function refresh() {
  clearTimeout(timer);
  const id = jobNumber();
  get("overview").hidden = id != null;
  get("job").hidden = id == null;
  try {
    if (!mayRead()) askToSignIn();
    const [overview, job] = await Promise.all([ask("/api/overview"), id ? ask(`/api/jobs/${id}`).catch((problem) => ({ problem })) : null]);
    showOverview(overview);
    if (job?.problem) {
      get("job").replaceChildren(element("p", { class: "empty" }, `${job.problem.message}.`), element("p", {}, element("a", { href: "#/" }, "← All jobs")));
    } else if (job && id === jobNumber()) {
      showJob(get("job"), job, run);
    }
  } catch (problem) {
    setVerdict("bad", problem instanceof TypeError ? "The dashboard's server does not answer; trying again." : `No figures: ${problem.message}`);
  }
  if (document.visibilityState === "visible") timer = setTimeout(refresh, interval);
}

async function run(verb, target, name) {
  try {
    const affected = await act(verb, target, name);
    if (affected == null) return;
    await refresh();
    get("fresh").textContent = `${verb}: ${format.count(affected)} ${affected === 1 ? "job" : "jobs"} of ${name}.`;
  } catch (problem) {
    notice(`It was not done: ${problem.message}`);
  }
}

function prepareTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light");
    charts?.dress();
  };
  dark.addEventListener("change", apply);
  get("theme").addEventListener("click", () => {
    localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    apply();
  });
  apply();
}

function prepareTabs() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const choose = (chosen) => {
    tab = chosen.id.replace("tab-", "");
    tabs.forEach((each) => {
      each.setAttribute("aria-selected", each === chosen);
      each.tabIndex = each === chosen ? 0 : -1;
    });
    get("jobs").setAttribute("aria-labelledby", chosen.id);
    if (latest) jobs(latest, tab);
  };
  tabs.forEach((each, index) => {
    each.addEventListener("click", () => choose(each));
    each.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
  });
}

function prepareFinding() {
  get("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const id = get("find-job").value.trim();
    if (!/^\d+$/.test(id)) return;
    get("find-job").value = "";
    location.hash = `#/job/${id}`;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input") || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    get("find-job").focus();
  });
}

prepareTheme();
charts = makeCharts(get("charts"));
prepareTabs();
prepareFinding();
prepareSigning();
onSession(refresh);
addEventListener("hashchange", () => {
  get("main").focus();
  refresh();
});
document.addEventListener("visibilitychange", refresh);
refreshSession().catch(refresh);
