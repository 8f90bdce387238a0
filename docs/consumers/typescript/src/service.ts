/** The service that shows members their balance, by HTTP: PUT and DELETE of a member's balance. Both may be repeated. */

import { setTimeout } from "node:timers/promises";

const ANSWER_WITHIN_MS = 5_000;
const PAUSE_MAX_MS = 2_000;
const AWAY_MAX_MS = 120_000;

/** The service, or Kafka, does not let this worker go on; it ends, and is started again. */
export class Stuck extends Error {}

export class Service {
  constructor(
    readonly url: string,
    readonly stopping: AbortSignal,
  ) {}

  /**
   * Tell a balance, or with null that there is none any more, and again until it is taken. False when this worker is to
   * end before that. `alive` is called between tries: the group must hear of a worker that waits.
   */
  async tell(member: string, balance: object | null, alive: () => Promise<void>): Promise<boolean> {
    const giveUpAt = Date.now() + AWAY_MAX_MS;
    for (let pauseMs = 200; !this.stopping.aborted; pauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS)) {
      if (await this.#taken(member, balance)) return true;
      if (Date.now() > giveUpAt) throw new Stuck("the service is away; nothing is lost: start again when it is back");
      await setTimeout(pauseMs, undefined, { signal: this.stopping }).catch(() => undefined);
      await alive();
    }
    return false;
  }

  async #taken(member: string, balance: object | null): Promise<boolean> {
    let status: number;
    try {
      const answer = await fetch(`${this.url}/${encodeURIComponent(member)}`, {
        method: balance === null ? "DELETE" : "PUT",
        headers: { "Content-Type": "application/json" },
        body: balance === null ? null : JSON.stringify(balance),
        signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      });
      await answer.arrayBuffer();
      status = answer.status;
    } catch (error) {
      console.error(`the service did not take the balance of ${member}: ${String(error)}`);
      return false;
    }
    if (status >= 400 && status < 500 && status !== 429) throw new Stuck(`the service refuses ${member}: ${status}`);
    if (status >= 300) console.error(`the service did not take the balance of ${member}: ${status}`);
    return status < 300;
  }
}
