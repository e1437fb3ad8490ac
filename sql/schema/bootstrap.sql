-- Shell types: the sketches' input and output functions name them before they exist (completed in sql/schema/sketch.sql).
CREATE TYPE flagscope.moments;
CREATE TYPE flagscope.histogram;
CREATE TYPE flagscope.tdigest;
CREATE TYPE flagscope.ratio;
