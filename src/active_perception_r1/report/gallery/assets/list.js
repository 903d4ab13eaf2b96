"use strict";
// The list of episodes. Only the rows that can be seen are on the page, however many there are.

const ROW = 64; // pixels, as in the style sheet
const SPARE = 6; // rows above and below
const list = byId("list");
const rows = byId("rows");
let left = []; // the episodes in the list
let chosen = null;

const mark = (episode) => {
  const outcome = ofEpisode("outcome", episode);
  const right = outcome === "right";
  return make("span", { class: right ? "right" : "wrong" }, `${right ? "✓" : "✗"} ${outcome}`);
};

function row(episode, place) {
  const step = ofQuestion("step", episode);
  const option = make("div",
    { role: "option", id: `episode-${episode}`, class: "row", "aria-posinset": place + 1,
      "aria-setsize": left.length, "aria-selected": String(episode === chosen) },
    make("span", { class: "text" }, ofQuestion("question", episode)),
    make("small", {}, mark(episode), ` · ${nameOf(columnOf(episode))}`,
      step === null ? ` · ${ofEpisode("status", episode)}` : ` · step ${step}`));
  option.style.transform = `translateY(${place * ROW}px)`;
  option.addEventListener("click", () => choose(episode));
  return option;
}

function drawList() {
  rows.style.height = `${left.length * ROW}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
  const last = Math.min(left.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE);
  rows.replaceChildren(...left.slice(first, last).map((episode, i) => row(episode, first + i)));
  const there = chosen !== null && byId(`episode-${chosen}`);
  if (there) list.setAttribute("aria-activedescendant", there.id);
  else list.removeAttribute("aria-activedescendant");
}

// Not `scrollIntoView`: it also moves the place from which the next Tab starts.
function reveal(episode) {
  const place = left.indexOf(episode);
  if (place < 0) return;
  const above = place * ROW;
  const below = above + ROW - list.clientHeight;
  if (list.scrollTop > above) list.scrollTop = above;
  else if (list.scrollTop < below) list.scrollTop = below;
}

function countEpisodes() {
  const right = left.filter((episode) => ofEpisode("outcome", episode) === "right").length;
  byId("count").textContent = left.length
    ? `${left.length.toLocaleString("en")} of ${countOfEpisodes().toLocaleString("en")} episodes, ${right.toLocaleString("en")} of them right`
    : `None of ${countOfEpisodes().toLocaleString("en")} episodes`;
}

list.addEventListener("scroll", () => requestAnimationFrame(drawList), { passive: true });
new ResizeObserver(() => data && drawList()).observe(list);
