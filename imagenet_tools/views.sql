-- The macros that a query may use over the tables of an index; the tables themselves stand in schema.py.
-- A synset may be given as a wnid, a name such as dog.n.01, or a lemma that one sense alone can mean here.

-- How a term is spelled in the table terms: wnids and names as they are, lemmas with spaces, all in lower case.
CREATE MACRO _term(text) AS
    CASE WHEN regexp_full_match(lower(text), 'n\d{8}|.+\.n\.\d+') THEN replace(lower(text), ' ', '_')
         ELSE replace(lower(text), '_', ' ') END;

-- synset(text): the wnid that a text names; an error, with the candidates, where nothing decides.
CREATE MACRO synset(text) AS coalesce(
    (SELECT max(CASE WHEN terms.wnid IS NULL
                     THEN error('''' || term || ''' names several synsets: ' || candidates || '. Use one of these names or wnids.')
                     ELSE terms.wnid END)
     FROM terms WHERE term = _term(text)),
    error('No synset is called ''' || coalesce(text, 'NULL') || '''. Expected a wnid (n02084071), a name (dog.n.01) or a lemma (dog).'));

-- under(text): the synset and everything below it, a table of wnid.
CREATE MACRO under(text) AS TABLE SELECT descendant AS wnid FROM closure WHERE ancestor = synset(text);

-- above(text): the synset and everything above it, a table of wnid.
CREATE MACRO above(text) AS TABLE SELECT ancestor AS wnid FROM closure WHERE descendant = synset(text);

-- is_a(wnid, text): whether a wnid is the synset or lies below it. A pair looked up in closure, not a set built for
-- each row: with a column as its second argument the set form spilled 30 GB.
CREATE MACRO is_a(wnid, text) AS (wnid, synset(text)) IN (SELECT (descendant, ancestor) FROM closure);

-- draw(hash32, seed): the number a photo draws, 0 to 4,294,967,295, the same here and in draw() of selection.py.
-- Two rounds of multiply-and-shift; the seed alone xor-ed in would only permute the order of the hashes.
CREATE MACRO _mix1(x) AS (xor(x, x >> 16) * 2246822507::UBIGINT) & 4294967295::UBIGINT;
CREATE MACRO _mix2(x) AS (xor(x, x >> 13) * 3266489909::UBIGINT) & 4294967295::UBIGINT;
CREATE MACRO _mix3(x) AS xor(_mix2(_mix1(x)), _mix2(_mix1(x)) >> 16);
CREATE MACRO draw(hash32, seed) AS
    _mix3(xor(hash32::UBIGINT, _mix3((seed::UBIGINT + 1::UBIGINT) & 4294967295::UBIGINT)));
