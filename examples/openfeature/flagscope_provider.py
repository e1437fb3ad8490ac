"""An OpenFeature provider that evaluates in this process, with flagd's own core, and never asks the database for a flag.

The definitions come from flagscope.export_flagd(); NOTIFY flagscope_flag tells when to fetch them again. While the
database cannot be reached, the last definitions go on serving.
"""

import json
import threading

import psycopg
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.event import ProviderEventDetails
from openfeature.provider import AbstractProvider, Metadata

CHECK_SECONDS = 1  # how soon shutdown() is noticed
RETRY_SECONDS = 2  # between attempts to connect again


class FlagscopeProvider(AbstractProvider):
    def __init__(self, conninfo="", environment=None):
        super().__init__()
        self._conninfo = conninfo
        self._environment = environment
        self._core = FlagdCore()
        self._stop = threading.Event()
        self._thread = None

    def get_metadata(self):
        return Metadata("flagscope")

    def initialize(self, evaluation_context):
        """Raises when the database cannot be reached: then OpenFeature serves the callers' defaults."""
        connection = self._connect()
        self._thread = threading.Thread(target=self._listen, args=(connection,), name="flagscope", daemon=True)
        self._thread.start()

    def shutdown(self):
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _connect(self):
        connection = psycopg.connect(self._conninfo, autocommit=True)
        connection.execute("LISTEN flagscope_flag")  # before the first look, so that no change falls in between
        self._fetch(connection)
        return connection

    def _fetch(self, connection):
        (document,) = connection.execute("SELECT flagscope.export_flagd(%s)::text", [self._environment]).fetchone()
        changed = self._core.set_flags_and_get_changed_keys(json.loads(document))
        if changed:
            self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=changed))

    def _listen(self, connection):
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = self._connect()
                    self.emit_provider_ready(ProviderEventDetails(message="connected again"))
                # As a list: while notifies() runs, the connection can do nothing else.
                if list(connection.notifies(timeout=CHECK_SECONDS, stop_after=1)):
                    self._fetch(connection)
            except psycopg.Error as problem:
                if connection is not None:
                    connection.close()
                    connection = None
                    self.emit_provider_stale(ProviderEventDetails(message=str(problem)))
                self._stop.wait(RETRY_SECONDS)
        if connection is not None:
            connection.close()

    def resolve_boolean_details(self, flag_key, default_value, evaluation_context=None):
        return self._core.resolve_boolean_value(flag_key, default_value, evaluation_context)

    def resolve_string_details(self, flag_key, default_value, evaluation_context=None):
        return self._core.resolve_string_value(flag_key, default_value, evaluation_context)

    def resolve_integer_details(self, flag_key, default_value, evaluation_context=None):
        return self._core.resolve_integer_value(flag_key, default_value, evaluation_context)

    def resolve_float_details(self, flag_key, default_value, evaluation_context=None):
        return self._core.resolve_float_value(flag_key, default_value, evaluation_context)

    def resolve_object_details(self, flag_key, default_value, evaluation_context=None):
        return self._core.resolve_object_value(flag_key, default_value, evaluation_context)
