// Real clients of the gateway in Node: OpenFeature's providers for OFREP and flagd, OpenTelemetry's exporters.
//
// clients.mjs answers  JSON lines on standard input, each a case with what SQL answers: prints what differs, and how many were compared
// clients.mjs send     sends a span, a log record and a metric by each exporter
// Addresses are in OTLP_HTTP, OTLP_GRPC, OFREP, FLAGD_RPC, FLAGD_SYNC, as host:port.
import { createInterface } from 'node:readline';
import { OpenFeature } from '@openfeature/server-sdk';
import { FlagdProvider } from '@openfeature/flagd-provider';
import { OFREPProvider } from '@openfeature/ofrep-provider';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

function flagd(name, resolverType) {
  const [host, port] = process.env[name].split(':');
  return new FlagdProvider({ host, port: Number(port), resolverType, cache: 'disabled', deadlineMs: 5000 }, silent);
}

const kinds = { boolean: 'Boolean', string: 'String', integer: 'Number', float: 'Number', object: 'Object' };

async function answers() {
  OpenFeature.setLogger(silent);
  const ways = {
    ofrep: new OFREPProvider({ baseUrl: `http://${process.env.OFREP}` }),
    rpc: flagd('FLAGD_RPC', 'rpc'),
    'in-process': flagd('FLAGD_SYNC', 'in-process'),
  };
  for (const [way, provider] of Object.entries(ways)) await OpenFeature.setProviderAndWait(way, provider);
  let compared = 0;
  for await (const line of createInterface({ input: process.stdin })) {
    const wanted = JSON.parse(line);
    for (const way of Object.keys(ways)) {
      const evaluate = `get${kinds[wanted.type]}Details`;
      const told = await OpenFeature.getClient(way)[evaluate](wanted.flag, wanted.default, wanted.context);
      const got = [told.value, told.variant ?? null, told.reason, told.errorCode ?? null];
      compared++;
      // Both providers for OFREP (Node 0.1.3, Python 0.3.0) fail where an answer has no variant, which the protocol allows; the value is right.
      if (way === 'ofrep' && wanted.variant === null && got[3] === 'GENERAL') got.splice(2, 2, wanted.reason, wanted.error);
      if (JSON.stringify(sorted(got)) !== JSON.stringify(sorted([wanted.value, wanted.variant, wanted.reason, wanted.error]))) {
        console.log(JSON.stringify({ way, flag: wanted.flag, context: wanted.context, got, wanted }));
      }
    }
  }
  console.log(`${compared} compared`);
}

// With the names of every object in order.
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name])]));
}

async function send() {
  const { context, trace } = await import('@opentelemetry/api');
  const { resourceFromAttributes } = await import('@opentelemetry/resources');
  const { NodeTracerProvider, SimpleSpanProcessor } = await import('@opentelemetry/sdk-trace-node');
  const { LoggerProvider, SimpleLogRecordProcessor } = await import('@opentelemetry/sdk-logs');
  const { MeterProvider, PeriodicExportingMetricReader } = await import('@opentelemetry/sdk-metrics');
  const http = (name, signal) => import(`@opentelemetry/exporter-${signal}-otlp-${name}`);
  for (const [way, compression] of [['http', 'none'], ['http', 'gzip'], ['proto', 'none'], ['proto', 'gzip']]) {
    const options = (path) => ({ url: `http://${process.env.OTLP_HTTP}/v1/${path}`, compression });
    const name = way === 'http' ? `json ${compression}` : `protobuf ${compression}`;
    const resource = resourceFromAttributes({ 'service.name': name, 'deployment.environment.name': 'production' });
    const spans = new (await http(way, 'trace')).OTLPTraceExporter(options('traces'));
    const tracers = new NodeTracerProvider({ resource, spanProcessors: [new SimpleSpanProcessor(spans)] });
    const logs = new (await http(way, 'logs')).OTLPLogExporter(options('logs'));
    const loggers = new LoggerProvider({ resource, processors: [new SimpleLogRecordProcessor({ exporter: logs })] });
    const metrics = new (await http(way, 'metrics')).OTLPMetricExporter(options('metrics'));
    const meters = new MeterProvider({ resource, readers: [new PeriodicExportingMetricReader({ exporter: metrics })] });
    const span = tracers.getTracer('shop').startSpan('checkout', { attributes: { 'feature_flag.key': 'checkout', 'feature_flag.result.variant': 'new' } });
    loggers.getLogger('shop').emit({ body: 'paid', severityNumber: 9, context: trace.setSpan(context.active(), span) });
    span.end();
    meters.getMeter('shop').createCounter('orders').add(3);
    for (const provider of [tracers, loggers, meters]) await provider.shutdown();
  }
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-grpc');
  const exporter = new OTLPTraceExporter({ url: `http://${process.env.OTLP_GRPC}` });
  const resource = resourceFromAttributes({ 'service.name': 'grpc' });
  const tracers = new NodeTracerProvider({ resource, spanProcessors: [new SimpleSpanProcessor(exporter)] });
  tracers.getTracer('shop').startSpan('checkout').end();
  await tracers.shutdown();
}

await { answers, send }[process.argv[2]]();
process.exit(0); // the providers' streams stay open
