package loyalty.consumers;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What became of each trigger until it expires; after that nobody sends it, and it need not be remembered.
 *
 * <p>A file of this worker: a line a trigger, with what became of it and when it expires, in milliseconds. A line that a
 * crash cut short is passed over. Several workers share a table of their database instead.
 */
final class Seen implements AutoCloseable {
  private final Map<String, String> what = new HashMap<>();
  private final FileChannel file;

  Seen(Path path) throws IOException {
    StringBuilder kept = new StringBuilder();
    for (String line : Files.exists(path) ? Files.readAllLines(path) : List.<String>of()) {
      String[] parts = line.split(" ");
      if (parts.length == 4 && Long.parseLong(parts[1]) > System.currentTimeMillis()) {
        what.put(parts[2], parts[0]);
        kept.append(line).append('\n');
      }
    }
    Path fresh = path.resolveSibling(path.getFileName() + ".new");
    Files.writeString(fresh, kept);
    Files.move(fresh, path, StandardCopyOption.ATOMIC_MOVE);
    file = FileChannel.open(path, StandardOpenOption.APPEND);
  }

  String what(String triggerId) {
    return what.get(triggerId);
  }

  /** Durable when it returns. Ids have no blanks; the dot says that the line is whole. */
  void note(String triggerId, String became, long expiresAtMs) throws IOException {
    ByteBuffer line =
        StandardCharsets.UTF_8.encode(became + " " + expiresAtMs + " " + triggerId + " .\n");
    while (line.hasRemaining()) {
      file.write(line);
    }
    file.force(false);
    what.put(triggerId, became);
  }

  @Override
  public void close() throws IOException {
    file.close();
  }
}
