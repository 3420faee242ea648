// SPDX-License-Identifier: Apache-2.0
// Signing in, and what administrators do.

const get = (id) => document.getElementById(id);
let session = { mayRead: true, mayAct: false, hasToken: false, csrf: null };
const listeners = [];

export const mayAct = () => session.mayAct;
export const mayRead = () => session.mayRead;
export const onSession = (listener) => listeners.push(listener);

async function send(method, path, body) {
  const headers = { "X-CSRF-Token": session.csrf ?? "" };
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const answer = response.status === 204 ? {} : await response.json();
  if (!response.ok) throw new Error(answer.error ?? `the server answered ${response.status}`);
  return answer;
}

export async function refreshSession() {
  session = await send("GET", "/api/session");
  const button = get("sign");
  button.hidden = !session.hasToken;
  button.textContent = session.mayAct ? "Sign out" : "Sign in";
  listeners.forEach((listener) => listener());
}

export function askToSignIn() {
  if (get("sign-in").open) return;
  get("sign-in-problem").hidden = true;
  get("token").value = "";
  get("sign-in").showModal();
}

export function prepareSigning() {
  get("sign").addEventListener("click", async () => {
    if (!session.mayAct) return askToSignIn();
    // A session that the server has forgotten is signed out already.
    await send("DELETE", "/api/session").catch(() => {});
    await refreshSession();
  });
  get("sign-in-no").addEventListener("click", () => get("sign-in").close());
  get("sign-in").querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await send("POST", "/api/session", { token: get("token").value });
      get("sign-in").close();
      await refreshSession();
    } catch (problem) {
      get("sign-in-problem").textContent = `It did not work: ${problem.message}.`;
      get("sign-in-problem").hidden = false;
      get("token").select();
    }
  });
}

const questions = {
  cancel: ["Cancel", "What waits ends now; what runs ends when its daemon notices. Cancelled jobs cannot be taken up again."],
  redrive: ["Redrive", "Failed jobs get all their attempts again."],
  pause: ["Pause", "No more jobs of it start; running ones go on."],
  resume: ["Resume", "Its jobs may start again."],
};

/** Asks, acts, and says how many jobs changed; null when the answer was no. */
export async function act(verb, target, name) {
  const [title, text] = questions[verb];
  get("confirm-title").textContent = `${title} ${name}?`;
  get("confirm-text").textContent = text;
  get("confirm-yes").textContent = verb === "cancel" ? "Cancel jobs" : title;
  const dialog = get("confirm");
  dialog.returnValue = "no";
  dialog.showModal();
  get("confirm-no").focus();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  if (dialog.returnValue !== "yes") return null;
  const { affected } = await send("POST", "/api/actions", { verb, ...target });
  return affected;
}
