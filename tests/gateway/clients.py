"""Real clients of the gateway: OpenFeature's providers for OFREP and flagd, OpenTelemetry's exporters.

clients.py answers  JSON lines on standard input, each a case with what SQL answers: prints what differs, and how many were compared
clients.py follow   prints every change that the providers tell of, until standard input ends
clients.py send     sends a span, a log record and a metric by each exporter
Addresses are in OTLP_HTTP, OTLP_GRPC, OFREP, FLAGD_RPC, FLAGD_SYNC, as host:port.
"""
import json
import logging
import os
import sys
import time

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import CacheType, ResolverType
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.provider import ProviderStatus

logging.disable(logging.CRITICAL)  # providers log what they tell us anyway
METHODS = {"boolean": "Boolean", "string": "String", "integer": "Int", "float": "Float", "object": "Object"}


def flagd(name, resolver):
    host, port = os.environ[name].split(":")
    return FlagdProvider(host=host, port=int(port), resolver_type=resolver, cache=CacheType.DISABLED, deadline_ms=5000)


def providers():
    """One client a way, each in a domain of its own, ready."""
    ways = {
        "ofrep": OFREPProvider(f"http://{os.environ['OFREP']}"),
        "rpc": flagd("FLAGD_RPC", ResolverType.RPC),
        "in-process": flagd("FLAGD_SYNC", ResolverType.IN_PROCESS),
    }
    clients = {}
    for way, provider in ways.items():
        clients[way] = api.get_client(domain=way)
        api.set_provider(provider, domain=way)
    # The event that a provider is ready comes before an evaluation takes it for ready: its status is what counts.
    until = time.monotonic() + 30
    for way, client in clients.items():
        while client.get_provider_status() != ProviderStatus.READY:
            if time.monotonic() > until:
                sys.exit(f"{way} is not ready")
            time.sleep(0.01)
    return clients


def delimited(field, content):
    length = len(content)
    out = bytes([field << 3 | 2])
    while length >= 0x80:
        out += bytes([length & 0x7F | 0x80])
        length >>= 7
    return out + bytes([length]) + content


def raw(channel, version, case):
    """What a method answers, in bytes, or the name of its status."""
    request = delimited(1, case["flag"].encode()) + delimited(2, ParseDict(case["context"], Struct()).SerializeToString())
    call = channel.unary_unary(f"/flagd.evaluation.{version}.Service/Resolve{METHODS[case['type']]}")
    try:
        return call(request)
    except grpc.RpcError as error:
        return error.code().name


def answers():
    clients = providers()
    channel = grpc.insecure_channel(os.environ["FLAGD_RPC"])
    compared = 0
    for line in sys.stdin:
        case = json.loads(line)
        context = dict(case["context"])
        key = context.pop("targetingKey", None)
        evaluation = EvaluationContext(key, context)
        wanted = [case["value"], case["variant"], case["reason"], case["error"]]
        for way, client in clients.items():
            evaluate = getattr(client, f"get_{case['type']}_details")
            told = evaluate(case["flag"], case["default"], evaluation)
            got = [told.value, told.variant, str(told.reason), told.error_code and told.error_code.name]
            compared += 1
            # This provider for OFREP (0.3.0) fails where an answer has no variant, which the protocol allows; the value is right.
            if way == "ofrep" and wanted[1] is None and got[3] == "GENERAL":
                got[2:] = wanted[2:]
            if got[:1] + got[2:] != wanted[:1] + wanted[2:] or (got[1] or None) != wanted[1]:
                print(json.dumps({"way": way, "flag": case["flag"], "context": case["context"], "got": got, "wanted": wanted}))
        v1, v2 = raw(channel, "v1", case), raw(channel, "v2", case)
        compared += 1
        if v1 != v2:
            print("v1 and v2 differ:", case["flag"], v1, v2)
    print(f"{compared} compared")


def follow():
    for way, client in providers().items():
        def tell(details, way=way):
            # As one piece: print() writes several, and those of two threads would mix.
            sys.stdout.write(f"{way} {' '.join(sorted(details.flags_changed or []))}\n")
            sys.stdout.flush()
        client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, tell)
    print("ready", flush=True)
    sys.stdin.read()


def send():
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs, metric_exporter as grpc_metrics, trace_exporter as grpc_traces
    from opentelemetry.exporter.otlp.proto.http import Compression, _log_exporter as http_logs, metric_exporter as http_metrics, trace_exporter as http_traces
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    http, rpc = f"http://{os.environ['OTLP_HTTP']}/v1/", f"http://{os.environ['OTLP_GRPC']}"
    ways = {
        "http": (http_traces.OTLPSpanExporter(http + "traces"), http_logs.OTLPLogExporter(http + "logs"), http_metrics.OTLPMetricExporter(http + "metrics")),
        "http gzip": tuple(e(http + path, compression=Compression.Gzip) for e, path in ((http_traces.OTLPSpanExporter, "traces"), (http_logs.OTLPLogExporter, "logs"), (http_metrics.OTLPMetricExporter, "metrics"))),
        "grpc": (grpc_traces.OTLPSpanExporter(rpc, insecure=True), grpc_logs.OTLPLogExporter(rpc, insecure=True), grpc_metrics.OTLPMetricExporter(rpc, insecure=True)),
        "grpc gzip": tuple(e(rpc, insecure=True, compression=grpc.Compression.Gzip) for e in (grpc_traces.OTLPSpanExporter, grpc_logs.OTLPLogExporter, grpc_metrics.OTLPMetricExporter)),
    }
    for way, (spans, logs, metrics) in ways.items():
        resource = Resource.create({"service.name": way, "deployment.environment.name": "production"})
        tracer = TracerProvider(resource=resource)
        tracer.add_span_processor(SimpleSpanProcessor(spans))
        with tracer.get_tracer("shop").start_as_current_span("checkout", attributes={"feature_flag.key": "checkout", "feature_flag.result.variant": "new"}):
            logger = LoggerProvider(resource=resource)
            logger.add_log_record_processor(SimpleLogRecordProcessor(logs))
            logger.get_logger("shop").emit(body="paid", severity_number=SeverityNumber.INFO, attributes={"enduser.id": "ann"})
        meter = MeterProvider([PeriodicExportingMetricReader(metrics)], resource=resource)
        meter.get_meter("shop").create_counter("orders").add(3)
        for provider in (tracer, logger, meter):
            provider.shutdown()


{"answers": answers, "follow": follow, "send": send}[sys.argv[1]]()
os._exit(0)  # the providers' threads wait for a server
