// Keyboard navigation in a grid of tiles, shared by galleries and the live page. A classic script: browsers load no
// modules from local files.
"use strict";

(() => {
  // Move the focus by one tile in the direction of an arrow key.
  function moveFocus(event, tiles) {
    const current = tiles.indexOf(document.activeElement);
    const top = tiles.length ? tiles[0].offsetTop : 0;
    const secondRow = tiles.findIndex((tile) => tile.offsetTop > top);
    const columns = secondRow < 0 ? tiles.length : secondRow;
    const offset = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const next = tiles[current < 0 ? 0 : current + offset];
    if (next) {
      event.preventDefault();
      next.focus();
      next.scrollIntoView({ block: "nearest" });
    }
  }

  globalThis.zfscope = { moveFocus };
})();
