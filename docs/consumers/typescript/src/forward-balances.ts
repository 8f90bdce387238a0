/**
 * Forwards each balance of loyalty.balances.v1 to the service that shows it: the last one of a member wins, also after a
 * crash, and a record without a value (the member was erased) deletes it.
 *
 * A balance is told, then noted, and only then its offset is committed. What comes again is known by the member's
 * sequence, so that the service never goes back to an older balance.
 */

import { readFileSync } from "node:fs";
import kafkajs, { type EachBatchPayload, type KafkaConfig } from "kafkajs";
import { compressFrame, decompressFrame } from "lz4-napi";
import { Seen } from "./seen.js";
import { Service, Stuck } from "./service.js";
import { WireFormat } from "./wire-format.js";

interface Balance {
  member_id: string;
  sequence: number;
}

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;

// The pipelines write LZ4, which kafkajs knows by name only.
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: ({ buffer }: { buffer: Buffer }) => compressFrame(buffer),
  decompress: (buffer: Buffer) => decompressFrame(buffer),
});

const environment = process.env;

function set(name: string): string {
  const value = environment[name];
  if (value === undefined) throw new Stuck(`${name} is not set`);
  return value;
}

/** Who this worker is to Kafka; nobody, in the clear, on one's own machine. */
function as(): Partial<KafkaConfig> {
  if (environment["KAFKA_USERNAME"] === undefined) return {};
  return {
    ssl: { ca: [readFileSync(set("KAFKA_CA_FILE"), "utf8")] },
    sasl: { mechanism: "scram-sha-512", username: set("KAFKA_USERNAME"), password: set("KAFKA_PASSWORD") },
  };
}

class Forwarder {
  constructor(
    readonly format: WireFormat,
    readonly seen: Seen,
    readonly service: Service,
    readonly ending: AbortController,
  ) {}

  /** The client commits what was resolved when a batch ends, also in the middle of it. */
  async batch({ batch, resolveOffset, heartbeat, isRunning, isStale }: EachBatchPayload): Promise<void> {
    try {
      for (const { key, value, offset } of batch.messages) {
        if (this.ending.signal.aborted || !isRunning() || isStale()) break;
        const at = `${batch.topic}/${batch.partition}/${offset}`;
        if (!(await this.one(key?.toString() ?? "", value, at, heartbeat))) break;
        resolveOffset(offset);
        await heartbeat();
      }
    } catch (error) {
      if (!(error instanceof Stuck)) throw error; // Kafka's: the client tries again
      this.ending.abort(error);
    }
  }

  /** False when it is not done, and must come again. */
  private async one(member: string, value: Buffer | null, at: string, alive: () => Promise<void>): Promise<boolean> {
    const balance = value === null ? null : await this.read(value, at);
    if (balance !== null && this.seen.has(member, balance.sequence)) return true;
    if (!(await this.service.tell(member, balance, alive))) return false;
    await this.seen.note(member, balance?.sequence ?? null);
    console.log(`${member} ${balance === null ? "is gone" : `is told to ${balance.sequence}`}`);
    return true;
  }

  /** What cannot be read ends the worker: to pass it over would lose it. */
  private async read(value: Buffer, at: string): Promise<Balance> {
    try {
      return (await this.format.read(value)) as Balance;
    } catch (error) {
      throw new Stuck(`${at} cannot be read: ${String(error)}`);
    }
  }
}

async function main(): Promise<void> {
  const ending = new AbortController();
  const kafka = new Kafka({
    clientId: "forward-balances",
    brokers: set("KAFKA_BOOTSTRAP_SERVERS").split(","),
    logLevel: logLevel.WARN,
    ...as(),
  });
  const forwarder = new Forwarder(
    new WireFormat(set("SCHEMA_REGISTRY_URL")),
    await Seen.open(set("SEEN_FILE")),
    new Service(set("SERVICE_URL"), ending.signal),
    ending,
  );
  const consumer = kafka.consumer({
    groupId: environment["GROUP_ID"] ?? "forward-balances",
    readUncommitted: false,
    sessionTimeout: 15_000, // more than a try and a pause take: the group hears of this worker between them
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => ending.abort());
  consumer.on("consumer.crash", ({ payload }) => {
    if (!payload.restart) ending.abort(payload.error);
  });
  await consumer.connect();
  await consumer.subscribe({ topic: environment["BALANCES_TOPIC"] ?? "loyalty.balances.v1", fromBeginning: true });
  await consumer.run({ eachBatchAutoResolve: false, eachBatch: (payload) => forwarder.batch(payload) });
  await aborted(ending.signal);
  await consumer.disconnect(); // waits for the batch in hand, and leaves the group
  console.log("ended");
  if (ending.signal.reason instanceof Error && ending.signal.reason.name !== "AbortError") throw ending.signal.reason;
}

/** When the signal is given, also when it was given before. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
