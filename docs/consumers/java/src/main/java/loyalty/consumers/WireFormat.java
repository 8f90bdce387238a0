package loyalty.consumers;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;

/** Confluent's wire format: a zero byte, the schema's id in four bytes, big-endian, then Avro. */
final class WireFormat {
  private static final Duration ANSWER_WITHIN = Duration.ofSeconds(10);

  private final HttpClient http;
  private final ObjectMapper json = new ObjectMapper();
  private final Map<Integer, GenericDatumReader<GenericRecord>> readers = new HashMap<>();
  private final String registry;

  /** With a file of authorities, in PEM, those may have signed the registry's certificate; else the JVM's. */
  WireFormat(String registry, String caFile) throws IOException {
    this.registry = registry;
    HttpClient.Builder client = HttpClient.newBuilder();
    http = (caFile == null ? client : client.sslContext(trusting(Path.of(caFile)))).build();
  }

  private static SSLContext trusting(Path caFile) throws IOException {
    try (InputStream pem = Files.newInputStream(caFile)) {
      KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
      store.load(null, null);
      for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(pem)) {
        store.setCertificateEntry("authority-" + store.size(), one);
      }
      TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      trust.init(store);
      SSLContext context = SSLContext.getInstance("TLS");
      context.init(null, trust.getTrustManagers(), null);
      return context;
    } catch (GeneralSecurityException error) {
      throw new IOException(caFile + " holds no certificates: " + error.getMessage(), error);
    }
  }

  /** The record, read with the schema that wrote it: what a newer writer adds is there, and does no harm. */
  GenericRecord read(byte[] value) throws IOException, InterruptedException {
    if (value == null || value.length < 5 || value[0] != 0) {
      throw new IOException("it is not in the wire format");
    }
    int id = ByteBuffer.wrap(value, 1, 4).getInt();
    GenericDatumReader<GenericRecord> reader = readers.get(id);
    if (reader == null) {
      reader = new GenericDatumReader<>(schema(id));
      readers.put(id, reader);
    }
    BinaryDecoder body = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null);
    GenericRecord record;
    try {
      record = reader.read(null, body);
    } catch (RuntimeException error) { // Avro's own, of damaged bytes
      throw new IOException(error);
    }
    if (!body.isEnd()) {
      throw new IOException("bytes are left behind the record");
    }
    return record;
  }

  private Schema schema(int id) throws IOException, InterruptedException {
    URI at = URI.create(registry + "/schemas/ids/" + id);
    HttpResponse<String> answer =
        http.send(
            HttpRequest.newBuilder(at).timeout(ANSWER_WITHIN).build(), HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() != 200) {
      throw new IOException("the registry answers " + answer.statusCode() + " for schema " + id);
    }
    return new Schema.Parser().parse(json.readTree(answer.body()).get("schema").asText());
  }
}
