package loyalty.peers;

/** Base points and tier bonus: floored together, the point that is left to the larger remainder. */
record Worth(long base, long bonus) {
  private static final long QUARTERS_OF_A_POINT = 400;

  static Worth of(long minor, Tier tier) {
    long base = 4 * minor;
    long bonus = tier.bonusQuarters * minor;
    Worth floored = new Worth(base / QUARTERS_OF_A_POINT, bonus / QUARTERS_OF_A_POINT);
    if ((base + bonus) / QUARTERS_OF_A_POINT == floored.total()) {
      return floored;
    }
    return bonus % QUARTERS_OF_A_POINT > base % QUARTERS_OF_A_POINT
        ? new Worth(floored.base, floored.bonus + 1)
        : new Worth(floored.base + 1, floored.bonus);
  }

  long total() {
    return base + bonus;
  }
}
