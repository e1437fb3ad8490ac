-- Sets up a cluster and takes it down: publications, subscriptions and foreign tables, by PostgreSQL's own statements.
-- These are DDL, so they are built from strings; each function returns the ones it runs, and with dry_run runs none.
--
-- Each node makes what is its own: the replication slot that another one reads is made by the node that has the WAL. So
-- no node needs to run statements on another, and CREATE SUBSCRIPTION, which could not make a slot in a function, need
-- not. Credentials are in the connection strings that the caller gives, and from there in PostgreSQL's catalogs alone.

CREATE FUNCTION _flagscope.run_statements(statements text[], dry_run boolean) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statement text;
BEGIN
    FOREACH statement IN ARRAY array_remove(statements, NULL) LOOP
        IF NOT dry_run THEN
            EXECUTE statement;
        END IF;
        RETURN NEXT statement;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.run_statements(text[], boolean) IS 'runs statements in their order, and returns them';

CREATE FUNCTION _flagscope.drop_slot(slot name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    until timestamptz := clock_timestamp() + interval '10 seconds';
BEGIN
    -- Whoever reads by it is no longer wanted.
    LOOP
        BEGIN
            PERFORM pg_terminate_backend(s.active_pid) FROM pg_replication_slots s
            WHERE s.slot_name = slot AND s.active_pid IS NOT NULL;
            PERFORM pg_drop_replication_slot(s.slot_name) FROM pg_replication_slots s WHERE s.slot_name = slot;
            RETURN;
        EXCEPTION WHEN object_in_use THEN
            IF clock_timestamp() > until THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(0.01);
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION _flagscope.drop_slot(name) IS 'drops a replication slot, if there is one, and ends who reads by it';

CREATE FUNCTION _flagscope.has_slot(slot name) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT EXISTS (SELECT FROM pg_replication_slots s WHERE s.slot_name = slot AND s.wal_status <> 'lost') $$;
COMMENT ON FUNCTION _flagscope.has_slot(name) IS 'is there such a replication slot, with all of its WAL';

CREATE FUNCTION _flagscope.create_slot_statement(slot name) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
-- From 17 on standbys may keep it (sync_replication_slots), so that it survives a failover.
RETURN format(CASE WHEN current_setting('server_version_num')::integer >= 170000
    THEN 'SELECT pg_create_logical_replication_slot(%L, %L, false, false, true)'
    ELSE 'SELECT pg_create_logical_replication_slot(%L, %L)' END, slot, 'pgoutput');
COMMENT ON FUNCTION _flagscope.create_slot_statement(name) IS 'the statement that makes a replication slot';

CREATE FUNCTION _flagscope.require_node(name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF name IS NULL OR name !~ '^[a-z][a-z0-9_]{0,29}$' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = _flagscope.message('the name of a node must be 1 to 30 lower case letters, digits or '
                'underscores, and begin with a letter, got "%s"', coalesce(name, 'NULL')),
            HINT = 'For example eu_1.';
    END IF;
    IF current_setting('wal_level') <> 'logical' THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('a node of a cluster needs wal_level "logical", this server has "%s"',
                current_setting('wal_level')),
            HINT = 'ALTER SYSTEM SET wal_level = logical, then restart the server.';
    END IF;
    IF NOT current_setting('is_superuser')::boolean THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = 'only a superuser can make a database part of a cluster',
            HINT = 'Publications, subscriptions and replication slots are made.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_node(text) IS 'raises unless this database can be a node of that name';

CREATE FUNCTION _flagscope.require_role(wanted flagscope.node_role[], instead text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT _flagscope.node_role() = ANY (wanted) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', HINT = instead,
            MESSAGE = (SELECT CASE t.role WHEN 'alone' THEN 'this database is not part of a cluster'
                WHEN 'ingest' THEN _flagscope.message('this is the ingest node "%s"', t.name)
                ELSE _flagscope.message('this is the deciding node "%s"', t.name) END FROM _flagscope.this_node t);
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_role(flagscope.node_role[], text) IS
    'raises unless this database has one of these parts; instead: a hint';

CREATE FUNCTION _flagscope.option_of(conninfo text) RETURNS TABLE (keyword text, value text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m[1], coalesce(regexp_replace(m[2], '\\(.)', '\1', 'g'), m[3])
    FROM regexp_matches(conninfo, '([a-z_]+)\s*=\s*(?:''((?:[^''\\]|\\.)*)''|(\S+))', 'g') m;
$$;
COMMENT ON FUNCTION _flagscope.option_of(text) IS 'the parts of a connection string of keywords and values';

CREATE FUNCTION _flagscope.require_conninfo(conninfo text, node text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF conninfo IS NULL OR NOT EXISTS (SELECT FROM _flagscope.option_of(conninfo) o
            WHERE o.keyword IN ('dbname', 'service'))
        OR conninfo ~ '^\s*postgres(ql)?://' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            -- Not the string itself: it may have a password.
            MESSAGE = _flagscope.message('the connection to %s must be of keywords and values, with a dbname', node),
            HINT = 'For example host=db1.example dbname=shop user=flagscope_node passfile=/etc/flagscope/passwords.';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_conninfo(text, text) IS 'raises unless a connection string can be taken apart';

CREATE FUNCTION _flagscope.subscription_statements(subscription text, conninfo text, publication text, slot name,
    is_binary text)
RETURNS text[]
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN s.subslotname = slot THEN array_remove(ARRAY[
            CASE WHEN s.subconninfo <> conninfo THEN
                format('ALTER SUBSCRIPTION %I CONNECTION %L', subscription, conninfo) END,
            CASE WHEN s.subsynccommit <> waits THEN
                format('ALTER SUBSCRIPTION %I SET (synchronous_commit = %s)', subscription, waits) END], NULL)
        ELSE CASE WHEN s.subname IS NOT NULL THEN _flagscope.drop_subscription_statements(subscription) ELSE '{}' END
            -- In three steps, since from 17 on the first one would ask for the slot, which may be still to come.
            || ARRAY[format('CREATE SUBSCRIPTION %I CONNECTION %L PUBLICATION %I WITH (enabled = false, create_slot = '
                    'false, slot_name = NONE, binary = %s, streaming = off, synchronous_commit = %s)', subscription,
                    conninfo, publication, is_binary, waits),
                format('ALTER SUBSCRIPTION %I SET (slot_name = %L)', subscription, slot),
                format('ALTER SUBSCRIPTION %I ENABLE', subscription)] END
    FROM (SELECT) one LEFT JOIN pg_subscription s ON s.subname = subscription
            AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()),
        -- What is confirmed is forgotten elsewhere: a standby that may take over must have it, too.
        LATERAL (SELECT CASE WHEN current_setting('synchronous_standby_names') = '' THEN 'off' ELSE 'on' END) w(waits);
$$;
COMMENT ON FUNCTION _flagscope.subscription_statements(text, text, text, name, text) IS
    'statements after which there is a subscription by this slot and connection; none: there is';

CREATE FUNCTION _flagscope.drop_subscription_statements(subscription text) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- Without its slot, which another server has and which may be gone.
    SELECT ARRAY[format('ALTER SUBSCRIPTION %I DISABLE', s.subname),
        format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', s.subname), format('DROP SUBSCRIPTION %I', s.subname)]
    FROM pg_subscription s WHERE s.subname = subscription
        AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
$$;
COMMENT ON FUNCTION _flagscope.drop_subscription_statements(text) IS
    'statements that drop a subscription; NULL: there is none';

CREATE FUNCTION _flagscope.publication_statement(publication name) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE publication WHEN 'flagscope_configuration' THEN
        'CREATE PUBLICATION flagscope_configuration FOR TABLE flagscope.setting, flagscope.environment_definition, '
        'flagscope.environment_history, flagscope.flag_definition, flagscope.segment, flagscope.flag_state, '
        'flagscope.flag_state_history, _flagscope.flag_change (environment, flag, version), '
        'flagscope.metric_definition, flagscope.guardrail_policy, flagscope.guardrail, flagscope.change_freeze, '
        'flagscope.rollout, flagscope.rollout_stage, flagscope.decision, flagscope.node WITH (publish = ''insert, '
        'update, delete'')'
    ELSE
        -- That a delta is part of the rollups of its own node is no matter of the others.
        'CREATE PUBLICATION flagscope_delta FOR TABLE '
        || (SELECT string_agg(format('ONLY _flagscope.%s (flag, environment, variant, metric, bucket, n, events, '
                'moments, histogram, last_ts, first_ts, instance)', c.relname), ', ' ORDER BY c.relname)
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = '_flagscope.variant_delta'::regclass)
        || ', ONLY _flagscope.subject_delta, ONLY _flagscope.history_delta, ONLY _flagscope.node_report (node, '
        'delta_slot, at, last_delta_at, wal_kept, wal_left) WITH (publish = ''insert'')' END
    WHERE NOT EXISTS (SELECT FROM pg_publication p WHERE p.pubname = publication);
$$;
COMMENT ON FUNCTION _flagscope.publication_statement(name) IS
    'the statement that makes a publication of the configuration or of deltas; NULL: there is one';

CREATE FUNCTION flagscope.create_cluster(name text, dry_run boolean DEFAULT false) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unseen text;
BEGIN
    PERFORM _flagscope.require_node(name),
        _flagscope.require_role('{alone,decide}', 'Call leave_cluster() before.');
    SELECT string_agg(format('"%s"', m.name), ', ' ORDER BY m.name) INTO unseen FROM flagscope.metric_definition m
    WHERE (m.conversion_window IS NOT NULL OR m.per_unit)
        AND EXISTS (SELECT FROM flagscope.guardrail g WHERE g.metric = m.name AND g.enabled);
    IF unseen IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = _flagscope.message('metrics with a conversion_window or per_unit are counted from raw rows, '
                'which would be on other nodes: %s', unseen),
            HINT = 'Disable their guardrails before.';
    END IF;
    RETURN QUERY SELECT * FROM _flagscope.run_statements(ARRAY[
        (SELECT format('UPDATE _flagscope.this_node SET role = ''decide'', name = %L', create_cluster.name)
            FROM _flagscope.this_node t WHERE (t.role, t.name) IS DISTINCT FROM ('decide', create_cluster.name)),
        (SELECT format('INSERT INTO flagscope.node (name, role) VALUES (%L, ''decide'')', create_cluster.name)
            WHERE NOT EXISTS (SELECT FROM flagscope.node n WHERE n.name = create_cluster.name)),
        _flagscope.publication_statement('flagscope_configuration')], dry_run);
END $$;
COMMENT ON FUNCTION flagscope.create_cluster(text, boolean) IS
    'makes this database the deciding node of a cluster, under this name: ingest nodes take in telemetry and '
    'evaluate flags, it has the configuration and decides; then join_cluster() on each of them, and add_node() here. '
    'Returns the statements that it runs; dry_run: that it would run';

CREATE FUNCTION _flagscope.require_joinable(name text, number integer) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this _flagscope.this_node := (SELECT t FROM _flagscope.this_node t);
    slot name := _flagscope.slot_name(name, 'delta', number);
BEGIN
    IF this.role = 'alone' AND EXISTS (SELECT FROM flagscope.rollout r
        WHERE r.status IN ('running', 'paused', 'held')) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'this database has live rollouts of its own, which nobody would judge any more',
            HINT = 'End them before: the configuration of an ingest node is a copy of the deciding node''s.';
    ELSIF this.role = 'ingest' AND this.name <> require_joinable.name THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('this is the ingest node "%s", it cannot join as "%s"', this.name, name),
            HINT = 'Call leave_cluster() before.';
    ELSIF this.role = 'ingest' AND this.delta_slot = number AND NOT _flagscope.has_slot(slot) THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = _flagscope.message('replication slot "%s" of this node is gone or has lost WAL', slot),
            HINT = _flagscope.message('Call add_node(''%s'', ..., anew => true) on %s first: it tells what to call '
                'here.', name, _flagscope.deciding_node());
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_joinable(text, integer) IS
    'raises unless this database can be the ingest node of that name and send by the slot of that number';

CREATE FUNCTION flagscope.join_cluster(name text, deciding_node text, dry_run boolean DEFAULT false,
    configuration_slot integer DEFAULT NULL, delta_slot integer DEFAULT NULL, received pg_lsn DEFAULT NULL)
RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this _flagscope.this_node := (SELECT t FROM _flagscope.this_node t);
    known flagscope.node := (SELECT n FROM flagscope.node n WHERE n.name = join_cluster.name);
    deltas integer := coalesce(join_cluster.delta_slot, known.delta_slot, 1);
    slot name := _flagscope.slot_name(join_cluster.name, 'delta', deltas);
    old_slot name := _flagscope.slot_name(this.name, 'delta', this.delta_slot);
    subscription text[] := _flagscope.subscription_statements('flagscope_configuration', deciding_node,
        'flagscope_configuration', _flagscope.slot_name(join_cluster.name, 'configuration',
            coalesce(join_cluster.configuration_slot, known.configuration_slot, 1)), 'false');
BEGIN
    PERFORM _flagscope.require_node(name), _flagscope.require_conninfo(deciding_node, 'the deciding node'::text),
        _flagscope.require_role('{alone,ingest}', 'Only an ingest node joins; call join_cluster() on one.'),
        _flagscope.require_joinable(name, deltas);
    RETURN QUERY SELECT * FROM _flagscope.run_statements(ARRAY[
        -- First: a transaction that has written can make no slot.
        CASE WHEN NOT _flagscope.has_slot(slot) THEN _flagscope.create_slot_statement(slot) END,
        CASE WHEN (this.role, this.name, this.delta_slot) IS DISTINCT FROM ('ingest', join_cluster.name, deltas) THEN
            format('UPDATE _flagscope.this_node SET role = ''ingest'', name = %L, delta_slot = %s', name, deltas) END]
        || (SELECT ARRAY[p, 'UPDATE _flagscope.this_node SET is_sending = false']
            FROM _flagscope.publication_statement('flagscope_delta') p WHERE p IS NOT NULL)
        || CASE WHEN this.role = 'ingest' AND this.delta_slot <> deltas THEN ARRAY[
            format('SELECT _flagscope.send_again(%L, %L)', coalesce(join_cluster.received, known.received), old_slot),
            format('SELECT _flagscope.drop_slot(%L)', old_slot)] END
        || CASE WHEN array_to_string(subscription, ';') ~ 'CREATE SUBSCRIPTION' THEN
            'UPDATE _flagscope.this_node SET join_xid = pg_current_xact_id()'::text END || subscription, dry_run);
END $$;
COMMENT ON FUNCTION flagscope.join_cluster(text, text, boolean, integer, integer, pg_lsn) IS
    'makes this database an ingest node, under this name: what it counts goes to the deciding node, whose '
    'configuration replaces what is here; deciding_node: how to connect to that one, as keywords and values. Called '
    'again it does what is missing; the numbers of the slots and the position in the WAL are those that add_node() '
    'tells, which this node knows by itself as long as configuration comes. Returns the statements that it runs; '
    'dry_run: that it would run';
