"""The questions that are asked of an index, each in the SQL that every engine here understands."""

# What each answers is one row or a table; `dogs` is a table of the wnids at or below dog.n.01, where is_a is not known.
OURS = {
    "dogs": "SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01')",
    "several": """SELECT count(*) FROM images WHERE is_a(wnid, 'dog.n.01') OR is_a(wnid, 'cat.n.01')
                    OR is_a(wnid, 'bird.n.01')""",
    "parameter": "SELECT count(*) FROM images WHERE is_a(wnid, $synset)",
    "classes": "SELECT wnid, count(*), avg(width) FROM images GROUP BY wnid",
    "inclusive": """SELECT ancestor, sum(n) FROM closure JOIN (
                        SELECT wnid AS descendant, count(*) AS n FROM images GROUP BY wnid)
                    USING (descendant) GROUP BY ancestor""",
}
PARAMETERS = {"parameter": {"synset": "dog.n.01"}}
# For other engines: the synsets whose descendants are in their table `dogs`.
SYNSETS = {"dogs": ("dog.n.01",), "several": ("dog.n.01", "cat.n.01", "bird.n.01"), "parameter": ("dog.n.01",)}
PLAIN = OURS | dict.fromkeys(SYNSETS, "SELECT count(*) FROM images WHERE wnid IN (SELECT wnid FROM dogs)")
