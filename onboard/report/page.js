"use strict";
// Score maps: a cursor that follows the pointer or the arrow keys and says what lies under it. Cards: a dialog.

const STATUS = ["not looked at", "unknown: too few valid pixels", "first look: no past yet", "scored"];
const CODE_MAX = 65000;

function digits(value) {
  return Math.abs(value) >= 1e5 ? value.toExponential(2) : Number(value.toPrecision(3)).toString();
}

function place(corners, x, y) {
  if (!corners) return "";
  const [ul, ur, ll, lr] = corners;
  const mix = (i) => (1 - y) * ((1 - x) * ul[i] + x * ur[i]) + y * ((1 - x) * ll[i] + x * lr[i]);
  const [lat, east] = [mix(1), mix(0)], lon = east > 180 ? east - 360 : east;
  return ` · ${Math.abs(lat).toFixed(4)}° ${lat < 0 ? "S" : "N"} ${Math.abs(lon).toFixed(4)}° ${lon < 0 ? "W" : "E"}`;
}

for (const map of document.querySelectorAll(".map")) {
  const rows = Number(map.dataset.rows), cols = Number(map.dataset.cols);
  const low = Number(map.dataset.low), high = Number(map.dataset.high);
  const flip = Boolean(map.dataset.flip);
  const corners = JSON.parse(map.dataset.corners), ranks = JSON.parse(map.dataset.ranks);
  const cursor = map.querySelector(".cursor");
  const readout = map.closest("figure").querySelector(".readout");
  let codes = null, row = 0, col = 0;

  function show(r, c) {
    row = Math.max(0, Math.min(rows - 1, r));
    col = Math.max(0, Math.min(cols - 1, c));
    if (!codes) {
      const raw = Uint8Array.from(atob(map.dataset.codes), (ch) => ch.charCodeAt(0));
      codes = new DataView(raw.buffer);
    }
    const code = codes.getUint16(2 * (row * cols + col), true);
    const rank = ranks[`${row},${col}`];
    const score = low + (code / CODE_MAX) * (high - low);
    const said = code > CODE_MAX ? STATUS[code - CODE_MAX - 1] : `score ${digits(score)}`;
    cursor.setAttribute("x", col);
    cursor.setAttribute("y", row);
    cursor.setAttribute("visibility", "visible");
    readout.textContent = `row ${flip ? rows - 1 - row : row}, col ${col} · ${said}` + (rank ? ` · rank ${rank}` : "") +
      place(corners, (col + 0.5) / cols, (row + 0.5) / rows);
    return rank;
  }

  function under(event) {
    const box = map.getBoundingClientRect();
    const [y, x] = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
    return [Math.floor(y * rows), Math.floor(x * cols)];
  }

  function visit(rank) {
    const card = rank && document.getElementById(`rank-${rank}`);
    if (card) zoom(card);
  }

  map.addEventListener("pointermove", (event) => show(...under(event)));
  map.addEventListener("click", (event) => visit(show(...under(event))));
  map.addEventListener("focus", () => show(row, col));
  map.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) { event.preventDefault(); show(row + step[0], col + step[1]); }
    if (event.key === "Enter") visit(show(row, col));
  });
}

const dialog = document.getElementById("zoom");
const cards = [...document.querySelectorAll(".card")];
let open = -1;

function zoom(card) {
  open = cards.indexOf(card);
  const copy = card.cloneNode(true);
  copy.removeAttribute("id");
  const shots = copy.querySelector(".shots"), still = document.createElement("div");
  still.className = "shots";
  still.append(...shots.childNodes);
  shots.replaceWith(still);
  const bar = document.createElement("div");
  bar.className = "turns";
  bar.innerHTML = '<button type="button" data-step="-1">← Previous</button>' +
    '<button type="button" data-step="1">Next →</button><button type="button" autofocus>Close</button>';
  for (const button of bar.querySelectorAll("[data-step]"))
    button.addEventListener("click", () => turn(Number(button.dataset.step)));
  bar.lastElementChild.addEventListener("click", () => dialog.close());
  dialog.replaceChildren(copy, bar);
  if (!dialog.open) dialog.showModal();
}

function turn(step) {
  zoom(cards[(open + step + cards.length) % cards.length]);
}

for (const card of cards) card.querySelector("button.shots").addEventListener("click", () => zoom(card));
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") turn(-1);
  if (event.key === "ArrowRight") turn(1);
});
