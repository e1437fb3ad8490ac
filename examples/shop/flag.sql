-- What the demo's shop wants: a flag, the metrics that matter, the guardrails on them, and a rollout in five stages.

SELECT flagscope.create_flag('new-checkout', description => 'checkout through the new payment path');

-- A metric is a row that says how to read a number from telemetry.
SELECT flagscope.create_metric('checkout errors', kind => 'proportion', signal => 'span', event => '{"is_error": true}',
        filter => '{"service": "shop", "name": "POST /checkout"}', description => 'share of checkouts that fail'),
    flagscope.create_metric('checkout duration', kind => 'quantile', signal => 'span', unit => 's',
        filter => '{"service": "shop", "name": "POST /checkout"}', description => 'how long a checkout takes'),
    flagscope.create_metric('payment queue', kind => 'mean', signal => 'metric',
        filter => '{"service": "shop", "name": "payment.queue.depth"}', description => 'payments waiting');

-- A guardrail is a row, too. The first two compare the treatment with the control at the same time, by tests that stay
-- right however often the worker looks; the duration is tested at p50, p90, p95 and p99 at once.
SELECT flagscope.create_guardrail('new-checkout', 'checkout errors', name => 'errors', margin => 0.1,
        action => 'rollback'),
    flagscope.create_guardrail('new-checkout', 'checkout duration', name => 'duration', margin => 0.1,
        action => 'rollback'),
    flagscope.create_guardrail('new-checkout', 'payment queue', name => 'queue', limit_value => 40, action => 'hold',
        min_sample => 20, time_window => '5 seconds');

-- Stages of seconds, so that nobody waits; the default is ten minutes.
SELECT flagscope.create_rollout('new-checkout', treatment => 'on', control => 'off', stages => '{1, 5, 25, 50, 100}',
    min_duration => '4 seconds', min_sample => 20);

-- The flags of the recorded samples. Without them status() would say that their rows count for nobody.
SELECT flagscope.create_flag('theme', '{"blue": "#00f"}', 'blue', 'string'),
    flagscope.create_flag('limits', '{"std": {"max": 10}}', 'std', 'object'),
    flagscope.create_flag('retired', '{"true": true}', 'true');
