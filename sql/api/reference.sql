-- References between configuration rows, checked with readable messages before the foreign keys, which remain decisive,
-- also among concurrent transactions.

CREATE FUNCTION _flagscope.check_references() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.environment IS NOT NULL
        AND NOT EXISTS (SELECT FROM flagscope.environment_definition e WHERE e.key = NEW.environment) THEN
        PERFORM _flagscope.unknown('environment', NEW.environment,
            ARRAY(SELECT e.key FROM flagscope.environment_definition e),
            'Create it with flagscope.create_environment(key).');
    END IF;
    IF TG_TABLE_NAME IN ('flag_state', 'guardrail', 'rollout') THEN
        IF NEW.flag IS NOT NULL AND NOT EXISTS (SELECT FROM flagscope.flag_definition f WHERE f.key = NEW.flag) THEN
            PERFORM _flagscope.unknown('flag', NEW.flag, _flagscope.flag_keys(),
                'Create it with flagscope.create_flag(key).');
        ELSIF TG_TABLE_NAME <> 'flag_state' AND NOT EXISTS (SELECT FROM flagscope.flag_state s
                WHERE s.flag = NEW.flag AND s.environment = NEW.environment) THEN
            PERFORM _flagscope.raise_for_caller('23503',
                _flagscope.message('flag "%s" has no state in environment "%s"', NEW.flag, NEW.environment), NULL,
                'INSERT INTO flagscope.flag_state (flag, environment) gives it one.');
        END IF;
    END IF;
    IF TG_TABLE_NAME = 'guardrail' THEN
        PERFORM _flagscope.require_metric(NEW.metric);
        IF NEW.policy_id IS NOT NULL
            AND NOT EXISTS (SELECT FROM flagscope.guardrail_policy p WHERE p.id = NEW.policy_id) THEN
            PERFORM _flagscope.raise_for_caller('42704', _flagscope.message('policy %s does not exist', NEW.policy_id),
                NULL, 'See SELECT id, name FROM flagscope.guardrail_policy.');
        END IF;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.check_references() IS
    'trigger: the flag, environment and metric that a row names exist; the error lists existing names';
CREATE TRIGGER check_existing BEFORE INSERT ON flagscope.flag_state
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_references();
CREATE TRIGGER check_existing BEFORE INSERT ON flagscope.rollout
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_references();
CREATE TRIGGER check_existing BEFORE INSERT OR UPDATE OF flag, environment, metric, policy_id ON flagscope.guardrail
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_references();
CREATE TRIGGER check_existing BEFORE INSERT OR UPDATE OF environment ON flagscope.guardrail_policy
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_references();
CREATE TRIGGER check_existing BEFORE INSERT OR UPDATE OF environment ON flagscope.change_freeze
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_references();

CREATE FUNCTION _flagscope.some_of(names text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN nullif(array_to_string(names[1:3], ', ') || CASE WHEN cardinality(names) > 3
    THEN format(' and %s more', cardinality(names) - 3) ELSE '' END, '');
COMMENT ON FUNCTION _flagscope.some_of(text[]) IS 'the first three names and how many more there are; NULL: none';

CREATE FUNCTION _flagscope.check_flag_gone() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone text := coalesce(to_jsonb(OLD) ->> 'flag', to_jsonb(OLD) ->> 'key');
    needed_by text := _flagscope.some_of(ARRAY(SELECT format('rollout %s (%s)', r.id, r.status) FROM flagscope.rollout r
        WHERE r.flag = gone AND r.environment = coalesce(to_jsonb(OLD) ->> 'environment', r.environment)
        ORDER BY r.id));
BEGIN
    IF needed_by IS NOT NULL THEN
        PERFORM _flagscope.raise_for_caller('23503',
            _flagscope.message('flag "%s" is needed by %s', gone, needed_by), NULL,
            format('SELECT flagscope.archive_flag(%1$L) retires it and keeps its history. '
                'DELETE FROM flagscope.rollout WHERE flag = %1$L first, to delete it for good.', gone));
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION _flagscope.check_flag_gone() IS
    'trigger: a flag, or its state in an environment, cannot be deleted while it has rollouts';
CREATE TRIGGER check_flag_gone BEFORE DELETE ON flagscope.flag_definition
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_flag_gone();
CREATE TRIGGER check_flag_gone BEFORE DELETE ON flagscope.flag_state
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_flag_gone();

CREATE FUNCTION _flagscope.check_metric_gone() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    needed_by text := _flagscope.some_of(ARRAY(SELECT format('guardrail "%s" of flag "%s"', g.name, g.flag)
        FROM flagscope.guardrail g WHERE g.metric = OLD.name ORDER BY g.id));
BEGIN
    IF needed_by IS NOT NULL THEN
        PERFORM _flagscope.raise_for_caller('23503',
            _flagscope.message('metric "%s" is needed by %s', OLD.name, needed_by), NULL,
            format('DELETE FROM flagscope.guardrail WHERE metric = %L first.', OLD.name));
    END IF;
    RETURN OLD;
END $$;
COMMENT ON FUNCTION _flagscope.check_metric_gone() IS 'trigger: a metric cannot be deleted while guardrails read it';
CREATE TRIGGER check_metric_gone BEFORE DELETE ON flagscope.metric_definition
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_metric_gone();

CREATE FUNCTION _flagscope.check_environment_gone() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    needed_by text := coalesce(
        _flagscope.some_of(ARRAY(SELECT format('the state of flag "%s"', s.flag) FROM flagscope.flag_state s
            WHERE s.environment = OLD.key ORDER BY s.flag)),
        _flagscope.some_of(ARRAY(SELECT format('policy "%s"', p.name) FROM flagscope.guardrail_policy p
            WHERE p.environment = OLD.key ORDER BY p.id)),
        _flagscope.some_of(ARRAY(SELECT format('freeze %s (%s)', z.id, z.name) FROM flagscope.change_freeze z
            WHERE z.environment = OLD.key ORDER BY z.id)));
BEGIN
    IF needed_by IS NOT NULL THEN
        PERFORM _flagscope.raise_for_caller('23503',
            _flagscope.message('environment "%s" is needed by %s', OLD.key, needed_by), NULL,
            CASE TG_OP WHEN 'UPDATE' THEN 'The key never changes; add another name with '
                'UPDATE flagscope.environment_definition SET aliases = ...'
                ELSE format(
                    'DELETE FROM flagscope.flag_state WHERE environment = %L first, then its policies and freezes.',
                    OLD.key) END);
    END IF;
    RETURN CASE TG_OP WHEN 'UPDATE' THEN NEW ELSE OLD END;
END $$;
COMMENT ON FUNCTION _flagscope.check_environment_gone() IS
    'trigger: an environment''s key never changes, and it cannot be deleted while it has flags, policies or freezes';
CREATE TRIGGER check_environment_gone BEFORE DELETE ON flagscope.environment_definition
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_environment_gone();
CREATE TRIGGER check_changed_key BEFORE UPDATE OF key ON flagscope.environment_definition
    FOR EACH ROW WHEN (NEW.key <> OLD.key) EXECUTE FUNCTION _flagscope.check_environment_gone();
