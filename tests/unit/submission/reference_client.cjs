// Drives @flashbots/ethers-provider-bundle against a capture server.
// argv: relay url, auth key, chain id, JSON {txs, target, replacementUuid, stateBlock, timestamp}
const { Wallet } = require('ethers')
const { FlashbotsBundleProvider } = require('@flashbots/ethers-provider-bundle')

async function main () {
  const [url, key, chainId, input] = process.argv.slice(2)
  const { txs, target, replacementUuid, stateBlock, timestamp } = JSON.parse(input)
  const auth = new Wallet(key)
  const client = await FlashbotsBundleProvider.create(null, auth, url, { chainId: BigInt(chainId) })
  const sent = await client.sendRawBundle(txs, target)
  await client.sendRawBundle(txs, target, { replacementUuid })
  await client.cancelBundles(replacementUuid)
  await client.simulate(txs, target, stateBlock, timestamp)
  process.stdout.write(JSON.stringify({ bundleHash: sent.bundleHash }))
}

main().then(() => process.exit(0), error => { console.error(error); process.exit(1) })
