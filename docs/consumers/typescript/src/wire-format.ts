/** Confluent's wire format: a zero byte, the schema's id in four bytes, big-endian, then Avro. */

import avro from "avsc";

const ANSWER_WITHIN_MS = 10_000;

export class WireFormat {
  readonly #types = new Map<number, avro.Type>();

  constructor(readonly registry: string) {}

  /** The record, read with the schema that wrote it: what a newer writer adds is there, and does no harm. */
  async read(value: Buffer): Promise<unknown> {
    if (value.length < 5 || value[0] !== 0) throw new Error("it is not in the wire format");
    const type = await this.#type(value.readInt32BE(1));
    return type.fromBuffer(value.subarray(5)); // throws on bytes left behind the record
  }

  async #type(id: number): Promise<avro.Type> {
    const known = this.#types.get(id);
    if (known !== undefined) return known;
    const answer = await fetch(`${this.registry}/schemas/ids/${id}`, {
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    }).catch((error: Error) => {
      throw new Error(`the registry does not answer: ${String(error.cause ?? error)}`);
    });
    if (!answer.ok) throw new Error(`the registry answers ${answer.status} for schema ${id}`);
    const { schema } = (await answer.json()) as { schema: string };
    const type = avro.Type.forSchema(JSON.parse(schema) as avro.Schema);
    this.#types.set(id, type);
    return type;
  }
}
