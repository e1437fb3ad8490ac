"""Encodes samples of OTLP/JSON as protobuf, by Google's own library: one request after the other, each behind its length.

pip install opentelemetry-proto==1.45.2; python to_protobuf.py traces <traces.jsonl >traces.pb
"""
import base64, json, struct, sys

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUESTS = {"traces": ExportTraceServiceRequest, "logs": ExportLogsServiceRequest, "metrics": ExportMetricsServiceRequest}
IDS = ("traceId", "spanId", "parentSpanId")


def base64_ids(value):
    """OTLP/JSON has ids in hex, ProtoJSON in base64."""
    if isinstance(value, list):
        return [base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {k: base64.b64encode(bytes.fromhex(v)).decode() if k in IDS else base64_ids(v) for k, v in value.items()}


decoder = json.JSONDecoder()
text = sys.stdin.read().strip()
while text:
    request, end = decoder.raw_decode(text)
    text = text[end:].lstrip()
    message = ParseDict(base64_ids(request), REQUESTS[sys.argv[1]](), ignore_unknown_fields=True).SerializeToString()
    sys.stdout.buffer.write(struct.pack("<I", len(message)) + message)
