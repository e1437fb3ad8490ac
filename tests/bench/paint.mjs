// First contentful paint of pages of the console in Chromium, milliseconds from the beginning of the navigation; the median of ROUNDS.
import { chromium } from 'playwright-core';

const { CONSOLE: base, KEY: key, CHROMIUM: executablePath, ROUNDS: rounds } = process.env;
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
await page.goto(`${base}/login`);
await page.fill('input[name=name]', 'bench');
await page.fill('input[name=key]', key);
await Promise.all([page.waitForURL(`${base}/`), page.click('main form button')]);
const firstPaint = () =>
  new Promise((resolve) => {
    const seen = (list) => list.getEntriesByName('first-contentful-paint').forEach((entry) => resolve(entry.startTime));
    new PerformanceObserver(seen).observe({ type: 'paint', buffered: true });
  });
for (const path of process.argv.slice(2)) {
  const times = [];
  for (let round = 0; round < Number(rounds); round++) {
    await page.goto(base + path);
    times.push(await page.evaluate(firstPaint));
  }
  console.log(`first paint of ${path}: ${Math.round(times.sort((a, b) => a - b)[times.length >> 1])} ms`);
}
await browser.close();
