-- Views and macros over the tables of an index. schema.py describes the tables.

CREATE VIEW synsets AS
    SELECT facts.*,
           coalesce(n_images, 0) AS n_images, coalesce(n_images_inclusive, 0) AS n_images_inclusive,
           coalesce(n_photos, 0) AS n_photos, coalesce(n_photos_inclusive, 0) AS n_photos_inclusive,
           coalesce(n_boxes, 0) AS n_boxes, coalesce(n_boxes_inclusive, 0) AS n_boxes_inclusive
    FROM main.synset_facts AS facts LEFT JOIN main.synset_counts AS counts USING (wnid);

-- A text means the only synset of that name, or the only one with images. terms.resolve has the same rule.
-- These are aggregates over the synsets of one text: the synset that it means, null for none, and all that it may mean.
CREATE MACRO _meant(wnid, n_images) AS
    CASE WHEN count(*) = 1 THEN min(wnid)
         WHEN count(*) FILTER (n_images > 0) = 1 THEN min(wnid) FILTER (n_images > 0) END;
CREATE MACRO _candidates(wnid, name, n_images) AS
    string_agg(name || ' (' || wnid || ', ' || main._counted(n_images) || ')', ', ' ORDER BY n_images DESC, wnid);

-- connection.py makes _sets._below, the images at or below each synset (without an index, ILSVRC2012's classes), and the
-- macro _counted, which says how many they are.
CREATE VIEW _sets._terms AS
    SELECT term AS _term, synset_terms.wnid AS _wnid, name AS _name, coalesce(n_below, 0) AS _n_images
    FROM main.synset_terms LEFT JOIN _sets._below USING (wnid);
CREATE VIEW terms AS
    SELECT _term AS term,
           count(*)::SMALLINT AS n,
           main._meant(_wnid, _n_images) AS wnid,
           CASE WHEN count(*) > 1 THEN main._candidates(_wnid, _name, _n_images) END AS candidates
    FROM _sets._terms GROUP BY _term;

-- A macro takes a synset as a wnid, a name such as dog.n.01, or a lemma of which one sense alone has images.
--
-- A macro's argument is inserted as text, and a column in it means the innermost table with a column of that name:
-- synset(wnid) would look up terms.wnid. Therefore the tables in these macros rename their columns to _names that no
-- query uses, and are named with their schema, which no WITH of a query can hide.

-- _term(text): a text as the table terms spells it, the same as wordnet.normalised. Lower case, one space between words;
-- in a name '_' for a space and a sense number of two digits (Toy Dog.n.1 is toy_dog.n.01), in a lemma a space for '_'.
CREATE MACRO _words(text) AS trim(regexp_replace(lower(text), '[\s\p{Z}\x0b\x1c-\x1f\x85]+', ' ', 'g'));
CREATE MACRO _term(text) AS
    CASE WHEN regexp_full_match(_words(text), '.+\.n\.\d+')
         THEN regexp_replace(regexp_replace(replace(_words(text), ' ', '_'),
                             '\.n\.0*(\d)$', '.n.0\1'), '\.n\.0+(\d\d+)$', '.n.\1')
         ELSE replace(_words(text), '_', ' ') END;

-- synset(text): the wnid that a text names, null for null. An error lists the candidates if several synsets remain.
-- It does not read the view terms: for a column, DuckDB would aggregate all terms, in 1.1 s instead of 0.02 s.
CREATE MACRO synset(text) AS CASE WHEN text IS NOT NULL THEN coalesce(
    (SELECT CASE WHEN count(*) > 0 THEN coalesce(main._meant(_wnid, _n_images),
                     error('''' || _term(text) || ''' names several synsets: ' || main._candidates(_wnid, _name, _n_images)
                           || '. Use one of these names or wnids.')) END
     FROM _sets._terms WHERE _term = _term(text)),
    error('No synset is called ''' || text || '''. Expected a wnid (n02084071), a name (dog.n.01) or a lemma (dog).')) END;

-- under(text): a table of wnid, the synset and everything below it; empty for null.
-- It is a join: a condition on closure would be evaluated for each row of closure if the argument is a column.
CREATE MACRO under(text) AS TABLE
    SELECT _below AS wnid
    FROM (SELECT _below
          FROM (SELECT synset(text) AS _synset) AS _given
          JOIN (SELECT ancestor AS _above, descendant AS _below FROM main.closure) AS _closure ON _above = _synset);

-- above(text): a table of wnid, the synset and everything above it; empty for null.
CREATE MACRO above(text) AS TABLE
    SELECT _above AS wnid
    FROM (SELECT _above
          FROM (SELECT synset(text) AS _synset) AS _given
          JOIN (SELECT ancestor AS _above, descendant AS _below FROM main.closure) AS _closure ON _below = _synset);

-- is_a(wnid, text): true if a wnid is the synset or below it; false if either is null. Each pair is looked up in
-- closure. A set of descendants built for each row would spill 30 GB if the second argument is a column.
CREATE MACRO is_a(wnid, text) AS (wnid, synset(text)) IN (SELECT (descendant, ancestor) FROM main.closure);

-- _is_a_value(wnid, text): the same for a text that is a value, with a set of the descendants of that synset.
-- connection.specialise_is_a replaces is_a by it. Without coalesce, IN becomes a join that holds all asked rows.
CREATE MACRO _is_a_value(wnid, text) AS coalesce(wnid IN (
    SELECT _below
    FROM (SELECT synset(text) AS _synset) AS _given
    JOIN (SELECT ancestor AS _above, descendant AS _below FROM main.closure) AS _closure ON _above = _synset), false);

-- draw(hash32, seed): the number of a photo in a draw, 0 to 4,294,967,295; the same as draws.draw for any integer seed.
-- Two rounds of multiply and shift: a seed that is only xor-ed in would permute the order of the hashes.
CREATE MACRO _mix1(x) AS (xor(x, x >> 16) * 2246822507::UBIGINT) & 4294967295::UBIGINT;
CREATE MACRO _mix2(x) AS (xor(x, x >> 13) * 3266489909::UBIGINT) & 4294967295::UBIGINT;
CREATE MACRO _mix3(x) AS xor(_mix2(_mix1(x)), _mix2(_mix1(x)) >> 16);
CREATE MACRO draw(hash32, seed) AS
    _mix3(xor(hash32::UBIGINT, _mix3(((seed::HUGEINT + 1) & 4294967295::HUGEINT)::UBIGINT)));
