// Compiles Tokens.sol with the locked solc and prints {contract: creation bytecode} as JSON.
// Usage: NODE_PATH=contracts/node_modules node searcher/devnet/contracts/build.cjs > .../Tokens.json
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const input = {
  language: "Solidity",
  sources: { "Tokens.sol": { content: fs.readFileSync(path.join(__dirname, "Tokens.sol"), "utf8") } },
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: "paris",
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["evm.bytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const errors = (output.errors || []).filter((e) => e.severity === "error");
if (errors.length > 0) {
  process.stderr.write(errors.map((e) => e.formattedMessage).join("\n"));
  process.exit(1);
}
const built = {};
for (const [name, contract] of Object.entries(output.contracts["Tokens.sol"])) {
  const code = contract.evm.bytecode.object;
  if (code) built[name] = "0x" + code; // abstract contracts have none
}
process.stdout.write(JSON.stringify(built, null, 1) + "\n");
