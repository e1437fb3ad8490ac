"""What SQLAlchemy's automap makes of the schema, without a word of configuration; tests/reflection/run compares."""

import os
import warnings

from sqlalchemy import create_engine, select
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session, configure_mappers

# DATABASE, HOST and PORT as for psql.
engine = create_engine(
    "postgresql+psycopg2://",
    connect_args={name: os.environ[f"PG{name.upper()}"] for name in ("host", "port", "user", "password")}
    | {"dbname": os.environ["PGDATABASE"]},
)
# It knows no types but PostgreSQL's own; of anything else it may not complain.
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "Did not recognize type '(_?flagscope.(moments|histogram|stratum)|pg_lsn|xid8)'")
base = automap_base()
base.prepare(autoload_with=engine, schema="flagscope")
configure_mappers()
classes = base.classes
print("classes", *sorted(classes.keys()))
with Session(engine) as session:
    state = session.scalars(select(classes.flag_state)).one()
    print("state", state.flag, state.flag_definition.value_type, state.environment_definition.key, state.guardrail_collection[0].metric)
    guardrail = session.scalars(select(classes.guardrail)).one()
    print("guardrail", guardrail.metric, guardrail.metric_definition.kind)
    rollout = session.scalars(select(classes.rollout)).one()
    print("rollout", *(stage.percent for stage in sorted(rollout.rollout_stage_collection, key=lambda s: s.ordinal)))
    session.add(classes.change_freeze(name="by a class", environment=state.environment, weekdays=[6, 7]))
    session.commit()
