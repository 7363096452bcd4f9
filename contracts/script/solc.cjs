#!/usr/bin/env node
// Stands in for the native Solidity compiler: the two ways in which forge calls it, over npm's solc.
"use strict";
const fs = require("fs");
const path = require("path");

const soljson = require(path.join(__dirname, "..", "node_modules", "solc", "soljson.js"));
// Emscripten swallows errors in these handlers; let Node.js report them.
process.removeAllListeners("uncaughtException");
process.removeAllListeners("unhandledRejection");

function write(text) {
  const bytes = Buffer.from(text);
  // A pipe may take less than it is given.
  for (let at = 0; at < bytes.length; ) at += fs.writeSync(1, bytes, at);
}

function version() {
  const text = soljson.cwrap("solidity_version", "string", [])();
  // forge looks for the platform tag of a native build.
  return text.replace("Emscripten.clang", "Linux.g++");
}

const options = process.argv.slice(2);
if (options.includes("--version")) {
  write(`solc, the solidity compiler commandline interface\nVersion: ${version()}\n`);
} else if (options.includes("--standard-json")) {
  const compile = soljson.cwrap("solidity_compile", "string", ["string", "number", "number"]);
  write(compile(fs.readFileSync(0, "utf8"), 0, 0));
} else {
  process.stderr.write(`solc.cjs knows --version and --standard-json, not: ${options.join(" ")}\n`);
  process.exitCode = 1;
}
