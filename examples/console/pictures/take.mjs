// Takes the pictures of the console (env CONSOLE, its URL) with the key KEY, and writes them to FOLDER.
import { writeFileSync } from 'node:fs';
import { chromium } from 'playwright-core';
import sharp from 'sharp';

const LONGEST = 100 * 1024; // bytes of a picture
const { CONSOLE: base, KEY: key, CHROMIUM: executablePath, FOLDER: folder } = process.env;
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });

async function open(options) {
  const page = await (await browser.newContext(options)).newPage();
  await page.goto(base);
  await page.fill('input[name=name]', 'Ann');
  await page.fill('input[name=key]', key);
  await Promise.all([page.waitForURL(`${base}/`), page.click('main form button')]);
  return page;
}

// Where a heading of the page begins.
const top = async (page, heading) => (await page.locator('h2', { hasText: heading }).first().boundingBox()).y - 12;

// A picture of a page, or of its part from one heading to another, at most so high.
async function take(page, path, name, { from, to, most = Infinity } = {}) {
  await page.goto(base + path);
  const { width, height } = await page.evaluate(() => ({ width: innerWidth, height: document.documentElement.scrollHeight }));
  const [first, last] = [from ? await top(page, from) : 0, to ? await top(page, to) : height];
  const clip = { x: 0, y: first, width, height: Math.min(last - first, most) };
  const shot = await page.screenshot({ fullPage: true, clip });
  let picture;
  // Few colours are enough for text and lines; fewer still where a page is long.
  for (const colours of [64, 32, 16, 8]) {
    picture = await sharp(shot).png({ palette: true, colours, dither: 0, effort: 10, compressionLevel: 9 }).toBuffer();
    if (picture.length < LONGEST) break;
  }
  if (picture.length >= LONGEST) throw new Error(`${name}: ${picture.length} bytes`);
  writeFileSync(`${folder}/${name}.png`, picture);
  console.log(`${name}.png: ${picture.length} bytes`);
}

const page = await open({ viewport: { width: 1180, height: 600 } });
await take(page, '/', 'rollouts');
await take(page, '/rollout/1', 'rollout', { to: /^Why/ });
await take(page, '/rollout/1', 'why', { from: /^Why/, to: /^Guardrails/ });
await take(page, '/rollout/1', 'measured', { from: /^Guardrails/, to: /^Requests/ });
const trace = await page.getAttribute('a[href^="/trace/"]', 'href');
if (trace) await take(page, trace, 'trace');
await take(await open({ viewport: { width: 390, height: 800 }, colorScheme: 'dark' }), '/rollout/1', 'phone', { most: 1200 });
await browser.close();
