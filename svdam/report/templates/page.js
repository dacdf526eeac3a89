"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  document.querySelector(".switches").hidden = false;

  byId("theme").addEventListener("change", (event) => {
    if (event.target.value) root.dataset.theme = event.target.value;
    else delete root.dataset.theme;
  });

  // Each image exists twice: NAME.png on its own scale, NAME-common.png on the common one.
  byId("common-scale").addEventListener("change", (event) => {
    const ending = event.target.checked ? "-common.png" : ".png";
    root.dataset.scale = event.target.checked ? "common" : "own";
    rescale(document, ending);
  });
  const rescale = (within, ending) => {
    for (const image of within.querySelectorAll("img[data-scales]")) {
      image.src = image.getAttribute("src").replace(/(-common)?\.png$/, ending);
    }
  };

  // One player for all sounds: thousands of audio elements would make the page slow.
  const player = byId("player");
  const bar = byId("player-bar");
  const target = Number(bar.dataset.target);
  let current = null;
  const setVolume = () => {
    const level = current ? Number(current.dataset.level) : 0;
    const even = byId("equal-loudness").checked && level > 0;
    player.volume = even ? Math.min(1, target / level) : 1;
  };
  const show = (link, playing) => {
    link.classList.toggle("playing", playing);
    link.setAttribute("aria-pressed", String(playing));
  };
  const stop = () => { player.pause(); if (current) show(current, false); };
  // Without this script the links open their WAV files; with it they are buttons.
  const arm = (within) => {
    for (const link of within.querySelectorAll("a.play")) {
      link.setAttribute("role", "button");
      link.setAttribute("aria-pressed", "false");
    }
  };
  arm(document);
  const toggle = (link) => {
    if (current === link && !player.paused) { stop(); return; }
    stop();
    current = link;
    bar.hidden = false;
    byId("player-label").textContent = link.getAttribute("aria-label").replace(/^Play: /, "");
    player.src = link.getAttribute("href");
    setVolume();
    show(link, true);
    player.play().catch(() => show(link, false));
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.play");
    if (link) { event.preventDefault(); toggle(link); }
  });
  document.addEventListener("keydown", (event) => {
    const link = event.target.closest && event.target.closest("a.play");
    if (event.key === "Escape") stop();
    if (link && event.key === " ") { event.preventDefault(); toggle(link); }
    if (link && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
      const links = [...document.querySelectorAll("a.play")].filter((one) => one.offsetParent);
      const next = links[links.indexOf(link) + (event.key === "ArrowRight" ? 1 : -1)];
      if (next) { event.preventDefault(); next.focus(); }
    }
  });
  player.addEventListener("ended", () => { if (current) show(current, false); });
  player.addEventListener("pause", () => { if (current) show(current, false); });
  player.addEventListener("play", () => { if (current) show(current, true); });
  byId("equal-loudness").addEventListener("change", setVolume);

  // Sorting and filtering all examples.
  const list = byId("example-cards");
  if (!list) return;
  const cards = [...list.children];
  // Most cards are templates until they come near the window: 1350 of them stay light.
  const fill = (card) => {
    const template = card.querySelector(":scope > template");
    if (!template) return;
    if (root.dataset.scale === "common") rescale(template.content, "-common.png");
    arm(template.content);
    template.replaceWith(template.content);
  };
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) { watcher.unobserve(entry.target); fill(entry.target); }
      }
    },
    { rootMargin: "1000px" },
  );
  for (const card of cards) watcher.observe(card);
  const filters = [...document.querySelectorAll("select[data-filter]")];
  const search = byId("search");
  const order = byId("sort");
  const update = () => {
    let shown = 0;
    const words = search ? search.value.toLowerCase().split(/\s+/) : [];
    for (const card of cards) {
      const kept =
        filters.every((one) => !one.value || card.dataset[one.dataset.filter] === one.value) &&
        words.every((word) => card.dataset.words.includes(word));
      card.hidden = !kept;
      shown += kept;
    }
    byId("shown").textContent = `${shown} of ${cards.length} ${list.dataset.what}`;
  };
  const sort = () => {
    const [key, way] = order.value.split(" ");
    const value = (card) => (card.dataset[key] === undefined ? NaN : Number(card.dataset[key]));
    const sign = way === "down" ? -1 : 1;
    const sorted = [...cards].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return sign * (x - y) || Number(a.dataset.order) - Number(b.dataset.order);
    });
    list.append(...sorted);
  };
  for (const one of filters) one.addEventListener("change", update);
  if (search) search.addEventListener("input", update);
  order.addEventListener("change", sort);
  byId("reset").addEventListener("click", () => {
    for (const one of filters) one.value = "";
    if (search) search.value = "";
    order.selectedIndex = 0;
    sort();
    update();
  });
  byId("controls").hidden = false;
  const first = document.querySelector("select[data-filter='set']");
  if (first) first.selectedIndex = Math.min(1, first.options.length - 1);
  update();
})();
