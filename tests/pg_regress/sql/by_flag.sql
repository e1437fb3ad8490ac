-- Rollouts by their flag's key, stages that want an approval, variants one by one.
DROP EXTENSION IF EXISTS flagscope;
CREATE EXTENSION flagscope;
\set SHOW_CONTEXT never
\set VERBOSITY terse
SELECT flagscope.create_environment('staging'), flagscope.create_flag('checkout'),
    flagscope.create_flag('theme', '{"blue": "#00f", "navy": "#008"}', 'blue', 'string');
-- A verb means the live rollout of the flag in the environment;
-- start a draft, restart the latest one that was rolled back.
SELECT flagscope.start_rollout('checkout');
SELECT flagscope.create_rollout('checkout', stages => '{10, 50, 100}', approval_stages => '{2}') AS production,
    flagscope.create_rollout('checkout', environment => 'staging', stages => '{100}') AS staging;
SELECT ordinal, percent, approval_needed FROM flagscope.rollout_stage WHERE rollout_id = 1 ORDER BY ordinal;
SELECT flagscope.create_rollout('theme', 'navy', 'blue', approval_stages => '{7}');
SELECT flagscope.create_rollout('theme', 'navy', 'blue', approval_stages => '{1,NULL}');
SELECT flagscope.pause_rollout('checkout');
SELECT flagscope.start_rollout('checkout', reason => 'release 7', actor => 'ann', at => '2040-01-02 12:00',
    override => true) AS decision;
SELECT flagscope.pause_rollout('checkout', 'staging');
SELECT flagscope.pause_rollout('checkout', reason => 'wait', actor => 'ann', at => '2040-01-02 12:01') AS decision;
SELECT flagscope.resume_rollout('checkout', reason => 'on', actor => 'ann', at => '2040-01-02 12:02') AS decision;
SELECT flagscope.advance_rollout('checkout', stage => 1, reason => 'well', actor => 'ann',
    at => '2040-01-02 12:03') AS decision;
SELECT flagscope.advance_rollout('checkout', stage => 1);
SELECT flagscope.approve_stage('checkout', stage => 2, reason => 'seen', actor => 'bob',
    at => '2040-01-02 12:04') AS decision;
SELECT approved_by FROM flagscope.rollout_stage WHERE rollout_id = 1 AND ordinal = 2;
SELECT flagscope.step_back_rollout('checkout', reason => 'slow', actor => 'ann', at => '2040-01-02 12:05') AS decision;
SELECT flagscope.rollback_rollout('checkout', reason => 'no', actor => 'ann', at => '2040-01-02 12:06') AS decision;
SELECT flagscope.rollback_rollout('checkout');
SELECT flagscope.restart_rollout('checkout', reason => 'again', actor => 'ann', override => true,
    at => '2040-01-02 12:07') AS new_rollout;
-- What advances from the last stage is recorded as what it is.
SELECT flagscope.start_rollout('checkout', 'staging', actor => 'ann', at => '2040-01-02 12:08',
    override => true, reason => 'unguarded') AS decision;
SELECT flagscope.advance_rollout('checkout', 'staging', reason => 'all of it', actor => 'ann',
    at => '2040-01-02 12:09') AS decision;
SELECT flagscope.complete_rollout('checkout', override => true, reason => 'all', actor => 'ann',
    at => '2040-01-02 12:10') AS decision;
SELECT id, rollout_id, environment, action, from_status, to_status, reason FROM flagscope.decision ORDER BY id;
-- Unknown flags and environments are told as everywhere.
SELECT flagscope.start_rollout('chekout');
SELECT flagscope.start_rollout('checkout', 'stagign');
-- A flag gets one more variant: everywhere, or in one environment that then has its own. Each change has a version.
SELECT flagscope.add_variant('theme', 'green', '"#0f0"')
    > (SELECT max(version) FROM flagscope.flag_state WHERE flag = 'theme') AS versioned;
SELECT flagscope.add_variant('theme', 'red', '"#f00"', 'staging')
    > (SELECT version FROM flagscope.flag_state WHERE flag = 'theme' AND environment = 'staging') AS versioned;
SELECT variants FROM flagscope.flag_definition WHERE key = 'theme';
SELECT environment, variants FROM flagscope.flag_state WHERE flag = 'theme' ORDER BY 1;
SELECT flagscope.set_default_variant('theme', 'red', 'staging') > 0 AS served;
SELECT environment, value
FROM unnest('{production,staging}'::text[]) environment, flagscope.evaluate('theme', 'u', environment => environment)
ORDER BY 1;
SELECT flagscope.add_variant('theme', 'green', '"#0f1"');
SELECT flagscope.add_variant('theme', 'odd', '7');
SELECT flagscope.add_variant('theme', NULL, '"x"');
SELECT flagscope.add_variant('them', 'x', '"x"');
-- Checks of definitions return rows, and never raise.
SELECT * FROM flagscope.check_filter('{"nmae": "pay"}');
SELECT * FROM flagscope.check_filter('{"name": "pay"}');
SELECT * FROM flagscope.check_per('{"signal": "spam"}');
SELECT path, is_error FROM flagscope.check_query('SELECT 1');
SELECT * FROM flagscope.check_query('SELECT ''u'' AS subject, 1.0 AS value WHERE $1 < $2');
SELECT * FROM flagscope.check_targeting('{"if": [true, "pink"]}', 'theme');
SELECT * FROM flagscope.check_export();
