// Says so where the page does not start. This is no module, so it runs where modules do not: in an old browser, or
// where a server sends them as another type than JavaScript.

(function () {
  var SILENT_SECONDS = 20; // without anything new: then a person wonders what is wrong
  var timer = /** @type {number | undefined} */ (undefined);

  function at(id) {
    return /** @type {HTMLElement} */ (document.getElementById(id));
  }

  function say(message) {
    at("error").textContent = message;
    at("error").hidden = false;
  }

  function waiting() {
    return at("about").textContent.indexOf("Loading") === 0;
  }

  function watch() {
    clearTimeout(timer);
    timer = setTimeout(function () {
      if (waiting()) {
        say("Nothing new has arrived for " + SILENT_SECONDS + " seconds. The connection may be slow or gone: wait, "
          + "or load the page again.");
        at("error").dataset.waiting = "true"; // page.js takes the line away when something arrives
      }
    }, SILENT_SECONDS * 1000);
  }

  function end(message) {
    at("about").textContent = "No cards";
    at("progress").hidden = true;
    say(message);
    var worker = navigator.serviceWorker && navigator.serviceWorker.controller;
    if (worker) worker.postMessage({ type: "failed" }); // the kept page gives way to what the server has now
  }

  window.addEventListener("error", function (event) {
    if (event.target === window && waiting()) end("The page could not start in this browser: " + event.message);
    if (event.target && /** @type {Element} */ (event.target).tagName === "SCRIPT") {
      end("The page could not start: its programs are missing on the server, or the server sends them as another type "
        + "than JavaScript (text/javascript). python scripts/serve.py sends the right one.");
    }
  }, true);
  document.addEventListener("DOMContentLoaded", function () {
    if (!("noModule" in HTMLScriptElement.prototype)) {
      return end("This browser is too old for this page: it runs no JavaScript modules.");
    }
    new MutationObserver(watch).observe(at("loading"),
      { attributes: true, childList: true, characterData: true, subtree: true });
    watch();
  });
})();
