package loyalty.peers;

import java.time.Instant;
import java.util.List;
import loyalty.balances.Balance;
import loyalty.ledger.Derivation;
import loyalty.ledger.LedgerAccount;
import loyalty.ledger.LedgerEntry;
import loyalty.ledger.Reason;
import loyalty.peers.state.Account;
import org.apache.avro.specific.SpecificRecord;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/** What a kind of fact does to its member's account: a version seen before changes nothing. */
abstract class Rule<F extends SpecificRecord> implements Processor<String, F, String, SpecificRecord> {
  static final String LEDGER = "ledger";
  static final String BALANCES = "balances";

  private static final String MARKET = "DE";
  private static final Derivation NONE =
      new Derivation("", List.of(), List.of(), List.of(), 0L, 0L, List.of());

  /** What entries say of the fact that made them. */
  record Cause(String eventId, Instant occurredAt, Instant recordedAt) {}

  private ProcessorContext<String, SpecificRecord> context;
  private Record<String, F> record;
  private Cause cause;
  private Account account;
  private Kept kept;

  abstract int version(F fact);

  abstract Cause cause(F fact);

  /** The newest version of the fact's entity that was applied; 0 when none was. */
  abstract int knownVersion(F fact, Account account, Kept kept);

  /** Apply a fact that is new: `move` points, and keep what the next one needs. */
  abstract void apply(F fact, Account account, Kept kept);

  @Override
  public void init(ProcessorContext<String, SpecificRecord> given) {
    context = given;
  }

  @Override
  public void process(Record<String, F> given) {
    F fact = given.value();
    record = given;
    kept = new Kept(context.getStateStore(Kept.STORE), given.key());
    account = kept.account();
    if (version(fact) <= knownVersion(fact, account, kept)) {
      return;
    }
    cause = cause(fact);
    long before = account.getSequence();
    apply(fact, account, kept);
    kept.account(account);
    if (account.getSequence() > before) {
      context.forward(record.withValue(balance()), BALANCES);
    }
  }

  /** Book points, which must be more than none, from one ledger account to another. */
  final void move(
      String lotId, Tier tier, LedgerAccount from, LedgerAccount to, Reason reason, long points) {
    account.setSequence(account.getSequence() + 1);
    account.setLifetime(account.getLifetime() + (from == LedgerAccount.ISSUED ? points : -points));
    add(from, -points);
    add(to, points);
    context.forward(record.withValue(entry(lotId, tier, from, to, reason, points)), LEDGER);
  }

  private void add(LedgerAccount side, long points) {
    if (side == LedgerAccount.ACTIVE) {
      account.setActive(account.getActive() + points);
    } else if (side == LedgerAccount.PENDING) {
      account.setPending(account.getPending() + points);
    }
  }

  private LedgerEntry entry(
      String lotId, Tier tier, LedgerAccount from, LedgerAccount to, Reason reason, long points) {
    return new LedgerEntry(
        cause.eventId() + "/" + reason,
        cause.eventId(),
        record.key(),
        account.getSequence(),
        lotId,
        points,
        from,
        to,
        reason,
        cause.occurredAt(),
        cause.recordedAt(),
        List.of(cause.eventId()),
        reason.name(),
        "2026-1",
        tier.title,
        MARKET,
        account.getActive(),
        account.getPending(),
        NONE);
  }

  private Balance balance() {
    return new Balance(
        record.key(),
        MARKET,
        account.getSequence(),
        cause.recordedAt(),
        account.getActive(),
        account.getPending(),
        0L,
        0L,
        account.getLifetime(),
        null,
        0L,
        null,
        0L);
  }
}
