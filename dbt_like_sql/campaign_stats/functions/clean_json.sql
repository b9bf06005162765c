-- purpose: makes JSON text that jsonb accepts: escapes that PostgreSQL cannot store become U+FFFD, or ? if the database is not in UTF-8
-- grain:   one text; invalid JSON stays invalid
-- reads:   nothing
-- writes:  nothing
-- locks:   none
--
-- JSON may contain U+0000 and halves of surrogate pairs, which PostgreSQL's text cannot hold. In a database that is not in UTF-8 the
-- same goes for every character that its encoding lacks: p_ascii replaces all escapes of non-ASCII characters. Bytes 1 and 2 are
-- placeholders for an escaped backslash and for a whole pair: valid JSON contains neither unescaped.
CREATE OR REPLACE FUNCTION headrace.clean_json(p_text text, p_ascii boolean) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT replace(replace(
        CASE WHEN p_ascii THEN regexp_replace(s.marked, E'(\\\\|\\x02)u(?!00[0-7])[0-9a-fA-F]{4}', '?', 'g') ELSE s.marked END,
        chr(2), E'\\'), chr(1), E'\\\\')
    FROM (
        SELECT regexp_replace(
            regexp_replace(
                replace(p_text, E'\\\\', chr(1)),
                E'\\\\(u[dD][89abAB][0-9a-fA-F]{2})\\\\(u[dD][c-fC-F][0-9a-fA-F]{2})', chr(2) || E'\\1' || chr(2) || E'\\2', 'g'),
            E'\\\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', CASE getdatabaseencoding() WHEN 'UTF8' THEN E'\\\\ufffd' ELSE '?' END, 'g') AS marked
    ) s
$$;
