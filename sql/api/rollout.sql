-- Rollouts: legal transitions of their status, drafting, and checks of their plan.

CREATE FUNCTION _flagscope.legal_transition(from_status flagscope.rollout_status, to_status flagscope.rollout_status)
RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT (from_status, to_status) IN (
        ('draft', 'running'),
        ('running', 'running'), ('running', 'paused'), ('running', 'held'), ('running', 'rolled_back'),
        ('running', 'completed'),
        ('paused', 'paused'), ('paused', 'running'), ('paused', 'rolled_back'), ('paused', 'completed'),
        ('held', 'held'), ('held', 'running'), ('held', 'paused'), ('held', 'rolled_back'), ('held', 'completed'),
        ('completed', 'rolled_back'));
END;
COMMENT ON FUNCTION _flagscope.legal_transition(flagscope.rollout_status, flagscope.rollout_status) IS
    'may a rollout go from one status to the other; rolled_back is final: a retry is a new rollout';

CREATE FUNCTION _flagscope.check_rollout() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'draft' THEN
            RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = _flagscope.message('a new rollout is a draft, not %s', NEW.status),
                HINT = 'Start it with flagscope.start_rollout(id).';
        END IF;
        PERFORM _flagscope.check_rollout_variants(NEW.flag, NEW.environment, ARRAY[NEW.treatment, NEW.control]);
        IF NEW.restart_of IS NOT NULL THEN
            PERFORM _flagscope.require_rollout(NEW.restart_of);
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.flag, NEW.environment) IS DISTINCT FROM (OLD.id, OLD.flag, OLD.environment)
       OR (OLD.status <> 'draft'
           AND (NEW.treatment, NEW.control, NEW.alpha, NEW.exclusion_group, NEW.follow_up, NEW.holdback, NEW.cooldown)
           IS DISTINCT FROM (OLD.treatment, OLD.control, OLD.alpha, OLD.exclusion_group, OLD.follow_up, OLD.holdback,
               OLD.cooldown)) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('flag and environment of rollout %s never change; variants, alpha, '
                'exclusion group, follow-up, holdback and cooldown are fixed once it has started', OLD.id),
            HINT = 'Roll it back and create another one.';
    END IF;
    IF NEW.status IS DISTINCT FROM OLD.status AND NOT _flagscope.legal_transition(OLD.status, NEW.status) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('rollout %s cannot go from %s to %s', OLD.id, OLD.status, NEW.status);
    END IF;
    IF (NEW.treatment, NEW.control) IS DISTINCT FROM (OLD.treatment, OLD.control) THEN
        PERFORM _flagscope.check_rollout_variants(NEW.flag, NEW.environment, ARRAY[NEW.treatment, NEW.control]);
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION _flagscope.check_rollout() IS
    'trigger: the variants exist, transitions are legal, and what is rolled out does not change after the start';
-- Defaults are those of create_rollout().
ALTER TABLE flagscope.rollout ALTER COLUMN alpha SET DEFAULT _flagscope.setting_number('rollout.alpha'::text),
    ALTER COLUMN follow_up SET DEFAULT _flagscope.setting_interval('rollout.follow_up'::text);
ALTER TABLE flagscope.rollout_stage
    ALTER COLUMN min_duration SET DEFAULT _flagscope.setting_interval('rollout.min_duration'::text);
CREATE TRIGGER check_rollout BEFORE INSERT OR UPDATE ON flagscope.rollout
    FOR EACH ROW EXECUTE FUNCTION _flagscope.check_rollout();

CREATE FUNCTION _flagscope.check_rollout_gone() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- It may be deleted together with its flag.
    IF EXISTS (SELECT FROM flagscope.flag_state s JOIN flagscope.flag_definition f ON f.key = s.flag
        WHERE s.rollout_id = OLD.id) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('rollout %s of flag "%s" is live', OLD.id, OLD.flag),
            HINT = _flagscope.message('End it first: SELECT flagscope.rollback_rollout(%s), or complete_rollout(%s).',
                OLD.id, OLD.id);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION _flagscope.check_rollout_gone() IS 'trigger: a live rollout cannot be deleted';
CREATE CONSTRAINT TRIGGER check_rollout_gone AFTER DELETE ON flagscope.rollout
    DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION _flagscope.check_rollout_gone();

CREATE FUNCTION _flagscope.check_stages(stages numeric[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    previous numeric := 0;
    stage numeric;
BEGIN
    IF coalesce(cardinality(stages), 0) = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a rollout needs at least one stage',
            HINT = 'Write them like ARRAY[1, 5, 25, 50, 100].';
    END IF;
    FOREACH stage IN ARRAY stages LOOP
        IF stage IS NULL OR stage = 'NaN' OR stage <= 0 OR stage > 100 THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = _flagscope.message('a stage must serve more than 0 and at most 100 percent, got "%s"',
                    coalesce(stage::text, 'NULL')),
                HINT = '5 % is 5.';
        END IF;
        IF stage <= previous OR stage <> round(stage, 3) THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = _flagscope.message('stages must grow and have at most three decimals, got "%s" after "%s"',
                    stage, previous),
                HINT = 'Write them like ARRAY[1, 5, 25, 50, 100].';
        END IF;
        previous := stage;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.check_stages(numeric[]) IS
    'raises unless percents increase within (0, 100] and have at most three decimals';

CREATE FUNCTION _flagscope.check_approval_stages(stages integer[], last integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong text := (SELECT coalesce(s::text, 'NULL')
        FROM unnest(stages) s WHERE NOT coalesce(s BETWEEN 1 AND last, false) LIMIT 1);
BEGIN
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('approval_stages are numbers of stages from 1 to %s, got "%s"', last, wrong),
            HINT = 'The first stage is 1: ''{1,3}'' wants an approval before the ramp leaves stage 1 and stage 3.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_approval_stages(integer[], integer) IS
    'raises unless these are numbers of stages of the plan';

CREATE FUNCTION _flagscope.with_holdback(stages numeric[], holdback numeric) RETURNS numeric[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- NULLs and stages out of order are found by check_stages().
RETURN ARRAY(SELECT s FROM unnest(stages) WITH ORDINALITY x(s, i)
    WHERE i < cardinality(stages) OR coalesce(s < 100 - holdback, true) ORDER BY i) || (100 - holdback);
COMMENT ON FUNCTION _flagscope.with_holdback(numeric[], numeric) IS
    'stages that end with everybody but a holdback: the last one is cut to that, or one more is added';

CREATE FUNCTION flagscope.create_rollout(
    flag text, treatment text DEFAULT 'on', control text DEFAULT 'off', environment text DEFAULT NULL,
    stages numeric[] DEFAULT NULL, min_duration interval DEFAULT NULL, min_sample bigint DEFAULT 0,
    approval boolean DEFAULT false, approval_stages integer[] DEFAULT '{}', alpha float8 DEFAULT NULL,
    exclusion_group text DEFAULT NULL, follow_up interval DEFAULT NULL, cooldown interval DEFAULT NULL,
    max_duration interval DEFAULT NULL, advance_when text DEFAULT 'power', holdback numeric DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    detail text;
    hint text;
    env text;
    steps numeric[] := coalesce(stages, (SELECT array_agg(x::numeric)
        FROM jsonb_array_elements_text(_flagscope.setting_text('rollout.stages')::jsonb) x));
    follows interval := coalesce(follow_up, _flagscope.setting_interval('rollout.follow_up'));
    new_id bigint;
BEGIN
    IF cardinality(steps) > 0 AND holdback BETWEEN 0.001 AND 50 THEN  -- what is not is refused by the row's constraint
        steps := _flagscope.with_holdback(steps, holdback);
    END IF;
    PERFORM _flagscope.check_stages(steps), _flagscope.check_approval_stages(approval_stages, cardinality(steps));
    env := _flagscope.environment(environment);
    -- The row's trigger checks this, too; here it is checked before the sequence is advanced.
    PERFORM _flagscope.check_rollout_variants(flag, env, ARRAY[treatment, control]);
    INSERT INTO flagscope.rollout (flag, environment, treatment, control, alpha, exclusion_group, follow_up, cooldown,
        holdback)
    VALUES (create_rollout.flag, env, create_rollout.treatment, create_rollout.control,
            coalesce(create_rollout.alpha, _flagscope.setting_number('rollout.alpha')), create_rollout.exclusion_group,
            follows, create_rollout.cooldown, create_rollout.holdback)
    RETURNING id INTO new_id;
    INSERT INTO flagscope.rollout_stage (rollout_id, ordinal, percent, min_duration, max_duration, min_sample,
        advance_when, approval_needed)
    SELECT new_id, s.ordinal, s.percent,
        coalesce(create_rollout.min_duration, _flagscope.setting_interval('rollout.min_duration')) + x.longer,
        create_rollout.max_duration + x.longer, create_rollout.min_sample, create_rollout.advance_when,
        create_rollout.approval OR s.ordinal = ANY (create_rollout.approval_stages)
    FROM unnest(steps) WITH ORDINALITY s(percent, ordinal) CROSS JOIN LATERAL (SELECT CASE
            WHEN create_rollout.holdback IS NOT NULL AND s.ordinal = cardinality(steps) THEN follows
            ELSE interval '0' END AS longer) x;
    RETURN new_id;
EXCEPTION WHEN unique_violation THEN
    PERFORM _flagscope.raise_for_caller('55000',
        _flagscope.message('flag "%s" has a live rollout in environment "%s" already', flag, env), NULL,
        'Complete it or roll it back first; a draft can be deleted.');
WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    PERFORM _flagscope.raise_for_caller(SQLSTATE, SQLERRM, detail, hint);
    RAISE;
END $$;
COMMENT ON FUNCTION flagscope.create_rollout(text, text, text, text, numeric[], interval, bigint, boolean, integer[],
    float8, text, interval, interval, interval, text, numeric) IS
    'drafts a rollout of a treatment in increasing stages (percent); a person has to approve the stages numbered in '
    'approval_stages, or all of them with approval; holdback: percent that keep the control in the last stage, which '
    'lasts follow_up longer; NULL takes the settings rollout.*; returns its id';

CREATE FUNCTION _flagscope.check_rollout_variants(flag text, environment text, names text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    variants jsonb;
    archived_at timestamptz;
    wrong text;
BEGIN
    SELECT coalesce(s.variants, f.variants), f.archived_at INTO variants, archived_at
    FROM flagscope.flag_definition f JOIN flagscope.flag_state s ON s.flag = f.key
    WHERE f.key = check_rollout_variants.flag AND s.environment = check_rollout_variants.environment;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('flag "%s" does not exist in environment "%s"', flag, environment),
            HINT = _flagscope.names_hint(flag, ARRAY(SELECT s.flag FROM flagscope.flag_state s
                WHERE s.environment = check_rollout_variants.environment),
                'Create it with flagscope.create_flag(key).');
    END IF;
    IF archived_at IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('flag "%s" is archived', flag),
            HINT = 'SELECT flagscope.unarchive_flag(key) restores it.';
    END IF;
    SELECT n INTO wrong FROM unnest(names) n WHERE n IS NULL OR NOT variants ? n LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = _flagscope.message('flag "%s" has no variant "%s"', flag, coalesce(wrong, 'NULL')),
            HINT = _flagscope.message('Its variants are: %s.',
                (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(variants) k));
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_rollout_variants(text, text, text[]) IS
    'raises unless the flag exists in the environment and has the variants';

CREATE FUNCTION _flagscope.check_stage_plan(rollout_id bigint) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ordinals integer[];
    percents numeric[];
    holdback numeric := (SELECT r.holdback FROM flagscope.rollout r WHERE r.id = check_stage_plan.rollout_id);
BEGIN
    SELECT array_agg(s.ordinal ORDER BY s.ordinal), array_agg(s.percent ORDER BY s.ordinal) INTO ordinals, percents
    FROM flagscope.rollout_stage s WHERE s.rollout_id = check_stage_plan.rollout_id;
    PERFORM _flagscope.check_stages(percents);
    IF ordinals <> ARRAY(SELECT generate_series(1, cardinality(ordinals))) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('stages of rollout %s must be numbered from 1 without gaps, got "%s"',
                rollout_id, ordinals);
    ELSIF percents[cardinality(percents)] > 100 - holdback THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('the last stage of rollout %s serves %s %%, its holdback leaves %s %%',
                rollout_id, trim_scale(percents[cardinality(percents)]), trim_scale(100 - holdback)),
            HINT = 'UPDATE flagscope.rollout_stage SET percent = ... while it is a draft, paused or held.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.check_stage_plan(bigint) IS
    'raises unless a rollout''s stages are numbered from 1 without gaps, their percents increase, and the last one '
    'leaves the holdback';

CREATE FUNCTION _flagscope.refuse_stage_edit(r flagscope.rollout, ordinal integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = _flagscope.message('stage %s of rollout %s cannot be edited: the rollout is %s at stage %s', ordinal,
            r.id, r.status, r.stage),
        HINT = CASE
            WHEN r.status = 'running' THEN
                format('Later stages can be edited while it is paused: flagscope.pause_rollout(%s).', r.id)
            WHEN r.status IN ('paused', 'held') THEN 'Later stages can be edited now.'
            ELSE 'It is over; create another rollout.' END;
END $$;
COMMENT ON FUNCTION _flagscope.refuse_stage_edit(flagscope.rollout, integer) IS
    'raises: stages of a running rollout cannot be edited';

CREATE FUNCTION _flagscope.may_edit_stage(r flagscope.rollout, ordinal integer) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT r.id IS NULL OR r.status = 'draft' OR (r.status IN ('paused', 'held') AND ordinal > r.stage);
END;
COMMENT ON FUNCTION _flagscope.may_edit_stage(flagscope.rollout, integer) IS
    'which stages may be edited: all of a draft, later ones of a paused or held rollout, none of a running one';

CREATE FUNCTION _flagscope.lock_stages() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r flagscope.rollout;
BEGIN
    SELECT * INTO r
    FROM flagscope.rollout x WHERE x.id = CASE TG_OP WHEN 'INSERT' THEN NEW.rollout_id ELSE OLD.rollout_id END;
    IF TG_OP = 'INSERT' THEN
        IF NOT _flagscope.may_edit_stage(r, NEW.ordinal) THEN
            PERFORM _flagscope.refuse_stage_edit(r, NEW.ordinal);
        END IF;
        RETURN NEW;
    ELSIF TG_OP = 'UPDATE'
        AND (to_jsonb(NEW) - '{approved_by,approved_at}'::text[])
            = (to_jsonb(OLD) - '{approved_by,approved_at}'::text[]) THEN
        RETURN NEW;  -- an approval
    END IF;
    IF NOT _flagscope.may_edit_stage(r, OLD.ordinal)
       OR (TG_OP = 'UPDATE'
           AND (NEW.rollout_id <> OLD.rollout_id OR NOT _flagscope.may_edit_stage(r, NEW.ordinal))) THEN
        PERFORM _flagscope.refuse_stage_edit(r, OLD.ordinal);
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
COMMENT ON FUNCTION _flagscope.lock_stages() IS
    'trigger: stages of a running rollout cannot be changed, added or removed';
CREATE TRIGGER lock_stages BEFORE INSERT OR UPDATE OR DELETE ON flagscope.rollout_stage
    FOR EACH ROW EXECUTE FUNCTION _flagscope.lock_stages();
