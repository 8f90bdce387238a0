package loyalty.peers;

import java.util.Map;
import loyalty.balances.Balance;
import loyalty.commerce.Order;
import loyalty.commerce.Return;
import loyalty.engagement.Engagement;
import loyalty.ledger.LedgerEntry;
import loyalty.members.Member;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * A source and a rule for each kind of fact. All rules share one store, so a member's facts of all topics are one task's,
 * in order of their timestamps; and a transaction spans one changelog, not one for each kind of record kept.
 */
final class LoyaltyTopology {
  private final Topology topology = new Topology();
  private final Registry registry;
  private final String readFrom;

  private LoyaltyTopology(Registry registry, String readFrom) {
    this.registry = registry;
    this.readFrom = readFrom;
  }

  /** The topology whose input topics have one prefix, and whose output topics another. */
  static Topology of(Registry registry, String readFrom, String writeTo) {
    LoyaltyTopology made = new LoyaltyTopology(registry, readFrom);
    made.rule("commerce.orders.v1", Order.class, OrderRule::new);
    made.rule("commerce.returns.v1", Return.class, ReturnRule::new);
    made.rule("engagement.activities.v1", Engagement.class, EngagementRule::new);
    made.rule("loyalty.members.v1", Member.class, MemberRule::new);
    String[] rules = {"Order", "Return", "Engagement", "Member"};
    made.topology.addStateStore(store(), rules);
    made.sink(Rule.LEDGER, writeTo, "loyalty.ledger.v1", LedgerEntry.class, rules);
    made.sink(Rule.BALANCES, writeTo, "loyalty.balances.v1", Balance.class, rules);
    return made.topology;
  }

  private <F extends SpecificRecord> void rule(
      String topic, Class<F> fact, ProcessorSupplier<String, F, String, SpecificRecord> rule) {
    topology.addSource(topic, new StringDeserializer(), new AvroDeserializer<>(registry, fact), readFrom + topic);
    topology.addProcessor(fact.getSimpleName(), rule, topic);
  }

  private <R extends SpecificRecord> void sink(
      String name, String prefix, String topic, Class<R> result, String... rules) {
    AvroSerializer<R> serializer = new AvroSerializer<>(registry.newest(topic).id(), result);
    topology.addSink(name, prefix + topic, new StringSerializer(), serializer, rules);
  }

  private static StoreBuilder<?> store() {
    return Stores.keyValueStoreBuilder(
            Stores.persistentKeyValueStore(Kept.STORE), Serdes.String(), new KeptSerde())
        .withCachingEnabled()
        .withLoggingEnabled(Map.of());
  }
}
