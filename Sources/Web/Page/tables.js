// SPDX-License-Identifier: Apache-2.0
// Elements of the page. All texts go in as text, never as HTML.

/** element("td", { class: "number" }, "12", otherElement) */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name === "onclick") node.addEventListener("click", value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null).map((child) => (child instanceof Node ? child : String(child))));
  return node;
}

/**
 * Fills a place with a table. Columns are { title, cell(row), number, wide, name }. What has the focus keeps it: elements
 * that act have a data-key that says which one they are.
 */
export function fill(place, columns, rows, emptyText) {
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  if (rows == null) {
    place.replaceChildren(element("p", { class: "empty bad" }, "Could not be read."));
    return;
  }
  if (rows.length === 0) {
    place.replaceChildren(element("p", { class: "empty" }, emptyText));
    return;
  }
  const classes = (column) => [column.number && "number", column.wide && "wide", column.name && "name", column.actions && "actions"].filter(Boolean).join(" ") || null;
  const head = element("tr", {}, ...columns.map((column) => element("th", { scope: "col", class: classes(column) }, column.title)));
  const body = rows.map((row) =>
    element("tr", {}, ...columns.map((column) => element("td", { class: classes(column) }, column.cell(row)))));
  place.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
  if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

export const pill = (text, mood) => element("span", { class: "pill", "data-mood": mood }, text);

export const jobLink = (id) => element("a", { href: `#/job/${id}`, "data-key": `job-${id}` }, `${id}`);

/** A bar of parts: [[class, share], …]. */
export function bar(parts, label) {
  return element("div", { class: "bar", role: "img", "aria-label": label },
    ...parts.map(([name, share]) => {
      const part = element("div", { class: name });
      part.style.width = `${100 * share}%`;
      return part;
    }));
}
