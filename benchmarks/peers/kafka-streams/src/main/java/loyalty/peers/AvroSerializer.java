package loyalty.peers;

import java.nio.ByteBuffer;
import org.apache.avro.specific.SpecificData;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.common.serialization.Serializer;

/** Confluent's wire format: a zero byte, the schema's id in four bytes, big-endian, then Avro. */
final class AvroSerializer<T extends SpecificRecord> implements Serializer<T> {
  private final AvroWriter<T> writer;
  private final byte[] head;

  AvroSerializer(int schemaId, Class<T> written) {
    writer = new AvroWriter<>(SpecificData.get().getSchema(written));
    head = ByteBuffer.allocate(5).put((byte) 0).putInt(schemaId).array();
  }

  @Override
  public byte[] serialize(String topic, T value) {
    return value == null ? null : writer.write(head, value);
  }
}
