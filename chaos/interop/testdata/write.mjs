// Writes rows with the JSONWriter of @google-cloud/bigquery-storage: each in an append of its own, in a COMMITTED
// stream, so that a row that can't be encoded spoils no other.
//
//	node write.mjs ADDRESS TABLE < rows.ndjson > results.ndjson
//
// A value {"$date": X} becomes new Date(X), {"$precise": X} new PreciseDate(X), {"$buffer": X} the bytes of base64 X,
// {"$bigint": X} BigInt(X). A line of the output is {"offset": N}, or {"error": TEXT} for a row that was not written.

import {createRequire} from 'node:module';
import {createInterface} from 'node:readline';

const require = createRequire(import.meta.url);
const {adapt, managedwriter} = require('@google-cloud/bigquery-storage');
const {PreciseDate} = require('@google-cloud/precise-date');
const {grpc} = require('google-gax');
const {GoogleAuth, PassThroughClient} = require('google-auth-library');

const special = {
  $date: x => new Date(x),
  $precise: x => new PreciseDate(x),
  $buffer: x => Buffer.from(x, 'base64'),
  $bigint: x => BigInt(x),
};

function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== 'object') return value;
  const [name, ...more] = Object.keys(value);
  if (more.length === 0 && name in special) return special[name](value[name]);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, revive(v)]));
}

const [address, destinationTable] = process.argv.slice(2);
const [apiEndpoint, port] = address.split(':');
const client = new managedwriter.WriterClient({
  apiEndpoint,
  port: Number(port),
  sslCreds: grpc.credentials.createInsecure(),
  auth: new GoogleAuth({authClient: new PassThroughClient()}),
  projectId: destinationTable.split('/')[1],
});
const {name: streamId} = await client.createWriteStreamFullResponse({
  streamType: managedwriter.CommittedStream,
  destinationTable,
});
const {tableSchema} = await client.getWriteStream({streamId, view: 'FULL'});
const connection = await client.createStreamConnection({streamId});
connection.on('error', () => {}); // the append's own result tells
let writer, unusable;
try {
  writer = new managedwriter.JSONWriter({
    connection,
    protoDescriptor: adapt.convertStorageSchemaToProto2Descriptor(tableSchema, 'root'),
  });
} catch (err) {
  unusable = err; // the library doesn't know a column's type
}

let offset = 0;
for await (const line of createInterface({input: process.stdin})) {
  let result;
  try {
    if (unusable) throw unusable;
    const answer = await writer.appendRows([revive(JSON.parse(line))], offset).getResult();
    if (answer.error) {
      result = {error: [answer.error.message, ...answer.rowErrors.map(e => e.message)].join(' ')};
    } else {
      result = {offset: Number(answer.appendResult.offset.value)};
      offset++;
    }
  } catch (err) {
    result = {error: String(err)};
  }
  console.log(JSON.stringify(result));
}
writer?.close();
connection.close();
client.close();
