package loyalty.peers;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.specific.SpecificData;
import org.apache.avro.specific.SpecificDatumReader;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;

/** Reads Confluent's wire format with the schema that wrote it, as this build's class. */
final class AvroDeserializer<T extends SpecificRecord> implements Deserializer<T> {
  private static final int HEAD_BYTES = 5;

  private final Registry registry;
  private final Schema expected;
  private final Map<Integer, SpecificDatumReader<T>> readers = new HashMap<>();
  private BinaryDecoder decoder;

  AvroDeserializer(Registry registry, Class<T> read) {
    this.registry = registry;
    expected = SpecificData.get().getSchema(read);
  }

  @Override
  public T deserialize(String topic, byte[] value) {
    if (value == null) {
      return null;
    }
    if (value.length < HEAD_BYTES || value[0] != 0) {
      throw new SerializationException("a value of " + topic + " is not in the wire format");
    }
    int id = ByteBuffer.wrap(value, 1, 4).getInt();
    decoder = DecoderFactory.get().binaryDecoder(value, HEAD_BYTES, value.length - HEAD_BYTES, decoder);
    try {
      return readers.computeIfAbsent(id, this::reader).read(null, decoder);
    } catch (IOException error) {
      throw new SerializationException("a value of " + topic + " cannot be read", error);
    }
  }

  private SpecificDatumReader<T> reader(int id) {
    return new SpecificDatumReader<>(registry.schema(id), expected);
  }
}
