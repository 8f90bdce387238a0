package loyalty.peers;

import loyalty.ledger.LedgerAccount;
import loyalty.ledger.Reason;
import loyalty.members.Member;
import loyalty.peers.state.Account;

/** Whoever joins is welcomed with 50 points, once. */
final class MemberRule extends Rule<Member> {
  private static final int OF_THE_WELCOME = 50;

  @Override
  int version(Member member) {
    return member.getVersion();
  }

  @Override
  Cause cause(Member member) {
    return new Cause(member.getEventId(), member.getOccurredAt(), member.getRecordedAt());
  }

  @Override
  int knownVersion(Member member, Account account, Kept kept) {
    return account.getVersion();
  }

  @Override
  void apply(Member member, Account account, Kept kept) {
    boolean joins = account.getVersion() == 0;
    account.setVersion(member.getVersion());
    if (joins) {
      String lotId = "welcome:" + member.getMemberId();
      move(lotId, Tier.STARTER, LedgerAccount.ISSUED, LedgerAccount.ACTIVE, Reason.WELCOME, OF_THE_WELCOME);
    }
  }
}
