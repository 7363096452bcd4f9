// Sends bundles through @flashbots/ethers-provider-bundle, as any searcher would, and says on
// standard output what became of them. Blocks are sealed by `devnet_mine`.
// Usage: node reference_client.mjs '{node, relay, chainId, keys: [auth, first, second]}'
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_PATH}/`);
const { JsonRpcProvider, Network, Wallet, parseUnits } = require("ethers");
const { FlashbotsBundleProvider, FlashbotsBundleResolution } = require(
  "@flashbots/ethers-provider-bundle",
);

const given = JSON.parse(process.argv[2]);
const network = Network.from(given.chainId);
const node = new JsonRpcProvider(given.node, network, { staticNetwork: network, cacheTimeout: -1 });
node.pollingInterval = 50;
// The client hears of blocks by polling, and of none before its first poll: it is under way once one
// block has come through.
let polling = false;
node.on("block", () => {
  polling = true;
});
while (!polling) {
  await node.send("devnet_mine", []);
  await new Promise((resolve) => setTimeout(resolve, node.pollingInterval));
}

const [auth, first, second] = given.keys.map((key) => new Wallet(key, node));
const client = await FlashbotsBundleProvider.create(node, auth, given.relay, {
  chainId: network.chainId,
});

async function entry(signer, tip) {
  return {
    signer,
    transaction: {
      type: 2,
      chainId: network.chainId,
      nonce: await signer.getNonce(),
      to: signer.address,
      value: 1n,
      gasLimit: 21_000n,
      maxFeePerGas: parseUnits("100", "gwei"),
      maxPriorityFeePerGas: tip,
    },
  };
}

const report = {};
const signed = await client.signBundle([await entry(first, 2n), await entry(second, 3n)]);
const target = (await node.getBlockNumber()) + 1;
report.simulated = await client.simulate(signed, target, "latest");
const sent = await client.sendRawBundle(signed, target);
if (sent.error) throw new Error(sent.error.message);
const waited = sent.wait();
await node.send("devnet_mine", []);
report.bundleHash = sent.bundleHash;
report.resolution = FlashbotsBundleResolution[await waited];
const receipts = await sent.receipts();
report.blocks = receipts.map((receipt) => receipt.blockNumber);
report.target = target;
report.transactions = sent.bundleTransactions.map((transaction) => transaction.hash);

const uuid = "6a3bb3d5-8a3a-4b8e-9a5c-2d3b4f5a6b7c";
const another = await client.signBundle([await entry(first, 2n)]);
const cancelled = await client.sendRawBundle(another, target + 1, { replacementUuid: uuid });
report.cancelled = (await client.cancelBundles(uuid)).bundleHashes;
report.toCancel = cancelled.bundleHash;
const unlucky = cancelled.wait();
await node.send("devnet_mine", []);
report.afterCancel = FlashbotsBundleResolution[await unlucky];

const alone = await client.sendPrivateTransaction(await entry(second, 5n), {
  maxBlockNumber: target + 5,
});
if (alone.error) throw new Error(alone.error.message);
await node.send("devnet_mine", []);
report.privateBlock = (await node.getTransactionReceipt(alone.transaction.hash)).blockNumber;

process.stdout.write(
  JSON.stringify(report, (_, value) => (typeof value === "bigint" ? value.toString() : value)),
);
process.exit(0);
