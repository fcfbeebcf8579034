// A client of ZFScope, generated from proto/ at run time: calls are promises, and replicas are balanced.
"use strict";

const fs = require("fs");
const path = require("path");
const { promisify } = require("util");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const healthCheck = require("grpc-health-check");

const ROOT = path.join(__dirname, "..", "..");
const PROTOS = path.join(ROOT, "proto");
// Round robin, and retries of calls that no replica has started.
const SERVICE_CONFIG = path.join(ROOT, "service", "zfscope", "client", "service_config.json");
const MIB = 1 << 20;
const LOADED = { longs: Number, enums: String, defaults: true, oneofs: true };
const FILES = ["model", "classification", "analysis"].map((name) => `zfscope/v1/${name}.proto`);

/**
 * Address: HOST:PORT, unix:PATH, or several replicas: dns:///NAME:PORT or ipv4:10.0.0.1:50051,10.0.0.2:50051.
 * Options: ca, a PEM file, turns on TLS; token, a file whose first line is sent with each call; protos and config,
 * other places of the repository's files; timeout_s, the deadline of each call, 60 seconds by default.
 */
class Client {
  constructor(address, { ca, token, protos = PROTOS, config = SERVICE_CONFIG, timeout_s: timeoutS = 60 } = {}) {
    if (token && !ca) throw new Error("a token is only sent over TLS: set ca");
    const options = {
      "grpc.service_config": fs.readFileSync(config, "utf8"),
      "grpc.max_receive_message_length": 128 * MIB, // the service's max_send_bytes
      "grpc.per_rpc_retry_buffer_size": 52 * MIB, // the largest request, max_receive_bytes
      "grpc.keepalive_time_ms": 20_000,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 2_000,
    };
    const { v1 } = load(FILES, protos).zfscope;
    const { Health } = load([healthCheck.protoPath]).grpc.health.v1;
    this.timeoutS = timeoutS;
    this.clients = [v1.ModelService, v1.ClassificationService, v1.AnalysisService, Health].map(
      (Service) => new Service(address, credentials(ca, token), options),
    );
    [this.models, this.classification, this.analysis, this.health] = this.clients;
  }

  /** Return SERVING or NOT_SERVING. */
  async status() {
    return (await this.call(this.health, "check", { service: "" })).status;
  }

  /** Return the probable classes of a photo, a Buffer with the bytes of the file. */
  async classify(photo, options = {}) {
    return this.call(this.classification, "classify", { image: { encoded: photo }, ...options });
  }

  /** Return projections of the strongest maps of a layer, with PNG files. */
  async project(photo, options = {}) {
    return this.call(this.analysis, "project", { image: { encoded: photo }, ...options });
  }

  /** Yield the progress of any analyzer, { fraction, seconds_left }, and return its result. */
  async *analyze(analyzer, photos, parameters = {}) {
    const images = photos.map((encoded) => ({ encoded }));
    const request = { analyzer, images, parameters: struct(parameters), pictures: true };
    // The service sets a deadline. Streams are not retried: start again after UNAVAILABLE before any message.
    const call = this.analysis.analyze(request);
    try {
      for await (const message of call) {
        if (message.message === "result") return message.result;
        yield message.progress;
      }
    } finally {
      call.cancel(); // no effect once it has ended; ends the work if the caller leaves the loop
    }
    throw new Error("the service ended the analysis without a result");
  }

  /** Call a method of a service by its name in camel case, with the deadline. */
  async call(service, method, request) {
    return promisify(service[method].bind(service))(request, { deadline: Date.now() + 1000 * this.timeoutS });
  }

  close() {
    this.clients.forEach((client) => client.close());
  }
}

function load(files, folder) {
  return grpc.loadPackageDefinition(loader.loadSync(files, { ...LOADED, includeDirs: folder ? [folder] : [] }));
}

function credentials(ca, token) {
  if (!ca) return grpc.credentials.createInsecure();
  const channel = grpc.credentials.createSsl(fs.readFileSync(ca));
  if (!token) return channel;
  const [text] = fs.readFileSync(token, "utf8").split("\n");
  const bearer = grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${text.trim()}`);
    done(null, metadata);
  });
  return grpc.credentials.combineChannelCredentials(channel, bearer);
}

/** Return an object as google.protobuf.Struct, which proto-loader does not convert. */
function struct(values) {
  return { fields: Object.fromEntries(Object.entries(values).map(([name, each]) => [name, value(each)])) };
}

function value(each) {
  if (each === null) return { nullValue: "NULL_VALUE" };
  if (Array.isArray(each)) return { listValue: { values: each.map(value) } };
  if (typeof each === "object") return { structValue: struct(each) };
  return { [{ number: "numberValue", string: "stringValue", boolean: "boolValue" }[typeof each]]: each };
}

module.exports = { Client };
