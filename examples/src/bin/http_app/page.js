
'use strict';

const $ = id => document.getElementById(id);

// Charts: the last minute, a point a second.

const WIDTH = 60;
const charts = [
  chart('requests', 'Requests', 'per second', value => value.toFixed(0), 10),
  chart('connections', 'Open connections', '', value => value.toFixed(0), 5),
  chart('busy', 'Busy loop', '% of the time', value => value.toFixed(value < 10 ? 1 : 0), 5),
  chart('longest_turn', 'Longest turn', 'ms', value => value.toFixed(value < 10 ? 2 : 0), 1),
];

/** A chart of one number. Its scale ends at the highest value, or at `least` if that is more. */
function chart(key, title, unit, format, least) {
  const figure = $('chart').content.cloneNode(true).firstElementChild;
  const find = selector => figure.querySelector(selector);
  find('figcaption').textContent = title;
  find('small').textContent = unit;
  figure.id = key;
  $('charts').append(figure);
  const values = [];
  return {
    clear() { values.length = 0; },
    add(sample) {
      values.push(sample[key]);
      if (values.length > WIDTH) values.shift();
    },
    draw() {
      if (values.length === 0) return;
      const peak = Math.max(...values);
      const height = value => 38 - 36 * value / Math.max(peak, least);
      const start = WIDTH - values.length;
      const line = values.map((value, at) => `${start + at},${height(value).toFixed(2)}`).join('L');
      find('.line').setAttribute('d', `M${line}`);
      find('.area').setAttribute('d', `M${start},40L${line}L${WIDTH - 1},40Z`);
      find('output').textContent = format(values.at(-1));
      find('.peak').textContent = `peak ${format(peak)}`;
    },
  };
}

$('work').addEventListener('click', async () => {
  if ($('work').ariaDisabled === 'true') return;
  $('work').ariaDisabled = 'true';
  const one = () => fetch('/plaintext', { cache: 'no-store' }).then(answer => answer.text());
  await Promise.allSettled(Array.from({ length: 200 }, one));
  $('work').ariaDisabled = 'false';
});

// Messages. What people type becomes text, never markup: textContent, and nothing else.

const SHOWN_MAX = 500;

function show({ name, text, age }) {
  const item = $('message').content.cloneNode(true).firstElementChild;
  const find = selector => item.querySelector(selector);
  const time = new Date(Date.now() - age * 1000);
  find('bdi').textContent = name;
  find('time').textContent = time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  find('time').dateTime = time.toISOString();
  find('.said').textContent = text;
  find('.face').textContent = [...name][0].toUpperCase();
  find('.face').style.setProperty('--hue', hue(name));
  item.dataset.name = name;
  item.classList.toggle('more', $('messages').lastElementChild?.dataset.name === name);
  append(item);
}

function note(text) {
  const item = document.createElement('li');
  item.className = 'note';
  item.textContent = text;
  append(item);
}

function append(item) {
  $('empty').hidden = true;
  $('messages').append(item);
  if ($('messages').childElementCount > SHOWN_MAX) {
    $('messages').firstElementChild.remove();
    $('messages').firstElementChild.classList.remove('more');
  }
}

function hue(name) {
  return [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
}

// The news. The browser connects again by itself and says which event it has seen last; only if it
// has given up, as after an answer that was no stream, we start over in its place.

let news = null;
let lastSeen = '';

function follow() {
  news?.close();
  if (document.hidden) return;
  news = new EventSource(lastSeen ? `/events?after=${lastSeen}` : '/events');
  const on = (name, handle) => news.addEventListener(name, event => {
    const isAnotherRun = lastSeen && runOf(lastSeen) !== runOf(event.lastEventId);
    lastSeen = event.lastEventId;
    handle(JSON.parse(event.data), isAnotherRun);
  });
  on('hello', (_, isAnotherRun) => {
    state('live');
    for (const chart of charts) chart.clear();
    if (isAnotherRun) note('The server was restarted.');
  });
  on('message', show);
  on('gap', missed => note(`${missed} messages are too old to be shown.`));
  on('sample', sample => {
    for (const chart of charts) chart.add(sample);
    requestAnimationFrame(() => charts.forEach(chart => chart.draw()));
    $('here').textContent = sample.followers === 1 ? 'only you' : `${sample.followers} tabs`;
  });
  news.onerror = () => {
    state('reconnecting');
    if (news.readyState === EventSource.CLOSED) setTimeout(follow, 2000);
  };
}

// A browser opens six connections to a server, and each tab holds one. Those that nobody looks at
// let go of theirs, or the seventh would wait for ever; they catch up when they are looked at.
document.addEventListener('visibilitychange', follow);

function runOf(id) {
  return id.split('-')[0];
}

function state(name) {
  $('state').dataset.state = name;
  $('state').textContent = name;
}

// Saying something.

const name = $('name');
const text = $('text');
name.value = remembered() || `Guest ${Math.floor(100 + Math.random() * 900)}`;
name.addEventListener('change', () => remember(name.value.trim()));

$('form').addEventListener('submit', async event => {
  event.preventDefault();
  const said = text.value;
  // At once, so that nobody sends it twice; it comes back if it could not be sent.
  text.value = '';
  text.focus();
  const problem = await send(name.value, said);
  $('problem').textContent = problem;
  if (problem && !text.value) text.value = said;
});

text.addEventListener('keydown', event => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!event.repeat) $('form').requestSubmit();
  }
});

/** Says what went wrong, or nothing. */
async function send(name, text) {
  try {
    const answer = await fetch('/messages', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ name, text }),
    });
    return answer.ok ? '' : `Not sent: ${(await answer.text()).replace(/^\d+ [^:]*: /, '')}`;
  } catch {
    return 'Not sent: the server cannot be reached.';
  }
}

// A browser may refuse to remember anything.

function remembered() {
  try { return localStorage.getItem('name'); } catch { return ''; }
}

function remember(name) {
  try { localStorage.setItem('name', name); } catch { }
}

follow();
