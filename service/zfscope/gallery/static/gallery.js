// Filters, keyboard navigation, and addresses such as index.html#conv5/42. The pages work without this script.
"use strict";

(() => {
  const { moveFocus } = globalThis.zfscope;
  const KEY = "zfscope-gallery:" + location.pathname.replace(/[^/]*$/, "");
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // The visible maps of a layer in their order, for the links to the previous and next map.
  function storeOrder(order) {
    try {
      sessionStorage.setItem(KEY, JSON.stringify(order));
    } catch { /* browsers may deny storage to local files: maps are then in numerical order */ }
  }

  function storedOrder() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY)) || [];
    } catch {
      return [];
    }
  }

  function openLink(link) {
    if (link) location.href = link.href;
  }

  // Redirect index.html#conv5/42 to the page of the map.
  function route() {
    const match = /^#([A-Za-z][A-Za-z0-9_.-]*)(?:\/(\d+))?$/.exec(location.hash);
    const tabs = all(".top nav a").map((tab) => tab.textContent);
    if (match && tabs.includes(match[1])) {
      location.replace(`${match[1]}/${match[2] ? `${Number(match[2])}.html` : "index.html"}`);
    }
  }

  // Page of a layer: filters and keyboard navigation of its tiles.
  function layerPage() {
    const form = document.querySelector(".tools");
    const tiles = all(".tile");
    const field = (name) => form.elements.namedItem(name);
    const value = (name) => (field(name) ? field(name).value : "");

    // Number of photos per class number, by tile.
    const counts = new Map(tiles.map((tile) => [
      tile,
      new Map(tile.dataset.classes.split(" ").filter(Boolean).map((pair) => pair.split(":"))),
    ]));

    function isShown(tile) {
      const only = value("only");
      return (
        (!value("number") || tile.id.startsWith(value("number").trim())) &&
        (!value("class") || counts.get(tile).has(value("class"))) &&
        (!only || (only === "alive" ? !tile.classList.contains("dead") : tile.classList.contains(only)))
      );
    }

    function apply() {
      const label = value("class");
      for (const tile of tiles) {
        const count = label ? Number(counts.get(tile).get(label) || 0) : 0;
        tile.hidden = !isShown(tile);
        tile.style.order = -count;
        tile.querySelector(".in-class").textContent = count || "";
        const picture = tile.querySelector("img");
        if (picture) {
          picture.dataset.projections ||= picture.getAttribute("src");
          const wanted = picture.dataset[value("as") || "projections"];
          if (picture.getAttribute("src") !== wanted) picture.src = wanted;
        }
      }
      const visible = visibleTiles();
      storeOrder(visible.map((tile) => tile.id));
      form.querySelector("output").textContent = visible.length === tiles.length ? "" : `${visible.length} of ${tiles.length}`;
      document.querySelector(".empty").hidden = visible.length > 0;
    }

    function visibleTiles() {
      return tiles.filter((tile) => !tile.hidden).sort((a, b) => a.style.order - b.style.order);
    }

    function filters() {
      return new URLSearchParams([...new FormData(form)].filter(([, setting]) => setting));
    }

    // Keep the filters in the address, for bookmarks and the back button.
    function storeInAddress() {
      const chosen = filters();
      history.replaceState(null, "", chosen.size ? `#${chosen}` : location.pathname);
      apply();
    }

    function restore() {
      const target = /^#\d+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
      const chosen = new URLSearchParams(target ? sessionFilters() : location.hash.slice(1));
      for (const [name, setting] of chosen) if (field(name)) field(name).value = setting;
      apply();
      if (target) {
        target.hidden = false;
        target.focus({ preventScroll: true });
        target.scrollIntoView({ block: "center" });
      }
    }

    // Filters for a return from the page of a map, whose address is that of the map's tile.
    function sessionFilters() {
      try {
        return sessionStorage.getItem(`${KEY}?`) || "";
      } catch {
        return "";
      }
    }

    function storeInSession() {
      try {
        sessionStorage.setItem(`${KEY}?`, String(filters()));
      } catch { /* no storage: filters are reset on return */ }
    }

    form.hidden = false;
    form.addEventListener("input", () => { storeInAddress(); storeInSession(); });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const exact = document.getElementById(value("number").trim());
      openLink(exact && exact.classList.contains("tile") ? exact : visibleTiles()[0]);
    });
    window.addEventListener("hashchange", restore);
    restore();

    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const typing = event.target.closest("input, select");
      if (event.key === "Escape") {
        event.preventDefault();
        if (typing) {
          form.reset();
          storeInAddress();
          storeInSession();
          typing.blur();
        } else openLink(document.querySelector(".home"));
      } else if (!typing && event.key === "/") {
        event.preventDefault();
        field("number").focus();
      } else if (!typing && event.key.startsWith("Arrow")) {
        moveFocus(event, visibleTiles());
      }
    });
  }

  // Page of a map: links in the order of the filtered tiles, and keyboard navigation.
  function mapPage() {
    const number = location.pathname.replace(/.*\//, "").replace(".html", "");
    const order = storedOrder();
    const position = order.indexOf(number);
    const link = (kind) => document.querySelector(`.steps a[rel=${kind}]`);
    const retarget = (kind, map) => {
      const anchor = link(kind);
      if (!anchor) return;
      anchor.href = `${map}.html`;
      anchor.textContent = map;
    };
    if (position > 0) retarget("prev", order[position - 1]);
    if (position >= 0 && position + 1 < order.length) retarget("next", order[position + 1]);

    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
      const kind = { ArrowLeft: "prev", ArrowRight: "next", Escape: "up" }[event.key];
      if (!kind) return;
      event.preventDefault(); // Escape would cancel the navigation
      openLink(link(kind));
    });

    // Highlight the photo under the pointer in both pictures and in the table.
    const records = all("[data-rank]");
    const highlight = (rank) => records.forEach((record) => record.classList.toggle("highlight", record.dataset.rank === rank));
    for (const record of records) {
      record.addEventListener("mouseenter", () => highlight(record.dataset.rank));
      record.addEventListener("mouseleave", () => highlight(""));
    }
  }

  const kind = document.body.className.trim();
  if (kind === "overview") {
    route();
    window.addEventListener("hashchange", route);
  }
  if (kind === "layer-page") layerPage();
  if (kind === "map-page") mapPage();
})();
