// The demo application in a browser: node http_app.js PROGRAM SCREENSHOTS

import assert from 'node:assert/strict';
import path from 'node:path';

import { chromium } from 'playwright-core';

import { check, Server, summary, TOO_LONG, until, Wire } from './harness.js';

const [program, screenshots] = process.argv.slice(2);

const desktop = { width: 1280, height: 800 };
const phone = { width: 390, height: 844 };

const browser = await chromium.launch({
  executablePath: process.env.BROWSER,
  // What a browser does besides showing pages needs a network, which need not be there.
  args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});

/** A tab of somebody's own: nothing is shared with others but the server. */
async function visit(url, look) {
  const context = await browser.newContext({
    viewport: look.viewport,
    colorScheme: look.scheme,
    hasTouch: look.viewport === phone,
    isMobile: look.viewport === phone,
    deviceScaleFactor: look.viewport === phone ? 2 : 1,
    locale: 'en-GB',
  });
  context.setDefaultTimeout(TOO_LONG);
  const tab = await context.newPage();
  tab.complaints = [];
  tab.on('pageerror', error => tab.complaints.push(`error: ${error.message}`));
  tab.on('console', message => {
    if (['error', 'warning'].includes(message.type())) tab.complaints.push(message.text());
  });
  await tab.addInitScript(() => {
    window.violations = [];
    addEventListener('securitypolicyviolation', event => {
      window.violations.push(`${event.effectiveDirective}: ${event.blockedURI}`);
    });
  });
  await tab.goto(url);
  await isLive(tab);
  return tab;
}

const close = tab => tab.context().close();

const isLive = tab => tab.locator('#state[data-state="live"]').waitFor();

/** Types and sends as a person would. */
async function say(tab, text) {
  await tab.getByLabel('Message', { exact: true }).fill(text);
  await tab.keyboard.press('Enter');
}

/** What a tab shows of the chat, notes included. */
const shown = tab => tab.locator('#messages').evaluate(
  list => [...list.children].map(item => (item.querySelector('.said') ?? item).textContent));

async function shows(tab, ...texts) {
  let now;
  await until(`a tab shows ${texts}`, async () => {
    now = await shown(tab);
    return now.length >= texts.length;
  }).catch(error => { throw new Error(`${error.message}; it shows ${now}`); });
  assert.deepEqual(now, texts);
}

const value = (tab, chart) => tab.locator(`#${chart} output`).innerText();

/** Everything that a page must do, at one size and in one scheme. */
async function checkAll(label, look) {
  const named = (name, run) => check(`${name} (${label})`, async () => {
    const server = await Server.start(program);
    const open = [];
    const wires = [];
    const newTab = async (url = server.url) => {
      const tab = await visit(url, look);
      open.push(tab);
      return tab;
    };
    const newWire = async () => {
      const wire = await Wire.to(server);
      wires.push(wire);
      return wire;
    };
    try {
      await run({ server, newTab, newWire });
    } finally {
      await Promise.all(open.map(close));
      wires.forEach(wire => wire.close());
      server.kill();
    }
  });

  await named('the page opens without a complaint', async ({ newTab }) => {
    const tab = await newTab();
    await say(tab, 'hello');
    await shows(tab, 'hello');
    await until('charts are drawn', async () => await tab.locator('#requests .line[d]').count() === 1);
    assert.deepEqual(await tab.evaluate(() => window.violations), []);
    assert.deepEqual(tab.complaints, []);
    assert.equal(await tab.locator('#empty').isVisible(), false);
  });

  await named('nothing is wider than the window', async ({ newTab }) => {
    const tab = await newTab();
    await say(tab, 'a'.repeat(1000));
    await tab.locator('#messages li').waitFor();
    const widths = await tab.evaluate(() => [document.documentElement.scrollWidth, innerWidth,
      document.getElementById('scroll').scrollWidth, document.getElementById('scroll').clientWidth]);
    assert.equal(widths[0], widths[1]);
    assert.equal(widths[2], widths[3]);
  });

  await named('a message appears in another tab', async ({ newTab }) => {
    const [anna, ben] = [await newTab(), await newTab()];
    await anna.getByLabel('Name').fill('Anna');
    await say(anna, 'hello, Ben');
    await shows(ben, 'hello, Ben');
    await ben.locator('bdi', { hasText: 'Anna' }).waitFor();
    await ben.getByLabel('Message', { exact: true }).fill('hello, Anna');
    await ben.getByRole('button', { name: 'Send', exact: true }).click();
    await shows(anna, 'hello, Ben', 'hello, Anna');
    assert.equal(await anna.getByLabel('Message', { exact: true }).inputValue(), '');
  });

  await named('markup is shown, not run', async ({ newTab }) => {
    const tab = await newTab();
    const markup = '<img src=x onerror="document.title = 1"><script>document.title = 2</script>';
    await tab.getByLabel('Name').fill('<b>Anna</b>');
    await say(tab, markup);
    await shows(tab, markup);
    assert.equal(await tab.locator('bdi').first().innerText(), '<b>Anna</b>');
    assert.equal(await tab.locator('#messages').locator('img, script, b').count(), 0);
    assert.equal(await tab.title(), 'Squall');
    assert.deepEqual(await tab.evaluate(() => window.violations), []);
  });

  await named('a newcomer sees what was said before, in order', async ({ server, newTab }) => {
    for (let number = 1; number <= 60; number += 1) await server.say('Anna', `message ${number}`);
    const last = Array.from({ length: 50 }, (_, at) => `message ${at + 11}`);
    await shows(await newTab(), ...last);
  });

  await named('what cannot be sent is not lost', async ({ newTab }) => {
    const tab = await newTab();
    await say(tab, 'ü'.repeat(1001));
    await tab.getByRole('alert').filter({ hasText: '2002 bytes, 2000 are allowed' }).waitFor();
    assert.equal((await tab.getByLabel('Message', { exact: true }).inputValue()).length, 1001);
    assert.deepEqual(await shown(tab), []);
  });

  await named('a name is remembered', async ({ newTab }) => {
    const tab = await newTab();
    await tab.getByLabel('Name').fill('Anna');
    await tab.getByLabel('Message', { exact: true }).focus();
    await tab.reload();
    assert.equal(await tab.getByLabel('Name').inputValue(), 'Anna');
  });

  await named('the charts move', async ({ newTab }) => {
    const tab = await newTab();
    await until('there is a sample', async () => await value(tab, 'connections') === '1');
    const line = await tab.locator('#requests .line').getAttribute('d');
    await tab.getByRole('button', { name: 'Send 200 requests' }).click();
    await until('the requests are counted',
      async () => /peak (\d+)/.exec(await tab.locator('#requests .peak').textContent())?.[1] >= 20);
    assert.notEqual(await tab.locator('#requests .line').getAttribute('d'), line);
    assert.match(await value(tab, 'longest_turn'), /^\d+(\.\d\d)?$/);
  });

  await named('a tab outlives a restart of the server', async ({ server, newTab }) => {
    const tab = await newTab();
    await say(tab, 'before');
    await shows(tab, 'before');
    await server.stop();
    await tab.locator('#state[data-state="reconnecting"]').waitFor();
    await say(tab, 'meanwhile');
    await tab.getByRole('alert').filter({ hasText: 'cannot be reached' }).waitFor();
    const again = await Server.start(program, server.port);
    try {
      await again.say('Ben', 'after');
      await isLive(tab);
      await say(tab, 'at last');
      await shows(tab, 'before', 'The server was restarted.', 'after', 'at last');
      assert.deepEqual(await tab.evaluate(() => window.violations), []);
    } finally {
      again.kill();
    }
  });

  await named('a tab whose connection broke misses nothing', async ({ server, newTab, newWire }) => {
    const wire = await newWire();
    const tab = await newTab(wire.url);
    await server.say('Anna', 'one');
    await shows(tab, 'one');
    wire.cut();
    await tab.locator('#state[data-state="reconnecting"]').waitFor();
    await server.say('Anna', 'two');
    wire.join();
    await isLive(tab);
    await server.say('Anna', 'three');
    await shows(tab, 'one', 'two', 'three');
  });

  await named('a tab that nobody sees lets go, and misses nothing', async ({ server, newTab }) => {
    const tab = await newTab();
    await server.say('Anna', 'one');
    await shows(tab, 'one');
    const hide = isHidden => tab.evaluate(isHidden => {
      Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, isHidden);
    await hide(true);
    await until('nobody follows', async () => await server.metric('http_app_followers') === 0);
    await server.say('Anna', 'two');
    await hide(false);
    await shows(tab, 'one', 'two');
    assert.equal(await server.metric('http_app_followers'), 1);
  });

  await named('a closed tab is let go', async ({ server, newTab }) => {
    const [stays, goes] = [await newTab(), await newTab()];
    assert.equal(await server.metric('http_app_followers'), 2);
    await close(goes);
    await until('one follower is left', async () => await server.metric('http_app_followers') === 1);
    await close(stays);
    // The one that asks.
    await until('no tab has a connection',
      async () => await server.metric('http_app_connections') === 1);
  });

  await named('a WebSocket is told why it ends', async ({ server, newTab }) => {
    const tab = await newTab();
    const ask = what => tab.evaluate(async what => {
      const socket = new WebSocket(`ws://${location.host}/ws`);
      window.code = new Promise(resolve => {
        socket.onclose = event => resolve(event.code);
      });
      socket.onopen = () => socket.send(what);
      const answer = new Promise(resolve => {
        socket.onmessage = event => resolve(event.data);
      });
      return Promise.race([answer, window.code]);
    }, what);
    assert.equal(await ask('a'.repeat(64 * 1024 + 1)), 1009);
    assert.equal(await ask('hello'), 'hello');
    const { status, took } = await server.stop();
    assert.equal(await tab.evaluate(() => window.code), 1001);
    assert.equal(status, 0, server.log);
    assert.ok(took < 1000, `it took ${took} ms`);
  });

  await named('the server ends within a second of SIGINT', async ({ server, newTab }) => {
    await newTab();
    await newTab();
    assert.equal(await server.metric('http_app_followers'), 2);
    const { status, took } = await server.stop();
    assert.equal(status, 0, server.log);
    assert.ok(took < 1000, `it took ${took} ms`);
    console.log(`# ${Math.round(took)} ms`);
  });
}

/** Pictures of a server that has been up for a while, and of what is seen rarely. */
async function takePictures(looks) {
  const server = await Server.start(program);
  const tabs = [];
  const picture = (tab, name) => tab.screenshot({ path: path.join(screenshots, `${name}.png`) });
  try {
    for (const [label, look] of looks) {
      const tab = await visit(server.url, look);
      await tab.getByLabel('Name').fill('Anna');
      await tab.getByLabel('Message', { exact: true }).focus();
      await until('charts are drawn', async () => await tab.locator('#requests .line[d*=L]').count() === 1);
      await picture(tab, `empty-${label}`);
      tabs.push([tab, label]);
    }
    for (const [name, text] of conversation) await server.say(name, text);
    for (let burst = 0; burst < 24; burst += 1) {
      const before = await server.metric('ioloop_timers_fired_total');
      const count = Math.round(20 + 60 * Math.abs(Math.sin(burst / 4)));
      await Promise.all(Array.from({ length: count }, () => server.request('GET', '/plaintext')));
      await until('a second has passed',
        async () => await server.metric('ioloop_timers_fired_total') > before);
    }
    for (const [tab, label] of tabs) await picture(tab, `page-${label}`);
    await server.stop();
    for (const [tab, label] of tabs) {
      await tab.locator('#state[data-state="reconnecting"]').waitFor();
      await say(tab, 'Is anybody there?');
      await tab.getByRole('alert').filter({ hasText: 'cannot be reached' }).waitFor();
      await picture(tab, `away-${label}`);
    }
  } finally {
    await Promise.all(tabs.map(([tab]) => close(tab)));
    server.kill();
  }
}

const conversation = [
  ['Anna', 'Good morning! Is this thing on?'],
  ['Ben', 'It is. I see you here, and in the terminal next to it.'],
  ['Ben', 'One thread, they say.'],
  ['Anna', 'One thread, one loop, and I have forty tabs open.'],
  ['Marguerite', 'What happens with <b>markup</b>, or <img src=x onerror=alert(1)>?'],
  ['Ben', 'Nothing at all.'],
  ['Ελένη', 'Καλημέρα! Ça marche aussi avec des accents : élève, naïf, cœur.'],
  ['Anna', 'And with a long line, which has to be folded somewhere in the middle, since no window is'
    + ' wide enough for everything that people have to say to one another on a quiet morning.'],
  ['Marguerite', 'for line in lines:\n    print(line)'],
  ['Ben', 'Restart the server, and watch the dot up there.'],
];

const looks = [
  ['desktop-light', { viewport: desktop, scheme: 'light' }],
  ['desktop-dark', { viewport: desktop, scheme: 'dark' }],
  ['phone-light', { viewport: phone, scheme: 'light' }],
  ['phone-dark', { viewport: phone, scheme: 'dark' }],
];
for (const [label, look] of looks) await checkAll(label, look);
await check('pictures are taken', () => takePictures(looks));
await browser.close();
process.exitCode = summary();
