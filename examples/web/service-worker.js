/**
 * Keeps the page's files, and hands them out with the headers of cross-origin
 * isolation, without which a browser gives no threads.
 *
 * A file is the server's where that answers, and else the one that was kept: a
 * page that can be reached is never old. A new VERSION fetches all files
 * anew before it takes the place of the old one.
 */

const VERSION = 1;
// Other pages of the same origin have caches, too.
const PREFIX = `hdnet ${registration.scope} `;
const CACHE = PREFIX + VERSION;

// What is loaded before this is in charge; the rest comes through it.
const SHELL = [
  "./", "index.html", "style.css", "manifest.webmanifest", "icon.svg",
  "harmonize.js", "isolation.js", "jobs.js", "pictures.js", "brush.js",
  "cutout.js", "place.js",
].map((name) => new URL(name, registration.scope).href);

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(keepAll());
});

addEventListener("activate", (event) => {
  event.waitUntil(takeOver());
});

addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const isLocal = new URL(url).origin === location.origin;
  if (method === "GET" && isLocal) event.respondWith(answer(event));
});

async function keepAll() {
  const urls = new Set(SHELL);
  for (const name of await oldCaches()) {
    for (const { url } of await (await caches.open(name)).keys()) urls.add(url);
  }
  const cache = await caches.open(CACHE);
  await Promise.all([...urls].map(async (url) => {
    const response = await fetch(url, { cache: "no-cache" });
    if (response.ok) await cache.put(url, response); // else it is gone
  }));
}

async function takeOver() {
  for (const name of await oldCaches()) await caches.delete(name);
  await clients.claim();
}

async function oldCaches() {
  const names = await caches.keys();
  return names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
}

async function answer(event) {
  const url = event.request.url.replace(/[?#].*/, "");
  const cache = await caches.open(CACHE);
  let response;
  try {
    // The browser's own cache is asked, but never without the server.
    response = await fetch(url, { cache: "no-cache" });
  } catch (error) {
    const kept = await cache.match(url);
    if (!kept) throw error;
    return isolated(kept);
  }
  if (response.ok) event.waitUntil(cache.put(url, response.clone()));
  return isolated(response);
}

function isolated(response) {
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
