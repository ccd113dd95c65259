/**
 * The page's side of worker.js: one job at a time. Of those that come meanwhile
 * only the newest is done, so that results follow the hand without a queue.
 */
export class Jobs {
  #worker;
  #running = null;
  #waiting = null;

  /** `tell` is called with what the worker says of itself. */
  constructor(worker, tell) {
    this.#worker = worker;
    worker.onmessage = ({ data }) => {
      if (!data.answer && !data.failed) return tell(data);
      const { resolve, reject } = this.#running;
      this.#running = null;
      this.#next();
      if (data.failed) reject(new Error(data.error));
      else resolve(data.answer);
    };
  }

  /** The answer to a job, or null where a newer one took its place. */
  ask(job, transfer = []) {
    this.#waiting?.resolve(null);
    return new Promise((resolve, reject) => {
      this.#waiting = { job, transfer, resolve, reject };
      this.#next();
    });
  }

  #next() {
    if (this.#running || !this.#waiting) return;
    this.#running = this.#waiting;
    this.#waiting = null;
    this.#worker.postMessage(this.#running.job, this.#running.transfer);
  }
}
