/**
 * The last balance of each member that the service has, by its sequence in the ledger.
 *
 * A file of this worker: a line a change. It is made short at each start, and a line that a crash cut short is passed over.
 * A service that keeps the sequence with the balance, and refuses an older one, needs no file.
 */

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";

export class Seen {
  readonly #sequences: Map<string, number>;

  private constructor(sequences: Map<string, number>, readonly file: FileHandle) {
    this.#sequences = sequences;
  }

  static async open(path: string): Promise<Seen> {
    const found = new Map<string, number>();
    for (const line of existsSync(path) ? readFileSync(path, "utf8").split("\n") : []) {
      const [member, sequence, end] = line.split(" ");
      if (member === undefined || end !== ".") continue;
      if (sequence === "gone") found.delete(member);
      else found.set(member, Number(sequence));
    }
    writeFileSync(`${path}.new`, [...found].map(([member, n]) => `${member} ${n} .\n`).join(""), { flush: true });
    renameSync(`${path}.new`, path);
    return new Seen(found, await open(path, "a"));
  }

  /** Whether the service has this balance, or a newer one. */
  has(member: string, sequence: number): boolean {
    return sequence <= (this.#sequences.get(member) ?? -1);
  }

  /** Durable when it is done. Of a member who is gone nothing is kept. */
  async note(member: string, sequence: number | null): Promise<void> {
    if (sequence === null) this.#sequences.delete(member);
    else this.#sequences.set(member, sequence);
    await this.file.write(`${member} ${sequence ?? "gone"} .\n`);
    await this.file.datasync();
  }
}
