-- Restoring a dump: rows are restored unchanged, in any order,
-- and nothing is judged before the configuration is complete.
--
-- pg_restore -j loads the tables of an extension in any order, each in a transaction of its own; a single process loads
-- them by name, reordered only by foreign keys. So neither foreign keys nor checks that read other tables can hold
-- during a restore, and need not: the rows passed them in their original database. A statement of a restore therefore
-- runs as on a replica (session_replication_role), which only a superuser may set.
--
-- A restore is recognised by settings at the beginning of every dump by pg_dump, in every format and every process of
-- pg_restore -j: an empty search_path (checked by the triggers in sql/dump.sql; inside of our functions it is another
-- one) and check_function_bodies = off; and by its role, because CREATE EXTENSION needs a superuser.

CREATE FUNCTION _flagscope.begin_restore() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('check_function_bodies')::boolean OR NOT current_setting('is_superuser')::boolean THEN
        RETURN NULL;
    END IF;
    -- If there are live rollouts already, rows are added to a database in use, and judging continues.
    IF (EXISTS (SELECT FROM _flagscope.restore) OR NOT EXISTS (SELECT FROM flagscope.rollout)) AND NOT EXISTS (
        SELECT FROM _flagscope.restore r WHERE r.part = TG_TABLE_NAME AND r.pid = pg_backend_pid()) THEN
        INSERT INTO _flagscope.restore (part, pid, backend_start)
        SELECT TG_TABLE_NAME, a.pid, a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid();
    END IF;
    PERFORM set_config('session_replication_role', 'replica', true);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.begin_restore() IS
    'trigger: for a statement of a dump, turns off foreign keys and ordinary triggers, and notes the restore';

CREATE FUNCTION _flagscope.end_restore() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT current_setting('check_function_bodies')::boolean AND current_setting('is_superuser')::boolean THEN
        PERFORM set_config('session_replication_role', 'origin', true);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.end_restore() IS
    'trigger: ends what begin_restore() began; a failing statement undoes it by itself';

CREATE FUNCTION _flagscope.give_way() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE TG_TABLE_NAME
        WHEN 'setting' THEN DELETE FROM flagscope.setting s WHERE s.name = NEW.name AND s.builtin;
        WHEN 'environment_definition' THEN
        DELETE FROM flagscope.environment_definition e WHERE e.key = NEW.key AND e.builtin;
        ELSE DELETE FROM _flagscope.removal h WHERE h.what = NEW.what;
    END CASE;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.give_way() IS
    'trigger of a restore: deletes the row as shipped, or of an early tick, in favour of the dump''s row';

CREATE FUNCTION _flagscope.expect_rows() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO _flagscope.restore (part, digit, pid, backend_start)
    SELECT NEW.part, NEW.digit, a.pid, a.backend_start FROM pg_stat_activity a WHERE a.pid = pg_backend_pid();
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.expect_rows() IS
    'trigger: turns the manifest of a dump into rows of restore; table manifest itself has all digits already';

CREATE FUNCTION _flagscope.configured() RETURNS TABLE (part text, n bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'setting', count(*) FROM flagscope.setting s WHERE NOT s.builtin
    UNION ALL SELECT 'environment_definition', count(*) FROM flagscope.environment_definition e WHERE NOT e.builtin
    UNION ALL SELECT 'flag_definition', count(*) FROM flagscope.flag_definition
    UNION ALL SELECT 'segment', count(*) FROM flagscope.segment
    UNION ALL SELECT 'flag_state', count(*) FROM flagscope.flag_state
    UNION ALL SELECT 'rollout', count(*) FROM flagscope.rollout
    UNION ALL SELECT 'rollout_stage', count(*) FROM flagscope.rollout_stage
    UNION ALL SELECT 'change_freeze', count(*) FROM flagscope.change_freeze
    UNION ALL SELECT 'metric_definition', count(*) FROM flagscope.metric_definition
    UNION ALL SELECT 'guardrail_policy', count(*) FROM flagscope.guardrail_policy
    UNION ALL SELECT 'guardrail', count(*) FROM flagscope.guardrail
    UNION ALL SELECT 'guardrail_status', count(*) FROM flagscope.guardrail_status;
$$;
COMMENT ON FUNCTION _flagscope.configured() IS
    'number of rows of the configuration tables, counted as for the manifest of a dump (sql/dump.sql)';

CREATE FUNCTION _flagscope.restore_problem() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN NOT EXISTS (SELECT FROM _flagscope.restore) THEN NULL
        WHEN u.pid IS NOT NULL THEN format(
            'a restore is under way, by process %s since %s; nothing is judged before that session has ended',
            u.pid, _flagscope.utc(u.backend_start))
        WHEN NOT EXISTS (SELECT FROM _flagscope.restore r WHERE r.part <> 'extension') THEN
            -- pg_restore -j has a pause between the session that creates the tables and those that fill them.
            (SELECT 'the extension was made by a restore, whose rows are still to come; without any, ticks begin a '
                'minute later'
             FROM _flagscope.restore r HAVING max(r.at) > clock_timestamp() - interval '1 minute')
        WHEN NOT EXISTS (SELECT FROM _flagscope.restore r WHERE r.part = 'end') THEN
            'a restore broke off before it told what belongs to it; restore the rest, or call finish_restore() to '
            'judge with what is there'
        ELSE (SELECT format('a restore is incomplete: %s; restore the rest, or call finish_restore() to judge '
                'with what is there',
                string_agg(format('%s has %s of %s rows', c.part, c.n, w.n), ', ' ORDER BY c.part))
            FROM (SELECT r.part, sum(1::bigint << r.digit) AS n
                  FROM (SELECT DISTINCT x.part, x.digit FROM _flagscope.restore x WHERE x.digit IS NOT NULL) r
                  GROUP BY r.part) w JOIN _flagscope.configured() c ON c.part = w.part AND c.n < w.n
            HAVING count(*) > 0) END
    FROM (SELECT 1) one LEFT JOIN LATERAL (SELECT a.pid, a.backend_start FROM _flagscope.restore r
        JOIN pg_stat_activity a ON a.pid = r.pid AND a.backend_start = r.backend_start
        WHERE a.pid <> pg_backend_pid() LIMIT 1) u ON true;
$$;
COMMENT ON FUNCTION _flagscope.restore_problem() IS
    'why nothing is judged since a restore, and what to do; NULL: no restore, or its configuration is complete';

CREATE FUNCTION flagscope.finish_restore() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text := _flagscope.restore_problem();
BEGIN
    -- What triggers would have done for each row.
    INSERT INTO _flagscope.watch (flag, environment, metric)
    SELECT DISTINCT g.flag, g.environment, g.metric
    FROM flagscope.guardrail g JOIN flagscope.metric_definition m ON m.name = g.metric
    WHERE g.enabled AND NOT _flagscope.is_polled(m)
    ON CONFLICT DO NOTHING;
    DELETE FROM _flagscope.restore;
    RETURN problem;
END $$;
COMMENT ON FUNCTION flagscope.finish_restore() IS
    'ends an incomplete restore: from now on the database is judged with the configuration that is there; returns what '
    'is missing. A complete restore ends by itself';

CREATE FUNCTION _flagscope.may_judge() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text;
BEGIN
    IF EXISTS (SELECT FROM _flagscope.restore) THEN
        problem := _flagscope.restore_problem();
        IF problem IS NOT NULL THEN
            RAISE NOTICE USING MESSAGE = _flagscope.message('nothing is judged: %s', problem);
            RETURN false;
        END IF;
        PERFORM flagscope.finish_restore();
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION _flagscope.may_judge() IS 'part of tick(): false while the database is being restored';

CREATE FUNCTION _flagscope.require_no_restore() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM _flagscope.restore) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_in_use',
            MESSAGE = 'a restore began during this tick, which is undone',
            HINT = 'Ticks continue once the configuration is complete; SELECT * FROM flagscope.status() shows what is '
                'missing.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_no_restore() IS
    'end of tick(): raises if a restore began after may_judge(), '
    'because a rollout may have been judged without its guardrails';
