-- The deciding node's side of a cluster: which ingest nodes there are, and their raw telemetry as one table.

CREATE FUNCTION _flagscope.foreign_statements(node text, conninfo text) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY[
        'CREATE SCHEMA IF NOT EXISTS flagscope_cluster',
        'CREATE TABLE IF NOT EXISTS flagscope_cluster.telemetry (node text NOT NULL, LIKE flagscope.telemetry) '
            'PARTITION BY LIST (node)',
        format('CREATE SERVER %I FOREIGN DATA WRAPPER postgres_fdw OPTIONS (%s)', 'flagscope_' || node, (
            SELECT string_agg(format('%I %L', o.keyword, o.value), ', ' ORDER BY o.keyword)
            FROM (SELECT * FROM _flagscope.option_of(conninfo)
                UNION ALL VALUES ('extensions', 'flagscope'), ('fetch_size', '10000'), ('async_capable', 'true')) o
            WHERE o.keyword NOT IN ('user', 'password', 'client_encoding', 'application_name'))),
        format('CREATE USER MAPPING FOR CURRENT_USER SERVER %I OPTIONS (%s)', 'flagscope_' || node, (
            SELECT coalesce(string_agg(format('%I %L', o.keyword, o.value), ', ' ORDER BY o.keyword), '')
            FROM _flagscope.option_of(conninfo) o WHERE o.keyword IN ('user', 'password'))),
        format('CREATE FOREIGN TABLE flagscope_cluster.%I PARTITION OF flagscope_cluster.telemetry FOR VALUES IN (%L) '
            'SERVER %I OPTIONS (schema_name ''_flagscope'', table_name ''node_telemetry'')', 'telemetry_' || node, node,
            'flagscope_' || node)]
    WHERE EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'postgres_fdw')
        AND NOT EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = 'flagscope_' || node);
$$;
COMMENT ON FUNCTION _flagscope.foreign_statements(text, text) IS
    'statements that make the raw telemetry of a node part of flagscope_cluster.telemetry; NULL: it is, or '
    'postgres_fdw is not there. Aggregates with GROUP BY node are computed by the nodes '
    '(enable_partitionwise_aggregate)';

CREATE FUNCTION _flagscope.require_addable(name text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM flagscope.node n WHERE n.name = require_addable.name AND n.role = 'decide') THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object', HINT = 'Choose another name.',
            MESSAGE = _flagscope.message('"%s" is the deciding node itself', name);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'postgres_fdw') THEN
        RAISE NOTICE USING HINT = 'CREATE EXTENSION postgres_fdw, and call add_node() again.',
            MESSAGE = 'raw telemetry of the nodes cannot be read here: there is no extension postgres_fdw';
    END IF;
END $$;
COMMENT ON FUNCTION _flagscope.require_addable(text) IS
    'raises if a node of that name cannot be an ingest node; tells what is missing otherwise';

CREATE FUNCTION flagscope.add_node(name text, node text, anew boolean DEFAULT false, dry_run boolean DEFAULT false)
RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known flagscope.node := (SELECT n FROM flagscope.node n WHERE n.name = add_node.name);
    slot name := _flagscope.slot_name(name, 'configuration', coalesce(known.configuration_slot, 1));
    is_lost boolean := NOT _flagscope.has_slot(slot);
    renewed flagscope.node := known;
BEGIN
    PERFORM _flagscope.require_node(name), _flagscope.require_conninfo(node, format('the node "%s"', name)),
        _flagscope.require_role('{decide}', 'Call add_node() on the deciding node; create_cluster() makes one.'),
        _flagscope.require_addable(name);
    renewed.configuration_slot := coalesce(known.configuration_slot + is_lost::integer, 1);
    renewed.delta_slot := coalesce(known.delta_slot + anew::integer, 1);
    renewed.received := coalesce((SELECT pg_replication_origin_progress('pg_' || s.oid, true) FROM pg_subscription s
        WHERE s.subname = 'flagscope_' || name AND anew), known.received);
    RETURN QUERY SELECT * FROM _flagscope.run_statements(ARRAY[
        CASE WHEN is_lost THEN _flagscope.create_slot_statement(
            _flagscope.slot_name(name, 'configuration', renewed.configuration_slot)) END,
        CASE WHEN known.name IS NULL THEN
                format('INSERT INTO flagscope.node (name, role) VALUES (%L, ''ingest'')', name)
            WHEN anew OR is_lost THEN format('UPDATE flagscope.node SET configuration_slot = %s, delta_slot = %s, '
                'received = %L WHERE name = %L', renewed.configuration_slot, renewed.delta_slot, renewed.received,
                name) END,
        CASE WHEN known.name IS NOT NULL AND is_lost THEN format('SELECT _flagscope.drop_slot(%L)', slot) END]
        || _flagscope.subscription_statements('flagscope_' || name, node, 'flagscope_delta',
            _flagscope.slot_name(name, 'delta', renewed.delta_slot), 'true')
        || _flagscope.foreign_statements(name, node), dry_run);
    IF known.name IS NOT NULL AND (anew OR is_lost) THEN
        RETURN NEXT format('-- then on the node "%s": SELECT * FROM flagscope.join_cluster(%L, ..., '
            'configuration_slot => %s, delta_slot => %s, received => %L)', name, name, renewed.configuration_slot,
            renewed.delta_slot, renewed.received);
    END IF;
END $$;
COMMENT ON FUNCTION flagscope.add_node(text, text, boolean, boolean) IS
    'on the deciding node: takes in what an ingest node counts, which has called join_cluster(); node: how to '
    'connect to it, as keywords and values. Called again it does what is missing, for example on a standby that was '
    'promoted. anew: the node has lost WAL that was not received (status()), what it has kept is copied; then call '
    'join_cluster() there as the last row says. Returns the statements that it runs; dry_run: that it would run';

CREATE FUNCTION _flagscope.forget_node(name text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM flagscope.node n WHERE n.name = forget_node.name;
    DELETE FROM _flagscope.node_state s WHERE s.node = forget_node.name;
    DELETE FROM _flagscope.node_report r WHERE r.node = forget_node.name;
$$;
COMMENT ON FUNCTION _flagscope.forget_node(text) IS
    'of the deciding node: an ingest node is no longer part of the cluster';

CREATE FUNCTION _flagscope.forget_cluster() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET session_replication_role = 'replica'
AS $$
DECLARE
    was_copied boolean := _flagscope.is_ingest_node();
BEGIN
    UPDATE _flagscope.this_node SET role = 'alone', name = '', delta_slot = 1, is_sending = false, join_xid = NULL;
    IF was_copied THEN
        -- The configuration is the cluster's: with it this database would go on judging what others judge. That its
        -- flags are gone is a change after all that came.
        PERFORM setval('_flagscope.flag_version_seq', greatest(1, max(abs(c.version)))) FROM _flagscope.flag_change c;
        PERFORM _flagscope.forget_older_configuration(pg_current_xact_id());
        INSERT INTO flagscope.setting (name, value, description, builtin)
        SELECT d.name, d.value, d.description, true FROM _flagscope.setting_default d;
        INSERT INTO flagscope.environment_definition (key, aliases, description, builtin)
        VALUES ('production', '{prod}', 'what customers see', true);
    END IF;
    DELETE FROM flagscope.node;
    DELETE FROM _flagscope.node_state;
    DELETE FROM _flagscope.node_report;
    DELETE FROM _flagscope.delta_mark;
    DELETE FROM _flagscope.kept_delta;
    DELETE FROM _flagscope.history_delta;
END $$;
COMMENT ON FUNCTION _flagscope.forget_cluster() IS
    'this database works alone again; of an ingest node its telemetry stays';

CREATE FUNCTION _flagscope.remove_statements(node text) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(_flagscope.drop_subscription_statements('flagscope_' || n.name), '{}')
        || CASE WHEN EXISTS (SELECT FROM pg_foreign_server s WHERE s.srvname = 'flagscope_' || n.name) THEN
            ARRAY[format('DROP SERVER %I CASCADE', 'flagscope_' || n.name)] ELSE '{}' END
        || format('SELECT _flagscope.drop_slot(%L)',
            _flagscope.slot_name(n.name, 'configuration', n.configuration_slot))
        || format('SELECT _flagscope.forget_node(%L)', n.name)
    FROM flagscope.node n WHERE n.name = node AND n.role = 'ingest';
$$;
COMMENT ON FUNCTION _flagscope.remove_statements(text) IS 'statements that remove an ingest node on the deciding node';

CREATE FUNCTION flagscope.leave_cluster(node text DEFAULT NULL, dry_run boolean DEFAULT false) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statements text[] := '{}';
    member text;
BEGIN
    PERFORM _flagscope.require_role('{ingest,decide}', 'There is nothing to leave.');
    IF _flagscope.is_ingest_node() THEN
        statements := coalesce(_flagscope.drop_subscription_statements('flagscope_configuration'), '{}')
            || '{DROP PUBLICATION IF EXISTS flagscope_delta}'::text[]
            || format('SELECT _flagscope.drop_slot(%L)', _flagscope.delta_slot())
            || '{SELECT _flagscope.forget_cluster()}'::text[];
    ELSE
        FOR member IN SELECT n.name FROM flagscope.node n
            WHERE n.role = 'ingest' AND n.name = coalesce(leave_cluster.node, n.name) ORDER BY n.name
        LOOP
            statements := statements || _flagscope.remove_statements(member);
        END LOOP;
        IF leave_cluster.node IS NULL THEN
            statements := statements || '{DROP PUBLICATION IF EXISTS flagscope_configuration,
                SELECT _flagscope.forget_cluster()}'::text[];
        ELSIF statements = '{}' THEN
            RAISE EXCEPTION USING ERRCODE = 'undefined_object',
                MESSAGE = _flagscope.message('there is no ingest node "%s"', node),
                HINT = _flagscope.message('Ingest nodes: %s.', coalesce(_flagscope.ingest_nodes(), 'none'));
        END IF;
    END IF;
    RETURN QUERY SELECT * FROM _flagscope.run_statements(statements, dry_run);
END $$;
COMMENT ON FUNCTION flagscope.leave_cluster(text, boolean) IS
    'on an ingest node: it works alone again, without the cluster''s configuration and with its telemetry. On the '
    'deciding node: removes an ingest node, or without a name all, and ends the cluster. Call it on the ingest node '
    'first. Returns the statements that it runs; dry_run: that it would run';
