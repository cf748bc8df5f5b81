// One socket per page: a snapshot, then numbered changes. A gap or another epoch asks for a new snapshot by itself.

const PING_EVERY_MS = 8_000;
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 15_000;
export const CLOSE_SIGNED_OUT = 4401;
export const CLOSE_NOT_FOUND = 4404;

/**
 * Keep a live connection to `path`.
 *
 * on.snapshot(view, message), on.change(message), on.time(iso) with the server's time, and
 * on.state({state, since, retry, latency_ms}) with state one of connecting, live, stale (the server cannot read its
 * own books), reconnecting, signed-out, not-found. `since` (epoch ms) is when what is shown was last known to be true.
 */
export class LiveSocket {
  constructor(path, on) {
    Object.assign(this, { path, on, epoch: null, seq: null, retry: 0, heard: Date.now(), stale: null, waiting: false, finished: false });
    this.#report("connecting");
    this.#open();
    setInterval(() => this.#watch(), PING_EVERY_MS);
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.reconnect();
    });
    addEventListener("online", () => this.reconnect());
    addEventListener("pagehide", () => this.socket?.close());
    addEventListener("pageshow", (event) => event.persisted && this.reconnect());
  }

  /** Try again now instead of waiting for the next retry; does nothing while the connection is open. */
  reconnect() {
    if (this.finished || this.socket?.readyState === WebSocket.OPEN || this.socket?.readyState === WebSocket.CONNECTING) return;
    clearTimeout(this.timer);
    this.#open();
  }

  #open() {
    const url = new URL(this.path, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.socket = new WebSocket(url));
    this.waiting = true;
    socket.onmessage = ({ data }) => socket === this.socket && this.#receive(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.socket && this.#closed(code);
  }

  #receive(message) {
    this.heard = Date.now();
    if (message.type === "snapshot") {
      Object.assign(this, { epoch: message.epoch, seq: message.seq, waiting: false, retry: 0, stale: null });
      this.on.snapshot(message.view, message);
      this.#report("live");
    } else if (message.type === "change") {
      if (this.waiting) return;
      if (message.epoch !== this.epoch || message.seq !== this.seq + 1) return this.#resync();
      this.seq = message.seq;
      this.on.time(message.at);
      this.on.change(message);
    } else if (message.type === "stale") {
      this.stale = new Date(message.since).getTime();
      this.#report("stale");
    } else if (message.type === "pong") {
      this.latency_ms = Math.round(performance.now() - this.pinged);
      this.on.time(message.at);
      if (!this.waiting && this.stale === null) this.#report("live");
    }
  }

  #resync() {
    this.waiting = true;
    this.socket.send(JSON.stringify({ type: "resync" }));
  }

  // Each look expects an answer to the question asked at the look before.
  #watch() {
    const { socket } = this;
    if (!socket || socket.readyState > WebSocket.OPEN) return;
    if (socket === this.asked && this.heard < this.askedAt) return this.#abandon();
    Object.assign(this, { asked: socket, askedAt: Date.now(), pinged: performance.now() });
    if (socket.readyState !== WebSocket.OPEN) return;
    if (this.waiting) this.#resync();
    else socket.send(JSON.stringify({ type: "ping" }));
  }

  // A half-open connection may never report its close, so it is dropped and replaced.
  #abandon() {
    const old = this.socket;
    this.socket = null;
    old.close();
    this.#closed(1006);
  }

  #closed(code) {
    this.socket = null;
    if (code === CLOSE_SIGNED_OUT || code === CLOSE_NOT_FOUND) {
      this.finished = true;
      return this.#report(code === CLOSE_SIGNED_OUT ? "signed-out" : "not-found");
    }
    this.retry += 1;
    this.#report(this.epoch === null ? "connecting" : "reconnecting");
    const longest = Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** (this.retry - 1));
    this.timer = setTimeout(() => this.#open(), longest * (0.5 + Math.random() / 2));
  }

  #report(state) {
    this.on.state({ state, since: this.stale ?? this.heard, retry: this.retry, latency_ms: this.latency_ms });
  }
}
