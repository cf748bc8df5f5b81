// What a person asks for: sent with a key of its own, so that sending it again does it once, and followed to its end.
import { live } from "./live.js";
import { Toast } from "./toast.js";
import { t } from "./words.js";

const AGAIN_MS = [400, 1_500, 4_000]; // waits before the same request is sent again
const LOOK_EVERY_MS = 2_000;
const OPEN = new Set(["accepted", "running"]);
const TITLES = { done: t("done"), refused: t("refused"), failed: t("failed") };

// What the server says is for who reads this page, whatever the browser prefers.
const READS = { Accept: "application/json", "Accept-Language": document.documentElement.lang };
const base = () => document.body.dataset.commands;
const token = () => document.querySelector("[name=csrfmiddlewaretoken]").value;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A key for one wish. `randomUUID` is missing where a page is not reached by https or loopback. */
export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Send a command; the same key may be sent any number of times.
 *
 * Returns {command} once it is accepted, {refused: text, errors: {field: texts}} when the server said no and nothing was stored, or
 * {unsure: text} when no answer came: then it may have been accepted, and only the same key may be sent again.
 */
export async function send({ kind, data, key }) {
  const request = {
    method: "POST", body: JSON.stringify({ kind, data }),
    headers: { ...READS, "Content-Type": "application/json", "X-CSRFToken": token(), "Idempotency-Key": key },
  };
  let unsure = "";
  for (const wait of [0, ...AGAIN_MS]) {
    await pause(wait);
    try {
      const answer = await fetch(base(), request);
      if (answer.ok) return { command: await answer.json() };
      if (answer.status < 500) return await refusal(answer);
      unsure = t("The server answered {status}.", { status: answer.status });
    } catch {
      unsure = t(navigator.onLine ? "The server did not answer." : "This device is offline.");
    }
  }
  return { unsure };
}

async function refusal(answer) {
  if (answer.status === 401 || answer.status === 403) return { refused: t("You are not signed in any more, or this page is too old. Load it anew and try again.") };
  const problem = await answer.json().catch(() => ({})), errors = problem.errors ?? {};
  const fields = Object.values(errors).flat();
  return { refused: fields.length ? fields.join(" ") : problem.detail ?? t("The server answered {status}.", { status: answer.status }), errors };
}

/** Follow an accepted command to its end in a toast: over the socket, and by asking where that is silent. */
export function follow(command, title) {
  const toast = new Toast(title);
  let ended = false;
  const show = ({ status, answer }) => {
    if (ended) return;
    if (OPEN.has(status)) return toast.show("working", answer || t("accepted, under way"));
    ended = true;
    live.listeners.delete(listen);
    toast.show(status, answer || TITLES[status]);
    document.dispatchEvent(new CustomEvent("commandend", { detail: { ...command, status, answer } }));
  };
  const listen = (touched) => {
    const news = touched.has("commands") && live.view.commands?.[command.id];
    if (news) show(news);
  };
  live.listeners.add(listen);
  show(command);
  const look = async () => {
    while (!ended) {
      await pause(LOOK_EVERY_MS);
      const answer = ended ? null : await fetch(`${base()}${command.id}/`, { headers: READS }).catch(() => null);
      if (answer?.ok) show(await answer.json());
    }
  };
  look();
}
