// flagd's core in JavaScript, asked by the differential test:
//
//   peer.cjs operators           answers to the cases of operators.py on stdin: {"ok": ...} or {"error": ...} for each
//   peer.cjs answers DOCUMENT    answers to contexts on stdin, JSON lines: flag, context's number, variant, reason
const fs = require('fs');
const { FlagdCore } = require('@openfeature/flagd-core');

const quiet = { error() {}, warn() {}, info() {}, debug() {} };
const lines = () => fs.readFileSync(0, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));

function load(document) {
  const core = new FlagdCore(undefined, quiet);
  core.setConfigurations(JSON.stringify(document));
  return core;
}

const compiled = new Map();

function flag(rule) {
  const text = JSON.stringify(rule);
  if (!compiled.has(text)) {
    const only = { state: 'ENABLED', variants: { on: true }, defaultVariant: 'on', targeting: rule };
    compiled.set(text, load({ flags: { flag: only } }).getFlag('flag'));
  }
  return compiled.get(text);
}

function isJson(value) {
  if (Array.isArray(value)) return value.every(isJson);
  return typeof value !== 'number' || Number.isFinite(value);
}

function operator({ rule, context }) {
  try {
    const result = flag(rule)._targeting.evaluate('flag', context, quiet) ?? null;
    return isJson(result) ? { ok: result } : { error: 'no JSON' };
  } catch (problem) {
    return { error: String(problem?.type ?? problem?.message ?? problem) };
  }
}

function answers(path) {
  const document = JSON.parse(fs.readFileSync(path, 'utf8'));
  const core = load(document);
  const rows = [];
  for (const { number, key, attributes } of lines()) {
    const context = key === null ? attributes : { ...attributes, targetingKey: key };
    for (const [name, { variants }] of Object.entries(document.flags)) {
      const { variant, reason } = core.resolve(typeof Object.values(variants)[0], name, null, context, quiet);
      rows.push([name, number, variant ?? '', reason].join(',') + '\n');
    }
  }
  return rows;
}

const [mode, path] = process.argv.slice(2);
const output = mode === 'answers' ? answers(path) : lines().map((each) => JSON.stringify(operator(each)) + '\n');
process.stdout.write(output.join(''));
