"use strict";
// Which episodes are in the list, and in which order.

const LABELS = { needs: new Map([["true", "yes"], ["false", "no"]]) };

// What a select is about: its value for an episode.
const SELECTS = {
  model: (episode) => columnOf(episode).model,
  mode: (episode) => columnOf(episode).mode,
  outcome: (episode) => ofEpisode("outcome", episode),
  change: (episode) => ofEpisode("change", episode),
  trained: (episode) => ofEpisode("trained", episode),
  layout: (episode) => ofQuestion("layout", episode),
  needs: (episode) => String(ofQuestion("needs", episode)),
  zoom: (episode) => ofEpisode("zoom", episode),
  headroom: (episode) => ofEpisode("headroom", episode),
  status: (episode) => ofEpisode("status", episode),
};
const RANGES = {
  coverage: (episode) => ofEpisode("coverage", episode),
  reward: (episode) => ofEpisode("reward", episode),
  tokens: (episode) => ofEpisode("tokens", episode),
  step: (episode) => ofQuestion("step", episode),
};
const SORTS = { ...RANGES, zooms: (episode) => ofEpisode("zooms", episode) };
const FIELDS = [
  "search", ...Object.keys(SELECTS), "compare", "sort",
  ...Object.keys(RANGES).flatMap((name) => [`${name}_from`, `${name}_to`]),
].map(byId);

const countOfEpisodes = () => data.episodes.outcome.length;
const words = []; // of each episode, what a search looks through
let replies = null;

// Options of the selects; one without a choice goes.
function offerFilters() {
  for (const [name, valueOf] of Object.entries(SELECTS)) {
    const values = new Set();
    for (let episode = 0; episode < countOfEpisodes(); episode += 1) values.add(valueOf(episode));
    values.delete("");
    const order = ["model", "mode"].includes(name) ? [...values] : [...values].sort();
    byId(name).append(...order.map((value) =>
      make("option", { value }, LABELS[name]?.get(value) ?? value)));
    byId(name).parentElement.hidden = values.size < 2;
  }
  byId("compare").append(...data.columns.map((column) =>
    make("option", { value: keyOf(column) }, nameOf(column))));
  const trained = data.questions.step.some((step) => step !== null);
  byId("steps").hidden = !trained;
  if (trained) {
    byId("sort").options[0].textContent = "training step";
    byId("mode").previousSibling.textContent = "Of its group ";
  }
}

function wordsOf(episode) {
  words[episode] ??= [
    ofQuestion("id", episode), ofQuestion("page", episode), ofQuestion("question", episode),
    ...ofQuestion("answers", episode), ofEpisode("answer", episode) ?? "", replies[episode],
  ].join("\n").toLowerCase();
  return words[episode];
}

const repliesAreNeeded = () => byId("search").value !== "" && replies === null;

// The episodes that match, in their order.
function matching() {
  const searched = replies === null ? [] : byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const selects = Object.entries(SELECTS)
    .map(([name, valueOf]) => [byId(name).value, valueOf])
    .filter(([value]) => value !== "");
  const ranges = Object.entries(RANGES)
    .map(([name, valueOf]) => [byId(`${name}_from`).value, byId(`${name}_to`).value, valueOf])
    .filter(([from, to]) => from !== "" || to !== "");
  const inRange = ([from, to, valueOf], episode) => {
    const value = valueOf(episode);
    return value !== null && (from === "" || value >= Number(from)) && (to === "" || value <= Number(to));
  };
  const found = [];
  for (let episode = 0; episode < countOfEpisodes(); episode += 1) {
    if (selects.every(([value, valueOf]) => valueOf(episode) === value) &&
        ranges.every((range) => inRange(range, episode)) &&
        searched.every((word) => wordsOf(episode).includes(word))) found.push(episode);
  }
  const sort = byId("sort").value;
  if (sort) {
    const valueOf = SORTS[sort.replace("-", "")];
    const sign = sort.startsWith("-") ? -1 : 1;
    // What has no value comes last, whatever the direction.
    const rank = (episode) => { const value = valueOf(episode); return value === null ? Infinity : sign * value; };
    const ranks = new Map(found.map((episode) => [episode, rank(episode)]));
    found.sort((one, other) => ranks.get(one) - ranks.get(other) || one - other);
  }
  return found;
}

// A table of the episodes as spreadsheets read it.
function asCsv(episodes) {
  const columns = {
    sample: (e) => ofQuestion("id", e), page: (e) => ofQuestion("page", e),
    step: (e) => ofQuestion("step", e), model: (e) => columnOf(e).model, mode: (e) => columnOf(e).mode,
    question: (e) => ofQuestion("question", e), accepted: (e) => ofQuestion("answers", e).join(" | "),
    layout: (e) => ofQuestion("layout", e), zoom_needed: (e) => ofQuestion("needs", e),
    ...Object.fromEntries(Object.keys(data.episodes).map((name) => [name, (e) => ofEpisode(name, e)])),
  };
  const cell = (value) => {
    if (value === null || typeof value !== "string") return String(value ?? "");
    // A spreadsheet would compute what begins like a formula.
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = episodes.map((e) => Object.values(columns).map((valueOf) => cell(valueOf(e))).join(","));
  return [Object.keys(columns).join(","), ...rows, ""].join("\r\n");
}
