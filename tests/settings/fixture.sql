-- What every database of the matrix begins with: flags, metrics and rules with numbers and intervals that suffer from
-- being read as text; and a decoy of functions and operators that only a pinned search_path keeps away.
CREATE EXTENSION flagscope;
CREATE SCHEMA decoy;
CREATE FUNCTION decoy.upper(text) RETURNS text LANGUAGE sql AS $$ SELECT 'decoy' $$;
CREATE FUNCTION decoy.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '1970-01-01 00:00+00' $$;
SELECT flagscope.create_environment('staging');
SELECT flagscope.create_flag('shop', tags => '{web}'),
    flagscope.create_flag('price', '{"a": 0.1, "b": 1234.5678901234567}', 'a', 'number');
SELECT flagscope.set_targeting('price', '{"if": [{"ends_with": [{"var": "email"}, "@x.example"]}, "b", null]}');
SELECT flagscope.create_metric('errors', 'proportion', 'span', '{"name": "pay"}', '{"is_error": true}'),
    flagscope.create_metric('seconds', 'quantile', 'span', '{"name": "pay"}'),
    flagscope.create_metric('amount', 'mean', 'event', '{"name": "sale"}', cap => 1234.5678901234567),
    flagscope.create_metric('late', 'mean', 'event', '{"name": "sale"}', cap => 1000,
        conversion_window => '36 hours 15 minutes'),
    flagscope.create_query_metric('orders', 'mean',
        'SELECT s AS subject, t AS ts, v AS value FROM (VALUES (''u1'', $1, 0.1::float8)) x(s, t, v)', cap => 10);
SELECT flagscope.create_guardrail('shop', 'errors', margin => 0.1234567890123456),
    flagscope.create_guardrail('shop', 'seconds', margin => 0.333333333333333),
    flagscope.create_guardrail('shop', 'amount', name => 'sales', min_sample => 10),
    flagscope.create_guardrail('shop', 'amount', name => 'sold', limit_value => 0.30000000000000004,
        test => 'threshold', time_window => '90 seconds', action => 'warn'),
    flagscope.create_guardrail('shop', 'late'), flagscope.create_guardrail('shop', 'orders');
UPDATE flagscope.guardrail SET grace = '1 hour 30 minutes', stale_after = '2 days 3 hours' WHERE name = 'sales';
SELECT flagscope.create_change_freeze('nights', weekdays => '{7}', from_time => '01:00', to_time => '02:00',
    time_zone => 'Asia/Kolkata');
SELECT flagscope.create_rollout('shop', stages => '{50, 100}', min_duration => '10 minutes',
    cooldown => '1 day 2 hours', follow_up => '3 hours');
SELECT flagscope.set_setting('query.timeout', '"1 hour"');  -- that a loaded machine counts no metric a tick later
