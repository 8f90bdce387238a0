package loyalty.peers;

import loyalty.peers.state.Account;
import loyalty.peers.state.Lot;
import org.apache.kafka.streams.state.KeyValueStore;

/** What is kept of one member: the account, a lot an order, and numbers (versions known, allowances used). */
final class Kept {
  static final String STORE = "kept";

  private final KeyValueStore<String, Object> store;
  private final String memberId;

  Kept(KeyValueStore<String, Object> store, String memberId) {
    this.store = store;
    this.memberId = memberId;
  }

  static String lotId(String orderId) {
    return "order:" + orderId;
  }

  Account account() {
    Account account = (Account) store.get(memberId);
    return account == null ? new Account(0, 0L, 0L, 0L, 0L, 0, 0L) : account;
  }

  void account(Account account) {
    store.put(memberId, account);
  }

  Lot lot(String orderId) {
    return (Lot) store.get(key(lotId(orderId)));
  }

  void lot(String orderId, Lot lot) {
    store.put(key(lotId(orderId)), lot);
  }

  /** 0 when there is none. */
  int number(String name) {
    Integer number = (Integer) store.get(key(name));
    return number == null ? 0 : number;
  }

  void number(String name, int number) {
    store.put(key(name), number);
  }

  private String key(String name) {
    return memberId + "|" + name;
  }
}
