"use strict";
// What is chosen, the address that names it, and the keys.

let address = ""; // The fragment that is shown,
let waiting = 0; // and the timer until another one is written.

async function filter() {
  if (repliesAreNeeded()) {
    byId("count").textContent = "Reading what was written …";
    replies = (await load("replies")).replies;
  }
  left = matching();
  countEpisodes();
  if (!left.includes(chosen)) choose(left[0] ?? null);
  else reveal(chosen);
  drawList();
  note();
}

function choose(episode) {
  chosen = episode;
  byId("lost").textContent = "";
  if (chosen !== null) reveal(chosen);
  drawList();
  show();
  note();
}

// Without the filters, if it does not pass them.
function chooseAnywhere(episode) {
  if (!left.includes(episode)) {
    byId("filters").reset();
    left = matching();
    countEpisodes();
  }
  choose(episode);
}

function move(distance) {
  const next = left[left.indexOf(chosen) + distance];
  if (next !== undefined) choose(next);
}

function nameInAddress(parts, episode) {
  parts.set("sample", ofQuestion("id", episode));
  if (ofQuestion("step", episode) !== null) parts.set("step", ofQuestion("step", episode));
}

// What is shown, as the fragment of the address: a link to one episode, and the way back.
function fragment() {
  const parts = new URLSearchParams();
  for (const field of FIELDS) if (field.value) parts.set(field.id, field.value);
  if (chosen !== null) {
    nameInAddress(parts, chosen);
    if (!byId("model").value || !byId("mode").value) parts.set("entry", keyOf(columnOf(chosen)));
  }
  return parts.toString();
}

function linkTo(episode) {
  const parts = new URLSearchParams();
  nameInAddress(parts, episode);
  parts.set("entry", keyOf(columnOf(episode)));
  return `#${parts}`;
}

// Only what one stays at goes into the history, not every letter of a search.
function note() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const led = location.hash.slice(1) !== address; // by a link, whose event is on its way
    if (led || fragment() === address) return;
    address = fragment();
    location.hash = address;
  }, 300);
}

// Whatever in an address is not of this page counts as not given.
async function follow() {
  address = location.hash.slice(1);
  const parts = new URLSearchParams(address);
  for (const field of FIELDS) {
    const value = parts.get(field.id) ?? "";
    field.value = value;
    if (field.value !== value) field.value = "";
  }
  byId("more").open = FIELDS.some((field) => field.value && field.closest("#more"));
  chosen = null;
  await filter();
  const [sample, step, entry] = ["sample", "step", "entry"].map((name) => parts.get(name));
  const named = sample === null ? undefined : left.find((episode) =>
    ofQuestion("id", episode) === sample && (!entry || keyOf(columnOf(episode)) === entry) &&
    (!step || String(ofQuestion("step", episode)) === step));
  choose(named ?? left[0] ?? null);
  if (sample !== null && named === undefined) byId("lost").textContent = "The episode that the address names is not here.";
  clearTimeout(waiting);
}

function saveSelection() {
  const url = URL.createObjectURL(new Blob([asCsv(left)], { type: "text/csv" }));
  make("a", { href: url, download: "episodes.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || enlarged.open) return;
  const typing = event.target.closest("input, select");
  const inList = event.target === list;
  const page = Math.floor(list.clientHeight / ROW);
  const moves = inList ? { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page } : {};
  const distance = moves[event.key] ?? (typing ? undefined : { j: 1, k: -1 }[event.key]);
  if (distance) move(Math.max(-left.indexOf(chosen), Math.min(left.length - 1 - left.indexOf(chosen), distance)));
  else if (event.key === "/" && !typing) byId("search").focus();
  else if (event.key === "z" && !typing) [...document.querySelectorAll(".picture")].pop()?.click();
  else return;
  event.preventDefault();
}

function begin(index) {
  data = index;
  document.title = visible(data.title);
  byId("title").textContent = visible(data.title);
  byId("about").textContent = visible(data.about);
  offerFilters();
  for (const field of FIELDS) field.addEventListener("input", field.id === "compare" ? () => { show(); note(); } : filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(filter));
  byId("csv").addEventListener("click", saveSelection);
  document.addEventListener("keydown", pressed);
  window.addEventListener("hashchange", () => {
    const now = location.hash.slice(1);
    if (now === address) return;
    if (now === "" || now.includes("=")) follow();
    else history.replaceState(null, "", `#${address}`); // It led to a part of the page.
  });
  follow().then(() => { document.documentElement.dataset.ready = "true"; });
}

expected.set("index", begin);
