// The map's readout and layers, times that count on, and the reload while a station receives.
"use strict";
(() => {
  const remember = (name, value) => { try { sessionStorage.setItem(name, value); } catch { /* a file:// page may not */ } };
  const recall = (name) => { try { return sessionStorage.getItem(name); } catch { return null; } };

  const show = (layer) => {
    for (const place of document.querySelectorAll(".place, .map-bar")) place.dataset.layer = layer;
    for (const button of document.querySelectorAll(".layers button")) {
      button.setAttribute("aria-pressed", String(button.dataset.layer === layer));
    }
    remember("layer", layer);
  };
  for (const button of document.querySelectorAll(".layers button")) {
    button.addEventListener("click", () => show(button.dataset.layer));
  }
  show(recall("layer") || "picture");

  for (const figure of document.querySelectorAll(".score-map")) {
    const readout = figure.querySelector(".readout");
    figure.addEventListener("pointerover", (event) => {
      if (event.target.dataset.said) readout.textContent = event.target.dataset.said;
    });
  }

  const count = () => {
    for (const time of document.querySelectorAll("time.ago")) {
      const seconds = Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000);
      time.title ||= time.textContent;
      const [value, unit] = seconds < 90 ? [seconds, "s"] : seconds < 5400 ? [seconds / 60, "min"]
        : seconds < 129600 ? [seconds / 3600, "h"] : [seconds / 86400, "d"];
      time.textContent = `${Math.round(value)} ${unit} ago`;
    }
  };
  count();
  setInterval(count, 1000);

  const every = Number(document.body.dataset.reload);
  if (every) {
    const busy = () => document.hidden || document.querySelector(".place rect:hover");
    setInterval(() => { if (!busy()) location.reload(); }, every * 1000);
  }
})();
