// Drives Chromium (env CHROMIUM) through a page that uses OpenFeature's web SDK with a gateway (env OFREP, host:port). Prints a line for
// each thing that was asked of it. Standard input has the cases, a JSON line each, with what SQL answers; the program CHANGE changes a flag.
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const script = readFileSync(new URL('bundle.js', import.meta.url));
// Two origins, of which the gateway knows the first.
const serve = (port) =>
  new Promise((resolve) => {
    const server = createServer((request, response) => {
      const isScript = request.url === '/bundle.js';
      response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html; charset=utf-8');
      response.end(isScript ? script : '<!doctype html><title>shop</title><script src="/bundle.js"></script>');
    });
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
const [known, stranger] = [await serve(Number(process.env.KNOWN_PORT)), await serve(0)];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const base = `http://${process.env.OFREP}`;

async function open(server) {
  const page = await browser.newPage();
  const seen = [];
  page.on('response', (response) => seen.push([new URL(response.url()), response.status()]));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  return [page, seen];
}

const [page, seen] = await open(known);
console.log('known origin:', await page.evaluate((url) => flags.begin(url, { targetingKey: 'user-1' }), base));

let compared = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const wanted = JSON.parse(line);
  const got = await page.evaluate((one) => flags.answer(one), wanted);
  compared++;
  const want = [wanted.value, wanted.variant, wanted.reason, wanted.error];
  if (JSON.stringify(sorted(got)) !== JSON.stringify(sorted(want))) console.log(JSON.stringify({ flag: wanted.flag, context: wanted.context, got, want }));
}
console.log('cases compared:', compared);

const before = [await page.evaluate(() => flags.value('changing-flag')), await page.evaluate(() => flags.changes())];
execFileSync(process.env.CHANGE);
await page.waitForFunction(([value, changes]) => flags.value('changing-flag') !== value && flags.changes() > changes, before, { timeout: 10000 });
console.log('after a change:', before[0], 'became', await page.evaluate(() => flags.value('changing-flag')));
const asked = (test) => seen.some(test);
console.log('event stream:', asked(([url, status]) => url.pathname === '/ofrep/v1/events' && status === 200));
console.log('asked with the new version:', asked(([url]) => url.searchParams.has('flagConfigEtag')));

const [other, refused] = await open(stranger);
const why = await other.evaluate((url) => flags.begin(url, { targetingKey: 'user-1' }), base);
console.log('unknown origin:', why === 'ready' ? 'ready' : 'refused', refused.some(([url]) => url.origin === base && url.pathname.endsWith('/events')) ? 'with events' : 'without events');

await browser.close();
known.close();
stranger.close();

// With the names of every object in order.
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name])]));
}
