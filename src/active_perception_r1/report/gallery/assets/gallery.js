"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const fields = ["search", "model", "mode", "outcome", "status", "compare"].map(byId);
  const [search, model, mode, outcome, status, compare] = fields;
  const list = byId("list");
  const SVG = "http://www.w3.org/2000/svg";
  let chosen = null;
  let address = ""; // The fragment that is shown,
  let waiting = 0; // and the timer until another one is written.

  // Characters that turn text around or hide in it are named instead of obeyed.
  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;
  const visible = (text) =>
    String(text).replace(HIDDEN, (mark) =>
      `[U+${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

  // The only way by which anything gets onto the page: elements, attributes, text nodes.
  function make(tag, attributes = {}, ...children) {
    const drawn = ["svg", "rect", "text"].includes(tag);
    const element = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null)
      .map((child) => (child instanceof Node ? child : document.createTextNode(visible(child)))));
    return element;
  }

  const entryOf = (episode) => data.entries[episode.entry];
  const sampleOf = (episode) => data.samples[episode.sample];
  const nameOf = (entry) => `${entry.model} · ${entry.mode}`;
  const keyOf = (entry) => `${entry.model}/${entry.mode}`;
  const outcomeOf = (episode) =>
    (episode.error ? "error" : episode.right ? "right" : episode.answer === null ? "no answer" : "wrong");
  const mark = (episode) =>
    make("span", { class: episode.right ? "right" : "wrong" }, `${episode.right ? "✓" : "✗"} ${outcomeOf(episode)}`);
  const beside = new Map(data.episodes.map((e) => [`${e.sample}/${keyOf(entryOf(e))}`, e]));

  data.episodes.forEach((episode, index) => {
    const sample = sampleOf(episode);
    episode.index = index;
    episode.words = [sample.id, sample.page, sample.question, ...sample.answers, episode.answer ?? "",
      ...episode.turns.map((turn) => turn.text)].join("\n").toLowerCase();
    episode.button = make("button", { type: "button", tabindex: "-1" },
      make("span", { class: "text" }, sample.question),
      make("small", {}, mark(episode), ` · ${nameOf(entryOf(episode))} · ${episode.status}`));
    episode.item = make("li", {}, episode.button);
    episode.button.addEventListener("click", () => choose(episode));
  });
  list.append(...data.episodes.map((episode) => episode.item));

  function fill(select, all, values) {
    select.append(make("option", { value: "" }, all),
      ...values.map(([value, label]) => make("option", { value }, label)));
  }
  const each = (values) => [...new Set(values)].map((value) => [value, value]);
  fill(model, "all models", each(data.entries.map((entry) => entry.model)));
  fill(mode, "all modes", each(data.entries.map((entry) => entry.mode)));
  fill(outcome, "all outcomes", each(data.episodes.map(outcomeOf)).sort());
  fill(status, "all statuses", each(data.episodes.map((episode) => episode.status)).sort());
  fill(compare, "nothing", data.entries.map((entry) => [keyOf(entry), nameOf(entry)]));

  const shown = () => data.episodes.filter((episode) => !episode.item.hidden);

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const episode of data.episodes) {
      const entry = entryOf(episode);
      episode.item.hidden = !(
        (!model.value || entry.model === model.value) &&
        (!mode.value || entry.mode === mode.value) &&
        (!outcome.value || outcomeOf(episode) === outcome.value) &&
        (!status.value || episode.status === status.value) &&
        words.every((word) => episode.words.includes(word)));
    }
    const left = shown();
    const right = left.filter((episode) => episode.right).length;
    byId("count").textContent = left.length
      ? `${left.length} of ${data.episodes.length} episodes, ${right} of them right`
      : `None of ${data.episodes.length} episodes`;
    if (!left.includes(chosen)) choose(left[0] ?? null);
    note();
  }

  function choose(episode, focus = false) {
    if (chosen) {
      chosen.button.removeAttribute("aria-current");
      chosen.button.tabIndex = -1;
    }
    chosen = episode;
    if (chosen) {
      chosen.button.setAttribute("aria-current", "true");
      chosen.button.tabIndex = 0;
      if (focus) chosen.button.focus();
      reveal(chosen.item);
    }
    byId("lost").textContent = "";
    show();
  }

  // Not `scrollIntoView`: it also moves the place from which the next Tab starts.
  function reveal(item) {
    const above = item.offsetTop - list.scrollTop;
    if (above < 0) list.scrollTop += above;
    const below = above + item.offsetHeight - list.clientHeight;
    if (below > 0) list.scrollTop += below;
  }

  function show() {
    note();
    const panes = make("div", { id: "panes" });
    const target = byId("episode");
    if (!chosen) {
      target.replaceChildren(make("p", { class: "quiet" }, "No episode matches the filters."));
      return;
    }
    const sample = sampleOf(chosen);
    panes.append(pane(chosen));
    const other = compare.value === "" ? null : beside.get(`${chosen.sample}/${compare.value}`);
    if (other && other !== chosen) panes.append(pane(other));
    target.replaceChildren(
      make("h2", { class: "text" }, sample.question),
      make("div", {}, "Accepted: ", ...separated(sample.answers.map((answer) => make("strong", { class: "text" }, answer)))),
      make("div", { class: "quiet" }, "Sample ", make("span", { class: "text" }, sample.id), ", page ", make("span", { class: "text" }, sample.page)),
      everywhere(), panes);
  }

  const separated = (elements) => elements.flatMap((element, i) => (i ? [", ", element] : [element]));

  // The same question to every model in every mode.
  function everywhere() {
    const modes = [...new Set(data.entries.map((entry) => entry.mode))];
    const models = [...new Set(data.entries.map((entry) => entry.model))];
    const cell = (name, kind) => {
      const episode = beside.get(`${chosen.sample}/${keyOf({ model: name, mode: kind })}`);
      if (!episode) return make("td");
      const button = make("button",
        { type: "button", "aria-current": episode === chosen ? "true" : null, "aria-label": visible(`${name}, ${kind}: ${outcomeOf(episode)}`) },
        make("span", { class: episode.right ? "right" : "wrong" }, episode.right ? "✓" : "✗"));
      button.addEventListener("click", () => {
        if (episode.item.hidden) byId("filters").reset();
        if (episode.item.hidden) filter();
        choose(episode);
      });
      return make("td", {}, button);
    };
    return make("div", { class: "everywhere" }, make("table", {},
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "This question"), ...modes.map((kind) => make("th", { scope: "col" }, kind)))),
      make("tbody", {}, ...models.map((name) => make("tr", {}, make("th", { scope: "row" }, name), ...modes.map((kind) => cell(name, kind)))))));
  }

  function pane(episode) {
    return make("article", { "aria-label": visible(nameOf(entryOf(episode))) },
      make("h3", { class: "text" }, nameOf(entryOf(episode))),
      make("div", {}, mark(episode), ` · ${episode.status} · `, make("a", { href: linkTo(episode) }, "link to this episode")),
      make("div", {}, "Answer: ", episode.answer === null ? make("span", { class: "quiet" }, "none") : make("strong", { class: "text" }, episode.answer)),
      episode.error ? make("pre", {}, episode.error) : null,
      page(episode), seen(episode), replies(episode), calls(episode), reward(episode));
  }

  function page(episode) {
    const sample = sampleOf(episode);
    const [width, height] = sample.size;
    // Evidence is drawn with some room around it, so that it can still be read.
    const rect = ([x0, y0, x1, y1], kind, room = 0) => make("rect",
      { class: kind, x: x0 * width - room, y: y0 * height - room,
        width: (x1 - x0) * width + 2 * room, height: (y1 - y0) * height + 2 * room });
    const zooms = episode.steps.filter((step) => step.box);
    const drawing = make("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      ...sample.evidence.map((box) => rect(box, "evidence", Math.max(width, height) / 120)),
      ...zooms.map((step) => rect(step.box, step.executed ? "zoom" : "zoom refused")),
      ...zooms.map((step) => {
        const size = Math.max(width, height) / 24;
        const [x, y] = [step.box[0] * width + size / 4, step.box[1] * height + size];
        return make("text", { class: "number", x, y, "font-size": size }, String(episode.steps.indexOf(step) + 1));
      }));
    const told = `Page with ${sample.evidence.length} evidence ${sample.evidence.length === 1 ? "box" : "boxes"} and ${zooms.length} ${zooms.length === 1 ? "zoom" : "zooms"}`;
    return make("figure", {},
      make("div", { class: "page" }, picture(sample.picture, told), drawing),
      make("figcaption", {}, "Dashed green: evidence. Orange: zooms, in order; dotted grey: refused."));
  }

  function picture(index, alt) {
    const { uri, size: [width, height] } = data.pictures[index];
    return make("img", { src: uri, alt: visible(alt), width, height, loading: "lazy", decoding: "async" });
  }

  // Every picture in the order in which the model was shown it.
  function seen(episode) {
    let crops = 0;
    const { opening, crops: are } = entryOf(episode);
    const figures = episode.turns.flatMap((turn, number) => turn.pictures.map((index) => {
      const name = number ? `Crop ${(crops += 1)}${are && ", "}${are}` : opening;
      const [width, height] = data.pictures[index].size;
      const image = picture(index, `${name} as the model saw it`);
      const scale = Math.min(1, 224 / Math.max(width, height));
      image.setAttribute("width", Math.round(width * scale));
      image.setAttribute("height", Math.round(height * scale));
      const small = scale < 1 ? ", here smaller" : "";
      return make("figure", {}, image, make("figcaption", {}, `${name}, ${width} × ${height}${small}`));
    }));
    return make("section", {}, make("h4", {}, "What the model saw"), make("div", { class: "seen" }, ...figures),
      episode.exact ? null : make("p", { class: "wrong" }, "Not exactly what was recorded: the code or the data has changed since."));
  }

  function replies(episode) {
    return make("section", {}, make("h4", {}, "What it wrote"), make("ol", {}, ...episode.turns.map((turn, number) => make("li", {},
      make("pre", { "aria-label": `Reply ${number + 1}` }, turn.text),
      make("details", {}, make("summary", {}, `Prompt of turn ${number + 1}`), make("pre", {}, turn.prompt))))));
  }

  const percent = (box) => box.map((side) => side.toFixed(2)).join(" ");

  function calls(episode) {
    if (!episode.steps.length) return null;
    const row = (step, number) => make("tr", {}, make("td", {}, String(number + 1)),
      make("td", {}, step.status + (step.redundant ? ", a repeat" : "") + (step.executed && !step.shown ? ", never shown" : "")),
      make("td", {}, step.box ? percent(step.box) : "–"), make("td", { class: "text" }, step.reason));
    return make("section", {}, make("h4", {}, "Zoom calls"), make("table", {},
      make("thead", {}, make("tr", {}, ...["#", "Status", "Box", "Reason"].map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...episode.steps.map(row))));
  }

  function reward(episode) {
    return make("section", {}, make("h4", {}, "Reward"), make("table", {}, make("tbody", {}, ...Object.entries(data.terms).map(([key, name]) =>
      make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, episode.reward[key].toFixed(3)))))));
  }

  function move(distance) {
    const left = shown();
    const next = left[left.indexOf(chosen) + distance];
    if (next) choose(next, true);
  }

  // What is shown, as the fragment of the address: a link to one episode, and the way back.
  function fragment() {
    const parts = new URLSearchParams();
    for (const field of fields) if (field.value) parts.set(field.id, field.value);
    if (chosen) {
      parts.set("sample", sampleOf(chosen).id);
      if (!model.value || !mode.value) parts.set("entry", keyOf(entryOf(chosen)));
    }
    return parts.toString();
  }

  const linkTo = (episode) =>
    "#" + new URLSearchParams({ sample: sampleOf(episode).id, entry: keyOf(entryOf(episode)) });

  // Only what one stays at goes into the history, not every letter of a search.
  function note() {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      if (fragment() === address) return;
      address = fragment();
      location.hash = address;
    }, 300);
  }

  // Whatever in an address is not of this page counts as not given.
  function follow() {
    address = location.hash.slice(1);
    const parts = new URLSearchParams(address);
    for (const field of fields) {
      const value = parts.get(field.id) ?? "";
      field.value = value;
      if (field.value !== value) field.value = "";
    }
    filter();
    const [sample, entry] = ["sample", "entry"].map((name) => parts.get(name));
    const left = shown();
    const named = left.find((e) => sampleOf(e).id === sample && (!entry || keyOf(entryOf(e)) === entry));
    choose(named ?? left[0] ?? null);
    if (sample !== null && !named) byId("lost").textContent = "The episode that the address names is not here.";
    clearTimeout(waiting);
  }

  window.addEventListener("hashchange", () => {
    const now = location.hash.slice(1);
    if (now !== address && (now === "" || now.includes("="))) follow(); // Others are links to parts of the page.
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, select");
    const inList = event.target.closest("#list");
    const forward = (event.key === "j" && !typing) || (event.key === "ArrowDown" && inList);
    const backward = (event.key === "k" && !typing) || (event.key === "ArrowUp" && inList);
    if (forward || backward) move(forward ? 1 : -1);
    else if (event.key === "/" && !typing) search.focus();
    else return;
    event.preventDefault();
  });
  for (const field of fields) field.addEventListener("input", field === compare ? show : filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(filter));
  byId("results").addEventListener("focus", () => chosen?.button.focus());

  byId("about").textContent = data.samples.length < data.total
    ? `The first ${data.samples.length} of ${data.total} questions, in every model and mode.`
    : `All ${data.total} questions, in every model and mode.`;
  follow();
  document.documentElement.dataset.ready = "true";
})();
