package loyalty.peers;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import org.apache.avro.Schema;

/** The schema registry, as far as serdes need it: asked once an id. */
final class Registry {
  private static final Duration ANSWER_WITHIN = Duration.ofSeconds(10);

  private final HttpClient http = HttpClient.newHttpClient();
  private final ObjectMapper json = new ObjectMapper();
  private final String url;

  record Registered(int id, Schema schema) {}

  Registry(String url) {
    this.url = url;
  }

  /** The newest schema of a topic's values. */
  Registered newest(String topic) {
    JsonNode found = get("/subjects/" + topic + "-value/versions/latest");
    return new Registered(found.get("id").asInt(), parsed(found));
  }

  Schema schema(int id) {
    return parsed(get("/schemas/ids/" + id));
  }

  private static Schema parsed(JsonNode found) {
    return new Schema.Parser().parse(found.get("schema").asText());
  }

  private JsonNode get(String path) {
    HttpRequest request = HttpRequest.newBuilder(URI.create(url + path)).timeout(ANSWER_WITHIN).build();
    try {
      HttpResponse<String> answer = http.send(request, HttpResponse.BodyHandlers.ofString());
      if (answer.statusCode() != 200) {
        throw new IOException("the registry answers " + answer.statusCode() + " for " + path);
      }
      return json.readTree(answer.body());
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("told to stop while the registry was asked for " + path, error);
    }
  }
}
