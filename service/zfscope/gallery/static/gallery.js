// What a gallery does beyond links: filters, keys, and addresses such as index.html#conv5/42.
"use strict";

(() => {
  const KEY = "zfscope-gallery:" + location.pathname.replace(/[^/]*$/, "");
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  function remember(order) {
    try {
      sessionStorage.setItem(KEY, JSON.stringify(order));
    } catch { /* a browser may keep nothing of files: then the next map is the next number */ }
  }

  function remembered() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY)) || [];
    } catch {
      return [];
    }
  }

  function follow(link) {
    if (link) location.href = link.href;
  }

  // index.html#conv5/42
  function route() {
    const found = /^#([A-Za-z][A-Za-z0-9_-]*)(?:\/(\d+))?$/.exec(location.hash);
    const tabs = all(".top nav a").map((tab) => tab.textContent);
    if (found && tabs.includes(found[1])) {
      location.replace(`${found[1]}/${found[2] ? `${Number(found[2])}.html` : "index.html"}`);
    }
  }

  // The tiles of a layer
  function layerPage() {
    const form = document.querySelector(".tools");
    const tiles = all(".tile");
    const field = (name) => form.elements.namedItem(name);
    const value = (name) => (field(name) ? field(name).value : "");

    const counts = new Map(tiles.map((tile) => [
      tile,
      new Map(tile.dataset.classes.split(" ").filter(Boolean).map((each) => each.split(":"))),
    ]));

    function shown(tile) {
      const only = value("only");
      return (
        (!value("number") || tile.id.startsWith(value("number").trim())) &&
        (!value("class") || counts.get(tile).has(value("class"))) &&
        (!only || (only === "alive" ? !tile.classList.contains("dead") : tile.classList.contains(only)))
      );
    }

    function apply() {
      const name = value("class");
      for (const tile of tiles) {
        const count = name ? Number(counts.get(tile).get(name) || 0) : 0;
        tile.hidden = !shown(tile);
        tile.style.order = -count;
        tile.querySelector(".in-class").textContent = count || "";
        const picture = tile.querySelector("img");
        if (picture) {
          picture.dataset.projections ||= picture.getAttribute("src");
          const wanted = picture.dataset[value("as") || "projections"];
          if (picture.getAttribute("src") !== wanted) picture.src = wanted;
        }
      }
      const visible = ordered();
      remember(visible.map((tile) => tile.id));
      form.querySelector("output").textContent = visible.length === tiles.length ? "" : `${visible.length} of ${tiles.length}`;
      document.querySelector(".empty").hidden = visible.length > 0;
    }

    function ordered() {
      return tiles.filter((tile) => !tile.hidden).sort((one, other) => one.style.order - other.style.order);
    }

    // What is chosen stays in the address, for links and for the way back.
    function store() {
      const chosen = new URLSearchParams([...new FormData(form)].filter(([, each]) => each));
      history.replaceState(null, "", chosen.size ? `#${chosen}` : location.pathname);
      apply();
    }

    function restore() {
      const target = /^#\d+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
      const chosen = new URLSearchParams(target ? savedChoice() : location.hash.slice(1));
      for (const [name, each] of chosen) if (field(name)) field(name).value = each;
      apply();
      if (target) {
        target.hidden = false;
        target.focus({ preventScroll: true });
        target.scrollIntoView({ block: "center" });
      }
    }

    function savedChoice() {
      try {
        return sessionStorage.getItem(`${KEY}?`) || "";
      } catch {
        return "";
      }
    }

    function saveChoice() {
      try {
        sessionStorage.setItem(`${KEY}?`, String(new URLSearchParams([...new FormData(form)].filter(([, each]) => each))));
      } catch { /* as above */ }
    }

    form.hidden = false;
    form.addEventListener("input", () => { store(); saveChoice(); });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const exact = document.getElementById(value("number").trim());
      follow(exact && exact.classList.contains("tile") ? exact : ordered()[0]);
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
          store();
          saveChoice();
          typing.blur();
        } else follow(document.querySelector(".home"));
      } else if (!typing && event.key === "/") {
        event.preventDefault();
        field("number").focus();
      } else if (!typing && event.key.startsWith("Arrow")) {
        step(event, ordered());
      }
    });
  }

  function step(event, tiles) {
    const at = tiles.indexOf(document.activeElement);
    const top = tiles.length ? tiles[0].offsetTop : 0;
    const below = tiles.findIndex((tile) => tile.offsetTop > top);
    const row = below < 0 ? tiles.length : below;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row }[event.key];
    const next = tiles[at < 0 ? 0 : at + by];
    if (next) {
      event.preventDefault();
      next.focus();
      next.scrollIntoView({ block: "nearest" });
    }
  }

  // A map
  function mapPage() {
    const own = location.pathname.replace(/.*\//, "").replace(".html", "");
    const order = remembered();
    const at = order.indexOf(own);
    const link = (kind) => document.querySelector(`.steps a[rel=${kind}]`);
    const chosen = (kind, number) => {
      const there = link(kind);
      if (!there) return;
      there.href = `${number}.html`;
      there.textContent = number;
    };
    if (at > 0) chosen("prev", order[at - 1]);
    if (at >= 0 && at + 1 < order.length) chosen("next", order[at + 1]);

    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
      const kind = { ArrowLeft: "prev", ArrowRight: "next", Escape: "up" }[event.key];
      if (!kind) return;
      event.preventDefault(); // Escape would stop the page that is asked for
      follow(link(kind));
    });

    // The same photo in both pictures and in the table
    const places = all("[data-rank]");
    const mark = (rank) => places.forEach((place) => place.classList.toggle("near", place.dataset.rank === rank));
    for (const place of places) {
      place.addEventListener("mouseenter", () => mark(place.dataset.rank));
      place.addEventListener("mouseleave", () => mark(""));
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
