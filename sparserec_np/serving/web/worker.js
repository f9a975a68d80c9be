// Keeps the page's files, so that it opens without a network. They change with their version alone.
const OURS = `sparserec ${self.registration.scope} `, VERSION = `${OURS}$version`, FILES = $files;

self.addEventListener("install", (event) => {
  const all = FILES.map((name) => new Request(name, { cache: "reload" }));
  event.waitUntil(caches.open(VERSION).then((cache) => cache.addAll(all)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const others = async () => (await caches.keys()).filter((name) => name.startsWith(OURS) && name != VERSION);
  event.waitUntil(others().then((names) => Promise.all(names.map((name) => caches.delete(name)))).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method != "GET" || new URL(request.url).origin != self.location.origin) return;
  event.respondWith(caches.open(VERSION).then((cache) => cache.match(request, { ignoreSearch: true })).then((kept) => kept ?? fetch(request)));
});
