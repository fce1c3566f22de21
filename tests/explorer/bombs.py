"""Queries that ask for more memory or time than a process may have."""

BOMBS = (
    "SELECT unnest(range(1000000000))",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
    "SELECT count(*) FROM range(100000000) a, range(100000000) b",
    "SELECT repeat('x', 1000000000) FROM range(9)",
    "SELECT rpad('x', 1000000000, 'y') FROM range(9)",
    "SELECT list_sort(range(1000000000))",
    "SELECT array_agg(a.range || b.range) FROM range(100000) a, range(100000) b",
    "SELECT sum(levenshtein(repeat('a', 100000), repeat('b', 100000))) FROM range(1000)",
    "SELECT printf('%999999999d', 1)",
    "SELECT regexp_matches(repeat('a', 10000000), '(a*)*b') FROM range(1000)",
    "SELECT count(*) FROM images WHERE " + " OR ".join(f"width = {n}" for n in range(20_000)),
    "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
    "PIVOT (FROM range(1000000)) ON range IN (" + ", ".join(map(str, range(200_000))) + ") USING count(*)",
    "PIVOT (FROM range(1000000)) ON range USING count(*)",
)
