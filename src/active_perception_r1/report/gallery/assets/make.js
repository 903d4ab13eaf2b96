"use strict";
// Elements from text: whatever the data say becomes text, never markup.

const byId = (id) => document.getElementById(id);

// Characters that turn text around or hide in it are named instead of obeyed.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;
const visible = (text) =>
  String(text).replace(HIDDEN, (mark) =>
    `[U+${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "rect", "text"]);

// The only way by which anything gets onto the page: elements, attributes, text nodes.
function make(tag, attributes = {}, ...children) {
  const element = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children
    .filter((child) => child !== null)
    .map((child) => (child instanceof Node ? child : document.createTextNode(visible(child)))));
  return element;
}

const separated = (elements) => elements.flatMap((element, i) => (i ? [", ", element] : [element]));
const table = (names, rows) => make("table", {},
  names && make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)))),
  make("tbody", {}, ...rows));
