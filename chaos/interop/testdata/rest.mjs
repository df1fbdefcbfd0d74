// Makes, alters, reads and drops a table with @google-cloud/bigquery, which finds the emulator by BIGQUERY_EMULATOR_HOST.
//
//	node rest.mjs make|read|drop PROJECT DATASET TABLE

import {createRequire} from 'node:module';

const require = createRequire(import.meta.url);
const {BigQuery} = require('@google-cloud/bigquery');
const {PassThroughClient} = require('google-auth-library');

const [command, projectId, dataset, table] = process.argv.slice(2);
const client = new BigQuery({projectId, authClient: new PassThroughClient()});

const commands = {
  async make() {
    await client.createDataset(dataset);
    const [made] = await client.dataset(dataset).createTable(table, {
      schema: [{name: 'n', type: 'INTEGER'}, {name: 's', type: 'STRING', maxLength: 10}],
      expirationTime: 4102444800000,
    });
    const [{schema}] = await made.getMetadata();
    schema.fields.push({name: 'ts', type: 'TIMESTAMP'});
    const [changed] = await made.setMetadata({schema, description: 'altered'});
    return {
      description: changed.description,
      expirationTime: changed.expirationTime,
      columns: changed.schema.fields.map(f => `${f.name} ${f.type} ${f.mode} ${f.maxLength}`),
    };
  },
  async read() {
    const [rows] = await client.dataset(dataset).table(table).getRows();
    return rows.map(r => ({...r, ts: r.ts?.value}));
  },
  async drop() {
    try {
      await client.createDataset(dataset);
    } catch (err) {
      await client.dataset(dataset).delete({force: true});
      return {code: err.code, message: err.message, exists: (await client.dataset(dataset).exists())[0]};
    }
  },
};

console.log(JSON.stringify(await commands[command]()));
