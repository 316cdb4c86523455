// The address of what the page shows. Each state has one, so that it can be linked to, and Back works.
//
//     ./?q=t:goblin&sort=newest&page=2      results of a search
//     ./?q=a+dragon&by=picture              results of a search for what pictures show; &fit=any: all cards
//     ./#card=<face id>                     a card
//     ./#photo, ./#scan, ./#list=<id>       a photo, the camera, a list
//
//     onAddress(render);                    // now, and whenever the address changes
//     go("#card=" + faceId);

const VIEWS = ["photo", "scan", "list"];

/**
 * What the address asks for.
 * @returns {{view: string, id: string, q: string, by: string, fit: string, sort: string, descending: boolean,
 *   page: number}}
 */
export function addressed() {
  const query = new URLSearchParams(location.search);
  const [name, id = ""] = location.hash.slice(1).split("=").map(decoded);
  const q = query.get("q") ?? "";
  const view = name === "card" && id ? "card" : VIEWS.includes(name) ? name : q ? "search" : "start";
  return {
    view, id, q, by: query.get("by") ?? "name", fit: query.get("fit") ?? "", sort: query.get("sort") ?? "best", descending: query.get("order") === "reverse",
    page: Math.max(1, Math.trunc(Number(query.get("page"))) || 1),
  };
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return ""; // "#50%" is no address of this page
  }
}

/**
 * The address of a search.
 * @param {{q: string, by?: string, fit?: string, sort?: string, descending?: boolean, page?: number}} search
 */
export function searchAddress({ q, by = "name", fit = "", sort = "best", descending = false, page = 1 }) {
  const query = new URLSearchParams({ q });
  if (by !== "name") query.set("by", by);
  if (fit) query.set("fit", fit);
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
  if (!replace) history.replaceState({ top: scrollY }, "");
  history[replace ? "replaceState" : "pushState"](null, "", to);
  dispatchEvent(new Event("addresschange"));
}

/**
 * Calls render(top) now, and when the address changes. top says how far the page was scrolled down, if a person comes
 * back to this address, else 0. Links within the page change the address without loading the page again.
 * @param {(top: number) => void} render
 */
export function onAddress(render) {
  history.scrollRestoration = "manual"; // the results that were there come later than the browser scrolls
  addEventListener("popstate", ({ state }) => render(state?.top ?? 0));
  addEventListener("addresschange", () => render(0));
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const to = link.getAttribute("href") ?? "";
    if (to === "#main" || !(to.startsWith("#") || to.startsWith("./"))) return;
    event.preventDefault();
    go(to);
  });
  render(history.state?.top ?? 0);
}
