/* Steps the panels of a film in sync: tiles are cut out of sprites and drawn on one canvas per panel. */
(() => {
  "use strict";
  const films = JSON.parse(document.getElementById("films").textContent);
  const player = document.getElementById("player");
  const find = (selector) => player.querySelector(selector);
  const panels = find(".panels"), scrub = find("input"), speed = find("select"), told = find("output");
  const play = find("[data-do=play]"), tabs = [...player.querySelectorAll(".film")];
  const HOLD = 1000; /* milliseconds on the last frame before the first one comes again */
  let film = null, frame = 0, canvases = [], timer = null;

  const load = (chosen) => {
    chosen.images ??= chosen.sprites.map((source) => {
      const image = new Image();
      image.onload = () => { if (chosen === film) draw(); };
      image.src = source;
      return image;
    });
  };

  const select = (chosen) => {
    const before = film;
    film = chosen;
    load(film);
    tabs.forEach((tab, number) => tab.setAttribute("aria-pressed", String(films[number] === film)));
    canvases = film.panels.map((panel) => {
      const figure = document.createElement("figure"), canvas = document.createElement("canvas");
      const caption = document.createElement("figcaption");
      canvas.width = film.width;
      canvas.height = film.height;
      canvas.classList.toggle("crisp", Math.max(film.width, film.height) <= 96);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", panel.label);
      caption.textContent = panel.label;
      figure.append(caption, canvas);
      return [figure, canvas];
    });
    panels.replaceChildren(...canvases.map(([figure]) => figure));
    panels.style.setProperty("--widest", `${Math.max(240, Math.min(film.width * 8, 480))}px`);
    find(".video").href = film.video;
    scrub.max = film.frames - 1;
    const middle = film.context + Math.floor(Math.min(film.horizon, film.frames - film.context) / 2);
    show(before === null || frame >= film.frames ? middle : frame);
  };

  const draw = () => {
    film.panels.forEach((panel, number) => {
      const canvas = canvases[number][1], context = canvas.getContext("2d"), tile = panel.tiles[frame];
      context.clearRect(0, 0, film.width, film.height);
      canvas.classList.toggle("made", panel.generated && frame >= film.context);
      canvas.classList.toggle("given", tile >= 0 && frame < film.context);
      if (tile < 0) return;
      const image = film.images[Math.floor(tile / film.perSprite)], place = tile % film.perSprite;
      if (!image.complete || !image.naturalWidth) return;
      const x = (place % film.columns) * film.width, y = Math.floor(place / film.columns) * film.height;
      context.drawImage(image, x, y, film.width, film.height, 0, 0, film.width, film.height);
    });
  };

  const show = (wanted) => {
    frame = Math.max(0, Math.min(film.frames - 1, wanted));
    scrub.value = frame;
    const step = frame - film.context + 1, steps = film.frames - film.context;
    const words = step < 1 ? `given ${frame + 1} of ${film.context}`
      : `${film.verb} ${step} of ${steps}${step > film.horizon ? ", beyond training" : ""}`;
    told.textContent = `frame ${frame + 1} of ${film.frames}: ${words}`;
    scrub.setAttribute("aria-valuetext", told.textContent);
    document.querySelectorAll(".now").forEach((line) => {
      const x = Number(line.dataset.first) + (step - 1) * Number(line.dataset.each);
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
      line.setAttribute("visibility", step >= 1 && step <= film.horizon ? "visible" : "hidden");
    });
    draw();
  };

  const stop = () => {
    clearTimeout(timer);
    timer = null;
    play.textContent = "play";
  };

  const next = () => {
    const pause = 1000 / (film.fps * Number(speed.value));
    timer = setTimeout(() => {
      show(frame + 1 < film.frames ? frame + 1 : 0);
      next();
    }, frame + 1 < film.frames ? pause : Math.max(HOLD, pause));
  };

  const start = () => {
    play.textContent = "stop";
    next();
  };

  const toggle = () => (timer === null ? start() : stop());
  const step = (wanted) => { stop(); show(wanted); };
  const actions = {
    home: () => step(0), back: () => step(frame - 1), play: toggle, forth: () => step(frame + 1),
    end: () => step(film.frames - 1),
  };
  const keys = { " ": "play", ArrowLeft: "back", ArrowRight: "forth", Home: "home", End: "end" };

  const isSeen = () => {
    const box = player.getBoundingClientRect();
    return box.bottom > 0 && box.top < window.innerHeight;
  };
  document.addEventListener("keydown", (event) => {
    const action = keys[event.key], target = event.target;
    if (!action || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !isSeen()) return;
    if (target.matches("select, textarea, input:not([type=range]), .scroll")) return;
    if (event.key === " " && target.matches("button:not(.film[aria-pressed=true]), a, summary")) return;
    event.preventDefault();
    actions[action]();
  });
  Object.entries(actions).forEach(([name, action]) => find(`[data-do=${name}]`).addEventListener("click", action));
  tabs.forEach((tab, number) => tab.addEventListener("click", () => select(films[number])));
  scrub.addEventListener("input", () => step(Number(scrub.value)));
  speed.addEventListener("change", () => { if (timer !== null) { clearTimeout(timer); next(); } });
  select(films.find((one) => one.title === "median") ?? films[0]);
})();
