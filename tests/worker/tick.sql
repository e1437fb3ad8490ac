-- Puts a tick that leaves a trace in the place of the real one: these tests are about the worker alone.
BEGIN;
CREATE TABLE public.tick_log (pid int DEFAULT pg_backend_pid(), at timestamptz DEFAULT clock_timestamp());
CREATE TABLE public.tick_control (broken boolean, nap float8);
INSERT INTO public.tick_control VALUES (false, 0);
-- Or else maintenance, which this tick does not do, would be due for ever.
UPDATE _flagscope.tick_state SET last_maintain_at = 'infinity';
ALTER FUNCTION flagscope.tick(timestamptz) RENAME TO replaced_tick;
CREATE FUNCTION flagscope.tick(at timestamptz DEFAULT clock_timestamp()) RETURNS flagscope.tick_result
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  result flagscope.tick_result;
BEGIN
  PERFORM pg_sleep(nap) FROM public.tick_control WHERE nap > 0;
  IF (SELECT broken FROM public.tick_control) THEN
    RAISE EXCEPTION 'broken on purpose';
  END IF;
  DELETE FROM _flagscope.alert; -- as a tick does that goes through: what is told and not over is looked at again soon
  INSERT INTO public.tick_log DEFAULT VALUES;
  result.decisions := 0;
  RETURN result;
END
$$;
ALTER EXTENSION flagscope ADD FUNCTION flagscope.tick(timestamptz);
COMMIT;
