// Classify a photo and project what the network saw:
//   node main.js ADDRESS PHOTO [--layer conv5] [--out DIR] [--ca FILE] [--token FILE]
"use strict";

const fs = require("fs");
const path = require("path");
const { parseArgs } = require("util");
const { Client } = require("./client");

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(["layer", "out", "ca", "token"].map((name) => [name, { type: "string" }])),
});

async function main([address, file]) {
  if (!file) throw new Error("usage: node main.js ADDRESS PHOTO [--layer LAYER] [--out DIR] [--ca FILE] [--token FILE]");
  const client = new Client(address, options);
  try {
    const status = await client.status();
    console.log(`${address} is ${status}`);
    if (status !== "SERVING") return 1;
    const photo = fs.readFileSync(file);
    const { classes } = await client.classify(photo, { top: 3 });
    for (const each of classes) console.log(`${(100 * each.probability).toFixed(1)} % ${each.label}`);

    const analysis = client.analyze("project", [photo], { top: 3, ...(options.layer && { layer: options.layer }) });
    let step = await analysis.next();
    for (; !step.done; step = await analysis.next()) console.log(`${Math.round(100 * step.value.fraction)} % done`);
    for (const picture of step.value.pictures) {
      const target = path.join(options.out ?? ".", `${picture.name}.png`);
      fs.writeFileSync(target, picture.png);
      console.log(`wrote ${target}`);
    }
    return 0;
  } finally {
    client.close();
  }
}

main(positionals).then(
  (code) => (process.exitCode = code),
  (error) => {
    console.error(error.message);
    process.exitCode = 1;
  },
);
