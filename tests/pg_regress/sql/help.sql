-- help(): a screen of topics, a screen for each, and all about a name; complete by the catalog.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SELECT flagscope.help();
SELECT flagscope.help('rollout');
SELECT flagscope.help('start_rollout');
SELECT flagscope.help('flagscope.rollout_stage');
SELECT flagscope.help('tick.budget');
SELECT flagscope.help('flagscope.min_interval');
-- As people write it.
SELECT DISTINCT (SELECT string_agg(h, '|') FROM flagscope.help(x) h)
    = (SELECT string_agg(h, '|') FROM flagscope.help('metric') h)
FROM unnest('{metrics,METRIC," Metric "}'::text[]) x;
SELECT count(*) FROM flagscope.help('flagscope.create_flag()');
SELECT flagscope.help('create_rolout');
SELECT flagscope.help('');
SELECT count(*) > 1 FROM flagscope.help(NULL);
\pset format aligned
\pset tuples_only off
-- Every function, table and view for people stands in one topic, and a topic fits into a window of 120 columns.
SELECT o.name, count(DISTINCT t.topic) AS topics
FROM _flagscope.help_objects() o
    LEFT JOIN (SELECT t.topic, n.pattern FROM _flagscope.help_topics() t, unnest(t.names) n(pattern)) t
    ON o.name ~ ('^' || replace(t.pattern, '*', '.*') || '$')
GROUP BY o.name, o.is_function HAVING count(DISTINCT t.topic) <> 1 ORDER BY 1;
SELECT t.topic, n.pattern FROM _flagscope.help_topics() t, unnest(t.names) n(pattern)
WHERE NOT EXISTS (SELECT FROM _flagscope.help_objects() o WHERE o.name ~ ('^' || replace(n.pattern, '*', '.*') || '$'));
SELECT t.topic, max(length(h)) AS widest, count(*) AS lines FROM _flagscope.help_topics() t, flagscope.help(t.topic) h
GROUP BY t.topic HAVING max(length(h)) > 120 OR count(*) > 40;
CREATE ROLE regress_help_reader;
SELECT flagscope.grant_reader('regress_help_reader');
SET ROLE regress_help_reader;
SELECT count(*) > 10 AS shown FROM flagscope.help('rollout');
RESET ROLE;
DROP OWNED BY regress_help_reader;
DROP ROLE regress_help_reader;
