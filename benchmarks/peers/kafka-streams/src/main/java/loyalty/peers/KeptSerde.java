package loyalty.peers;

import java.io.IOException;
import java.io.UncheckedIOException;
import loyalty.peers.state.Account;
import loyalty.peers.state.Lot;
import org.apache.avro.Schema;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.specific.SpecificDatumReader;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;

/** A value of the store: an account, a lot or a number, as Avro's union of the three. */
final class KeptSerde implements Serde<Object> {
  private static final Schema UNION =
      Schema.createUnion(Account.getClassSchema(), Lot.getClassSchema(), Schema.create(Schema.Type.INT));

  @Override
  public Serializer<Object> serializer() {
    AvroWriter<Object> writer = new AvroWriter<>(UNION);
    return (topic, value) -> value == null ? null : writer.write(new byte[0], value);
  }

  @Override
  public Deserializer<Object> deserializer() {
    SpecificDatumReader<Object> reader = new SpecificDatumReader<>(UNION);
    return new Deserializer<>() {
      private BinaryDecoder decoder;

      @Override
      public Object deserialize(String topic, byte[] value) {
        if (value == null) {
          return null;
        }
        decoder = DecoderFactory.get().binaryDecoder(value, decoder);
        try {
          return reader.read(null, decoder);
        } catch (IOException error) {
          throw new UncheckedIOException(error);
        }
      }
    };
  }
}
