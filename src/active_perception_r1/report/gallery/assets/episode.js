"use strict";
// What is shown of the chosen episode, and of the one that it is compared with.

let drawing = 0; // counts; what arrives for an episode that is no longer chosen is dropped

async function show() {
  const target = byId("episode");
  drawing += 1;
  const now = drawing;
  if (chosen === null) {
    target.replaceChildren(make("p", { class: "quiet" }, "No episode matches the filters."));
    return;
  }
  const question = questionOf(chosen);
  let details;
  try {
    details = await detailsOf(question);
  } catch (error) {
    target.replaceChildren(make("p", { class: "wrong" }, `${error.message}: keep the page together with what lies beside it.`));
    return;
  }
  if (now !== drawing) return;
  const other = data.columns.findIndex((column) => keyOf(column) === byId("compare").value);
  const panes = [chosen];
  if (other >= 0 && episodeOf(question, other) !== chosen) panes.push(episodeOf(question, other));
  const answers = ofQuestion("answers", chosen).map((answer) => make("strong", { class: "text" }, answer));
  const options = details.options.map((option) => make("span", { class: "text" }, option));
  const step = ofQuestion("step", chosen);
  target.replaceChildren(
    make("h2", { class: "text" }, ofQuestion("question", chosen)),
    options.length ? make("div", {}, "Options: ", ...separated(options)) : "",
    make("div", {}, "Accepted: ", ...separated(answers)),
    make("div", { class: "quiet" }, "Sample ", make("span", { class: "text", id: "sample" }, ofQuestion("id", chosen)),
      ", page ", make("span", { class: "text" }, ofQuestion("page", chosen)),
      step === null ? "" : `, training step ${step}`),
    everywhere(question),
    make("div", { id: "panes" }, ...panes.map((episode) => pane(episode, details))));
}

// The same question to every model in every mode.
function everywhere(question) {
  const modes = [...new Set(data.columns.map((column) => column.mode))];
  const models = [...new Set(data.columns.map((column) => column.model))];
  const cell = (model, mode) => {
    const column = data.columns.findIndex((one) => one.model === model && one.mode === mode);
    if (column < 0) return make("td");
    const episode = episodeOf(question, column);
    const outcome = ofEpisode("outcome", episode);
    const button = make("button",
      { type: "button", "aria-current": episode === chosen ? "true" : null, "aria-label": visible(`${model}, ${mode}: ${outcome}`) },
      make("span", { class: outcome === "right" ? "right" : "wrong" }, outcome === "right" ? "✓" : "✗"));
    button.addEventListener("click", () => chooseAnywhere(episode));
    return make("td", {}, button);
  };
  return make("div", { class: "everywhere", tabindex: "0", role: "group", "aria-label": "This question everywhere" },
    table(["This question", ...modes], models.map((model) =>
      make("tr", {}, make("th", { scope: "row" }, model), ...modes.map((mode) => cell(model, mode))))));
}

function pane(episode, details) {
  const one = details.episodes[episode % data.columns.length];
  const answer = ofEpisode("answer", episode);
  const facts = ["change", "trained"].map((name) => ofEpisode(name, episode))
    .filter((change) => change === "gained" || change === "harmed");
  const told = ofEpisode("change", episode) === facts[0] ? " against the baseline" : " through training";
  return make("article", { "aria-label": visible(nameOf(columnOf(episode))) },
    make("h3", { class: "text" }, nameOf(columnOf(episode))),
    make("div", {}, mark(episode), ` · ${ofEpisode("status", episode)} · `,
      facts.length ? `${facts[0]}${told} · ` : "", make("a", { href: linkTo(episode) }, "link to this episode")),
    make("div", {}, "Answer: ", answer === null ? make("span", { class: "quiet" }, "none") : make("strong", { class: "text" }, answer)),
    one.error ? make("pre", {}, one.error) : "",
    page(details, one), seen(episode, one), written(one), calls(one), reward(episode, one));
}

function page(details, one) {
  const [width, height] = details.size;
  // Evidence is drawn with some room around it, so that it can still be read.
  const rect = ([x0, y0, x1, y1], kind, room = 0) => make("rect",
    { class: kind, x: x0 * width - room, y: y0 * height - room,
      width: (x1 - x0) * width + 2 * room, height: (y1 - y0) * height + 2 * room });
  const zooms = one.steps.filter((step) => step.box);
  const size = Math.max(width, height) / 24;
  const drawn = make("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    ...details.evidence.map((box) => rect(box, "evidence", Math.max(width, height) / 120)),
    ...zooms.map((step) => rect(step.box, step.executed ? "zoom" : "zoom refused")),
    ...zooms.map((step) => make("text",
      { class: "number", x: step.box[0] * width + size / 4, y: step.box[1] * height + size, "font-size": size },
      String(one.steps.indexOf(step) + 1))));
  const boxes = details.evidence.length;
  const told = `Page with ${boxes} evidence ${boxes === 1 ? "box" : "boxes"} and ${zooms.length} ${zooms.length === 1 ? "zoom" : "zooms"}`;
  return make("figure", {},
    make("div", { class: "page" }, image([details.page, width, height], told), drawn),
    make("figcaption", {}, "Dashed green: evidence. Orange: zooms, in order; dotted grey: refused."));
}

const image = ([name, width, height], alt) =>
  make("img", { src: `images/${name}`, alt: visible(alt), width, height, loading: "lazy", decoding: "async" });

// Every picture in the order in which the model was shown it.
function seen(episode, one) {
  let crops = 0;
  const { opening, crops: are } = columnOf(episode);
  const figures = one.turns.flatMap((turn, number) => turn.pictures.map((picture) => {
    const name = number ? `Crop ${(crops += 1)}${are && ", "}${are}` : opening;
    const [, width, height] = picture;
    const button = make("button", { type: "button", class: "picture", "data-width": width, "data-height": height },
      image(picture, `${name} as the model saw it`));
    button.addEventListener("click", () => enlarge(button));
    return make("figure", {}, button, make("figcaption", {}, `${name}, ${width} × ${height}`));
  }));
  return make("section", {}, make("h4", {}, "What the model saw"), make("div", { class: "seen" }, ...figures),
    one.exact ? "" : make("p", { class: "wrong" }, "Not exactly what was recorded: the code or the data has changed since."));
}

function written(one) {
  return make("section", {}, make("h4", {}, "What it wrote"), make("ol", {}, ...one.turns.map((turn, number) => make("li", {},
    make("pre", { "aria-label": `Reply ${number + 1}`, role: "group" }, turn.text),
    make("details", {}, make("summary", {}, `Prompt of turn ${number + 1}`), make("pre", {}, turn.prompt))))));
}

function calls(one) {
  if (!one.steps.length) return "";
  const percent = (box) => box.map((side) => side.toFixed(2)).join(" ");
  const line = (step, number) => make("tr", {}, make("td", {}, String(number + 1)),
    make("td", {}, step.status + (step.redundant ? ", a repeat" : "") + (step.executed && !step.shown ? ", never shown" : "")),
    make("td", {}, step.box ? percent(step.box) : "–"), make("td", { class: "text" }, step.reason));
  return make("section", {}, make("h4", {}, "Zoom calls"), table(["#", "Status", "Box", "Reason"], one.steps.map(line)));
}

function reward(episode, one) {
  if (one.reward === null) return "";
  const tokens = ofEpisode("tokens", episode);
  const line = (name, value) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value));
  return make("section", {}, make("h4", {}, "Reward"), table(null, [
    ...data.terms.map((name, place) => line(name, one.reward[place].toFixed(3))),
    ...(tokens === null ? [] : [line("tokens of the conversation", tokens.toLocaleString("en"))]),
  ]));
}
