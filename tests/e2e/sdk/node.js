// centrifuge-js in Node.js: a command per line on standard input, an event per line on standard output.
const readline = require("readline");
const {Centrifuge} = require("centrifuge");
const {sdk_driver} = require("./driver.js");

const emit = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const options = {websocket: require("ws"), minReconnectDelay: 50, maxReconnectDelay: 500};
const run = sdk_driver(Centrifuge, {url: process.argv[2], options}, emit);

readline.createInterface({input: process.stdin})
	.on("line", (line) => run(JSON.parse(line)))
	.on("close", () => process.exit(0));
