-- Asks the cases of operators.py, from :'cases', and compares with what both cores answer,
-- from :'python' and :'javascript'.
CREATE EXTENSION flagscope;
CREATE TABLE asked AS
SELECT (c ->> 'number')::integer AS number, c -> 'rule' AS rule, c -> 'context' AS context,
    ARRAY(SELECT jsonb_array_elements_text(c -> 'parts')::integer) AS parts, p::jsonb AS python, j::jsonb AS javascript
FROM ROWS FROM (string_to_table(pg_read_file(:'cases'), E'\n'), string_to_table(pg_read_file(:'python'), E'\n'),
        string_to_table(pg_read_file(:'javascript'), E'\n')) l(line, p, j),
    LATERAL (SELECT line::jsonb) x(c)
WHERE line <> '';
-- Errors agree whatever they say.
CREATE TABLE agreed AS
SELECT number, rule, context, parts, CASE WHEN python ? 'error' THEN '{"error": true}' ELSE python END AS answer
FROM asked WHERE python = javascript OR (python ? 'error' AND javascript ? 'error');
CREATE UNIQUE INDEX ON agreed (number);
-- Where the cores differ in a part, they may agree on the whole by chance.
DELETE FROM agreed a
WHERE EXISTS (SELECT FROM unnest(a.parts) p WHERE NOT EXISTS (SELECT FROM agreed b WHERE b.number = p));
CREATE TABLE rule AS SELECT row_number() OVER () AS id, rule FROM (SELECT DISTINCT rule FROM agreed) r;
SELECT count(flagscope.create_flag('rule-' || id)::text) FROM rule;
-- As an import does: these rules give what the operators answer, which is no variant's name.
SET flagscope.importing = on;
UPDATE flagscope.flag_state s SET targeting = r.rule FROM rule r WHERE s.flag = 'rule-' || r.id;
CREATE TABLE answered AS
SELECT a.*, x -> 'rule_result' AS ours, x ->> 'rule_error' AS problem
FROM agreed a JOIN rule r USING (rule), LATERAL flagscope.explain_evaluation('rule-' || r.id, NULL, a.context) x;
-- Floats are the same when they are the same float, however many digits they come with.
CREATE VIEW differing AS
SELECT * FROM answered WHERE CASE WHEN answer ? 'error' THEN problem IS NULL WHEN problem IS NOT NULL THEN true
    WHEN jsonb_typeof(ours) = 'number' AND jsonb_typeof(answer -> 'ok') = 'number' THEN
        ours::float8 <> (answer -> 'ok')::float8
    ELSE ours IS DISTINCT FROM answer -> 'ok' END;
