// The address of what the page shows. Each state has one, so that it can be linked to, and Back works.
//
//     ./?q=t:goblin&sort=newest&page=2      results of a search
//     ./#card=<face id>                     a card
//     ./#photo, ./#scan, ./#list=<id>       a photo, the camera, a list
//
//     onAddress(render);                    // now, and whenever the address changes
//     go("#card=" + faceId);

const VIEWS = ["photo", "scan", "list"];

/**
 * What the address asks for.
 * @returns {{view: string, id: string, q: string, sort: string, descending: boolean, page: number}}
 */
export function addressed() {
  const query = new URLSearchParams(location.search);
  const [name, id = ""] = decodeURIComponent(location.hash.slice(1)).split("=");
  const q = query.get("q") ?? "";
  const view = name === "card" && id ? "card" : VIEWS.includes(name) ? name : q ? "search" : "start";
  return {
    view, id, q, sort: query.get("sort") ?? "best", descending: query.get("order") === "reverse",
    page: Math.max(1, Math.trunc(Number(query.get("page"))) || 1),
  };
}

/**
 * The address of a search.
 * @param {{q: string, sort?: string, descending?: boolean, page?: number}} search
 */
export function searchAddress({ q, sort = "best", descending = false, page = 1 }) {
  const query = new URLSearchParams({ q });
  if (sort !== "best") query.set("sort", sort);
  if (descending) query.set("order", "reverse");
  if (page > 1) query.set("page", String(page));
  return `./?${query}`;
}

/**
 * Shows another address. replace: as if the present one had never been there.
 * @param {string} address
 */
export function go(address, { replace = false } = {}) {
  const { pathname, search } = location;
  const to = address.startsWith("#") ? pathname + search + address : address;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  dispatchEvent(new Event("addresschange"));
}

/**
 * Calls render now, and when the address changes. Links within the page change it without loading the page again.
 * @param {() => void} render
 */
export function onAddress(render) {
  addEventListener("popstate", render);
  addEventListener("addresschange", render);
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const to = link.getAttribute("href") ?? "";
    if (to === "#main" || !(to.startsWith("#") || to.startsWith("./"))) return;
    event.preventDefault();
    go(to);
  });
  render();
}
