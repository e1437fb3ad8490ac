-- Puts a tick that leaves a trace in the place of the real one: these tests are about the worker alone.
BEGIN;
CREATE TABLE public.tick_log (pid int DEFAULT pg_backend_pid(), at timestamptz DEFAULT clock_timestamp());
CREATE TABLE public.tick_control (broken boolean, nap float8);
INSERT INTO public.tick_control VALUES (false, 0);
ALTER FUNCTION flagscope.tick(timestamptz) RENAME TO replaced_tick;
CREATE FUNCTION flagscope.tick(at timestamptz DEFAULT clock_timestamp()) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pg_sleep(nap) FROM public.tick_control WHERE nap > 0;
  IF (SELECT broken FROM public.tick_control) THEN
    RAISE EXCEPTION 'broken on purpose';
  END IF;
  INSERT INTO public.tick_log DEFAULT VALUES;
END
$$;
ALTER EXTENSION flagscope ADD FUNCTION flagscope.tick(timestamptz);
COMMIT;
