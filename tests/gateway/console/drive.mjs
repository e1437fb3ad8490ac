// Drives Chromium (env CHROMIUM) through the console (env CONSOLE, its URL) as a person with the key KEY. Prints a line for each thing
// that was asked of it. HAPPEN WHAT makes something happen: bad (traffic), other (a decision elsewhere), away and back (the database).
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const base = process.env.CONSOLE;
const chat = 'http://chat.example/'; // another site, answered by this script
const happen = (what) => execFileSync(process.env.HAPPEN, [what], { encoding: 'utf8' }).trim();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const problems = [];
const tell = () => [...new Set(problems)].forEach((problem) => console.log(problem));
process.on('uncaughtException', (error) => (console.log(`broke off: ${error.message}`), tell(), process.exit(1)));

// A window; what it says on its console, what fails and what it asks of other hosts is kept.
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.on('console', (message) => message.type() === 'error' && !expected(message) && problems.push(`console: ${page.url().slice(base.length)}: ${message.text()}`));
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => (problems.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  page.on('request', (request) => /^(data|blob):/.test(request.url()) || [base, chat].some((site) => request.url().startsWith(site)) || problems.push(`request: ${request.url()}`));
  return page;
}
// Chromium writes an error for each page that is a 4xx or 5xx: those that were asked for are no problem.
let statuses = [];
const expected = (message) => statuses.some((status) => message.text().includes(`the server responded with a status of ${status}`));

async function logIn(page, path) {
  await page.goto(base + path);
  await page.fill('input[name=name]', 'Ann');
  await page.fill('input[name=key]', process.env.KEY);
  await Promise.all([page.waitForURL(base + path), page.click('main form button')]);
}
const says = (page, pattern) => page.waitForFunction((text) => new RegExp(text, 'i').test(document.getElementById('main').innerText), pattern);

const paths = ['/login', '/', '/rollout/1', '/rollout/2', '/trace/0af7651916cd43dd8448eb211c80319c', '/rollout/99'];
for (const [scheme, width] of [['light', 1280], ['dark', 1280], ['light', 390], ['dark', 390]]) {
  const page = await open({ colorScheme: scheme, viewport: { width, height: 800 } });
  await logIn(page, '/');
  for (const path of paths) {
    statuses = path === '/rollout/99' ? [404] : [];
    await page.goto(base + path);
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    for (const { id, nodes } of violations) problems.push(`axe: ${id} at ${path}, ${scheme}, ${width}: ${nodes[0].html.slice(0, 200)} (${nodes.length})`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) problems.push(`wider than the window by ${wide}: ${path} at ${width}`);
  }
  await page.context().close();
}
console.log('pages:', paths.length * 4, 'looked at, problems:', problems.length);

const page = await open({ viewport: { width: 1280, height: 900 } });
await logIn(page, '/rollout/1');
// By keyboard alone: the form is opened, filled in and sent.
await page.locator('summary', { hasText: 'Approve' }).focus();
await page.keyboard.press('Enter');
const reason = page.locator('form[action$="/approve"] input[name=reason]');
await reason.focus();
await page.keyboard.type('looks "good" to <me>');
await page.evaluate(() => (window.untouched = true));
console.log('a decision elsewhere:', happen('other'));
await says(page, 'seen from elsewhere');
console.log('what is being typed stays:', await reason.inputValue(), await reason.evaluate((input) => input === document.activeElement));
await page.keyboard.press('Enter');
await says(page, 'looks "good" to <me>');
console.log('approved:', happen('approved'));

await page.goto(`${base}/rollout/2`);
await page.evaluate(() => (window.untouched = true));
const decided = Number(happen('bad')); // milliseconds since 1970
await says(page, 'rolled back');
console.log('a rollback appears by itself:', await page.evaluate(() => window.untouched === true));
console.error(`${Date.now() - decided} ms after the decision`);
await page.screenshot({ path: process.env.PICTURE, fullPage: true });

statuses = [503];
happen('away');
await says(page, 'The database does not answer');
happen('back');
await says(page, 'rolled back');
console.log('the database was away, and the page is back:', await page.evaluate(() => window.untouched === true));
statuses = [];

const plain = await open({ javaScriptEnabled: false });
await logIn(plain, '/rollout/1');
await plain.locator('summary', { hasText: /^Resume/ }).click();
await plain.fill('form[action$="/resume"] input[name=reason]', 'without a script');
await Promise.all([plain.waitForURL(`${base}/rollout/1`), plain.click('form[action$="/resume"] button')]);
console.log('without a script:', /without a script/.test(await plain.innerText('main')));
await plain.locator('form[action$="/logout"] button').click();
await plain.waitForURL(`${base}/login`);
await plain.goto(`${base}/`);
console.log('logged out:', new URL(plain.url()).pathname);

// A link of a message is followed on another site, where browsers keep the cookie back: by who is logged in, and by who is not.
const reader = await open({});
await reader.context().route(`${chat}**`, (route) => route.fulfill({ contentType: 'text/html', body: `<a href="${base}/rollout/1">Open the rollout</a>` }));
async function follow() {
  await reader.goto(chat);
  await reader.click('a');
}
await follow();
await reader.waitForURL((url) => url.pathname === '/login');
await reader.fill('input[name=name]', 'Ann');
await reader.fill('input[name=key]', process.env.KEY);
await reader.click('main form button');
await reader.waitForURL(`${base}/rollout/1`);
await follow();
await says(reader, 'without a script');
console.log('a link in a chat:', new URL(reader.url()).pathname);

await browser.close();
tell();
