// Knows one page by heart: the one that says that the host is away. Everything else comes from the server or not at all;
// audio and /api are never looked at.
const KEPT = 'away-1';
const AWAY = ['offline.html', 'offline.css', 'icon.svg'];

addEventListener('install', (event) => {
  event.waitUntil(caches.open(KEPT).then((kept) => kept.addAll(AWAY)).then(() => skipWaiting()));
});

addEventListener('activate', (event) => {
  const old = (name) => name.startsWith('away-') && name !== KEPT;
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name)))));
});

addEventListener('fetch', (event) => {
  const { mode, url } = event.request;
  const known = AWAY.find((name) => url === new URL(name, registration.scope).href);
  const kept = mode === 'navigate' ? AWAY[0] : known;
  if (kept) event.respondWith(fetch(event.request).catch(() => caches.match(new URL(kept, registration.scope).href)));
});
