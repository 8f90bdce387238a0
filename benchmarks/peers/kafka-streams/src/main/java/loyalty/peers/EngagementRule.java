package loyalty.peers;

import java.time.LocalDate;
import java.time.ZoneId;
import loyalty.engagement.Engagement;
import loyalty.engagement.EngagementKind;
import loyalty.engagement.Verification;
import loyalty.ledger.LedgerAccount;
import loyalty.ledger.Reason;
import loyalty.peers.state.Account;

/** Verified runs earn 2 points a whole km, up to 20 a day of their zone; a review 50, once a product. */
final class EngagementRule extends Rule<Engagement> {
  private static final int POINTS_A_KM = 2;
  private static final int OF_A_DAY_MAX = 20;
  private static final int OF_A_REVIEW = 50;

  @Override
  int version(Engagement done) {
    return done.getVersion();
  }

  @Override
  Cause cause(Engagement done) {
    return new Cause(done.getEventId(), done.getOccurredAt(), done.getRecordedAt());
  }

  @Override
  int knownVersion(Engagement done, Account account, Kept kept) {
    return kept.number("engagement:" + done.getEngagementId());
  }

  @Override
  void apply(Engagement done, Account account, Kept kept) {
    kept.number("engagement:" + done.getEngagementId(), done.getVersion());
    if (done.getKind() == EngagementKind.REVIEW) {
      earn(done, account, kept, "review:" + done.getSubject(), Reason.REVIEW, OF_A_REVIEW, OF_A_REVIEW);
    } else if (verified(done)) {
      LocalDate day = done.getOccurredAt().atZone(ZoneId.of(done.getZone())).toLocalDate();
      int points = done.getDistanceM() / 1_000 * POINTS_A_KM;
      earn(done, account, kept, "run:" + day, Reason.ACTIVITY, points, OF_A_DAY_MAX);
    }
  }

  private static boolean verified(Engagement done) {
    return done.getVerification() == Verification.GPS || done.getVerification() == Verification.DEVICE;
  }

  /** As many of the points as the group has room for. */
  private void earn(
      Engagement done, Account account, Kept kept, String group, Reason reason, int points, int most) {
    int used = kept.number(group);
    int granted = Math.min(points, most - used);
    if (granted > 0) {
      kept.number(group, used + granted);
      String lotId = "engagement:" + done.getEngagementId();
      move(lotId, Tier.of(account), LedgerAccount.ISSUED, LedgerAccount.ACTIVE, reason, granted);
    }
  }
}
