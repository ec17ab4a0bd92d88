// A Sparkplug host on the npm packages sparkplug-client and sparkplug-payload: it knows nothing of our code.
// Lines on stdin: "report" (answered with all it knows, as JSON), "rebirth", "quit".
// It is an edge node of a group of its own as well, for that is what sparkplug-client is made for.
const readline = require("readline");
const sparkplug = require("sparkplug-client");
const codec = require("sparkplug-payload").get("spBv1.0");

const [port, group] = process.argv.slice(2);
const known = { nodes: {}, history: [], problems: [] };

const client = sparkplug.newClient({
  serverUrl: `mqtt://127.0.0.1:${port}`, username: "", password: "",
  groupId: "others", edgeNode: "npm", clientId: "npm-host",
});

const plain = (value) => (value && value.toNumber ? value.toNumber() : value);

function problem(topic, what) {
  known.problems.push(`${topic}: ${what}`);
}

function follow(topic, node, payload) {
  const seq = plain(payload.seq);
  if (seq !== (node.seq + 1) % 256) problem(topic, `seq ${seq} after ${node.seq}`);
  node.seq = seq;
}

function take(topic, tags, metrics, birth) {
  for (const metric of metrics || []) {
    const tag = {
      value: plain(metric.value), type: metric.type, time: plain(metric.timestamp), properties: {},
    };
    for (const [key, property] of Object.entries(metric.properties || {})) tag.properties[key] = plain(property.value);
    if (!birth && !(metric.name in tags)) problem(topic, `${metric.name} was in no birth`);
    if (metric.isHistorical) known.history.push({ topic, name: metric.name, ...tag });
    else tags[metric.name] = { ...(tags[metric.name] || {}), ...tag,
      properties: { ...(tags[metric.name] || {}).properties, ...tag.properties } };
  }
}

client.on("message", (topic, payload) => {
  const [, ofGroup, kind, id, device] = topic.split("/");
  if (ofGroup !== group) return;
  const node = (known.nodes[id] = known.nodes[id] || { devices: {}, tags: {} });
  const tagsOf = () => (node.devices[device] = node.devices[device] || { tags: {} }).tags;
  switch (kind) {
    case "NBIRTH":
      Object.assign(node, { online: true, seq: plain(payload.seq), tags: {}, births: (node.births || 0) + 1 });
      for (const other of Object.values(node.devices)) other.online = false;
      take(topic, node.tags, payload.metrics, true);
      break;
    case "NDEATH":
      if (plain(payload.metrics[0].value) === node.tags.bdSeq.value) {
        node.online = false;
        for (const other of Object.values(node.devices)) other.online = false;
      }
      break;
    case "NDATA":
      follow(topic, node, payload);
      take(topic, node.tags, payload.metrics, false);
      break;
    case "DBIRTH":
      follow(topic, node, payload);
      node.devices[device] = { online: true, tags: {} };
      take(topic, node.devices[device].tags, payload.metrics, true);
      break;
    case "DDATA":
      follow(topic, node, payload);
      if (!(node.devices[device] || {}).online) problem(topic, "data of a device that is not there");
      take(topic, tagsOf(), payload.metrics, false);
      break;
    case "DDEATH":
      follow(topic, node, payload);
      tagsOf();
      node.devices[device].online = false;
      break;
  }
});

client.on("birth", () => {
  // Every basic type, as this encoder writes it.
  const metrics = [
    ["Int8", -5], ["Int16", -300], ["Int32", -70000], ["Int64", -5000000000], ["UInt8", 200], ["UInt16", 60000],
    ["UInt32", 4000000000], ["UInt64", 9000000000], ["Float", 0.5], ["Double", -27.38], ["Boolean", true],
    ["String", "Lüfter"], ["DateTime", 1767225600123], ["Text", "text"], ["Double", null],
  ].map(([type, value], index) => ({ name: `${type} ${index}`, type, value, timestamp: 1767225600000 + index }));
  metrics[9].properties = { engUnit: { type: "String", value: "dBFS" }, Quality: { type: "Int32", value: 192 } };
  client.publishNodeBirth({ timestamp: 1767225600000, metrics });
  client.subscribeTopic(`spBv1.0/${group}/#`, { qos: 1 }, () => console.log("ready"));
});

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  if (line === "report") console.log(JSON.stringify(known));
  if (line === "rebirth") {
    const metrics = [{ name: "Node Control/Rebirth", type: "Boolean", value: true }];
    const payload = Buffer.from(codec.encodePayload({ timestamp: Date.now(), metrics }));
    client.client.publish(`spBv1.0/${group}/NCMD/box`, payload);
  }
  if (line === "quit") process.exit(0);
});
