package loyalty.peers;

import loyalty.peers.state.Account;

/** The levels, lowest first; a bonus is counted in quarters of the base points. */
enum Tier {
  STARTER("Starter", 0, 0),
  PACER("Pacer", 500, 1),
  ELITE("Elite", 1_500, 2);

  final String title;
  final long threshold;
  final long bonusQuarters;

  Tier(String title, long threshold, long bonusQuarters) {
    this.title = title;
    this.threshold = threshold;
    this.bonusQuarters = bonusQuarters;
  }

  static Tier of(Account account) {
    return values()[account.getTier()];
  }

  /** This tier, or the higher one that so many qualifying points reach. */
  Tier after(long qualifying) {
    return ordinal() + 1 < values().length && qualifying >= values()[ordinal() + 1].threshold
        ? values()[ordinal() + 1].after(qualifying)
        : this;
  }

  /** This tier, or the lower one that the points still reach, when it is this return that took them below. */
  Tier afterFall(long before, long qualifying) {
    return qualifying < threshold && threshold <= before ? STARTER.after(qualifying) : this;
  }
}
