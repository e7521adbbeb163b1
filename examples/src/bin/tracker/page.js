// Fetches the page again and puts its numbers in place, for as long as somebody looks.
const state = document.getElementById('state');

function say(text) {
  if (state.dataset.state !== text) state.textContent = state.dataset.state = text;
}

async function refresh() {
  if (!document.hidden) {
    try {
      const answer = await fetch('/', { signal: AbortSignal.timeout(10000) });
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      document.getElementById('live').replaceWith(page.getElementById('live'));
      say('live');
    } catch {
      say('reconnecting');
    }
  }
  setTimeout(refresh, 2000);
}

document.getElementById('url').textContent = location.origin + '/announce';
refresh();
