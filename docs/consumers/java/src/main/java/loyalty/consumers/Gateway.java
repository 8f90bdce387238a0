package loyalty.consumers;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.avro.generic.GenericRecord;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Whoever sends messages, by HTTP. It knows a repetition by its key. */
final class Gateway {
  private static final Logger LOG = LoggerFactory.getLogger(Gateway.class);
  private static final Duration ANSWER_WITHIN = Duration.ofSeconds(10);
  private static final long PAUSE_MAX_MS = 10_000;

  /** Less than the group waits for a worker that does not poll (max.poll.interval.ms, five minutes). */
  private static final long AWAY_MAX_MS = 120_000;

  private final HttpClient http = HttpClient.newHttpClient();
  private final ObjectMapper json = new ObjectMapper();
  private final URI url;
  private final CountDownLatch stopping;

  Gateway(String url, CountDownLatch stopping) {
    this.url = URI.create(url);
    this.stopping = stopping;
  }

  /** Send, and again until it is taken. False when it expired, or this worker is to end, before that. */
  boolean send(GenericRecord trigger) throws IOException, InterruptedException {
    long pauseMs = 200;
    long giveUpAtMs = System.currentTimeMillis() + AWAY_MAX_MS;
    while (stopping.getCount() > 0 && (long) trigger.get("expires_at") > System.currentTimeMillis()) {
      if (taken(trigger)) {
        return true;
      }
      if (System.currentTimeMillis() > giveUpAtMs) {
        throw new IOException("the gateway is away; nothing is lost: start again when it is back");
      }
      stopping.await(pauseMs, TimeUnit.MILLISECONDS);
      pauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS);
    }
    return false;
  }

  private boolean taken(GenericRecord trigger) throws IOException, InterruptedException {
    HttpRequest request =
        HttpRequest.newBuilder(url)
            .timeout(ANSWER_WITHIN)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", trigger.get("trigger_id").toString())
            .POST(HttpRequest.BodyPublishers.ofString(json.writeValueAsString(told(trigger))))
            .build();
    int status;
    try {
      status = http.send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
    } catch (IOException error) {
      LOG.warn("the gateway did not take {}: {}", trigger.get("trigger_id"), error.toString());
      return false;
    }
    if (status >= 400 && status < 500 && status != 429) {
      throw new IOException("the gateway refuses " + trigger.get("trigger_id") + ": " + status);
    }
    if (status >= 300) {
      LOG.warn("the gateway did not take {}: {}", trigger.get("trigger_id"), status);
    }
    return status < 300;
  }

  private static Map<String, Object> told(GenericRecord trigger) {
    Map<String, Object> told = new LinkedHashMap<>();
    for (String name : new String[] {"member_id", "kind", "channel", "variant"}) {
      told.put(name, text(trigger.get(name)));
    }
    Map<String, Object> figures = new LinkedHashMap<>();
    for (Object one : (Iterable<?>) trigger.get("figures")) {
      GenericRecord figure = (GenericRecord) one;
      Object whole = figure.get("whole");
      figures.put(text(figure.get("name")), whole == null ? text(figure.get("text")) : whole);
    }
    told.put("figures", figures);
    return told;
  }

  private static String text(Object value) {
    return value == null ? null : value.toString();
  }
}
