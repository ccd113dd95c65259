/**
 * The page's service worker: it keeps the page for use without a network, and
 * gives it the headers that threads need, which a static server does not send.
 */

const FLAG = "hdnet-loaded-anew";

/**
 * Resolves once the page is under its service worker, to a note where it cannot
 * be. The first time, the page is loaded anew: headers count from the start.
 */
export async function underServiceWorker() {
  const { serviceWorker } = navigator;
  if (!serviceWorker) {
    return "One thread, and not without a network: this address allows no " +
      "service worker (https and localhost do).";
  }
  try {
    await serviceWorker.register(
      "service-worker.js", { updateViaCache: "none" });
    await serviceWorker.ready;
  } catch (error) {
    return `One thread, and not without a network (${error.message}).`;
  }
  if (crossOriginIsolated && serviceWorker.controller) {
    sessionStorage.removeItem(FLAG);
    return "";
  }
  if (sessionStorage.getItem(FLAG)) { // it would be loaded for ever
    return "One thread: this browser does not isolate the page.";
  }
  sessionStorage.setItem(FLAG, "yes");
  location.reload();
  return new Promise(() => {}); // what is loaded now has no future
}
