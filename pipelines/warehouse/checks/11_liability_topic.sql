-- A market's day on loyalty.liability.v1 is that of the model, where both count the same entries; and its workers lost none.
-- over: SELECT count(*) FROM (SELECT DISTINCT market, day FROM told_days)
WITH days AS (FROM told_days QUALIFY row_number() OVER (PARTITION BY market, day ORDER BY source_offset DESC) = 1),
parts AS (FROM told_parts QUALIFY row_number() OVER (PARTITION BY market, day, partition ORDER BY source_offset DESC) = 1),
entered AS (
    SELECT market, date_diff('day', DATE '1970-01-01', effective_on) AS day, l.source_partition AS partition, count(*) AS entries,
           count(*) FILTER (l.source_offset < next_offset) AS counted
    FROM (SELECT *, CAST(effective_at AS DATE) AS effective_on FROM ledger) l
    LEFT JOIN (FROM committed WHERE topic = 'ledger') c ON c.source_partition = l.source_partition GROUP BY ALL),
-- Whose entries are the same on both sides: of each partition the first so many, so it is enough to count them.
same AS (
    SELECT market, day, bool_and(e.entries IS NOT DISTINCT FROM p.entries) AND sum(p.entries) = any_value(d.entries) AS is_same
    FROM entered e FULL JOIN parts p USING (market, day, partition) LEFT JOIN days d USING (market, day) GROUP BY market, day),
settled AS (SELECT market, day, is_same AS alone, bool_and(coalesce(is_same, FALSE)) OVER so_far AS all_before FROM same
            WINDOW so_far AS (PARTITION BY market ORDER BY day)),
model AS (SELECT * REPLACE (date_diff('day', DATE '1970-01-01', day) AS day) FROM liability)
SELECT market || ' ' || CAST(DATE '1970-01-01' + CAST(day AS INTEGER) AS VARCHAR) || ' moves and closes '
       || CAST((d.issued, d.redeemed, d.expired, d.clawed_back, d.adjusted, d.erased, d.repaid, d.other, d.closing) AS VARCHAR)
       || ' on the topic, '
       || CAST((m.issued, m.redeemed, m.expired, m.clawed_back, m.adjusted, m.erased, m.repaid, m.other, m.closing) AS VARCHAR)
       || ' in the model' AS what
FROM settled JOIN days d USING (market, day) JOIN model m USING (market, day)
WHERE alone AND (d.issued, d.redeemed, d.expired, d.clawed_back, d.adjusted, d.erased, d.repaid, d.other)
                <> (m.issued, m.redeemed, m.expired, m.clawed_back, m.adjusted, m.erased, m.repaid, m.other)
   OR all_before AND (d.opening, d.closing, d.debt_closing, coalesce(d.breakage_bp, -1), coalesce(d.breakage_points, -1))
                <> (m.opening, m.closing, m.debt_closing, coalesce(m.breakage_bp, -1), coalesce(m.breakage_points, -1))
UNION ALL
SELECT market || ' day ' || day || ', partition ' || partition || ': ' || counted || ' entries were committed, the part has '
       || coalesce(p.entries, 0)
FROM entered LEFT JOIN parts p USING (market, day, partition) WHERE counted > coalesce(p.entries, 0)
UNION ALL
SELECT market || ' day ' || day || ': parts with ' || taken || ' entries were committed, the day has ' || coalesce(d.entries, 0)
FROM (SELECT market, day, sum(entries) AS taken FROM parts JOIN committed USING (source_partition)
      WHERE topic = 'parts' AND source_offset < next_offset GROUP BY market, day) LEFT JOIN days d USING (market, day)
WHERE taken > coalesce(d.entries, 0)
