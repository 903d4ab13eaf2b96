"use strict";
// The data beside the page. Each file is a script that hands over one text with `receive`, since a
// page that was opened from a disk may read files in no other way.

const CHUNKS_IN_MEMORY = 8;
const expected = new Map(); // name: what to do with the data
const chunks = new Map(); // number: a promise of its questions, the latest ones last

function receive(name, text) {
  expected.get(name)?.(JSON.parse(text));
  expected.delete(name);
}

function load(name) {
  return new Promise((resolve, reject) => {
    expected.set(name, resolve);
    const script = make("script", { src: `data/${name}.js` });
    script.addEventListener("load", () => script.remove());
    script.addEventListener("error", () => reject(new Error(`data/${name}.js cannot be read`)));
    document.head.append(script);
  });
}

// What is shown of a question and its episodes.
async function detailsOf(question) {
  const number = Math.floor(question / data.chunk);
  const chunk = chunks.get(number) ?? load(`questions-${number}`);
  chunks.delete(number);
  chunks.set(number, chunk);
  if (chunks.size > CHUNKS_IN_MEMORY) chunks.delete(chunks.keys().next().value);
  return (await chunk).questions[question % data.chunk];
}

// Episodes are numbers: question by question, in the order of the columns.
let data = null;
const questionOf = (episode) => Math.floor(episode / data.columns.length);
const columnOf = (episode) => data.columns[episode % data.columns.length];
const episodeOf = (question, column) => question * data.columns.length + column;
const ofQuestion = (name, episode) => data.questions[name][questionOf(episode)];
const ofEpisode = (name, episode) => data.episodes[name][episode];
const nameOf = (column) => `${column.model} · ${column.mode}`;
const keyOf = (column) => `${column.model}/${column.mode}`;
