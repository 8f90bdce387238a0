package loyalty.peers;

import loyalty.commerce.Return;
import loyalty.commerce.ReturnLine;
import loyalty.ledger.LedgerAccount;
import loyalty.ledger.Reason;
import loyalty.peers.state.Account;
import loyalty.peers.state.Lot;

/** A refund takes back what the order is worth less: E(kept before) − E(kept after), at the order's own tier. */
final class ReturnRule extends Rule<Return> {
  @Override
  int version(Return given) {
    return given.getVersion();
  }

  @Override
  Cause cause(Return given) {
    return new Cause(given.getEventId(), given.getOccurredAt(), given.getRecordedAt());
  }

  @Override
  int knownVersion(Return given, Account account, Kept kept) {
    return kept.number("return:" + given.getReturnId());
  }

  @Override
  void apply(Return given, Account account, Kept kept) {
    kept.number("return:" + given.getReturnId(), given.getVersion());
    Lot lot = kept.lot(given.getOrderId());
    Tier tier = Tier.values()[lot.getTier()];
    long refunded = refunded(given);
    Worth worth = Worth.of(lot.getMinor() - refunded, tier);
    long owed = lot.getGranted() - worth.total();
    long before = account.getQualifying();
    account.setQualifying(before + worth.base() - lot.getBase());
    account.setTier(Tier.of(account).afterFall(before, account.getQualifying()).ordinal());
    if (owed > 0) {
      String lotId = Kept.lotId(given.getOrderId());
      move(lotId, tier, LedgerAccount.PENDING, LedgerAccount.CLAWED_BACK, Reason.RETURN, owed);
    }
    lot.setMinor(lot.getMinor() - refunded);
    lot.setBase(worth.base());
    lot.setGranted(worth.total());
    kept.lot(given.getOrderId(), lot);
  }

  private static long refunded(Return given) {
    long minor = 0;
    for (ReturnLine line : given.getLines()) {
      minor += line.getRefundMinor();
    }
    return minor;
  }
}
