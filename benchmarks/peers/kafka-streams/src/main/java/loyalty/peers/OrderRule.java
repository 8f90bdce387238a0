package loyalty.peers;

import loyalty.commerce.Order;
import loyalty.commerce.OrderLine;
import loyalty.ledger.LedgerAccount;
import loyalty.ledger.Reason;
import loyalty.peers.state.Account;
import loyalty.peers.state.Lot;

/** An order earns base points and the bonus of the tier just before it; its points may raise the tier. */
final class OrderRule extends Rule<Order> {
  @Override
  int version(Order order) {
    return order.getVersion();
  }

  @Override
  Cause cause(Order order) {
    return new Cause(order.getEventId(), order.getOccurredAt(), order.getRecordedAt());
  }

  @Override
  int knownVersion(Order order, Account account, Kept kept) {
    Lot lot = kept.lot(order.getOrderId());
    return lot == null ? 0 : lot.getVersion();
  }

  @Override
  void apply(Order order, Account account, Kept kept) {
    long minor = eligible(order);
    Tier tier = Tier.of(account);
    Worth worth = Worth.of(minor, tier);
    kept.lot(
        order.getOrderId(),
        new Lot(order.getVersion(), minor, tier.ordinal(), worth.base(), worth.total()));
    grant(order, tier, Reason.BASE, worth.base());
    grant(order, tier, Reason.TIER_BONUS, worth.bonus());
    account.setQualifying(account.getQualifying() + worth.base());
    account.setTier(tier.after(account.getQualifying()).ordinal());
  }

  private static long eligible(Order order) {
    long minor = 0;
    for (OrderLine line : order.getLines()) {
      minor += line.getEligible() ? line.getGrossMinor() : 0;
    }
    return minor;
  }

  private void grant(Order order, Tier tier, Reason reason, long points) {
    if (points > 0) {
      move(Kept.lotId(order.getOrderId()), tier, LedgerAccount.ISSUED, LedgerAccount.PENDING, reason, points);
    }
  }
}
