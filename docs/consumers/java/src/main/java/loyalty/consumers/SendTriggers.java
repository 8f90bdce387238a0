package loyalty.consumers;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Sends each trigger of loyalty.triggers.v1 to a gateway of messages: once, in time, and not when it was withdrawn.
 *
 * <p>At least once from Kafka, once in effect: a trigger is sent, then noted, and only then its offset is committed.
 * Whoever dies between sending and noting sends again, under the same Idempotency-Key, by which the gateway knows it.
 *
 * <p>Withdrawals come on another topic, with the same keys and as many partitions, so that one worker has both of a
 * member. A partition's triggers wait until its withdrawals are read to where they ended when it was assigned: who comes
 * back after an hour reads first what was taken back in it.
 */
public final class SendTriggers implements ConsumerRebalanceListener {
  private static final Logger LOG = LoggerFactory.getLogger(SendTriggers.class);
  private static final Duration POLL = Duration.ofMillis(500);
  private static final int BATCH = 100;

  private final String triggers;
  private final String withdrawals;
  private final CountDownLatch stopping;
  private final Seen seen;
  private final Gateway gateway;
  private final WireFormat format;
  private final KafkaConsumer<byte[], byte[]> consumer;

  /** Where the withdrawals of partitions ended whose triggers still wait. */
  private final Map<TopicPartition, Long> waiting = new HashMap<>();

  private SendTriggers(Map<String, String> environment, CountDownLatch stopping) throws IOException {
    triggers = environment.getOrDefault("TRIGGERS_TOPIC", "loyalty.triggers.v1");
    withdrawals = environment.getOrDefault("SUPPRESSED_TRIGGERS_TOPIC", "loyalty.suppressed-triggers.v1");
    this.stopping = stopping;
    seen = new Seen(Path.of(set(environment, "SEEN_FILE")));
    gateway = new Gateway(set(environment, "GATEWAY_URL"), stopping);
    format = new WireFormat(set(environment, "SCHEMA_REGISTRY_URL"), environment.get("SCHEMA_REGISTRY_CA_FILE"));
    consumer = new KafkaConsumer<>(settings(environment), new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  private static Map<String, Object> settings(Map<String, String> environment) {
    Map<String, Object> found = new HashMap<>();
    found.put("bootstrap.servers", set(environment, "KAFKA_BOOTSTRAP_SERVERS"));
    found.put("group.id", environment.getOrDefault("GROUP_ID", "send-triggers"));
    found.put("isolation.level", "read_committed");
    found.put("auto.offset.reset", "earliest");
    found.put("session.timeout.ms", 10_000); // how long partitions of a worker that died wait for another
    found.put("partition.assignment.strategy", RangeAssignor.class.getName()); // partition 3 of both to one worker
    found.put("enable.auto.commit", false);
    found.put("max.poll.records", BATCH);
    if (environment.containsKey("KAFKA_USERNAME")) {
      found.put("security.protocol", "SASL_SSL");
      found.put("sasl.mechanism", "SCRAM-SHA-512");
      found.put(
          "sasl.jaas.config",
          "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"%s\" password=\"%s\";"
              .formatted(quoted(environment.get("KAFKA_USERNAME")), quoted(set(environment, "KAFKA_PASSWORD"))));
      found.put("ssl.truststore.type", "PEM");
      found.put("ssl.truststore.location", set(environment, "KAFKA_CA_FILE"));
    }
    return found;
  }

  private static String quoted(String text) {
    return text.replace("\\", "\\\\").replace("\"", "\\\"");
  }

  private static String set(Map<String, String> environment, String name) {
    String value = environment.get(name);
    if (value == null) {
      throw new IllegalArgumentException(name + " is not set");
    }
    return value;
  }

  /** Until it is to stop; what was sent is committed, and the group knows that this worker has left. */
  private void run() throws IOException, InterruptedException {
    try (consumer;
        seen) {
      consumer.subscribe(List.of(triggers, withdrawals), this);
      while (stopping.getCount() > 0) {
        batch(consumer.poll(POLL));
        release();
      }
    }
    LOG.info("ended");
  }

  private void batch(ConsumerRecords<byte[], byte[]> records) throws IOException, InterruptedException {
    Map<TopicPartition, OffsetAndMetadata> done = new HashMap<>();
    try {
      for (String topic : List.of(withdrawals, triggers)) {
        for (ConsumerRecord<byte[], byte[]> record : records.records(topic)) {
          if (stopping.getCount() == 0 || !handle(record)) {
            return;
          }
          done.put(
              new TopicPartition(topic, record.partition()), new OffsetAndMetadata(record.offset() + 1));
        }
      }
    } finally {
      if (!done.isEmpty()) {
        consumer.commitSync(done);
      }
    }
  }

  /** False when it is not done, and must come again. What cannot be read ends the worker: to pass it over would lose it. */
  private boolean handle(ConsumerRecord<byte[], byte[]> record) throws IOException, InterruptedException {
    GenericRecord trigger;
    try {
      trigger = format.read(record.value());
    } catch (IOException error) {
      String place = record.topic() + "/" + record.partition() + "/" + record.offset();
      throw new IOException(place + " cannot be read: " + error.getMessage(), error);
    }
    String triggerId = trigger.get("trigger_id").toString();
    long expiresAtMs = (long) trigger.get("expires_at");
    if (record.topic().equals(withdrawals)) {
      if (trigger.get("reason").toString().equals("WITHDRAWN") && seen.what(triggerId) == null) {
        seen.note(triggerId, "WITHDRAWN", expiresAtMs);
      }
    } else if (seen.what(triggerId) != null) {
      LOG.info("{} is not sent: {}", triggerId, seen.what(triggerId));
    } else if (gateway.send(trigger)) {
      seen.note(triggerId, "SENT", expiresAtMs);
      LOG.info("{} is sent", triggerId);
    } else if (expiresAtMs > System.currentTimeMillis()) {
      return false;
    } else {
      LOG.info("{} is not sent: EXPIRED", triggerId);
    }
    return true;
  }

  @Override
  public void onPartitionsAssigned(Collection<TopicPartition> assigned) {
    List<TopicPartition> withdrawn = only(withdrawals, assigned);
    consumer.pause(only(triggers, assigned));
    waiting.putAll(consumer.endOffsets(withdrawn));
  }

  @Override
  public void onPartitionsRevoked(Collection<TopicPartition> revoked) {
    waiting.keySet().removeAll(revoked); // what was done is committed: there is nothing else to settle
  }

  private static List<TopicPartition> only(String topic, Collection<TopicPartition> partitions) {
    return partitions.stream().filter(one -> one.topic().equals(topic)).toList();
  }

  /** Lets go the triggers of partitions whose withdrawals are read. */
  private void release() {
    for (TopicPartition one : new ArrayList<>(waiting.keySet())) {
      if (consumer.position(one) >= waiting.get(one)) {
        waiting.remove(one);
        consumer.resume(List.of(new TopicPartition(triggers, one.partition())));
      }
    }
  }

  /** Ends with 0 when it was asked to (SIGTERM, SIGINT), with 1 and a sentence when it cannot go on. */
  public static void main(String[] arguments) throws InterruptedException {
    CountDownLatch stopping = new CountDownLatch(1);
    Thread main = Thread.currentThread();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(stopping, main)));
    int code = 0;
    try {
      new SendTriggers(System.getenv(), stopping).run();
    } catch (IOException | RuntimeException error) {
      System.err.println("error: " + error.getMessage());
      code = 1;
    }
    Runtime.getRuntime().halt(code); // exit() would wait for the hook, and the hook waits for this
  }

  /** Asks the worker to end, and keeps the JVM, which was told to go, until it has. */
  private static void stop(CountDownLatch stopping, Thread main) {
    stopping.countDown();
    try {
      main.join();
    } catch (InterruptedException hurried) {
      Thread.currentThread().interrupt();
    }
  }
}
