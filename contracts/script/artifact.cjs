// Writes what the daemon needs of a built contract: artifact.cjs <forge's out folder> <Name.json>.
"use strict";
const fs = require("fs");
const path = require("path");

const modules = path.join(__dirname, "..", "node_modules");
const { keccak256 } = require(path.join(modules, "ethers"));

const [out, file] = process.argv.slice(2);
const contract = path.basename(file, ".json");
const source = path.join(out, `${contract}.sol`, `${contract}.json`);
const built = JSON.parse(fs.readFileSync(source, "utf8"));
const { compiler, settings } = built.metadata;
// Positions of the constructor's values; the runtime code holds zeros there until deployment.
const immutables = Object.values(built.deployedBytecode.immutableReferences ?? {}).flat();

const artifact = {
  contract,
  compiler: compiler.version,
  evm_version: settings.evmVersion,
  optimizer_runs: settings.optimizer.runs,
  via_ir: settings.viaIR ?? false,
  abi: built.abi,
  bytecode: built.bytecode.object,
  runtime: built.deployedBytecode.object,
  runtime_keccak256: keccak256(built.deployedBytecode.object),
  immutables: immutables.map(({ start, length }) => ({ start, length })),
};
fs.writeFileSync(file, JSON.stringify(artifact, null, 2) + "\n");
