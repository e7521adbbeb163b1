// The tracker's page in a browser: node tracker.js PROGRAM SCREENSHOTS

import assert from 'node:assert/strict';
import path from 'node:path';

import { chromium } from 'playwright-core';

import { check, Server, summary, TOO_LONG, until } from './harness.js';

const [program, screenshots] = process.argv.slice(2);

const browser = await chromium.launch({
  executablePath: process.env.BROWSER,
  args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});

const announce = (server, torrent, peer, left) => {
  const hash = encodeURIComponent(torrent.repeat(20));
  const id = `-BR0000-${String(peer).padStart(12, '0')}`;
  return server.request('GET', `/announce?info_hash=${hash}&peer_id=${id}&port=${peer}&left=${left}`);
};

const shows = (tab, id, value) => until(`${id} is ${value}`,
  async () => await tab.locator(`#${id}`).innerText() === value);

async function checkPage(label, viewport, colorScheme) {
  const server = await Server.start(program);
  const context = await browser.newContext({ viewport, colorScheme, locale: 'en-GB' });
  context.setDefaultTimeout(TOO_LONG);
  try {
    const tab = await context.newPage();
    const complaints = [];
    tab.on('pageerror', error => complaints.push(error.message));
    tab.on('console', message => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    for (let peer = 1; peer <= 30; peer += 1) {
      await announce(server, 'abcdefgh'[peer % 8], peer, peer % 3);
    }
    await tab.goto(server.url);
    await tab.locator('#state[data-state="live"]').waitFor();
    await shows(tab, 'swarms', '8');
    await shows(tab, 'seeds', '10');
    assert.equal(await tab.locator('tbody tr').count(), 8);
    // Without a reload.
    await announce(server, 'z', 31, 0);
    await shows(tab, 'swarms', '9');
    await shows(tab, 'seeds', '11');
    assert.equal(await tab.locator('#url').innerText(), `${server.url}/announce`);
    const wider = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wider <= 0, `${wider} pixels are out of sight`);
    await tab.screenshot({ path: path.join(screenshots, `tracker-${label}.png`), fullPage: true });
    assert.deepEqual(complaints, []);
    await server.stop();
    await tab.locator('#state[data-state="reconnecting"]').waitFor();
  } finally {
    await context.close();
    server.kill();
  }
}

for (const [device, viewport] of [
  ['desktop', { width: 1280, height: 800 }],
  ['phone', { width: 390, height: 844 }],
]) {
  for (const scheme of ['light', 'dark']) {
    const label = `${device}-${scheme}`;
    await check(`the tracker's page is alive (${label})`, () => checkPage(label, viewport, scheme));
  }
}
await browser.close();
process.exitCode = summary();
