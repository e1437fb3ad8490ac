-- What somebody who may create objects in the schema would do: beside every function of the extension, ones that fit a
-- call better than it does unless every argument is given, with its very type. Each tells when it is called from inside
-- the extension, and answers like the original to whoever else calls it.
CREATE FUNCTION pg_temp.plant(f pg_proc, types oid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    modes "char"[] := coalesce(f.proargmodes, array_fill('i'::"char", ARRAY[f.pronargs::integer]));
    every oid[] := coalesce(f.proallargtypes, f.proargtypes::oid[]);
    given text;
    called text;
    outs text;
    result text;
    answer text;
BEGIN
    SELECT string_agg(format('%s %s', quote_ident(coalesce(nullif(names.n, ''), 'p' || i)), format_type(t, NULL)),
        ', ' ORDER BY i)
    INTO given FROM unnest(types) WITH ORDINALITY u(t, i), LATERAL (SELECT (SELECT f.proargnames[x.j] FROM (
        SELECT j, row_number() OVER (ORDER BY j) AS r
        FROM unnest(modes) WITH ORDINALITY m(mode, j) WHERE mode IN ('i', 'b', 'v')) x
        WHERE x.r = u.i)) names(n);
    SELECT string_agg(CASE WHEN i <= cardinality(types) THEN format('$%s::%s', i, format_type(t, NULL))
        ELSE format('(%s)::%s', pg_get_function_arg_default(f.oid, i::integer), format_type(t, NULL)) END,
        ', ' ORDER BY i)
    INTO called FROM unnest(f.proargtypes::oid[]) WITH ORDINALITY u(t, i);
    SELECT string_agg(format('%I %s', coalesce(nullif(f.proargnames[i], ''), 'o' || i), format_type(every[i], NULL)),
        ', ' ORDER BY i)
    INTO outs FROM unnest(modes) WITH ORDINALITY m(mode, i) WHERE mode IN ('o', 't');
    called := format('%s.%I(%s)', f.pronamespace::regnamespace, f.proname, called);
    result := CASE WHEN outs IS NOT NULL AND f.proretset THEN format('TABLE (%s)', outs)
        WHEN outs IS NOT NULL THEN NULL WHEN f.proretset THEN 'SETOF ' || format_type(f.prorettype, NULL)
        ELSE format_type(f.prorettype, NULL) END;
    answer := CASE WHEN f.proretset THEN 'RETURN QUERY SELECT * FROM ' || called
        WHEN outs IS NOT NULL THEN
            format('SELECT x.* INTO got FROM %s x%s', called,
                (SELECT string_agg(format('; %1$I := got.%1$I', f.proargnames[i]), '' ORDER BY i)
                    FROM unnest(modes) WITH ORDINALITY m(mode, i) WHERE mode IN ('o', 't')))
        WHEN f.prorettype = 'void'::regtype THEN 'PERFORM ' || called ELSE 'RETURN ' || called END;
    EXECUTE format('CREATE FUNCTION %s.%I(%s%s) %s LANGUAGE plpgsql %s AS %L',
        f.pronamespace::regnamespace, f.proname, given,
        CASE WHEN result IS NULL THEN
            concat(CASE WHEN given <> '' THEN ', ' END, 'OUT ', replace(outs, ', ', ', OUT ')) END,
        'RETURNS ' || result, CASE f.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
        format('#variable_conflict use_column
DECLARE place text; got record;
BEGIN
    GET DIAGNOSTICS place = PG_CONTEXT;
    place := substr(place, strpos(place || chr(10), chr(10)) + 1);
    IF place ~ ''function (_?flagscope\.|")'' OR (place <> '''' AND place !~ ''function'') THEN
        PERFORM nextval(''public.hijacked''::regclass),
            set_config(''regress.hijacked'', current_setting(''regress.hijacked'', true) || %1$L || '' in ''
                || split_part(place, chr(10), CASE WHEN place ~ ''^SQL (statement|expression)'' THEN 2 ELSE 1 END)
                || chr(10), false);
        RAISE LOG ''hijacked: %% in %%'', %1$L, place;
    END IF;
    %2$s;
END', format('%I(%s)', f.proname,
            (SELECT string_agg(format_type(t, NULL), ', ' ORDER BY i) FROM unnest(types) WITH ORDINALITY u(t, i))),
            answer));
EXCEPTION WHEN duplicate_function OR invalid_function_definition THEN NULL;
END $$;
-- Beside an aggregate: a function, which is called instead of it where it fits better.
CREATE FUNCTION pg_temp.plant_beside(f pg_proc, types oid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE FUNCTION %s.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L',
        f.pronamespace::regnamespace, f.proname,
        (SELECT string_agg(format_type(t, NULL), ', ' ORDER BY i) FROM unnest(types) WITH ORDINALITY u(t, i)),
        format_type(f.prorettype, NULL), format('BEGIN RAISE EXCEPTION ''hijacked: %s''; END', f.proname));
EXCEPTION WHEN duplicate_function OR invalid_function_definition OR wrong_object_type THEN NULL;
END $$;
CREATE FUNCTION pg_temp.plant_all() RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    f pg_proc;
    n integer;
    i integer;
    other regtype;
    types oid[];
BEGIN
    FOR f IN SELECT p.* FROM pg_proc p
        WHERE p.pronamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace) AND p.prokind = 'f'
            AND p.provariadic = 0 AND p.prorettype NOT IN ('trigger'::regtype, 'internal'::regtype, 'cstring'::regtype)
            AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) t JOIN pg_type y ON y.oid = t WHERE y.typtype = 'p')
    LOOP
        types := f.proargtypes::oid[];
        FOR n IN f.pronargs - f.pronargdefaults .. f.pronargs LOOP
            -- A call that leaves arguments out is ambiguous beside one that has none: those of people stay possible.
            CONTINUE WHEN n < f.pronargs AND f.pronamespace = 'flagscope'::regnamespace;
            IF n < f.pronargs THEN
                PERFORM pg_temp.plant(f,
                    (SELECT coalesce(array_agg(t ORDER BY o), '{}')
                        FROM unnest(types) WITH ORDINALITY u(t, o) WHERE o <= n));
            END IF;
            -- What a literal without a type, or one of a narrower type, would rather be.
            IF n > 0 THEN
                PERFORM pg_temp.plant(f, (SELECT array_agg('text'::regtype::oid) FROM generate_series(1, n)));
            END IF;
            FOR i IN 1 .. n LOOP
                FOREACH other IN ARRAY CASE types[i]::regtype::text
                    WHEN 'text' THEN '{name,character varying}' WHEN 'bigint' THEN '{text,integer,smallint}'
                    WHEN 'integer' THEN '{text,smallint,bigint}'
                    WHEN 'numeric' THEN '{text,integer,bigint,double precision}'
                    WHEN 'double precision' THEN '{text,integer,bigint,numeric,real}'
                    WHEN 'timestamp with time zone' THEN '{text,date,timestamp}' WHEN 'jsonb' THEN '{text,json}'
                    ELSE '{text}' END::regtype[]
                LOOP
                    PERFORM pg_temp.plant(f, (SELECT array_agg(CASE WHEN o = i THEN other::oid ELSE t END ORDER BY o)
                        FROM unnest(types) WITH ORDINALITY u(t, o) WHERE o <= n));
                END LOOP;
            END LOOP;
        END LOOP;
    END LOOP;
    FOR f IN SELECT p.* FROM pg_proc p
        WHERE p.pronamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace) AND p.prokind = 'a'
            AND p.provariadic = 0
            AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) t JOIN pg_type y ON y.oid = t WHERE y.typtype = 'p')
    LOOP
        types := f.proargtypes::oid[];
        FOR i IN 1 .. f.pronargs LOOP
            FOREACH other IN ARRAY '{text,integer,bigint,numeric,real,double precision,jsonb}'::regtype[] LOOP
                PERFORM pg_temp.plant_beside(f,
                    (SELECT array_agg(CASE WHEN o = i THEN other::oid ELSE t END ORDER BY o)
                        FROM unnest(types) WITH ORDINALITY u(t, o)));
            END LOOP;
        END LOOP;
    END LOOP;
    RETURN (SELECT count(*)
        FROM pg_proc p WHERE p.pronamespace IN ('flagscope'::regnamespace, '_flagscope'::regnamespace)
        AND NOT EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'));
END $$;
