// One call by the stock client: node call.js ADDRESS METHOD REQUEST_FILE OPTIONS_JSON. Prints "CODE MESSAGES DETAILS".
const fs = require("fs");
const grpc = require("@grpc/grpc-js");

const [address, method, file, options] = process.argv.slice(2);
const bytes = (value) => value;
const client = new grpc.Client(address, grpc.credentials.createInsecure(), JSON.parse(options));
const call = client.makeServerStreamRequest(method, bytes, bytes, fs.readFileSync(file), {
  deadline: Date.now() + 60_000,
});
let messages = 0;
call.on("data", () => messages++);
call.on("error", () => {}); // the status event reports it, too
call.on("status", (status) => {
  console.log(`${status.code} ${messages} ${status.details}`);
  client.close();
});
