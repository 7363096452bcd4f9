// One version of npm's solc as a filter: `node solc.cjs SOLJSON < standard.json > output.json`.
"use strict";
const fs = require("fs");

const soljson = require(process.argv[2]);
// Emscripten swallows errors in these handlers; let Node.js report them.
process.removeAllListeners("uncaughtException");
process.removeAllListeners("unhandledRejection");

// Before 0.6 the function takes no third argument, and JavaScript drops what is too much.
const compile = soljson.cwrap("solidity_compile", "string", ["string", "number", "number"]);
const bytes = Buffer.from(compile(fs.readFileSync(0, "utf8"), 0, 0));
// A pipe may take less than it is given.
for (let at = 0; at < bytes.length; ) at += fs.writeSync(1, bytes, at);
