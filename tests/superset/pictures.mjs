// Shows dashboards in Chromium (env CHROMIUM) as Superset at URL draws them, and leaves pictures in FOLDER:
// pictures.mjs URL FOLDER SLUG ... Prints a line for each chart that shows an error, each request that fails and each error of
// the page, and fails if there is one; and the numbers of the chart that has data points by variant.
import { chromium } from 'playwright-core';

const [base, folder, ...slugs] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
let problems = 0;
const problem = (text) => (problems++, console.log(text));

function numbers({ result }) {
  for (const row of result.flatMap((each) => each.data ?? []).filter((row) => 'data points' in row)) {
    console.log(['number:', row.metric, row.variant, row['data points'], row.events ?? ''].join(' ').trim());
  }
}

for (const slug of slugs) {
  const page = await browser.newPage({ viewport: { width: 1500, height: 900 } });
  page.setDefaultTimeout(120000);
  page.on('pageerror', (error) => problem(`${slug}: error in the page: ${error.message}`));
  page.on('response', async (response) => {
    if (!response.url().includes('/api/v1/chart/data')) return;
    if (response.status() < 400) return numbers(await response.json());
    problem(`${slug}: ${response.status()} ${(await response.text()).slice(0, 300)}`);
  });
  await page.goto(`${base}/superset/dashboard/${slug}/?standalone=1&show_filters=1`);
  await page.waitForSelector('.dashboard-component-chart-holder');
  // As high as it is, so that every chart is drawn.
  const height = await page.evaluate(() => Math.max(...[...document.querySelectorAll('.dashboard-grid, .grid-content')].map((e) => e.scrollHeight)));
  await page.setViewportSize({ width: 1500, height: height + 120 });
  // Twice, since filters that choose a first value by themselves have charts drawn anew.
  for (let time = 0; time < 2; time++) {
    await page.waitForFunction(() => {
      const holders = [...document.querySelectorAll('.dashboard-component-chart-holder')];
      const isDrawn = (holder) => holder.checkVisibility() && !holder.querySelector('.loading')
        && holder.querySelector('.slice_container canvas, .slice_container table, .slice_container .header-line, .slice_container .superset-legacy-chart-big-number, .ant-empty, .ant-alert, [data-test="error"]');
      return holders.length > 0 && holders.every(isDrawn);
    }).catch(async () => {
      const open = await page.$$eval('.dashboard-component-chart-holder', (all) => all.map((e) => e.innerText.slice(0, 80).replace(/\n/g, ' ')));
      problem(`${slug}: not every chart was drawn: ${open.join(' | ')}`);
    });
    await page.waitForTimeout(3000); // lines and bars move until they are there
  }
  if (await page.locator('[data-test="filter-bar__apply-button"]').isEnabled()) problem(`${slug}: a filter waits to be applied`);
  for (const text of await page.$$eval('.ant-alert-error, .ant-alert-warning, [data-test="error"]', (all) => all.map((e) => e.innerText))) {
    problem(`${slug}: a chart says: ${text.slice(0, 300)}`);
  }
  await page.screenshot({ path: `${folder}/${slug}.png`, fullPage: true });
  await page.close();
}
await browser.close();
process.exit(problems ? 1 : 0);
