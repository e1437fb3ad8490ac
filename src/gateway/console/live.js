// Keeps a page of the console as new as what it shows: when the gateway says that something has happened, the page is fetched
// again and its main part replaced. What somebody has opened, typed or focused stays.
(() => {
  const main = document.getElementById('main');
  const address = main && main.dataset.events;
  if (!address) return;
  const AGAIN = 2000; // milliseconds until what failed is tried again
  let stream = null, busy = false, missed = false;

  // What an element is called on the page of before and on the new one.
  const name = (element) => [element.tagName, element.id, element.getAttribute('name'), element.getAttribute('href'),
    element.form && element.form.getAttribute('action'), element.matches('summary, details') ? element.textContent.slice(0, 80) : '']
    .join('|');
  const byName = (root, selector) => new Map([...root.querySelectorAll(selector)].map((element) => [name(element), element]));

  function replace(fresh) {
    const details = byName(fresh, 'details'), inputs = byName(fresh, 'input, textarea');
    for (const old of main.querySelectorAll('details')) {
      const now = details.get(name(old));
      if (now) now.open = old.open;
    }
    // The stage is kept, too: it is the one that the person has seen.
    for (const old of main.querySelectorAll('details[open] input, details[open] textarea')) {
      const now = inputs.get(name(old));
      if (now && old.name !== 'proof') [now.value, now.checked] = [old.value, old.checked];
    }
    const focus = main.contains(document.activeElement) ? document.activeElement : null;
    const caret = focus && focus.name === 'reason' ? [focus.selectionStart, focus.selectionEnd] : null;
    const scrolled = [...main.querySelectorAll('[id]')].filter((element) => element.scrollLeft).map((element) => [element.id, element.scrollLeft]);
    main.replaceChildren(...fresh.childNodes);
    for (const [id, left] of scrolled) {
      const now = document.getElementById(id);
      if (now) now.scrollLeft = left;
    }
    const now = focus && byName(main, 'a, button, input, textarea, summary, [tabindex]').get(name(focus));
    if (now) now.focus({ preventScroll: true });
    if (now && caret) now.setSelectionRange(...caret);
  }

  function selects() {
    const selection = getSelection();
    return selection && !selection.isCollapsed && main.contains(selection.anchorNode);
  }

  async function renew() {
    if (busy || document.hidden || selects()) {
      missed = true;
      return;
    }
    busy = true;
    missed = false;
    let failed = false;
    try {
      const answer = await fetch(location.href, { redirect: 'manual', headers: { Accept: 'text/html' } });
      if (answer.type === 'opaqueredirect') return location.reload(); // logged out
      // Without its style, whose nonce is not this page's.
      const text = (await answer.text()).replace(/<style[^]*?<\/style>/, '');
      const page = new DOMParser().parseFromString(text, 'text/html');
      const fresh = page.getElementById('main');
      if (fresh) replace(document.adoptNode(fresh));
      document.title = page.title;
      failed = answer.status === 503;
    } catch {
      failed = true; // the gateway is away; the stream says when it is back
    } finally {
      busy = false;
    }
    if (failed) missed = true;
  }

  function listen() {
    stream = new EventSource(address);
    stream.addEventListener('happened', renew);
    stream.onerror = () => {
      if (stream.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), AGAIN); // refused: logged out
      else missed = true;
    };
    stream.onopen = () => missed && renew();
  }

  // A browser has six connections to a host for all pages: one that nobody sees gives its own back.
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      stream.close();
      missed = true;
    } else {
      listen();
      renew();
    }
  });
  setInterval(() => missed && renew(), AGAIN);
  if (!document.hidden) listen();
})();
