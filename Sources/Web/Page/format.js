// SPDX-License-Identifier: Apache-2.0
// Figures for people.

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const moment = new Intl.DateTimeFormat("en-GB", {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const weekday = new Intl.DateTimeFormat("en-GB", { weekday: "short", hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { year: "numeric", month: "short", day: "numeric" });

/** A count: all digits up to a million, then 1.2M. */
export const count = (value) => (value == null ? "–" : Math.abs(value) < 1e6 ? grouped.format(value) : compact.format(value));

/** A rate: one decimal below ten. */
export const rate = (value) => (value == null ? "–" : value < 9.95 ? value.toFixed(1) : count(value));

export const percent = (share) => (share == null || !isFinite(share) ? "–" : `${(100 * share).toFixed(share < 0.0995 && share > 0 ? 1 : 0)} %`);

/** Seconds as precisely as anybody cares: 4.2 s, 3 min 20 s, 54 min, 2 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  if (seconds == null || !isFinite(seconds)) return "–";
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 90) return `${whole} s`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => whole >= size);
  const [name, size] = units[first];
  const [nextName, nextSize] = units[first + 1];
  const most = Math.floor(whole / size), rest = Math.floor((whole % size) / nextSize);
  return `${most} ${name}${rest > 0 && most < 10 ? ` ${rest} ${nextName}` : ""}`;
}

export function bytes(value) {
  if (value == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** When something will be: the hour today, the weekday this week, else the date. */
export function when(date) {
  const hours = (date - Date.now()) / 3.6e6;
  if (!isFinite(hours)) return "–";
  return hours < 20 ? clock.format(date) : hours < 144 ? weekday.format(date) : day.format(date);
}

export const time = (text) => (text == null ? "–" : moment.format(new Date(text)));
export const minute = (seconds) => clock.format(new Date(seconds * 1000));

/** How long ago. */
export const ago = (text, now) => (text == null ? "–" : `${duration((now - new Date(text)) / 1000)} ago`);
