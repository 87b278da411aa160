// Loaded before emulate (node --require): it would listen on every interface, on a port to be guessed beforehand.
// Here it listens on loopback, on a free port that it prints, and ends when whoever started it is gone.
"use strict";
const net = require("node:net");

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function () {
  this.once("listening", () => process.stdout.write(`listening ${this.address().port}\n`));
  return listen.call(this, 0, "127.0.0.1");
};
process.stdin.on("end", () => process.exit(0)).resume();
