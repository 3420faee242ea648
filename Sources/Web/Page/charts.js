// SPDX-License-Identifier: Apache-2.0
// The last hour in four small charts, drawn with Chart.js.

import * as format from "/format.js";
import { element } from "/tables.js";

const minutes = 60;

const definitions = [
  {
    title: "Jobs a minute", type: "bar", source: "throughput",
    series: [["completed", "--good-fill"], ["failed", "--bad"]],
  },
  {
    title: "Prefill tokens a second", type: "line", source: "load", now: "prefill_tokens_per_second",
    series: [["prefill_tokens_per_second", "--accent"]],
  },
  {
    title: "Decode tokens a second", type: "line", source: "load", now: "decode_tokens_per_second",
    series: [["decode_tokens_per_second", "--accent"]],
  },
  {
    title: "Sequences in a step", type: "line", source: "load", now: "batch_size",
    series: [["batch_size", "--accent"]],
  },
];

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Makes the charts in a place; draw(overview) shows figures, dress() takes on the theme's colours. */
export function makeCharts(place) {
  const charts = definitions.map((definition) => {
    const value = element("b", {}, "–");
    const canvas = element("canvas", { role: "img", "aria-label": `${definition.title} in the last hour` });
    place.append(element("figure", { class: "chart" },
      element("figcaption", {}, element("span", {}, definition.title), value), element("div", { class: "plot" }, canvas)));
    return { definition, value, canvas };
  });
  let shown;
  const draw = (overview) => {
    shown = overview;
    charts.forEach((each) => drawOne(each, overview));
  };
  // Chart.js keeps colours in many places: charts made anew have the right ones in all of them.
  const dress = () => {
    charts.forEach((each) => {
      each.chart?.destroy();
      each.chart = new Chart(each.canvas, configuration(each.definition));
    });
    if (shown) draw(shown);
  };
  dress();
  return { draw, dress };
}

function drawOne({ definition, value, canvas, chart }, overview) {
  const rows = overview[definition.source];
  if (!rows) return;
  const now = Math.floor(overview.at / 60) * 60;
  const labels = Array.from({ length: minutes }, (_, index) => now - (minutes - 1 - index) * 60);
  const byMinute = new Map(rows.map((row) => [row.minute, row]));
  chart.data.labels = labels;
  definition.series.forEach(([name], index) => {
    chart.data.datasets[index].data = labels.map((label) => definition.type === "bar"
      // A redrive takes back what was counted as failed, and may do so in a later minute.
      ? Math.max(0, byMinute.get(label)?.[name] ?? 0) : byMinute.get(label)?.[name] ?? null);
  });
  chart.update("none");
  // The minute under way is not whole: the figure beside the title is the last whole one's, or what daemons say now.
  const shown = definition.now ? overview.summary?.[definition.now] : sum(byMinute.get(now - 60), definition.series);
  value.textContent = format.rate(shown);
  canvas.setAttribute("aria-label", `${definition.title} in the last hour, now ${format.rate(shown)}`);
}

const sum = (row, series) => (row ? series.reduce((total, [name]) => total + Math.max(0, row[name]), 0) : 0);

function configuration({ type, series }) {
  return {
    type,
    data: {
      labels: [],
      datasets: series.map(([name, tint]) => ({
        borderColor: color(tint), backgroundColor: type === "line" ? `${color(tint)}22` : color(tint),
        label: name.replaceAll("_", " "), data: [], borderWidth: type === "line" ? 1.5 : 0, pointRadius: 0, pointHitRadius: 8,
        fill: true, tension: 0, spanGaps: false, barPercentage: 1, categoryPercentage: 0.85,
      })),
    },
    options: {
      animation: false, responsive: true, maintainAspectRatio: false, interaction: { mode: "index", intersect: false },
      plugins: {
        legend: { display: false },
        tooltip: {
          displayColors: series.length > 1,
          callbacks: {
            title: ([item]) => (item ? format.minute(Number(item.label)) : ""),
            label: (item) => `${item.dataset.label}: ${format.rate(item.parsed.y)}`,
          },
        },
      },
      scales: {
        x: {
          stacked: type === "bar", grid: { display: false, borderColor: color("--line") },
          ticks: {
            color: color("--faint"), maxRotation: 0, autoSkip: false, font: { size: 11 },
            callback(_, index) {
              const label = this.getLabelForValue(index);
              return label % 900 === 0 ? format.minute(label) : null;
            },
          },
        },
        y: {
          stacked: type === "bar", beginAtZero: true, suggestedMax: 1, grid: { drawBorder: false, color: color("--line") },
          ticks: { color: color("--faint"), maxTicksLimit: 4, font: { size: 11 }, callback: (tick) => format.count(tick) },
        },
      },
    },
  };
}
